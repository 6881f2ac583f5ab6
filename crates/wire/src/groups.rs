//! Topup's groups of SIMs under one bundle, and the operations that change them (section 8 of the vendor's
//! pages; `snake_case`).

use domain::Iccid;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::TOPUP;
use crate::form::{Field, Form, FormError, Kind, Problem, optional, required};
use crate::vshop::PAGE_NO_MAX;

/// The most SIMs of one operation.
pub const SIMS_MAX: usize = 10_000;
/// The most SIMs of one operation whose numbers stand in the query: a path with its query is not read beyond 64 KiB.
pub const SIMS_IN_QUERY_MAX: usize = 1_000;
/// The most SIMs or results on one page.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// How many SIMs or results a page has unless told.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// The most characters of an id in a path.
pub const ID_CHARS_MAX: usize = 64;
/// The header under which a write may be repeated (chosen).
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The most characters of that header.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// Whether a call begins an operation, so that it may be repeated under a key of the caller's.
pub fn begins_operation(call: &Call) -> bool {
    [ADD_GROUP_SIMS.name, REMOVE_GROUP_SIMS.name, RETRY_FAILED.name].contains(&call.name)
}

/// Reads the caller's key: all values of its header, of which there may be one. Empty where there is none.
pub fn idempotency_key<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
) -> Result<String, FormError> {
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else { return Ok(String::new()) };
    let is_good = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&first.len())
        && first.iter().all(u8::is_ascii_graphic)
        && second.is_none();
    let text = std::str::from_utf8(first).ok().filter(|_| is_good);
    text.map(str::to_owned).ok_or_else(|| FormError {
        field: IDEMPOTENCY_KEY.to_owned(),
        problem: Problem::NotKey(IDEMPOTENCY_KEY_CHARS_MAX),
    })
}

const GROUP_ID: Field = required(
    "group_id",
    Kind::Text { max: ID_CHARS_MAX },
    "The group, as the list of groups names it (published)",
);
const REQUEST_ID: Field = required(
    "request_id",
    Kind::Text { max: ID_CHARS_MAX },
    "The operation, as the answer of the call that began it names it (published)",
);
const PAGE_NO: Field =
    optional("page_no", Kind::Count { min: 1, max: PAGE_NO_MAX }, "Page, from 1 (chosen)");
const PAGE_SIZE: Kind = Kind::Count { min: 1, max: PAGE_SIZE_MAX };
const DRY_RUN: Field = optional(
    "dry_run",
    Kind::Flag,
    "1: say what would become of each SIM, and do nothing (chosen)",
);
const ONLY: Kind = Kind::Word(&["failed"]);
const FORMAT: Kind = Kind::Word(&["json", "csv"]);

const fn topup(
    (method, path): (Method, &'static str),
    name: &'static str,
    summary: &'static str,
    doc: &'static str,
    fields: &'static [&'static [Field]],
) -> Call {
    Call {
        service: Service::Topup,
        method,
        path,
        name,
        shape: Shape::Envelope,
        summary,
        doc,
        fields,
    }
}

/// `GET /mall/bundle-groups/bundles`, published; answer chosen.
pub const LIST_GROUPS: Call = topup(
    (Method::Get, "/mall/bundle-groups/bundles"),
    "listGroups",
    "The partner's groups of SIMs, each with its bundle",
    "All of them at once.",
    &[TOPUP],
);

/// The partner's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListGroups;

impl Request for ListGroups {
    const CALL: Call = LIST_GROUPS;
    fn read(_: &mut Form<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// A group of SIMs (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Our id.
    pub group_id: String,
    /// What the operator calls it.
    pub name: String,
    /// `ACTIVE`, `STOPPED`, `THROTTLED` or `ENDED`.
    pub status: String,
    /// How many SIMs are in it.
    pub sim_count: i64,
    /// How many there may be.
    pub sim_limit: i64,
    /// What its SIMs share.
    pub bundle: Bundle,
}

/// What the SIMs of a group share (names chosen). Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The plan.
    pub service_plan_code: String,
    /// The plan's name.
    pub service_plan_show_name: String,
    /// The package.
    pub package_code: String,
    /// The package's type.
    pub package_type: String,
    /// Bytes that are shared in a period; `-1` unlimited.
    pub data_volume: i64,
    /// Bytes used of them in the running period, as far as the network told.
    pub used_volume: i64,
    /// When the running period began.
    pub effective_at: i64,
    /// When it ends.
    pub expire_at: i64,
}

/// `GET /mall/bundle-groups/{group_id}/sims`, published; answer chosen.
pub const LIST_GROUP_SIMS: Call = topup(
    (Method::Get, "/mall/bundle-groups/{group_id}/sims"),
    "listGroupSims",
    "The SIMs of a group",
    "Either by `page_no`, whose pages shift while SIMs come and go, or by `cursor`, which does not: each SIM \
     that is in the group from the first page to the last is shown once. A `cursor` wins over `page_no`; the \
     first page has none, and each answer has that of the next one, `null` after the last.",
    &[
        TOPUP,
        &[
            GROUP_ID,
            PAGE_NO,
            optional("page_size", PAGE_SIZE, "SIMs on a page, 100 unless told (chosen)"),
            optional("cursor", Kind::Cursor, "The `next_cursor` of the page before (chosen)"),
        ],
    ],
);

