//! The plans on a SIM.

use std::collections::HashMap;

use domain::id::{OrderId, PartnerId};
use domain::order::Order;
use domain::package::PlanLength;
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::{execute_many, fetch_many};

/// All columns of [`SimPlanRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.order_id, s.queue_no, s.unit, s.periods, s.calendar, s.state,
            s.added_at, s.effective_at, s.expires_at, s.counted_from, o.plan_code, o.show_name, o.carrier,
            o.carrier_product, o.upstream_id
            FROM sim_plans s JOIN orders o ON o.mode = s.mode AND o.partner_id = s.partner_id
            AND o.order_id = s.order_id WHERE s.mode = $1 AND s.partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    UPDATE = "UPDATE sim_plans SET state = $5, effective_at = $6, expires_at = $7,
        counted_from = $9
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND queue_no = $4 AND state = $8";
    /// The queue of a SIM: what runs and what waits, in order.
    QUEUE = select!("AND s.iccid = $3 AND s.state IN ('in_use', 'waiting')
        ORDER BY s.queue_no LIMIT $4");
    LAST_FINISHED = select!("AND s.iccid = $3 AND s.state = 'finished' ORDER BY s.queue_no DESC LIMIT 1");
    OF_ORDER = select!("AND s.iccid = $3 AND s.queue_no = $4");
    /// When the last plan that ran to its end did so.
    LAST_END = "SELECT CAST(MAX(expires_at) AS BIGINT) AS expires_at FROM sim_plans
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND state = 'finished'";
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
    /// The carrier that provided it.
    pub carrier: String,
    /// The carrier's product.
    pub carrier_product: String,
    /// The carrier's own id of the order; may be empty.
    pub upstream_id: String,
}

#[derive(sqlx::FromRow)]
struct SimPlanRow {
    order_id: String,
    queue_no: i64,
    unit: String,
    periods: i64,
    calendar: bool,
    state: String,
    added_at: i64,
    effective_at: Option<i64>,
    expires_at: Option<i64>,
    counted_from: Option<i64>,
    plan_code: String,
    show_name: String,
    carrier: String,
    carrier_product: String,
    upstream_id: String,
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

/// What of a SIM's plans decides where the next one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SimBook {
    /// When the plan in use ends; `None` where none is in use.
    pub runs_until: Option<Timestamp>,
    /// The highest place ever taken; 0 where there was none.
    pub last_queue_no: i64,
    /// Whether a plan is in use or waits.
    pub has_plans: bool,
    /// When the last plan that ran to its end did so.
    pub free_since: Option<Timestamp>,
}

/// Whose SIM.
pub type SimKey = (Mode, PartnerId, Iccid);

#[derive(sqlx::FromRow)]
struct BookRow {
    k_mode: String,
    k_partner: String,
    k_iccid: String,
    last_queue_no: i64,
    runs_until: Option<i64>,
    has_plans: bool,
    free_since: Option<i64>,
}

impl BookRow {
    fn into_book(self) -> Result<(SimKey, SimBook)> {
        let row = Row { table: "sim_plans", key: "a SIM's queue" };
        let mode = row.parse("mode", &self.k_mode)?;
        let key =
            (mode, row.parse("partner_id", &self.k_partner)?, row.parse("iccid", &self.k_iccid)?);
        let runs_until = self.runs_until.map(Timestamp::from_micros);
        let free_since = self.free_since.map(Timestamp::from_micros);
        let (last_queue_no, has_plans) = (self.last_queue_no, self.has_plans);
        Ok((key, SimBook { runs_until, last_queue_no, has_plans, free_since }))
    }
}

impl SimPlanRow {
    fn into_sim_plan(self) -> Result<SimPlan> {
        let row = Row { table: "sim_plans", key: &self.order_id };
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
                queue_no: self.queue_no,
                added_at: Timestamp::from_micros(self.added_at),
                length: PlanLength { unit, periods, calendar: self.calendar },
                counted_from: self.counted_from.map(Timestamp::from_micros),
                state,
            },
            order_id: row.parse("order_id", &self.order_id)?,
            plan_code: self.plan_code,
            show_name: self.show_name,
            carrier: self.carrier,
            carrier_product: self.carrier_product,
            upstream_id: self.upstream_id,
        })
    }
}

fn times(state: SimPlanState) -> (Option<i64>, Option<i64>) {
    state.times().map_or((None, None), |(from, to)| (Some(from.as_micros()), Some(to.as_micros())))
}

