//! What a protocol has to do: read a request, carry it out on the network, say no in its own words, tell of
//! what happened. Touches nothing.

use domain::Timestamp;
use serde_json::Value;

use crate::exchange::{Answer, Request};
use crate::faults::{Drawn, FaultKind};
use crate::groups::Policy;
use crate::journal::Action;
use crate::network::{Line, Network, NewOrder, Notice};

/// A request that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What its chance depends on: the call and the caller's reference, or what it is about.
    pub(crate) subject: String,
    pub(crate) what: What,
}

/// What the protocols have in common.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Products,
    Order(NewOrder),
    /// A dry run of an order.
    Quote(Vec<Line>),
    GetOrder(String),
    ListOrders,
    Sim(String),
    Bundles(Bundles),
    Usage {
        iccids: Vec<String>,
        period: String,
    },
    Operate {
        iccid: String,
        action: Action,
        target: Option<String>,
    },
    Result(String),
    Balance,
    Group {
        group: String,
        ask: GroupAsk,
    },
}

/// What is asked of a group.
#[derive(Debug, Clone)]
pub(crate) enum GroupAsk {
    /// That a SIM join it, or leave.
    Change { iccid: String, joins: bool },
    /// Which of some SIMs are in it.
    Members(Vec<String>),
    /// What its SIMs used since a time.
    Usage { from: Timestamp },
    /// What becomes of its data.
    Policy(Policy),
}

/// Which bundles of a SIM are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Bundles {
    pub(crate) iccid: String,
    /// States or a name, as the protocol has it; `None` means all.
    pub(crate) filter: Option<String>,
    /// Whether those that are over are wanted.
    pub(crate) with_used: bool,
    /// From 1 on.
    pub(crate) page: usize,
    pub(crate) page_size: usize,
}

/// A refusal with its answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) answer: Answer,
}

/// A notification that is to be sent to the customer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Webhook {
    pub(crate) fn json(body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { headers, body: body.to_string().into_bytes() }
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A protocol.
pub(crate) trait Face: std::fmt::Debug + Send + Sync {
    /// Understands a request, or answers that it does not, or that the caller may not ask. The time is the
    /// caller's too: it is not moved.
    fn read(&self, request: &Request, real_now: Timestamp) -> Result<Asked, Answer>;

    /// Carries out what was asked.
    fn perform(
        &self,
        what: &What,
        network: &mut Network,
        drawn: &Drawn<'_>,
    ) -> Result<Answer, Refused>;

    /// The answer of a fault.
    fn refuse(&self, kind: FaultKind, seconds: u32) -> Answer;

    /// The webhook of an event; `None` if the protocol does not tell of it.
    fn notify(&self, notice: &Notice, network: &Network) -> Option<Webhook>;
}

impl Asked {
    /// The SIMs that it is about.
    pub(crate) fn iccids(&self) -> Vec<&str> {
        match &self.what {
            What::Order(NewOrder { lines, .. }) | What::Quote(lines) => {
                lines.iter().map(|line| line.iccid.as_str()).collect()
            }
            What::Sim(iccid)
            | What::Bundles(Bundles { iccid, .. })
            | What::Operate { iccid, .. }
            | What::Group { ask: GroupAsk::Change { iccid, .. }, .. } => vec![iccid],
            What::Usage { iccids, .. } => iccids.iter().map(String::as_str).collect(),
            What::Products
            | What::GetOrder(_)
            | What::ListOrders
            | What::Result(_)
            | What::Balance
            | What::Group { .. } => Vec::new(),
        }
    }

    /// Whether it changes anything.
    pub(crate) fn changes(&self) -> bool {
        match &self.what {
            What::Group { ask, .. } => {
                matches!(ask, GroupAsk::Change { .. } | GroupAsk::Policy(_))
            }
            what => matches!(what, What::Order(_) | What::Operate { .. }),
        }
    }
}
