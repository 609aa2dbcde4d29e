DROP TABLE counted_parts;
ALTER TABLE idempotency_keys DROP COLUMN claim;
DROP SEQUENCE claims;