impl Tx {
    /// Adds a plan to a SIM's queue.
    pub async fn insert_sim_plan(
        &mut self,
        sim: &SimKey,
        id: OrderId,
        plan: &QueuedPlan,
    ) -> Result<()> {
        self.insert_sim_plans(&[(sim, id, plan)]).await
    }

    /// Adds plans to SIMs' queues. The key refuses a taken place, a unique index a second plan in use.
    pub async fn insert_sim_plans(
        &mut self,
        plans: &[(&SimKey, OrderId, &QueuedPlan)],
    ) -> Result<()> {
        for piece in self.pieces(plans) {
            let sql = format!(
                "INSERT INTO sim_plans (mode, partner_id, iccid, queue_no, order_id, unit, periods,
                calendar, state, added_at, effective_at, expires_at, counted_from) {}",
                self.rows(13, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, ((mode, partner, iccid), order_id, plan) => [
                mode.as_str(),
                partner.to_string(),
                iccid.as_str(),
                plan.queue_no,
                order_id.to_string(),
                plan.length.unit.code(),
                i64::from(plan.length.periods),
                plan.length.calendar,
                plan.state.name(),
                plan.added_at.as_micros(),
                times(plan.state).0,
                times(plan.state).1,
                plan.counted_from.map(Timestamp::as_micros),
            ])?;
        }
        Ok(())
    }

    /// What decides where the next plan of each SIM goes.
    ///
    /// Not `EXISTS`, which PostgreSQL may turn into one look through all plans of all SIMs.
    pub async fn sim_books(&mut self, sims: &[&SimKey]) -> Result<HashMap<SimKey, SimBook>> {
        let mut books = HashMap::with_capacity(sims.len());
        for piece in self.pieces(sims) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT k_mode, k_partner, k_iccid, COALESCE((SELECT MAX(queue_no) FROM sim_plans
                WHERE mode = k_mode AND partner_id = k_partner AND iccid = k_iccid), 0)
                AS last_queue_no, (SELECT expires_at FROM sim_plans WHERE mode = k_mode
                AND partner_id = k_partner AND iccid = k_iccid AND state = 'in_use') AS runs_until,
                (SELECT 1 FROM sim_plans WHERE mode = k_mode AND partner_id = k_partner AND
                iccid = k_iccid AND state IN ('in_use', 'waiting') LIMIT 1) IS NOT NULL AS has_plans,
                (SELECT MAX(expires_at) FROM sim_plans WHERE mode = k_mode
                AND partner_id = k_partner AND iccid = k_iccid AND state = 'finished') AS free_since
                FROM v",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, BookRow, sql.as_str(), piece, (mode, partner, iccid) => [
                mode.as_str(), partner.to_string(), iccid.as_str(),
            ])?;
            for row in rows {
                let (key, book) = row.into_book()?;
                books.insert(key, book);
            }
        }
        Ok(books)
    }

    /// Writes a plan's new state, provided that it still was in the old one.
    pub async fn update_sim_plan(
        &mut self,
        (mode, partner, iccid): &SimKey,
        plan: &QueuedPlan,
        old: SimPlanState,
    ) -> Result<()> {
        let (effective_at, expires_at) = times(plan.state);
        let changed = execute!(
            self,
            UPDATE,
            mode.as_str(),
            partner.to_string(),
            iccid.as_str(),
            plan.queue_no,
            plan.state.name(),
            effective_at,
            expires_at,
            old.name(),
            plan.counted_from.map(Timestamp::as_micros),
        )?;
        one_row(changed, "the plan on the SIM")
    }

    /// The plan that was the last to run to its end on a SIM.
    pub async fn last_finished_plan(
        &mut self,
        (mode, partner, iccid): &SimKey,
    ) -> Result<Option<SimPlan>> {
        let (mode, partner, iccid) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let row = fetch_optional!(self, SimPlanRow, LAST_FINISHED, mode, partner, iccid)?;
        row.map(SimPlanRow::into_sim_plan).transpose()
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
    pub async fn sim_plan_of_order(&mut self, order: &Order) -> Result<Option<SimPlan>> {
        let Some(queue_no) = order.queue_no else { return Ok(None) };
        let (mode, partner) = (order.mode.as_str(), order.partner_id.to_string());
        let iccid = order.iccid.as_str();
        let row = fetch_optional!(self, SimPlanRow, OF_ORDER, mode, partner, iccid, queue_no)?;
        row.map(SimPlanRow::into_sim_plan).transpose()
    }
}
