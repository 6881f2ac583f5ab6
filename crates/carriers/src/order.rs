//! What is ordered from a carrier, what it makes of it, and how it can go wrong. Pure data.

use domain::{Iccid, Money, Span};

/// What is ordered: one product for one SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The SIM.
    pub iccid: Iccid,
    /// The carrier's product.
    pub product: String,
    /// How many periods.
    pub periods: u32,
}

/// An order as the carrier has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The carrier's own id of it.
    pub upstream_id: String,
    /// How far it is.
    pub state: UpstreamState,
    /// The carrier's own code and words, at most [`crate::WORDS_CHARS_MAX`] characters, without secrets.
    pub said: String,
}

/// How far the carrier is with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamState {
    /// Accepted; ask again later.
    Pending,
    /// The plan is on the SIM.
    Done,
    /// It ended without a plan.
    Failed {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
}

/// Why an order was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitError {
    /// Refused for good; nothing was done.
    Permanent {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
    /// Not now; nothing was done.
    RetryLater {
        /// When to ask again, at the earliest.
        after: Span,
        /// The carrier's words.
        message: String,
    },
    /// Nobody can tell whether something was done.
    Ambiguous {
        /// What happened.
        message: String,
    },
}

/// What a look-up by our key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The order is there.
    Found(Submitted),
    /// There is none. Where keys are native, one that is still on its way may be missed: to ask for it
    /// again under the same key is safe. Elsewhere it is certain.
    NotFound,
    /// The carrier cannot say.
    CannotTell {
        /// Why not.
        message: String,
    },
}

/// A question could not be asked or answered; ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// What happened, with the carrier's own code and words.
    pub message: String,
}

/// Why a call that is not an order was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// The carrier has no such call.
    Unsupported,
    /// Refused for good; nothing was done.
    Refused {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
    /// Not now; nothing was done.
    RetryLater {
        /// When to ask again, at the earliest.
        after: Span,
        /// The carrier's words.
        message: String,
    },
    /// Nobody can tell whether something was done: look at the SIM.
    Unclear {
        /// What happened.
        message: String,
    },
}

impl From<SubmitError> for ControlError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Permanent { code, message } => Self::Refused { code, message },
            SubmitError::RetryLater { after, message } => Self::RetryLater { after, message },
            SubmitError::Ambiguous { message } => Self::Unclear { message },
        }
    }
}

/// What a dry run says of an order that would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// What the carrier would charge us, where it says so in a unit that is known.
    pub price: Option<Money>,
    /// The carrier's own words.
    pub said: String,
}

/// A carrier took a request that it carries out later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id for [`crate::Carrier::get_async`]; `None` if it was done at once or gave no id: look at the SIM.
    pub request_id: Option<String>,
    /// The carrier's own code and words.
    pub said: String,
}

/// How far a request is that the carrier carries out later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsyncState {
    /// Not finished.
    Pending,
    /// Done.
    Done,
    /// It ended without effect.
    Failed {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        message: String,
    },
    /// The carrier answered in a form that nobody has pinned: decide by the state of the SIM.
    Unclear {
        /// The answer.
        said: String,
    },
}

/// What a carrier does with the same key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It gives the first order again: repeating is safe.
    Native,
    /// It may order twice: only looking is safe.
    None,
}

/// A call that a carrier may or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// [`crate::Carrier::quote`].
    Quote,
    /// [`crate::Carrier::snapshot`] reads something, and must be called and stored before a submit.
    Snapshot,
    /// [`crate::Carrier::suspend`].
    Suspend,
    /// [`crate::Carrier::resume`].
    Resume,
    /// [`crate::Carrier::cancel_plan`].
    CancelPlan,
    /// [`crate::Carrier::get_async`].
    AsyncResult,
    /// [`crate::Carrier::parse_webhook`].
    Webhooks,
    /// [`crate::Carrier::list_plans`] lists every plan, with what tells which it is: its order, its product, or
    /// when it began. What it says of a plan that is recognised is true. Without this a SIM is one plan that
    /// grows with each order.
    Plans,
    /// [`crate::Carrier::join_group`], [`crate::Carrier::leave_group`], [`crate::Carrier::group_members`] and
    /// [`crate::Carrier::group_usage`].
    Groups,
}

/// What a carrier can do, and within which limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What it does with the same key twice.
    pub idempotency: Idempotency,
    /// The optional calls it has.
    pub features: &'static [Feature],
    /// The most periods of one line.
    pub periods_max: u32,
    /// The longest key, in characters.
    pub key_chars_max: usize,
    /// After so long an unfinished order is for a person.
    pub deadline: Span,
    /// For how long what it said of a SIM is good: it does not count more often, or does not allow more questions.
    pub fresh_for: Span,
    /// The longest that a call takes, with the wait for its turn.
    pub call_max: Span,
    /// Whether it runs inside this process: nothing is lost on the way to it, and to ask again costs nothing.
    pub in_process: bool,
}

impl Capabilities {
    /// Whether it has an optional call.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Refuses a line or a key that is over the limits, before a byte leaves.
    pub(crate) fn check(&self, key: &str, line: &Line) -> Result<(), SubmitError> {
        let refuse = |code: &str, message: String| {
            Err(SubmitError::Permanent { code: code.to_owned(), message })
        };
        if !(1..=self.periods_max).contains(&line.periods) {
            let message = format!("this carrier takes 1 to {} periods at once", self.periods_max);
            return refuse("PERIODS_UNSUPPORTED", message);
        }
        // All carriers take letters, digits and hyphens; more is not promised by any of them.
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if key.is_empty() || key.len() > self.key_chars_max || !plain {
            let message = format!("a key has 1 to {} letters and digits", self.key_chars_max);
            return refuse("KEY_UNSUPPORTED", message);
        }
        Ok(())
    }
}
