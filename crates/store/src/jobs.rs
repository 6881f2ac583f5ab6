//! Jobs: what must happen outside of a transaction, written in the transaction that made it due.
//!
//! A claim moves `run_at` past the lease and raises the fence. A worker that dies is succeeded when its
//! lease has run out; one that sleeps past its lease finds its fence too old to write an outcome. Fences begin at the
//! time in microseconds: a subject's next job does not have those of one that is done.

use std::str::FromStr;

use domain::id::{JobId, PartnerId};
use domain::{Mode, Span, Timestamp, UnknownWord};
use sha2::{Digest, Sha256};

use crate::engine::{Engine, Store, Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row, StoreError};
use crate::many::execute_many;

/// A claim: which due jobs, in which order, and how they are locked meanwhile.
macro_rules! claim {
    ($which:literal, $order:literal, $lock:literal) => {
        concat!(
            "UPDATE jobs SET run_at = $2, leased = TRUE, fence = fence + 1,
            first_run_at = COALESCE(first_run_at, $1) WHERE (mode, partner_id, job_id) IN (
            SELECT mode, partner_id, job_id FROM jobs WHERE state = 'ready' AND run_at <= $1
            AND ",
            $which,
            " ORDER BY ",
            $order,
            " LIMIT $3 ",
            $lock,
            ") RETURNING mode, partner_id, job_id, kind, subject, trace, fence, failures,
            first_run_at"
        )
    };
}

/// Those that have waited longest, but for parts of operations on groups.
macro_rules! claim_oldest {
    ($lock:literal) => {
        claim!(
            "kind IN ('provision', 'close_order', 'turn_plan', 'import', 'look_at_sim',
            'follow_payment', 'refund', 'stray_payment', 'follow_subscription', 'await_renewal',
            'revoke_plan', 'turn_group', 'watch_group')",
            "run_at",
            $lock
        )
    };
}

/// Of the orders that nobody has begun, those that came last.
macro_rules! claim_new_orders {
    ($lock:literal) => {
        claim!("kind = 'provision' AND first_run_at IS NULL", "run_at DESC", $lock)
    };
}

/// Of the parts of operations on groups, those that have waited longest.
macro_rules! claim_group_parts {
    ($lock:literal) => {
        claim!("kind = 'group_chunk'", "run_at", $lock)
    };
}

statements! {
    CLAIM_SQLITE = claim_oldest!("");
    CLAIM_NEW_SQLITE = claim_new_orders!("");
    CLAIM_PARTS_SQLITE = claim_group_parts!("");
    RESCHEDULE = "UPDATE jobs SET run_at = $5, leased = FALSE, failures = $6, last_error = $7
        WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND fence = $4";
    EXTEND = "UPDATE jobs SET run_at = $5
        WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND fence = $4";
    HASTEN = "UPDATE jobs SET run_at = $4, leased = FALSE
        WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND state = 'ready' AND run_at > $5";
    BURY = "UPDATE jobs SET state = 'dead', last_error = $5
        WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND fence = $4";
    DUE = "SELECT CAST(MIN(run_at) AS BIGINT) AS run_at, (SELECT CAST(MIN(run_at) AS BIGINT)
        FROM jobs WHERE state = 'ready' AND kind = 'group_chunk') AS part_at,
        (SELECT ahead FROM mode_clocks WHERE mode = 'test') AS ahead FROM jobs WHERE state = 'ready'";
    STANDING = "SELECT job_id, kind, subject, state, run_at, failures, last_error FROM jobs
        WHERE mode = $1 AND partner_id = $2 ORDER BY job_id";
}

