-- How far a mode's business time is ahead of real time. A mode without a row, and live always, is not.
CREATE TABLE mode_clocks (
    mode TEXT PRIMARY KEY CHECK (mode = 'test'),
    -- Microseconds; it never shrinks.
    ahead BIGINT NOT NULL CHECK (ahead >= 0)
);

-- Whether `run_at` is the end of a lease, which is real time, and not a date, which moves with the mode's clock.
ALTER TABLE jobs ADD COLUMN leased BOOLEAN NOT NULL DEFAULT FALSE;
