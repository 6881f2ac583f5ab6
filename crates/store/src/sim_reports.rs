//! What carriers last said of SIMs.

use domain::id::PartnerId;
use domain::{Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_optional, statements};
use crate::error::Result;
use crate::sim_plans::SimKey;

statements! {
    FIND = "SELECT report, asked_at FROM sim_reports
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    PUT = "INSERT INTO sim_reports (mode, partner_id, iccid, report, asked_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mode, partner_id, iccid) DO UPDATE
        SET report = excluded.report, asked_at = excluded.asked_at
        WHERE sim_reports.asked_at < excluded.asked_at";
    HASTEN = "UPDATE jobs SET run_at = $4 WHERE mode = $1 AND partner_id = $2 AND job_id = $3
        AND state = 'ready' AND run_at > $4";
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    report: String,
    asked_at: i64,
}

impl Tx {
    /// What its carrier last said of a SIM, and when it was asked.
    pub async fn sim_report(
        &mut self,
        (mode, partner, iccid): &SimKey,
    ) -> Result<Option<(String, Timestamp)>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, ReportRow, FIND, mode, partner, iccid.as_str())?;
        Ok(row.map(|row| (row.report, Timestamp::from_micros(row.asked_at))))
    }

    /// Remembers what a carrier said of a SIM, unless something later is remembered.
    pub async fn put_sim_report(
        &mut self,
        (mode, partner, iccid): &SimKey,
        report: &str,
        asked_at: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        execute!(self, PUT, mode, partner, iccid.as_str(), report, asked_at.as_micros())?;
        Ok(())
    }

    /// Lets an order that its carrier works on be asked about now. If a worker has it at this moment, it is asked
    /// about twice, and only the later answer is written.
    pub async fn hasten_order(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        job: domain::id::JobId,
        now: Timestamp,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        Ok(execute!(self, HASTEN, mode, partner, job.to_string(), now.as_micros())? == 1)
    }
}
