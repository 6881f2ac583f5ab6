//! Orders that the partner was already paid for (5.7): booked against its credit, exactly once.

use std::sync::Arc;

use domain::ledger::Account;
use domain::order::{Failure, Order, OrderEvent, OrderSource, OrderState};
use domain::payment::{Channel, Outcome, Payment, PaymentEvent, Report};
use domain::plan::{Plan, PriceKind};
use domain::{Money, Timestamp};
use store::Tx;
use wire::Code;
use wire::form::Problem;
use wire::vshop::{SynOrderInfo, SynOrderInfoAnswer};

use crate::error::{Error, Refusal, Result};
use crate::orders::{Paid, content_hash, find_twin};
use crate::renewals::check_renewed;
use crate::{Caller, Mall};

/// A report with its amounts and times read in the partner's terms.
struct Read<'a> {
    request: &'a SynOrderInfo,
    /// What the partner owes per period.
    settle_unit: Money,
    /// What it owes in all.
    owed: Money,
    outcome: Outcome,
    result_at: Timestamp,
    hash: Vec<u8>,
}

impl Mall {
    /// 5.7: an order that the partner was paid for, or was not, or does not know yet.
    pub async fn report_order(
        &self,
        caller: &Caller,
        request: &SynOrderInfo,
    ) -> Result<SynOrderInfoAnswer> {
        let fields = &request.order;
        let order = match self.report_new_order(caller, request).await {
            Some(order) => order,
            None => self.report_any_order(caller, request).await?,
        };
        Ok(SynOrderInfoAnswer {
            partner_code: caller.partner.code.clone(),
            device_code: fields.iccid.as_str().to_owned(),
            order_no: fields.order_no.clone(),
            pay_id: fields.pay_id.clone(),
            order_id: order.0,
            order_status: order.1.to_owned(),
        })
    }

    /// The plain case: a new, paid order that nothing speaks against by what the node remembers.
    async fn report_new_order(
        &self,
        caller: &Caller,
        request: &SynOrderInfo,
    ) -> Option<(String, &'static str)> {
        let partner = &caller.partner;
        let read = self.read_report(caller, request).ok()?;
        let (seen, catalogue) = self.remembered(partner.mode, &partner.code)?;
        let fields = &request.order;
        let stands = seen.known.partner.version == partner.version;
        // What it renews must be looked up.
        let renews = request.order.auto_renewal && !request.org_order_id.is_empty();
        let is_paid = read.outcome == Outcome::Paid;
        let is_plain = stands && is_paid && !partner.checks_luhn && !renews;
        let carrier = &catalogue.plan(&fields.service_plan_code)?.package.carrier;
        let paid = Paid { kind: PriceKind::Settlement, amount: read.owed };
        let plan = self.check_offer(&seen.known, &catalogue, carrier, (fields, &paid)).ok()?;
        if !is_plain {
            return None;
        }
        let closes_at = self.now(caller.partner.mode) + self.settings.payment_window;
        let (order, payment) = self.new_report(caller, &read, &plan, closes_at).ok()?;
        let answer = (order.id.to_string(), order.state.name());
        let by = (read.owed, seen.versions, seen.known.has_groups);
        let taken = self.take_in(order, payment, by).await;
        taken.then_some(answer)
    }

