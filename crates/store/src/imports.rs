//! Imports: their state, their staged parts and their errors. What they write is in `bulk.rs`.

use domain::id::{ImportId, PartnerId};
use domain::import::{ImportKind, ImportState};
use domain::{Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row, StoreError};
use crate::partners::words;

statements! {
    INSERT = "INSERT INTO imports (mode, import_id, kind, partner_id, file_name, sha256, state,
        dry_run, columns, parts, lines, records, bytes, is_cut, step, records_done, new_count,
        changed_count, unchanged_count, skipped_count, error_count, token_id,
        token_name, request_id, version,
        created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'staging', false, '', 0, 0, 0, 0, false, 0, 0, 0, 0, 0, 0,
        0, '', '', '', 0, $7, $7)";
    FIND = "SELECT import_id, kind, partner_id, file_name, sha256, state, dry_run, columns, parts,
        lines, records, bytes, is_cut, step, records_done, new_count, changed_count,
        unchanged_count, skipped_count, error_count, token_id,
        token_name, request_id, version, created_at,
        updated_at FROM imports WHERE mode = $1 AND import_id = $2";
    /// The newest import of the same file that can still be gone on with.
    OF_FILE = "SELECT import_id, kind, partner_id, file_name, sha256, state, dry_run, columns, parts,
        lines, records, bytes, is_cut, step, records_done, new_count, changed_count,
        unchanged_count, skipped_count, error_count, token_id,
        token_name, request_id, version, created_at,
        updated_at FROM imports WHERE mode = $1 AND sha256 = $2 AND kind = $3 AND partner_id = $4
        AND (state = 'applying'
        OR state IN ('staging', 'validating', 'checked') AND error_count = 0)
        ORDER BY import_id DESC LIMIT 1";
    UPDATE = "UPDATE imports SET sha256 = $4, state = $5, dry_run = $6, columns = $7, parts = $8,
        lines = $9, records = $10, bytes = $11, is_cut = $12, step = $13, records_done = $14,
        new_count = $15, changed_count = $16, unchanged_count = $17, skipped_count = $18,
        error_count = $19, token_id = $20, token_name = $21, request_id = $22, updated_at = $23,
        version = version + 1
        WHERE mode = $1 AND import_id = $2 AND version = $3";
    /// Changes nothing, but waits for whoever did so before.
    HOLD = "UPDATE catalogues SET version = version WHERE mode = $1";
    OPEN = "SELECT COUNT(*) AS count FROM imports
        WHERE mode = $1 AND state IN ('staging', 'checked')";
    DELETE = "DELETE FROM imports WHERE mode = $1 AND import_id = $2";
    INSERT_PART = "INSERT INTO import_parts (mode, import_id, part_no, first_line, first_record,
        records, sha256, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    PART_DIGEST = "SELECT first_line, sha256 FROM import_parts
        WHERE mode = $1 AND import_id = $2 AND part_no = $3";
    /// The part in which the record after $3 others stands.
    PART_AT = "SELECT part_no, first_line, first_record, records, body FROM import_parts
        WHERE mode = $1 AND import_id = $2 AND first_record <= $3
        AND first_record + records > $3 ORDER BY part_no LIMIT 1";
    /// The next part after the one with the number $3.
    PART_AFTER = "SELECT part_no, first_line, first_record, records, body FROM import_parts
        WHERE mode = $1 AND import_id = $2 AND part_no > $3 ORDER BY part_no LIMIT 1";
    DELETE_PARTS = "DELETE FROM import_parts WHERE (mode, import_id, part_no) IN (
        SELECT mode, import_id, part_no FROM import_parts WHERE mode = $1 AND import_id = $2
        ORDER BY part_no LIMIT $3)";
    DELETE_PARTS_UNTIL = "DELETE FROM import_parts
        WHERE mode = $1 AND import_id = $2 AND first_record + records <= $3";
    INSERT_ERROR = "INSERT INTO import_errors (mode, import_id, line_no, column_name, detail)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mode, import_id, line_no, column_name) DO NOTHING";
    ERRORS = "SELECT line_no, column_name, detail FROM import_errors
        WHERE mode = $1 AND import_id = $2 ORDER BY line_no, column_name LIMIT $3";
    DELETE_ERRORS = "DELETE FROM import_errors WHERE mode = $1 AND import_id = $2";
}

