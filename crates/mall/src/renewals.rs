//! Agreements to renew: made with a paid order, cancelled by the partner.

use domain::id::OrderId;
use domain::order::Order;
use domain::partner::Partner;
use domain::renewal::{Renewal, RenewalState};
use domain::{Timestamp, Zone};
use store::Tx;
use wire::Code;
use wire::renewals::{
    AutoRenewalHistory, AutoRenewalRecord, AutoRenewalRecordListAnswer, CancelAutoRenewalRecord,
    QueryAutoRenewalRecord, QueryAutoRenewalRecordList,
};

use crate::error::{Error, Result};
use crate::sims::{DEVICE_CODE, known_sim, shown_name};
use crate::{Caller, Mall};

/// How many agreements of a SIM a history shows.
const HISTORY_MAX: i64 = 200;
/// Through how many orders a renewal is followed back to its first.
const CHAIN_MAX: u32 = 1_000;

impl Mall {
    /// Makes the agreement that an order asks for, once its plan is on the SIM, unless the order renews
    /// the agreement in force. A later agreement takes the place of an earlier one: a SIM has one at
    /// most.
    pub(crate) async fn agree_renewal(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        if !order.auto_renewal {
            return Ok(());
        }
        let (mode, partner, now) = (order.mode, order.partner_id, self.ctx.now());
        if let Some(mut in_force) = tx.active_renewal(mode, partner, &order.iccid).await? {
            if renews(tx, order, in_force.order_id).await? {
                in_force.renewed = true;
                return Ok(tx.schedule_renewal(mode, partner, &in_force).await?);
            }
            tx.end_renewal(mode, partner, &in_force, (RenewalState::Replaced, now)).await?;
            if let Some(replaced) = tx.order(mode, partner, in_force.order_id).await? {
                self.end_subscription(tx, &replaced).await?;
            }
        }
        let renewal = Renewal {
            id: self.ctx.id(),
            iccid: order.iccid.clone(),
            order_id: order.id,
            state: RenewalState::Active,
            agreed_at: now,
            ended_at: None,
            next_at: None,
            renewed: false,
        };
        Ok(tx.insert_renewal(mode, partner, &renewal).await?)
    }

    /// Notes when the agreement of a SIM is due next: when the last plan of its queue ends.
    pub(crate) async fn schedule_renewal(
        &self,
        tx: &mut Tx,
        order: &Order,
        next_at: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (order.mode, order.partner_id);
        if let Some(mut renewal) = tx.active_renewal(mode, partner, &order.iccid).await? {
            renewal.next_at = Some(next_at);
            tx.schedule_renewal(mode, partner, &renewal).await?;
        }
        Ok(())
    }

    /// 5.5: the agreement in force.
    pub async fn query_renewal(
        &self,
        caller: &Caller,
        request: &QueryAutoRenewalRecord,
    ) -> Result<Option<AutoRenewalRecord>> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, &request.iccid, DEVICE_CODE).await?;
        match tx.active_renewal(partner.mode, partner.id, &sim.iccid).await? {
            Some(renewal) => record(&mut tx, caller, &renewal).await.map(Some),
            None => Ok(None),
        }
    }

    /// 5.8: all agreements of a SIM.
    pub async fn list_renewals(
        &self,
        caller: &Caller,
        request: &QueryAutoRenewalRecordList,
    ) -> Result<AutoRenewalRecordListAnswer> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let sim = known_sim(&mut tx, partner, &request.iccid, DEVICE_CODE).await?;
        let renewals =
            tx.renewals_of_sim(partner.mode, partner.id, &sim.iccid, HISTORY_MAX).await?;
        let mut record_list = Vec::with_capacity(renewals.len());
        for renewal in renewals {
            record_list.push(AutoRenewalHistory {
                record: record(&mut tx, caller, &renewal).await?,
                status: renewal.state.as_str().to_uppercase(),
                cancel_time: time(renewal.ended_at, &partner.zone),
                next_renewal_time: time(renewal.next_at, &partner.zone),
                last_result: if renewal.renewed { "success" } else { "" }.to_owned(),
            });
        }
        Ok(AutoRenewalRecordListAnswer { record_list })
    }

    /// 5.6: cancels an agreement. Cancelling twice succeeds; one that a later agreement replaced is not
    /// known any more, so that nobody believes to have stopped the later one.
    pub async fn cancel_renewal(
        &self,
        caller: &Caller,
        request: &CancelAutoRenewalRecord,
    ) -> Result<()> {
        let partner = &caller.partner;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let sim = known_sim(&mut tx, partner, &request.iccid, DEVICE_CODE).await?;
            let order = tx.order_by_no(partner.mode, partner.id, &request.order_no).await?;
            let order =
                order.filter(|order| order.pay_id == request.pay_id && order.iccid == sim.iccid);
            let order = order.ok_or(Code::RenewalUnknown)?;
            let renewal = tx.renewal_by_order(partner.mode, partner.id, order.id).await?;
            let renewal = renewal.filter(|renewal| renewal.state != RenewalState::Replaced);
            let renewal = renewal.ok_or(Code::RenewalUnknown)?;
            if renewal.state == RenewalState::Active {
                let ended = (RenewalState::Cancelled, self.ctx.now());
                tx.end_renewal(partner.mode, partner.id, &renewal, ended).await?;
                self.end_subscription(&mut tx, &order).await?;
                tx.commit().await?;
                self.bell.notify_one();
            }
            Ok(())
        })
        .await
    }
}

/// Whether an order renews, at once or through others, what began with `first`. An order that we do not
/// know ends the chain and is no mistake: the partner may have come from elsewhere.
async fn renews(tx: &mut Tx, order: &Order, first: OrderId) -> Result<bool> {
    let (mode, partner) = (order.mode, order.partner_id);
    let mut number = order.org_order_id.clone();
    for _ in 0..CHAIN_MAX {
        if number.is_empty() {
            return Ok(false);
        }
        let mut earlier = tx.order_by_no(mode, partner, &number).await?;
        if let (None, Ok(id)) = (&earlier, number.parse()) {
            earlier = tx.order(mode, partner, id).await?;
        }
        match earlier {
            Some(earlier) if earlier.id == first => return Ok(true),
            Some(earlier) => number = earlier.org_order_id,
            None => return Ok(false),
        }
    }
    Ok(false)
}

async fn record(tx: &mut Tx, caller: &Caller, renewal: &Renewal) -> Result<AutoRenewalRecord> {
    let partner: &Partner = &caller.partner;
    let order = tx.order(partner.mode, partner.id, renewal.order_id).await?;
    let order = order.ok_or_else(|| Error::Internal(format!("{} has no order", renewal.id)))?;
    let names = tx.plan_name(partner.mode, &order.plan_code).await?;
    Ok(AutoRenewalRecord {
        device_code: renewal.iccid.as_str().to_owned(),
        order_no: order.order_no,
        order_period: order.length.periods.to_string(),
        package_type: order.length.unit.code().to_owned(),
        partner_code: partner.code.clone(),
        pay_id: order.pay_id,
        service_plan_show_name: shown_name(names.get(caller.locale), &order.show_name),
        subscription_time: renewal.agreed_at.dotted_date(&partner.zone),
    })
}

fn time(at: Option<Timestamp>, zone: &Zone) -> String {
    at.map(|at| at.date_time(zone)).unwrap_or_default()
}
