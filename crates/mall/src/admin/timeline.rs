//! All that is known of an order, as it happened: for whoever must explain it.

use domain::id::OrderId;
use domain::order::{Order, OrderState};
use domain::payment::Payment;
use domain::refund::Refund;
use domain::{Mode, Span, Timestamp};
use serde_json::{Value, json};
use store::{
    Attempt, AttemptState, AuditFilter, CashierEvent, FoundOrder, JobKind, JobRecord,
    LoggedRequest, PostingRecord, SealedEntry, SimPlan,
};
use wire::admin::{Problem, order as shape};

use super::orders::shown;
use super::text;
use crate::Mall;
use crate::error::Result;

/// Requests about an order are looked for from so long before it was made until so long after.
const REQUESTS_WITHIN: Span = Span::minutes(1);
/// The most requests, and the most acts of operators, that are shown.
const SHOWN_MAX: i64 = 100;

/// What happened, with its time.
pub(super) struct Happened(
    pub(super) Timestamp,
    pub(super) &'static str,
    pub(super) String,
    pub(super) Value,
);

impl Mall {
    /// All that is known of an order, the first thing first.
    pub async fn order_timeline(&self, mode: Mode, id: &str) -> Result<shape::Timeline> {
        let unknown = || Problem::not_found("order");
        let order_id: OrderId = id.parse().map_err(|_| unknown())?;
        let mut tx = self.store.read().await?;
        let FoundOrder { order, partner } =
            tx.find_order(mode, order_id).await?.ok_or_else(unknown)?;
        let whose = (mode, order.partner_id);
        let mut all = Vec::new();
        let within = (order.created_at - REQUESTS_WITHIN, order.created_at + REQUESTS_WITHIN);
        let requests = tx.requests_of_order(whose, &order.order_no, within, SHOWN_MAX).await?;
        all.extend(requests.iter().map(request));
        all.extend(made(&order));
        if let Some(payment) = tx.payment_of_order(mode, order.partner_id, order_id).await? {
            all.extend(paid(&order, &payment));
        }
        let events = tx.cashier_events(mode, order.partner_id, order_id).await?;
        all.extend(events.iter().map(told));
        let refunds = tx.refunds_of_order(mode, order.partner_id, order_id).await?;
        all.extend(refunds.iter().flat_map(refunded));
        let attempts = tx.attempts(mode, order.partner_id, order_id).await?;
        all.extend(attempts.iter().flat_map(asked));
        if let Some(plan) = tx.sim_plan_of_order(&order).await? {
            all.extend(put_on_sim(&order, &plan, attempts.is_empty()));
        }
        all.extend(tx.postings_of_order(whose, order_id).await?.iter().map(booked));
        let mut objects = vec![format!("orders/{id}")];
        for kind in [JobKind::Provision, JobKind::CloseOrder, JobKind::FollowPayment] {
            let job_id = kind.job_id(id);
            all.extend(tx.job_record(whose, job_id).await?.iter().map(standing));
            objects.push(format!("jobs/{job_id}"));
        }
        for object in objects {
            all.extend(tx.audit_page(&acts_on(object), SHOWN_MAX).await?.iter().map(act));
        }
        Ok(shape::Timeline { order: shown(&order, &partner), entries: entries(all) })
    }
}

/// The entries of a timeline.
pub(super) fn entries(mut all: Vec<Happened>) -> Vec<shape::TimelineEntry> {
    // What happened at one time stays in the order of a life.
    all.sort_by_key(|happened| happened.0);
    all.truncate(shape::TIMELINE_MAX);
    let entry = |Happened(at, kind, what, details): Happened| shape::TimelineEntry {
        at: text(at),
        kind: kind.to_owned(),
        what,
        details,
    };
    all.into_iter().map(entry).collect()
}

fn request(request: &LoggedRequest) -> Happened {
    let form = if request.form.is_empty() { "no good signature" } else { &request.form };
    let LoggedRequest { route, code, took_us, .. } = request;
    let what = format!("asked: {route}, signed {form}, answered {code} in {took_us} us");
    let details = json!({
        "request_id": request.id.to_string(), "route": request.route, "status": request.status,
        "code": request.code, "form": request.form, "key_id": request.key_id,
        "address": request.address, "trace_id": request.trace,
    });
    Happened(request.at, "request", what, details)
}

fn made(order: &Order) -> Vec<Happened> {
    let (plan, sim, source) = (&order.plan_code, order.iccid.as_str(), order.source.as_str());
    let what = format!("made ({source}): {} of {plan} for {sim}", order.length.periods);
    let details = json!({"order_no": order.order_no, "pay_id": order.pay_id});
    let mut all = vec![Happened(order.created_at, "order", what, details)];
    if let OrderState::AwaitingPayment { closes_at } = order.state {
        let what = "closes then if it is not paid".to_owned();
        all.push(Happened(closes_at, "order", what, Value::Null));
    }
    all
}

