//! Stripe's objects, with the fields that the mall reads. Whatever else they have is ignored. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What we wrote on an object: up to fifty names of forty characters.
pub type Metadata = BTreeMap<String, String>;

/// A part of a list, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page<T> {
    /// The objects.
    pub data: Vec<T>,
    /// Whether there are more, after the last one.
    #[serde(default)]
    pub has_more: bool,
}

/// An object, or its id where it was not asked for whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expandable<T> {
    /// There is none.
    #[default]
    None,
    /// Its id.
    Id(String),
    /// The object.
    Object(Box<T>),
}

impl<T> Expandable<T> {
    /// The object, if it was asked for whole.
    pub fn object(&self) -> Option<&T> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Expandable<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Id(String),
            Object(Box<T>),
        }
        let either = Option::<Either<T>>::deserialize(from)
            .map_err(|_| D::Error::custom("neither an id nor an object that can be read"))?;
        Ok(match either {
            None => Self::None,
            Some(Either::Id(id)) => Self::Id(id),
            Some(Either::Object(object)) => Self::Object(object),
        })
    }
}

/// Words of Stripe's as variants; what is not known is kept as it is.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// One that is not known here.
            Other(String),
        }

        impl $name {
            /// Stripe's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from).map(Self::from)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;

words! {
    /// How a `PaymentIntent` stands.
    PaymentIntentStatus {
        /// Nobody has tried to pay, or the last try was declined.
        RequiresPaymentMethod = "requires_payment_method",
        /// A way of payment is there, and was not used.
        RequiresConfirmation = "requires_confirmation",
        /// The end user has to do something, such as to prove who it is.
        RequiresAction = "requires_action",
        /// The bank has it in hand.
        Processing = "processing",
        /// The money is held, and has to be taken.
        RequiresCapture = "requires_capture",
        /// Nobody can pay it any more.
        Canceled = "canceled",
        /// The money is there.
        Succeeded = "succeeded",
    }
}

words! {
    /// How a refund stands.
    RefundStatus {
        /// The bank has it in hand.
        Pending = "pending",
        /// The end user has to do something.
        RequiresAction = "requires_action",
        /// The money went back.
        Succeeded = "succeeded",
        /// It came back: the bank did not take it.
        Failed = "failed",
        /// Given up before it was done.
        Canceled = "canceled",
    }
}

words! {
    /// How a dispute stands.
    DisputeStatus {
        /// The bank asks; no money was taken.
        WarningNeedsResponse = "warning_needs_response",
        /// The bank looks at our answer; no money was taken.
        WarningUnderReview = "warning_under_review",
        /// The bank's question is over.
        WarningClosed = "warning_closed",
        /// The money was taken; evidence can be sent.
        NeedsResponse = "needs_response",
        /// The money was taken; the bank looks at the evidence.
        UnderReview = "under_review",
        /// The money came back.
        Won = "won",
        /// The money stays taken.
        Lost = "lost",
    }
}

/// Somebody who pays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Customer {
    /// `cus_…`.
    pub id: String,
    /// Whether it was deleted at Stripe, and nobody can pay as it any more.
    #[serde(default)]
    pub deleted: bool,
    /// Our words.
    #[serde(default)]
    pub metadata: Metadata,
}

/// Opens one customer's saved cards to an app for an hour.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct EphemeralKey {
    /// `ephkey_…`.
    pub id: String,
    /// The key itself.
    pub secret: Option<String>,
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EphemeralKey({})", self.id)
    }
}

/// One payment, however often it is tried.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct PaymentIntent {
    /// `pi_…`.
    pub id: String,
    /// How it stands.
    pub status: PaymentIntentStatus,
    /// What is to be paid, in Stripe's units.
    pub amount: i64,
    /// What came, in Stripe's units.
    #[serde(default)]
    pub amount_received: i64,
    /// In lower case.
    pub currency: String,
    /// Who pays.
    #[serde(default)]
    pub customer: Expandable<Customer>,
    /// Lets whoever has it pay.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Our words.
    #[serde(default)]
    pub metadata: Metadata,
    /// The invoice that it pays, where it pays one.
    #[serde(default, deserialize_with = "id_of")]
    pub invoice: Option<String>,
    /// The last try that reached a bank.
    #[serde(default)]
    pub latest_charge: Expandable<Charge>,
    /// Why the last try was declined.
    #[serde(default)]
    pub last_payment_error: Option<LastPaymentError>,
    /// When it was made, in seconds.
    #[serde(default)]
    pub created: i64,
}

