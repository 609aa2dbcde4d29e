-- Marks counts stale.
-- ?1: JSON, [[date, hour, [name, ...]], ...], with null in place of the names if the whole hour is marked.
INSERT INTO stale_hours (date, hour, names)
SELECT value->>0, value->>1, value->>2
FROM json_each(?1)
