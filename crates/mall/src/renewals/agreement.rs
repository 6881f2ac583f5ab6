//! What becomes of an agreement to renew: it is made with a paid order, periods come or do not, it ends.
//!
//! Whatever becomes true of one is written here, in the transaction that makes it so, and once: its row's key says so.
//! [`Mall::renewal_event`] is therefore the one place where `renewal.succeeded`, `renewal.failed` and
//! `renewal.cancelled` become true, and the partner is told of them.

use domain::order::Order;
use domain::renewal::{Renewal, RenewalEvent, RenewalEventKind, RenewalState};
use domain::{Iccid, Mode, Timestamp, id::PartnerId};
use store::{JobKind, SimKey, Tx};
use wire::Code;

use crate::Mall;
use crate::error::{Refusal, Result};

/// Through how many orders a renewal is followed back to its agreement.
const CHAIN_MAX: u32 = 1_000;

/// To what the order leads that another one names as renewed.
#[derive(Debug)]
enum Named {
    /// To no agreement. That we do not know it is no mistake: the partner may have come from elsewhere.
    Nothing,
    /// To an order for another SIM.
    OtherSim,
    /// To an agreement, whatever became of it.
    Agreement(Renewal),
}

/// Who ended an agreement, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) state: RenewalState,
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
}

/// Follows the orders that one renews, at once or through others, to their agreement.
async fn named(
    tx: &mut Tx,
    (mode, partner, iccid): (Mode, PartnerId, &Iccid),
    number: &str,
) -> Result<Named> {
    let mut number = number.to_owned();
    for hop in 0..CHAIN_MAX {
        if number.is_empty() {
            break;
        }
        let mut earlier = tx.order_by_no(mode, partner, &number).await?;
        if let (None, Ok(id)) = (&earlier, number.parse()) {
            earlier = tx.order(mode, partner, id).await?;
        }
        let Some(earlier) = earlier else { break };
        if earlier.iccid != *iccid {
            return Ok(if hop == 0 { Named::OtherSim } else { Named::Nothing });
        }
        if let Some(renewal) = tx.renewal_of_order(mode, partner, earlier.id).await? {
            return Ok(Named::Agreement(renewal));
        }
        number = earlier.org_order_id;
    }
    Ok(Named::Nothing)
}

/// The agreement that an order renews, if it renews one.
pub(crate) async fn renewed_by(tx: &mut Tx, order: &Order) -> Result<Option<Renewal>> {
    let whose = (order.mode, order.partner_id, &order.iccid);
    Ok(match named(tx, whose, &order.org_order_id).await? {
        Named::Agreement(renewal) => Some(renewal),
        Named::Nothing | Named::OtherSim => None,
    })
}

/// Refuses an order that is to renew what it cannot: another SIM's order, or an agreement that has ended. The partner
/// hears so before it is booked, and can tell its customer.
pub(crate) async fn check_renewed(tx: &mut Tx, order: &Order) -> Result<()> {
    if !order.auto_renewal {
        return Ok(());
    }
    let whose = (order.mode, order.partner_id, &order.iccid);
    match named(tx, whose, &order.org_order_id).await? {
        Named::OtherSim => Err(Refusal::about(Code::RenewalUnknown, "orgOrderId").into()),
        Named::Agreement(renewal) if renewal.state != RenewalState::Active => {
            Err(Refusal::about(Code::RenewalEnded, "orgOrderId").into())
        }
        Named::Agreement(_) | Named::Nothing => Ok(()),
    }
}

impl Mall {
    /// Something became true of an agreement, in the transaction that makes it so; whether it is news.
    pub(crate) async fn renewal_event(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        renewal: &Renewal,
        event: &RenewalEvent,
    ) -> Result<bool> {
        let is_news = tx.add_renewal_event((mode, partner), renewal.id, event).await?;
        if is_news {
            self.tell_of_renewal(tx, (mode, partner), (renewal, event)).await?;
        }
        Ok(is_news)
    }

    fn event(&self, mode: Mode, kind: RenewalEventKind, subject: String) -> RenewalEvent {
        let (actor, detail) = (String::new(), String::new());
        RenewalEvent { kind, subject, actor, detail, at: self.now(mode) }
    }

