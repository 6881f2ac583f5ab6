-- What carriers last said of SIMs, so that they are not asked more often than they allow.
CREATE TABLE sim_reports (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    -- JSON, in a form that the mall alone reads.
    report TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (mode, partner_id, iccid)
);
