-- Deletes the pages that have no counts.
DELETE FROM pages
WHERE NOT EXISTS (SELECT 1 FROM page_views WHERE page_views.name = pages.name)
    AND NOT EXISTS (SELECT 1 FROM kept_days WHERE kept_days.name = pages.name)
