-- What carriers last said of SIMs, so that they are asked seldom whichever node is asked.
CREATE TABLE carrier_sims (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    iccid TEXT NOT NULL,
    question TEXT NOT NULL CHECK (question IN ('state', 'usage')),
    -- The answer in a form that the mall writes and reads; empty until there is one.
    answer TEXT NOT NULL,
    answered_at BIGINT,
    -- While somebody asks, and so long after a question that failed, nobody else does before this time.
    asking BOOLEAN NOT NULL,
    ask_after BIGINT NOT NULL,
    -- Raised by whoever asks: an answer to an earlier question is not written over a later one.
    turn BIGINT NOT NULL,
    -- Of the state: when the carrier's last notification is or was heeded.
    heed_at BIGINT,
    PRIMARY KEY (mode, partner_id, iccid, question)
);
-- The table sim_reports has nothing left to do. It stays until no node knows it any more.
