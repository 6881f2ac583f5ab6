//! The job `import`: validates what is staged, applies it chunk by chunk, and deletes what is old.
//!
//! A turn does a bounded share and comes again, so that other jobs and a stop get their turn. Every step
//! writes how far it came in its own transaction, under the job's fence: whoever takes over, after a
//! death at any point, goes on at the next row.

use domain::import::{ImportKind, ImportState};
use domain::{Span, Timestamp};
use sha2::{Digest, Sha256};
use store::{BATCH_ROWS, Import, ImportError, ImportPart, Job, Tally, Tx};
use wire::admin::import::ERRORS_MAX;

use super::check::{Calendar, Effect, Judge, Known, Twins, effects, passes};
use super::lines::{self, Line, Numbered, error};
use super::{KEEP, STAGING_MAX};
use crate::Mall;
use crate::error::{Error, Result};
use crate::worker::Next;

/// How many steps one turn does.
const STEPS_PER_TURN: u32 = 32;
/// How many rows one transaction applies: a few milliseconds of the database's time, which is how long an
/// order may wait behind it.
const CHUNK_ROWS: usize = 4 * BATCH_ROWS;
/// How many parts one transaction deletes.
const PARTS_PER_CLEANING: i64 = 8;
/// How long a step may go on before it says that it lives.
const SILENCE_MAX: Span = Span::seconds(4);

/// What a turn has in hand.
struct Turn<'a> {
    job: &'a Job,
    import: Import,
    /// The part that was read last, so that its chunks need not read it again.
    part: Option<(ImportPart, Vec<Numbered>)>,
    /// The prices of the whole file, once they are needed.
    calendar: Option<Calendar>,
    /// When the lease was last extended.
    held: Timestamp,
}

impl Mall {
    /// The job `import`.
    pub(crate) async fn import_job(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no import", job.id));
        let id = job.subject.parse().map_err(|_| broken())?;
        let import = self.store.read().await?.import(job.mode, id).await?;
        let Some(import) = import else { return Ok(Next::Done) };
        let held = self.ctx.now();
        let mut turn = Turn { job, import, part: None, calendar: None, held };
        for _ in 0..STEPS_PER_TURN {
            match turn.import.state {
                ImportState::Validating => self.validate_step(&mut turn).await?,
                ImportState::Applying => self.apply_chunk(&mut turn).await?,
                ImportState::Staging
                | ImportState::Checked
                | ImportState::Invalid
                | ImportState::Applied => {
                    if let Some(next) = self.tidy_step(&turn).await? {
                        return Ok(next);
                    }
                }
            }
        }
        Ok(Next::At(self.ctx.now(), String::new()))
    }

    /// One step of a validation: a pass that tells rows apart, or the rows of a part against what the
    /// mall has; at last the verdict.
    async fn validate_step(&self, turn: &mut Turn<'_>) -> Result<()> {
        let passes = passes(&turn.import);
        let mut import = turn.import.clone();
        if import.error_count >= ERRORS_MAX {
            return self.end_validation(turn).await;
        }
        let errors = if import.step < passes {
            let errors = self.tell_apart(turn, &mut import, passes).await?;
            import.step += 1;
            errors
        } else if import.records_done < import.records {
            let part = self.part_at(turn).await?;
            let errors = self.judge_part(turn, &mut import, &part).await?;
            import.records_done = part.0.first_record + part.0.records;
            turn.part = Some(part);
            errors
        } else {
            return self.end_validation(turn).await;
        };
        let mut tx = self.store.begin().await?;
        add_errors(&mut tx, &mut import, &errors).await?;
        self.keep_hold(&mut tx, turn).await?;
        tx.update_import(&mut import, self.ctx.now()).await?;
        tx.commit().await?;
        turn.import = import;
        Ok(())
    }