/// The SIMs of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListGroupSims {
    /// The group, as it was written.
    pub group_id: String,
    /// The page, from 1.
    pub page_no: u32,
    /// SIMs on a page.
    pub page_size: u32,
    /// Behind which place the page begins; `None`: by `page_no`.
    pub cursor: Option<i64>,
}

impl Request for ListGroupSims {
    const CALL: Call = LIST_GROUP_SIMS;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let group_id = form.text("group_id", ID_CHARS_MAX);
        let page_no = form.count_or("page_no", 1, 1, PAGE_NO_MAX);
        let page_size = form.count_or("page_size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX);
        let cursor = form.cursor("cursor");
        Some(Self { group_id: group_id?, page_no: page_no?, page_size: page_size?, cursor })
    }
}

/// A page of a group's SIMs (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSims {
    /// The group.
    pub group_id: String,
    /// How many SIMs are in it.
    pub total_count: i64,
    /// The `cursor` of the next page; `None` after the last.
    pub next_cursor: Option<String>,
    /// The SIMs of this page.
    pub sims: Vec<GroupSim>,
}

/// A SIM in a group (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSim {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// When it joined, epoch milliseconds.
    pub joined_at: i64,
}

const LIST: Kind = Kind::Iccids { max: SIMS_MAX, joined_max: 0 };
const LIST_OR_JOINED: Kind = Kind::Iccids { max: SIMS_MAX, joined_max: SIMS_IN_QUERY_MAX };

/// `POST /mall/bundle-groups/{group_id}/sims`; path and answer chosen.
pub const ADD_GROUP_SIMS: Call = topup(
    (Method::Post, "/mall/bundle-groups/{group_id}/sims"),
    "addGroupSims",
    "Add SIMs to a group",
    "Form and permission are checked at once; what becomes of each SIM is found out afterwards, and told by \
     `asyncResult`. The same call again within ten seconds begins nothing new, unless another operation of the \
     group came between; with the header `Idempotency-Key` at any time, and another request under the same key \
     is `ORDER_CONFLICT` (chosen).",
    &[
        TOPUP,
        &[
            GROUP_ID,
            required(
                "sim_ids",
                LIST,
                "ICCIDs of the SIMs, 1 to 10,000; one that is named twice counts once (published)",
            ),
            DRY_RUN,
        ],
    ],
);

/// `DELETE /mall/bundle-groups/{group_id}/sims`, published; answer chosen.
pub const REMOVE_GROUP_SIMS: Call = topup(
    (Method::Delete, "/mall/bundle-groups/{group_id}/sims"),
    "removeGroupSims",
    "Remove SIMs from a group",
    "As `addGroupSims`. All parameters may stand in the query instead of the body, since some proxies drop the \
     body of a DELETE: `sim_ids` is then the ICCIDs with commas between them, 1,000 at most, and is signed as \
     that text.",
    &[
        TOPUP,
        &[
            GROUP_ID,
            required(
                "sim_ids",
                LIST_OR_JOINED,
                "ICCIDs of the SIMs, 1 to 10,000; one that is named twice counts once (published)",
            ),
            DRY_RUN,
        ],
    ],
);

/// Which SIMs shall join or leave a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGroupSims {
    /// The group, as it was written.
    pub group_id: String,
    /// The SIMs, each once, in the order in which they were named.
    pub sims: Vec<Iccid>,
    /// Whether nothing is to be done.
    pub dry_run: bool,
}

impl ChangeGroupSims {
    fn read(form: &mut Form<'_>, kind: Kind) -> Option<Self> {
        let group_id = form.text("group_id", ID_CHARS_MAX);
        let sims = form.iccids("sim_ids", kind);
        let dry_run = form.flag("dry_run");
        Some(Self { group_id: group_id?, sims: sims?, dry_run: dry_run? })
    }
}

/// Add SIMs to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddGroupSims(pub ChangeGroupSims);

impl Request for AddGroupSims {
    const CALL: Call = ADD_GROUP_SIMS;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        ChangeGroupSims::read(form, LIST).map(Self)
    }
}

/// Remove SIMs from a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveGroupSims(pub ChangeGroupSims);

impl Request for RemoveGroupSims {
    const CALL: Call = REMOVE_GROUP_SIMS;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        ChangeGroupSims::read(form, LIST_OR_JOINED).map(Self)
    }
}

/// An operation that was taken (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The operation.
    pub request_id: String,
    /// `ACCEPTED`; where an operation is cancelled or there is nothing to retry, how it stands.
    pub status: String,
}

