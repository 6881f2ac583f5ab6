-- Pushes: where a partner wants to be told, what it is told, and what became of telling it. Needs nothing of 0012.

-- Where pushes go. What the relay notes of one stands in its row, so that one node at a time sends to it and every
-- node knows how it does.
CREATE TABLE push_endpoints (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    -- A listener has no URL: its events are taken from the mall instead of sent.
    kind TEXT NOT NULL CHECK (kind IN ('url', 'listener')),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Event types with spaces between them; empty: all.
    events TEXT NOT NULL,
    -- One that is deleted goes with all that was told to it, a little at a time.
    state TEXT NOT NULL CHECK (state IN ('on', 'paused', 'off', 'deleted')),
    -- Why it is off, for people; empty otherwise.
    off_reason TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- The relay's lease: who holds an older fence writes nothing any more.
    leased_until BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    -- Since when nothing but failures came of it; NULL after a success, and before the first try.
    failing_since BIGINT,
    -- How many tries failed since the last success.
    failures BIGINT NOT NULL,
    -- The breaker is open: when the next probe goes out.
    probe_at BIGINT,
    -- When a try ended last, and when one succeeded last.
    tried_at BIGINT,
    succeeded_at BIGINT,
    PRIMARY KEY (mode, partner_id, endpoint_id)
);
CREATE UNIQUE INDEX push_endpoints_id ON push_endpoints (mode, endpoint_id);
-- Without what the relay writes, so that its writing touches no index.
CREATE INDEX push_endpoints_on ON push_endpoints (mode, partner_id, endpoint_id) WHERE state = 'on' AND kind = 'url';

-- An endpoint's keys, sealed; two at most while one takes the other's place.
CREATE TABLE push_keys (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- From then on nothing is signed with it; NULL: for ever.
    retires_at BIGINT,
    PRIMARY KEY (mode, partner_id, endpoint_id, key_id)
);

-- What happened, written in the transaction that made it true, where some endpoint wants to know.
CREATE TABLE push_events (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    -- What it is about: the id of an order or a group, an ICCID, or an endpoint. Events of one subject go in the order of
    -- their sequence.
    subject TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    occurred_at BIGINT NOT NULL,
    -- Real time, by which events are deleted.
    recorded_at BIGINT NOT NULL,
    -- The bytes that are signed and sent.
    body TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, event_id)
);
CREATE UNIQUE INDEX push_events_sequence ON push_events (mode, partner_id, subject, sequence);
CREATE INDEX push_events_recent ON push_events (recorded_at, event_id);

-- What each endpoint is told of an event, and how far that is.
CREATE TABLE push_deliveries (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    -- Tries that count.
    tries BIGINT NOT NULL,
    -- When it is due, if it waits; when it was decided, if not. Real time.
    due_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, endpoint_id, event_id)
);
CREATE INDEX push_deliveries_due ON push_deliveries (mode, partner_id, endpoint_id, due_at, event_id)
    WHERE state = 'waiting';
-- Whether something earlier of the same subject still waits.
CREATE INDEX push_deliveries_subject ON push_deliveries (mode, partner_id, endpoint_id, subject, sequence)
    WHERE state = 'waiting';
CREATE INDEX push_deliveries_failed ON push_deliveries (mode, partner_id, endpoint_id, subject, sequence)
    WHERE state = 'failed';

-- Every try: when, how long it took, and what was answered.
CREATE TABLE push_attempts (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    -- Real time at which it was signed and sent.
    tried_at BIGINT NOT NULL,
    latency_micros BIGINT NOT NULL,
    -- The HTTP status; NULL where no answer came.
    status BIGINT,
    -- Why no answer came: a word for programs (see `pushes::FailureKind`); empty otherwise.
    failure TEXT NOT NULL,
    -- The beginning of the answer, or words about the failure.
    said TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, endpoint_id, event_id, tried_at)
);

-- How disputes about orders stood when they were heard of last, so that each is told of once.
CREATE TABLE cashier_disputes (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    dispute_id TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id, dispute_id)
);

-- The job that ends a plan also says, a day before, that it will: it looks a day earlier from now on. Too early does no
-- harm.
UPDATE jobs SET run_at = run_at - 86400000000 WHERE kind = 'turn_plan' AND state = 'ready' AND NOT leased;
