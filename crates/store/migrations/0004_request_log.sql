-- What partners asked and how they were answered, for them and for whoever helps them. Kept for some days
-- only. A request's id sorts by its time, so that the key serves both a list and the removal of what is old.
CREATE TABLE request_log (
    mode TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    route TEXT NOT NULL,
    status BIGINT NOT NULL,
    code TEXT NOT NULL,
    -- How a good signature was made: the scheme and what was left out, as in sign_forms; else empty.
    form TEXT NOT NULL,
    key_id TEXT NOT NULL,
    took_us BIGINT NOT NULL,
    address TEXT NOT NULL,
    trace TEXT NOT NULL,
    -- Of a signature that does not match: the content as the server built it, redacted, and the causes found.
    sign_content TEXT,
    causes TEXT,
    PRIMARY KEY (mode, partner_id, request_id)
);
-- Few requests fail, and those are looked for.
CREATE INDEX request_log_failed ON request_log (mode, partner_id, request_id)
    WHERE code <> 'SUCCESS';
