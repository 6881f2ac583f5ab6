//! The plans on a SIM.

use domain::id::{OrderId, PartnerId};
use domain::package::PlanLength;
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// All columns of [`SimPlanRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.sim_plan_id, s.order_id, s.queue_no, s.unit, s.periods, s.calendar, s.state,
            s.added_at, s.effective_at, s.expires_at, o.plan_code, o.show_name
            FROM sim_plans s JOIN orders o ON o.mode = s.mode AND o.partner_id = s.partner_id
            AND o.order_id = s.order_id WHERE s.mode = $1 AND s.partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO sim_plans (mode, partner_id, sim_plan_id, iccid, order_id, queue_no, unit,
        periods, calendar, state, added_at, effective_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    UPDATE = "UPDATE sim_plans SET state = $4, effective_at = $5, expires_at = $6
        WHERE mode = $1 AND partner_id = $2 AND sim_plan_id = $3 AND state = $7";
    /// The queue of a SIM: what runs and what waits, in order.
    QUEUE = select!("AND s.iccid = $3 AND s.state IN ('in_use', 'waiting')
        ORDER BY s.queue_no LIMIT $4");
    OF_ORDER = select!("AND s.order_id = $3");
    /// When the last plan that ran to its end did so.
    LAST_END = "SELECT CAST(MAX(expires_at) AS BIGINT) AS expires_at FROM sim_plans
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND state = 'finished'";
    LAST_QUEUE_NO = "SELECT CAST(COALESCE(MAX(queue_no), 0) AS BIGINT) AS queue_no FROM sim_plans
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
}

/// A plan on a SIM, with what its order says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SimPlan {
    /// Its place, length and state.
    pub queued: QueuedPlan,
    /// The order that bought it.
    pub order_id: OrderId,
    /// The plan's code.
    pub plan_code: String,
    /// The plan's name as the client showed it; may be empty.
    pub show_name: String,
}

#[derive(sqlx::FromRow)]
struct SimPlanRow {
    sim_plan_id: String,
    order_id: String,
    queue_no: i64,
    unit: String,
    periods: i64,
    calendar: bool,
    state: String,
    added_at: i64,
    effective_at: Option<i64>,
    expires_at: Option<i64>,
    plan_code: String,
    show_name: String,
}

/// What runs and what waits on a SIM.
#[derive(Debug, Clone, PartialEq)]
pub struct SimQueue {
    /// The plans in the order in which they run, the first 1,000.
    pub plans: Vec<SimPlan>,
    /// When the plan before them ended; nothing may begin earlier.
    pub free_since: Option<Timestamp>,
}

/// How many plans of a SIM are looked at; those behind them wait unseen.
const QUEUE_MAX: i64 = 1_000;

#[derive(sqlx::FromRow)]
struct EndRow {
    expires_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct QueueNoRow {
    queue_no: i64,
}

impl SimPlanRow {
    fn into_sim_plan(self) -> Result<SimPlan> {
        let row = Row { table: "sim_plans", key: &self.sim_plan_id };
        let time = |column, value| row.needed(column, value).map(Timestamp::from_micros);
        let effective_at = || time("effective_at", self.effective_at);
        let expires_at = || time("expires_at", self.expires_at);
        let state = match self.state.as_str() {
            "waiting" => SimPlanState::Waiting,
            "in_use" => {
                SimPlanState::InUse { effective_at: effective_at()?, expires_at: expires_at()? }
            }
            "finished" => {
                SimPlanState::Finished { effective_at: effective_at()?, expires_at: expires_at()? }
            }
            "revoked" => SimPlanState::Revoked,
            _ => return Err(row.corrupt("state", format!("no such state: {:?}", self.state))),
        };
        let periods = u32::try_from(self.periods).map_err(|why| row.corrupt("periods", why))?;
        let unit = row.parse("unit", &self.unit)?;
        Ok(SimPlan {
            queued: QueuedPlan {
                id: row.parse("sim_plan_id", &self.sim_plan_id)?,
                queue_no: self.queue_no,
                added_at: Timestamp::from_micros(self.added_at),
                length: PlanLength { unit, periods, calendar: self.calendar },
                state,
            },
            order_id: row.parse("order_id", &self.order_id)?,
            plan_code: self.plan_code,
            show_name: self.show_name,
        })
    }
}

fn times(state: SimPlanState) -> (Option<i64>, Option<i64>) {
    state.times().map_or((None, None), |(from, to)| (Some(from.as_micros()), Some(to.as_micros())))
}

impl Tx {
    /// Adds a plan to a SIM's queue. A unique index refuses a second plan of an order, a second one in
    /// use, and a taken place in the queue.
    pub async fn insert_sim_plan(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
        order_id: OrderId,
        plan: &QueuedPlan,
    ) -> Result<()> {
        let (effective_at, expires_at) = times(plan.state);
        execute!(
            self,
            INSERT,
            mode.as_str(),
            partner.to_string(),
            plan.id.to_string(),
            iccid.as_str(),
            order_id.to_string(),
            plan.queue_no,
            plan.length.unit.code(),
            i64::from(plan.length.periods),
            plan.length.calendar,
            plan.state.name(),
            plan.added_at.as_micros(),
            effective_at,
            expires_at,
        )?;
        Ok(())
    }

    /// Writes a plan's new state, provided that it still was in the old one.
    pub async fn update_sim_plan(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        plan: &QueuedPlan,
        old: SimPlanState,
    ) -> Result<()> {
        let (effective_at, expires_at) = times(plan.state);
        let changed = execute!(
            self,
            UPDATE,
            mode.as_str(),
            partner.to_string(),
            plan.id.to_string(),
            plan.state.name(),
            effective_at,
            expires_at,
            old.name(),
        )?;
        one_row(changed, "the plan on the SIM")
    }

    /// What runs and what waits on a SIM, in the order of its queue.
    pub async fn sim_queue(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
    ) -> Result<SimQueue> {
        let (mode, partner, iccid) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let rows = fetch_all!(self, SimPlanRow, QUEUE, mode, &partner, iccid, QUEUE_MAX)?;
        let end = fetch_optional!(self, EndRow, LAST_END, mode, &partner, iccid)?;
        Ok(SimQueue {
            plans: rows.into_iter().map(SimPlanRow::into_sim_plan).collect::<Result<_>>()?,
            free_since: end.and_then(|row| row.expires_at).map(Timestamp::from_micros),
        })
    }

    /// The plan that an order put on its SIM.
    pub async fn sim_plan_of_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<SimPlan>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, SimPlanRow, OF_ORDER, mode, partner, order_id.to_string())?;
        row.map(SimPlanRow::into_sim_plan).transpose()
    }

    /// The highest place ever taken in a SIM's queue; 0 in an empty one.
    pub async fn last_queue_no(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
    ) -> Result<i64> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, QueueNoRow, LAST_QUEUE_NO, mode, partner, iccid.as_str())?;
        Ok(row.map_or(0, |row| row.queue_no))
    }
}