/// SQLite has no row locks and needs none: it has one writer.
pub(crate) const CLAIM_POSTGRES: &str = claim_oldest!("FOR UPDATE SKIP LOCKED");
pub(crate) const CLAIM_NEW_POSTGRES: &str = claim_new_orders!("FOR UPDATE SKIP LOCKED");
pub(crate) const CLAIM_PARTS_POSTGRES: &str = claim_group_parts!("FOR UPDATE SKIP LOCKED");

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Puts the plan of a paid order on its SIM. The subject is the order's id.
    Provision,
    /// Closes an order that was not paid in time. The subject is the order's id.
    CloseOrder,
    /// Ends the plan in use on a SIM and begins the next. The subject is the ICCID.
    TurnPlan,
    /// Asks a SIM's carrier how it stands. The subject is the ICCID.
    LookAtSim,
    /// Validates and applies an import, and deletes it when it is old. The subject is its id.
    Import,
    /// Asks the cashier how an order's payment stands, until it is decided. The subject is the order's id.
    FollowPayment,
    /// Asks the cashier for a refund, and how it stands. The subject is the refund's id.
    Refund,
    /// Gives back what came for an order beside its own payment. The subject is the order's id and the
    /// cashier's name of the payment.
    StrayPayment,
    /// Asks the cashier how an auto-renewal stands, and makes orders of what was paid. The subject is the id of the
    /// order with which it began.
    FollowSubscription,
    /// Waits for the next order of an auto-renewal that the partner is paid for. The subject is the id of the order
    /// with which it began.
    AwaitRenewal,
    /// Asks a carrier to end a plan whose money went back. The subject is the order's id.
    RevokePlan,
    /// Adds SIMs to a group or removes them. The subject is the operation's id and the part's number.
    GroupChunk,
    /// Ends a period of a group's bundle and begins the next. The subject is the group's code.
    TurnGroup,
    /// Asks a carrier how much data a group used, and tells it what to do with it. The subject is the group's code.
    WatchGroup,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::Provision,
        Self::CloseOrder,
        Self::TurnPlan,
        Self::LookAtSim,
        Self::Import,
        Self::FollowPayment,
        Self::Refund,
        Self::StrayPayment,
        Self::FollowSubscription,
        Self::AwaitRenewal,
        Self::RevokePlan,
        Self::GroupChunk,
        Self::TurnGroup,
        Self::WatchGroup,
    ];

    /// Whether its times are business dates, which move with its mode's clock; those of the others are real, since they
    /// speak with networks that have clocks of their own. The statements of `clocks.rs` name the same.
    pub fn follows_clock(self) -> bool {
        match self {
            Self::CloseOrder
            | Self::TurnPlan
            | Self::FollowPayment
            | Self::Refund
            | Self::StrayPayment
            | Self::FollowSubscription
            | Self::AwaitRenewal
            | Self::TurnGroup => true,
            Self::Provision
            | Self::LookAtSim
            | Self::Import
            | Self::RevokePlan
            | Self::GroupChunk
            | Self::WatchGroup => false,
        }
    }

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::CloseOrder => "close_order",
            Self::TurnPlan => "turn_plan",
            Self::LookAtSim => "look_at_sim",
            Self::Import => "import",
            Self::FollowPayment => "follow_payment",
            Self::Refund => "refund",
            Self::StrayPayment => "stray_payment",
            Self::FollowSubscription => "follow_subscription",
            Self::AwaitRenewal => "await_renewal",
            Self::RevokePlan => "revoke_plan",
            Self::GroupChunk => "group_chunk",
            Self::TurnGroup => "turn_group",
            Self::WatchGroup => "watch_group",
        }
    }
}

impl FromStr for JobKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> std::result::Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "job kind")
    }
}

/// A job to be written.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// What it does.
    pub kind: JobKind,
    /// To what.
    pub subject: String,
    /// The trace of the request that made it due; may be empty.
    pub trace: String,
    /// When, at the earliest; where it is claimed, until when.
    pub run_at: Timestamp,
    /// When it was claimed, if whoever writes it runs it at once.
    pub claimed_at: Option<Timestamp>,
}

impl NewJob {
    /// The job as its claimer holds it; `None` where nobody claimed it.
    pub fn claimed(&self) -> Option<Job> {
        let claimed_at = self.claimed_at?;
        Some(Job {
            mode: self.mode,
            partner_id: self.partner_id,
            id: self.kind.job_id(&self.subject),
            kind: self.kind,
            subject: self.subject.clone(),
            trace: self.trace.clone(),
            fence: claimed_at.as_micros(),
            failures: 0,
            first_run_at: claimed_at,
            leased_until: self.run_at,
        })
    }
}

impl JobKind {
    /// The id of the one job of this kind that a subject has.
    pub fn job_id(self, subject: &str) -> JobId {
        let digest = Sha256::new().chain_update(self.as_str()).chain_update(" ");
        let digest: [u8; 32] = digest.chain_update(subject).finalize().into();
        let (half, _) = digest.split_at(16);
        JobId::from_digest(half.try_into().unwrap_or_default())
    }
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// To what.
    pub subject: String,
    /// The trace of the request that made it due; may be empty.
    pub trace: String,
    /// The number of this claim; an older one can write nothing.
    pub fence: i64,
    /// How often it failed in a row.
    pub failures: i64,
    /// When it was first claimed.
    pub first_run_at: Timestamp,
    /// Until when nobody else claims it.
    pub leased_until: Timestamp,
}

