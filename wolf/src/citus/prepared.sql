-- Of each node, whether it could be asked, and the transactions that are prepared there or why it could not.
SELECT success, result
FROM run_command_on_all_nodes(
    $$SELECT coalesce(string_agg(gid, ' '), '') FROM pg_prepared_xacts WHERE database = current_database()$$
)
