ALTER TABLE report_refreshes DROP COLUMN hours_left;
DROP TABLE refresh_requests;
