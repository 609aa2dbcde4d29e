-- Until when the report is asked to be current: one row. A refresh is due while no successful one has an `as_of` as late.
CREATE TABLE refresh_requests (
    id           smallint PRIMARY KEY CHECK (id = 1),
    -- Null before the first request. It only grows.
    requested_at timestamptz
);
INSERT INTO refresh_requests (id) VALUES (1);

-- How many of the stale hours are still to be merged, in the row of a refresh under way. Null in all other rows.
ALTER TABLE report_refreshes ADD COLUMN hours_left integer;
