-- Deletes the rows of pages that have no counts from {table}.
DELETE FROM {table}
WHERE NOT EXISTS (SELECT 1 FROM page_views WHERE page_views.name = {table}.name)
    AND NOT EXISTS (SELECT 1 FROM kept_days WHERE kept_days.name = {table}.name)