/// When the next jobs are due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The next job of any kind, if there is one.
    pub job_at: Option<Timestamp>,
    /// The next part of an operation on a group, if there is one.
    pub group_part_at: Option<Timestamp>,
    /// How far the test mode's clock is ahead.
    pub clock_ahead: Span,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    mode: String,
    partner_id: String,
    job_id: String,
    kind: String,
    subject: String,
    trace: String,
    fence: i64,
    failures: i64,
    first_run_at: i64,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    run_at: Option<i64>,
    part_at: Option<i64>,
    ahead: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct StandingRow {
    kind: String,
    subject: String,
    state: String,
    failures: i64,
    last_error: String,
}

impl JobRow {
    fn into_job(self, leased_until: Timestamp) -> Result<Job> {
        let row = Row { table: "jobs", key: &self.job_id };
        Ok(Job {
            mode: row.parse("mode", &self.mode)?,
            partner_id: row.parse("partner_id", &self.partner_id)?,
            id: row.parse("job_id", &self.job_id)?,
            kind: row.parse("kind", &self.kind)?,
            subject: self.subject,
            trace: self.trace,
            fence: self.fence,
            failures: self.failures,
            first_run_at: Timestamp::from_micros(self.first_run_at),
            leased_until,
        })
    }
}

/// Whether the writer still held the lease.
fn held(changed: u64) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
}

impl Store {
    /// When the next job is due, if there is any.
    pub async fn next_job_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.due().await?.job_at)
    }

    /// What is due when.
    pub async fn due(&self) -> Result<Due> {
        let mut reader = self.read().await?;
        let row = fetch_optional!(reader, DueRow, DUE)?;
        let row = row.unwrap_or(DueRow { run_at: None, part_at: None, ahead: None });
        Ok(Due {
            job_at: row.run_at.map(Timestamp::from_micros),
            group_part_at: row.part_at.map(Timestamp::from_micros),
            clock_ahead: Span::micros(row.ahead.unwrap_or_default()),
        })
    }
}

