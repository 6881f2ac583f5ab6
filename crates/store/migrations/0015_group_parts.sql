-- From which to which SIM a part of an operation goes, in the order of their numbers: a later operation looks at those
-- parts only that may name its SIMs. Parts that were written before may name any.
ALTER TABLE group_chunks ADD COLUMN first_iccid TEXT NOT NULL DEFAULT '';
ALTER TABLE group_chunks ADD COLUMN last_iccid TEXT NOT NULL DEFAULT 'z';
