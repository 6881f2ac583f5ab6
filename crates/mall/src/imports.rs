//! Imports: a file is staged part by part, checked at once for its form, then validated whole and applied
//! in chunks by a job, while orders go on.

mod check;
mod exports;
mod job;
mod lines;

use domain::id::{ImportId, PartnerId};
use domain::import::{ImportKind, ImportState};
use domain::{Mode, Span};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Import, ImportError, ImportPart, JobKind, NewImport, NewJob, Tally, Tx};
use wire::admin::import::{self as told, ERRORS_MAX, LineError, PART_BYTES_MAX, PARTS_MAX};
use wire::admin::import::{ROWS_MAX, SIMS_MAX};
use wire::admin::{FieldError, Problem};

pub use exports::ExportPage;

use crate::Mall;
use crate::admin::{Change, Operator, text};
use crate::error::Result;
use job::{add_errors, become_state};
use lines::error;

/// How long an import that nobody goes on with is kept.
const STAGING_MAX: Span = Span::days(1);
/// How long an import that is done or refused can be looked up.
const KEEP: Span = Span::days(30);
/// How many imports of a mode may be staged at a time.
const OPEN_MAX: i64 = 20;

/// The most rows of an import.
fn rows_max(kind: ImportKind) -> i64 {
    match kind {
        ImportKind::Sims => SIMS_MAX,
        ImportKind::Packages | ImportKind::Plans | ImportKind::Prices => ROWS_MAX,
    }
}

