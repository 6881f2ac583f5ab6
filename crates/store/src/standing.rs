//! Orders that stand still: what the reconciler goes through, and the two figures that must be 0 at rest,
//! money without a plan and a plan without money.

use std::collections::HashMap;

use domain::id::{JobId, OrderId, PartnerId};
use domain::{Mode, Timestamp};

use crate::engine::{Store, Tx, execute, fetch_all, statements};
use crate::error::{Result, Row};
use crate::jobs::{Job, JobKind, NewJob};

statements! {
    /// Walks `orders_recent`: ids sort by their time. Not `EXISTS`, which PostgreSQL may turn into one look
    /// through all plans.
    SWEEP = "SELECT o.partner_id, o.order_id, o.state, o.created_at, o.closes_at,
        (SELECT 1 FROM sim_plans p WHERE p.mode = o.mode AND p.partner_id = o.partner_id
            AND p.iccid = o.iccid AND p.queue_no = o.queue_no AND p.order_id = o.order_id LIMIT 1)
            IS NOT NULL AS has_plan
        FROM orders o WHERE o.mode = $1 AND o.order_id > $2 ORDER BY o.order_id LIMIT $3";
    ADD_JOB = "INSERT INTO jobs (mode, partner_id, job_id, kind, subject, trace, state, run_at, fence,
        failures, last_error, first_run_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'ready', $7, $8, 0, '', NULL, $8) ON CONFLICT DO NOTHING";
    /// The same, and a job that was given up runs again.
    ADD_OR_REVIVE = "INSERT INTO jobs (mode, partner_id, job_id, kind, subject, trace, state, run_at, fence,
        failures, last_error, first_run_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'ready', $7, $8, 0, '', NULL, $8)
        ON CONFLICT (mode, partner_id, job_id) DO UPDATE SET state = 'ready', run_at = excluded.run_at,
        leased = FALSE, fence = jobs.fence + 1, failures = 0, first_run_at = NULL WHERE jobs.state = 'dead'";
    /// A job that was put off beyond $2 and is older than $1 is not being run: leases are shorter.
    PUT_OFF = "SELECT mode, partner_id, job_id, subject, fence FROM jobs
        WHERE state = 'ready' AND kind = 'provision' AND run_at > $2 AND created_at < $1 LIMIT 100";
    HASTEN = "UPDATE jobs SET run_at = $5 WHERE mode = $1 AND partner_id = $2 AND job_id = $3
        AND fence = $4 AND state = 'ready' AND run_at > $6";
    DEAD = "SELECT mode, partner_id, job_id, subject, fence FROM jobs
        WHERE state = 'dead' AND kind = 'provision' LIMIT 100";
    GIVEN_UP = "SELECT mode, partner_id, job_id, subject, fence FROM jobs
        WHERE state = 'dead' AND kind = $1 LIMIT 100";
    /// The last condition on states is that of the index `orders_unsettled`, as its migration has it.
    NOT_GIVEN_BACK = "SELECT o.mode, COUNT(*) AS count FROM orders o WHERE o.mode IN ('live', 'test')
        AND o.state = 'FAILED' AND o.state IN ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW',
        'REFUNDING', 'REFUNDED') AND o.paid_at IS NOT NULL AND o.settle_minor IS NOT NULL
        AND (SELECT 1 FROM postings p WHERE p.mode = o.mode AND p.partner_id = o.partner_id
            AND p.order_id = o.order_id AND p.kind = 'reversal') IS NULL GROUP BY o.mode";
    /// The same of those whose money the mall took itself: not all of it went back, or is on its way.
    NOT_REFUNDED = "SELECT o.mode, COUNT(*) AS count FROM orders o WHERE o.mode IN ('live', 'test')
        AND o.state = 'FAILED' AND o.state IN ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW',
        'REFUNDING', 'REFUNDED') AND o.paid_at IS NOT NULL AND o.channel = 'stripe'
        AND o.pay_minor > (SELECT COALESCE(SUM(r.minor), 0) FROM refunds r WHERE r.mode = o.mode
            AND r.partner_id = o.partner_id AND r.order_id = o.order_id AND r.state <> 'failed')
        GROUP BY o.mode";
    TOO_LONG = "SELECT mode, COUNT(*) AS count FROM jobs WHERE kind = 'provision'
        AND (state = 'dead' OR created_at < $1) GROUP BY mode";
    UNPAID_PLANS = "SELECT o.mode, COUNT(*) AS count FROM orders o
        JOIN sim_plans p ON p.mode = o.mode AND p.partner_id = o.partner_id AND p.iccid = o.iccid
        AND p.order_id = o.order_id WHERE o.mode IN ('live', 'test') AND o.state IN
        ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW', 'REFUNDING', 'REFUNDED')
        AND p.state IN ('waiting', 'in_use') GROUP BY o.mode";
}

/// An order as the reconciler goes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptOrder {
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its id.
    pub id: OrderId,
    /// Its state's name.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it closes if it is not paid.
    pub closes_at: Option<Timestamp>,
    /// Whether its plan is in its SIM's queue.
    pub has_plan: bool,
}

/// A job that nobody runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleJob {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its id.
    pub id: JobId,
    /// What it is about: the order's id, for one.
    pub subject: String,
    /// The number of its last claim.
    pub fence: i64,
}

#[derive(sqlx::FromRow)]
struct SweptRow {
    partner_id: String,
    order_id: String,
    state: String,
    created_at: i64,
    closes_at: Option<i64>,
    has_plan: bool,
}

#[derive(sqlx::FromRow)]
struct IdleRow {
    mode: String,
    partner_id: String,
    job_id: String,
    subject: String,
    fence: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    mode: String,
    count: i64,
}

