-- What each group changes by in each hour.
SELECT member_of.group_name, merge_deltas.date, merge_deltas.hour, sum(merge_deltas.views)::bigint
FROM merge_deltas
JOIN page_memberships ON page_memberships.name = merge_deltas.name
CROSS JOIN LATERAL jsonb_array_elements_text(page_memberships.member_of::jsonb) AS member_of (group_name)
GROUP BY member_of.group_name, merge_deltas.date, merge_deltas.hour
