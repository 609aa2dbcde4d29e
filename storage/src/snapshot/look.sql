-- Whether the snapshot sees {relation}, which this locks against a swap; and whether the database has Citus, which takes no
-- subquery without columns, and would collect all rows of one without a limit.
SELECT
    EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass('{relation}')),
    EXISTS (SELECT 1 FROM {relation} LIMIT 1),
    to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL
