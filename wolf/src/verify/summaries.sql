-- Where the report's summaries are not what its rows say, in the one snapshot of this statement: the flags of the most viewed
-- pages, the numbers of pages, and the last days of the pages. {limit}: the most of them that are returned.
WITH
-- What the site's rows say.
site AS MATERIALIZED (
    SELECT grain, name, date, pages, last_pages, top_views FROM page_views_report WHERE name = '' AND grain IN ('day', 'month')
),
-- How many pages' rows each bucket has.
counted AS MATERIALIZED (
    SELECT grain, date, count(*) AS pages FROM page_views_report WHERE name <> '' AND grain IN ('day', 'month') GROUP BY grain, date
),
-- How many pages were viewed on a day and not since.
last_viewed AS MATERIALIZED (
    SELECT last_date, count(*) AS pages
    FROM (
        SELECT name, max(date) AS last_date FROM page_views_report WHERE name <> '' AND grain = 'day' GROUP BY name
    ) AS viewed
    GROUP BY last_date
),
-- What is wrong.
wrong (grain, name, date, summary) AS (
    SELECT page.grain, page.name, page.date, 'is not flagged, though it has as many views as the flagged ones'
    FROM page_views_report AS page
    JOIN site ON site.grain = page.grain AND site.date = page.date
    WHERE page.name <> '' AND page.grain IN ('day', 'month') AND page.top IS NULL AND page.views >= site.top_views
    UNION ALL
    SELECT grain, name, date, 'is flagged' FROM page_views_report WHERE top AND (name = '' OR grain NOT IN ('day', 'month'))
    UNION ALL
    SELECT site.grain, site.name, site.date, 'has another number of pages'
    FROM site
    LEFT JOIN counted ON counted.grain = site.grain AND counted.date = site.date
    WHERE site.pages <> coalesce(counted.pages, 0)
    UNION ALL
    SELECT site.grain, site.name, site.date, 'has another number of pages that were last viewed then'
    FROM site
    LEFT JOIN last_viewed ON last_viewed.last_date = site.date
    WHERE site.grain = 'day' AND site.last_pages <> coalesce(last_viewed.pages, 0)
    UNION ALL
    SELECT page.grain, page.name, page.date, 'has another last day'
    FROM page_views_report AS page
    LEFT JOIN (
        SELECT name, max(date) AS last_date FROM page_views_report WHERE name <> '' AND grain = 'day' GROUP BY name
    ) AS viewed ON viewed.name = page.name
    WHERE page.grain = 'page' AND page.last_date IS DISTINCT FROM viewed.last_date
)
SELECT grain, name, date, summary, count(*) OVER () AS differences FROM wrong ORDER BY 1, 3, 2 LIMIT {limit}
