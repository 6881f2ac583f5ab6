//! What partners are told of, written in the transaction that makes it true: [`Mall::tell_all`] is the one place.
//!
//! Where no endpoint of a partner wants to know, nothing is written. What an event says of an order is what the partner
//! would be answered if it asked for the order now.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::{EndpointId, PartnerId};
use domain::order::Order;
use domain::push::{EndpointKind, EndpointState};
use domain::{Mode, Timestamp};
use serde_json::{Value, json};
use store::{EndpointKey, PushEndpoint, PushEvent, SubjectKey, Tx};
use tokio::sync::Notify;
use wire::push::{Event, EventType};

use crate::Mall;
use crate::cache::Known;
use crate::error::{Error, Result};
use crate::queries::show;
use crate::sims::PlanNames;

/// Something that a partner is told of.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) event_type: EventType,
    /// What it is about: events of one subject arrive in their order.
    pub(crate) subject: String,
    /// Business time.
    pub(crate) at: Timestamp,
    pub(crate) data: Value,
    pub(crate) whom: Whom,
}

/// Which of a partner's endpoints are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those that want to know.
    All,
    /// Those, but for one.
    AllBut(EndpointId),
    /// One, whether or not it wants to know.
    Only(EndpointId),
    /// None: whoever writes the event tells of it.
    Nobody,
}

impl Whom {
    fn are(self, endpoint: &PushEndpoint, event_type: EventType) -> bool {
        match self {
            Self::All => endpoint.wants(event_type.as_str()),
            Self::AllBut(other) => endpoint.id != other && endpoint.wants(event_type.as_str()),
            Self::Only(one) => endpoint.id == one,
            Self::Nobody => false,
        }
    }
}

/// Rung when something was written that is due for an endpoint.
#[derive(Debug, Default)]
pub(crate) struct PushBell {
    rung_for: Mutex<HashSet<EndpointKey>>,
    pub(crate) bell: Notify,
}

impl PushBell {
    pub(crate) fn ring(&self, keys: impl IntoIterator<Item = EndpointKey>) {
        // A set of names is valid after any panic.
        self.rung_for.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
        self.bell.notify_one();
    }

