-- The transactions that are prepared on the node that executes this.
SELECT coalesce(string_agg(gid, ' '), '') FROM pg_prepared_xacts WHERE database = current_database()
