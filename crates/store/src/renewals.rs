//! Agreements to renew.

use std::collections::HashSet;

use domain::id::{OrderId, PartnerId, RenewalId};
use domain::renewal::{Renewal, RenewalEvent, RenewalState};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::fetch_many;
use crate::sim_plans::SimKey;

/// All columns of [`RenewalRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT renewal_id, iccid, order_id, state, agreed_at, ended_at, next_at, renewed,
            misses FROM renewals WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO renewals (mode, partner_id, renewal_id, iccid, order_id, state, agreed_at,
        ended_at, next_at, renewed, misses) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10)";
    END = "UPDATE renewals SET state = $4, ended_at = $5, next_at = NULL
        WHERE mode = $1 AND partner_id = $2 AND renewal_id = $3 AND state = 'active'";
    SCHEDULE = "UPDATE renewals SET next_at = $4, renewed = $5, misses = $6
        WHERE mode = $1 AND partner_id = $2 AND renewal_id = $3 AND state = 'active'
        AND next_at IS NOT DISTINCT FROM $7 AND renewed = $8 AND misses = $9";
    ACTIVE = select!("AND iccid = $3 AND state = 'active'");
    BY_ORDER = select!("AND order_id = $3");
    OF_SIM = select!("AND iccid = $3 ORDER BY renewal_id DESC LIMIT $4");
    BY_ID = select!("AND renewal_id = $3");
    OF_ORDER = select!("AND renewal_id = (SELECT renewal_id FROM renewal_events e WHERE e.mode = $1
        AND e.partner_id = $2 AND e.subject = $3 AND e.kind IN ('agreed', 'succeeded'))");
    /// Materialized, so that the jobs are gone by once.
    UNAWAITED = "WITH w AS MATERIALIZED (SELECT partner_id, subject FROM jobs
            WHERE mode = $1 AND kind = 'await_renewal')
        SELECT r.partner_id, r.order_id, r.next_at FROM renewals r
        LEFT JOIN cashier_subscriptions c ON c.mode = r.mode AND c.partner_id = r.partner_id
            AND c.order_id = r.order_id
        LEFT JOIN w ON w.partner_id = r.partner_id AND w.subject = r.order_id
        WHERE r.mode = $1 AND r.state = 'active' AND r.next_at IS NOT NULL
        AND c.order_id IS NULL AND w.subject IS NULL LIMIT $2";
    ADD_EVENT = "INSERT INTO renewal_events (mode, partner_id, renewal_id, kind, subject, actor, detail,
        happened_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (mode, partner_id, renewal_id, kind, subject) DO NOTHING";
    /// The newest, so that those that are left out are old.
    EVENTS = "SELECT kind, subject, actor, detail, happened_at FROM renewal_events
        WHERE mode = $1 AND partner_id = $2 AND renewal_id = $3
        ORDER BY happened_at DESC, kind, subject LIMIT $4";
}

#[derive(sqlx::FromRow)]
pub(crate) struct RenewalRow {
    renewal_id: String,
    iccid: String,
    order_id: String,
    state: String,
    agreed_at: i64,
    ended_at: Option<i64>,
    next_at: Option<i64>,
    renewed: bool,
    misses: i64,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    kind: String,
    subject: String,
    actor: String,
    detail: String,
    happened_at: i64,
}

#[derive(sqlx::FromRow)]
struct UnawaitedRow {
    partner_id: String,
    order_id: String,
    next_at: i64,
}

#[derive(sqlx::FromRow)]
struct SimRow {
    mode: String,
    partner_id: String,
    iccid: String,
}

impl RenewalRow {
    pub(crate) fn into_renewal(self) -> Result<Renewal> {
        let row = Row { table: "renewals", key: &self.renewal_id };
        Ok(Renewal {
            id: row.parse("renewal_id", &self.renewal_id)?,
            iccid: row.parse("iccid", &self.iccid)?,
            order_id: row.parse("order_id", &self.order_id)?,
            state: row.parse("state", &self.state)?,
            agreed_at: Timestamp::from_micros(self.agreed_at),
            ended_at: self.ended_at.map(Timestamp::from_micros),
            next_at: self.next_at.map(Timestamp::from_micros),
            renewed: self.renewed,
            misses: u32::try_from(self.misses).map_err(|why| row.corrupt("misses", why))?,
        })
    }
}

