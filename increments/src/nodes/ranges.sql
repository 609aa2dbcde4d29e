-- The ranges of hashes of the pages' shards, in order, and where the node of each is reached that takes commits of its own.
-- Only shards with one placement: Citus has to write to all that there are.
-- $1: a name, whose hash comes with each row.
SELECT
    shard.shardminvalue::integer, shard.shardmaxvalue::integer, node.groupid, node.nodename, node.nodeport, hashtext($1 COLLATE "C")
FROM pg_dist_shard AS shard
JOIN pg_dist_placement AS placement USING (shardid)
JOIN pg_dist_node AS node USING (groupid)
WHERE shard.logicalrelid = 'pages'::regclass
    AND (SELECT count(*) FROM pg_dist_placement AS every WHERE every.shardid = shard.shardid) = 1
    AND node.noderole = 'primary' AND node.hasmetadata AND node.metadatasynced
ORDER BY 1
