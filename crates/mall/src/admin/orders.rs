//! Orders, as operators look for them.

use domain::id::OrderId;
use domain::order::{Order, OrderState};
use domain::payment::Payment;
use domain::{Mode, Timestamp};
use store::{JobKind, OrderFilter, SimPlan};
use wire::admin::{List, Problem, order as shape};

use super::{Page, filtered, text, time};
use crate::Mall;
use crate::error::Result;

/// Which orders are wanted, as a request says it.
#[derive(Debug, Clone, Default)]
pub struct OrderQuery {
    /// Of the partner with this code.
    pub partner: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// For this SIM.
    pub iccid: Option<String>,
    /// With this number, whichever it is.
    pub number: Option<String>,
    /// Of this plan.
    pub plan: Option<String>,
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
}

/// An order as an operator sees it.
pub(super) fn shown(order: &Order, partner: &str) -> shape::Order {
    let failure = order.state.failure();
    shape::Order {
        mode: order.mode.as_str().to_owned(),
        partner: partner.to_owned(),
        order_id: order.id.to_string(),
        order_no: order.order_no.clone(),
        pay_id: order.pay_id.clone(),
        request_order_id: order.request_order_id.clone(),
        org_order_id: order.org_order_id.clone(),
        source: order.source.as_str().to_owned(),
        iccid: order.iccid.as_str().to_owned(),
        plan_code: order.plan_code.clone(),
        show_name: order.show_name.clone(),
        package_code: order.package_code.clone(),
        carrier: order.carrier.clone(),
        carrier_product: order.carrier_product.clone(),
        upstream_id: order.upstream_id.clone(),
        unit: order.length.unit.word().to_owned(),
        periods: order.length.periods,
        calendar: order.length.calendar,
        settle_amount: order.settlement.map(domain::Money::decimal),
        settle_currency: order.settlement.map(|money| money.currency.code().to_owned()),
        auto_renewal: order.auto_renewal,
        state: order.state.name().to_owned(),
        failure_code: failure.map(|failure| failure.code.clone()),
        failure_message: failure.map(|failure| failure.message.clone()),
        created_at: text(order.created_at),
        closes_at: match order.state {
            OrderState::AwaitingPayment { closes_at } => Some(text(closes_at)),
            _ => None,
        },
        paid_at: order.state.paid_at().map(text),
        provisioned_at: match order.state {
            OrderState::Provisioned { provisioned_at, .. } => Some(text(provisioned_at)),
            _ => None,
        },
    }
}

fn shown_payment(payment: &Payment) -> shape::Payment {
    shape::Payment {
        payment_id: payment.id.to_string(),
        channel: payment.channel.as_str().to_owned(),
        amount: payment.amount.decimal(),
        currency: payment.amount.currency.code().to_owned(),
        state: payment.state.name().to_owned(),
        result_at: payment.state.result_at().map(text),
        transaction_id: payment.report.transaction_id.clone(),
    }
}

fn shown_plan(plan: &SimPlan) -> shape::SimPlan {
    let times = plan.queued.state.times();
    shape::SimPlan {
        queue_no: plan.queued.queue_no,
        state: plan.queued.state.name().to_owned(),
        effective_at: times.map(|(begin, _)| text(begin)),
        expires_at: times.map(|(_, end)| text(end)),
    }
}

impl Mall {
    /// Orders, the newest first.
    pub async fn list_orders(
        &self,
        mode: Mode,
        query: OrderQuery,
        page: &Page,
    ) -> Result<List<shape::Order>> {
        let from = time("from", query.from.as_deref())?;
        let to = time("to", query.to.as_deref())?;
        let mut tx = self.store.read().await?;
        let filter = OrderFilter {
            mode,
            partner: filtered(&mut tx, mode, query.partner.as_deref()).await?,
            state: query.state.unwrap_or_default(),
            iccid: query.iccid.unwrap_or_default(),
            number: query.number.unwrap_or_default(),
            plan_code: query.plan.unwrap_or_default(),
            from: from.unwrap_or(Timestamp::from_micros(i64::MIN)),
            to: to.unwrap_or(Timestamp::from_micros(i64::MAX)),
            before_id: page.after.clone(),
        };
        let found = tx.search_orders(&filter, page.limit).await?;
        Ok(List {
            items: found.orders.iter().map(|found| shown(&found.order, &found.partner)).collect(),
            next_cursor: found.next.map(hex::encode),
        })
    }

    /// An order with all that belongs to it.
    pub async fn show_order(&self, mode: Mode, id: &str) -> Result<shape::OrderDetail> {
        let unknown = || Problem::not_found("order");
        let id: OrderId = id.parse().map_err(|_| unknown())?;
        let mut tx = self.store.read().await?;
        let found = tx.find_order(mode, id).await?.ok_or_else(unknown)?;
        let (order, whose) = (&found.order, (mode, found.order.partner_id));
        let payment = tx.payment_of_order(mode, order.partner_id, id).await?;
        let plan = tx.sim_plan_of_order(order).await?;
        let postings = tx.postings_of_order(whose, id).await?;
        let mut jobs = Vec::new();
        for kind in [JobKind::Provision, JobKind::CloseOrder] {
            jobs.extend(tx.job_record(whose, kind.job_id(&id.to_string())).await?);
        }
        Ok(shape::OrderDetail {
            order: shown(order, &found.partner),
            payment: payment.as_ref().map(shown_payment),
            sim_plan: plan.as_ref().map(shown_plan),
            postings: postings.iter().map(super::ledger::shown).collect(),
            jobs: jobs.iter().map(|job| super::jobs::shown(mode, job)).collect(),
        })
    }
}
