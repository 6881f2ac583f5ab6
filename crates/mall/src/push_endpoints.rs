//! Where a partner is told of events: who may manage its endpoints, and how. A partner does so itself by signed calls,
//! an operator for it; both go through the same use-cases, and each is told in its own way what is wrong.
//!
//! Every change raises the partner's version in its own transaction, so that no node goes on telling by what it remembers.

mod keys;
mod listeners;
mod log;
mod reason;
mod sample;

use domain::Mode;
use domain::id::{EndpointId, PartnerId};
use domain::partner::Partner;
use domain::push::{EndpointKind, EndpointState};
use serde_json::Value;
use store::{PushEndpoint, PushKey, Tx};
use wire::Code;
use wire::admin::Problem;
use wire::endpoints::{
    AddEndpoint, ChangeEndpoint, DeleteEndpoint, ENDPOINTS_MAX, Endpoint, Endpoints,
    IssuedEndpoint, IssuedKey, Key, RotateKey,
};

use crate::admin::{Change, Operator, held_partner, partner_of, pushes};
use crate::error::{Error, Refusal, Result};
use crate::{Caller, Mall};

pub use reason::EndpointReason;

pub(crate) use log::{Told, Wanted, ends};

/// Who manages a partner's endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manager<'a> {
    /// The partner itself.
    Partner(&'a Partner),
    /// An operator, for the partner with a code.
    Operator(&'a Operator, Mode, &'a str),
}

impl Manager<'_> {
    /// The partner.
    async fn partner(&self, tx: &mut Tx) -> Result<Whose> {
        match self {
            Self::Partner(partner) => Ok(Whose::of(partner)),
            Self::Operator(_, mode, code) => Ok(Whose::of(&partner_of(tx, *mode, code).await?)),
        }
    }

    /// The partner, for a change: whoever else changes something of it waits until this transaction ends.
    async fn held(&self, tx: &mut Tx) -> Result<Whose> {
        match self {
            Self::Partner(partner) => {
                tx.touch_partner(partner.mode, partner.id).await?;
                Ok(Whose::of(partner))
            }
            Self::Operator(_, mode, code) => Ok(Whose::of(&held_partner(tx, *mode, code).await?)),
        }
    }

    /// There is no such endpoint.
    fn unknown(&self) -> Error {
        match self {
            Self::Partner(_) => Refusal::about(Code::EndpointUnknown, "endpoint_id").into(),
            Self::Operator(..) => Problem::not_found("push endpoint").into(),
        }
    }

    /// There is no such event.
    fn event_unknown(&self, field: &'static str) -> Error {
        match self {
            Self::Partner(_) => Refusal::about(Code::EventUnknown, field).into(),
            Self::Operator(..) => Problem::not_found("event").into(),
        }
    }

    /// An endpoint cannot be made or changed like this.
    fn refused(&self, reason: EndpointReason, field: &'static str, detail: &str) -> Error {
        match self {
            Self::Partner(_) => {
                let refusal = Refusal::about(Code::EndpointRefused, field);
                Refusal { reason: Some(reason), ..refusal }.into()
            }
            Self::Operator(..) if field == "url" => Problem::field(field, detail).into(),
            Self::Operator(..) => Problem::conflict(reason.problem_code(), detail).into(),
        }
    }

    /// Appends an operator's change to the audit log.
    async fn record(
        &self,
        mall: &Mall,
        tx: &mut Tx,
        (action, whose, id): (&str, &Whose, EndpointId),
        (before, after): (Value, Value),
    ) -> Result<()> {
        let Self::Operator(by, ..) = self else { return Ok(()) };
        let object = format!("partners/{}/push-endpoints/{id}", whose.code);
        let change = Change { action, mode: Some(whose.mode), object, before, after };
        mall.record(tx, by, change).await
    }
}

/// Whose endpoints are meant.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) mode: Mode,
    pub(crate) id: PartnerId,
    pub(crate) code: String,
}

impl Whose {
    fn of(partner: &Partner) -> Self {
        Self { mode: partner.mode, id: partner.id, code: partner.code.clone() }
    }
}

/// An endpoint with what is told of it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) endpoint: PushEndpoint,
    /// The code of its partner.
    pub(crate) partner: String,
    /// Its keys that sign, the newest first.
    pub(crate) keys: Vec<PushKey>,
    /// How many events wait, once they were counted; 100,000 at most.
    pub(crate) waiting: i64,
}

