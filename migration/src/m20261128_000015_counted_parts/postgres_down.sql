-- A cluster shuts out programs that do not know the parts.
UPDATE program_versions SET oldest_allowed = 'm20261127_000011_groups'
WHERE oldest_allowed = 'm20261128_000015_counted_parts';
DROP TABLE counted_parts;
ALTER TABLE idempotency_keys DROP COLUMN claim;
DROP SEQUENCE claims;