impl Mall {
    /// Makes an import, or gives the one of the same file that is not applied yet: then `false`.
    pub async fn create_import(
        &self,
        mode: Mode,
        new: &told::NewImport,
    ) -> Result<(told::Import, bool)> {
        let unknown = |error: domain::UnknownWord| Problem::field("kind", error.to_string());
        let kind: ImportKind = new.kind.parse().map_err(unknown)?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let partner_id = owner(&mut tx, mode, kind, new.partner.as_deref()).await?;
            let sha256 = new.sha256.as_deref().unwrap_or_default();
            let file_name = &new.file_name;
            let id = self.ctx.id();
            let new = NewImport { mode, id, kind, partner_id, file_name, sha256 };
            // Of two who bring the same file at once the second finds the first one's import.
            tx.hold_imports(mode).await?;
            if !sha256.is_empty()
                && let Some(found) = tx.import_of_file(&new).await?
            {
                return Ok((self.told(&mut tx, found).await?, false));
            }
            if tx.open_imports(mode).await? >= OPEN_MAX {
                let detail = format!(
                    "{OPEN_MAX} imports are staged and not applied: apply them, or wait a day until \
                     they are deleted"
                );
                return Err(Problem::conflict("TOO_MANY_IMPORTS", detail).into());
            }
            let now = self.ctx.now();
            tx.insert_import(&new, now).await?;
            self.insert_import_job(&mut tx, (mode, partner_id, id), STAGING_MAX).await?;
            let import = tx.import(mode, id).await?.ok_or_else(not_found)?;
            let told = self.told(&mut tx, import).await?;
            tx.commit().await?;
            Ok((told, true))
        })
        .await
    }

    /// Stages a part. The same part again changes nothing.
    pub async fn put_import_part(
        &self,
        mode: Mode,
        id: &str,
        number: i64,
        body: &[u8],
    ) -> Result<told::ImportPart> {
        let id = import_id(id)?;
        let sha256 = hex::encode(Sha256::digest(body));
        self.retry(|| async {
            let mut reader = self.store.read().await?;
            let import = reader.import(mode, id).await?.ok_or_else(not_found)?;
            let staged = reader.import_part_digest(&import, number).await?;
            drop(reader);
            if let Some((_, staged)) = staged {
                return repeated(&import, number, staged == sha256);
            }
            check_next(&import, number, body.len())?;
            self.stage(import, number, (body, &sha256)).await
        })
        .await
    }

    async fn stage(
        &self,
        mut import: Import,
        number: i64,
        (body, sha256): (&[u8], &str),
    ) -> Result<told::ImportPart> {
        let (first_line, first_record) = (import.lines + 1, import.records);
        let (read, body) = self.read_part(&import, body, first_line);
        if let Some(columns) = read.columns {
            import.columns = columns;
        }
        import.parts = number;
        import.lines += read.lines;
        import.records += read.rows;
        import.bytes += i64::try_from(body.len()).unwrap_or(i64::MAX);
        import.is_cut = read.is_cut;
        let mut errors = read.errors;
        if import.records > rows_max(import.kind) {
            let what = format!("more than {} rows: split the file", rows_max(import.kind));
            errors.push(error(first_line, "", what));
        }
        errors.truncate(usize::try_from(ERRORS_MAX).unwrap_or(usize::MAX));
        let mut tx = self.store.begin().await?;
        add_errors(&mut tx, &mut import, &errors).await?;
        // What can never be applied need not be kept.
        let body = if import.error_count == 0 { body.to_owned() } else { String::new() };
        let (part_no, records) = (number, read.rows);
        let part = ImportPart { part_no, first_line, first_record, records, body };
        tx.insert_import_part(&import, &part, sha256).await?;
        tx.update_import(&mut import, self.ctx.now()).await?;
        tx.commit().await?;
        Ok(told_part(&import, number, errors))
    }

    /// Reads a part for its form, and whether the carriers that it names are there.
    fn read_part<'a>(
        &self,
        import: &Import,
        body: &'a [u8],
        first_line: i64,
    ) -> (lines::Part, &'a str) {
        let body = match std::str::from_utf8(body) {
            Ok(body) => body,
            Err(why) => {
                let (good, _) = body.split_at(why.valid_up_to());
                let before = good.split(|byte| *byte == b'\n').count() - 1;
                let line_no = first_line + i64::try_from(before).unwrap_or(i64::MAX);
                let errors = vec![error(line_no, "", "not UTF-8: save the file as UTF-8")];
                return (lines::Part { errors, ..lines::Part::default() }, "");
            }
        };
        let header = (import.parts > 0).then_some(import.columns.as_slice());
        let mut strangers = Vec::new();
        let mut part = lines::read(import.kind, header, (body, first_line), |(line_no, line)| {
            for (column, carrier) in line.carriers() {
                if self.carrier(import.mode, carrier).is_none() {
                    let known = self.known_carriers(import.mode);
                    strangers.push(error(
                        line_no,
                        column,
                        format!("no carrier {carrier:?}; {known}"),
                    ));
                }
            }
        });
        part.errors.extend(strangers);
        part.errors.sort_by_key(|error| error.line_no);
        (part, body)
    }

    /// Closes staging and has the whole validated, then applied unless it is a dry run. Asked again it
    /// goes on as it is.
    pub async fn apply_import(
        &self,
        by: &Operator,
        mode: Mode,
        id: &str,
        dry_run: bool,
    ) -> Result<told::Import> {
        let id = import_id(id)?;
        let applied = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let mut import = tx.import(mode, id).await?.ok_or_else(not_found)?;
                match import.state {
                    ImportState::Staging | ImportState::Checked => {
                        check_appliable(&mut tx, &import).await?;
                        become_state(&mut import, ImportState::Validating)?;
                        (import.step, import.records_done) = (0, 0);
                        import.tally = Tally::default();
                    }
                    ImportState::Validating => {}
                    ImportState::Invalid => {
                        return Err(invalid(&mut tx, &import).await?.into());
                    }
                    ImportState::Applying | ImportState::Applied if dry_run => {
                        let detail = "it is applied already, or about to be";
                        return Err(Problem::conflict("IMPORT_APPLIED", detail).into());
                    }
                    ImportState::Applied => return self.told(&mut tx, import).await,
                    // Whatever became of its job, it goes on.
                    ImportState::Applying => {
                        let whose = (mode, import.partner_id, id);
                        self.insert_import_job(&mut tx, whose, Span::seconds(0)).await?;
                        let told = self.told(&mut tx, import).await?;
                        tx.commit().await?;
                        return Ok(told);
                    }
                }
                import.dry_run = dry_run;
                (import.token_id, import.token_name) = (by.token_id.clone(), by.name.clone());
                import.request_id = by.request_id.map(|id| id.to_string()).unwrap_or_default();
                tx.update_import(&mut import, self.ctx.now()).await?;
                let whose = (mode, import.partner_id, id);
                self.insert_import_job(&mut tx, whose, Span::seconds(0)).await?;
                let told = self.told(&mut tx, import).await?;
                tx.commit().await?;
                Ok(told)
            })
            .await?;
        self.bell.notify_one();
        Ok(applied)
    }

    /// How far an import is.
    pub async fn import(&self, mode: Mode, id: &str) -> Result<told::Import> {
        let id = import_id(id)?;
        let mut tx = self.store.read().await?;
        let import = tx.import(mode, id).await?.ok_or_else(not_found)?;
        self.told(&mut tx, import).await
    }

    /// Writes the job of an import, due after a time.
    async fn insert_import_job(
        &self,
        tx: &mut Tx,
        (mode, partner_id, id): (Mode, Option<PartnerId>, ImportId),
        after: Span,
    ) -> Result<()> {
        // A job belongs to somebody; what is everybody's belongs to the id of nobody.
        let nobody = PartnerId::from_parts(0, [0; 10]);
        let now = self.ctx.now();
        let job = NewJob {
            claimed_at: None,
            mode,
            partner_id: partner_id.unwrap_or(nobody),
            kind: JobKind::Import,
            subject: id.to_string(),
            trace: crate::trace::text(),
            run_at: now + after,
        };
        Ok(tx.insert_job(&job, now).await?)
    }

    /// Writes into the audit log what an import is about to do, or did: the file by its digest, and the
    /// counts. The rows themselves are in the file, which the operator has.
    async fn audit_import(&self, tx: &mut Tx, import: &Import, action: &str) -> Result<()> {
        let by = Operator {
            token_id: import.token_id.clone(),
            name: import.token_name.clone(),
            role: domain::Role::Operator,
            expires_at: None,
            request_id: import.request_id.parse().ok(),
        };
        let Tally { new, changed, unchanged, skipped } = import.tally;
        let after = json!({
            "kind": import.kind.as_str(),
            "partner": self.partner_code(tx, import).await?,
            "file_name": import.file_name,
            "sha256": import.sha256,
            "rows": import.records,
            "new": new,
            "changed": changed,
            "unchanged": unchanged,
            "skipped": skipped,
        });
        let change = Change {
            action,
            mode: Some(import.mode),
            object: format!("imports/{}", import.id),
            before: serde_json::Value::Null,
            after,
        };
        self.record(tx, &by, change).await
    }

    async fn partner_code(&self, tx: &mut Tx, import: &Import) -> Result<Option<String>> {
        let Some(id) = import.partner_id else { return Ok(None) };
        Ok(tx.partner(import.mode, id).await?.map(|partner| partner.code))
    }

    async fn told(&self, tx: &mut Tx, import: Import) -> Result<told::Import> {
        let errors = tx.import_errors(import.mode, import.id, ERRORS_MAX).await?;
        Ok(told::Import {
            import_id: import.id.to_string(),
            kind: import.kind.as_str().to_owned(),
            partner: self.partner_code(tx, &import).await?,
            sha256: Some(import.sha256).filter(|sha256| !sha256.is_empty()),
            file_name: import.file_name,
            state: import.state.as_str().to_owned(),
            dry_run: import.dry_run,
            parts: import.parts,
            bytes: import.bytes,
            lines: import.lines,
            rows: import.records,
            rows_done: import.records_done,
            new: import.tally.new,
            changed: import.tally.changed,
            unchanged: import.tally.unchanged,
            skipped: import.tally.skipped,
            error_count: import.error_count,
            errors: told_errors(errors),
            created_at: text(import.created_at),
            updated_at: text(import.updated_at),
        })
    }
}