impl Shown {
    /// As its partner sees it.
    fn of_partner(&self) -> Endpoint {
        let Self { endpoint, keys, waiting, .. } = self;
        let millis = domain::Timestamp::as_millis;
        let key = |key: &PushKey| Key {
            key_id: key.key_id.clone(),
            created_at: key.created_at.as_millis(),
            retires_at: key.retires_at.map(millis),
        };
        Endpoint {
            endpoint_id: endpoint.id.to_string(),
            kind: endpoint.kind.as_str().to_owned(),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            events: endpoint.events.clone(),
            state: endpoint.state.as_str().to_owned(),
            off_reason: endpoint.off_reason.clone(),
            created_at: endpoint.created_at.as_millis(),
            failing_since: endpoint.health.failing_since.map(millis),
            failures: endpoint.health.failures,
            probe_at: endpoint.health.probe_at.map(millis),
            tried_at: endpoint.health.tried_at.map(millis),
            succeeded_at: endpoint.health.succeeded_at.map(millis),
            waiting: *waiting,
            keys: keys.iter().map(key).collect(),
        }
    }
}

fn issued((shown, key): (Shown, wire::push::Key)) -> IssuedEndpoint {
    let key = IssuedKey { key_id: key.id().to_owned(), hex: key.hex(), whsec: key.whsec() };
    IssuedEndpoint { endpoint: shown.of_partner(), key }
}

/// Each word once, in the order given.
fn once(words: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for word in words {
        if !once.contains(word) {
            once.push(word.clone());
        }
    }
    once
}

impl Mall {
    /// `GET /mall/push-endpoints`.
    pub async fn push_endpoints(&self, caller: &Caller) -> Result<Endpoints> {
        let all = self.endpoints_of(Manager::Partner(&caller.partner)).await?;
        Ok(Endpoints { endpoints: all.iter().map(Shown::of_partner).collect() })
    }

    /// `POST /mall/push-endpoints`.
    pub async fn add_push_endpoint(
        &self,
        caller: &Caller,
        request: &AddEndpoint,
    ) -> Result<IssuedEndpoint> {
        Ok(issued(self.add_endpoint(Manager::Partner(&caller.partner), request).await?))
    }

    /// `POST /mall/push-endpoints/change`.
    pub async fn change_push_endpoint(
        &self,
        caller: &Caller,
        request: &ChangeEndpoint,
    ) -> Result<Endpoint> {
        let changed = self.change_endpoint(Manager::Partner(&caller.partner), request).await?;
        Ok(changed.of_partner())
    }

    /// `POST /mall/push-endpoints/rotate`.
    pub async fn rotate_push_key(
        &self,
        caller: &Caller,
        request: &RotateKey,
    ) -> Result<IssuedEndpoint> {
        Ok(issued(self.rotate_key(Manager::Partner(&caller.partner), request).await?))
    }

    /// `POST /mall/push-endpoints/delete`.
    pub async fn delete_push_endpoint(
        &self,
        caller: &Caller,
        request: &DeleteEndpoint,
    ) -> Result<()> {
        self.delete_endpoint(Manager::Partner(&caller.partner), &request.endpoint_id).await
    }

    /// A partner's endpoints, the oldest first.
    pub(crate) async fn endpoints_of(&self, by: Manager<'_>) -> Result<Vec<Shown>> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let mut all = Vec::new();
        for endpoint in tx.push_endpoints((whose.mode, whose.id)).await? {
            let shown = self.shown(&mut tx, &whose, endpoint).await?;
            all.push(counted(&mut tx, shown).await?);
        }
        Ok(all)
    }

    /// An endpoint of a partner.
    pub(crate) async fn endpoint_of(&self, by: Manager<'_>, id: &str) -> Result<Shown> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, id).await?;
        let shown = self.shown(&mut tx, &whose, endpoint).await?;
        counted(&mut tx, shown).await
    }

    /// An endpoint after a change: what waits for it is counted while nobody waits for that.
    async fn now_counted(&self, shown: Shown) -> Result<Shown> {
        counted(&mut self.store.read().await?, shown).await
    }

    /// An endpoint with what is told of it, but for what waits for it.
    async fn shown(&self, tx: &mut Tx, whose: &Whose, endpoint: PushEndpoint) -> Result<Shown> {
        let now = self.ctx.now();
        let mut keys = tx.push_keys(&endpoint).await?;
        keys.retain(|key| key.retires_at.is_none_or(|at| at > now));
        Ok(Shown { endpoint, partner: whose.code.clone(), keys, waiting: 0 })
    }

