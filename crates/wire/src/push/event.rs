//! The body of a push. Pure.

use domain::{Mode, Timestamp, UnknownWord};
use serde::{Deserialize, Serialize};

use crate::content::sorted_at_the_top;
use crate::params::{ParamsError, Value, parse_json};
use crate::topup::Order;

/// The version of an event and of its signature.
pub const VERSION: &str = "1.0";
/// The longest body, in bytes: less than 20 kB.
pub const BODY_BYTES_MAX: usize = 19_999;

/// What happened (words chosen, but for `recharge.success`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// A plan that was paid for is on its SIM.
    RechargeSuccess,
    /// An order failed for good.
    OrderFailed,
    /// The money of an order went back.
    OrderRefunded,
    /// A payment failed.
    PaymentFailed,
    /// A period was renewed.
    RenewalSucceeded,
    /// A period could not be renewed.
    RenewalFailed,
    /// An auto-renewal ended.
    RenewalCancelled,
    /// Adding SIMs to a group or removing them is done.
    GroupOperationFinished,
    /// A group used up a part of its data.
    GroupUsage,
    /// A group's bundle began another period (chosen).
    GroupBundleRenewed,
    /// A group's bundle is over (chosen).
    GroupBundleEnded,
    /// A plan ends soon.
    PlanExpiring,
    /// A plan ended.
    PlanExpired,
    /// Another endpoint of the partner's was switched off.
    EndpointOff,
    /// A sample, sent because somebody asked for one.
    PushSample,
}

impl EventType {
    /// All that there are.
    pub const ALL: [Self; 15] = [
        Self::RechargeSuccess,
        Self::OrderFailed,
        Self::OrderRefunded,
        Self::PaymentFailed,
        Self::RenewalSucceeded,
        Self::RenewalFailed,
        Self::RenewalCancelled,
        Self::GroupOperationFinished,
        Self::GroupUsage,
        Self::GroupBundleRenewed,
        Self::GroupBundleEnded,
        Self::PlanExpiring,
        Self::PlanExpired,
        Self::EndpointOff,
        Self::PushSample,
    ];

    /// The words of all of them.
    pub const WORDS: [&'static str; Self::ALL.len()] = {
        let mut words = [""; Self::ALL.len()];
        let mut place = 0;
        while place < words.len() {
            words[place] = Self::ALL[place].as_str();
            place += 1;
        }
        words
    };

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RechargeSuccess => "recharge.success",
            Self::OrderFailed => "order.failed",
            Self::OrderRefunded => "order.refunded",
            Self::PaymentFailed => "payment.failed",
            Self::RenewalSucceeded => "renewal.succeeded",
            Self::RenewalFailed => "renewal.failed",
            Self::RenewalCancelled => "renewal.cancelled",
            Self::GroupOperationFinished => "group.operation.finished",
            Self::GroupUsage => "group.usage",
            Self::GroupBundleRenewed => "group.bundle.renewed",
            Self::GroupBundleEnded => "group.bundle.ended",
            Self::PlanExpiring => "plan.expiring",
            Self::PlanExpired => "plan.expired",
            Self::EndpointOff => "endpoint.off",
            Self::PushSample => "push.sample",
        }
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for EventType {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "event type")
    }
}

/// An event (names chosen). The type is a text, since a mall may come to send types that an older
/// receiver does not know: it should take them and do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<D = serde_json::Value> {
    /// Its id: the same at every try, so that a receiver can tell what it has already seen.
    pub event_id: String,
    /// What happened, see [`Event::kind`].
    pub event_type: String,
    /// `1.0`.
    pub event_version: String,
    /// When it happened, in epoch milliseconds.
    pub occurred_at: i64,
    /// `live` or `test`.
    pub mode: String,
    /// Whose event it is.
    pub partner_code: String,
    /// What it is about; of `recharge.success` the order.
    pub data: D,
}

impl<D> Event<D> {
    /// An event of the present version.
    pub fn new(
        (event_id, event_type): (&str, EventType),
        occurred_at: Timestamp,
        (mode, partner_code): (Mode, &str),
        data: D,
    ) -> Self {
        Self {
            event_id: event_id.to_owned(),
            event_type: event_type.as_str().to_owned(),
            event_version: VERSION.to_owned(),
            occurred_at: occurred_at.as_millis(),
            mode: mode.as_str().to_owned(),
            partner_code: partner_code.to_owned(),
            data,
        }
    }

    /// The type, if it is one that this version knows.
    pub fn kind(&self) -> Option<EventType> {
        self.event_type.parse().ok()
    }
}

impl Event {
    /// The order that the event is about, if its data is one.
    pub fn order(&self) -> Result<Order, serde_json::Error> {
        Order::deserialize(&self.data)
    }
}

/// Why an event has no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It cannot be written as JSON.
    #[error("the event cannot be written as JSON: {0}")]
    Write(#[from] serde_json::Error),
    /// It is JSON that no receiver of ours would read.
    #[error("the event's JSON is refused: {0}")]
    Json(#[from] ParamsError),
    /// Too long.
    #[error("the event's body has {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLong(usize),
}

impl<D: Serialize> Event<D> {
    /// The body: the bytes that are signed and sent.
    pub fn body(&self) -> Result<String, BodyError> {
        let body = sorted_message(&serde_json::to_string(self)?)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLong(body.len()));
        }
        Ok(body)
    }
}

/// A JSON object as compact JSON with its top-level keys in ascending byte order (published). What is
/// below them keeps the order in which it was written, number tokens included.
pub fn sorted_message(json: &str) -> Result<String, ParamsError> {
    match parse_json(json)? {
        Value::Object(members) => Ok(sorted_at_the_top(&members)),
        _ => Err(ParamsError::NotAnObject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(data: serde_json::Value) -> Event {
        let at = Timestamp::from_millis(1_654_585_746_965).unwrap();
        Event::new(("evt_1", EventType::OrderFailed), at, (Mode::Test, "P000270"), data)
    }

    #[test]
    fn only_the_top_is_sorted() {
        let json = r#"{"b": {"z": 1.50, "a": null}, "a": [ {"y": "/", "x": "\u6b27"} ]}"#;
        let sorted = r#"{"a":[{"y":"/","x":"欧"}],"b":{"z":1.50,"a":null}}"#;
        assert_eq!(sorted_message(json).unwrap(), sorted);
        assert_eq!(sorted_message("[]"), Err(ParamsError::NotAnObject));
    }

    #[test]
    fn a_body_is_read_again_as_it_was() {
        let event = event(json!({"order_id": "ord_1"}));
        let body = event.body().unwrap();
        assert!(body.starts_with(r#"{"data":{"order_id":"ord_1"},"event_id":"evt_1","#), "{body}");
        assert_eq!(serde_json::from_str::<Event>(&body).unwrap(), event);
        assert_eq!(event.kind(), Some(EventType::OrderFailed));
    }

    #[test]
    fn a_body_has_a_longest_length() {
        let rest = event(json!("")).body().unwrap().len();
        let longest = event(json!("x".repeat(BODY_BYTES_MAX - rest)));
        assert_eq!(longest.body().unwrap().len(), BODY_BYTES_MAX);
        let longer = event(json!("x".repeat(BODY_BYTES_MAX - rest + 1)));
        assert!(matches!(longer.body(), Err(BodyError::TooLong(20_000))));
    }

    #[test]
    fn every_type_has_its_word() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(event_type));
        }
        assert!("recharge".parse::<EventType>().is_err());
    }
}
