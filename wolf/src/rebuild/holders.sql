-- The transactions that hold a lock on the report, oldest first, at most $1 (bigint) of them: their process, the name that
-- the application gave itself, and for how many seconds they are open.
SELECT
    locks.pid,
    nullif(application_name, '') AS application_name,
    extract(epoch FROM clock_timestamp() - xact_start)::bigint AS open_s
FROM (
    SELECT DISTINCT pid FROM pg_locks
    WHERE locktype = 'relation' AND granted AND relation = to_regclass('page_views_report')
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pid IS DISTINCT FROM pg_backend_pid()
) AS locks
LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
ORDER BY xact_start NULLS LAST
LIMIT $1
