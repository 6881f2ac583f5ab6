//! Orders that wait for a person, and what that person decides.
//!
//! Whoever decides says why, and that is in the audit log in the same transaction. A decision holds only while the
//! order waits: of two at once, one does.

use domain::Mode;
use domain::id::OrderId;
use domain::order::{Order, OrderEvent, OrderState};
use serde_json::json;
use store::{Attempt, AttemptState, FoundOrder, JobKind, Tx};
use wire::admin::{List, Problem, order as shape};

use super::orders::shown;
use super::{Change, Operator, Page, Wrong, filtered, text};
use crate::Mall;
use crate::attempts::live_attempt;
use crate::cashier::Wish;
use crate::delivery::Delivery;
use crate::error::Result;

/// What a person found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Provisioned,
    NotProvisioned,
    Refund,
}

impl Finding {
    fn read(word: &str) -> Result<Self> {
        match word {
            "provisioned" => Ok(Self::Provisioned),
            "not_provisioned" => Ok(Self::NotProvisioned),
            "refund" => Ok(Self::Refund),
            _ => Err(Problem::field("finding", "not a word that is known").into()),
        }
    }
}

async fn found(tx: &mut Tx, mode: Mode, id: &str) -> Result<FoundOrder> {
    let unknown = || Problem::not_found("order");
    let id: OrderId = id.parse().map_err(|_| unknown())?;
    Ok(tx.find_order(mode, id).await?.ok_or_else(unknown)?)
}

fn review(order: &Order, partner: String, attempts: &[Attempt]) -> Option<shape::Review> {
    let OrderState::Review { paid_at, reason } = &order.state else { return None };
    let last = attempts.last();
    let heard_at = last.and_then(|attempt| attempt.lines().last());
    Some(shape::Review {
        order_id: order.id.to_string(),
        partner,
        order_no: order.order_no.clone(),
        iccid: order.iccid.as_str().to_owned(),
        carrier: order.carrier.clone(),
        paid_at: text(*paid_at),
        code: reason.code.clone(),
        message: reason.message.clone(),
        attempts: i64::try_from(attempts.len()).unwrap_or(i64::MAX),
        sent_at: last.map(|attempt| text(attempt.sent_at)),
        heard_at: heard_at.map(|(at, _)| at.to_owned()),
        said: last.map(|attempt| attempt.words().to_owned()).unwrap_or_default(),
    })
}

/// What was found out, if the request fits it.
fn read(resolve: &shape::Resolve) -> Result<Finding> {
    let finding = Finding::read(&resolve.finding)?;
    let mut wrong = Wrong::default();
    if resolve.reason.trim().is_empty() {
        wrong.add("reason", "needs a word: how is that known?");
    }
    if resolve.upstream_id.is_some() && finding != Finding::Provisioned {
        wrong.add("upstream_id", "only an order that is `provisioned` has one");
    }
    wrong.check()?;
    Ok(finding)
}

impl Mall {
    /// Orders that wait for a person, the eldest first.
    pub async fn list_reviews(
        &self,
        mode: Mode,
        partner: Option<&str>,
        page: &Page,
    ) -> Result<List<shape::Review>> {
        let mut tx = self.store.read().await?;
        let partner = filtered(&mut tx, mode, partner).await?;
        let waiting = tx.orders_waiting(mode, partner, &page.after, page.limit_and_one()).await?;
        let mut reviews = Vec::with_capacity(waiting.len());
        for FoundOrder { order, partner } in waiting {
            let attempts = tx.attempts(mode, order.partner_id, order.id).await?;
            reviews.extend(review(&order, partner, &attempts));
        }
        Ok(page.list(reviews, |review| review.order_id.clone(), |review| review))
    }