    /// Any other, and whatever the plain way did not take.
    async fn report_any_order(
        &self,
        caller: &Caller,
        request: &SynOrderInfo,
    ) -> Result<(String, &'static str)> {
        let known = self.authenticate_now(&caller.credentials).await?;
        let caller = &Caller { partner: Arc::clone(&known.partner), ..caller.clone() };
        let read = &self.read_report(caller, request)?;
        let order = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let twin = find_twin(&mut tx, &caller.partner, &request.order, &read.hash).await?;
                let before = twin.as_ref().map(|order| order.version);
                let order = match twin {
                    Some(order) => self.repeat_report(&mut tx, order, read).await?,
                    None => self.first_report(&mut tx, caller, read).await?,
                };
                tx.commit().await?;
                if before != Some(order.version) {
                    self.metrics.order_entered(order.mode, order.state.name());
                }
                Ok(order)
            })
            .await?;
        self.bell.notify_one();
        Ok((order.id.to_string(), order.state.name()))
    }

    fn read_report<'a>(&self, caller: &Caller, request: &'a SynOrderInfo) -> Result<Read<'a>> {
        let (partner, fields) = (&caller.partner, &request.order);
        let not_in_currency = |field| Error::from(Refusal::field(field, Problem::NotInCurrency));
        let settle_unit = Money::parse(&request.settle_price, partner.settlement_currency)
            .map_err(|_| not_in_currency("settlePrice"))?;
        let owed = settle_unit.checked_mul(fields.order_period);
        let owed = owed.map_err(|_| not_in_currency("settlePrice"))?;
        let pay_unit = request.pay_unit.as_deref().unwrap_or_default();
        if partner.checks_pay_amount {
            if pay_unit.is_empty() {
                return Err(Refusal::field("payUnit", Problem::Missing).into());
            }
            let unit = Money::parse(pay_unit, fields.pay_amount.currency);
            let unit = unit.map_err(|_| not_in_currency("payUnit"))?;
            if unit.checked_mul(fields.order_period) != Ok(fields.pay_amount) {
                return Err(Refusal::field("payAmount", Problem::NotTheProduct).into());
            }
        }
        let dated = request.pay_result_date.as_deref();
        let dated = dated.map(|text| partner.zone.parse_date_time(text)).transpose();
        let not_a_date = |_| Refusal::field("payResultDate", Problem::NotDateTime);
        let settle_minor = settle_unit.minor.to_string();
        let more = [
            request.org_order_id.as_str(),
            &request.pay_account,
            &request.pay_type,
            &shortest_decimal(pay_unit),
            &settle_minor,
        ];
        Ok(Read {
            request,
            settle_unit,
            owed,
            outcome: cashiers::third_party::outcome(&request.pay_rst, &request.pay_status),
            result_at: dated.map_err(not_a_date)?.unwrap_or_else(|| self.now(caller.partner.mode)),
            hash: content_hash(OrderSource::Reported, fields, &more),
        })
    }

    /// The first time that a number is heard of.
    async fn first_report(&self, tx: &mut Tx, caller: &Caller, read: &Read<'_>) -> Result<Order> {
        let (request, partner) = (read.request, &caller.partner);
        let fields = &request.order;
        let paid = Paid { kind: PriceKind::Settlement, amount: read.owed };
        let plan = self.check_order(tx, partner, fields, &paid).await?;
        let closes_at = self.now(caller.partner.mode) + self.settings.payment_window;
        let (order, payment) = self.new_report(caller, read, &plan, closes_at)?;
        check_renewed(tx, &order).await?;
        self.check_transaction(tx, &order, read).await?;
        self.insert_order(tx, &order, &payment).await?;
        match read.outcome {
            Outcome::Paid => self.book_report(tx, &order, read).await?,
            Outcome::Failed => self.tell_not_paid(tx, &order, "").await?,
            Outcome::Unknown => self.schedule_closing(tx, &order, closes_at).await?,
        }
        Ok(order)
    }

    /// A new order as reported, with its payment.
    fn new_report(
        &self,
        caller: &Caller,
        read: &Read<'_>,
        plan: &Plan,
        closes_at: Timestamp,
    ) -> Result<(Order, Payment)> {
        let (request, fields) = (read.request, &read.request.order);
        let mut order = self.new_order(caller, fields, plan, &read.hash);
        order.source = OrderSource::Reported;
        order.org_order_id.clone_from(&request.org_order_id);
        order.settlement = Some(read.settle_unit);
        let unpaid = OrderState::AwaitingPayment { closes_at };
        order.state = order_after(unpaid, read)?;
        let mut payment = self.new_payment(&order, Channel::ThirdParty, fields.pay_amount);
        payment.state = payment.state.on(PaymentEvent::Started)?;
        if let Some(event) = payment_event(read) {
            payment.state = payment.state.on(event)?;
        }
        payment.report = Report {
            transaction_id: request.transaction_id.clone(),
            result: request.pay_rst.clone(),
            status: request.pay_status.clone(),
            pay_type: request.pay_type.clone(),
            pay_account: request.pay_account.clone(),
            pay_unit: request.pay_unit.clone().unwrap_or_default(),
        };
        Ok((order, payment))
    }

    /// A number that was heard of before, with the same content: only an outcome that was not known
    /// yet may be news.
    async fn repeat_report(&self, tx: &mut Tx, mut order: Order, read: &Read<'_>) -> Result<Order> {
        let (mode, partner) = (order.mode, order.partner_id);
        let payment = tx.payment_of_order(mode, partner, order.id).await?;
        let mut payment =
            payment.ok_or_else(|| Error::Internal(format!("{} has no payment", order.id)))?;
        let Some(event) = payment_event(read) else {
            return Ok(order);
        };
        match payment.state.outcome() {
            Outcome::Unknown => {
                let known = &payment.report.transaction_id;
                if !known.is_empty() && !same_transaction(&payment, read) {
                    return Err(Refusal::about(Code::OrderConflict, "transactionId").into());
                }
                self.check_transaction(tx, &order, read).await?;
                learn(&mut payment, read);
                let state = payment.state.on(event)?;
                tx.update_payment(mode, partner, &mut payment, state).await?;
                let state = order_after(order.state.clone(), read)?;
                tx.update_order(&mut order, state).await?;
                if read.outcome == Outcome::Paid {
                    self.book_report(tx, &order, read).await?;
                } else {
                    self.tell_not_paid(tx, &order, "").await?;
                }
                Ok(order)
            }
            known if known != read.outcome => {
                Err(Refusal::about(Code::OrderConflict, "payRst").into())
            }
            _ if same_transaction(&payment, read) => Ok(order),
            _ => Err(Refusal::about(Code::OrderConflict, "transactionId").into()),
        }
    }

    /// Takes what is owed from the partner's credit, and books it.
    async fn book_report(&self, tx: &mut Tx, order: &Order, read: &Read<'_>) -> Result<()> {
        if !tx.book_credit(order.mode, order.partner_id, read.owed).await? {
            return Err(Code::CreditExceeded.into());
        }
        self.on_paid(tx, order, Account::PartnerReceivable, read.owed).await
    }

    /// The partner's payment reference may stand for one order only.
    async fn check_transaction(&self, tx: &mut Tx, order: &Order, read: &Read<'_>) -> Result<()> {
        let id = &read.request.transaction_id;
        let (mode, partner) = (order.mode, order.partner_id);
        if !tx.transaction_taken(mode, partner, id, order.id).await? {
            return Ok(());
        }
        // An equal report that came since the look for one holds the reference by right: look again.
        match tx.order_by_no(mode, partner, &order.order_no).await? {
            Some(twin) if twin.id != order.id => {
                Err(store::StoreError::Changed("the order's number").into())
            }
            _ => Err(Refusal::about(Code::OrderConflict, "transactionId").into()),
        }
    }
}

