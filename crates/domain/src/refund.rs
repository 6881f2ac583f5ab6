//! Money that goes back to an end user: asked for here or at the cashier, whole or in part.

use std::str::FromStr;

use crate::UnknownWord;
use crate::id::{OrderId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// Money that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Our id.
    pub id: RefundId,
    /// The order whose money it is.
    pub order_id: OrderId,
    /// The cashier's payment that it is taken from; an order may have been paid twice.
    pub intent_id: String,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: RefundState,
    /// Why, in the words of whoever asked for it.
    pub reason: String,
    /// Who asked for it.
    pub actor: String,
    /// What the cashier calls it; empty until that is known.
    pub cashier_id: String,
    /// Why it failed; empty otherwise.
    pub failure: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it succeeded or failed.
    pub ended_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: i64,
}

/// Where a refund stands. What failed may have looked like a success before: banks refuse late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// Written down; the cashier was not asked, or its answer is not known.
    Asked,
    /// The cashier has it in hand.
    Pending,
    /// The money went back.
    Succeeded,
    /// It did not go back; it is the cashier's still.
    Failed,
}

impl RefundState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Pending, Self::Succeeded, Self::Failed];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether the money counts as given back, or on its way.
    pub fn counts(self) -> bool {
        self != Self::Failed
    }

    /// Whether a refund may come from this state into another. It never comes back to an earlier one.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Asked => next != Self::Asked,
            Self::Pending => matches!(next, Self::Succeeded | Self::Failed),
            Self::Succeeded => next == Self::Failed,
            Self::Failed => false,
        }
    }
}

impl FromStr for RefundState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "state of a refund")
    }
}

/// What may still be given back of what was paid.
pub fn refundable<'a>(paid: Money, refunds: impl IntoIterator<Item = &'a Refund>) -> Money {
    let counted = refunds.into_iter().filter(|refund| refund.state.counts());
    let gone = counted.fold(0_i64, |sum, refund| sum.saturating_add(refund.amount.minor));
    Money::new(paid.minor.saturating_sub(gone).max(0), paid.currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refund(minor: i64, state: RefundState) -> Refund {
        let now = Timestamp::from_micros(0);
        Refund {
            id: RefundId::from_parts(0, [0; 10]),
            order_id: OrderId::from_parts(0, [0; 10]),
            intent_id: "pi_1".to_owned(),
            amount: Money::new(minor, "USD".parse().unwrap()),
            state,
            reason: String::new(),
            actor: String::new(),
            cashier_id: String::new(),
            failure: String::new(),
            created_at: now,
            ended_at: None,
            version: 0,
        }
    }

    proptest! {
        /// Whoever takes no more than may be given back never gives back more than was paid.
        #[test]
        fn no_more_goes_back_than_came(
            paid in 0_i64..1_000_000,
            wishes in prop::collection::vec((0_i64..1_000_000, prop::sample::select(RefundState::ALL.to_vec())), 0..20),
        ) {
            let paid = Money::new(paid, "USD".parse().unwrap());
            let mut made = Vec::new();
            for (wish, state) in wishes {
                let left = refundable(paid, &made);
                if wish <= left.minor {
                    made.push(refund(wish, state));
                }
            }
            let gone: i64 = made.iter().filter(|one| one.state.counts()).map(|one| one.amount.minor).sum();
            prop_assert!(gone <= paid.minor);
            prop_assert_eq!(refundable(paid, &made).minor, paid.minor - gone);
        }
    }

    #[test]
    fn a_refund_goes_forward_only() {
        for from in RefundState::ALL {
            for to in RefundState::ALL {
                assert!(!(from.may_become(to) && to.may_become(from)), "{from:?} {to:?}");
            }
        }
        assert!(RefundState::Succeeded.may_become(RefundState::Failed));
        assert!(!RefundState::Failed.may_become(RefundState::Pending));
    }
}
