-- The last try to tell an event stands in its delivery's row: one that succeeds at once writes no other. Those before it
-- go to push_attempts, as those do that were made before this migration.
ALTER TABLE push_deliveries ADD COLUMN tried_at BIGINT;
ALTER TABLE push_deliveries ADD COLUMN latency_micros BIGINT;
ALTER TABLE push_deliveries ADD COLUMN status BIGINT;
ALTER TABLE push_deliveries ADD COLUMN failure TEXT;
ALTER TABLE push_deliveries ADD COLUMN said TEXT;
