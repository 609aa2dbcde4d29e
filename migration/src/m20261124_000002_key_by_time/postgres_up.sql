ALTER TABLE page_views DROP CONSTRAINT page_views_pkey;
ALTER TABLE page_views ADD PRIMARY KEY (date, hour, name);
DROP INDEX page_views_by_hour;
