//! Topup: where a partner wants to be told, and what it was told (9; paths and names chosen, `snake_case`).
//!
//! A listener is an endpoint without a URL: its events are taken from the mall instead of sent.

mod answers;

use domain::Timestamp;

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::TOPUP;
use crate::form::{Field, Form, Kind, Problem, optional, required};
use crate::push::EventType;

pub use answers::{
    Deliveries, Delivery, Endpoint, Endpoints, IssuedEndpoint, IssuedKey, Key, Resent, SignedEvent,
    Taken, Tested, Try,
};

/// How the paths of all these calls begin.
pub const ROOT: &str = "/mall/push-";
/// The most endpoints of a partner in a mode.
pub const ENDPOINTS_MAX: usize = 20;
/// The longest URL.
pub const URL_CHARS_MAX: usize = 2_048;
/// The longest description.
pub const DESCRIPTION_CHARS_MAX: usize = 200;
/// The longest id.
pub const ID_CHARS_MAX: usize = 64;
/// The most events that are taken at once.
pub const TAKE_MAX: u32 = 100;
/// The most deliveries on a page.
pub const PAGE_SIZE_MAX: u32 = 100;
/// For how long two keys may sign, in hours: a week.
pub const OVERLAP_HOURS_MAX: u32 = 168;
/// For how long two keys sign unless told, in hours.
pub const OVERLAP_HOURS: u32 = 24;

/// How an endpoint is told.
pub const KINDS: &[&str] = &["url", "listener"];
/// What a partner may do with an endpoint.
pub const WANTED_STATES: &[&str] = &["on", "paused"];
/// Where a delivery stands.
pub const DELIVERY_STATES: &[&str] = &["waiting", "delivered", "failed"];

const TYPES: Kind = Kind::Word(&EventType::WORDS);
const TYPES_MAX: usize = 64;
const ID: Kind = Kind::Text { max: ID_CHARS_MAX };
const URL: Kind = Kind::Text { max: URL_CHARS_MAX };
const DESCRIPTION: Kind = Kind::Text { max: DESCRIPTION_CHARS_MAX };

const ENDPOINT_ID: Field = required("endpoint_id", ID, "The endpoint (chosen)");
const fn call(
    (method, path, name): (Method, &'static str, &'static str),
    (summary, doc): (&'static str, &'static str),
    fields: &'static [&'static [Field]],
) -> Call {
    let (service, shape) = (Service::Topup, Shape::Envelope);
    Call { service, method, path, name, shape, summary, doc, fields }
}

/// `GET /mall/push-endpoints`, chosen.
pub const LIST: Call = call(
    (Method::Get, "/mall/push-endpoints", "listPushEndpoints"),
    ("The partner's push endpoints (chosen)", "Needs `hmac-sha256`. The oldest first."),
    &[TOPUP],
);

/// `POST /mall/push-endpoints`, chosen.
pub const ADD: Call = call(
    (Method::Post, "/mall/push-endpoints", "addPushEndpoint"),
    (
        "Add a push endpoint (chosen)",
        "Needs `hmac-sha256`. A partner has 20 at most in a mode. The answer shows the key only now: as hexadecimal text \
         for `x-lf-signature`, and as `whsec_…` for libraries of Standard Webhooks. A listener has no URL; one that \
         takes nothing for an hour is deleted.",
    ),
    &[
        TOPUP,
        &[
            optional("kind", Kind::Word(KINDS), "url (unless told), or listener (chosen)"),
            optional("url", URL, "Where pushes go: https, in test mode also http (chosen)"),
            optional("description", DESCRIPTION, "What it is, for people (chosen)"),
            optional("events", Kind::List(&TYPES, TYPES_MAX), "Event types; empty: all (chosen)"),
        ],
    ],
);