/// `GET /async-result/{request_id}`, published; answer chosen.
pub const ASYNC_RESULT: Call = topup(
    (Method::Get, "/async-result/{request_id}"),
    "asyncResult",
    "How far an operation is, and what became of each SIM",
    "While it runs it shows what is known so far. Kept for 90 days. `format=csv` answers all results as a file of \
     comma-separated values, UTF-8, whose first line is `sim_id,status,code,message` (chosen).",
    &[
        TOPUP,
        &[
            REQUEST_ID,
            PAGE_NO,
            optional("page_size", PAGE_SIZE, "Results on a page, 100 unless told (chosen)"),
            optional(
                "only",
                ONLY,
                "`failed`: only the results of SIMs that did not succeed (chosen)",
            ),
            optional("format", FORMAT, "`json`, or `csv` for a file of all results (chosen)"),
        ],
    ],
);

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncResult {
    /// The operation, as it was written.
    pub request_id: String,
    /// The page of results, from 1.
    pub page_no: u32,
    /// Results on a page.
    pub page_size: u32,
    /// Whether only those of SIMs that failed are wanted.
    pub only_failed: bool,
    /// Whether all of them are wanted, as comma-separated values.
    pub csv: bool,
}

impl Request for AsyncResult {
    const CALL: Call = ASYNC_RESULT;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let request_id = form.text("request_id", ID_CHARS_MAX);
        let page_no = form.count_or("page_no", 1, 1, PAGE_NO_MAX);
        let page_size = form.count_or("page_size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX);
        let only = form.word_or_empty("only", ONLY);
        let format = form.word_or_empty("format", FORMAT);
        Some(Self {
            request_id: request_id?,
            page_no: page_no?,
            page_size: page_size?,
            only_failed: only? == "failed",
            csv: format? == "csv",
        })
    }
}

/// What is known of an operation (names chosen). Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationResult {
    /// The operation.
    pub request_id: String,
    /// `ADD_SIMS` or `REMOVE_SIMS`.
    pub operation: String,
    /// The group.
    pub group_id: String,
    /// `ACCEPTED`, `RUNNING`, `SUCCEEDED`, `PARTIALLY_SUCCEEDED` or `FAILED`.
    pub status: String,
    /// How many SIMs it is about.
    pub total: i64,
    /// How many of them succeeded so far.
    pub succeeded: i64,
    /// How many of them did not succeed: failed, cancelled, or in review. `only=failed` lists them.
    pub failed: i64,
    /// A page of results, in the order in which the SIMs were named.
    pub results: Vec<SimResult>,
    /// When it was taken.
    pub created_at: i64,
    /// When the last SIM was done.
    pub finished_at: Option<i64>,
}

/// What became of a SIM (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimResult {
    /// ICCID of the SIM.
    pub sim_id: String,
    /// `WAITING`, `SUCCEEDED`, `FAILED`, `CANCELLED` or `REVIEW`.
    pub status: String,
    /// Why it failed or waits, for programs.
    pub code: Option<String>,
    /// Why it failed or waits, in the caller's language.
    pub message: Option<String>,
}

/// What would become of SIMs, were the operation to be done now (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// `ADD_SIMS` or `REMOVE_SIMS`.
    pub operation: String,
    /// The group.
    pub group_id: String,
    /// `DRY_RUN`: nothing was done.
    pub status: String,
    /// How many SIMs it is about.
    pub total: i64,
    /// How many of them would be tried.
    pub succeeded: i64,
    /// How many of them would fail for certain.
    pub failed: i64,
    /// What would become of each, in the order in which they were named.
    pub results: Vec<SimResult>,
}

/// `POST /mall/async-result/{request_id}/retry-failed`, chosen.
pub const RETRY_FAILED: Call = topup(
    (Method::Post, "/mall/async-result/{request_id}/retry-failed"),
    "retryFailed",
    "Try the SIMs that failed again (chosen)",
    "Once the operation has ended (`ORDER_CONFLICT` before): a new one of the same kind begins with the SIMs that \
     failed or were cancelled, and its `request_id` is answered. Where there is none of them, the operation itself is. \
     A repeat is told like one of `addGroupSims`.",
    &[TOPUP, &[REQUEST_ID]],
);

/// `POST /mall/async-result/{request_id}/cancel`, chosen.
pub const CANCEL_OPERATION: Call = topup(
    (Method::Post, "/mall/async-result/{request_id}/cancel"),
    "cancelOperation",
    "Stop an operation (chosen)",
    "SIMs whose turn has not come fail with `CANCELLED`; those that were begun are brought to their end. \
     Cancelling twice, or what has ended, changes nothing.",
    &[TOPUP, &[REQUEST_ID]],
);

/// Try the SIMs that failed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryFailed {
    /// The operation, as it was written.
    pub request_id: String,
}

impl Request for RetryFailed {
    const CALL: Call = RETRY_FAILED;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.text("request_id", ID_CHARS_MAX).map(|request_id| Self { request_id })
    }
}

/// Stop an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelOperation {
    /// The operation, as it was written.
    pub request_id: String,
}

impl Request for CancelOperation {
    const CALL: Call = CANCEL_OPERATION;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.text("request_id", ID_CHARS_MAX).map(|request_id| Self { request_id })
    }
}
