-- Gives every node the function by which it commits its own rows alone, if they do not have it yet.
SELECT create_distributed_function('hold_shards(bigint[])')
WHERE NOT EXISTS (
    SELECT FROM pg_dist_object
    WHERE classid = 'pg_proc'::regclass AND objid = 'hold_shards(bigint[])'::regprocedure
)
