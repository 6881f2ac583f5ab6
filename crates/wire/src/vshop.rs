//! Vshop, the mall: cards, plans and orders (sections 5.1 to 5.4 and 5.7 of the vendor's pages).

use domain::{Iccid, Money};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::{DEVICE_CODE, VSHOP};
use crate::form::{Field, Form, Kind, optional, required};

/// The most characters of an `orderNo`, `payId` or `requestOrderId`.
pub const NUMBER_CHARS_MAX: usize = 64;
/// The most characters of a plan's or package's code.
pub const CODE_CHARS_MAX: usize = 64;
/// The most periods of one order.
pub const PERIODS_MAX: u32 = 999;
/// The most plans on one page.
pub const PAGE_SIZE_MAX: u32 = 200;
/// The highest page number.
pub const PAGE_NO_MAX: u32 = 1_000_000;

pub(crate) const NUMBER: Kind = Kind::Text { max: NUMBER_CHARS_MAX };
const CODE: Kind = Kind::Text { max: CODE_CHARS_MAX };
const NAME: Kind = Kind::Text { max: 256 };

pub(crate) const fn vshop(
    path: &'static str,
    name: &'static str,
    shape: Shape,
    summary: &'static str,
    doc: &'static str,
    fields: &'static [&'static [Field]],
) -> Call {
    Call { service: Service::Vshop, method: Method::Post, path, name, shape, summary, doc, fields }
}

/// 5.1, request published, answer chosen.
pub const SINGLE_VERIFY: Call = vshop(
    "/singleVerify",
    "singleVerify",
    Shape::Envelope,
    "Card login",
    "Checks that a SIM is in the partner's stock and says how it stands.",
    &[
        VSHOP,
        &[
            DEVICE_CODE,
            optional("url", Kind::Text { max: 2048 }, "Page of the calling mall (published)"),
        ],
    ],
);

/// Card login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleVerify {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for SingleVerify {
    const CALL: Call = SINGLE_VERIFY;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let iccid = form.iccid("deviceCode");
        form.text("url", 2048);
        Some(Self { iccid: iccid? })
    }
}

/// How a card stands (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SingleVerifyAnswer {
    /// The partner.
    pub partner_code: String,
    /// The SIM.
    pub device_code: String,
    /// `1` ready, `2` in use, `3` suspended, `4` expired but renewable.
    pub card_status: String,
    /// `1` if an auto-renewal is in force.
    pub auto_renewal: String,
    /// The partner's currency.
    pub pay_currency: String,
}

/// 5.2, request published, answer chosen.
pub const SINGLE_SERVICE_PLAN_PAGE: Call = vshop(
    "/singleServicePlanPage",
    "singleServicePlanPage",
    Shape::Envelope,
    "Plans this SIM can buy",
    "`area` is a region's or country's name in any supported language, or an ISO 3166 code.",
    &[
        VSHOP,
        &[
            DEVICE_CODE,
            optional(
                "area",
                Kind::Text { max: 64 },
                "Region or country: 欧洲, Europe, DE (published)",
            ),
            optional("pageNo", Kind::Count { min: 1, max: PAGE_NO_MAX }, "Page, from 1 (chosen)"),
            optional(
                "pageSize",
                Kind::Count { min: 1, max: PAGE_SIZE_MAX },
                "Plans on a page, 20 unless told (chosen)",
            ),
        ],
    ],
);

/// Plans this SIM can buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleServicePlanPage {
    /// The SIM.
    pub iccid: Iccid,
    /// The region or country as written; empty for all.
    pub area: String,
    /// The page, from 1.
    pub page_no: u32,
    /// Plans on a page.
    pub page_size: u32,
}

impl Request for SingleServicePlanPage {
    const CALL: Call = SINGLE_SERVICE_PLAN_PAGE;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let iccid = form.iccid("deviceCode");
        let area = form.text("area", 64);
        let page_no = form.count_or("pageNo", 1, 1, PAGE_NO_MAX);
        let page_size = form.count_or("pageSize", 20, 1, PAGE_SIZE_MAX);
        Some(Self { iccid: iccid?, area: area?, page_no: page_no?, page_size: page_size? })
    }
}

/// A page of plans (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SingleServicePlanPageAnswer {
    /// The partner.
    pub partner_code: String,
    /// The SIM.
    pub device_code: String,
    /// How many plans there are in all.
    pub total: String,
    /// This page.
    pub page_no: String,
    /// Plans on a page.
    pub page_size: String,
    /// The plans.
    pub service_plan_list: Vec<ServicePlan>,
}

