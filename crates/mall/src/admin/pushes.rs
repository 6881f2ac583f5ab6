//! Partners' push endpoints, as operators manage them: by the same use-cases as the partners themselves.

use std::sync::Arc;

use domain::{Mode, Timestamp};
use serde_json::Value;
use store::{PushAttempt, PushKey};
use wire::admin::{List, Problem, Secret, push as shape};
use wire::endpoints::{AddEndpoint, Again, ChangeEndpoint, OVERLAP_HOURS, ResendPushes, RotateKey};
use wire::push::Key;

use super::{Operator, Page, json, text, time};
use crate::Mall;
use crate::error::Result;
use crate::push_endpoints::{Manager, Shown, Told, Wanted};

/// Which deliveries are wanted, as a request says it.
#[derive(Debug, Clone, Default)]
pub struct PushQuery {
    /// In this state.
    pub state: Option<String>,
    /// Of this event.
    pub event_id: Option<String>,
}

/// An endpoint as an operator sees it.
pub(crate) fn shown(shown: &Shown) -> shape::PushEndpoint {
    let Shown { endpoint, partner, keys, waiting } = shown;
    let key = |key: &PushKey| shape::PushKey {
        key_id: key.key_id.clone(),
        created_at: text(key.created_at),
        retires_at: key.retires_at.map(text),
    };
    shape::PushEndpoint {
        mode: endpoint.mode.as_str().to_owned(),
        partner: partner.clone(),
        endpoint_id: endpoint.id.to_string(),
        kind: endpoint.kind.as_str().to_owned(),
        url: endpoint.url.clone(),
        description: endpoint.description.clone(),
        events: endpoint.events.clone(),
        state: endpoint.state.as_str().to_owned(),
        off_reason: endpoint.off_reason.clone(),
        created_at: text(endpoint.created_at),
        failing_since: endpoint.health.failing_since.map(text),
        failures: endpoint.health.failures,
        probe_at: endpoint.health.probe_at.map(text),
        tried_at: endpoint.health.tried_at.map(text),
        succeeded_at: endpoint.health.succeeded_at.map(text),
        waiting: *waiting,
        keys: keys.iter().map(key).collect(),
    }
}

/// An endpoint as the audit log keeps it: what waits for it at that moment is no part of the change.
pub(crate) fn audited(one: &Shown) -> Value {
    let mut value = json(&shown(one));
    if let Value::Object(members) = &mut value {
        members.remove("waiting");
    }
    value
}

fn issued((endpoint, key): (Shown, Key)) -> shape::IssuedPushEndpoint {
    shape::IssuedPushEndpoint {
        endpoint: shown(&endpoint),
        key_id: key.id().to_owned(),
        hex: Secret(key.hex()),
        whsec: Secret(key.whsec()),
    }
}

fn attempt(attempt: &PushAttempt) -> shape::PushAttempt {
    shape::PushAttempt {
        tried_at: text(attempt.tried_at),
        latency_ms: attempt.latency.as_micros() / 1_000,
        status: attempt.status.map(i64::from),
        failure: attempt.failure.clone(),
        said: attempt.said.clone(),
    }
}

fn told(told: Told) -> shape::PushDelivery {
    let (due_at, decided_at) = crate::push_endpoints::ends(&told.delivery);
    let Told { delivery, attempts, body } = told;
    shape::PushDelivery {
        event_id: delivery.event_id.to_string(),
        event_type: delivery.event_type,
        subject: delivery.subject,
        sequence: delivery.sequence,
        occurred_at: text(delivery.occurred_at),
        recorded_at: text(delivery.recorded_at),
        state: delivery.state.as_str().to_owned(),
        tries: delivery.tries,
        due_at: due_at.map(text),
        decided_at: decided_at.map(text),
        attempts: attempts.iter().map(attempt).collect(),
        body,
    }
}

/// Which events a request wants to be sent again.
fn again(request: &shape::ResendPushes) -> Result<Again> {
    let read = |field: &str, value: &Option<String>| -> Result<Option<Timestamp>> {
        time(field, value.as_deref())
    };
    let failed_since = read("failed_since", &request.failed_since)?;
    let (from, to) = (read("from", &request.from)?, read("to", &request.to)?);
    match (&request.event_id, failed_since, from) {
        (Some(id), None, None) => Ok(Again::Event(id.clone())),
        (None, Some(since), None) => Ok(Again::FailedSince(since)),
        (None, None, Some(from)) => Ok(Again::Recorded(from, to)),
        _ => {
            let detail = "give one of event_id, failed_since and from: which events?";
            Err(Problem::field("event_id", detail).into())
        }
    }
}