/// What an import did, or would do, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Rows that were not there.
    pub new: i64,
    /// Rows that differed.
    pub changed: i64,
    /// Rows that were the same already.
    pub unchanged: i64,
    /// Rows that became impossible after validation; each is among the errors.
    pub skipped: i64,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Live or test.
    pub mode: Mode,
    /// Its id.
    pub id: ImportId,
    /// What the file holds.
    pub kind: ImportKind,
    /// Whose SIMs they are.
    pub partner_id: Option<PartnerId>,
    /// The file's name at the client, for people.
    pub file_name: String,
    /// The SHA-256 of the file in hexadecimal: as announced, else once it is known; empty until then.
    pub sha256: String,
    /// How far it is.
    pub state: ImportState,
    /// Whether it ends after validation.
    pub dry_run: bool,
    /// The header's names in the file's order.
    pub columns: Vec<String>,
    /// How many parts are staged.
    pub parts: i64,
    /// How many lines these have, the header and empty ones too.
    pub lines: i64,
    /// How many records these have.
    pub records: i64,
    /// How many bytes these have.
    pub bytes: i64,
    /// Whether the last part ended without a line feed, so that nothing can follow it.
    pub is_cut: bool,
    /// How many steps of the validation are done.
    pub step: i64,
    /// How many records are done in this state.
    pub records_done: i64,
    /// What it did, or would do.
    pub tally: Tally,
    /// How many errors it has; the first of them are stored.
    pub error_count: i64,
    /// Whose token asked for it to be applied.
    pub token_id: String,
    /// That token's name.
    pub token_name: String,
    /// In which request.
    pub request_id: String,
    version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something last happened to it.
    pub updated_at: Timestamp,
}

/// An import to be made.
#[derive(Debug, Clone)]
pub struct NewImport<'a> {
    /// Live or test.
    pub mode: Mode,
    /// Its id.
    pub id: ImportId,
    /// What the file holds.
    pub kind: ImportKind,
    /// Whose SIMs they are.
    pub partner_id: Option<PartnerId>,
    /// The file's name at the client.
    pub file_name: &'a str,
    /// The SHA-256 as announced; may be empty.
    pub sha256: &'a str,
}

/// A staged part of a file.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ImportPart {
    /// Its number, from 1.
    pub part_no: i64,
    /// The number of its first line in the file, from 1.
    pub first_line: i64,
    /// How many records stand before it.
    pub first_record: i64,
    /// How many records it has.
    pub records: i64,
    /// Its text.
    pub body: String,
}

/// What is wrong at a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ImportError {
    /// The line's number in the file, from 1.
    pub line_no: i64,
    /// The column's name; empty where it is about the whole line.
    pub column_name: String,
    /// What is wrong, and what to do.
    pub detail: String,
}