    /// One pass over the whole file. The first one reads its digest too.
    async fn tell_apart(
        &self,
        turn: &mut Turn<'_>,
        import: &mut Import,
        passes: i64,
    ) -> Result<Vec<ImportError>> {
        let mut twins = Twins::new(import.step, passes);
        let mut calendar = Calendar::default();
        let (mut errors, mut hash, mut part_no) = (Vec::new(), Sha256::new(), 0);
        while let Some(part) = self.next_part(import, part_no).await? {
            part_no = part.part_no;
            if import.step == 0 {
                hash.update(&part.body);
            }
            for row in rows_of(import, &part)? {
                errors.extend(twins.look(&row));
                calendar.add(&row);
            }
            if errors.len() >= usize::try_from(ERRORS_MAX).unwrap_or(usize::MAX) {
                return Ok(errors);
            }
            self.say_alive(turn).await?;
        }
        if import.step == 0 {
            errors.extend(calendar.overlaps());
            let digest = hex::encode(hash.finalize());
            if !import.sha256.is_empty() && import.sha256 != digest {
                let what = format!("the SHA-256 of the staged parts is {digest}: stage them again");
                errors.push(error(0, "", what));
            }
            import.sha256 = digest;
        }
        Ok(errors)
    }

    /// Compares the rows of a part with what the mall has.
    async fn judge_part(
        &self,
        turn: &mut Turn<'_>,
        import: &mut Import,
        (_, rows): &(ImportPart, Vec<Numbered>),
    ) -> Result<Vec<ImportError>> {
        if turn.calendar.is_none() {
            turn.calendar = Some(self.calendar(turn).await?);
        }
        let calendar = turn.calendar.take().unwrap_or_default();
        let judge = Judge { calendar: &calendar, now: self.ctx.now() };
        let mut errors = Vec::new();
        for chunk in rows.chunks(CHUNK_ROWS) {
            // A connection of its own for each chunk: others may need it meanwhile.
            let mut tx = self.store.read().await?;
            let found = effects(&mut tx, import, chunk, Some(&judge)).await?;
            drop(tx);
            errors.extend(tally(&mut import.tally, chunk, found));
            self.say_alive(turn).await?;
        }
        turn.calendar = Some(calendar);
        Ok(errors)
    }

    /// The prices of the whole file; of other kinds there is nothing to know.
    async fn calendar(&self, turn: &mut Turn<'_>) -> Result<Calendar> {
        let (mut calendar, mut part_no) = (Calendar::default(), 0);
        if turn.import.kind != ImportKind::Prices {
            return Ok(calendar);
        }
        while let Some(part) = self.next_part(&turn.import, part_no).await? {
            part_no = part.part_no;
            rows_of(&turn.import, &part)?.iter().for_each(|row| calendar.add(row));
            self.say_alive(turn).await?;
        }
        Ok(calendar)
    }

    /// The verdict. From here on rows are written, or never.
    async fn end_validation(&self, turn: &mut Turn<'_>) -> Result<()> {
        let mut import = turn.import.clone();
        let next = match (import.error_count, import.dry_run) {
            (0, true) => ImportState::Checked,
            (0, false) => ImportState::Applying,
            _ => ImportState::Invalid,
        };
        become_state(&mut import, next)?;
        let mut tx = self.store.begin().await?;
        self.keep_hold(&mut tx, turn).await?;
        if next == ImportState::Applying {
            (import.records_done, import.tally) = (0, Tally::default());
            self.audit_import(&mut tx, &import, "import.apply").await?;
        }
        tx.update_import(&mut import, self.ctx.now()).await?;
        tx.commit().await?;
        tracing::info!(import = %import.id, state = next.as_str(), "an import is validated");
        turn.import = import;
        Ok(())
    }

