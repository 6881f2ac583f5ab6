-- The mall's first schema. One text for SQLite and PostgreSQL: TEXT, BIGINT, BOOLEAN, BYTEA only.
-- Every key begins with what one would shard by: the mode, then the partner where a row has one.
-- Times are microseconds since the Unix epoch, money is minor units.

CREATE TABLE partners (
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    partner_id TEXT NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    suspended BOOLEAN NOT NULL,
    schemes TEXT NOT NULL,
    ip_allowlist TEXT NOT NULL,
    currency TEXT NOT NULL,
    settlement_currency TEXT NOT NULL,
    zone TEXT NOT NULL,
    locale TEXT NOT NULL,
    response_style TEXT NOT NULL,
    checks_luhn BOOLEAN NOT NULL,
    checks_pay_amount BOOLEAN NOT NULL,
    -- Raised by every change of the partner, its keys or its prices: what a node has cached of them is good
    -- as long as this number stands.
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id)
);
CREATE UNIQUE INDEX partners_code ON partners (mode, code);

-- Signing keys, sealed; a retired one is kept to recognise who still uses it.
CREATE TABLE partner_keys (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (mode, partner_id, key_id),
    FOREIGN KEY (mode, partner_id) REFERENCES partners (mode, partner_id)
);

-- Which tolerated forms of signature a partner was seen to use.
CREATE TABLE sign_forms (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    form TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, form)
);

-- What a partner may owe, and owes. The statement that books an order checks the limit.
CREATE TABLE credits (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    limit_minor BIGINT NOT NULL CHECK (limit_minor >= 0),
    used_minor BIGINT NOT NULL CHECK (used_minor >= 0),
    PRIMARY KEY (mode, partner_id, currency)
);

CREATE TABLE sims (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    sim_id TEXT NOT NULL,
    carrier TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, iccid)
);
-- A card is in one partner's stock only.
CREATE UNIQUE INDEX sims_iccid ON sims (mode, iccid);

-- Raised by every change of a mode's packages or plans, like the version of a partner.
CREATE TABLE catalogues (
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    version BIGINT NOT NULL,
    PRIMARY KEY (mode)
);
INSERT INTO catalogues (mode, version) VALUES ('live', 0), ('test', 0);

CREATE TABLE packages (
    mode TEXT NOT NULL,
    code TEXT NOT NULL,
    unit TEXT NOT NULL,
    calendar BOOLEAN NOT NULL,
    volume_bytes BIGINT,
    area TEXT NOT NULL,
    countries TEXT NOT NULL,
    carrier TEXT NOT NULL,
    carrier_product TEXT NOT NULL,
    PRIMARY KEY (mode, code)
);

CREATE TABLE plans (
    mode TEXT NOT NULL,
    code TEXT NOT NULL,
    plan_id TEXT NOT NULL,
    package_code TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    periods TEXT NOT NULL,
    renewable BOOLEAN NOT NULL,
    on_sale BOOLEAN NOT NULL,
    PRIMARY KEY (mode, code),
    FOREIGN KEY (mode, package_code) REFERENCES packages (mode, code)
);
CREATE UNIQUE INDEX plans_plan_id ON plans (mode, plan_id);

-- A partner's price book. A price is in force from valid_from until before valid_to.
CREATE TABLE prices (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    price_id TEXT NOT NULL,
    plan_code TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sale', 'settlement')),
    currency TEXT NOT NULL,
    minor BIGINT NOT NULL CHECK (minor >= 0),
    valid_from BIGINT NOT NULL,
    valid_to BIGINT,
    PRIMARY KEY (mode, partner_id, price_id)
);
CREATE UNIQUE INDEX prices_begin
    ON prices (mode, partner_id, plan_code, kind, currency, valid_from);

