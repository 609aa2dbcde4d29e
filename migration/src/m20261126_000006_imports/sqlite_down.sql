DROP TABLE import_counts;
DROP TABLE import_chunks;
DROP TABLE imports;
DROP INDEX idempotency_keys_of_imports;
