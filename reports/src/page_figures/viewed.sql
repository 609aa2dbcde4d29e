-- The days on which pages were viewed first and last: the name, of each of the two days the date
-- and the views of its hours, and the title.
-- {site}: the report by the site's index. {page_date}: the date of the pages' rows. {condition}: which pages. {months_viewed}, {days_viewed}: the rows of a page in the
-- months, or in the first days from its first month on, as `row`. {first_hours}, {last_hours}: the columns of the two days.
-- The months in which anything was viewed.
WITH months AS MATERIALIZED (
    SELECT site.date FROM {site} WHERE site.name = '' AND site.grain = 'month'
),
-- The pages, with the first month in which each was viewed.
page AS MATERIALIZED (
    SELECT
        page.name, page.title, page.last_date,
        (SELECT min(row.date) FROM {months_viewed}) AS first_month
    FROM page_views_report AS page
    WHERE page.grain = 'page' AND page.date = {page_date} AND {condition}
),
-- The days in which anything was viewed.
days AS MATERIALIZED (
    SELECT site.date FROM {site} WHERE site.name = '' AND site.grain = 'day'
),
-- The pages, with the first day on which each was viewed.
begun AS MATERIALIZED (
    SELECT
        page.name, page.title, page.last_date,
        (SELECT min(row.date) FROM {days_viewed}) AS first_date
    FROM page
)
SELECT begun.name, {first_hours}, {last_hours}, begun.title
FROM begun
JOIN page_views_report AS first ON first.grain = 'day' AND first.date = begun.first_date AND first.name = begun.name
JOIN page_views_report AS last ON last.grain = 'day' AND last.date = begun.last_date AND last.name = begun.name