    /// Adds an endpoint with its first key.
    pub(crate) async fn add_endpoint(
        &self,
        by: Manager<'_>,
        new: &AddEndpoint,
    ) -> Result<(Shown, wire::push::Key)> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let whose = by.held(&mut tx).await?;
            let (kind, url) = if new.is_listener {
                if !new.url.is_empty() {
                    let detail = "a listener has no URL";
                    return Err(by.refused(EndpointReason::ListenerUrl, "url", detail));
                }
                (EndpointKind::Listener, String::new())
            } else {
                (EndpointKind::Url, self.checked_url(by, whose.mode, &new.url)?)
            };
            if tx.push_endpoints((whose.mode, whose.id)).await?.len() >= ENDPOINTS_MAX {
                let detail = format!("the partner has {ENDPOINTS_MAX}: delete one of them first");
                return Err(by.refused(EndpointReason::TooMany, "endpoint_id", &detail));
            }
            let endpoint = PushEndpoint {
                mode: whose.mode,
                partner_id: whose.id,
                id: self.ctx.id(),
                kind,
                url,
                description: new.description.clone(),
                events: once(&new.events),
                state: EndpointState::On,
                off_reason: String::new(),
                version: 0,
                created_at: self.ctx.now(),
                health: store::EndpointHealth::default(),
            };
            tx.insert_push_endpoint(&endpoint).await?;
            let key = self.add_push_key(&mut tx, &endpoint).await?;
            let shown = self.shown(&mut tx, &whose, endpoint).await?;
            let of = ("push.add", &whose, shown.endpoint.id);
            let after = pushes::audited(&shown);
            by.record(self, &mut tx, of, (Value::Null, after)).await?;
            tx.commit().await?;
            Ok((shown, key))
        })
        .await
    }

    /// A URL in its plain form, if pushes may go there.
    fn checked_url(&self, by: Manager<'_>, mode: Mode, url: &str) -> Result<String> {
        match self.sender.check(url, mode) {
            Ok(endpoint) => Ok(endpoint.as_str().to_owned()),
            Err(error) => {
                let reason = EndpointReason::of(&error);
                Err(by.refused(reason, "url", &error.to_string()))
            }
        }
    }

    /// Changes an endpoint. Whatever gives it a new beginning, a new URL or that it is on again, closes its breaker and
    /// lets what waits be due.
    pub(crate) async fn change_endpoint(
        &self,
        by: Manager<'_>,
        change: &ChangeEndpoint,
    ) -> Result<Shown> {
        let shown = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let whose = by.held(&mut tx).await?;
                let before = found(&mut tx, by, &whose, &change.endpoint_id).await?;
                let after = self.changed(by, &before, change)?;
                if after == before {
                    // What was touched is not committed.
                    return self.shown(&mut tx, &whose, before).await;
                }
                tx.update_push_endpoint(&after).await?;
                let is_on = after.state == EndpointState::On;
                if is_on && (before.state != EndpointState::On || after.url != before.url) {
                    tx.refresh_push_endpoint(&after, self.ctx.now()).await?;
                }
                let of = ("push.change", &whose, after.id);
                let before = self.shown(&mut tx, &whose, before).await?;
                let after = found(&mut tx, by, &whose, &change.endpoint_id).await?;
                let after = self.shown(&mut tx, &whose, after).await?;
                let both = (pushes::audited(&before), pushes::audited(&after));
                by.record(self, &mut tx, of, both).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await?;
        self.push_bell.ring([shown.endpoint.key()]);
        self.now_counted(shown).await
    }

    fn changed(
        &self,
        by: Manager<'_>,
        before: &PushEndpoint,
        change: &ChangeEndpoint,
    ) -> Result<PushEndpoint> {
        let mut after = before.clone();
        if let Some(url) = &change.url {
            if before.kind == EndpointKind::Listener {
                return Err(by.refused(
                    EndpointReason::ListenerUrl,
                    "url",
                    "a listener has no URL",
                ));
            }
            after.url = self.checked_url(by, before.mode, url)?;
        }
        if let Some(description) = &change.description {
            after.description.clone_from(description);
        }
        if let Some(events) = &change.events {
            after.events = once(events);
        }
        if let Some(paused) = change.paused {
            after.state = if paused { EndpointState::Paused } else { EndpointState::On };
            after.off_reason.clear();
        }
        Ok(after)
    }

    /// Deletes an endpoint. Nothing is told to it from the commit on; what waited, and its log, go with it.
    pub(crate) async fn delete_endpoint(&self, by: Manager<'_>, id: &str) -> Result<()> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let whose = by.held(&mut tx).await?;
            let endpoint = found(&mut tx, by, &whose, id).await?;
            let shown = self.shown(&mut tx, &whose, endpoint).await?;
            tx.delete_push_endpoint(&shown.endpoint).await?;
            let of = ("push.delete", &whose, shown.endpoint.id);
            let before = pushes::audited(&shown);
            by.record(self, &mut tx, of, (before, Value::Null)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

/// An endpoint with the number of events that wait for it.
async fn counted(tx: &mut Tx, shown: Shown) -> Result<Shown> {
    let waiting = tx.waiting_pushes(shown.endpoint.key()).await?;
    Ok(Shown { waiting, ..shown })
}

/// An endpoint of a partner, or there is none. One of another partner or mode is none.
async fn found(tx: &mut Tx, by: Manager<'_>, whose: &Whose, id: &str) -> Result<PushEndpoint> {
    let id: EndpointId = id.parse().map_err(|_| by.unknown())?;
    let endpoint = tx.push_endpoint((whose.mode, whose.id), id).await?;
    endpoint.ok_or_else(|| by.unknown())
}