fn import_id(text: &str) -> Result<ImportId> {
    Ok(text.parse().map_err(|_| not_found())?)
}

fn not_found() -> Problem {
    Problem::not_found("import")
}

/// The partner whose SIMs a file has. Files of other kinds have none.
async fn owner(
    tx: &mut Tx,
    mode: Mode,
    kind: ImportKind,
    code: Option<&str>,
) -> Result<Option<PartnerId>> {
    match (kind, code) {
        (ImportKind::Sims, None) => {
            Err(Problem::field("partner", "missing: whose SIMs are they?").into())
        }
        (ImportKind::Sims, Some(code)) => {
            let partner = tx.partner_by_code(mode, code).await?;
            let partner = partner.ok_or_else(|| Problem::not_found("partner"))?;
            Ok(Some(partner.id))
        }
        (_, Some(_)) => Err(Problem::field("partner", "only SIMs belong to one partner").into()),
        (_, None) => Ok(None),
    }
}

/// Whether a part can be staged now.
fn check_next(import: &Import, number: i64, bytes: usize) -> Result<()> {
    let conflict = |code: &str, detail: String| Err(Problem::conflict(code, detail).into());
    if import.state != ImportState::Staging {
        return conflict("NOT_STAGING", format!("the import is {}", import.state.as_str()));
    }
    if number != import.parts + 1 {
        let detail = format!("the next part is number {}", import.parts + 1);
        return conflict("PART_OUT_OF_ORDER", detail);
    }
    if import.is_cut {
        let detail = format!("part {} ends in the middle of a line: begin anew", import.parts);
        return conflict("PART_CUT", detail);
    }
    if number > PARTS_MAX {
        return conflict("TOO_MANY_PARTS", format!("an import has {PARTS_MAX} parts at most"));
    }
    if bytes == 0 || bytes > PART_BYTES_MAX {
        let what = format!("a part has 1 to {PART_BYTES_MAX} bytes");
        return Err(Problem::field("the body", what).into());
    }
    Ok(())
}

