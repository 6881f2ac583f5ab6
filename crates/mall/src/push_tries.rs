//! One try to tell an endpoint an event: signing it, sending it, and what the answer means.

use std::sync::Arc;

use domain::id::EventId;
use domain::{Span, Timestamp};
use pushes::{Endpoint, Failure, FailureKind, Outcome, Push, Sender};
use store::{DuePush, PushAttempt, PushEndpoint, PushKey};
use wire::push::{KEYS_MAX, Key, sign};

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_rules::Verdict;

/// The receiver says that there is nothing there any more.
const GONE: u16 = 410;
/// The receiver asks for time.
const NOT_NOW: [u16; 2] = [429, 503];

/// By what pushes to an endpoint are signed and sent.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// Where to; a failure is that of every try.
    to: std::result::Result<Endpoint, Failure>,
    /// The version of the endpoint that this goes by.
    version: i64,
    /// All keys, the newest first, with when they retire.
    all: Vec<(Key, Option<Timestamp>)>,
    /// Those that sign now.
    keys: Vec<Key>,
    /// When that changes.
    until: Option<Timestamp>,
}

/// A try that ended.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) event_id: EventId,
    /// The version of the endpoint that was tried.
    pub(crate) version: i64,
    /// How many tries had failed before, and since when it was due.
    pub(crate) tries: i64,
    pub(crate) due_at: Timestamp,
    /// Whether it had been tried before.
    pub(crate) was_tried: bool,
    pub(crate) tried_at: Timestamp,
    pub(crate) latency: Span,
    pub(crate) verdict: Verdict,
    pub(crate) status: Option<u16>,
    pub(crate) failure: &'static str,
    pub(crate) said: String,
}

impl Signer {
    fn new(
        version: i64,
        to: std::result::Result<Endpoint, Failure>,
        all: Vec<(Key, Option<Timestamp>)>,
        now: Timestamp,
    ) -> Self {
        let mut signer = Self { to, version, all, keys: Vec::new(), until: None };
        signer.choose(now);
        signer
    }

    fn choose(&mut self, now: Timestamp) {
        let lives = |retires: &Option<Timestamp>| retires.is_none_or(|at| at > now);
        let living = self.all.iter().filter(|(_, retires)| lives(retires)).take(KEYS_MAX);
        self.until = living.clone().filter_map(|(_, retires)| *retires).min();
        self.keys = living.map(|(key, _)| key.clone()).collect();
    }

    /// The signer as it is at a time.
    pub(crate) fn at(signer: &mut Arc<Self>, now: Timestamp) -> Arc<Self> {
        if signer.until.is_some_and(|until| until <= now) {
            Arc::make_mut(signer).choose(now);
        }
        Arc::clone(signer)
    }

    /// The keys that sign, the newest first.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Signs a push and sends it once. The time is that of the signature.
    pub(crate) async fn send(
        self: Arc<Self>,
        sender: Sender,
        push: DuePush,
        tried_at: Timestamp,
    ) -> Landed {
        let landed = Landed {
            event_id: push.event_id,
            version: self.version,
            tries: push.tries,
            due_at: push.due_at,
            was_tried: push.is_tried,
            tried_at,
            latency: Span::micros(0),
            verdict: Verdict::NotTaken,
            status: None,
            failure: FailureKind::Push.as_str(),
            said: String::new(),
        };
        let id = push.event_id.to_string();
        let headers = match sign(&self.keys, &id, tried_at, push.body.as_bytes()) {
            Ok(headers) => headers,
            Err(error) => return Landed { said: error.to_string(), ..landed },
        };
        landed.heard(match &self.to {
            Ok(to) => sender.send(Push { to, headers: &headers.pairs(), body: push.body }).await,
            Err(failure) => Outcome { latency: Span::micros(0), result: Err(failure.clone()) },
        })
    }
}

impl Landed {
    /// The try as it is logged.
    pub(crate) fn attempt(self) -> PushAttempt {
        PushAttempt {
            event_id: self.event_id,
            tried_at: self.tried_at,
            latency: self.latency,
            status: self.status,
            failure: self.failure.to_owned(),
            said: self.said,
        }
    }

    fn heard(self, Outcome { latency, result }: Outcome) -> Self {
        match result {
            Ok(answer) => {
                let asks = answer.retry_after.filter(|_| NOT_NOW.contains(&answer.status));
                let verdict = match answer.status {
                    _ if answer.is_success() => Verdict::Taken,
                    GONE => Verdict::Gone,
                    _ => asks.map_or(Verdict::NotTaken, Verdict::NotNow),
                };
                let status = Some(answer.status);
                Self { latency, verdict, status, failure: "", said: answer.text, ..self }
            }
            Err(failure) => {
                let (kind, said) = (failure.kind.as_str(), failure.words);
                Self { latency, failure: kind, said, ..self }
            }
        }
    }
}

impl Mall {
    /// By what pushes to an endpoint are signed now.
    pub(crate) async fn push_signer(&self, endpoint: &PushEndpoint) -> Result<Signer> {
        let mut reader = self.push_reader().await?;
        let stored = reader.tx.push_keys(endpoint).await?;
        drop(reader);
        let mut keys = Vec::with_capacity(stored.len());
        for PushKey { key_id, sealed, retires_at, .. } in stored {
            let (mode, partner, id) = endpoint.key();
            let row = PushKey::seal_row(mode, partner, id, &key_id);
            let text = self.sealer.open(&row, &sealed).map_err(store::StoreError::from)?;
            let key = Key::parse(&key_id, &text);
            let key = key.map_err(|error| Error::Internal(format!("{row}: {error}")))?;
            keys.push((key, retires_at));
        }
        let to = self.sender.target(&endpoint.url, endpoint.mode);
        Ok(Signer::new(endpoint.version, to, keys, self.ctx.now()))
    }
}
