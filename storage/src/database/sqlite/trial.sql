-- Writes 256 KiB into the write-ahead log and rolls back. If it succeeds, there is room for a commit of that size.
BEGIN IMMEDIATE;
CREATE TABLE analytics_trial (bytes BLOB);
INSERT INTO analytics_trial VALUES (zeroblob(262144));
ROLLBACK;