/// `POST /mall/push-endpoints/change`, chosen.
pub const CHANGE: Call = call(
    (Method::Post, "/mall/push-endpoints/change", "changePushEndpoint"),
    (
        "Change, pause or resume a push endpoint (chosen)",
        "Needs `hmac-sha256`. What is left out stays. While it is paused, or off after days of failure, its events wait; \
         with `state` `on` they go again.",
    ),
    &[
        TOPUP,
        &[
            ENDPOINT_ID,
            optional("url", URL, "Where pushes go (chosen)"),
            optional("description", DESCRIPTION, "What it is, for people (chosen)"),
            optional(
                "events",
                Kind::List(&TYPES, TYPES_MAX),
                "Event types; an empty list: all (chosen)",
            ),
            optional("state", Kind::Word(WANTED_STATES), "on or paused (chosen)"),
        ],
    ],
);

/// `POST /mall/push-endpoints/test`, chosen.
pub const TEST: Call = call(
    (Method::Post, "/mall/push-endpoints/test", "testPushEndpoint"),
    (
        "Send a sample to a push endpoint (chosen)",
        "Needs `hmac-sha256`. A `push.sample` goes out at once, whatever the endpoint's state and event types, and is not \
         repeated; the answer, 15 seconds later at most, tells what came of it. A listener's waits until it is taken.",
    ),
    &[TOPUP, &[ENDPOINT_ID]],
);

/// `POST /mall/push-endpoints/rotate`, chosen.
pub const ROTATE: Call = call(
    (Method::Post, "/mall/push-endpoints/rotate", "rotatePushKey"),
    (
        "Give a push endpoint a new key (chosen)",
        "Needs `hmac-sha256`. Both keys sign during the overlap: `x-lf-signature` is the newer one's, `webhook-signature` \
         has one by each. Refused while two keys sign. The answer shows the new key only now.",
    ),
    &[
        TOPUP,
        &[
            ENDPOINT_ID,
            optional(
                "overlap_hours",
                Kind::Count { min: 0, max: OVERLAP_HOURS_MAX },
                "For how long the old key signs too, 24 unless told; 0: no longer (chosen)",
            ),
        ],
    ],
);

/// `POST /mall/push-endpoints/delete`, chosen.
pub const DELETE: Call = call(
    (Method::Post, "/mall/push-endpoints/delete", "deletePushEndpoint"),
    (
        "Delete a push endpoint (chosen)",
        "Needs `hmac-sha256`. What waits for it, its keys and its log are gone with it.",
    ),
    &[TOPUP, &[ENDPOINT_ID]],
);

/// `POST /mall/push-endpoints/resend`, chosen.
pub const RESEND: Call = call(
    (Method::Post, "/mall/push-endpoints/resend", "resendPushes"),
    (
        "Send events again (chosen)",
        "Needs `hmac-sha256`. One event; all that failed for good since a time; or all that were recorded from a time on and \
         before another, those that were delivered too. They wait again, keep their ids, and go in their order. Go on \
         with `cursor` until `next_cursor` is null.",
    ),
    &[
        TOPUP,
        &[
            ENDPOINT_ID,
            optional("event_id", ID, "One event (chosen)"),
            optional("failed_since", Kind::Millis, "All that failed since, epoch ms (chosen)"),
            optional("from", Kind::Millis, "All from then on, epoch ms (chosen)"),
            optional("to", Kind::Millis, "And before then; until now unless told (chosen)"),
            optional("cursor", ID, "The next_cursor of the answer before (chosen)"),
        ],
    ],
);

/// `POST /mall/push-endpoints/take`, chosen.
pub const TAKE: Call = call(
    (Method::Post, "/mall/push-endpoints/take", "takePushes"),
    (
        "Take what waits for a listener (chosen)",
        "Needs `hmac-sha256`. Those named in `acknowledged` are done; the answer has those that wait, of each subject only \
         the first, each with the headers and the body with which it would have been pushed. What is not acknowledged is given \
         again.",
    ),
    &[
        TOPUP,
        &[
            ENDPOINT_ID,
            optional(
                "acknowledged",
                Kind::List(&ID, 100),
                "Ids of events that were handled (chosen)",
            ),
            optional(
                "limit",
                Kind::Count { min: 0, max: TAKE_MAX },
                "How many to give, 100 unless told (chosen)",
            ),
        ],
    ],
);

