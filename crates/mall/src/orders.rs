//! Making orders, exactly once: the same number with the same content does nothing more, with other
//! content it is a conflict, and a refused request reserves nothing.

use std::sync::Arc;

use domain::ledger::{Account, Posting};
use domain::order::{Order, OrderEvent, OrderSource, OrderState};
use domain::partner::Partner;
use domain::payment::{Channel, Payment, PaymentState, Report};
use domain::plan::{Plan, PriceKind, PriceRefusal, match_price};
use domain::{Money, Timestamp};
use sha2::{Digest, Sha256};
use store::{JobKind, Tx};
use wire::Code;
use wire::vshop::{OrderFields, SingleOrder, SingleOrderAnswer};

use crate::cache::{Catalogue, Known};
use crate::error::{Refusal, Result};
use crate::sims::sellable_sim;
use crate::{Caller, Mall};

/// The business fields of a request, reduced so that spelling does not matter: two requests with the
/// same hash mean the same.
pub(crate) fn content_hash(source: OrderSource, order: &OrderFields, more: &[&str]) -> Vec<u8> {
    let (periods, minor) = (order.order_period.to_string(), order.pay_amount.minor.to_string());
    let renewal = if order.auto_renewal { "1" } else { "0" };
    let fields = [
        source.as_str(),
        order.iccid.as_str(),
        &order.order_no,
        &order.pay_id,
        &order.request_order_id,
        &order.service_plan_code,
        &order.package_code,
        &periods,
        &minor,
        order.pay_amount.currency.code(),
        renewal,
    ];
    let mut hash = Sha256::new();
    for field in fields.iter().chain(more) {
        // The length keeps neighbours apart; no field is longer than 64 bits can count.
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().to_vec()
}

/// Looks for an order that has one of the numbers already: the same order again, a conflict, or none.
pub(crate) async fn find_twin(
    tx: &mut Tx,
    partner: &Partner,
    fields: &OrderFields,
    hash: &[u8],
) -> Result<Option<Order>> {
    let (mode, id) = (partner.mode, partner.id);
    let (found, field) = match tx.order_by_no(mode, id, &fields.order_no).await? {
        Some(order) => (Some(order), "orderNo"),
        // An equal request may have made the order since the first look: then it is found here.
        None => (tx.order_by_pay_id(mode, id, &fields.pay_id).await?, "payId"),
    };
    match found {
        Some(order) if order.content_hash == hash => Ok(Some(order)),
        Some(_) => Err(Refusal::about(Code::OrderConflict, field).into()),
        None => Ok(None),
    }
}

/// What is being paid, and under which of the partner's prices.
pub(crate) struct Paid {
    pub kind: PriceKind,
    pub amount: Money,
}

impl Mall {
    /// 5.3: an order that the mall takes the payment of.
    pub async fn create_order(
        &self,
        caller: &Caller,
        request: &SingleOrder,
    ) -> Result<SingleOrderAnswer> {
        let fields = &request.0;
        let hash = content_hash(OrderSource::Mall, fields, &[]);
        let hash = hash.as_slice();
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            if find_twin(&mut tx, &caller.partner, fields, hash).await?.is_none() {
                self.insert_unpaid(&mut tx, caller, fields, hash).await?;
                tx.commit().await?;
                self.metrics.order_entered(caller.partner.mode, "AWAITING_PAYMENT");
            }
            Ok(())
        })
        .await?;
        Ok(SingleOrderAnswer {
            device_code: fields.iccid.as_str().to_owned(),
            order_no: fields.order_no.clone(),
            partner_code: caller.partner.code.clone(),
            pay_id: fields.pay_id.clone(),
        })
    }

    async fn insert_unpaid(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        fields: &OrderFields,
        hash: &[u8],
    ) -> Result<()> {
        let now = self.now(caller.partner.mode);
        let paid = Paid { kind: PriceKind::Sale, amount: fields.pay_amount };
        let plan = self.check_order(tx, &caller.partner, fields, &paid).await?;
        let closes_at = now + self.settings.payment_window;
        let mut order = self.new_order(caller, fields, &plan, hash);
        order.state = OrderState::AwaitingPayment { closes_at };
        let payment = self.new_payment(&order, Channel::Stripe, fields.pay_amount);
        self.insert_order(tx, &order, &payment).await?;
        self.schedule_closing(tx, &order, closes_at).await
    }

    /// Whether the plan can be sold for the SIM at this price, by what stands in this transaction.
    pub(crate) async fn check_order(
        &self,
        tx: &mut Tx,
        partner: &Partner,
        fields: &OrderFields,
        paid: &Paid,
    ) -> Result<Arc<Plan>> {
        let sim = sellable_sim(tx, partner, &fields.iccid).await?;
        let seen = self.partner_now(tx, partner.mode, &partner.code).await?;
        let seen = seen.ok_or(Code::PartnerUnknown)?;
        let catalogue = self.catalogue_at(tx, partner.mode, seen.versions.catalogue).await?;
        self.check_offer(&seen.known, &catalogue, &sim.carrier, (fields, paid))
    }

    /// Whether the plan can be sold for a SIM of a carrier at this price.
    pub(crate) fn check_offer(
        &self,
        known: &Known,
        catalogue: &Catalogue,
        carrier: &str,
        (fields, paid): (&OrderFields, &Paid),
    ) -> Result<Arc<Plan>> {
        let code = &fields.service_plan_code;
        let now = self.now(known.partner.mode);
        let mut prices = known.prices(code, (now - self.settings.price_window, now)).peekable();
        // A plan without any price for the partner is not sold to it at all.
        let plan = catalogue.plan(code).filter(|plan| plan.package.code == fields.package_code);
        let plan = plan.filter(|_| prices.peek().is_some()).ok_or(Code::PlanUnknown)?;
        if plan.package.carrier != carrier {
            return Err(Code::PlanNotForSim.into());
        }
        if !plan.periods.contains(&fields.order_period) {
            return Err(Code::PeriodNotAllowed.into());
        }
        if fields.auto_renewal && !plan.renewable {
            return Err(Code::RenewalNotAllowed.into());
        }
        let units = prices.filter(|(kind, _)| *kind == paid.kind).map(|(_, unit)| unit);
        match match_price(paid.amount, fields.order_period, units) {
            Ok(_) => Ok(Arc::clone(plan)),
            // What the end user paid in is the partner's own affair when it reports an order.
            Err(PriceRefusal::Currency) if paid.kind == PriceKind::Sale => {
                Err(Refusal::about(Code::CurrencyMismatch, "payCurrency").into())
            }
            Err(_) if paid.kind == PriceKind::Sale => {
                Err(Refusal::about(Code::PriceMismatch, "payAmount").into())
            }
            Err(_) => Err(Refusal::about(Code::PriceMismatch, "settlePrice").into()),
        }
    }

    /// An order of a checked request, from the mall and not paid until the caller says otherwise.
    pub(crate) fn new_order(
        &self,
        caller: &Caller,
        fields: &OrderFields,
        plan: &Plan,
        hash: &[u8],
    ) -> Order {
        let now = self.now(caller.partner.mode);
        Order {
            mode: caller.partner.mode,
            partner_id: caller.partner.id,
            id: self.ctx.id_at(now),
            order_no: fields.order_no.clone(),
            pay_id: fields.pay_id.clone(),
            request_order_id: fields.request_order_id.clone(),
            org_order_id: String::new(),
            source: OrderSource::Mall,
            iccid: fields.iccid.clone(),
            plan_code: plan.code.clone(),
            show_name: fields.service_plan_show_name.clone(),
            package_code: plan.package.code.clone(),
            carrier: plan.package.carrier.clone(),
            carrier_product: plan.package.carrier_product.clone(),
            length: domain::package::PlanLength {
                unit: plan.package.kind,
                periods: fields.order_period,
                calendar: plan.package.calendar,
            },
            settlement: None,
            auto_renewal: fields.auto_renewal,
            content_hash: hash.to_vec(),
            state: OrderState::AwaitingPayment { closes_at: now },
            version: 0,
            queue_no: None,
            upstream_id: String::new(),
            created_at: now,
            trade_type: caller.trade_type.clone(),
            mark: caller.mark.clone(),
            terminal: caller.terminal.clone(),
        }
    }

    /// A payment of an order that nobody has tried yet.
    pub(crate) fn new_payment(&self, order: &Order, channel: Channel, amount: Money) -> Payment {
        Payment {
            id: self.ctx.id(),
            order_id: order.id,
            channel,
            amount,
            state: PaymentState::Created,
            version: 0,
            report: Report::default(),
        }
    }

    /// Writes a new order with its payment. A number that was taken meanwhile is a lost race: the
    /// whole use-case runs again and finds the winner.
    pub(crate) async fn insert_order(
        &self,
        tx: &mut Tx,
        order: &Order,
        payment: &Payment,
    ) -> Result<()> {
        if !tx.insert_order(order, payment).await? {
            return Err(store::StoreError::Changed("a number of the order").into());
        }
        Ok(())
    }

    /// Writes the job that closes an order if it is not paid in time.
    pub(crate) async fn schedule_closing(
        &self,
        tx: &mut Tx,
        order: &Order,
        closes_at: Timestamp,
    ) -> Result<()> {
        self.write_job(tx, order, (JobKind::CloseOrder, order.id.to_string()), closes_at).await
    }

    /// Writes a job about an order.
    pub(crate) async fn write_job(
        &self,
        tx: &mut Tx,
        order: &Order,
        (kind, subject): (JobKind, String),
        run_at: Timestamp,
    ) -> Result<()> {
        let job = self.new_job(order, (kind, subject), run_at);
        Ok(tx.insert_job(&job, self.ctx.now()).await?)
    }

    /// What follows from an order being paid, in the transaction that makes it so: the ledger and the
    /// job that provisions it. `holder` has the money or owes it.
    pub(crate) async fn on_paid(
        &self,
        tx: &mut Tx,
        order: &Order,
        holder: Account,
        amount: Money,
    ) -> Result<()> {
        let now = self.now(order.mode);
        let posting = Posting::sale(holder, amount);
        tx.insert_postings(&[(order, posting)], now).await?;
        self.write_job(tx, order, (JobKind::Provision, order.id.to_string()), now).await
    }

    /// Closes an order that was not paid in time.
    pub(crate) async fn close_if_unpaid(&self, tx: &mut Tx, order: &mut Order) -> Result<()> {
        let now = self.now(order.mode);
        let due =
            matches!(order.state, OrderState::AwaitingPayment { closes_at } if closes_at <= now);
        if !due {
            return Ok(());
        }
        let closed = order.state.clone().on(OrderEvent::TimedOut)?;
        tx.update_order(order, closed).await?;
        // What a partner reports of its own payment is not ours to cancel.
        if order.source == OrderSource::Mall {
            let (mode, partner) = (order.mode, order.partner_id);
            if let Some(mut payment) = tx.payment_of_order(mode, partner, order.id).await? {
                let cancelled = payment.state.on(domain::payment::PaymentEvent::Cancelled(now))?;
                tx.update_payment(mode, partner, &mut payment, cancelled).await?;
            }
        }
        Ok(())
    }
}
