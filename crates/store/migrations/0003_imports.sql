-- Imports: files of many rows, staged part by part, validated whole, then applied in chunks.

-- One import. `step` and `records_done` say where whoever takes it over goes on.
CREATE TABLE imports (
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    import_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sims', 'packages', 'plans', 'prices')),
    -- Whose SIMs they are; empty for the other kinds.
    partner_id TEXT NOT NULL,
    file_name TEXT NOT NULL,
    -- The SHA-256 of the file: as announced, else once it is known; empty until then.
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN ('staging', 'validating', 'invalid', 'checked', 'applying', 'applied')
    ),
    dry_run BOOLEAN NOT NULL,
    -- The header's names in the file's order, joined by commas.
    columns TEXT NOT NULL,
    parts BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    records BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- Whether the last part ended in the middle of a line, so that nothing can follow it.
    is_cut BOOLEAN NOT NULL,
    step BIGINT NOT NULL,
    records_done BIGINT NOT NULL,
    new_count BIGINT NOT NULL,
    changed_count BIGINT NOT NULL,
    unchanged_count BIGINT NOT NULL,
    skipped_count BIGINT NOT NULL,
    error_count BIGINT NOT NULL,
    -- Whose token asked for it to be applied, and in which request.
    token_id TEXT NOT NULL,
    token_name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (mode, import_id)
);
CREATE INDEX imports_file ON imports (mode, sha256, import_id);
CREATE INDEX imports_open ON imports (mode) WHERE state IN ('staging', 'checked');

-- A staged part of the file; gone once it is applied.
CREATE TABLE import_parts (
    mode TEXT NOT NULL,
    import_id TEXT NOT NULL,
    part_no BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    first_record BIGINT NOT NULL,
    records BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (mode, import_id, part_no),
    FOREIGN KEY (mode, import_id) REFERENCES imports (mode, import_id)
);

-- The first errors of an import, each at a line and a column of the file.
CREATE TABLE import_errors (
    mode TEXT NOT NULL,
    import_id TEXT NOT NULL,
    line_no BIGINT NOT NULL,
    column_name TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (mode, import_id, line_no, column_name),
    FOREIGN KEY (mode, import_id) REFERENCES imports (mode, import_id)
);
