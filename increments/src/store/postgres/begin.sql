-- Begins a transaction and sets its limits. Settings are local to it: a pooler may give the connection to another client for
-- the next one.

-- Does not depend on the role's default: a second request with a key has to see the rows that the first one committed.
BEGIN ISOLATION LEVEL READ COMMITTED;
-- Limit each statement, and an idle transaction, since others wait for its locks.
SET LOCAL statement_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '10s';
-- `on`, unless it is stricter already. With `off`, `local` and `remote_write` a commit returns before it is on the disks of this
-- server and of its synchronous standbys (postgresql.org/docs/15/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT).
SELECT WHERE CASE
    WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN false
    ELSE set_config('synchronous_commit', 'on', true) IS NULL
END
