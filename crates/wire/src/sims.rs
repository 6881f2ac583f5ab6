//! Topup: a SIM as the mall and its carrier have it. Both calls are chosen by us, names and answers
//! included; they follow the manner of the published ones (`snake_case`, numbers for bytes, times in ms).

use domain::Iccid;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::TOPUP;
use crate::form::{Field, Form, Kind, required};

/// The most plans that are told of a SIM.
pub const PLANS_MAX: usize = 200;

const SIM_ID: Field = required("sim_id", Kind::Iccid, "ICCID of the SIM, 18 to 22 digits (chosen)");

/// `GET /mall/sims/{sim_id}`, chosen.
pub const QUERY_SIM: Call = Call {
    service: Service::Topup,
    method: Method::Get,
    path: "/mall/sims/{sim_id}",
    name: "querySim",
    shape: Shape::Envelope,
    summary: "A SIM and its plans",
    doc: "What the mall knows of a SIM, and what its carrier says of it: at most as old as the mall \
          allows, or the last that was heard, which is marked as stale.",
    fields: &[TOPUP, &[SIM_ID]],
};

/// `GET /mall/sims/{sim_id}/usage`, chosen.
pub const QUERY_SIM_USAGE: Call = Call {
    service: Service::Topup,
    method: Method::Get,
    path: "/mall/sims/{sim_id}/usage",
    name: "querySimUsage",
    shape: Shape::Envelope,
    summary: "How much data a SIM used",
    doc: "What the carrier counted: of the plans on the SIM, or of the last 30 days where it counts by \
          days. Carriers count late; `as_of` says when. If the carrier cannot be asked and never \
          answered before, the call is refused with `UNAVAILABLE`.",
    fields: &[TOPUP, &[SIM_ID]],
};

/// Which SIM is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySim {
    /// The SIM.
    pub iccid: Iccid,
}

/// Of which SIM the usage is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySimUsage {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for QuerySim {
    const CALL: Call = QUERY_SIM;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid(SIM_ID.name).map(|iccid| Self { iccid })
    }
}

impl Request for QuerySimUsage {
    const CALL: Call = QUERY_SIM_USAGE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid(SIM_ID.name).map(|iccid| Self { iccid })
    }
}

/// A SIM (names chosen). Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimAnswer {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// What the mall knows: `READY`, `SUSPENDED`, `EXPIRED` or `TERMINATED`.
    pub status: String,
    /// What the carrier says: `PRE_ACTIVE`, `ACTIVE`, `PAUSED`, `EXPIRED`, `TERMINATED` or `OTHER`; `None`
    /// if it was never heard.
    pub carrier_status: Option<String>,
    /// The plan in use first, then the waiting ones in the order in which they will run.
    pub plans: Vec<PlanOnSim>,
    /// When the carrier was heard.
    pub as_of: Option<i64>,
    /// Whether the carrier was asked for an earlier call.
    pub cached: bool,
    /// Whether the carrier's word is older than the mall allows, because it cannot be asked now.
    pub stale: bool,
}

/// A plan on a SIM (names chosen). Volumes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOnSim {
    /// The mall's own id of the order that bought it.
    pub order_id: String,
    /// `1` not yet activated, `2` in use, as in `singleQueryOrder`.
    pub order_status: String,
    /// The plan.
    pub service_plan_code: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// The package's type.
    pub package_type: String,
    /// How many periods.
    pub order_period: u32,
    /// When it began to run.
    pub effective_at: Option<i64>,
    /// When it ends.
    pub expire_at: Option<i64>,
    /// Whole days left; of a waiting one its own whole length.
    pub remaining_days: i64,
    /// Its data by the carrier's word; -1 is unlimited.
    pub data_volume: Option<i64>,
    /// What was used of it by the carrier's word.
    pub used_volume: Option<i64>,
    /// What is left of it by the carrier's word.
    pub remaining_volume: Option<i64>,
}

/// How much data a SIM used (names chosen). Volumes are bytes, times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageAnswer {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// Used in all.
    pub used_volume: i64,
    /// Of how much; -1 is unlimited, `None` where the carrier does not say.
    pub data_volume: Option<i64>,
    /// What is left.
    pub remaining_volume: Option<i64>,
    /// The parts of `used_volume`, if the carrier gives them.
    pub periods: Vec<UsedInPeriod>,
    /// When the carrier counted; where it does not say, when it was asked.
    pub as_of: i64,
    /// When the carrier was asked.
    pub asked_at: i64,
    /// Whether it was asked for an earlier call.
    pub cached: bool,
    /// Whether the answer is older than the mall allows, because the carrier cannot be asked now.
    pub stale: bool,
}

/// A part of the usage (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedInPeriod {
    /// The carrier's name of the period: a day as `yyyy-MM-dd`.
    pub period: String,
    /// Bytes used in it.
    pub used_volume: i64,
}
