-- The transactions of Citus that are prepared on the node that executes this. Null on a standby, which does not tell.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN coalesce(string_agg(gid, ' '), '') END
FROM pg_prepared_xacts
WHERE database = current_database() AND starts_with(gid, 'citus_')
