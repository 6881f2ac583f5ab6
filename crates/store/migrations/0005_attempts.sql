-- What was asked of carriers for an order, written before a byte leaves. Carriers inside this process are
-- asked without: there only what did not end at once is written.
CREATE TABLE attempts (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    attempt_no BIGINT NOT NULL,
    carrier TEXT NOT NULL,
    carrier_product TEXT NOT NULL,
    upstream_key TEXT NOT NULL,
    iccid TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('reading', 'sending', 'accepted', 'unclear', 'done', 'refused', 'put_off')),
    -- Whether no other order of the SIM may be sent meanwhile.
    holds_sim BOOLEAN NOT NULL,
    -- What was on the SIM before, in a form that only the carrier's module reads.
    snapshot TEXT NOT NULL,
    upstream_id TEXT NOT NULL,
    -- What the carrier said, without secrets: a line with the time for each time that it said something new.
    said TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    -- When it said something last.
    heard_at BIGINT,
    PRIMARY KEY (mode, partner_id, order_id, attempt_no)
);
-- An order has one live attempt at most, and so has a SIM.
CREATE UNIQUE INDEX attempts_live ON attempts (mode, partner_id, order_id)
    WHERE state IN ('reading', 'sending', 'accepted', 'unclear');
CREATE UNIQUE INDEX attempts_sim ON attempts (mode, partner_id, iccid) WHERE holds_sim;
-- What a carrier's notification names.
CREATE INDEX attempts_upstream ON attempts (mode, carrier, upstream_id)
    WHERE state IN ('reading', 'sending', 'accepted', 'unclear');

-- Which other carriers may provide a package if its own refuses for good, in their order: words of
-- CARRIER:PRODUCT, with spaces between them.
ALTER TABLE packages ADD COLUMN route TEXT NOT NULL DEFAULT '';

-- The number of the order that a request is about; empty where it is about none.
ALTER TABLE request_log ADD COLUMN order_no TEXT NOT NULL DEFAULT '';
