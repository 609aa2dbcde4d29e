DROP VIEW page_views_live;
DROP VIEW counted_hours;

-- All that is counted, by day.
CREATE VIEW counted_days AS
    SELECT name, date, views FROM page_views
UNION ALL
    SELECT name, date, views FROM kept_days;

-- The definition of the report: always right, slow. The site's rows have the empty name.
-- A title stands on month rows alone, so that a changed one touches a row a month.
CREATE VIEW page_views_live AS
    SELECT 'hour'::text COLLATE "C" AS grain, name, date, hour, NULL::text AS title, views
    FROM page_views
UNION ALL
    SELECT 'day', name, date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY name, date
UNION ALL
    SELECT 'month', month.name, month.date, 0::smallint, pages.title, month.views
    FROM (
        SELECT name, date_trunc('month', date::timestamp)::date AS date, sum(views)::bigint AS views
        FROM counted_days GROUP BY 1, 2
    ) AS month
    LEFT JOIN pages ON pages.name = month.name
UNION ALL
    SELECT 'hour', '', date, hour, NULL, sum(views)::bigint
    FROM page_views GROUP BY date, hour
UNION ALL
    SELECT 'day', '', date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY date
UNION ALL
    SELECT 'month', '', date_trunc('month', date::timestamp)::date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY 3;
