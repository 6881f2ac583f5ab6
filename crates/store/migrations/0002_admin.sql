-- Administration: operators' tokens, and what they changed. Both belong to no partner and to no mode.

-- The hash is a MAC over id, role, expiry and secret under a key that is not in the database.
CREATE TABLE admin_tokens (
    token_id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT,
    retired_at BIGINT,
    PRIMARY KEY (token_id)
);

-- One row per change, written in the change's own transaction with a MAC over itself. A background task
-- gives it its place in the chain and the chain's MAC.
CREATE TABLE audit (
    audit_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    token_id TEXT NOT NULL,
    token_name TEXT NOT NULL,
    action TEXT NOT NULL,
    mode TEXT NOT NULL,
    object TEXT NOT NULL,
    before_json TEXT NOT NULL,
    after_json TEXT NOT NULL,
    request_id TEXT NOT NULL,
    entry_mac BYTEA NOT NULL,
    sequence BIGINT,
    mac BYTEA,
    PRIMARY KEY (audit_id)
);
-- A place in the chain is taken once, however many nodes seal.
CREATE UNIQUE INDEX audit_sequence ON audit (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (audit_id) WHERE sequence IS NULL;
CREATE INDEX audit_object ON audit (object, audit_id);
CREATE INDEX audit_token ON audit (token_id, audit_id);

-- How operators look for orders and jobs across partners. An order's id sorts by its time; few orders are
-- in an unsettled state for long, and few jobs are dead.
CREATE INDEX orders_recent ON orders (mode, order_id);
CREATE INDEX orders_unsettled ON orders (mode, state, order_id)
    WHERE state IN ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW', 'REFUNDING', 'REFUNDED');
CREATE INDEX jobs_dead ON jobs (mode, partner_id, job_id) WHERE state = 'dead';
