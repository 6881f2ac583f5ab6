//! The life of an order: one purchase of one plan for one SIM.
//!
//! A state carries what is only true in it. The only way from one state to the next is
//! [`OrderState::on`], which refuses whatever the life of an order does not know.

use std::str::FromStr;

use crate::UnknownWord;
use crate::iccid::Iccid;
use crate::id::{OrderId, PartnerId};
use crate::mode::Mode;
use crate::money::Money;
use crate::package::PlanLength;
use crate::time::Timestamp;

/// How an order came to the mall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderSource {
    /// The mall makes it and takes its payment.
    Mall,
    /// The partner reports it, and was already paid.
    Reported,
}

impl OrderSource {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mall => "mall",
            Self::Reported => "reported",
        }
    }
}

impl FromStr for OrderSource {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&[Self::Mall, Self::Reported], Self::as_str, text, "order source")
    }
}

/// One purchase of one plan for one SIM.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Live or test.
    pub mode: Mode,
    /// The partner that sold it.
    pub partner_id: PartnerId,
    /// Our id.
    pub id: OrderId,
    /// The client's number of the order, unique per partner for ever.
    pub order_no: String,
    /// The client's number of the payment, unique per partner for ever.
    pub pay_id: String,
    /// The partner's own reference; may be empty and may repeat.
    pub request_order_id: String,
    /// The order that this one renews, as the partner names it; may be empty.
    pub org_order_id: String,
    /// How it came to the mall.
    pub source: OrderSource,
    /// The SIM.
    pub iccid: Iccid,
    /// The plan's code.
    pub plan_code: String,
    /// The plan's name as the client showed it; may be empty.
    pub show_name: String,
    /// The package's code.
    pub package_code: String,
    /// The carrier that provides it.
    pub carrier: String,
    /// That carrier's product.
    pub carrier_product: String,
    /// What was bought.
    pub length: PlanLength,
    /// What the partner owes the operator per period, for reported orders.
    pub settlement: Option<Money>,
    /// Whether it shall renew by itself.
    pub auto_renewal: bool,
    /// SHA-256 of the business fields: the same number with other content is a conflict.
    pub content_hash: Vec<u8>,
    /// Where it stands.
    pub state: OrderState,
    /// Grows with each change of state.
    pub version: i64,
    /// The place of its plan in the SIM's queue, once it has one.
    pub queue_no: Option<i64>,
    /// The carrier's own id of what was ordered; empty until known.
    pub upstream_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The interface's name as the client sent it.
    pub trade_type: String,
    /// Undocumented, as sent.
    pub mark: String,
    /// The end user's terminal, as sent.
    pub terminal: String,
}

impl Order {
    /// The client side's number: its own reference, else the order's number.
    pub fn purchase_no(&self) -> &str {
        if self.request_order_id.is_empty() { &self.order_no } else { &self.request_order_id }
    }

    /// The idempotency key under which the carrier is asked: letters and digits, derived from our id.
    pub fn upstream_key(&self) -> String {
        self.id.to_string().replace('_', "")
    }
}

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Not paid, or not known to be paid, until the time given.
    AwaitingPayment {
        /// When the order closes.
        closes_at: Timestamp,
    },
    /// Paid; provisioning has not begun.
    Paid {
        /// When it was paid.
        paid_at: Timestamp,
    },
    /// The carrier has been, or is about to be, asked.
    Provisioning {
        /// When it was paid.
        paid_at: Timestamp,
    },
    /// The plan is on the SIM.
    Provisioned {
        /// When it was paid.
        paid_at: Timestamp,
        /// When the plan was on the SIM.
        provisioned_at: Timestamp,
    },
    /// Not paid in time. A late payment reopens it.
    Closed,
    /// Nobody can tell what the carrier did: a person decides.
    Review {
        /// When it was paid.
        paid_at: Timestamp,
        /// What is not known.
        reason: Failure,
    },
    /// It ended without a plan.
    Failed {
        /// When it was paid, if it was.
        paid_at: Option<Timestamp>,
        /// Why.
        failure: Failure,
    },
    /// The money is on its way back.
    Refunding {
        /// When it was paid.
        paid_at: Timestamp,
        /// When the plan was on the SIM, if it was.
        provisioned_at: Option<Timestamp>,
    },
    /// The money went back.
    Refunded {
        /// When it was paid.
        paid_at: Timestamp,
    },
}