impl PaymentIntent {
    /// The last charge, if it was asked for whole.
    pub fn charge(&self) -> Option<&Charge> {
        self.latest_charge.object()
    }

    /// The last charge's id.
    pub fn charge_id(&self) -> Option<&str> {
        match &self.latest_charge {
            Expandable::None => None,
            Expandable::Id(id) => Some(id),
            Expandable::Object(charge) => Some(&charge.id),
        }
    }
}

impl fmt::Debug for PaymentIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentIntent({}, {}, {} {})", self.id, self.status, self.amount, self.currency)
    }
}

/// Why a try to pay was declined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LastPaymentError {
    /// Stripe's word.
    #[serde(default)]
    pub code: Option<String>,
    /// The bank's word.
    #[serde(default)]
    pub decline_code: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub message: Option<String>,
}

impl LastPaymentError {
    /// The bank's word, else Stripe's.
    pub fn word(&self) -> Option<&str> {
        self.decline_code.as_deref().or(self.code.as_deref())
    }
}

/// Money taken from a card.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Charge {
    /// `ch_…`.
    pub id: String,
    /// What was taken, in Stripe's units.
    pub amount: i64,
    /// What went back of it.
    #[serde(default)]
    pub amount_refunded: i64,
    /// In lower case.
    pub currency: String,
    /// Whether a bank took it back, or asks.
    #[serde(default)]
    pub disputed: bool,
    /// Whether it was paid.
    #[serde(default)]
    pub paid: bool,
    /// The payment it belongs to.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// What it did to the account's balance.
    #[serde(default)]
    pub balance_transaction: Expandable<BalanceTransaction>,
}

/// A movement of the account's balance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BalanceTransaction {
    /// `txn_…`.
    pub id: String,
    /// What was moved before fees, in Stripe's units; negative for what went out.
    pub amount: i64,
    /// What Stripe kept.
    #[serde(default)]
    pub fee: i64,
    /// What is left.
    #[serde(default)]
    pub net: i64,
    /// In lower case.
    pub currency: String,
    /// `charge`, `refund`, `adjustment` and others.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The object that it is of.
    #[serde(default)]
    pub source: Expandable<Source>,
    /// When, in seconds.
    #[serde(default)]
    pub created: i64,
}

impl BalanceTransaction {
    /// The id of what moved it.
    pub fn source_id(&self) -> Option<&str> {
        match &self.source {
            Expandable::None => None,
            Expandable::Id(id) => Some(id),
            Expandable::Object(source) => Some(&source.id),
        }
    }
}

/// What moved the balance: a charge, a refund, a dispute, or something else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// Its id.
    pub id: String,
    /// `charge`, `refund`, `dispute` and others.
    #[serde(default)]
    pub object: String,
    /// How much it is about, in Stripe's units and its own currency: the balance may be kept in another one.
    #[serde(default)]
    pub amount: i64,
    /// In lower case; empty where it has none.
    #[serde(default)]
    pub currency: String,
    /// The payment it belongs to.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// Whose money it is.
    #[serde(default, deserialize_with = "id_of")]
    pub customer: Option<String>,
    /// What we wrote on it.
    #[serde(default)]
    pub metadata: Metadata,
}

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refund {
    /// `re_…`.
    pub id: String,
    /// How it stands.
    pub status: RefundStatus,
    /// How much, in Stripe's units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// Of which payment.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// Our words.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
    /// Why it failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
}

/// A payment that the end user's bank takes back, or asks about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dispute {
    /// `dp_…` or `du_…`.
    pub id: String,
    /// How it stands.
    pub status: DisputeStatus,
    /// How much, in Stripe's units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// The bank's reason.
    #[serde(default)]
    pub reason: String,
    /// The payment.
    #[serde(default, deserialize_with = "id_of")]
    pub payment_intent: Option<String>,
    /// What it did to the account's balance: money that was taken, and that came back.
    #[serde(default)]
    pub balance_transactions: Vec<BalanceTransaction>,
}

/// Something that happened, as Stripe tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `evt_…`, the same whenever it comes again.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in seconds.
    pub created: i64,
    /// Whether it is about real money.
    pub livemode: bool,
    /// To what.
    #[serde(default)]
    data: EventData,
}