fn paid(order: &Order, payment: &Payment) -> Option<Happened> {
    let at = order.state.paid_at().or_else(|| payment.state.result_at())?;
    let (state, amount) = (payment.state.name(), payment.amount.decimal());
    let currency = payment.amount.currency.code();
    let what = format!("payment {state}: {amount} {currency} by {}", payment.channel.as_str());
    let details = json!({
        "payment_id": payment.id.to_string(), "transaction_id": payment.report.transaction_id,
    });
    Some(Happened(at, "payment", what, details))
}

pub(super) fn told(event: &CashierEvent) -> Happened {
    let what = format!("the cashier told of {}: {}", event.kind, event.object_id);
    let details = json!({"event_id": event.id, "happened_at": text(event.created_at)});
    Happened(event.received_at, "payment", what, details)
}

fn refunded(refund: &Refund) -> Vec<Happened> {
    let (amount, currency) = (refund.amount.decimal(), refund.amount.currency.code());
    let (actor, reason) = (&refund.actor, &refund.reason);
    let what = format!("{actor} wants {amount} {currency} to go back: {reason}");
    let details = json!({
        "refund_id": refund.id.to_string(), "cashier_id": refund.cashier_id,
        "payment_intent": refund.intent_id,
    });
    let mut all = vec![Happened(refund.created_at, "payment", what, details)];
    if let Some(at) = refund.ended_at {
        let why =
            if refund.failure.is_empty() { String::new() } else { format!(": {}", refund.failure) };
        let what = format!("the refund {}{why}", refund.state.as_str());
        all.push(Happened(at, "payment", what, Value::Null));
    }
    all
}

fn asked(attempt: &Attempt) -> Vec<Happened> {
    let Attempt { no, carrier, carrier_product, .. } = attempt;
    let details = json!({
        "attempt": no, "carrier": carrier, "product": carrier_product,
        "key": attempt.upstream_key, "upstream_id": attempt.upstream_id,
        "state": attempt.state.as_str(), "snapshot": attempt.snapshot,
    });
    let asks = match attempt.state {
        AttemptState::Reading => format!("attempt {no}: reads the SIM at {carrier}"),
        _ => format!("attempt {no}: sent to {carrier} for {carrier_product}"),
    };
    let mut all = vec![Happened(attempt.sent_at, "attempt", asks, details)];
    for (at, words) in attempt.lines() {
        // It is written by us, in this form.
        let at = Timestamp::parse_rfc3339(at).unwrap_or(attempt.sent_at);
        all.push(Happened(at, "attempt", format!("attempt {no}: heard: {words}"), Value::Null));
    }
    if let Some(at) = attempt.heard_at {
        let what = format!("attempt {no} is {}", attempt.state.as_str());
        all.push(Happened(at, "attempt", what, Value::Null));
    }
    all
}

fn put_on_sim(order: &Order, plan: &SimPlan, at_once: bool) -> Option<Happened> {
    let OrderState::Provisioned { provisioned_at, .. } = order.state else { return None };
    let how = if at_once { format!(", done at once by {}", order.carrier) } else { String::new() };
    let (place, state) = (plan.queued.queue_no, plan.queued.state.name());
    let what = format!("the plan is on the SIM at place {place}, {state}{how}");
    let times = plan.queued.state.times();
    let details = json!({
        "upstream_id": order.upstream_id,
        "effective_at": times.map(|(begin, _)| text(begin)),
        "expires_at": times.map(|(_, end)| text(end)),
    });
    Some(Happened(provisioned_at, "plan", what, details))
}

fn booked(booked: &PostingRecord) -> Happened {
    let posting = &booked.posting;
    let (amount, currency) = (posting.amount.decimal(), posting.amount.currency.code());
    let (debit, credit) = (posting.debit.as_str(), posting.credit.as_str());
    let what =
        format!("booked {}: {amount} {currency}, {debit} to {credit}", posting.kind.as_str());
    Happened(booked.created_at, "posting", what, Value::Null)
}

pub(super) fn standing(job: &JobRecord) -> Happened {
    let why = if job.last_error.is_empty() { "nothing yet" } else { &job.last_error };
    let what = format!("the job {} is {}, then: {why}", job.kind, job.state);
    let details = json!({"job_id": job.id.to_string(), "failures": job.failures});
    Happened(job.run_at, "job", what, details)
}

/// All that operators did to an object.
pub(super) fn acts_on(object: String) -> AuditFilter {
    AuditFilter {
        token_id: String::new(),
        action: String::new(),
        mode: String::new(),
        object,
        from: Timestamp::from_micros(i64::MIN),
        to: Timestamp::from_micros(i64::MAX),
        // After every entry's id.
        before_id: "b".to_owned(),
    }
}

pub(super) fn act(entry: &SealedEntry) -> Happened {
    let entry = &entry.entry;
    let after: Value = serde_json::from_str(&entry.after).unwrap_or_default();
    let said =
        |name: &str| after[name].as_str().map(|text| format!(": {text}")).unwrap_or_default();
    let what =
        format!("{} did {}{}{}", entry.token_name, entry.action, said("finding"), said("reason"));
    Happened(entry.at, "operator", what, json!({"audit_id": entry.id, "token_id": entry.token_id}))
}
