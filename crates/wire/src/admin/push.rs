//! Where partners are told of events, and what they were told.

use super::record::kinds::{COUNT, FREE, MODE};
use super::record::{Kind, Secret, records};
use crate::endpoints::{
    DELIVERY_STATES, DESCRIPTION_CHARS_MAX, KINDS, URL_CHARS_MAX, WANTED_STATES,
};
use crate::push::{EventType, KEYS_MAX};

/// Where an endpoint stands.
pub const STATES: &[&str] = &["on", "paused", "off"];
/// Where a delivery stands.
pub const DELIVERED: &[&str] = DELIVERY_STATES;
/// The most tries that are told of a delivery.
const ATTEMPTS_MAX: usize = 1_000;

const ID: Kind = Kind::Id("end");
const EVENT: Kind = Kind::Id("evt");
const URL: Kind = Kind::Text { min: 1, max: URL_CHARS_MAX };
const DESCRIPTION: Kind = Kind::Text { min: 0, max: DESCRIPTION_CHARS_MAX };
const TYPES: Kind = Kind::List(&Kind::Word(&EventType::WORDS), 64);
const HOURS_MAX: i64 = 168;

records! {
    /// A key that signs pushes, without its text.
    PushKey {
        /// The id by which `x-lf-signature` names it.
        key_id: String = Kind::Code,
        /// When it was made.
        created_at: String = Kind::Time,
        /// From when on nothing is signed with it.
        retires_at: Option<String> = Kind::Time,
    }
    /// Where a partner is told of events.
    PushEndpoint {
        /// Live or test.
        mode: String = MODE,
        /// The code of the partner.
        partner: String = Kind::Code,
        /// Our id.
        endpoint_id: String = ID,
        /// `url`: events are sent to it. `listener`: they are taken by a developer without a public address.
        kind: String = Kind::Word(KINDS),
        /// Where to; empty of a listener.
        url: String = FREE,
        /// What it is, for people.
        description: String = DESCRIPTION,
        /// The event types that it is told; none: all.
        events: Vec<String> = TYPES,
        /// `off`: the mall gave it up.
        state: String = Kind::Word(STATES),
        /// Why it is off; empty otherwise.
        off_reason: String = FREE,
        /// When it was added.
        created_at: String = Kind::Time,
        /// Since when nothing but failures came of it.
        failing_since: Option<String> = Kind::Time,
        /// How many tries failed since the last success.
        failures: i64 = COUNT,
        /// When it is tried again, while its events wait for it.
        probe_at: Option<String> = Kind::Time,
        /// When it was tried last; of a listener, when somebody asked last.
        tried_at: Option<String> = Kind::Time,
        /// When a try succeeded last.
        succeeded_at: Option<String> = Kind::Time,
        /// How many events wait; of more than 10,000 that many are told.
        waiting: i64 = COUNT,
        /// The keys that sign, the newest first.
        keys: Vec<PushKey> = Kind::List(&Kind::Record(&PushKey::RECORD), KEYS_MAX),
    }
    /// A push endpoint to be added.
    NewPushEndpoint {
        /// Where pushes go: https, in test mode also http.
        url: String = URL,
        /// What it is, for people; nothing, if left out.
        description: Option<String> = DESCRIPTION,
        /// The event types that it is told; all, if left out or none.
        events: Option<Vec<String>> = TYPES,
    }
    /// What is to change of a push endpoint. What is left out stays.
    PushEndpointChange {
        /// Where pushes go.
        url: Option<String> = URL,
        /// What it is, for people.
        description: Option<String> = DESCRIPTION,
        /// The event types that it is told; none: all.
        events: Option<Vec<String>> = TYPES,
        /// `paused`: its events wait. `on`: they go, at once where it was paused or off.
        state: Option<String> = Kind::Word(WANTED_STATES),
    }
    /// How a push endpoint gets a new key.
    RotatePushKey {
        /// For how long the old key signs too; 24, if left out, and 0: no longer.
        overlap_hours: Option<i64> = Kind::Whole { min: 0, max: HOURS_MAX },
    }
    /// A push endpoint with a key that was just made. The key is stored sealed and cannot be shown again.
    IssuedPushEndpoint {
        /// The endpoint.
        endpoint: PushEndpoint = Kind::Record(&PushEndpoint::RECORD),
        /// The id of the new key.
        key_id: String = Kind::Code,
        /// The key as hexadecimal text, for `x-lf-signature`.
        hex: Secret = Kind::Text { min: 1, max: 200 },
        /// The same key for libraries of Standard Webhooks.
        whsec: Secret = Kind::Text { min: 1, max: 200 },
    }
    /// One try to tell an event.
    PushAttempt {
        /// When it was signed and sent.
        tried_at: String = Kind::Time,
        /// How long it took until the answer, or until it had failed, in milliseconds.
        latency_ms: i64 = COUNT,
        /// The HTTP status; left out where no answer came.
        status: Option<i64> = COUNT,
        /// Why no answer came, for programs; empty otherwise.
        failure: String = FREE,
        /// The beginning of the answer, or words about the failure.
        said: String = Kind::Text { min: 0, max: 4_096 },
    }
    /// What came of a sample.
    TestedPush {
        /// The sample.
        event_id: String = EVENT,
        /// `waiting`: until a listener takes it.
        state: String = Kind::Word(DELIVERY_STATES),
        /// The try; left out of a listener.
        attempt: Option<PushAttempt> = Kind::Record(&PushAttempt::RECORD),
    }
    /// An event as an endpoint was told it.
    PushDelivery {
        /// The event.
        event_id: String = EVENT,
        /// What happened.
        event_type: String = FREE,
        /// What it is about: the id of an order, an ICCID, … Events of one subject go in their order.
        subject: String = FREE,
        /// Its place among the events of its subject.
        sequence: i64 = COUNT,
        /// When it happened.
        occurred_at: String = Kind::Time,
        /// When the mall recorded it.
        recorded_at: String = Kind::Time,
        /// Where it stands.
        state: String = Kind::Word(DELIVERY_STATES),
        /// How many tries counted.
        tries: i64 = COUNT,
        /// When it is due, if it waits.
        due_at: Option<String> = Kind::Time,
        /// When it was delivered or given up.
        decided_at: Option<String> = Kind::Time,
        /// The tries, the newest first: the last ten, or all where one event was asked for.
        attempts: Vec<PushAttempt> = Kind::List(&Kind::Record(&PushAttempt::RECORD), ATTEMPTS_MAX),
        /// The bytes that are signed and sent; only where one event was asked for.
        body: Option<String> = Kind::Text { min: 1, max: 20_000 },
    }
    /// Which events are sent again: one; those that failed; or those of some time.
    ResendPushes {
        /// One event.
        event_id: Option<String> = EVENT,
        /// All that were recorded since and failed for good.
        failed_since: Option<String> = Kind::Time,
        /// All that were recorded from then on, those that were delivered too.
        from: Option<String> = Kind::Time,
        /// And before then; until now, if left out.
        to: Option<String> = Kind::Time,
        /// The `next_cursor` of the answer before.
        cursor: Option<String> = FREE,
    }
    /// How many events are sent again.
    ResentPushes {
        /// So many wait again by this call.
        count: i64 = COUNT,
        /// Go on with this `cursor`; left out if that was all.
        next_cursor: Option<String> = FREE,
    }
}
