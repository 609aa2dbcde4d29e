-- Keeps shards of a Citus cluster on this node until the transaction ends. Returns whether they are all here: their rows may be
-- changed then by the names of the shards' tables. Citus has it on every node, and lets only the owner of the tables lock them.
CREATE FUNCTION hold_shards(shards bigint[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Citus gives the function to all nodes, but does not take it from PUBLIC there.
    IF NOT has_table_privilege(session_user, (SELECT logicalrelid FROM pg_dist_shard WHERE shardid = shards[1]), 'INSERT') THEN
        RAISE insufficient_privilege;
    END IF;
    -- 5 is SHARE, which Citus itself takes for a statement that changes rows. It waits while a shard is moved.
    PERFORM lock_shard_metadata(5, shards);
    RETURN (
        SELECT count(*) FROM pg_dist_placement
        WHERE shardid = ANY (shards) AND groupid = (SELECT groupid FROM pg_dist_local_group)
    ) = cardinality(shards);
END
$$;
REVOKE ALL ON FUNCTION hold_shards(bigint[]) FROM PUBLIC;