    /// Decides about an order that waits for a person.
    pub async fn resolve_order(
        &self,
        by: &Operator,
        mode: Mode,
        id: &str,
        resolve: &shape::Resolve,
    ) -> Result<shape::Order> {
        let finding = read(resolve)?;
        let after = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let FoundOrder { order: before, partner } = found(&mut tx, mode, id).await?;
                if !matches!(before.state, OrderState::Review { .. }) {
                    let state = before.state.name();
                    let detail = format!("the order does not wait for a person: it is {state}");
                    return Err(Problem::conflict("NOT_IN_REVIEW", detail).into());
                }
                let said = format!("{}: {}", by.name, resolve.reason);
                let order = before.clone();
                match finding {
                    Finding::Provisioned => {
                        self.found_done(&mut tx, order, (resolve, said)).await?;
                    }
                    Finding::NotProvisioned => self.found_undone(&mut tx, order, said).await?,
                    Finding::Refund => self.give_back(&mut tx, order, said).await?,
                }
                let after = shown(&found(&mut tx, mode, id).await?.order, &partner);
                let change = Change {
                    action: "order.resolve",
                    mode: Some(mode),
                    object: format!("orders/{id}"),
                    before: super::json(&shown(&before, &partner)),
                    after: json!({ "order": super::json(&after), "finding": resolve.finding,
                        "reason": resolve.reason }),
                };
                self.record(&mut tx, by, change).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await?;
        if let Some(state) = OrderState::NAMES.iter().find(|name| **name == after.state) {
            self.metrics.order_entered(mode, state);
        }
        self.bell.notify_one();
        Ok(after)
    }

    /// The plan is on the SIM: the order is delivered like any other.
    async fn found_done(
        &self,
        tx: &mut Tx,
        order: Order,
        (resolve, said): (&shape::Resolve, String),
    ) -> Result<()> {
        let attempt = live_attempt(tx, &order).await?;
        let known = order.upstream_id.clone();
        let upstream_id = resolve.upstream_id.clone().filter(|id| !id.is_empty()).unwrap_or(known);
        let delivery = Delivery { job: None, order, upstream_id, attempt, said };
        self.write_deliveries(tx, vec![delivery]).await?;
        Ok(())
    }

    /// The plan is not on the SIM: the carrier is asked again, under the same key.
    async fn found_undone(&self, tx: &mut Tx, mut order: Order, said: String) -> Result<()> {
        self.end_attempt(tx, &order, (AttemptState::PutOff, said)).await?;
        let state = order.state.clone().on(OrderEvent::FoundUndone)?;
        // What its carrier called it ended with the attempt.
        order.upstream_id.clear();
        tx.update_order(&mut order, state).await?;
        let now = self.ctx.now();
        let job = self.new_job(&order, (JobKind::Provision, order.id.to_string()), now);
        Ok(tx.insert_job(&job, now).await?)
    }

    /// The order ends without a plan, and what was owed for it is given back.
    async fn give_back(&self, tx: &mut Tx, mut order: Order, said: String) -> Result<()> {
        let (actor, reason) = said.split_once(": ").unwrap_or(("operator", &said));
        let wish = Wish { amount: None, reason: reason.to_owned(), actor: actor.to_owned() };
        self.end_attempt(tx, &order, (AttemptState::Refused, said.clone())).await?;
        self.give_money_back(tx, &mut order, wish).await
    }

    async fn end_attempt(
        &self,
        tx: &mut Tx,
        order: &Order,
        (state, said): (AttemptState, String),
    ) -> Result<()> {
        let Some(live) = live_attempt(tx, order).await? else { return Ok(()) };
        let (old, now) = (live.state, self.ctx.now());
        let held = live.holds_sim;
        let mut ended = Attempt { state, holds_sim: false, heard_at: Some(now), ..live };
        ended.hear(now, &said);
        tx.update_attempt(order, &ended, old).await?;
        if held {
            tx.hasten_next_of_sim((order.mode, order.partner_id, &order.iccid), now).await?;
        }
        Ok(())
    }
}