fn idle(rows: Vec<IdleRow>) -> Result<Vec<IdleJob>> {
    let parsed = rows.into_iter().map(|found| {
        let row = Row { table: "jobs", key: &found.job_id };
        Ok(IdleJob {
            mode: row.parse("mode", &found.mode)?,
            partner_id: row.parse("partner_id", &found.partner_id)?,
            id: row.parse("job_id", &found.job_id)?,
            subject: found.subject,
            fence: found.fence,
        })
    });
    parsed.collect()
}

fn add(counts: &mut HashMap<Mode, i64>, rows: Vec<CountRow>) -> Result<()> {
    for found in rows {
        let mode = Row { table: "orders or jobs", key: "any" }.parse("mode", &found.mode)?;
        *counts.entry(mode).or_default() += found.count;
    }
    Ok(())
}

impl Store {
    /// How many paid orders have neither a plan nor their money back: those that failed and were not booked
    /// back, whose job was given up, or whose job is older than a time. Those that wait for a person are not
    /// counted: they are known.
    pub async fn paid_without_plan(&self, before: Timestamp) -> Result<HashMap<Mode, i64>> {
        let (mut reader, mut counts) = (self.read().await?, HashMap::new());
        add(&mut counts, fetch_all!(reader, CountRow, NOT_GIVEN_BACK)?)?;
        add(&mut counts, fetch_all!(reader, CountRow, NOT_REFUNDED)?)?;
        add(&mut counts, fetch_all!(reader, CountRow, TOO_LONG, before.as_micros())?)?;
        Ok(counts)
    }

    /// How many plans wait or run on a SIM whose order is not paid, or was paid back.
    pub async fn plans_without_payment(&self) -> Result<HashMap<Mode, i64>> {
        let (mut reader, mut counts) = (self.read().await?, HashMap::new());
        add(&mut counts, fetch_all!(reader, CountRow, UNPAID_PLANS)?)?;
        Ok(counts)
    }

    /// Orders of a mode after an id (empty: from the first), the eldest first.
    pub async fn sweep_orders(
        &self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SweptOrder>> {
        let mut reader = self.read().await?;
        let rows = fetch_all!(reader, SweptRow, SWEEP, mode.as_str(), after, limit)?;
        let parsed = rows.into_iter().map(|found| {
            let row = Row { table: "orders", key: &found.order_id };
            Ok(SweptOrder {
                partner_id: row.parse("partner_id", &found.partner_id)?,
                id: row.parse("order_id", &found.order_id)?,
                state: found.state,
                created_at: Timestamp::from_micros(found.created_at),
                closes_at: found.closes_at.map(Timestamp::from_micros),
                has_plan: found.has_plan,
            })
        });
        parsed.collect()
    }

    /// Provisioning jobs that were written before one time and do not run before another.
    pub async fn jobs_put_off(
        &self,
        written_before: Timestamp,
        run_after: Timestamp,
    ) -> Result<Vec<IdleJob>> {
        let mut reader = self.read().await?;
        let (before, after) = (written_before.as_micros(), run_after.as_micros());
        idle(fetch_all!(reader, IdleRow, PUT_OFF, before, after)?)
    }

    /// Provisioning jobs that were given up.
    pub async fn provisioning_given_up(&self) -> Result<Vec<IdleJob>> {
        let mut reader = self.read().await?;
        idle(fetch_all!(reader, IdleRow, DEAD)?)
    }

    /// Jobs of a kind that were given up.
    pub async fn jobs_given_up(&self, kind: JobKind) -> Result<Vec<IdleJob>> {
        let mut reader = self.read().await?;
        idle(fetch_all!(reader, IdleRow, GIVEN_UP, kind.as_str())?)
    }
}

impl Tx {
    /// Writes a job unless its subject has one of its kind; whether it did.
    pub async fn add_missing_job(&mut self, job: &NewJob, now: Timestamp) -> Result<bool> {
        let changed = execute!(
            self,
            ADD_JOB,
            job.mode.as_str(),
            job.partner_id.to_string(),
            job.kind.job_id(&job.subject).to_string(),
            job.kind.as_str(),
            &job.subject,
            &job.trace,
            job.run_at.as_micros(),
            now.as_micros(),
        )?;
        Ok(changed == 1)
    }

    /// The same, and revives one that was given up; whether either was needed.
    pub async fn add_or_revive_job(&mut self, job: &NewJob, now: Timestamp) -> Result<bool> {
        let changed = execute!(
            self,
            ADD_OR_REVIVE,
            job.mode.as_str(),
            job.partner_id.to_string(),
            job.kind.job_id(&job.subject).to_string(),
            job.kind.as_str(),
            &job.subject,
            &job.trace,
            job.run_at.as_micros(),
            now.as_micros(),
        )?;
        Ok(changed == 1)
    }

    /// Lets a job that does not run before a time run now, unless somebody claimed it.
    pub async fn hasten_job(
        &mut self,
        job: &IdleJob,
        run_after: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let (mode, partner) = (job.mode.as_str(), job.partner_id.to_string());
        let (id, now, after) = (job.id.to_string(), now.as_micros(), run_after.as_micros());
        Ok(execute!(self, HASTEN, mode, partner, id, job.fence, now, after)? == 1)
    }
}

impl IdleJob {
    /// The job as a worker would hold it, to end it by its fence.
    pub fn held(&self, now: Timestamp) -> Job {
        Job {
            mode: self.mode,
            partner_id: self.partner_id,
            id: self.id,
            kind: JobKind::Provision,
            subject: self.subject.clone(),
            trace: String::new(),
            fence: self.fence,
            failures: 0,
            first_run_at: now,
            leased_until: now,
        }
    }
}