    /// For which endpoints it was rung since somebody asked.
    pub(crate) fn heard(&self) -> HashSet<EndpointKey> {
        std::mem::take(&mut self.rung_for.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.rung_for.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Whether something for an endpoint is sent at once.
fn is_sent(endpoint: &PushEndpoint) -> bool {
    endpoint.kind == EndpointKind::Url && endpoint.state == EndpointState::On
}

/// What an event says of an order, and beside it what the event alone knows.
pub(crate) fn with(order: &wire::topup::Order, more: &[(&str, Value)]) -> Result<Value> {
    let order = serde_json::to_value(order);
    let mut data = order.map_err(|error| Error::Internal(format!("an order as JSON: {error}")))?;
    if let Value::Object(members) = &mut data {
        members.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    Ok(data)
}

/// An event's body; one that is too long says no more than what it is about.
fn body((id, told): (&str, &Told), (mode, partner_code): (Mode, &str)) -> Result<String> {
    let event = |data: &Value| {
        let kind = (id, told.event_type);
        Event::new(kind, told.at, (mode, partner_code), data.clone()).body()
    };
    let whole = event(&told.data).or_else(|error| {
        tracing::error!(%error, event_id = id, "an event is told without its data");
        event(&json!({ "subject": told.subject, "cut": true }))
    });
    whole.map_err(|error| Error::Internal(format!("{id} has no body: {error}")))
}

impl Mall {
    /// The partner, if anybody is told of events of a type.
    pub(crate) async fn listening(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        event_type: EventType,
    ) -> Result<Option<Arc<Known>>> {
        let known = self.partner_by_id(tx, mode, partner).await?;
        Ok(known.filter(|known| known.is_told(event_type)))
    }

    /// Tells a partner of an order: what it would be answered if it asked, and beside it what the event alone knows.
    pub(crate) async fn tell_of_order(
        &self,
        tx: &mut Tx,
        (event_type, order): (EventType, &Order),
        more: &[(&str, Value)],
    ) -> Result<()> {
        let whose = (order.mode, order.partner_id);
        let Some(known) = self.listening(tx, whose, event_type).await? else { return Ok(()) };
        let data = self.order_data(tx, &known, order, more).await?;
        let (subject, at) = (order.id.to_string(), self.now(order.mode));
        let told = Told { event_type, subject, at, data, whom: Whom::All };
        self.tell_all(tx, vec![(known, told)]).await?;
        Ok(())
    }

    /// Tells a partner that a payment failed, with the bank's word where it is known.
    pub(crate) async fn tell_not_paid(
        &self,
        tx: &mut Tx,
        order: &Order,
        decline_code: &str,
    ) -> Result<()> {
        let code = Some(decline_code).filter(|code| !code.is_empty());
        let more = [("decline_code", json!(code))];
        self.tell_of_order(tx, (EventType::PaymentFailed, order), &more).await
    }

    /// The data of an event about an order.
    pub(crate) async fn order_data(
        &self,
        tx: &mut Tx,
        known: &Known,
        order: &Order,
        more: &[(&str, Value)],
    ) -> Result<Value> {
        let whose = (&*known.partner, known.partner.locale);
        let mut names = PlanNames::default();
        let now = self.now(order.mode);
        with(&show(tx, whose, order.clone(), &mut names, now).await?, more)
    }

    /// Writes events, each with a delivery for every endpoint that wants it, and wakes the relay once they are durable.
    /// Several of one subject are told in their order here.
    pub(crate) async fn tell_all(
        &self,
        tx: &mut Tx,
        told: Vec<(Arc<Known>, Told)>,
    ) -> Result<Vec<PushEvent>> {
        if told.is_empty() {
            return Ok(Vec::new());
        }
        let subject_of = |known: &Known, told: &Told| -> SubjectKey {
            (known.partner.mode, known.partner.id, told.subject.clone())
        };
        let subjects: HashSet<SubjectKey> =
            told.iter().map(|(known, told)| subject_of(known, told)).collect();
        let mut last: HashMap<SubjectKey, i64> =
            tx.last_push_sequences(&subjects.iter().collect::<Vec<_>>()).await?;
        let now = self.ctx.now();
        let (mut events, mut due) = (Vec::with_capacity(told.len()), Vec::new());
        for (known, told) in &told {
            let sequence = last.entry(subject_of(known, told)).or_default();
            *sequence += 1;
            let partner = &known.partner;
            let id = self.ctx.id();
            let body = body((&id.to_string(), told), (partner.mode, &partner.code))?;
            events.push(PushEvent {
                mode: partner.mode,
                partner_id: partner.id,
                id,
                event_type: told.event_type.as_str().to_owned(),
                subject: told.subject.clone(),
                sequence: *sequence,
                occurred_at: told.at,
                recorded_at: now,
                body,
            });
        }
        let mut deliveries: Vec<(EndpointId, &PushEvent)> = Vec::new();
        for ((known, told), event) in told.iter().zip(&events) {
            #[cfg(feature = "failpoints")]
            if crate::failpoints::loses_event() {
                continue;
            }
            let those = |endpoint: &&PushEndpoint| told.whom.are(endpoint, told.event_type);
            for endpoint in known.endpoints.iter().filter(those) {
                deliveries.push((endpoint.id, event));
                due.extend(is_sent(endpoint).then(|| endpoint.key()));
            }
        }
        tx.insert_push_events(&events).await?;
        tx.insert_push_deliveries(&deliveries, now).await?;
        if !due.is_empty() {
            self.ring_for(tx, due);
        }
        Ok(events)
    }

    /// Lets the relay look at endpoints once a transaction is durable.
    pub(crate) fn ring_for(&self, tx: &mut Tx, endpoints: Vec<EndpointKey>) {
        let bell = Arc::clone(&self.push_bell);
        tx.after_commit(move || bell.ring(endpoints));
    }
}
