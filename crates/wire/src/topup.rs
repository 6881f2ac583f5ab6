//! Topup: orders and SIMs, for those who manage many SIMs (section 8 of the vendor's pages; `snake_case`).

use domain::Iccid;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::TOPUP;
use crate::form::{Field, Form, Kind, Problem, optional, required};
use crate::vshop::{NUMBER_CHARS_MAX, PAGE_NO_MAX};

/// The most plans that are told of a SIM.
pub const SIM_PLANS_MAX: usize = 200;

/// The most orders on one page.
pub const PAGE_SIZE_MAX: u32 = 200;

/// `GET /mall/order`, published; answer chosen.
pub const QUERY_ORDER: Call = Call {
    service: Service::Topup,
    method: Method::Get,
    path: "/mall/order",
    name: "queryOrder",
    shape: Shape::Envelope,
    summary: "An order, or the orders of a SIM",
    doc: "Of `purchase_order_id`, `order_id` and `sim_id` the first that is not empty counts. \
          With `sim_id` the answer is a page of orders, the newest first.",
    fields: &[
        TOPUP,
        &[
            optional(
                "purchase_order_id",
                Kind::Text { max: NUMBER_CHARS_MAX },
                "The client side's number: requestOrderId, else orderNo (published)",
            ),
            optional(
                "order_id",
                Kind::Text { max: NUMBER_CHARS_MAX },
                "The transaction's number: orderNo, or our own id (published)",
            ),
            optional("sim_id", Kind::Iccid, "ICCID of a SIM (published)"),
            optional("page_no", Kind::Count { min: 1, max: PAGE_NO_MAX }, "Page, from 1 (chosen)"),
            optional(
                "page_size",
                Kind::Count { min: 1, max: PAGE_SIZE_MAX },
                "Orders on a page, 100 unless told (chosen)",
            ),
        ],
    ],
};

/// Which orders are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryOrder {
    /// By the client side's number.
    Purchase(String),
    /// By `orderNo` or our own id.
    Order(String),
    /// Those of a SIM.
    Sim {
        /// The SIM.
        iccid: Iccid,
        /// The page, from 1.
        page_no: u32,
        /// Orders on a page.
        page_size: u32,
    },
}

impl Request for QueryOrder {
    const CALL: Call = QUERY_ORDER;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let purchase = form.text("purchase_order_id", NUMBER_CHARS_MAX);
        let order = form.text("order_id", NUMBER_CHARS_MAX);
        let wrong_before = form.error_count();
        let sim = form.iccid("sim_id");
        let sim_is_wrong = form.error_count() > wrong_before;
        let page_no = form.count_or("page_no", 1, 1, PAGE_NO_MAX);
        let page_size = form.count_or("page_size", 100, 1, PAGE_SIZE_MAX);
        let (purchase, order) = (purchase?, order?);
        if !purchase.is_empty() {
            Some(Self::Purchase(purchase))
        } else if !order.is_empty() {
            Some(Self::Order(order))
        } else if let Some(iccid) = sim {
            Some(Self::Sim { iccid, page_no: page_no?, page_size: page_size? })
        } else {
            // A wrong number is there, after all, and was noted.
            if !sim_is_wrong {
                form.fail("purchase_order_id", Problem::NoneOfThem);
            }
            None
        }
    }
}

/// A page of orders (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPage {
    /// How many orders there are in all.
    pub total_count: i64,
    /// This page.
    pub page_no: u32,
    /// Orders on a page.
    pub page_size: u32,
    /// The orders, the newest first.
    pub orders: Vec<Order>,
}

/// An order (names chosen). Times are epoch milliseconds, money is decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Our own id.
    pub order_id: String,
    /// The client side's number: `requestOrderId`, else `orderNo`.
    pub purchase_order_id: String,
    /// The partner's own reference; may be empty.
    pub request_order_id: String,
    /// ICCID of the SIM.
    pub sim_id: String,
    /// The plan.
    pub service_plan_code: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// The package.
    pub package_code: String,
    /// The package's type.
    pub package_type: String,
    /// How many periods.
    pub order_period: u32,
    /// Where it stands.
    pub status: String,
    /// `1` if it was ordered to renew by itself.
    pub auto_renewal: String,
    /// The payment's number.
    pub pay_id: String,
    /// What was or is to be paid.
    pub pay_amount: String,
    /// Its currency.
    pub pay_currency: String,
    /// The payment's result, as in `resultQuery`.
    pub pay_result: String,
    /// `third_party` or `stripe`.
    pub pay_channel: String,
    /// The partner's payment reference; may be empty.
    pub transaction_id: String,
    /// What the partner owes the operator per period; empty for orders paid to the mall.
    pub settle_price: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was paid.
    pub paid_at: Option<i64>,
    /// When the plan was on the SIM.
    pub provisioned_at: Option<i64>,
    /// When the plan began to run.
    pub effective_at: Option<i64>,
    /// When the plan ends.
    pub expire_at: Option<i64>,
    /// Why it failed or waits for a person.
    pub failure: Option<OrderFailure>,
}

