-- Parts of operations on groups that are due: they have a share of the workers of their own, and are not looked for behind
-- the orders that wait.
CREATE INDEX jobs_group_parts ON jobs (run_at) WHERE state = 'ready' AND kind = 'group_chunk';