impl Mall {
    /// A partner's push endpoints, the oldest first.
    pub async fn list_push_endpoints(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        page: &Page,
    ) -> Result<List<shape::PushEndpoint>> {
        let mut all = self.endpoints_of(Manager::Operator(by, mode, code)).await?;
        let key = |shown: &Shown| shown.endpoint.id.to_string();
        all.retain(|shown| key(shown) > page.after);
        Ok(page.list(all, key, |one| shown(&one)))
    }

    /// A push endpoint of a partner.
    pub async fn show_push_endpoint(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
    ) -> Result<shape::PushEndpoint> {
        Ok(shown(&self.endpoint_of(Manager::Operator(by, mode, code), id).await?))
    }

    /// Adds a push endpoint for a partner.
    pub async fn add_push_endpoint_for(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        new: shape::NewPushEndpoint,
    ) -> Result<shape::IssuedPushEndpoint> {
        let new = AddEndpoint {
            is_listener: false,
            url: new.url,
            description: new.description.unwrap_or_default(),
            events: new.events.unwrap_or_default(),
        };
        Ok(issued(self.add_endpoint(Manager::Operator(by, mode, code), &new).await?))
    }

    /// Changes a push endpoint of a partner.
    pub async fn change_push_endpoint_for(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
        change: shape::PushEndpointChange,
    ) -> Result<shape::PushEndpoint> {
        let change = ChangeEndpoint {
            endpoint_id: id.to_owned(),
            url: change.url,
            description: change.description,
            events: change.events,
            paused: change.state.map(|state| state == "paused"),
        };
        let changed = self.change_endpoint(Manager::Operator(by, mode, code), &change).await?;
        Ok(shown(&changed))
    }

    /// Deletes a push endpoint of a partner.
    pub async fn delete_push_endpoint_for(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
    ) -> Result<()> {
        self.delete_endpoint(Manager::Operator(by, mode, code), id).await
    }

    /// Sends a sample to a push endpoint of a partner.
    pub async fn test_push_endpoint_for(
        self: &Arc<Self>,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
    ) -> Result<shape::TestedPush> {
        let sample = self.send_sample(Manager::Operator(by, mode, code), id).await?;
        Ok(shape::TestedPush {
            event_id: sample.event_id.to_string(),
            state: sample.state.as_str().to_owned(),
            attempt: sample.attempt.as_ref().map(attempt),
        })
    }

    /// Gives a push endpoint of a partner a new key.
    pub async fn rotate_push_key_for(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
        request: &shape::RotatePushKey,
    ) -> Result<shape::IssuedPushEndpoint> {
        // Its table holds it to a week.
        let hours = request.overlap_hours.and_then(|hours| u32::try_from(hours).ok());
        let overlap_hours = hours.unwrap_or(OVERLAP_HOURS);
        let rotate = RotateKey { endpoint_id: id.to_owned(), overlap_hours };
        Ok(issued(self.rotate_key(Manager::Operator(by, mode, code), &rotate).await?))
    }

    /// What a push endpoint of a partner was told, the newest first.
    pub async fn list_push_deliveries(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
        (query, page): (&PushQuery, &Page),
    ) -> Result<List<shape::PushDelivery>> {
        let wanted = Wanted {
            endpoint_id: id,
            event_id: query.event_id.as_deref().unwrap_or_default(),
            state: query.state.as_deref().unwrap_or_default(),
            before: &page.after,
            limit: page.limit,
        };
        let (items, next) = self.told_to(Manager::Operator(by, mode, code), wanted).await?;
        let next_cursor = next.map(|id| hex::encode(id.to_string()));
        Ok(List { items: items.into_iter().map(told).collect(), next_cursor })
    }

    /// Sends events to a push endpoint of a partner again.
    pub async fn resend_pushes_for(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
        request: &shape::ResendPushes,
    ) -> Result<shape::ResentPushes> {
        let wanted = ResendPushes {
            endpoint_id: id.to_owned(),
            again: again(request)?,
            cursor: request.cursor.clone().unwrap_or_default(),
        };
        let done = self.resend(Manager::Operator(by, mode, code), &wanted).await?;
        Ok(shape::ResentPushes { count: done.count, next_cursor: done.next_cursor })
    }
}