    /// Applies the next rows: these, how far it came, and the lease, in one transaction.
    async fn apply_chunk(&self, turn: &mut Turn<'_>) -> Result<()> {
        if turn.import.records_done >= turn.import.records {
            return self.end_application(turn).await;
        }
        let part = match turn.part.take() {
            Some(part) if holds(&part.0, turn.import.records_done) => part,
            _ => self.part_at(turn).await?,
        };
        let begin = usize::try_from(turn.import.records_done - part.0.first_record).unwrap_or(0);
        let end = part.1.len().min(begin + CHUNK_ROWS);
        let rows = part.1.get(begin..end).unwrap_or_default();
        let this = &*turn;
        let applied = self
            .retry(|| async {
                let mut import = this.import.clone();
                let mut tx = self.store.begin().await?;
                if matches!(import.kind, ImportKind::Packages | ImportKind::Plans) {
                    // Whoever else changes the catalogue waits.
                    tx.touch_catalogue(import.mode).await?;
                }
                let found = effects(&mut tx, &import, rows, None).await?;
                self.put_rows(&mut tx, &import, rows, &found).await?;
                let errors = tally(&mut import.tally, rows, found);
                add_errors(&mut tx, &mut import, &errors).await?;
                import.records_done += i64::try_from(rows.len()).unwrap_or(i64::MAX);
                tx.delete_applied_parts(&import, import.records_done).await?;
                self.keep_hold(&mut tx, this).await?;
                tx.update_import(&mut import, self.ctx.now()).await?;
                tx.commit().await?;
                Ok(import)
            })
            .await?;
        (turn.import, turn.part, turn.held) = (applied, Some(part), self.ctx.now());
        Ok(())
    }

    /// Writes the rows that are new or changed.
    async fn put_rows(
        &self,
        tx: &mut Tx,
        import: &Import,
        rows: &[Numbered],
        effects: &[Effect],
    ) -> Result<()> {
        let (mut sims, mut packages) = (Vec::new(), Vec::new());
        let (mut routes, mut plans, mut prices) = (Vec::new(), Vec::new(), Vec::new());
        for ((_, line), effect) in rows.iter().zip(effects) {
            if !matches!(effect, Effect::New | Effect::Changed) {
                continue;
            }
            match line {
                Line::Sim(sim) => sims.push(domain::sim::Sim {
                    id: self.ctx.id(),
                    iccid: sim.iccid.clone(),
                    carrier: sim.carrier.clone(),
                    state: sim.state,
                }),
                Line::Package(line) => {
                    packages.push(line.package.clone());
                    routes.extend(line.route.as_ref().map(|route| (&line.package.code, route)));
                }
                Line::Plan(plan) => plans.push((**plan).clone()),
                Line::Price(price) => prices.push(price),
            }
        }
        let (mode, now) = (import.mode, self.ctx.now());
        if let (Some(owner), false) = (import.partner_id, sims.is_empty()) {
            tx.put_sims(mode, owner, &sims, now).await?;
        }
        tx.put_packages(mode, &packages).await?;
        for (code, route) in routes {
            tx.set_package_route(mode, code, route).await?;
        }
        tx.put_plans(mode, &plans).await?;
        if !prices.is_empty() {
            let known = Known::load(tx, mode, rows).await?;
            let dated = prices.iter().filter_map(|price| known.dated(price));
            let dated: Vec<_> = dated.map(|price| (self.ctx.id(), price)).collect();
            tx.put_prices(mode, &dated).await?;
        }
        Ok(())
    }

    /// All of it is written.
    async fn end_application(&self, turn: &mut Turn<'_>) -> Result<()> {
        let mut import = turn.import.clone();
        become_state(&mut import, ImportState::Applied)?;
        let mut tx = self.store.begin().await?;
        self.keep_hold(&mut tx, turn).await?;
        self.audit_import(&mut tx, &import, "import.applied").await?;
        tx.update_import(&mut import, self.ctx.now()).await?;
        tx.commit().await?;
        let Tally { new, changed, unchanged, skipped } = import.tally;
        tracing::info!(import = %import.id, new, changed, unchanged, skipped, "an import is applied");
        turn.import = import;
        Ok(())
    }

    /// Deletes what is no longer needed of an import that nobody works on. Says when to look again.
    async fn tidy_step(&self, turn: &Turn<'_>) -> Result<Option<Next>> {
        let import = &turn.import;
        let is_open = matches!(import.state, ImportState::Staging | ImportState::Checked);
        let until = import.updated_at + if is_open { STAGING_MAX } else { KEEP };
        if is_open && self.ctx.now() < until {
            return Ok(Some(Next::At(until, String::new())));
        }
        let mut tx = self.store.begin().await?;
        self.keep_hold(&mut tx, turn).await?;
        if tx.delete_import_parts(import, PARTS_PER_CLEANING).await? > 0 {
            tx.commit().await?;
            return Ok(None);
        }
        if self.ctx.now() < until {
            return Ok(Some(Next::At(until, String::new())));
        }
        tx.delete_import(import).await?;
        tx.finish_job(turn.job).await?;
        tx.commit().await?;
        tracing::info!(import = %import.id, state = import.state.as_str(), "an old import is deleted");
        Ok(Some(Next::Settled))
    }

