-- Whether the snapshot sees {relation}, which this locks against a swap; whether the database has Citus, which takes no subquery
-- without columns, and asks no node for no rows; and whether it is a standby.
SELECT
    EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass('{relation}')),
    EXISTS (SELECT 1 FROM {relation} WHERE false LIMIT 1),
    to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL,
    pg_is_in_recovery()