/// `GET /mall/push-deliveries`, chosen.
pub const DELIVERIES: Call = call(
    (Method::Get, "/mall/push-deliveries", "listPushDeliveries"),
    (
        "What a push endpoint was told (chosen)",
        "Needs `hmac-sha256`. The newest first, each with its last ten tries; with `event_id` all tries and the body. A page \
         may have few items, or none, and yet a next one. Kept for 30 days.",
    ),
    &[
        TOPUP,
        &[
            ENDPOINT_ID,
            optional("event_id", ID, "Only this event (chosen)"),
            optional("state", Kind::Word(DELIVERY_STATES), "Only in this state (chosen)"),
            optional("cursor", ID, "The next_cursor of the page before (chosen)"),
            optional(
                "page_size",
                Kind::Count { min: 1, max: PAGE_SIZE_MAX },
                "Deliveries on a page, 50 unless told (chosen)",
            ),
        ],
    ],
);

/// The partner's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEndpoints;

impl Request for ListEndpoints {
    const CALL: Call = LIST;
    fn read(_: &mut Form<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// An endpoint to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddEndpoint {
    /// Whether it is a listener, without a URL.
    pub is_listener: bool,
    /// Where pushes go; empty for a listener.
    pub url: String,
    /// What it is, for people.
    pub description: String,
    /// The words of event types; empty: all.
    pub events: Vec<String>,
}

impl Request for AddEndpoint {
    const CALL: Call = ADD;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let wrong_before = form.error_count();
        let kind = form.word("kind", KINDS);
        let url = form.text("url", URL_CHARS_MAX);
        let description = form.text("description", DESCRIPTION_CHARS_MAX);
        let events = form.texts("events", &TYPES, TYPES_MAX);
        if form.error_count() > wrong_before {
            return None;
        }
        let is_listener = kind == Some("listener");
        Some(Self {
            is_listener,
            url: url?,
            description: description?,
            events: events.unwrap_or_default(),
        })
    }
}

/// What is to change of an endpoint. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeEndpoint {
    /// The endpoint.
    pub endpoint_id: String,
    /// Where pushes go.
    pub url: Option<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// The words of event types; empty: all.
    pub events: Option<Vec<String>>,
    /// Whether it is paused.
    pub paused: Option<bool>,
}

impl Request for ChangeEndpoint {
    const CALL: Call = CHANGE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let wrong_before = form.error_count();
        let endpoint_id = form.text("endpoint_id", ID_CHARS_MAX);
        let url = form.text("url", URL_CHARS_MAX);
        let described = form.is_there("description");
        let description = form.text("description", DESCRIPTION_CHARS_MAX);
        let events = form.texts("events", &TYPES, TYPES_MAX);
        let state = form.word("state", WANTED_STATES);
        if form.error_count() > wrong_before {
            return None;
        }
        Some(Self {
            endpoint_id: endpoint_id?,
            url: url.filter(|url| !url.is_empty()),
            description: description.filter(|_| described),
            events,
            paused: state.map(|state| state == "paused"),
        })
    }
}

/// An endpoint that is wanted.
macro_rules! of_one {
    ($($(#[$doc:meta])* $name:ident $call:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            /// The endpoint.
            pub endpoint_id: String,
        }

        impl Request for $name {
            const CALL: Call = $call;
            fn read(form: &mut Form<'_>) -> Option<Self> {
                Some(Self { endpoint_id: form.text("endpoint_id", ID_CHARS_MAX)? })
            }
        }
    )*};
}