/// A plan on sale (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePlan {
    /// The plan's code.
    pub service_plan_code: String,
    /// Its name in the caller's language.
    pub service_plan_show_name: String,
    /// A sentence in the caller's language.
    pub description: String,
    /// Its package's code.
    pub package_code: String,
    /// Its package's type.
    pub package_type: String,
    /// The values of `orderPeriod` that may be ordered.
    pub order_period_list: Vec<String>,
    /// The price of one period, in major units.
    pub pay_unit: String,
    /// The price's currency.
    pub pay_currency: String,
    /// What the partner owes the operator for one period, in its settlement currency.
    pub settle_price: String,
    /// Bytes per period; `-1` unlimited.
    pub data_volume: String,
    /// The region's name in the caller's language.
    pub area: String,
    /// ISO 3166 codes.
    pub countries: Vec<String>,
    /// `1` if it may renew by itself.
    pub auto_renewal: String,
    /// The id for subscriptions.
    #[serde(rename = "plan_id")]
    pub plan_id: String,
}

const ORDER_FIELDS: &[Field] = &[
    DEVICE_CODE,
    required("orderNo", NUMBER, "The order's number, made by the client (published)"),
    required("payId", NUMBER, "The payment's number, made by the client (published)"),
    optional("requestOrderId", NUMBER, "The partner's own reference (published)"),
    required("servicePlanCode", CODE, "The plan's code (published)"),
    optional("servicePlanShowName", NAME, "The plan's name as shown (published)"),
    required("packageCode", CODE, "The package's code (published)"),
    required(
        "orderPeriod",
        Kind::Count { min: 1, max: PERIODS_MAX },
        "How many units of the package's type (published)",
    ),
    required("payAmount", Kind::Decimal, "Amount in major units (published)"),
    required("payCurrency", Kind::Currency, "ISO 4217, any case (published)"),
    optional("autoRenewal", Kind::Flag, "1 to renew by itself (published)"),
];

/// What an order is about, however it was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFields {
    /// The SIM.
    pub iccid: Iccid,
    /// The order's number.
    pub order_no: String,
    /// The payment's number.
    pub pay_id: String,
    /// The partner's own reference; may be empty.
    pub request_order_id: String,
    /// The plan.
    pub service_plan_code: String,
    /// The plan's name as the client showed it; may be empty.
    pub service_plan_show_name: String,
    /// The package.
    pub package_code: String,
    /// How many units.
    pub order_period: u32,
    /// What the end user pays in all.
    pub pay_amount: Money,
    /// Whether it shall renew by itself.
    pub auto_renewal: bool,
}

impl OrderFields {
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let iccid = form.iccid("deviceCode");
        let order_no = form.text("orderNo", NUMBER_CHARS_MAX);
        let pay_id = form.text("payId", NUMBER_CHARS_MAX);
        let request_order_id = form.text("requestOrderId", NUMBER_CHARS_MAX);
        let service_plan_code = form.text("servicePlanCode", CODE_CHARS_MAX);
        let service_plan_show_name = form.text("servicePlanShowName", 256);
        let package_code = form.text("packageCode", CODE_CHARS_MAX);
        let order_period = form.count("orderPeriod", 1, PERIODS_MAX);
        let pay_amount = form.amount("payAmount", "payCurrency");
        let auto_renewal = form.flag("autoRenewal");
        Some(Self {
            iccid: iccid?,
            order_no: order_no?,
            pay_id: pay_id?,
            request_order_id: request_order_id?,
            service_plan_code: service_plan_code?,
            service_plan_show_name: service_plan_show_name?,
            package_code: package_code?,
            order_period: order_period?,
            pay_amount: pay_amount?,
            auto_renewal: auto_renewal?,
        })
    }
}

/// 5.3, published.
pub const SINGLE_ORDER: Call = vshop(
    "/singleOrder",
    "singleOrder",
    Shape::Bare,
    "Create an order",
    "The amount must equal the price in force times the periods. The order waits for its payment for \
     30 minutes unless the operator sets another time, then closes.",
    &[VSHOP, ORDER_FIELDS],
);

/// Create an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleOrder(pub OrderFields);

impl Request for SingleOrder {
    const CALL: Call = SINGLE_ORDER;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        OrderFields::read(form).map(Self)
    }
}

/// An order was made (published).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SingleOrderAnswer {
    /// The SIM.
    pub device_code: String,
    /// The order's number.
    pub order_no: String,
    /// The partner.
    pub partner_code: String,
    /// The payment's number.
    pub pay_id: String,
}

