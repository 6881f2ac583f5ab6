-- Orders that nobody has begun: beside a backlog, those that came last are found at once. An order whose job is
-- claimed as it is written is never in it.
CREATE INDEX jobs_new_orders ON jobs (run_at)
    WHERE state = 'ready' AND kind = 'provision' AND first_run_at IS NULL;
