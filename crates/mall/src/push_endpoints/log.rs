//! What endpoints were told: every try, and the telling of events again.

use domain::id::EventId;
use domain::push::DeliveryState;
use domain::{Span, Timestamp};
use serde_json::{Value, json};
use store::{PushAttempt, PushDelivery, PushEndpoint, PushEvent};
use wire::endpoints::{Again, Deliveries, Delivery, ListDeliveries, ResendPushes, Resent, Try};
use wire::push::EventType;

use super::{Manager, Whose, found};
use crate::error::Result;
use crate::{Caller, Mall};

/// How many tries are told of each delivery in a list.
const ATTEMPTS_LISTED: i64 = 10;
/// How many tries are told of one delivery.
const ATTEMPTS_MAX: i64 = 1_000;
/// How many deliveries are looked at for a page of those in a state.
const LOOKED_AT: i64 = 5_000;
/// How many deliveries one transaction lets wait again: no order waits long behind it.
const BATCH: i64 = 500;
/// What will be deleted within this time is not told again: it would be gone before it is told.
const KEPT_MIN: Span = Span::minutes(60);
/// How many batches one call does.
const BATCHES_MAX: usize = 40;

/// Which deliveries of an endpoint are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) endpoint_id: &'a str,
    /// Only of this event; empty: of all.
    pub(crate) event_id: &'a str,
    /// Only in this state; empty: in any.
    pub(crate) state: &'a str,
    /// Older than of this event; empty: from the newest on.
    pub(crate) before: &'a str,
    pub(crate) limit: i64,
}

/// A delivery with its tries.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) delivery: PushDelivery,
    /// The newest first.
    pub(crate) attempts: Vec<PushAttempt>,
    /// The event's body, where one event was asked for.
    pub(crate) body: Option<String>,
}

/// A try as the partner sees it.
pub(super) fn of_partner(attempt: &PushAttempt) -> Try {
    Try {
        tried_at: attempt.tried_at.as_millis(),
        latency_ms: attempt.latency.as_micros() / 1_000,
        status: attempt.status.map(i64::from),
        failure: attempt.failure.clone(),
        said: attempt.said.clone(),
    }
}

fn shown(told: Told) -> Delivery {
    let Told { delivery, attempts, body } = told;
    let (due_at, decided_at) = ends(&delivery);
    Delivery {
        event_id: delivery.event_id.to_string(),
        event_type: delivery.event_type,
        subject: delivery.subject,
        sequence: delivery.sequence,
        occurred_at: delivery.occurred_at.as_millis(),
        recorded_at: delivery.recorded_at.as_millis(),
        state: delivery.state.as_str().to_owned(),
        tries: delivery.tries,
        due_at: due_at.map(Timestamp::as_millis),
        decided_at: decided_at.map(Timestamp::as_millis),
        attempts: attempts.iter().map(of_partner).collect(),
        body,
    }
}

/// When a delivery is due, or when it was decided.
pub(crate) fn ends(delivery: &PushDelivery) -> (Option<Timestamp>, Option<Timestamp>) {
    match delivery.state {
        DeliveryState::Waiting => (Some(delivery.due_at), None),
        DeliveryState::Delivered | DeliveryState::Failed => (None, Some(delivery.due_at)),
    }
}

impl Mall {
    /// `GET /mall/push-deliveries`.
    pub async fn push_deliveries(
        &self,
        caller: &Caller,
        request: &ListDeliveries,
    ) -> Result<Deliveries> {
        let wanted = Wanted {
            endpoint_id: &request.endpoint_id,
            event_id: &request.event_id,
            state: &request.state,
            before: &request.cursor,
            limit: i64::from(request.page_size),
        };
        let (told, next) = self.told_to(Manager::Partner(&caller.partner), wanted).await?;
        let deliveries = told.into_iter().map(shown).collect();
        Ok(Deliveries { deliveries, next_cursor: next.map(|id| id.to_string()) })
    }

    /// `POST /mall/push-endpoints/resend`.
    pub async fn resend_pushes(&self, caller: &Caller, request: &ResendPushes) -> Result<Resent> {
        self.resend(Manager::Partner(&caller.partner), request).await
    }