#[derive(sqlx::FromRow)]
struct ImportRow {
    import_id: String,
    kind: String,
    partner_id: String,
    file_name: String,
    sha256: String,
    state: String,
    dry_run: bool,
    columns: String,
    parts: i64,
    lines: i64,
    records: i64,
    bytes: i64,
    is_cut: bool,
    step: i64,
    records_done: i64,
    new_count: i64,
    changed_count: i64,
    unchanged_count: i64,
    skipped_count: i64,
    error_count: i64,
    token_id: String,
    token_name: String,
    request_id: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl ImportRow {
    fn into_import(self, mode: Mode) -> Result<Import> {
        let row = Row { table: "imports", key: &self.import_id };
        let partner_id = match self.partner_id.as_str() {
            "" => None,
            id => Some(row.parse("partner_id", id)?),
        };
        Ok(Import {
            mode,
            id: row.parse("import_id", &self.import_id)?,
            kind: row.parse("kind", &self.kind)?,
            partner_id,
            state: row.parse("state", &self.state)?,
            columns: words(&self.columns).map(str::to_owned).collect(),
            file_name: self.file_name,
            sha256: self.sha256,
            dry_run: self.dry_run,
            parts: self.parts,
            lines: self.lines,
            records: self.records,
            bytes: self.bytes,
            is_cut: self.is_cut,
            step: self.step,
            records_done: self.records_done,
            tally: Tally {
                new: self.new_count,
                changed: self.changed_count,
                unchanged: self.unchanged_count,
                skipped: self.skipped_count,
            },
            error_count: self.error_count,
            token_id: self.token_id,
            token_name: self.token_name,
            request_id: self.request_id,
            version: self.version,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct CountRow {
    count: i64,
}

#[derive(sqlx::FromRow)]
struct DigestRow {
    first_line: i64,
    sha256: String,
}

fn partner_text(partner_id: Option<PartnerId>) -> String {
    partner_id.map(|id| id.to_string()).unwrap_or_default()
}

impl Tx {
    /// Makes all who begin an import in a mode wait for each other, until the end of the transaction.
    pub async fn hold_imports(&mut self, mode: Mode) -> Result<()> {
        execute!(self, HOLD, mode.as_str())?;
        Ok(())
    }

    /// Makes an import.
    pub async fn insert_import(&mut self, new: &NewImport<'_>, now: Timestamp) -> Result<()> {
        execute!(
            self,
            INSERT,
            new.mode.as_str(),
            new.id.to_string(),
            new.kind.as_str(),
            partner_text(new.partner_id),
            new.file_name,
            new.sha256,
            now.as_micros(),
        )?;
        Ok(())
    }

    /// An import.
    pub async fn import(&mut self, mode: Mode, id: ImportId) -> Result<Option<Import>> {
        let row = fetch_optional!(self, ImportRow, FIND, mode.as_str(), id.to_string())?;
        row.map(|row| row.into_import(mode)).transpose()
    }

    /// The newest import of a file that can still be gone on with.
    pub async fn import_of_file(&mut self, new: &NewImport<'_>) -> Result<Option<Import>> {
        let (mode, partner) = (new.mode.as_str(), partner_text(new.partner_id));
        let kind = new.kind.as_str();
        let row = fetch_optional!(self, ImportRow, OF_FILE, mode, new.sha256, kind, partner)?;
        row.map(|row| row.into_import(new.mode)).transpose()
    }

    /// How many imports are staged and not applied.
    pub async fn open_imports(&mut self, mode: Mode) -> Result<i64> {
        let row = fetch_optional!(self, CountRow, OPEN, mode.as_str())?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// Writes what happened to an import, provided that nobody else was faster.
    pub async fn update_import(&mut self, import: &mut Import, now: Timestamp) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            import.mode.as_str(),
            import.id.to_string(),
            import.version,
            &import.sha256,
            import.state.as_str(),
            import.dry_run,
            import.columns.join(","),
            import.parts,
            import.lines,
            import.records,
            import.bytes,
            import.is_cut,
            import.step,
            import.records_done,
            import.tally.new,
            import.tally.changed,
            import.tally.unchanged,
            import.tally.skipped,
            import.error_count,
            &import.token_id,
            &import.token_name,
            &import.request_id,
            now.as_micros(),
        )?;
        if changed != 1 {
            return Err(StoreError::Changed("the import"));
        }
        import.version += 1;
        import.updated_at = now;
        Ok(())
    }

    /// Deletes an import that has no parts left.
    pub async fn delete_import(&mut self, import: &Import) -> Result<()> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        execute!(self, DELETE_ERRORS, mode, &id)?;
        execute!(self, DELETE, mode, &id)?;
        Ok(())
    }

    /// Stages a part.
    pub async fn insert_import_part(
        &mut self,
        import: &Import,
        part: &ImportPart,
        sha256: &str,
    ) -> Result<()> {
        execute!(
            self,
            INSERT_PART,
            import.mode.as_str(),
            import.id.to_string(),
            part.part_no,
            part.first_line,
            part.first_record,
            part.records,
            sha256,
            &part.body,
        )?;
        Ok(())
    }

    /// The first line and the SHA-256 of a staged part.
    pub async fn import_part_digest(
        &mut self,
        import: &Import,
        part_no: i64,
    ) -> Result<Option<(i64, String)>> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        let row = fetch_optional!(self, DigestRow, PART_DIGEST, mode, id, part_no)?;
        Ok(row.map(|row| (row.first_line, row.sha256)))
    }

    /// The part in which the record after `before` others stands.
    pub async fn import_part_at(
        &mut self,
        import: &Import,
        before: i64,
    ) -> Result<Option<ImportPart>> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        Ok(fetch_optional!(self, ImportPart, PART_AT, mode, id, before)?)
    }

    /// The next part after one with a number.
    pub async fn import_part_after(
        &mut self,
        import: &Import,
        part_no: i64,
    ) -> Result<Option<ImportPart>> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        Ok(fetch_optional!(self, ImportPart, PART_AFTER, mode, id, part_no)?)
    }

    /// Deletes some parts of an import; gives how many there were.
    pub async fn delete_import_parts(&mut self, import: &Import, limit: i64) -> Result<u64> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        Ok(execute!(self, DELETE_PARTS, mode, id, limit)?)
    }

    /// Deletes the parts whose records are all among the first `done`.
    pub async fn delete_applied_parts(&mut self, import: &Import, done: i64) -> Result<()> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        execute!(self, DELETE_PARTS_UNTIL, mode, id, done)?;
        Ok(())
    }

    /// Adds an error to an import; the first one at a place stays. `false` where there was one.
    pub async fn insert_import_error(
        &mut self,
        import: &Import,
        error: &ImportError,
    ) -> Result<bool> {
        let (mode, id) = (import.mode.as_str(), import.id.to_string());
        let (column, detail) = (&error.column_name, &error.detail);
        let added = execute!(self, INSERT_ERROR, mode, id, error.line_no, column, detail)?;
        Ok(added == 1)
    }

    /// The first errors of an import, by line and column.
    pub async fn import_errors(
        &mut self,
        mode: Mode,
        id: ImportId,
        limit: i64,
    ) -> Result<Vec<ImportError>> {
        Ok(fetch_all!(self, ImportError, ERRORS, mode.as_str(), id.to_string(), limit)?)
    }
}
