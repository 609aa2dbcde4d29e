-- Adds views to the counts.
-- ?1: JSON, {hour: {name: what the count grows by, ...}, ...}, with hours such as "2026-11-26 9".
-- ?2: when the counts change.
INSERT INTO page_views (name, date, hour, views, updated_at)
SELECT counts.key, substr(hours.key, 1, 10), CAST(substr(hours.key, 12) AS INTEGER), counts.value, ?2
FROM json_each(?1) AS hours, json_each(hours.value) AS counts
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (name, date, hour)
DO UPDATE SET views = views + excluded.views, updated_at = excluded.updated_at
