INSERT INTO stale_hours (date, hour) SELECT DISTINCT date, hour FROM stale_pages WHERE date IS NOT NULL;
INSERT INTO stale_titles (name) SELECT DISTINCT name FROM stale_pages WHERE date IS NULL;
DROP TABLE stale_pages;
DROP TABLE merge_deltas;
DROP TABLE report_publication;