/// Why an order failed or waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// What can happen to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderEvent {
    /// The money is there.
    PaymentSucceeded {
        /// When it was paid.
        at: Timestamp,
    },
    /// The payment failed for good.
    PaymentFailed(Failure),
    /// The time to pay ran out.
    TimedOut,
    /// A worker is about to ask the carrier.
    ProvisioningStarted,
    /// The carrier did nothing and asks to come again later.
    PutOff,
    /// The carrier put the plan on the SIM.
    Provisioned {
        /// When.
        at: Timestamp,
    },
    /// The carrier refused for good.
    CarrierRefused(Failure),
    /// Nobody can tell what the carrier did.
    OutcomeUnknown(Failure),
    /// A person found that the carrier did nothing: it is to be asked again.
    FoundUndone,
    /// The money shall go back.
    RefundStarted,
    /// The money went back.
    RefundDone,
    /// The money could not go back. Where there is no plan, a person decides.
    RefundFailed(Failure),
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {state} cannot take the event {event:?}")]
pub struct IllegalTransition {
    /// The state's name.
    pub state: &'static str,
    /// The event.
    pub event: OrderEvent,
}

impl OrderState {
    /// Names of all states, as on the wire and in the database.
    pub const NAMES: [&str; 9] = [
        "AWAITING_PAYMENT",
        "PAID",
        "PROVISIONING",
        "PROVISIONED",
        "REVIEW",
        "FAILED",
        "CLOSED",
        "REFUNDING",
        "REFUNDED",
    ];

