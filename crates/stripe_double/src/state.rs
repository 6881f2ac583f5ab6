//! What Stripe remembers: objects, time, what is still to happen, and the events of all that did. Touches nothing.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::VERSION;
use crate::error::ApiError;
use crate::webhooks::Webhooks;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many characters an id has behind its prefix.
const ID_CHARS: usize = 24;
/// The deepest path that is expanded.
const EXPAND_DEPTH_MAX: usize = 4;

/// What happens by itself at its time.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A payment that was processing succeeds.
    Succeeds { intent: String, method: String },
    /// A charge comes into the account's books.
    Books { charge: String },
    /// A subscription's period is over.
    PeriodEnds { subscription: String },
    /// A first payment was waited for long enough.
    Expires { subscription: String },
    /// An invoice is to be paid.
    Collects { invoice: String },
    /// A refund ends.
    RefundEnds { refund: String, status: &'static str },
    /// The bank decides on what it was told.
    DisputeEnds { dispute: String, status: &'static str },
    /// A test clock arrives at a time.
    Advances { clock: String, target: i64 },
}

type Timers = BTreeMap<(i64, u64), Timer>;

#[derive(Debug, Default)]
pub(crate) struct State {
    seed: u64,
    made: u64,
    objects: BTreeMap<String, Value>,
    /// Ids by kind, in the order in which they were made.
    kinds: BTreeMap<String, Vec<String>>,
    timers: Timers,
    /// What waits for a test clock.
    clock_timers: BTreeMap<String, Timers>,
    /// The test clock by which something happens, and the double's own time meanwhile.
    clock: Option<(String, i64)>,
    /// Seconds since 1970 by the double's clock, or by a test clock, while something happens.
    pub(crate) now: i64,
    /// The request that is answered, and its idempotency key.
    pub(crate) request: Value,
    /// Payments that are confirmed now are processing for so many seconds first.
    pub(crate) late_seconds: Option<i64>,
    /// Charges that are made now come into the books so many seconds later.
    pub(crate) late_fee_seconds: Option<i64>,
    pub(crate) webhooks: Webhooks,
    /// What really happened to money.
    pub(crate) effects: Vec<Value>,
}

/// Letters and digits out of a text, always the same.
pub(crate) fn scrambled(text: &str, chars: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes: VecDeque<u8> = digest.iter().copied().collect();
    let mut made = String::new();
    while made.len() < chars {
        let byte = bytes.pop_front().unwrap_or_default();
        bytes.push_back(byte.wrapping_add(97));
        let letter = LETTERS.get(usize::from(byte) % LETTERS.len()).copied().unwrap_or(b'0');
        made.push(char::from(letter));
    }
    made
}

impl State {
    pub(crate) fn new(seed: u64, webhooks: Webhooks) -> Self {
        Self { seed, webhooks, ..Self::default() }
    }

    /// A new id: the same for the same seed and the same history.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.made = self.made.saturating_add(1);
        let text = format!("{}/{}/{prefix}", self.seed, self.made);
        format!("{prefix}_{}", scrambled(&text, ID_CHARS))
    }

    /// Keeps a new object, which has `id` and `object`.
    pub(crate) fn add(&mut self, mut object: Value) -> String {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let (id, kind) = (text("id"), text("object"));
        if object["created"].is_null() {
            object["created"] = json!(self.now);
        }
        object["livemode"] = json!(false);
        self.kinds.entry(kind).or_default().push(id.clone());
        self.objects.insert(id.clone(), object);
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Value> {
        self.objects.get(id)
    }

    /// A field of an object; null if either is not there.
    pub(crate) fn field(&self, id: &str, name: &str) -> Value {
        self.objects.get(id).map(|object| object[name].clone()).unwrap_or_default()
    }

    pub(crate) fn text(&self, id: &str, name: &str) -> String {
        self.field(id, name).as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn number(&self, id: &str, name: &str) -> i64 {
        self.field(id, name).as_i64().unwrap_or_default()
    }

    /// The object of a kind; the error is that of a path (404) or of a parameter (400).
    pub(crate) fn find(
        &self,
        kind: &str,
        id: &str,
        param: &str,
        status: u16,
    ) -> Result<&Value, ApiError> {
        let found = self.objects.get(id).filter(|object| object["object"] == kind);
        let found = found.filter(|object| object["deleted"].is_null());
        found.ok_or_else(|| ApiError::no_such(status, kind, id, param))
    }

    /// The objects of a kind, newest first.
    pub(crate) fn newest(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let ids = self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default();
        ids.iter().rev().filter_map(|id| self.objects.get(id))
    }

    /// Changes fields and says what they were.
    pub(crate) fn merge(&mut self, id: &str, fields: Value) -> Value {
        let mut previous = Map::new();
        let Some(object) = self.objects.get_mut(id) else { return Value::Null };
        if let Value::Object(fields) = fields {
            for (name, value) in fields {
                if object[&name] != value {
                    previous.insert(name.clone(), object[&name].take());
                    object[&name] = value;
                }
            }
        }
        previous.retain(|name, _| !name.starts_with('_'));
        Value::Object(previous)
    }

    /// The test clock of an object: that of the customer whose it is.
    pub(crate) fn clock_of(&self, id: &str) -> Option<String> {
        let object = self.get(id)?;
        if object["object"] == "test_helpers.test_clock" {
            return None;
        }
        let customer = object["customer"].as_str().or_else(|| {
            // Disputes and refunds have their customer from their payment.
            self.get(object["payment_intent"].as_str()?)?["customer"].as_str()
        });
        let own = self.get(customer.unwrap_or(id))?;
        own["test_clock"].as_str().map(str::to_owned)
    }

    /// Goes by a test clock from now on, until [`Self::leave`].
    pub(crate) fn enter(&mut self, clock: &str) {
        self.leave();
        self.clock = Some((clock.to_owned(), self.now));
        self.now = self.number(clock, "frozen_time");
    }

    /// Goes by the test clock of an object, if it has one.
    pub(crate) fn enter_of(&mut self, id: &str) {
        if let Some(clock) = self.clock_of(id) {
            self.enter(&clock);
        }
    }

    /// Goes by the double's own clock again.
    pub(crate) fn leave(&mut self) {
        if let Some((_, now)) = self.clock.take() {
            self.now = now;
        }
    }

    /// The time by the double's own clock.
    fn own_now(&self) -> i64 {
        self.clock.as_ref().map_or(self.now, |(_, now)| *now)
    }

    /// Takes a test clock away with all that goes by it.
    pub(crate) fn forget_clock(&mut self, clock: &str) {
        self.clock_timers.remove(clock);
        let theirs = |id: &&String| self.clock_of(id).is_some_and(|of| of == clock);
        let theirs: Vec<String> = self.objects.keys().filter(theirs).cloned().collect();
        for id in theirs.iter().map(String::as_str).chain([clock]) {
            self.merge(id, json!({"deleted": true}));
        }
    }

    pub(crate) fn after(&mut self, seconds: i64, timer: Timer) {
        self.made = self.made.saturating_add(1);
        let timers = match &self.clock {
            Some((clock, _)) => self.clock_timers.entry(clock.clone()).or_default(),
            None => &mut self.timers,
        };
        timers.insert((self.now.saturating_add(seconds), self.made), timer);
    }

    /// When the next thing happens by the double's clock.
    pub(crate) fn next_at(&self) -> Option<i64> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// What happens once the request is answered, whatever a test clock says.
    pub(crate) fn soon(&mut self, timer: Timer) {
        self.made = self.made.saturating_add(1);
        self.timers.insert((self.own_now(), self.made), timer);
    }

    /// Takes the next that is due at a time by the test clock, and makes it now.
    pub(crate) fn next_by_clock(&mut self, now: i64) -> Option<Timer> {
        let (clock, _) = self.clock.as_ref()?;
        let timers = self.clock_timers.get_mut(clock)?;
        let entry = timers.first_entry().filter(|entry| entry.key().0 <= now)?;
        self.now = entry.key().0;
        Some(entry.remove())
    }

    /// Takes the next that is due at a time, and makes it now.
    pub(crate) fn next_due(&mut self, now: i64) -> Option<Timer> {
        let entry = self.timers.first_entry().filter(|entry| entry.key().0 <= now)?;
        self.now = entry.key().0;
        Some(entry.remove())
    }

    /// An object as it is shown.
    pub(crate) fn shown(&self, id: &str) -> Value {
        self.get(id).map(shown).unwrap_or_default()
    }

    /// Tells of what happened to an object.
    pub(crate) fn emit(&mut self, kind: &str, id: &str, previous: Value) {
        let mut data = json!({"object": self.shown(id)});
        if previous.as_object().is_some_and(|previous| !previous.is_empty()) {
            data["previous_attributes"] = previous;
        }
        let event = self.id("evt");
        let request = match &self.request {
            Value::Null => json!({"id": null, "idempotency_key": null}),
            request => request.clone(),
        };
        self.add(json!({
            "id": event, "object": "event", "api_version": VERSION, "data": data,
            "pending_webhooks": 1, "request": request, "type": kind,
        }));
        let body = serde_json::to_string_pretty(&self.shown(&event)).unwrap_or_default();
        let now = self.own_now();
        self.webhooks.plan(&event, &body, now);
    }

    /// Notes what really happened to the money of an object.
    pub(crate) fn note(&mut self, effect: &str, id: &str) {
        let object = self.shown(id);
        self.effects.push(json!({
            "at": self.now, "effect": effect, "id": id, "amount": object["amount"],
            "currency": object["currency"], "status": object["status"],
            "payment_intent": object["payment_intent"], "metadata": object["metadata"],
            "request": self.request, "told": "answered",
        }));
    }

    /// Puts the objects that are asked for in the place of their ids.
    pub(crate) fn expand(&self, value: &mut Value, path: &str) -> Result<(), ApiError> {
        let parts: Vec<&str> = path.split('.').collect();
        if parts.len() > EXPAND_DEPTH_MAX {
            let message = format!("You cannot expand more than {EXPAND_DEPTH_MAX} levels.");
            return Err(ApiError::param("expand", message));
        }
        self.expand_parts(value, &parts, path)
    }

    fn expand_parts(&self, value: &mut Value, parts: &[&str], path: &str) -> Result<(), ApiError> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if let Value::Array(items) = value {
            return items.iter_mut().try_for_each(|item| self.expand_parts(item, parts, path));
        }
        let error =
            || ApiError::param("expand", format!("This property cannot be expanded ({path})."));
        if *first == "refunds" && value["object"] == "charge" {
            let of_charge = |refund: &&Value| refund["charge"] == value["id"];
            let data: Vec<Value> = self.newest("refund").filter(of_charge).map(shown).collect();
            value["refunds"] = json!({"object": "list", "data": data, "has_more": false});
        }
        let field = value.get_mut(first).ok_or_else(error)?;
        if let Value::String(id) = field {
            *field = self.get(id).map(shown).ok_or_else(error)?;
        } else if !field.is_null() && !field.is_object() && !field.is_array() {
            return Err(error());
        }
        if field.is_null() { Ok(()) } else { self.expand_parts(field, rest, path) }
    }
}

/// An object without what is the double's own.
pub(crate) fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        fields.retain(|name, _| !name.starts_with('_'));
    }
    object
}
