//! Agreements to renew, as partners ask for them and cancel them.

mod agreement;
mod told;
mod wait;

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

pub(crate) use agreement::{Ending, check_renewed, renewed_by};
pub(crate) use wait::MISSES_MAX;

/// How many agreements of a SIM a history shows.
const HISTORY_MAX: i64 = 200;

impl Mall {
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
                last_result: renewal.last_result().to_owned(),
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
                let state = RenewalState::Cancelled;
                let ending = Ending { state, actor: "partner", reason: "" };
                self.end_agreement(&mut tx, (partner.mode, partner.id), &renewal, ending).await?;
                tx.commit().await?;
                self.bell.notify_one();
            }
            Ok(())
        })
        .await
    }
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
