-- Marks the counts of hours as stale that have marks on the coordinator: from before the tables were distributed.
INSERT INTO stale_pages (name, date, hour) SELECT name, date, hour FROM page_views WHERE (date, hour) IN ({hours})