of_one! {
    /// A sample to be sent.
    TestEndpoint TEST;
    /// An endpoint to be deleted.
    DeleteEndpoint DELETE;
}

/// A new key for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateKey {
    /// The endpoint.
    pub endpoint_id: String,
    /// For how long the old key signs too, in hours.
    pub overlap_hours: u32,
}

impl Request for RotateKey {
    const CALL: Call = ROTATE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let endpoint_id = form.text("endpoint_id", ID_CHARS_MAX);
        let hours = form.count_or("overlap_hours", OVERLAP_HOURS, 0, OVERLAP_HOURS_MAX);
        Some(Self { endpoint_id: endpoint_id?, overlap_hours: hours? })
    }
}

/// Which events are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// This one.
    Event(String),
    /// All that failed for good since a time.
    FailedSince(Timestamp),
    /// All that were recorded from a time on and before another, if there is one.
    Recorded(Timestamp, Option<Timestamp>),
}

/// Events to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResendPushes {
    /// The endpoint.
    pub endpoint_id: String,
    /// Which events.
    pub again: Again,
    /// Behind which event to go on; empty at the beginning.
    pub cursor: String,
}

impl Request for ResendPushes {
    const CALL: Call = RESEND;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let wrong_before = form.error_count();
        let endpoint_id = form.text("endpoint_id", ID_CHARS_MAX);
        let event = form.text("event_id", ID_CHARS_MAX);
        let failed_since = form.millis("failed_since");
        let (from, to) = (form.millis("from"), form.millis("to"));
        let cursor = form.text("cursor", ID_CHARS_MAX);
        if form.error_count() > wrong_before {
            return None;
        }
        let again = match (event?, failed_since, from) {
            (event, _, _) if !event.is_empty() => Again::Event(event),
            (_, Some(since), _) => Again::FailedSince(since),
            (_, _, Some(from)) => Again::Recorded(from, to),
            _ => {
                form.fail("event_id", Problem::NoneOfThem);
                return None;
            }
        };
        Some(Self { endpoint_id: endpoint_id?, again, cursor: cursor? })
    }
}

/// What a listener has done and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakePushes {
    /// The listener.
    pub endpoint_id: String,
    /// Events that were handled.
    pub acknowledged: Vec<String>,
    /// How many to give.
    pub limit: u32,
}

impl Request for TakePushes {
    const CALL: Call = TAKE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let wrong_before = form.error_count();
        let endpoint_id = form.text("endpoint_id", ID_CHARS_MAX);
        let acknowledged = form.texts("acknowledged", &ID, 100);
        let limit = form.count_or("limit", TAKE_MAX, 0, TAKE_MAX);
        if form.error_count() > wrong_before {
            return None;
        }
        let acknowledged = acknowledged.unwrap_or_default();
        Some(Self { endpoint_id: endpoint_id?, acknowledged, limit: limit? })
    }
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDeliveries {
    /// The endpoint.
    pub endpoint_id: String,
    /// Only of this event; empty: of all.
    pub event_id: String,
    /// Only in this state; empty: in any.
    pub state: String,
    /// Behind which event to go on; empty at the beginning.
    pub cursor: String,
    /// How many on a page.
    pub page_size: u32,
}

impl Request for ListDeliveries {
    const CALL: Call = DELIVERIES;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let endpoint_id = form.text("endpoint_id", ID_CHARS_MAX);
        let event_id = form.text("event_id", ID_CHARS_MAX);
        let state = form.word("state", DELIVERY_STATES).unwrap_or_default();
        let cursor = form.text("cursor", ID_CHARS_MAX);
        let page_size = form.count_or("page_size", 50, 1, PAGE_SIZE_MAX);
        Some(Self {
            endpoint_id: endpoint_id?,
            event_id: event_id?,
            state: state.to_owned(),
            cursor: cursor?,
            page_size: page_size?,
        })
    }
}
