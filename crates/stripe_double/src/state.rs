//! What the double holds: objects by their kind and id, in the order in which they were made. Touches nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::control::Faults;
use crate::error::ApiError;
use crate::events::Outbox;
use crate::keys::Keys;
use crate::params::Params;
use crate::{payments, refunds};

/// How many objects of a list are given if nothing else is asked for, and at most.
const LIMIT: i64 = 10;
const LIMIT_MAX: i64 = 100;

/// What it really did, by the payment that it was done to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// How much was taken, in Stripe's units.
    pub charged: BTreeMap<String, i64>,
    /// How much went back.
    pub refunded: BTreeMap<String, i64>,
}

/// What happens later by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Later {
    /// A payment that the bank has in hand succeeds.
    Succeed(String),
    /// A refund that the bank has in hand succeeds, or fails after it looked good.
    Refund(String, &'static str),
}

/// All that it holds.
#[derive(Debug)]
pub(crate) struct State {
    seed: u64,
    counter: u64,
    objects: BTreeMap<&'static str, Vec<Value>>,
    /// The time, in seconds, and how far it is ahead of whoever serves it.
    pub(crate) now: i64,
    pub(crate) ahead: i64,
    pub(crate) keys: Keys,
    pub(crate) faults: Faults,
    pub(crate) outbox: Outbox,
    pub(crate) journal: Journal,
    later: Vec<(i64, Later)>,
}

impl State {
    pub(crate) fn new(seed: u64, webhook_secret: &str) -> Self {
        Self {
            seed,
            counter: 0,
            objects: BTreeMap::new(),
            now: 0,
            ahead: 0,
            keys: Keys::default(),
            faults: Faults::default(),
            outbox: Outbox::new(webhook_secret),
            journal: Journal::default(),
            later: Vec::new(),
        }
    }

    /// The next id with a prefix: of the seed and a number, and so the same whenever the same is asked for.
    pub(crate) fn next(&mut self, prefix: &str) -> String {
        self.counter = self.counter.saturating_add(1);
        format!("{prefix}_{:08x}{:012x}", self.seed, self.counter)
    }

    /// Adds an object; its id is in it.
    pub(crate) fn add(&mut self, kind: &'static str, object: Value) -> Value {
        self.objects.entry(kind).or_default().push(object.clone());
        object
    }

    /// An object, to be read.
    pub(crate) fn find(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(kind)?.iter().rev().find(|object| object["id"] == id)
    }

    /// An object, to be changed; `param` names it in the refusal.
    pub(crate) fn change(
        &mut self,
        kind: &str,
        id: &str,
        (status, param): (u16, &str),
    ) -> Result<&mut Value, ApiError> {
        let missing = || ApiError::no_such(status, kind, id, param);
        let all = self.objects.get_mut(kind).ok_or_else(missing)?;
        all.iter_mut().rev().find(|object| object["id"] == id).ok_or_else(missing)
    }

    /// An object with what the request wants whole.
    pub(crate) fn whole(
        &self,
        kind: &str,
        id: &str,
        param: &str,
        params: &Params,
    ) -> Result<Value, ApiError> {
        params.check(&[&["expand[*]", "client_secret", "key"]])?;
        let object = self.find(kind, id).ok_or_else(|| ApiError::no_such(404, kind, id, param))?;
        Ok(self.expanded(object.clone(), params, ""))
    }

    /// An object in which ids that were asked for whole are objects. Within a list, paths begin with `data.`.
    pub(crate) fn expanded(&self, mut object: Value, params: &Params, before: &str) -> Value {
        for path in params.list("expand") {
            let Some(path) = path.strip_prefix(before) else { continue };
            let mut place = &mut object;
            for name in path.split('.') {
                // What is not there has nothing to be shown whole.
                let Some(next) = place.get_mut(name) else { break };
                place = next;
                let found = place.as_str().and_then(|id| self.by_id(id)).cloned();
                if let Some(found) = found {
                    *place = found;
                }
            }
        }
        object
    }

    fn by_id(&self, id: &str) -> Option<&Value> {
        self.objects.values().flatten().find(|object| object["id"] == id)
    }

    /// A part of the objects of a kind, the newest first; `filters` are fields that may be asked for.
    pub(crate) fn list(
        &self,
        kind: &str,
        params: &Params,
        filters: &[&str],
    ) -> Result<Value, ApiError> {
        let usual = [
            "limit",
            "starting_after",
            "created[gte]",
            "created[lt]",
            "created[gt]",
            "created[lte]",
        ];
        params.check(&[&usual, &["expand[*]"], filters])?;
        let limit = params.integer("limit")?.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = "This value must be between 1 and 100.";
            return Err(ApiError::param("limit", message).code("parameter_invalid_integer"));
        }
        let mut found: Vec<&Value> = self.objects.get(kind).into_iter().flatten().rev().collect();
        for name in filters {
            if let Some(wanted) = params.text(name) {
                found.retain(|object| object[*name] == wanted);
            }
        }
        let made = |object: &Value| object["created"].as_i64().unwrap_or_default();
        let bound = |name: &str| params.integer(name);
        let from = bound("created[gte]")?.or(bound("created[gt]")?.map(|at| at.saturating_add(1)));
        let to = bound("created[lte]")?.or(bound("created[lt]")?.map(|at| at.saturating_sub(1)));
        found.retain(|object| {
            from.is_none_or(|at| made(object) >= at) && to.is_none_or(|at| made(object) <= at)
        });
        if let Some(after) = params.text("starting_after") {
            let place = found.iter().position(|object| object["id"] == after);
            let missing = || ApiError::no_such(400, kind, after, "starting_after");
            found.drain(..=place.ok_or_else(missing)?);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > limit;
        let data = found.into_iter().take(limit);
        let data = data.map(|object| self.expanded(object.clone(), params, "data."));
        let data: Vec<Value> = data.collect();
        Ok(
            json!({"object": "list", "url": format!("/v1/{kind}s"), "has_more": has_more, "data": data}),
        )
    }

    /// Lets something happen later by itself.
    pub(crate) fn later(&mut self, seconds: i64, what: Later) {
        self.later.push((self.now.saturating_add(seconds), what));
    }

    /// Does what fell due.
    pub(crate) fn run_due(&mut self) {
        let now = self.now;
        let (due, rest) =
            std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = rest;
        for (_, what) in due {
            match what {
                Later::Succeed(intent) => payments::succeed(self, &intent),
                Later::Refund(refund, status) => refunds::settle(self, &refund, status),
            }
        }
    }
}
