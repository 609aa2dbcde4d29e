-- Takes the lock that vacuums take, within {wait_ms} milliseconds, and keeps it until the transaction ends. The setting is
-- dropped with the relation, or rolled back.
SAVEPOINT swap;
SET LOCAL lock_timeout = {wait_ms};
ALTER TABLE page_views_report SET (autovacuum_enabled = off);
SET LOCAL lock_timeout TO DEFAULT;
RELEASE SAVEPOINT swap;
