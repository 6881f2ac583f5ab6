-- What became of auto-renewals, each thing once. Needs nothing of 0010.

-- From when the calendar's units of a plan are counted: when the first plan of its unbroken row began.
ALTER TABLE sim_plans ADD COLUMN counted_from BIGINT;

-- How many periods in a row did not come.
ALTER TABLE renewals ADD COLUMN misses BIGINT NOT NULL DEFAULT 0;
CREATE INDEX renewals_recent ON renewals (mode, renewal_id);
CREATE INDEX renewals_sim ON renewals (mode, iccid, renewal_id);

-- What became true of an agreement: the key says that it did once.
CREATE TABLE renewal_events (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    renewal_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('agreed', 'succeeded', 'failed', 'cancelled', 'replaced')),
    -- Which one: the order that came, the invoice that was declined, or when the period was due that did not come.
    -- Empty where there can be one only.
    subject TEXT NOT NULL,
    -- Who did it, and why; may be empty.
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    happened_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, renewal_id, kind, subject)
);
-- An order belongs to one agreement at most.
CREATE UNIQUE INDEX renewal_events_order ON renewal_events (mode, partner_id, subject)
    WHERE kind IN ('agreed', 'succeeded');
INSERT INTO renewal_events (mode, partner_id, renewal_id, kind, subject, actor, detail, happened_at)
    SELECT mode, partner_id, renewal_id, 'agreed', order_id, '', '', agreed_at FROM renewals;
INSERT INTO renewal_events (mode, partner_id, renewal_id, kind, subject, actor, detail, happened_at)
    SELECT mode, partner_id, renewal_id, state, '', '', '', COALESCE(ended_at, agreed_at) FROM renewals
    WHERE state <> 'active';