impl Tx {
    /// Claims at most `limit` due jobs until `lease_until`, those that have waited longest; none of them is a part of an
    /// operation on a group.
    pub async fn claim_jobs(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Job>> {
        self.claim((CLAIM_SQLITE, CLAIM_POSTGRES), (now, lease_until), limit).await
    }

    /// Claims at most `limit` jobs of paid orders that nobody has begun until `lease_until`, those that came last.
    pub async fn claim_new_orders(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Job>> {
        self.claim((CLAIM_NEW_SQLITE, CLAIM_NEW_POSTGRES), (now, lease_until), limit).await
    }

    /// Claims at most `limit` parts of operations on groups until `lease_until`, those that have waited longest.
    pub async fn claim_group_parts(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Job>> {
        self.claim((CLAIM_PARTS_SQLITE, CLAIM_PARTS_POSTGRES), (now, lease_until), limit).await
    }

    async fn claim(
        &mut self,
        (sqlite, postgres): (&'static str, &'static str),
        (now, lease_until): (Timestamp, Timestamp),
        limit: i64,
    ) -> Result<Vec<Job>> {
        let statement = match self.engine() {
            Engine::Sqlite => sqlite,
            Engine::Postgres => postgres,
        };
        let (now, until) = (now.as_micros(), lease_until.as_micros());
        let rows = fetch_all!(self, JobRow, statement, now, until, limit)?;
        // A row that cannot be read must not take the others with it; it comes up again and again.
        let readable = rows.into_iter().filter_map(|row| {
            row.into_job(lease_until)
                .inspect_err(|error| tracing::error!(%error, "a job cannot be read"))
                .ok()
        });
        Ok(readable.collect())
    }

    /// Writes a job; a subject has one of a kind at most, and the latest word on it counts.
    pub async fn insert_job(&mut self, job: &NewJob, now: Timestamp) -> Result<()> {
        self.insert_jobs(std::slice::from_ref(job), now).await
    }

    /// Writes jobs, each about a subject of its own. A subject that has such a job already is told anew:
    /// the higher fence stops whoever runs it now. Only a job whose subject is new may be claimed as it is
    /// written.
    pub async fn insert_jobs(&mut self, jobs: &[NewJob], now: Timestamp) -> Result<()> {
        for piece in self.pieces(jobs) {
            let sql = format!(
                "INSERT INTO jobs (mode, partner_id, job_id, kind, subject, trace, state, run_at,
                leased, fence, failures, last_error, first_run_at, created_at) {}
                ON CONFLICT (mode, partner_id, job_id) DO UPDATE SET state = 'ready',
                run_at = excluded.run_at, leased = excluded.leased, trace = excluded.trace, fence = jobs.fence + 1,
                failures = 0, last_error = '', first_run_at = NULL",
                self.rows(14, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, job => [
                job.mode.as_str(),
                job.partner_id.to_string(),
                job.kind.job_id(&job.subject).to_string(),
                job.kind.as_str(),
                job.subject.as_str(),
                job.trace.as_str(),
                "ready",
                job.run_at.as_micros(),
                job.claimed_at.is_some(),
                job.claimed_at.unwrap_or(now).as_micros(),
                0_i64,
                "",
                job.claimed_at.map(Timestamp::as_micros),
                now.as_micros(),
            ])?;
        }
        Ok(())
    }

    /// Ends a job, provided that its lease still holds.
    pub async fn finish_job(&mut self, job: &Job) -> Result<()> {
        self.finish_jobs(&[job]).await
    }

    /// Ends jobs, provided that all their leases still hold.
    pub async fn finish_jobs(&mut self, jobs: &[&Job]) -> Result<()> {
        for piece in self.pieces(jobs) {
            let sql = format!(
                "DELETE FROM jobs WHERE (mode, partner_id, job_id, fence) IN ({})",
                self.rows(4, piece.len())
            );
            let ended = execute_many!(self, sql.as_str(), piece, job => [
                job.mode.as_str(),
                job.partner_id.to_string(),
                job.id.to_string(),
                job.fence,
            ])?;
            if usize::try_from(ended) != Ok(piece.len()) {
                return Err(StoreError::LeaseLost);
            }
        }
        Ok(())
    }

    /// Puts a job off, provided that its lease still holds.
    pub async fn reschedule_job(
        &mut self,
        job: &Job,
        run_at: Timestamp,
        failures: i64,
        last_error: &str,
    ) -> Result<()> {
        let (mode, partner) = (job.mode.as_str(), job.partner_id.to_string());
        let changed = execute!(
            self,
            RESCHEDULE,
            mode,
            partner,
            job.id.to_string(),
            job.fence,
            run_at.as_micros(),
            failures,
            last_error,
        )?;
        held(changed)
    }

    /// Holds a job for longer, provided that its lease still holds.
    pub async fn extend_lease(&mut self, job: &Job, lease_until: Timestamp) -> Result<()> {
        let (mode, partner) = (job.mode.as_str(), job.partner_id.to_string());
        let (id, until) = (job.id.to_string(), lease_until.as_micros());
        held(execute!(self, EXTEND, mode, partner, id, job.fence, until)?)
    }

    /// Lets a job run at a time if it was put off beyond another one; whether it does. Whoever has the job at
    /// this moment loses nothing but time if `put_off_beyond` is later than any lease; else it may be run twice,
    /// and one of the two can write nothing.
    pub(crate) async fn hasten(
        &mut self,
        (mode, partner): (&str, &str),
        job: &JobId,
        (at, put_off_beyond): (Timestamp, Timestamp),
    ) -> Result<bool> {
        let (job, at, beyond) = (job.to_string(), at.as_micros(), put_off_beyond.as_micros());
        Ok(execute!(self, HASTEN, mode, partner, job, at, beyond)? == 1)
    }

    /// Lets the job of a subject run now if it was put off; whether it was.
    pub async fn hasten_job_of(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (kind, subject): (JobKind, &str),
        now: Timestamp,
    ) -> Result<bool> {
        let partner = partner.to_string();
        self.hasten((mode.as_str(), &partner), &kind.job_id(subject), (now, now)).await
    }

    /// Gives a job up; it stays for a person to look at.
    pub async fn bury_job(&mut self, job: &Job, last_error: &str) -> Result<()> {
        let (mode, partner) = (job.mode.as_str(), job.partner_id.to_string());
        let changed =
            execute!(self, BURY, mode, partner, job.id.to_string(), job.fence, last_error)?;
        held(changed)
    }

    /// The jobs of a partner that are not done: kind, subject, state, failures and last error.
    pub async fn standing_jobs(
        &mut self,
        mode: Mode,
        partner: PartnerId,
    ) -> Result<Vec<(String, String, String, i64, String)>> {
        let rows = fetch_all!(self, StandingRow, STANDING, mode.as_str(), partner.to_string())?;
        Ok(rows
            .into_iter()
            .map(|row| (row.kind, row.subject, row.state, row.failures, row.last_error))
            .collect())
    }
}