/// A decimal without the zeros that mean nothing: 012.360 is 12.36. An absent one stays empty.
fn shortest_decimal(text: &str) -> String {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let (whole, decimals) = (whole.trim_start_matches('0'), decimals.trim_end_matches('0'));
    if text.is_empty() { String::new() } else { format!("{whole}.{decimals}") }
}

/// The state of an order after a report.
fn order_after(state: OrderState, read: &Read<'_>) -> Result<OrderState> {
    let event = match read.outcome {
        Outcome::Unknown => return Ok(state),
        Outcome::Paid => OrderEvent::PaymentSucceeded { at: read.result_at },
        Outcome::Failed => OrderEvent::PaymentFailed(Failure {
            code: "PAYMENT_FAILED".to_owned(),
            message: "the partner reported that the payment failed".to_owned(),
        }),
    };
    Ok(state.on(event)?)
}

/// What a report says of the payment; `None` if it says nothing.
fn payment_event(read: &Read<'_>) -> Option<PaymentEvent> {
    match read.outcome {
        Outcome::Paid => Some(PaymentEvent::Succeeded(read.result_at)),
        Outcome::Failed => Some(PaymentEvent::Failed(read.result_at)),
        Outcome::Unknown => None,
    }
}

/// Takes over an outcome.
fn learn(payment: &mut Payment, read: &Read<'_>) {
    payment.report.result.clone_from(&read.request.pay_rst);
    payment.report.status.clone_from(&read.request.pay_status);
    if !read.request.transaction_id.is_empty() {
        payment.report.transaction_id.clone_from(&read.request.transaction_id);
    }
}

/// Whether a repeat names the same transaction, or none.
fn same_transaction(payment: &Payment, read: &Read<'_>) -> bool {
    let (known, said) = (&payment.report.transaction_id, &read.request.transaction_id);
    said.is_empty() || known == said
}