impl Tx {
    /// Adds an agreement in force. A unique index refuses a second one for the SIM.
    pub async fn insert_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        renewal: &Renewal,
    ) -> Result<()> {
        execute!(
            self,
            INSERT,
            mode.as_str(),
            partner.to_string(),
            renewal.id.to_string(),
            renewal.iccid.as_str(),
            renewal.order_id.to_string(),
            renewal.state.as_str(),
            renewal.agreed_at.as_micros(),
            renewal.next_at.map(Timestamp::as_micros),
            renewal.renewed,
            i64::from(renewal.misses),
        )?;
        Ok(())
    }

    /// Ends an agreement that is in force.
    pub async fn end_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        renewal: &Renewal,
        (state, at): (RenewalState, Timestamp),
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let id = renewal.id.to_string();
        let changed = execute!(self, END, mode, partner, id, state.as_str(), at.as_micros())?;
        one_row(changed, "the auto-renewal")
    }

    /// Notes when an agreement in force is to renew next, whether it renewed already, and what did not come, provided
    /// that nobody noted anything else since it was read.
    pub async fn schedule_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        (before, after): (&Renewal, &Renewal),
    ) -> Result<()> {
        let noted = |renewal: &Renewal| {
            let next_at = renewal.next_at.map(Timestamp::as_micros);
            (next_at, renewal.renewed, i64::from(renewal.misses))
        };
        let (next_at, renewed, misses) = noted(after);
        let (next_before, renewed_before, misses_before) = noted(before);
        let changed = execute!(
            self,
            SCHEDULE,
            mode.as_str(),
            partner.to_string(),
            after.id.to_string(),
            next_at,
            renewed,
            misses,
            next_before,
            renewed_before,
            misses_before,
        )?;
        one_row(changed, "the auto-renewal")
    }

    async fn one_renewal(
        &mut self,
        sql: &'static str,
        (mode, partner): (Mode, PartnerId),
        key: &str,
    ) -> Result<Option<Renewal>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, RenewalRow, sql, mode, partner, key)?;
        row.map(RenewalRow::into_renewal).transpose()
    }

    /// The agreement in force for a SIM.
    pub async fn active_renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
    ) -> Result<Option<Renewal>> {
        self.one_renewal(ACTIVE, (mode, partner), iccid.as_str()).await
    }

    /// Those of many SIMs that have an agreement in force.
    pub async fn renewing_sims(&mut self, keys: &[&SimKey]) -> Result<HashSet<SimKey>> {
        let mut renewing = HashSet::new();
        for piece in self.pieces(keys) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT mode, partner_id, iccid FROM v JOIN renewals
                ON mode = k_mode AND partner_id = k_partner AND iccid = k_iccid
                WHERE state = 'active'",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, SimRow, sql.as_str(), piece,
                (mode, partner, iccid) => [mode.as_str(), partner.to_string(), iccid.as_str()])?;
            for row in rows {
                let at = Row { table: "renewals", key: "an agreement in force" };
                let mode = at.parse("mode", &row.mode)?;
                let partner = at.parse("partner_id", &row.partner_id)?;
                renewing.insert((mode, partner, at.parse("iccid", &row.iccid)?));
            }
        }
        Ok(renewing)
    }

    /// The agreement that began with an order.
    pub async fn renewal_by_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<Renewal>> {
        self.one_renewal(BY_ORDER, (mode, partner), &order_id.to_string()).await
    }

    /// All agreements of a SIM, the newest first, at most `limit`.
    pub async fn renewals_of_sim(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
        limit: i64,
    ) -> Result<Vec<Renewal>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, RenewalRow, OF_SIM, mode, partner, iccid.as_str(), limit)?;
        rows.into_iter().map(RenewalRow::into_renewal).collect()
    }

    /// An agreement by our id.
    pub async fn renewal(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        id: RenewalId,
    ) -> Result<Option<Renewal>> {
        self.one_renewal(BY_ID, (mode, partner), &id.to_string()).await
    }

    /// The agreement under which an order was made: the first, or a later one whose plan is on the SIM.
    pub async fn renewal_of_order(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<Renewal>> {
        self.one_renewal(OF_ORDER, (mode, partner), &order_id.to_string()).await
    }

    /// Agreements in force that neither a subscription nor a job brings on: their partner, the order with which they
    /// began, and when they are due.
    pub async fn unawaited_renewals(
        &mut self,
        mode: Mode,
        limit: i64,
    ) -> Result<Vec<(PartnerId, OrderId, Timestamp)>> {
        let rows = fetch_all!(self, UnawaitedRow, UNAWAITED, mode.as_str(), limit)?;
        let parsed = rows.into_iter().map(|found| {
            let row = Row { table: "renewals", key: &found.order_id };
            let partner = row.parse("partner_id", &found.partner_id)?;
            let order = row.parse("order_id", &found.order_id)?;
            Ok((partner, order, Timestamp::from_micros(found.next_at)))
        });
        parsed.collect()
    }

    /// Writes down what became true of an agreement; whether it was not known.
    pub async fn add_renewal_event(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        renewal: RenewalId,
        event: &RenewalEvent,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let (id, kind, at) = (renewal.to_string(), event.kind.as_str(), event.at.as_micros());
        let RenewalEvent { subject, actor, detail, .. } = event;
        let added = execute!(self, ADD_EVENT, mode, partner, id, kind, subject, actor, detail, at)?;
        Ok(added == 1)
    }

    /// What became true of an agreement, the first thing first; of more than `limit` the newest.
    pub async fn renewal_events(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        renewal: RenewalId,
        limit: i64,
    ) -> Result<Vec<RenewalEvent>> {
        let (mode, partner, id) = (mode.as_str(), partner.to_string(), renewal.to_string());
        let rows = fetch_all!(self, EventRow, EVENTS, mode, partner, &id, limit)?;
        let row = Row { table: "renewal_events", key: &id };
        let event = |event: EventRow| {
            Ok(RenewalEvent {
                kind: row.parse("kind", &event.kind)?,
                subject: event.subject,
                actor: event.actor,
                detail: event.detail,
                at: Timestamp::from_micros(event.happened_at),
            })
        };
        rows.into_iter().rev().map(event).collect()
    }
}