    /// The state's name, as on the wire and in the database.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AwaitingPayment { .. } => "AWAITING_PAYMENT",
            Self::Paid { .. } => "PAID",
            Self::Provisioning { .. } => "PROVISIONING",
            Self::Provisioned { .. } => "PROVISIONED",
            Self::Closed => "CLOSED",
            Self::Review { .. } => "REVIEW",
            Self::Failed { .. } => "FAILED",
            Self::Refunding { .. } => "REFUNDING",
            Self::Refunded { .. } => "REFUNDED",
        }
    }

    /// When the order was paid, if it was.
    pub fn paid_at(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingPayment { .. } | Self::Closed => None,
            Self::Paid { paid_at }
            | Self::Provisioning { paid_at }
            | Self::Provisioned { paid_at, .. }
            | Self::Review { paid_at, .. }
            | Self::Refunding { paid_at, .. }
            | Self::Refunded { paid_at } => Some(*paid_at),
            Self::Failed { paid_at, .. } => *paid_at,
        }
    }

    /// Why it failed or waits for a person.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } | Self::Review { reason: failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The state after an event.
    pub fn on(self, event: OrderEvent) -> Result<Self, IllegalTransition> {
        use OrderEvent as E;
        match (self, event) {
            (Self::AwaitingPayment { .. } | Self::Closed, E::PaymentSucceeded { at }) => {
                Ok(Self::Paid { paid_at: at })
            }
            (Self::AwaitingPayment { .. } | Self::Closed, E::PaymentFailed(failure)) => {
                Ok(Self::Failed { paid_at: None, failure })
            }
            (Self::AwaitingPayment { .. }, E::TimedOut) => Ok(Self::Closed),
            (Self::Paid { paid_at }, E::ProvisioningStarted) => Ok(Self::Provisioning { paid_at }),
            (Self::Provisioning { paid_at }, E::PutOff)
            | (Self::Review { paid_at, .. }, E::FoundUndone) => Ok(Self::Paid { paid_at }),
            (
                Self::Provisioning { paid_at } | Self::Review { paid_at, .. },
                E::Provisioned { at },
            ) => Ok(Self::Provisioned { paid_at, provisioned_at: at }),
            (
                Self::Provisioning { paid_at } | Self::Review { paid_at, .. },
                E::CarrierRefused(failure),
            ) => Ok(Self::Failed { paid_at: Some(paid_at), failure }),
            (
                Self::Provisioning { paid_at } | Self::Paid { paid_at },
                E::OutcomeUnknown(reason),
            ) => Ok(Self::Review { paid_at, reason }),
            (
                Self::Paid { paid_at }
                | Self::Review { paid_at, .. }
                | Self::Failed { paid_at: Some(paid_at), .. },
                E::RefundStarted,
            ) => Ok(Self::Refunding { paid_at, provisioned_at: None }),
            (Self::Provisioned { paid_at, provisioned_at }, E::RefundStarted) => {
                Ok(Self::Refunding { paid_at, provisioned_at: Some(provisioned_at) })
            }
            (Self::Refunding { paid_at, .. }, E::RefundDone) => Ok(Self::Refunded { paid_at }),
            // A bank may refuse what looked done: neither plan nor money is where it should be.
            (Self::Refunded { paid_at }, E::RefundFailed(failure)) => {
                Ok(Self::Failed { paid_at: Some(paid_at), failure })
            }
            (Self::Refunding { paid_at, provisioned_at }, E::RefundFailed(reason)) => {
                Ok(match provisioned_at {
                    Some(provisioned_at) => Self::Provisioned { paid_at, provisioned_at },
                    None => Self::Review { paid_at, reason },
                })
            }
            (state, event) => Err(IllegalTransition { state: state.name(), event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure() -> Failure {
        Failure { code: "X".into(), message: "x".into() }
    }

    fn any_event() -> impl Strategy<Value = OrderEvent> {
        let at = Timestamp::from_micros(1);
        prop::sample::select(vec![
            OrderEvent::PaymentSucceeded { at },
            OrderEvent::PaymentFailed(failure()),
            OrderEvent::TimedOut,
            OrderEvent::ProvisioningStarted,
            OrderEvent::PutOff,
            OrderEvent::Provisioned { at },
            OrderEvent::CarrierRefused(failure()),
            OrderEvent::OutcomeUnknown(failure()),
            OrderEvent::FoundUndone,
            OrderEvent::RefundStarted,
            OrderEvent::RefundDone,
            OrderEvent::RefundFailed(failure()),
        ])
    }

    #[test]
    fn a_late_payment_reopens_a_closed_order() {
        let at = Timestamp::from_micros(5);
        let waiting = OrderState::AwaitingPayment { closes_at: at };
        let closed = waiting.on(OrderEvent::TimedOut).unwrap();
        assert_eq!(
            closed.on(OrderEvent::PaymentSucceeded { at }),
            Ok(OrderState::Paid { paid_at: at })
        );
    }

    proptest! {
        /// Whatever happens, in whatever order: at most one plan at a time, never a plan without a payment, and
        /// a payment is never forgotten.
        #[test]
        fn any_life_keeps_the_promises(events in prop::collection::vec(any_event(), 0..40)) {
            let mut state = OrderState::AwaitingPayment { closes_at: Timestamp::from_micros(0) };
            let (mut paid, mut plans) = (0, 0);
            for event in events {
                let before = state.clone();
                match state.on(event.clone()) {
                    Ok(next) => {
                        paid += i32::from(matches!(event, OrderEvent::PaymentSucceeded { .. }));
                        plans += i32::from(matches!(event, OrderEvent::Provisioned { .. }));
                        if matches!(event, OrderEvent::RefundDone) {
                            // A plan goes with its money. If a bank sends that back later, another may come.
                            plans = 0;
                        }
                        prop_assert!(next != before);
                        prop_assert!(before.paid_at().is_none() || next.paid_at() == before.paid_at());
                        state = next;
                    }
                    Err(illegal) => {
                        prop_assert_eq!(illegal.state, before.name());
                        state = before;
                    }
                }
                prop_assert!(paid <= 1 && plans <= paid);
                prop_assert!(OrderState::NAMES.contains(&state.name()));
            }
        }
    }
}
