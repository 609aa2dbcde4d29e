DROP INDEX idempotency_keys_to_prune;
ALTER TABLE idempotency_keys DROP COLUMN claimed_ms;
CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (recorded_at) WHERE NOT kept;

DROP INDEX report_refreshes_by_elapsed;
ALTER TABLE report_refreshes DROP COLUMN looked_at;
ALTER TABLE report_refreshes DROP COLUMN scheduled_at;
ALTER TABLE report_refreshes DROP COLUMN duration_ms;
ALTER TABLE report_refreshes DROP COLUMN elapsed_ms;

DROP TABLE refresh_clock;
