-- Postings of a partner as a whole (what it paid, what it was credited) have an empty order, and their own reference.
-- Which kinds there are is checked where they are written and read: a check in the table would make every new kind a new
-- table on SQLite.
CREATE TABLE postings_of_all_kinds (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    reference TEXT NOT NULL DEFAULT '',
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    minor BIGINT NOT NULL CHECK (minor >= 0),
    currency TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, order_id, kind, reference),
    CHECK (debit <> credit)
);
INSERT INTO postings_of_all_kinds
    (mode, partner_id, order_id, kind, reference, debit, credit, minor, currency, created_at)
    SELECT mode, partner_id, order_id, kind, reference, debit, credit, minor, currency, created_at FROM postings;
DROP TABLE postings;
ALTER TABLE postings_of_all_kinds RENAME TO postings;

-- Whose money it is that came, where it bears no word of ours.
CREATE INDEX cashier_customers_id ON cashier_customers (mode, customer_id) WHERE customer_id <> '';
