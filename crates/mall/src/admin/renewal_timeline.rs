//! Why an auto-renewal renewed, or did not: all that is known of it, as it happened.

use domain::order::{Order, OrderState};
use domain::renewal::{RenewalEvent, RenewalEventKind, RenewalState};
use domain::{Mode, Timestamp, Zone};
use serde_json::{Value, json};
use store::{CashierSubscription, JobKind, RenewalRecord, SimKey, Tx};
use wire::admin::renewal as shape;

use super::renewals::{found, shown};
use super::text;
use super::timeline::{Happened, act, acts_on, entries, standing, told};
use crate::Mall;
use crate::error::{Error, Result};
use crate::renewals::{MISSES_MAX, renewed_by};

/// The most events of an agreement, the most orders of its SIM, and the most acts of operators that are looked at.
const SHOWN_MAX: i64 = 300;

/// An agreement with all that its timeline needs.
struct Story<'a> {
    mode: Mode,
    record: &'a RenewalRecord,
    zone: Zone,
    events: Vec<RenewalEvent>,
    subscription: Option<CashierSubscription>,
    /// Orders that came for it and are no period of it.
    others: Vec<Order>,
}

impl Mall {
    /// All that is known of an agreement, the first thing first, and why it did not renew.
    pub async fn renewal_timeline(&self, mode: Mode, id: &str) -> Result<shape::RenewalTimeline> {
        let mut tx = self.store.read().await?;
        let record = found(&mut tx, mode, id).await?;
        let story = self.story(&mut tx, mode, &record).await?;
        let mut all = Vec::new();
        let mut period = 0;
        for event in &story.events {
            period += u32::from(is_period(event.kind));
            all.push(story.event(&mut tx, event, period).await?);
        }
        all.extend(story.others.iter().map(other));
        let whose = (mode, record.partner_id);
        let first = record.renewal.order_id;
        all.extend(tx.cashier_events(mode, whose.1, first).await?.iter().map(told));
        all.extend(story.tried_again());
        all.extend(self.awaited(&story));
        let mut objects = vec![format!("renewals/{id}")];
        for kind in [JobKind::AwaitRenewal, JobKind::FollowSubscription] {
            let job_id = kind.job_id(&first.to_string());
            let job = tx.job_record(whose, job_id).await?;
            // One that only waits says no more than when the next period is due.
            let tells =
                |job: &&store::JobRecord| job.state != "ready" || !job.last_error.is_empty();
            all.extend(job.iter().filter(tells).map(standing));
            objects.push(format!("jobs/{job_id}"));
        }
        for object in objects {
            all.extend(tx.audit_page(&acts_on(object), SHOWN_MAX).await?.iter().map(act));
        }
        Ok(shape::RenewalTimeline {
            renewal: shown(mode, &record)?,
            why: self.why(&story),
            subscription: story.subscription.as_ref().map(shown_subscription),
            entries: entries(all),
        })
    }

    async fn story<'a>(
        &self,
        tx: &mut Tx,
        mode: Mode,
        record: &'a RenewalRecord,
    ) -> Result<Story<'a>> {
        let (whose, renewal) = ((mode, record.partner_id), &record.renewal);
        let partner = tx.partner(mode, whose.1).await?;
        let missing = || Error::Internal(format!("{} has no partner", renewal.id));
        let zone = partner.ok_or_else(missing)?.zone;
        let events = tx.renewal_events(whose, renewal.id, SHOWN_MAX).await?;
        let subscription = tx.cashier_subscription(mode, whose.1, renewal.order_id).await?;
        let key: SimKey = (mode, whose.1, renewal.iccid.clone());
        let (_, orders) = tx.orders_of_sim(key.0, key.1, &key.2, (SHOWN_MAX, 0)).await?;
        let mut others = Vec::new();
        for order in orders {
            let id = order.id.to_string();
            let counts = events.iter().any(|event| is_period(event.kind) && event.subject == id);
            let may = order.auto_renewal && !order.org_order_id.is_empty() && !counts;
            if may && renewed_by(tx, &order).await?.is_some_and(|one| one.id == renewal.id) {
                others.push(order);
            }
        }
        Ok(Story { mode, record, zone, events, subscription, others })
    }

    /// When the next period is due, and until when it may come.
    fn awaited(&self, story: &Story<'_>) -> Option<Happened> {
        let due = story.record.renewal.next_at?;
        let until = due + self.settings.renewal_grace;
        let local = story.local(due);
        let what = if story.subscription.is_some() {
            format!("the next period is due ({local}); the subscription pays it")
        } else {
            let until = story.local(until);
            format!("the next period is due ({local}); its order may come until {until}")
        };
        Some(Happened(due, "renewal", what, Value::Null))
    }

    /// Why it renewed last, or did not, in a sentence.
    fn why(&self, story: &Story<'_>) -> String {
        let renewal = &story.record.renewal;
        let last = |kind| story.events.iter().rev().find(|event| event.kind == kind);
        let ended = renewal.ended_at.map(|at| story.local(at)).unwrap_or_default();
        let said = |kind| last(kind).map(because).unwrap_or_default();
        match renewal.state {
            RenewalState::Cancelled => {
                let actor = last(RenewalEventKind::Cancelled).map_or("", |event| &event.actor);
                let by = if actor.is_empty() { String::new() } else { format!(" by {actor}") };
                format!("cancelled{by} on {ended}{}", said(RenewalEventKind::Cancelled))
            }
            RenewalState::Replaced => {
                format!("replaced on {ended}{}", said(RenewalEventKind::Replaced))
            }
            RenewalState::Active => self.why_active(story),
        }
    }

    fn why_active(&self, story: &Story<'_>) -> String {
        let (renewal, now) = (&story.record.renewal, self.ctx.now());
        let underway = story.others.iter().find(|order| {
            matches!(
                order.state,
                OrderState::Paid { .. }
                    | OrderState::Provisioning { .. }
                    | OrderState::Review { .. }
            )
        });
        if let Some(order) = underway {
            let state = order.state.name();
            return format!("the order {} came for it and is {state}", order.order_no);
        }
        if renewal.misses > 0 {
            let failed = story.events.iter().rev();
            let failed = failed.clone().find(|event| event.kind == RenewalEventKind::Failed);
            let more = if renewal.misses < MISSES_MAX { "" } else { "; no more is waited for" };
            let periods = if renewal.misses == 1 { "period" } else { "periods in a row" };
            let why = failed.map(because).unwrap_or_default();
            return format!("{} {periods} failed{why}{more}", renewal.misses);
        }
        match renewal.next_at {
            Some(due) if due > now => {
                format!("in force: the next period is due on {}", story.local(due))
            }
            Some(due) => {
                let until = story.local(due + self.settings.renewal_grace);
                format!(
                    "due since {}, and not come yet; it may come until {until}",
                    story.local(due)
                )
            }
            None => "in force, and nothing is due".to_owned(),
        }
    }
}

