-- The shards of the node that executes this, in the order of their hashes: the number of the counts' shard, its first and last
-- hash, and the tables of the pages, the counts, the marks and the counted parts.
SELECT counts.shardid AS number, counts.shardminvalue::integer AS first_hash, counts.shardmaxvalue::integer AS last_hash,
    shard_name(pages.logicalrelid, pages.shardid) AS pages,
    shard_name(counts.logicalrelid, counts.shardid) AS page_views,
    shard_name(marks.logicalrelid, marks.shardid) AS stale_pages,
    shard_name(parts.logicalrelid, parts.shardid) AS counted_parts
FROM pg_dist_shard AS counts
JOIN pg_dist_placement AS placement ON placement.shardid = counts.shardid
JOIN pg_dist_local_group AS here ON here.groupid = placement.groupid
JOIN pg_dist_shard AS pages ON pages.logicalrelid = 'pages'::regclass AND pages.shardminvalue = counts.shardminvalue
JOIN pg_dist_shard AS marks ON marks.logicalrelid = 'stale_pages'::regclass AND marks.shardminvalue = counts.shardminvalue
JOIN pg_dist_shard AS parts ON parts.logicalrelid = 'counted_parts'::regclass AND parts.shardminvalue = counts.shardminvalue
WHERE counts.logicalrelid = 'page_views'::regclass
ORDER BY 2
