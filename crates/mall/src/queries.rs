//! Orders as a partner asks for them (Topup).

use domain::order::{Order, OrderState};
use domain::partner::Partner;
use domain::payment::Payment;
use domain::sim_plan::SimPlanState;
use domain::{Locale, Timestamp};
use store::Tx;
use wire::Code;
use wire::topup::{self, OrderFailure, OrderPage, QueryOrder};

use crate::error::{Error, Result};
use crate::payments::result_word;
use crate::sims::{PlanNames, flag, known_sim, turned_queue};
use crate::{Caller, Mall};

/// One order, or a page of them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Found {
    /// The order asked for.
    One(Box<topup::Order>),
    /// A SIM's orders.
    Page(OrderPage),
}

impl Mall {
    /// `GET /mall/order`.
    pub async fn query_orders(&self, caller: &Caller, request: &QueryOrder) -> Result<Found> {
        let (mode, id) = (caller.partner.mode, caller.partner.id);
        let whose = (&*caller.partner, caller.locale);
        let mut tx = self.store.read().await?;
        let order = match request {
            QueryOrder::Purchase(number) => tx.order_by_purchase_no(mode, id, number).await?,
            QueryOrder::Order(number) => match tx.order_by_no(mode, id, number).await? {
                Some(order) => Some(order),
                None => match number.parse() {
                    Ok(order_id) => tx.order(mode, id, order_id).await?,
                    Err(_) => None,
                },
            },
            QueryOrder::Sim { iccid, page_no, page_size } => {
                known_sim(&mut tx, &caller.partner, iccid, "sim_id").await?;
                let window =
                    (i64::from(*page_size), i64::from(*page_no - 1) * i64::from(*page_size));
                let (total_count, orders) = tx.orders_of_sim(mode, id, iccid, window).await?;
                let mut shown = Vec::with_capacity(orders.len());
                let mut names = PlanNames::default();
                for order in orders {
                    shown.push(show(&mut tx, whose, order, &mut names, self.now(mode)).await?);
                }
                let (page_no, page_size) = (*page_no, *page_size);
                let page = OrderPage { total_count, page_no, page_size, orders: shown };
                return Ok(Found::Page(page));
            }
        };
        let order = order.ok_or(Code::OrderUnknown)?;
        let mut names = PlanNames::default();
        Ok(Found::One(Box::new(show(&mut tx, whose, order, &mut names, self.now(mode)).await?)))
    }
}

/// An order in Topup's words, for its partner in a language.
pub(crate) async fn show(
    tx: &mut Tx,
    (partner, locale): (&Partner, Locale),
    order: Order,
    names: &mut PlanNames,
    now: Timestamp,
) -> Result<topup::Order> {
    let payment = tx.payment_of_order(order.mode, order.partner_id, order.id).await?;
    let payment = payment.ok_or_else(|| Error::Internal(format!("{} has no payment", order.id)))?;
    let show_name =
        names.shown(tx, (order.mode, locale), &order.plan_code, &order.show_name).await?;
    let plan = tx.sim_plan_of_order(&order).await?;
    let times = match plan.map(|plan| plan.queued.state) {
        // It may run since, without a job having written it down.
        Some(SimPlanState::Waiting) => {
            let turned = turned_queue(tx, partner, &order.iccid, now).await?;
            let own = turned.iter().find(|plan| plan.order_id == order.id);
            own.and_then(|plan| plan.queued.state.times())
        }
        stored => stored.and_then(SimPlanState::times),
    };
    Ok(rendered(order, payment, show_name, times))
}

/// An order in Topup's words, with all that belongs to it: its payment, its plan's name, and when its plan runs.
pub(crate) fn rendered(
    order: Order,
    payment: Payment,
    show_name: String,
    times: Option<(Timestamp, Timestamp)>,
) -> topup::Order {
    let provisioned_at = match order.state {
        OrderState::Provisioned { provisioned_at, .. } => Some(provisioned_at.as_millis()),
        _ => None,
    };
    let failure = order.state.failure().map(|failure| OrderFailure {
        code: failure.code.clone(),
        message: failure.message.clone(),
    });
    topup::Order {
        order_id: order.id.to_string(),
        purchase_order_id: order.purchase_no().to_owned(),
        status: order.state.name().to_owned(),
        auto_renewal: flag(order.auto_renewal),
        pay_amount: payment.amount.decimal(),
        pay_currency: payment.amount.currency.code().to_owned(),
        pay_result: result_word(&order, &payment).to_owned(),
        pay_channel: payment.channel.as_str().to_owned(),
        transaction_id: payment.report.transaction_id,
        settle_price: order.settlement.map(domain::Money::decimal).unwrap_or_default(),
        created_at: order.created_at.as_millis(),
        paid_at: order.state.paid_at().map(Timestamp::as_millis),
        provisioned_at,
        effective_at: times.map(|(from, _)| from.as_millis()),
        expire_at: times.map(|(_, to)| to.as_millis()),
        failure,
        service_plan_show_name: show_name,
        package_type: order.length.unit.code().to_owned(),
        order_period: order.length.periods,
        sim_id: order.iccid.as_str().to_owned(),
        request_order_id: order.request_order_id,
        service_plan_code: order.plan_code,
        package_code: order.package_code,
        pay_id: order.pay_id,
    }
}
