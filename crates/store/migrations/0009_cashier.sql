-- The mall's own cashier. Whatever it is asked for has an idempotency key that is written down here before: its
-- number, and when it was made. The cashier forgets keys after a day; a key that is nearly as old is not used again.

-- The cashier's customer of a SIM: never another partner's, never found by e-mail.
CREATE TABLE cashier_customers (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    key_no BIGINT NOT NULL,
    key_at BIGINT NOT NULL,
    -- Empty until it is known.
    customer_id TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, iccid)
);

-- The cashier's part of an order's payment: one PaymentIntent, always the same.
CREATE TABLE cashier_payments (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    key_no BIGINT NOT NULL,
    key_at BIGINT NOT NULL,
    customer_id TEXT NOT NULL,
    -- Empty until it is known.
    intent_id TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    -- From when it is followed, and when the cashier was last asked.
    begun_at BIGINT NOT NULL,
    asked_at BIGINT,
    -- Why the last try to pay was declined; empty otherwise.
    decline_code TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id)
);
CREATE UNIQUE INDEX cashier_payments_intent ON cashier_payments (mode, intent_id) WHERE intent_id <> '';

-- Events as they came, each once. They say that something is to be looked at, and nothing else is taken from them.
CREATE TABLE cashier_events (
    mode TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    -- Whose they are; empty where that is nobody's here.
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (mode, event_id)
);
CREATE INDEX cashier_events_order ON cashier_events (mode, partner_id, order_id, received_at);
CREATE INDEX cashier_events_age ON cashier_events (received_at);

CREATE TABLE refunds (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    intent_id TEXT NOT NULL,
    minor BIGINT NOT NULL CHECK (minor > 0),
    currency TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'pending', 'succeeded', 'failed')),
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    key_no BIGINT NOT NULL,
    key_at BIGINT NOT NULL,
    -- Empty until it is known.
    cashier_id TEXT NOT NULL,
    failure TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, refund_id)
);
CREATE INDEX refunds_order ON refunds (mode, partner_id, order_id);
CREATE UNIQUE INDEX refunds_cashier ON refunds (mode, cashier_id) WHERE cashier_id <> '';

-- Postings get a reference, so that an order may have several refunds, fees and disputes. The table is made anew,
-- since a check and a key cannot be changed on both engines.
CREATE TABLE postings_by_reference (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN
        ('sale', 'reversal', 'refund', 'refund_failed', 'fee', 'dispute', 'dispute_won', 'settlement')),
    reference TEXT NOT NULL DEFAULT '',
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    minor BIGINT NOT NULL CHECK (minor >= 0),
    currency TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id, kind, reference),
    CHECK (debit <> credit)
);
INSERT INTO postings_by_reference
    (mode, partner_id, order_id, kind, debit, credit, minor, currency, created_at)
    SELECT mode, partner_id, order_id, kind, debit, credit, minor, currency, created_at FROM postings;
DROP TABLE postings;
ALTER TABLE postings_by_reference RENAME TO postings;