/// What an event carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct EventData {
    #[serde(default)]
    object: EventObject,
}

/// The object as it was then, of which nothing but its name is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct EventObject {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    object: Option<String>,
}

impl Event {
    /// The id of the object that it happened to; a few kinds, such as the balance, have none.
    pub fn object_id(&self) -> Option<&str> {
        self.data.object.id.as_deref()
    }

    /// What kind of object that is, such as `payment_intent`.
    pub fn object_kind(&self) -> Option<&str> {
        self.data.object.object.as_deref()
    }
}

/// The id of what may be there whole.
fn id_of<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    Ok(match Expandable::<Named>::deserialize(from)? {
        Expandable::None => None,
        Expandable::Id(id) => Some(id),
        Expandable::Object(named) => Some(named.id),
    })
}

/// `null` is taken as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_with_all_that_was_asked_for() {
        let intent: PaymentIntent = serde_json::from_str(
            r#"{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1999,
            "amount_received":1999,"currency":"usd","customer":"cus_1","client_secret":"pi_1_secret_k3y",
            "metadata":{"order":"ord_1"},"created":1700000000,"next_action":null,
            "latest_charge":{"id":"ch_1","object":"charge","amount":1999,"amount_refunded":0,
                "currency":"usd","disputed":false,"paid":true,"payment_intent":"pi_1",
                "balance_transaction":{"id":"txn_1","object":"balance_transaction","amount":1999,
                    "fee":88,"net":1911,"currency":"usd","type":"charge","source":"ch_1","created":1}}}"#,
        )
        .unwrap();
        assert_eq!(intent.status, PaymentIntentStatus::Succeeded);
        assert_eq!(intent.charge_id(), Some("ch_1"));
        assert_eq!(intent.charge().unwrap().balance_transaction.object().unwrap().fee, 88);
        assert_eq!(intent.metadata["order"], "ord_1");
        assert!(!format!("{intent:?}").contains("k3y"));
    }

    #[test]
    fn ids_nulls_and_words_that_are_new() {
        let intent: PaymentIntent = serde_json::from_str(
            r#"{"id":"pi_1","status":"levitating","amount":1,"currency":"usd","customer":null,
            "latest_charge":"ch_1","last_payment_error":{"code":"card_declined",
            "decline_code":"insufficient_funds","message":"m"}}"#,
        )
        .unwrap();
        assert_eq!(intent.status.as_str(), "levitating");
        assert_eq!((intent.charge_id(), intent.charge()), (Some("ch_1"), None));
        assert_eq!(intent.customer, Expandable::None);
        let error = intent.last_payment_error.unwrap();
        assert_eq!(error.word(), Some("insufficient_funds"));
        let refund = r#"{"id":"re_1","status":"failed","amount":1,"currency":"usd","metadata":null,
            "failure_reason":"expired_or_canceled_card"}"#;
        let refund: Refund = serde_json::from_str(refund).unwrap();
        assert_eq!((refund.status, refund.metadata.len()), (RefundStatus::Failed, 0));
    }

    #[test]
    fn an_event_names_its_object() {
        let event = r#"{"id":"evt_1","object":"event","type":"charge.dispute.created","created":1,
            "livemode":false,"data":{"object":{"id":"dp_1","object":"dispute","amount":1}}}"#;
        let event: Event = serde_json::from_str(event).unwrap();
        assert_eq!((event.object_id(), event.object_kind()), (Some("dp_1"), Some("dispute")));
        let bare = r#"{"id":"evt_2","type":"balance.available","created":1,"livemode":false,
            "data":{"object":{"object":"balance"}}}"#;
        let bare: Event = serde_json::from_str(bare).unwrap();
        assert_eq!((bare.object_id(), bare.object_kind()), (None, Some("balance")));
    }

    #[test]
    fn a_dispute_of_a_payment_that_is_there_whole() {
        let dispute = r#"{"id":"du_1","status":"needs_response","amount":1,"currency":"usd",
            "reason":"fraudulent","payment_intent":{"id":"pi_1","object":"payment_intent"}}"#;
        let dispute: Dispute = serde_json::from_str(dispute).unwrap();
        assert_eq!(dispute.payment_intent.as_deref(), Some("pi_1"));
        assert_eq!(dispute.status, DisputeStatus::NeedsResponse);
    }
}