/// 5.4, published.
pub const SINGLE_QUERY_ORDER: Call = vshop(
    "/singleQueryOrder",
    "singleQueryOrder",
    Shape::Envelope,
    "Plans in use and waiting",
    "The plan in use first, then the waiting ones in the order in which they will run.",
    &[VSHOP, &[DEVICE_CODE]],
);

/// Plans in use and waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleQueryOrder {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for SingleQueryOrder {
    const CALL: Call = SINGLE_QUERY_ORDER;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid("deviceCode").map(|iccid| Self { iccid })
    }
}

/// Plans on a SIM (published).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SingleQueryOrderAnswer {
    /// The partner.
    pub partner_code: String,
    /// The SIM.
    pub device_code: String,
    /// The plans.
    pub order_list: Vec<QueuedOrder>,
}

/// A plan on a SIM (published: exactly these fields).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedOrder {
    /// `1` not yet activated, `2` in use.
    pub order_status: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// How many periods.
    pub time: String,
    /// The package's type.
    pub unit: String,
    /// The last day, `yyyy-MM-dd`; only of the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_date: Option<String>,
    /// Whole days left; of a waiting one its own whole length.
    pub remaining_days: String,
}

/// 5.7, request published, success envelope chosen.
pub const SYN_ORDER_INFO: Call = vshop(
    "/synPartner/SynOrderInfo",
    "SynOrderInfo",
    Shape::Envelope,
    "Report an order that the partner was already paid for",
    "Paid only if `payRst` is SUCCESS and `payStatus` is `1`; then settlePrice x orderPeriod is booked \
     against the partner's credit and the plan is provisioned. A repeat with the same content answers \
     the same and does nothing more.",
    &[
        VSHOP,
        ORDER_FIELDS,
        &[
            optional("orgOrderId", NUMBER, "The order that this one renews (published)"),
            optional("payAccount", NUMBER, "Opaque code, stored (published)"),
            required("payRst", Kind::Text { max: 32 }, "SUCCESS if paid (published)"),
            required("payStatus", Kind::Text { max: 32 }, "1 if paid, 0 if failed (published)"),
            optional("payResultDate", Kind::DateTime, "In the partner's zone (published)"),
            optional("payType", NUMBER, "Opaque code, stored (published)"),
            optional("payUnit", Kind::Decimal, "What the end user paid per period (published)"),
            required("settlePrice", Kind::Decimal, "What the partner owes per period (published)"),
            optional("transactionId", Kind::Text { max: 128 }, "The partner's payment (published)"),
        ],
    ],
);

/// An order that the partner was already paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynOrderInfo {
    /// What it is about.
    pub order: OrderFields,
    /// The order that it renews; may be empty.
    pub org_order_id: String,
    /// Opaque.
    pub pay_account: String,
    /// The result as the partner words it.
    pub pay_rst: String,
    /// The result as a code.
    pub pay_status: String,
    /// When it was paid, as written; may be absent.
    pub pay_result_date: Option<String>,
    /// Opaque.
    pub pay_type: String,
    /// What the end user paid per period, as written.
    pub pay_unit: Option<String>,
    /// What the partner owes per period, as written.
    pub settle_price: String,
    /// The partner's payment reference; may be empty.
    pub transaction_id: String,
}

impl Request for SynOrderInfo {
    const CALL: Call = SYN_ORDER_INFO;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let order = OrderFields::read(form);
        let org_order_id = form.text("orgOrderId", NUMBER_CHARS_MAX);
        let pay_account = form.text("payAccount", NUMBER_CHARS_MAX);
        let pay_rst = form.text("payRst", 32);
        let pay_status = form.text("payStatus", 32);
        let pay_result_date = form.date_time("payResultDate");
        let pay_type = form.text("payType", NUMBER_CHARS_MAX);
        let pay_unit = form.decimal("payUnit");
        let settle_price = form.decimal("settlePrice");
        let transaction_id = form.text("transactionId", 128);
        Some(Self {
            order: order?,
            org_order_id: org_order_id?,
            pay_account: pay_account?,
            pay_rst: pay_rst?,
            pay_status: pay_status?,
            pay_result_date,
            pay_type: pay_type?,
            pay_unit,
            settle_price: settle_price?,
            transaction_id: transaction_id?,
        })
    }
}

/// A reported order as it stands (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SynOrderInfoAnswer {
    /// The partner.
    pub partner_code: String,
    /// The SIM.
    pub device_code: String,
    /// The order's number.
    pub order_no: String,
    /// The payment's number.
    pub pay_id: String,
    /// Our own id of the order.
    pub order_id: String,
    /// Where the order stands now.
    pub order_status: String,
}