fn is_period(kind: RenewalEventKind) -> bool {
    matches!(kind, RenewalEventKind::Agreed | RenewalEventKind::Succeeded)
}

fn because(event: &RenewalEvent) -> String {
    if event.detail.is_empty() { String::new() } else { format!(": {}", event.detail) }
}

impl Story<'_> {
    /// A time as its partner's people read it.
    fn local(&self, at: Timestamp) -> String {
        format!("{} {}", at.date_time(&self.zone), self.zone.name())
    }

    async fn event(&self, tx: &mut Tx, event: &RenewalEvent, period: u32) -> Result<Happened> {
        if is_period(event.kind) {
            return self.period(tx, event, period).await;
        }
        let why = because(event);
        let by =
            if event.actor.is_empty() { String::new() } else { format!(" by {}", event.actor) };
        let what = match event.kind {
            RenewalEventKind::Failed => match Timestamp::parse_rfc3339(&event.subject) {
                Ok(due) => format!("the period due on {} failed{why}", self.local(due)),
                Err(_) => format!("the period of {} failed{why}", event.subject),
            },
            kind => format!("{}{by}{why}", kind.as_str()),
        };
        let details = json!({"subject": event.subject, "actor": event.actor});
        Ok(Happened(event.at, "renewal", what, details))
    }

    /// A period that came, with its order, its payment and its plan.
    async fn period(&self, tx: &mut Tx, event: &RenewalEvent, period: u32) -> Result<Happened> {
        let (mode, partner) = (self.mode, self.record.partner_id);
        let id = event.subject.parse();
        let order = match id {
            Ok(id) => tx.order(mode, partner, id).await?,
            Err(_) => None,
        };
        let Some(order) = order else {
            let what = format!("period {period}: {}", event.subject);
            return Ok(Happened(event.at, "renewal", what, Value::Null));
        };
        let payment = tx.payment_of_order(mode, partner, order.id).await?;
        let paid = payment.as_ref().map(|payment| {
            let (amount, currency) = (payment.amount.decimal(), payment.amount.currency.code());
            format!(", {amount} {currency} by {}", payment.channel.as_str())
        });
        let taken = tx.cashier_payment(mode, partner, order.id).await?;
        let plan = tx.sim_plan_of_order(&order).await?;
        let times = plan.as_ref().and_then(|plan| plan.queued.state.times());
        let runs = match times {
            Some((from, to)) => format!(", from {} to {}", self.local(from), self.local(to)),
            None => plan.map(|plan| format!(", {}", plan.queued.state.name())).unwrap_or_default(),
        };
        let begun = if event.kind == RenewalEventKind::Agreed { "agreed, " } else { "" };
        let (number, state, paid) = (&order.order_no, order.state.name(), paid.unwrap_or_default());
        let what = format!("{begun}period {period}: {number} is {state}{paid}{runs}");
        let details = json!({
            "order_id": order.id.to_string(), "order_no": order.order_no,
            "payment_intent": taken.as_ref().map(|taken| &taken.intent_id),
            "charge": taken.as_ref().map(|taken| &taken.charge_id),
            "decline_code": taken.as_ref().map(|taken| &taken.decline_code),
            "effective_at": times.map(|(from, _)| text(from)), "expires_at": times.map(|(_, to)| text(to)),
        });
        Ok(Happened(event.at, "renewal", what, details))
    }

    /// When Stripe tries to charge again.
    fn tried_again(&self) -> Option<Happened> {
        let known = self.subscription.as_ref()?;
        let what = format!("Stripe tries the charge again, after {}", known.decline_code);
        Some(Happened(known.next_try_at?, "payment", what, Value::Null))
    }
}

/// An order that came for the agreement and is no period of it.
fn other(order: &Order) -> Happened {
    let why = order.state.failure().map(|why| format!(", {}: {}", why.code, why.message));
    let (number, state) = (&order.order_no, order.state.name());
    let what = format!("{number} came for it, and is {state}{}", why.unwrap_or_default());
    let details = json!({"order_id": order.id.to_string(), "order_no": order.order_no});
    Happened(order.created_at, "order", what, details)
}

fn shown_subscription(known: &CashierSubscription) -> shape::Subscription {
    shape::Subscription {
        subscription_id: known.subscription_id.clone(),
        status: known.status.clone(),
        period_ends_at: known.period_ends_at.map(text),
        decline_code: known.decline_code.clone(),
        next_try_at: known.next_try_at.map(text),
        ends: known.ends,
    }
}
