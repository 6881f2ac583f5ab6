//! Upstream networks: where a sold plan is put on its SIM.
//!
//! The trait asks each carrier to be honest about what it knows. A call whose outcome is unknown says so,
//! and is looked up; nothing is guessed. May touch the network, never the database.

mod cube_v4;
mod esim_access;
mod esim_go;
mod evidence;
mod group;
mod http;
mod limits;
mod order;
mod plain;
mod secret;
mod sim;
mod simulator;
mod tolerant;
mod webhook;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::group::CarrierPolicy;
use domain::{Iccid, Mode, Span, Timestamp};

pub use cube_v4::{CubeNotifications, CubeSettings, CubeV4};
pub use esim_access::{EsimAccess, EsimAccessSettings};
pub use esim_go::{EsimGo, EsimGoSettings};
pub use evidence::Snapshot;
pub use group::{GroupUsage, Membership};
pub use http::{Endpoint, SetupError};
pub use limits::Limits;
pub use order::{
    Accepted, AsyncState, Capabilities, ControlError, Feature, Idempotency, Line, Lookup,
    QueryError, Quote, SubmitError, Submitted, UpstreamState,
};
pub use plain::{Plain, PlainSettings};
pub use secret::{Secret, WORDS_CHARS_MAX};
pub use sim::{
    Allowance, CarrierPlan, CarrierSim, PeriodUnit, PlanState, Product, Products, SimState, Usage,
    UsageRange,
};
pub use simulator::{Behaviour, Simulator, UnknownBehaviour};
pub use webhook::{Headers, WebhookError, WebhookHint};

/// An order younger than this is asked about often by default.
const YOUNG: Span = Span::seconds(20);

/// An upstream network.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// What it can do, and within which limits.
    fn capabilities(&self) -> Capabilities;

    /// What it does with the same key twice.
    fn idempotency(&self) -> Idempotency {
        self.capabilities().idempotency
    }

    /// How long to wait before asking again about a pending order that was sent so long ago: the older
    /// it is, the rarer.
    fn poll_pause(&self, age: Span) -> Span {
        if age < YOUNG { Span::seconds(2) } else { YOUNG }
    }

    /// Whether the carrier can be reached and takes our credentials; gives its own words. Orders nothing.
    async fn check(&self) -> Result<String, QueryError>;

    /// A part of what it sells; `cursor` is the last part's `next`.
    async fn list_products(&self, cursor: Option<&str>) -> Result<Products, QueryError>;

    /// Whether it would take a line, and at which price. Orders nothing.
    async fn quote(&self, _line: &Line) -> Result<Quote, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// What must be read before a submit, so that a later look can tell what became of it. Store it
    /// before the submit. Empty for carriers that need none.
    async fn snapshot(&self, _line: &Line) -> Result<Snapshot, QueryError> {
        Ok(Snapshot::default())
    }

    /// Orders one line under our key. Sends at most once.
    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError>;

    /// Looks for an order by our key, or by what is new on the SIM since the snapshot. Where it looks at
    /// the SIM, no other order for that SIM may be open. What is not there yet may be there later: look again
    /// until the deadline. An error says that it could not look.
    async fn find_by_key(
        &self,
        key: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError>;

    /// How far an order is.
    async fn get_order(
        &self,
        upstream_id: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Submitted, QueryError>;

    /// The state of a SIM.
    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError>;

    /// The plans on a SIM, waiting ones included.
    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError>;

    /// How much data a SIM used.
    async fn get_usage(&self, iccid: &Iccid, range: UsageRange) -> Result<Usage, QueryError>;

    /// Takes a SIM off the network.
    async fn suspend(&self, _iccid: &Iccid) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// Lets a suspended SIM in again.
    async fn resume(&self, _iccid: &Iccid) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// Ends a plan: the one of an order where the carrier can tell them apart. `plan` is what
    /// [`Carrier::list_plans`] calls it.
    async fn cancel_plan(
        &self,
        _iccid: &Iccid,
        _plan: &str,
        _upstream_id: &str,
    ) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// How far a request is that was only accepted.
    async fn get_async(&self, _request_id: &str) -> Result<AsyncState, QueryError> {
        Err(QueryError { message: "this carrier gives no results of requests".to_owned() })
    }

    /// Asks that a SIM be taken into a group. To ask twice is to ask once. Whatever is said, a look at the group tells what
    /// became of it.
    async fn join_group(&self, _group: &str, _iccid: &Iccid) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// Asks that a SIM be taken out of a group; like [`Carrier::join_group`].
    async fn leave_group(&self, _group: &str, _iccid: &Iccid) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// Which of some SIMs are in a group, in their order.
    async fn group_members(
        &self,
        _group: &str,
        _iccids: &[Iccid],
    ) -> Result<Vec<Membership>, QueryError> {
        Err(QueryError { message: "this carrier has no groups".to_owned() })
    }

    /// How much data the SIMs of a group used since a time while they were in it.
    async fn group_usage(&self, _group: &str, _from: Timestamp) -> Result<GroupUsage, QueryError> {
        Err(QueryError { message: "this carrier has no groups".to_owned() })
    }

    /// Lets the data of a group flow, makes it slow, or stops it. To ask twice is to ask once.
    async fn apply_group_policy(
        &self,
        _group: &str,
        _policy: CarrierPolicy,
    ) -> Result<Accepted, ControlError> {
        Err(ControlError::Unsupported)
    }

    /// Reads a notification. What it says is a reason to ask, and no proof.
    fn parse_webhook(
        &self,
        _headers: &Headers<'_>,
        _body: &[u8],
    ) -> Result<WebhookHint, WebhookError> {
        Err(WebhookError::Unsupported)
    }
}

/// A carrier with those whom it serves.
#[derive(Clone)]
pub struct Served {
    /// The carrier.
    pub carrier: Arc<dyn Carrier>,
    /// The modes whose orders it takes.
    pub modes: Vec<Mode>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Served({:?})", self.modes)
    }
}

/// The carriers of a mall by their codes.
pub type Carriers = HashMap<String, Served>;