    /// Extends the lease in a transaction; it fails if somebody else has the job.
    async fn keep_hold(&self, tx: &mut Tx, turn: &Turn<'_>) -> Result<()> {
        Ok(tx.extend_lease(turn.job, self.ctx.now() + self.settings.lease).await?)
    }

    /// Extends the lease if that was long ago.
    async fn say_alive(&self, turn: &mut Turn<'_>) -> Result<()> {
        let now = self.ctx.now();
        if now.since(turn.held) > SILENCE_MAX {
            let mut tx = self.store.begin().await?;
            self.keep_hold(&mut tx, turn).await?;
            tx.commit().await?;
            turn.held = now;
        }
        Ok(())
    }

    /// The part in which the next row stands, with its rows.
    async fn part_at(&self, turn: &Turn<'_>) -> Result<(ImportPart, Vec<Numbered>)> {
        let (import, done) = (&turn.import, turn.import.records_done);
        let part = self.store.read().await?.import_part_at(import, done).await?;
        let missing = || Error::Internal(format!("{} has no row {done}", import.id));
        let part = part.ok_or_else(missing)?;
        let rows = rows_of(import, &part)?;
        Ok((part, rows))
    }

    /// The next part after one with a number.
    async fn next_part(&self, import: &Import, part_no: i64) -> Result<Option<ImportPart>> {
        Ok(self.store.read().await?.import_part_after(import, part_no).await?)
    }
}

fn holds(part: &ImportPart, row: i64) -> bool {
    (part.first_record..part.first_record + part.records).contains(&row)
}

/// The rows of a staged part, which was read without a mistake before.
fn rows_of(import: &Import, part: &ImportPart) -> Result<Vec<Numbered>> {
    let mut rows = Vec::with_capacity(usize::try_from(part.records).unwrap_or(0));
    let header = (part.part_no > 1).then_some(import.columns.as_slice());
    let read =
        lines::read(import.kind, header, (&part.body, part.first_line), |row| rows.push(row));
    match read.errors.first() {
        None => Ok(rows),
        Some(error) => Err(Error::Internal(format!(
            "{}, part {}, line {}: {}",
            import.id, part.part_no, error.line_no, error.detail
        ))),
    }
}

/// Brings an import to its next state.
pub(super) fn become_state(import: &mut Import, next: ImportState) -> Result<()> {
    if !import.state.may_become(next) {
        let (from, to) = (import.state.as_str(), next.as_str());
        return Err(Error::Internal(format!("{} cannot go from {from} to {to}", import.id)));
    }
    import.state = next;
    Ok(())
}

/// Counts what rows do, and gives what is wrong with those that cannot be.
fn tally(tally: &mut Tally, rows: &[Numbered], effects: Vec<Effect>) -> Vec<ImportError> {
    let mut errors = Vec::new();
    for ((line_no, _), effect) in rows.iter().zip(effects) {
        match effect {
            Effect::New => tally.new += 1,
            Effect::Changed => tally.changed += 1,
            Effect::Unchanged => tally.unchanged += 1,
            Effect::Impossible(column, what) => {
                tally.skipped += 1;
                errors.push(error(*line_no, column, what));
            }
        }
    }
    errors
}

/// Adds errors to an import, of which it keeps the first so many.
pub(super) async fn add_errors(
    tx: &mut Tx,
    import: &mut Import,
    errors: &[ImportError],
) -> Result<()> {
    for error in errors {
        if import.error_count < ERRORS_MAX && !tx.insert_import_error(import, error).await? {
            // The place has one already.
            continue;
        }
        import.error_count += 1;
    }
    Ok(())
}
