-- Groups: SIMs of a partner that share a bundle. Needs nothing of 0013.

CREATE TABLE sim_groups (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'stopped', 'throttled', 'ended')),
    sim_limit BIGINT NOT NULL CHECK (sim_limit >= 0),
    -- SIMs that are in it, and SIMs that take up one of its places: those that join or wait for a person as well.
    sim_count BIGINT NOT NULL CHECK (sim_count >= 0),
    held_count BIGINT NOT NULL CHECK (held_count >= 0),
    -- The place in the list that the next SIM gets, and the number of its newest operation.
    next_place BIGINT NOT NULL,
    operation_no BIGINT NOT NULL,
    -- The bundle.
    plan_code TEXT NOT NULL,
    package_code TEXT NOT NULL,
    unit TEXT NOT NULL,
    periods BIGINT NOT NULL CHECK (periods > 0),
    calendar BOOLEAN NOT NULL,
    volume_bytes BIGINT,
    carrier TEXT NOT NULL,
    -- What its carrier calls the group.
    carrier_group TEXT NOT NULL,
    -- The period that runs or ran last, from when its calendar's units are counted, and since when its usage is, which is
    -- real time.
    period_no BIGINT NOT NULL,
    counted_from BIGINT NOT NULL,
    effective_at BIGINT NOT NULL,
    expire_at BIGINT NOT NULL,
    metered_from BIGINT NOT NULL,
    at_limit TEXT NOT NULL CHECK (at_limit IN ('stop', 'throttle', 'renew')),
    at_end TEXT NOT NULL CHECK (at_end IN ('renew', 'end')),
    used_bytes BIGINT NOT NULL,
    -- When the carrier said so.
    used_at BIGINT,
    -- The highest part of the volume, of a hundred, that was told in this period.
    told BIGINT NOT NULL,
    -- What the carrier does with the group's data; NULL while it is asked, until that is known.
    carrier_policy TEXT CHECK (carrier_policy IN ('open', 'throttled', 'stopped')),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, group_id)
);
-- No two groups are one at a carrier, whosever they are.
CREATE UNIQUE INDEX sim_groups_at_carrier ON sim_groups (carrier, carrier_group);

-- A SIM in a group, on its way in or out, or in doubt: the key lets a SIM be in one at most. Written before the carrier is
-- asked.
CREATE TABLE group_members (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    group_id TEXT NOT NULL,
    -- Its place in the list.
    place BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('joining', 'member', 'leaving', 'review')),
    -- The part of an operation that moves it, or left it in doubt.
    request_id TEXT NOT NULL,
    chunk_no BIGINT NOT NULL,
    -- When it came to be in the group; whoever is in doubt was in it where this is known.
    joined_at BIGINT,
    -- How far the carrier is with it, since when it was asked, and when to look again. Real time.
    step TEXT NOT NULL CHECK (step IN ('', 'asking', 'accepted', 'unclear')),
    asked_at BIGINT,
    look_at BIGINT,
    -- What the carrier said last.
    said TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, iccid)
);
CREATE UNIQUE INDEX group_members_place ON group_members (mode, partner_id, group_id, place);
CREATE INDEX group_members_moved ON group_members (mode, partner_id, request_id, chunk_no)
    WHERE state IN ('joining', 'leaving');
CREATE INDEX group_members_review ON group_members (mode, iccid) WHERE state = 'review';

-- How many SIMs are in a group at the places of a block, so that any page of the list is found by few rows.
CREATE TABLE group_blocks (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    block_no BIGINT NOT NULL,
    sims BIGINT NOT NULL CHECK (sims >= 0),
    PRIMARY KEY (mode, partner_id, group_id, block_no)
);

-- Adding or removing SIMs.
CREATE TABLE group_operations (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    -- Its number among those of the group.
    operation_no BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ADD_SIMS', 'REMOVE_SIMS')),
    state TEXT NOT NULL
        CHECK (state IN ('ACCEPTED', 'RUNNING', 'SUCCEEDED', 'PARTIALLY_SUCCEEDED', 'FAILED')),
    -- Whether what has not begun is not to begin.
    cancelled BOOLEAN NOT NULL,
    total BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    not_begun BIGINT NOT NULL,
    in_review BIGINT NOT NULL,
    -- The caller's own key; empty where it gave none.
    idempotency_key TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    -- The operation whose failures it tries again; empty otherwise.
    retry_of TEXT NOT NULL,
    trace TEXT NOT NULL,
    -- Real time, for what counts as the same.
    asked_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    PRIMARY KEY (mode, partner_id, request_id)
);
CREATE UNIQUE INDEX group_operations_no ON group_operations (mode, partner_id, group_id, operation_no);
CREATE UNIQUE INDEX group_operations_key ON group_operations (mode, partner_id, idempotency_key)
    WHERE idempotency_key <> '';
CREATE INDEX group_operations_recent ON group_operations (mode, request_id);
CREATE INDEX group_operations_open ON group_operations (mode, partner_id, group_id, operation_no)
    WHERE finished_at IS NULL;

-- A part of an operation: its SIMs with what came of each, a line for each. One row for many SIMs, since an operation
-- of ten thousand must not hold up orders while it is written.
CREATE TABLE group_chunks (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    chunk_no BIGINT NOT NULL,
    sims BIGINT NOT NULL,
    -- How many of them are not decided, and how many did not succeed.
    open BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    -- Whether the job of the chunk that follows it was written.
    followed BOOLEAN NOT NULL,
    lines TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, request_id, chunk_no)
);

-- What became true of a group, each thing once.
CREATE TABLE group_events (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- Which one: an operation, or a period and a part of its volume.
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    happened_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, group_id, kind, subject)
);
