//! One attempt to take money for an order: a cashier does it, or the partner did.

use std::str::FromStr;

use crate::UnknownWord;
use crate::id::{OrderId, PaymentId};
use crate::money::Money;
use crate::time::Timestamp;

/// One attempt to take money for an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// Our id.
    pub id: PaymentId,
    /// The order it pays.
    pub order_id: OrderId,
    /// Who takes the money.
    pub channel: Channel,
    /// What the end user pays.
    pub amount: Money,
    /// Where it stands.
    pub state: PaymentState,
    /// Grows with each change of state.
    pub version: i64,
    /// What the partner said of a payment of its own; empty for the mall's.
    pub report: Report,
}

/// What a partner says of a payment that it took itself. Opaque but for the transaction's number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The partner's payment reference, unique per partner where it is not empty.
    pub transaction_id: String,
    /// The result as the partner words it.
    pub result: String,
    /// The result as the partner's code.
    pub status: String,
    /// The partner's code of the way of payment.
    pub pay_type: String,
    /// The partner's code of the account.
    pub pay_account: String,
    /// What the end user paid per period, as written.
    pub pay_unit: String,
}

/// Who takes the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The partner was paid and owes the operator the settlement price.
    ThirdParty,
    /// The mall's own cashier, Stripe.
    Stripe,
}

impl Channel {
    /// The word stored in the database and used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThirdParty => "third_party",
            Self::Stripe => "stripe",
        }
    }
}

impl FromStr for Channel {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(
            &[Self::ThirdParty, Self::Stripe],
            Self::as_str,
            text,
            "payment channel",
        )
    }
}

/// What somebody says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The money is there.
    Paid,
    /// It failed for good.
    Failed,
    /// Nobody can tell yet.
    Unknown,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// Known to us; nobody has tried to pay.
    Created,
    /// Under way; the outcome is not known.
    Processing,
    /// The money is there.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It failed for good.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// Given up before anything was paid.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// The money is on its way back.
    Refunding {
        /// When it was paid.
        at: Timestamp,
    },
    /// The money went back.
    Refunded {
        /// When it was paid.
        at: Timestamp,
    },
}

/// What can happen to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentEvent {
    /// Somebody tries to pay.
    Started,
    /// The money is there.
    Succeeded(Timestamp),
    /// It failed for good.
    Failed(Timestamp),
    /// Given up.
    Cancelled(Timestamp),
    /// The money shall go back.
    RefundStarted,
    /// The money went back.
    RefundDone,
    /// The money could not go back.
    RefundFailed,
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {state} cannot take the event {event:?}")]
pub struct IllegalTransition {
    /// The state's name.
    pub state: &'static str,
    /// The event.
    pub event: PaymentEvent,
}

impl PaymentState {
    /// The state's name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Processing => "processing",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Refunding { .. } => "refunding",
            Self::Refunded { .. } => "refunded",
        }
    }

    /// When the outcome came about; `None` while there is none.
    pub fn result_at(self) -> Option<Timestamp> {
        match self {
            Self::Created | Self::Processing => None,
            Self::Succeeded { at }
            | Self::Failed { at }
            | Self::Cancelled { at }
            | Self::Refunding { at }
            | Self::Refunded { at } => Some(at),
        }
    }

    /// The outcome as far as it is known. Money that went back had been paid.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Created | Self::Processing => Outcome::Unknown,
            Self::Failed { .. } | Self::Cancelled { .. } => Outcome::Failed,
            Self::Succeeded { .. } | Self::Refunding { .. } | Self::Refunded { .. } => {
                Outcome::Paid
            }
        }
    }

    /// The state after an event. A cancelled payment may still succeed: the money came too late.
    pub fn on(self, event: PaymentEvent) -> Result<Self, IllegalTransition> {
        use PaymentEvent as E;
        match (self, event) {
            (Self::Created, E::Started) => Ok(Self::Processing),
            (Self::Created | Self::Processing | Self::Cancelled { .. }, E::Succeeded(at))
            | (Self::Refunding { at } | Self::Refunded { at }, E::RefundFailed) => {
                Ok(Self::Succeeded { at })
            }
            (Self::Created | Self::Processing, E::Failed(at)) => Ok(Self::Failed { at }),
            (Self::Created | Self::Processing, E::Cancelled(at)) => Ok(Self::Cancelled { at }),
            (Self::Succeeded { at }, E::RefundStarted) => Ok(Self::Refunding { at }),
            (Self::Refunding { at }, E::RefundDone) => Ok(Self::Refunded { at }),
            (state, event) => Err(IllegalTransition { state: state.name(), event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = PaymentEvent> {
        let at = Timestamp::from_micros(1);
        prop::sample::select(vec![
            PaymentEvent::Started,
            PaymentEvent::Succeeded(at),
            PaymentEvent::Failed(at),
            PaymentEvent::Cancelled(at),
            PaymentEvent::RefundStarted,
            PaymentEvent::RefundDone,
            PaymentEvent::RefundFailed,
        ])
    }

    proptest! {
        /// Money comes once at most, and goes back only if it came.
        #[test]
        fn any_life_keeps_the_promises(events in prop::collection::vec(any_event(), 0..40)) {
            let (mut state, mut came, mut went) = (PaymentState::Created, 0, 0);
            for event in events {
                if let Ok(next) = state.on(event) {
                    came += i32::from(matches!(event, PaymentEvent::Succeeded(_)));
                    went += i32::from(event == PaymentEvent::RefundDone);
                    if event == PaymentEvent::RefundFailed && state == (PaymentState::Refunded { at: Timestamp::from_micros(1) }) {
                        went -= 1;
                    }
                    state = next;
                }
                prop_assert!(came <= 1 && went <= came);
                prop_assert_eq!(state.outcome() == Outcome::Paid, came == 1);
            }
        }
    }
}