-- An order and its payment: one row, because an order has one payment and every order writes both.
CREATE TABLE orders (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    order_no TEXT NOT NULL,
    pay_id TEXT NOT NULL,
    request_order_id TEXT NOT NULL,
    org_order_id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('mall', 'reported')),
    iccid TEXT NOT NULL,
    plan_code TEXT NOT NULL,
    show_name TEXT NOT NULL,
    package_code TEXT NOT NULL,
    carrier TEXT NOT NULL,
    carrier_product TEXT NOT NULL,
    unit TEXT NOT NULL,
    periods BIGINT NOT NULL CHECK (periods > 0),
    calendar BOOLEAN NOT NULL,
    settle_minor BIGINT,
    settle_currency TEXT,
    auto_renewal BOOLEAN NOT NULL,
    content_hash BYTEA NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    closes_at BIGINT,
    paid_at BIGINT,
    provisioned_at BIGINT,
    -- The place of the order's plan in its SIM's queue, once it has one.
    queue_no BIGINT,
    failure_code TEXT,
    failure_message TEXT,
    upstream_id TEXT NOT NULL,
    trade_type TEXT NOT NULL,
    mark TEXT NOT NULL,
    terminal TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    pay_minor BIGINT NOT NULL CHECK (pay_minor >= 0),
    pay_currency TEXT NOT NULL,
    pay_state TEXT NOT NULL,
    pay_version BIGINT NOT NULL,
    pay_result_at BIGINT,
    transaction_id TEXT NOT NULL,
    pay_result TEXT NOT NULL,
    pay_status TEXT NOT NULL,
    pay_type TEXT NOT NULL,
    pay_account TEXT NOT NULL,
    pay_unit TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id)
);
CREATE UNIQUE INDEX orders_order_no ON orders (mode, partner_id, order_no);
CREATE UNIQUE INDEX orders_pay_id ON orders (mode, partner_id, pay_id);
CREATE UNIQUE INDEX orders_transaction
    ON orders (mode, partner_id, transaction_id) WHERE transaction_id <> '';
CREATE INDEX orders_request_no
    ON orders (mode, partner_id, request_order_id, order_id) WHERE request_order_id <> '';
CREATE INDEX orders_iccid ON orders (mode, partner_id, iccid, order_id);

-- The plans on a SIM, each at its place in the queue. That an order gives one plan rests on the order's
-- own version: whoever makes it PROVISIONED adds the plan.
CREATE TABLE sim_plans (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    queue_no BIGINT NOT NULL,
    order_id TEXT NOT NULL,
    unit TEXT NOT NULL,
    periods BIGINT NOT NULL CHECK (periods > 0),
    calendar BOOLEAN NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'in_use', 'finished', 'revoked')),
    added_at BIGINT NOT NULL,
    effective_at BIGINT,
    expires_at BIGINT,
    PRIMARY KEY (mode, partner_id, iccid, queue_no)
);
-- A SIM runs one plan at a time.
CREATE UNIQUE INDEX sim_plans_in_use ON sim_plans (mode, partner_id, iccid) WHERE state = 'in_use';

-- An order is booked once, and taken back once: the key says so.
CREATE TABLE postings (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sale', 'reversal')),
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    minor BIGINT NOT NULL CHECK (minor >= 0),
    currency TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id, kind),
    CHECK (debit <> credit)
);

CREATE TABLE renewals (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    renewal_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    order_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'cancelled', 'replaced')),
    agreed_at BIGINT NOT NULL,
    ended_at BIGINT,
    next_at BIGINT,
    renewed BOOLEAN NOT NULL,
    PRIMARY KEY (mode, partner_id, renewal_id),
    FOREIGN KEY (mode, partner_id, order_id) REFERENCES orders (mode, partner_id, order_id)
);
CREATE UNIQUE INDEX renewals_order ON renewals (mode, partner_id, order_id);
CREATE UNIQUE INDEX renewals_active ON renewals (mode, partner_id, iccid) WHERE state = 'active';

-- What must happen outside of a transaction. A job is claimed by moving run_at past its lease, under a
-- fresh fence; who holds an older fence can no longer write its outcome. The id is made of kind and
-- subject, so that a subject has one job of a kind at most.
CREATE TABLE jobs (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    trace TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'dead')),
    run_at BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    first_run_at BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, job_id)
);
CREATE INDEX jobs_due ON jobs (run_at) WHERE state = 'ready';
