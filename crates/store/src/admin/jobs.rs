//! What operators see and change of jobs.
//!
//! The dead ones come first, then the others as they fall due. A job's id is made of kind and
//! subject, so it is looked for under each partner's key, and under nobody's.

use domain::id::{JobId, PartnerId};
use domain::{Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// All columns of [`JobRecord`], from jobs `j`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT (SELECT code FROM partners p WHERE p.mode = j.mode
            AND p.partner_id = j.partner_id) AS partner, j.partner_id, j.job_id, j.kind, j.subject,
            j.state, j.run_at, j.fence, j.failures, j.last_error, j.first_run_at, j.created_at ",
            $rest
        )
    };
}

statements! {
    /// Walks `jobs_dead`, or a partner's jobs.
    DEAD = select!(
        "FROM jobs j WHERE j.mode = $1 AND j.state = 'dead' AND (j.kind = $2 OR $2 = '')
        AND (j.partner_id = $3 OR $3 = '') AND (j.partner_id, j.job_id) > ($4, $5)
        ORDER BY j.partner_id, j.job_id LIMIT $6"
    );
    /// Walks `jobs_due`.
    READY = select!(
        "FROM jobs j WHERE j.mode = $1 AND j.state = 'ready' AND (j.kind = $2 OR $2 = '')
        AND (j.partner_id = $3 OR $3 = '') AND j.run_at >= $4
        AND (j.run_at > $4 OR j.job_id > $5) ORDER BY j.run_at, j.job_id LIMIT $6"
    );
    FIND = select!(
        "FROM (SELECT partner_id FROM partners WHERE mode = $1
        UNION ALL SELECT 'prt_00000000000070008000000000000000') q
        CROSS JOIN jobs j WHERE j.mode = $1 AND j.partner_id = q.partner_id AND j.job_id = $2
        ORDER BY j.partner_id LIMIT 1"
    );
    OF_PARTNER = select!("FROM jobs j WHERE j.mode = $1 AND j.partner_id = $2 AND j.job_id = $3");
    RETRY = "UPDATE jobs SET state = 'ready', run_at = $5, leased = FALSE, failures = 0, first_run_at = NULL,
        fence = fence + 1 WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND fence = $4";
    CANCEL = "DELETE FROM jobs WHERE mode = $1 AND partner_id = $2 AND job_id = $3 AND fence = $4";
}

/// A job as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Whose it is.
    pub partner_id: PartnerId,
    /// That partner's code; empty for nobody's.
    pub partner: String,
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// To what.
    pub subject: String,
    /// `ready` or `dead`.
    pub state: String,
    /// When it runs next, or when its lease ends.
    pub run_at: Timestamp,
    /// The number of its last claim.
    pub fence: i64,
    /// How often it failed in a row.
    pub failures: i64,
    /// Why it failed last.
    pub last_error: String,
    /// When it was first claimed.
    pub first_run_at: Option<Timestamp>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Which jobs are wanted. Empty texts want all.
#[derive(Debug, Clone, Copy)]
pub struct JobFilter<'a> {
    /// Of this mode.
    pub mode: Mode,
    /// Of this partner.
    pub partner_id: Option<PartnerId>,
    /// Of this kind.
    pub kind: &'a str,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    partner: Option<String>,
    partner_id: String,
    job_id: String,
    kind: String,
    subject: String,
    state: String,
    run_at: i64,
    fence: i64,
    failures: i64,
    last_error: String,
    first_run_at: Option<i64>,
    created_at: i64,
}

impl JobRow {
    fn into_record(self) -> Result<JobRecord> {
        let row = Row { table: "jobs", key: &self.job_id };
        Ok(JobRecord {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            id: row.parse("job_id", &self.job_id)?,
            // The import of a catalogue is nobody's.
            partner: self.partner.unwrap_or_default(),
            kind: self.kind,
            subject: self.subject,
            state: self.state,
            run_at: Timestamp::from_micros(self.run_at),
            fence: self.fence,
            failures: self.failures,
            last_error: self.last_error,
            first_run_at: self.first_run_at.map(Timestamp::from_micros),
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

fn text(id: Option<PartnerId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

impl Tx {
    /// Jobs that were given up, by partner and id, after one of them.
    pub async fn dead_jobs(
        &mut self,
        filter: JobFilter<'_>,
        (partner, job): (&str, &str),
        limit: i64,
    ) -> Result<Vec<JobRecord>> {
        let (mode, of) = (filter.mode.as_str(), text(filter.partner_id));
        let rows = fetch_all!(self, JobRow, DEAD, mode, filter.kind, of, partner, job, limit)?;
        rows.into_iter().map(JobRow::into_record).collect()
    }

    /// Jobs that are to run, as they fall due, after one of them.
    pub async fn ready_jobs(
        &mut self,
        filter: JobFilter<'_>,
        (run_at, job): (i64, &str),
        limit: i64,
    ) -> Result<Vec<JobRecord>> {
        let (mode, of) = (filter.mode.as_str(), text(filter.partner_id));
        let rows = fetch_all!(self, JobRow, READY, mode, filter.kind, of, run_at, job, limit)?;
        rows.into_iter().map(JobRow::into_record).collect()
    }

    /// A job of whichever partner.
    pub async fn find_job(&mut self, mode: Mode, id: JobId) -> Result<Option<JobRecord>> {
        let row = fetch_optional!(self, JobRow, FIND, mode.as_str(), id.to_string())?;
        row.map(JobRow::into_record).transpose()
    }

    /// A job of a partner.
    pub async fn job_record(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        id: JobId,
    ) -> Result<Option<JobRecord>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, JobRow, OF_PARTNER, mode, partner, id.to_string())?;
        row.map(JobRow::into_record).transpose()
    }

    /// Makes a job due as if it had never failed, provided that nobody claimed it since it was
    /// read. Whoever runs it now can no longer write its outcome.
    pub async fn retry_job(&mut self, mode: Mode, job: &JobRecord, now: Timestamp) -> Result<()> {
        let (word, partner, id) = (mode.as_str(), job.partner_id.to_string(), job.id.to_string());
        let changed = execute!(self, RETRY, word, partner, id, job.fence, now.as_micros())?;
        one_row(changed, "the job")
    }

    /// Drops a job, provided that nobody claimed it since it was read.
    pub async fn cancel_job(&mut self, mode: Mode, job: &JobRecord) -> Result<()> {
        let (word, partner, id) = (mode.as_str(), job.partner_id.to_string(), job.id.to_string());
        let changed = execute!(self, CANCEL, word, partner, id, job.fence)?;
        one_row(changed, "the job")
    }
}
