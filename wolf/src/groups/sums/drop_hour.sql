-- Takes the views of an hour from the rows of groups. $1: its day. {sent}: the groups, with `name` and `views`. {hour}: the
-- column of the hour, which is null without views.
UPDATE page_views_report
SET {hour} = nullif(page_views_report.{hour} - sent.views, 0)
FROM {sent}
WHERE page_views_report.grain = 'group_day' AND page_views_report.date = $1 AND page_views_report.name = sent.name
