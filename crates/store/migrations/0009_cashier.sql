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
    -- The SetupIntent that saves the card of an auto-renewal; empty until there is one.
    setup_id TEXT NOT NULL,
    -- From when it is followed, and when the cashier was last asked.
    begun_at BIGINT NOT NULL,
    asked_at BIGINT,
    -- Why the last try to pay was declined; empty otherwise.
    decline_code TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id)
);
CREATE UNIQUE INDEX cashier_payments_intent ON cashier_payments (mode, intent_id) WHERE intent_id <> '';

-- What an auto-renewal costs at the cashier: a product and a price, made once for each of a partner's offers.
CREATE TABLE cashier_prices (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    plan_code TEXT NOT NULL,
    -- The length, the amount and the currency.
    offer TEXT NOT NULL,
    key_no BIGINT NOT NULL,
    key_at BIGINT NOT NULL,
    -- Empty until they are known.
    product_id TEXT NOT NULL,
    price_id TEXT NOT NULL,
    PRIMARY KEY (mode, partner_id, plan_code, offer)
);

-- Subscriptions at the cashier: one for the order with which an auto-renewal begins.
CREATE TABLE cashier_subscriptions (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    key_no BIGINT NOT NULL,
    key_at BIGINT NOT NULL,
    -- With which card it is being made; empty while none is.
    method_id TEXT NOT NULL,
    -- Empty until it is known.
    subscription_id TEXT NOT NULL,
    product_id TEXT NOT NULL,
    -- The cashier's word.
    status TEXT NOT NULL,
    period_ends_at BIGINT,
    -- Of an invoice that is not paid: why, and when it is tried again.
    decline_code TEXT NOT NULL,
    next_try_at BIGINT,
    -- It is to be ended at the cashier.
    ends BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id)
);
CREATE UNIQUE INDEX cashier_subscriptions_id
    ON cashier_subscriptions (mode, subscription_id) WHERE subscription_id <> '';

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