    /// What an endpoint was told, the newest event first, and where the next page begins.
    pub(crate) async fn told_to(
        &self,
        by: Manager<'_>,
        wanted: Wanted<'_>,
    ) -> Result<(Vec<Told>, Option<EventId>)> {
        let read = |text: &str, field| {
            let id = Some(text).filter(|text| !text.is_empty()).map(str::parse::<EventId>);
            id.transpose().map_err(|_| by.event_unknown(field))
        };
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, wanted.endpoint_id).await?;
        let (only, before) = (read(wanted.event_id, "event_id")?, read(wanted.before, "cursor")?);
        let state = wanted.state.parse::<DeliveryState>().ok();
        let fits = |delivery: &PushDelivery| {
            state.is_none_or(|state| delivery.state == state)
                && before.is_none_or(|before| delivery.event_id.to_string() < before.to_string())
        };
        let (key, limit_and_one) = (endpoint.key(), wanted.limit + 1);
        let (mut deliveries, end) = match (only, state) {
            (Some(event), _) => {
                let one = tx.push_delivery(key, event).await?;
                let one = one.ok_or_else(|| by.event_unknown("event_id"))?;
                (Some(one).filter(fits).into_iter().collect(), None)
            }
            (None, None | Some(DeliveryState::Failed)) => {
                (tx.push_deliveries(key, state, (before, limit_and_one)).await?, None)
            }
            (None, Some(state)) => {
                let window = (before, limit_and_one, LOOKED_AT);
                tx.push_deliveries_within(key, state, window).await?
            }
        };
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let more = deliveries.len() > limit;
        deliveries.truncate(limit);
        let next = deliveries.last().filter(|_| more).map(|delivery| delivery.event_id).or(end);
        let mut told = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let (event, tries) =
                (delivery.event_id, only.map_or(ATTEMPTS_LISTED, |_| ATTEMPTS_MAX));
            let attempts = tx.push_attempts(endpoint.key(), event, tries).await?;
            let body = match only {
                Some(event) => tx.push_event((whose.mode, whose.id), event).await?,
                None => None,
            };
            told.push(Told { delivery, attempts, body: body.map(|event| event.body) });
        }
        Ok((told, next))
    }

    /// Lets events be told to an endpoint again. They keep their ids and their places, so that those of one subject go in
    /// their order.
    pub(crate) async fn resend(&self, by: Manager<'_>, request: &ResendPushes) -> Result<Resent> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, &request.endpoint_id).await?;
        drop(tx);
        let resent = match &request.again {
            Again::Event(id) => self.resend_one(by, &endpoint, id).await?,
            Again::FailedSince(since) => self.resend_failed(&endpoint, *since).await?,
            Again::Recorded(from, to) => {
                let cursor = request.cursor.as_str();
                let after = match cursor {
                    "" => None,
                    id => Some(id.parse().map_err(|_| by.event_unknown("cursor"))?),
                };
                let to = to.unwrap_or(self.ctx.now() + Span::millis(1));
                self.resend_recorded(&whose, &endpoint, (*from, to), after).await?
            }
        };
        if matches!(by, Manager::Operator(..)) {
            self.retry(|| async {
                let mut tx = self.store.begin().await?;
                let of = ("push.resend", &whose, endpoint.id);
                let after = json!({"again": format!("{:?}", request.again), "count": resent.count});
                by.record(self, &mut tx, of, (Value::Null, after)).await?;
                Ok(tx.commit().await?)
            })
            .await?;
        }
        self.push_bell.ring([endpoint.key()]);
        Ok(resent)
    }

    /// Events that were written earlier are about to be deleted, or are.
    fn resent_from(&self) -> Timestamp {
        self.ctx.now() - self.settings.push_log + KEPT_MIN
    }

    /// One event, be it that the endpoint was never to be told it: it may be younger than the event. A sample is told again
    /// where it was told, and not while it is on its way.
    async fn resend_one(
        &self,
        by: Manager<'_>,
        endpoint: &PushEndpoint,
        id: &str,
    ) -> Result<Resent> {
        let id: EventId = id.parse().map_err(|_| by.event_unknown("event_id"))?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let event = tx.push_event((endpoint.mode, endpoint.partner_id), id).await?;
            let event = event.filter(|event| event.recorded_at >= self.resent_from());
            let event = event.ok_or_else(|| by.event_unknown("event_id"))?;
            tx.raise_push_endpoint(endpoint).await?;
            if event.event_type == EventType::PushSample.as_str()
                && tx.push_delivery(endpoint.key(), id).await?.is_none()
            {
                return Err(by.event_unknown("event_id"));
            }
            tx.insert_push_deliveries(&[(endpoint.id, &event)], self.ctx.now()).await?;
            tx.commit().await?;
            Ok(Resent { count: 1, next_cursor: None })
        })
        .await
    }

    /// What failed since a time. What is made to wait is failed no more, so that a next call goes on by itself.
    async fn resend_failed(&self, endpoint: &PushEndpoint, since: Timestamp) -> Result<Resent> {
        let mut count = 0;
        for _ in 0..BATCHES_MAX {
            let batch = self
                .retry(|| async {
                    let mut tx = self.store.begin().await?;
                    let (key, times) = (endpoint.key(), (since, self.resent_from()));
                    tx.raise_push_endpoint(endpoint).await?;
                    let window = (self.ctx.now(), BATCH);
                    let batch = tx.resend_failed_pushes(key, times, window).await?;
                    tx.commit().await?;
                    Ok(i64::try_from(batch).unwrap_or(BATCH))
                })
                .await?;
            count += batch;
            if batch < BATCH {
                return Ok(Resent { count, next_cursor: None });
            }
        }
        Ok(Resent { count, next_cursor: Some("more".to_owned()) })
    }

    /// The events of some time, those too that the endpoint has, or was never to be told. Another endpoint's samples are
    /// none of its business.
    async fn resend_recorded(
        &self,
        whose: &Whose,
        endpoint: &PushEndpoint,
        span: (Timestamp, Timestamp),
        mut after: Option<EventId>,
    ) -> Result<Resent> {
        let wanted = |event: &&PushEvent| {
            let is_sample = event.event_type == EventType::PushSample.as_str();
            endpoint.wants(&event.event_type) && !is_sample
        };
        let span = (span.0.max(self.resent_from()), span.1);
        let mut count = 0;
        for _ in 0..BATCHES_MAX {
            let (is_all, resent, last) = self
                .retry(|| async {
                    let mut tx = self.store.begin().await?;
                    let of = (whose.mode, whose.id);
                    let mut events = tx.push_events(of, span, (after, BATCH)).await?;
                    let is_all = i64::try_from(events.len()).is_ok_and(|seen| seen < BATCH);
                    if !is_all {
                        leave_out_last(&mut events);
                    }
                    tx.raise_push_endpoint(endpoint).await?;
                    let again: Vec<_> =
                        events.iter().filter(wanted).map(|event| (endpoint.id, event)).collect();
                    tx.insert_push_deliveries(&again, self.ctx.now()).await?;
                    let resent = again.len();
                    tx.commit().await?;
                    Ok((is_all, resent, events.last().map(|event| event.id)))
                })
                .await?;
            count += i64::try_from(resent).unwrap_or(BATCH);
            after = last.or(after);
            if is_all {
                return Ok(Resent { count, next_cursor: None });
            }
        }
        Ok(Resent { count, next_cursor: after.map(|id| id.to_string()) })
    }
}

/// Leaves out those at the end that were written together: of one subject the earlier may be missing. The next batch has
/// them all.
fn leave_out_last(events: &mut Vec<PushEvent>) {
    let last = events.last().map(|event| event.recorded_at);
    let together = events.iter().rev().take_while(|event| Some(event.recorded_at) == last).count();
    // Where they are a whole batch, there is nothing else to begin with.
    if together < events.len() {
        events.truncate(events.len() - together);
    }
}
