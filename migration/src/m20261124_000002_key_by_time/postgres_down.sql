ALTER TABLE page_views DROP CONSTRAINT page_views_pkey;
ALTER TABLE page_views ADD PRIMARY KEY (name, date, hour);
CREATE INDEX page_views_by_hour ON page_views (date, hour);