fn repeated(import: &Import, number: i64, same: bool) -> Result<told::ImportPart> {
    if same {
        return Ok(told_part(import, number, Vec::new()));
    }
    let detail = format!("part {number} is staged with another content: begin anew");
    Err(Problem::conflict("PART_DIFFERS", detail).into())
}

/// Whether the whole can be validated now.
async fn check_appliable(tx: &mut Tx, import: &Import) -> Result<()> {
    if import.error_count > 0 {
        return Err(invalid(tx, import).await?.into());
    }
    if import.records == 0 {
        return Err(Problem::conflict("IMPORT_EMPTY", "no row is staged").into());
    }
    Ok(())
}

/// Why an import with errors is not applied.
async fn invalid(tx: &mut Tx, import: &Import) -> Result<Problem> {
    let errors = tx.import_errors(import.mode, import.id, ERRORS_MAX).await?;
    let field = |error: ImportError| {
        let column = match error.column_name.as_str() {
            "" => String::new(),
            column => format!(", column {column}"),
        };
        FieldError::new(format!("line {}{column}", error.line_no), error.detail)
    };
    let detail = format!("the file has {} errors; nothing was written", import.error_count);
    let problem = Problem::conflict("IMPORT_INVALID", detail);
    Ok(Problem { errors: errors.into_iter().map(field).collect(), ..problem })
}

fn told_errors(errors: Vec<ImportError>) -> Vec<LineError> {
    let told = |error: ImportError| LineError {
        line: error.line_no,
        column: error.column_name,
        detail: error.detail,
    };
    errors.into_iter().map(told).collect()
}

fn told_part(import: &Import, part: i64, errors: Vec<ImportError>) -> told::ImportPart {
    told::ImportPart {
        part,
        parts: import.parts,
        bytes: import.bytes,
        rows: import.records,
        error_count: import.error_count,
        errors: told_errors(errors),
    }
}
