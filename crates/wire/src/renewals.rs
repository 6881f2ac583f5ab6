//! Vshop's auto-renewals (sections 5.5, 5.6 and 5.8 of the vendor's pages).

use domain::Iccid;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Request, Shape};
use crate::common::{DEVICE_CODE, VSHOP};
use crate::form::{Form, required};
use crate::vshop::{NUMBER, NUMBER_CHARS_MAX, vshop};

/// 5.5, published.
pub const QUERY_AUTO_RENEWAL_RECORD: Call = vshop(
    "/queryAutoRenewalRecord",
    "queryAutoRenewalRecord",
    Shape::Bare,
    "The auto-renewal in force",
    "An empty object where none is in force.",
    &[VSHOP, &[DEVICE_CODE]],
);

/// The auto-renewal in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryAutoRenewalRecord {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for QueryAutoRenewalRecord {
    const CALL: Call = QUERY_AUTO_RENEWAL_RECORD;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid("deviceCode").map(|iccid| Self { iccid })
    }
}

/// An auto-renewal (published).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoRenewalRecord {
    /// The SIM.
    pub device_code: String,
    /// The first order's number.
    pub order_no: String,
    /// How many periods at a time.
    pub order_period: String,
    /// The package's type.
    pub package_type: String,
    /// The partner.
    pub partner_code: String,
    /// The first payment's number.
    pub pay_id: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// The day it was agreed, `yyyy.MM.dd`.
    pub subscription_time: String,
}

/// 5.6, published.
pub const CANCEL_AUTO_RENEWAL_RECORD: Call = vshop(
    "/cancelAutoRenewalRecord",
    "cancelAutoRenewalRecord",
    Shape::Bare,
    "Cancel the auto-renewal",
    "Stops future charges; the running period stays. Cancelling twice succeeds.",
    &[
        VSHOP,
        &[
            DEVICE_CODE,
            required("orderNo", NUMBER, "The first order's number, as 5.5 gives it (published)"),
            required("payId", NUMBER, "The first payment's number, as 5.5 gives it (published)"),
        ],
    ],
);

/// Cancel the auto-renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelAutoRenewalRecord {
    /// The SIM.
    pub iccid: Iccid,
    /// The first order's number.
    pub order_no: String,
    /// The first payment's number.
    pub pay_id: String,
}

impl Request for CancelAutoRenewalRecord {
    const CALL: Call = CANCEL_AUTO_RENEWAL_RECORD;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let iccid = form.iccid("deviceCode");
        let order_no = form.text("orderNo", NUMBER_CHARS_MAX);
        let pay_id = form.text("payId", NUMBER_CHARS_MAX);
        Some(Self { iccid: iccid?, order_no: order_no?, pay_id: pay_id? })
    }
}

/// 5.8, a draft at the vendor; path and answer chosen.
pub const QUERY_AUTO_RENEWAL_RECORD_LIST: Call = vshop(
    "/queryAutoRenewalRecordList",
    "queryAutoRenewalRecordList",
    Shape::Envelope,
    "History of auto-renewals",
    "The newest first, at most 200.",
    &[VSHOP, &[DEVICE_CODE]],
);

/// History of auto-renewals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryAutoRenewalRecordList {
    /// The SIM.
    pub iccid: Iccid,
}

impl Request for QueryAutoRenewalRecordList {
    const CALL: Call = QUERY_AUTO_RENEWAL_RECORD_LIST;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.iccid("deviceCode").map(|iccid| Self { iccid })
    }
}

/// The history (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoRenewalRecordListAnswer {
    /// The agreements, the newest first.
    pub record_list: Vec<AutoRenewalHistory>,
}

/// An agreement, past or in force (names beyond 5.5's chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoRenewalHistory {
    /// 5.5's fields.
    #[serde(flatten)]
    pub record: AutoRenewalRecord,
    /// `ACTIVE`, `CANCELLED` or `REPLACED`.
    pub status: String,
    /// When it ended, `yyyy-MM-dd HH:mm:ss`; empty while it is in force.
    pub cancel_time: String,
    /// When it is to renew next, `yyyy-MM-dd HH:mm:ss`; empty where it will not.
    pub next_renewal_time: String,
    /// `success` after the last renewal that came, `failed` after one that did not or whose charge was declined;
    /// empty before the first.
    pub last_result: String,
}
