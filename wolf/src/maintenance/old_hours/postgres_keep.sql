-- Adds deleted hourly counts to the sums of their day.
-- $1 date: the day. $2 text[] and $3 bigint[]: the pages' names and their views.
INSERT INTO kept_days (name, date, views)
SELECT name, $1, views FROM unnest($2::text[], $3::bigint[]) AS dropped (name, views)
ON CONFLICT (name, date) DO UPDATE SET views = kept_days.views + excluded.views