    /// A period did not come, or its charge was declined; the agreement as it is then is not written yet. Whether it
    /// is news.
    pub(crate) async fn renewal_failed(
        &self,
        tx: &mut Tx,
        whose: (Mode, PartnerId),
        renewal: &mut Renewal,
        (subject, detail): (String, String),
    ) -> Result<bool> {
        let event = self.event(whose.0, RenewalEventKind::Failed, subject);
        let is_news =
            self.renewal_event(tx, whose, renewal, &RenewalEvent { detail, ..event }).await?;
        renewal.misses = renewal.misses.saturating_add(u32::from(is_news));
        Ok(is_news)
    }

    /// Ends an agreement that is in force, and its subscription. The running period stays.
    pub(crate) async fn end_agreement(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        renewal: &Renewal,
        Ending { state, actor, reason }: Ending<'_>,
    ) -> Result<()> {
        tx.end_renewal(mode, partner, renewal, (state, self.now(mode))).await?;
        let kind = match state {
            RenewalState::Replaced => RenewalEventKind::Replaced,
            RenewalState::Active | RenewalState::Cancelled => RenewalEventKind::Cancelled,
        };
        let (actor, detail) = (actor.to_owned(), reason.to_owned());
        let event = RenewalEvent { actor, detail, ..self.event(mode, kind, String::new()) };
        self.renewal_event(tx, (mode, partner), renewal, &event).await?;
        if let Some(first) = tx.order(mode, partner, renewal.order_id).await? {
            self.end_subscription(tx, &first).await?;
        }
        Ok(())
    }

    /// Once an order's plan is on the SIM: it is a period of the agreement that it renews, or makes one. A later
    /// agreement takes the place of an earlier one: a SIM has one at most. An order that renews what has ended makes
    /// none: nobody agreed to it again.
    pub(crate) async fn agree_renewal(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        if !order.auto_renewal {
            return Ok(());
        }
        let (mode, partner, now) = (order.mode, order.partner_id, self.now(order.mode));
        let in_force = tx.active_renewal(mode, partner, &order.iccid).await?;
        match (renewed_by(tx, order).await?, in_force) {
            (Some(renewed), Some(in_force)) if renewed.id == in_force.id => {
                let event = self.event(mode, RenewalEventKind::Succeeded, order.id.to_string());
                self.renewal_event(tx, (mode, partner), &in_force, &event).await?;
                let after = Renewal { renewed: true, misses: 0, ..in_force.clone() };
                return Ok(tx.schedule_renewal(mode, partner, (&in_force, &after)).await?);
            }
            (Some(_), _) => return Ok(()),
            (None, Some(in_force)) => {
                let reason = format!("{} was ordered to renew instead", order.order_no);
                let state = RenewalState::Replaced;
                let ending = Ending { state, actor: "partner", reason: &reason };
                self.end_agreement(tx, (mode, partner), &in_force, ending).await?;
            }
            (None, None) => {}
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
            misses: 0,
        };
        tx.insert_renewal(mode, partner, &renewal).await?;
        let event = self.event(mode, RenewalEventKind::Agreed, order.id.to_string());
        self.renewal_event(tx, (mode, partner), &renewal, &event).await?;
        Ok(())
    }

    /// Notes when the agreement of a SIM is due next, when the last plan of its queue ends, and lets somebody wait for
    /// it where no subscription brings it.
    pub(crate) async fn schedule_renewal(
        &self,
        tx: &mut Tx,
        (mode, partner, iccid): &SimKey,
        next_at: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (*mode, *partner);
        let Some(renewal) = tx.active_renewal(mode, partner, iccid).await? else {
            return Ok(());
        };
        let after = Renewal { next_at: Some(next_at), ..renewal.clone() };
        tx.schedule_renewal(mode, partner, (&renewal, &after)).await?;
        let subscription = tx.cashier_subscription(mode, partner, renewal.order_id).await?;
        if subscription.is_some() {
            return Ok(());
        }
        if let Some(first) = tx.order(mode, partner, renewal.order_id).await? {
            let job = (JobKind::AwaitRenewal, first.id.to_string());
            self.write_job(tx, &first, job, next_at + self.settings.renewal_grace).await?;
        }
        Ok(())
    }
}