/// Why an order failed or waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFailure {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The SIM, in the path.
const SIM_ID: &[Field] = &[required("sim_id", Kind::Iccid, "ICCID of the SIM (chosen)")];

/// `GET /mall/sims/{sim_id}`, chosen.
pub const QUERY_SIM: Call = Call {
    service: Service::Topup,
    method: Method::Get,
    path: "/mall/sims/{sim_id}",
    name: "querySim",
    shape: Shape::Envelope,
    summary: "How a SIM stands: state, plans, usage (chosen)",
    doc: "What its network says is asked at most as often as the network allows; `as_of` and `asked_at` \
          tell how old it is, and `stale` that the network could not be asked now.",
    fields: &[TOPUP, SIM_ID],
};

/// `GET /mall/sims/{sim_id}/usage`, chosen.
pub const QUERY_SIM_USAGE: Call = Call {
    service: Service::Topup,
    method: Method::Get,
    path: "/mall/sims/{sim_id}/usage",
    name: "querySimUsage",
    shape: Shape::Envelope,
    summary: "How much data a SIM used (chosen)",
    doc: "What the network counted: of the plans on the SIM, or of the last 30 days where it counts by days. \
          Asked of the network at most as often as it allows, like `querySim`; refused with `UNAVAILABLE` \
          if it cannot be asked and never said anything.",
    fields: &[TOPUP, SIM_ID],
};

/// How a SIM stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySim {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for QuerySim {
    const CALL: Call = QUERY_SIM;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid("sim_id").map(|iccid| Self { iccid })
    }
}

/// How much data a SIM used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySimUsage {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for QuerySimUsage {
    const CALL: Call = QUERY_SIM_USAGE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid("sim_id").map(|iccid| Self { iccid })
    }
}

/// How a SIM stands (names chosen). Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimStatus {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// `ready`, `suspended`, `expired` or `terminated`, as the mall has it.
    pub status: String,
    /// `pre_active`, `active`, `paused`, `expired`, `terminated`, or the network's own word.
    pub network_status: String,
    /// What runs and what waits, in the order of the SIM's queue, the first 200.
    pub plans: Vec<SimPlan>,
    /// How much data it used; `None` if the network never said.
    pub usage: Option<SimUsage>,
    /// When the network was asked how the SIM stands.
    pub asked_at: i64,
    /// Whether that was for an earlier call.
    pub cached: bool,
    /// Whether the network could not be asked now, so that this is older than it may be.
    pub stale: bool,
}

/// A plan on a SIM (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimPlan {
    /// Our own id of its order.
    pub order_id: String,
    /// `waiting` or `in_use`.
    pub status: String,
    /// The plan.
    pub service_plan_code: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// The package's type.
    pub package_type: String,
    /// How many periods.
    pub order_period: u32,
    /// When it began.
    pub effective_at: Option<i64>,
    /// When it ends.
    pub expire_at: Option<i64>,
    /// Whole days left; of a waiting one its own whole length.
    pub remaining_days: i64,
    /// Its bytes by the network's word; `-1` unlimited, `null` where that is not certain.
    pub total_bytes: Option<i64>,
    /// Bytes used of it, likewise.
    pub used_bytes: Option<i64>,
    /// Bytes left of it, likewise.
    pub remaining_bytes: Option<i64>,
}

/// How much data a SIM used (names chosen). It is never this minute's number: networks count late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimUsage {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// Bytes used.
    pub used_bytes: i64,
    /// Of how many; `-1` unlimited, `null` if the network does not say.
    pub total_bytes: Option<i64>,
    /// How many are left; `-1` unlimited, `null` if the network does not say.
    pub remaining_bytes: Option<i64>,
    /// When the network counted, if it says so.
    pub as_of: Option<i64>,
    /// When the network was asked.
    pub asked_at: i64,
    /// The parts of `used_bytes`, if the network gives them.
    pub periods: Vec<UsedInPeriod>,
    /// Whether the network was asked for an earlier call.
    pub cached: bool,
    /// Whether the network could not be asked now, so that this is older than it may be.
    pub stale: bool,
}

/// A part of the usage (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedInPeriod {
    /// The network's name of the period: a day as `yyyy-MM-dd`.
    pub period: String,
    /// Bytes used in it.
    pub used_bytes: i64,
}
