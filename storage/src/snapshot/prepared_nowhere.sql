-- Whether every node tells that no transaction of Citus is prepared there.
SELECT coalesce(bool_and(success AND result = 'f'), false)
FROM run_command_on_all_nodes($$
    SELECT pg_is_in_recovery()
        OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, 'citus_'))
$$)
