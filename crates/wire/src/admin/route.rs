//! Every route of the admin API: where it stands, who may call it, what it takes and answers. One
//! table drives the router, the reading of requests, the `OpenAPI` document and the tests.

use domain::Role;

use super::audit::{Entry, Head, Verdict, Verify};
use super::catalogue::{self, Package, Plan, PutPackage, PutPlan};
use super::clock::{Clock, MoveClock};
use super::group::{
    Group, GroupChange, GroupReview, NewGroup, Operation, OperationSim, PutBundle, ResolveSim,
};
use super::import::{CSV, Import, ImportPart, NewImport, PART_BYTES_MAX};
use super::job::{self, Job};
use super::ledger::{Balance, NewSettlement, Posting};
use super::order::{self, Order, OrderDetail, RefundOrder, Resolve, Review, Timeline};
use super::partner::{
    Credit, CreditLimit, IssuedKey, Key, NewPartner, NewPrice, Partner, PartnerChange, Price,
};
use super::push::{
    DELIVERED, IssuedPushEndpoint, NewPushEndpoint, PushDelivery, PushEndpoint, PushEndpointChange,
    ResendPushes, ResentPushes, RotatePushKey, TestedPush,
};
use super::reconcile::Reconciliation;
use super::record::kinds::FREE;
use super::record::{Field, Kind, Record, Recorded};
use super::renewal::{self, CancelRenewal, Renewal, RenewalTimeline};
use super::request::{LoggedRequest, OUTCOMES};
use super::sim::{PutSim, Sim, SimChange};
use super::token::{IssuedToken, NewToken, Token, Whoami};
use super::{CODE_CHARS_MAX, LIMIT_MAX, PREFIX};

/// An operation. The router has a handler for each, or does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each one's meaning is its route's summary")]
pub enum Op {
    Whoami,
    ListTokens,
    AddToken,
    RetireToken,
    ListPartners,
    AddPartner,
    ShowPartner,
    ChangePartner,
    SuspendPartner,
    ResumePartner,
    ListKeys,
    AddKey,
    RetireKey,
    ListPushEndpoints,
    AddPushEndpoint,
    ShowPushEndpoint,
    ChangePushEndpoint,
    DeletePushEndpoint,
    TestPushEndpoint,
    RotatePushKey,
    ListPushDeliveries,
    ResendPushes,
    ListCredits,
    SetCredit,
    ListPrices,
    AddPrice,
    EndPrice,
    ListSims,
    ShowSim,
    PutSim,
    ChangeSim,
    ListPackages,
    ShowPackage,
    PutPackage,
    ShowRoute,
    PutRoute,
    ListPlans,
    ShowPlan,
    PutPlan,
    ListOrders,
    ShowOrder,
    ShowTimeline,
    ListReviews,
    ResolveOrder,
    RefundOrder,
    ListRenewals,
    ShowRenewal,
    CancelRenewal,
    ListGroups,
    ShowGroup,
    AddGroup,
    ChangeGroup,
    SetBundle,
    ListOperations,
    ShowOperation,
    ListOperationSims,
    ListGroupReviews,
    ResolveGroupSim,
    ListJobs,
    ShowJob,
    RetryJob,
    CancelJob,
    ListBalances,
    ListPostings,
    Reconcile,
    Settle,
    ShowClock,
    MoveClock,
    ListRequests,
    ListAudit,
    AuditHead,
    VerifyAudit,
    AddImport,
    PutImportPart,
    ApplyImport,
    ShowImport,
    Export,
}

/// HTTP methods of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a route takes in its body.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// Nothing.
    None,
    /// A JSON object.
    Json(&'static Record),
    /// A JSON object, or nothing.
    MaybeJson(&'static Record),
    /// Bytes of a media type, up to so many.
    Raw(&'static str, usize),
}

/// What a route answers when it succeeds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Status 200 with an object.
    One(&'static Record),
    /// Status 201 with an object.
    Created(&'static Record),
    /// Status 200 with a page of objects.
    List(&'static Record),
    /// Status 204.
    Nothing,
    /// Status 200 with bytes of a media type.
    Raw(&'static str),
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What it does, for the router.
    pub op: Op,
    /// Its method.
    pub method: Method,
    /// Its path below the prefix, with `{names}`.
    pub path: &'static str,
    /// The least role that may call it.
    pub role: Role,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What its query may have.
    pub query: &'static [Field],
    /// What its body has.
    pub body: Body,
    /// What it answers.
    pub answer: Answer,
}

impl Route {
    /// The whole path.
    pub fn full_path(&self) -> String {
        format!("{PREFIX}{}", self.path)
    }
}

const fn filter(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: false, doc }
}

/// The most items of a page.
pub const LIMIT: Field =
    filter("limit", Kind::Whole { min: 1, max: LIMIT_MAX }, "The most items of the page (50)");
/// Where a page begins.
pub const CURSOR: Field = filter("cursor", FREE, "The `next_cursor` of the page before");

const PAGE: &[Field] = &[LIMIT, CURSOR];

const DAY: &[Field] = &[
    LIMIT,
    CURSOR,
    Field {
        name: "day",
        kind: Kind::Text { min: 10, max: 10 },
        required: true,
        doc: "The day, in UTC, such as 2027-01-31",
    },
];

const AUDIT: &[Field] = &[
    LIMIT,
    CURSOR,
    filter("token_id", Kind::Id("tok"), "Only of this token"),
    filter("action", Kind::Text { min: 1, max: 64 }, "Only this action, such as `partner.add`"),
    filter("mode", super::record::kinds::MODE, "Only of this mode"),
    filter(
        "object",
        Kind::Text { min: 1, max: 256 },
        "Only of this object, such as `partners/P000270`",
    ),
    filter("from", Kind::Time, "Only from this time on"),
    filter("to", Kind::Time, "Only before this time"),
];

const PARTNER: Field = filter("partner", Kind::Code, "Only of the partner with this code");
const NUMBER: Kind = Kind::Text { min: 1, max: CODE_CHARS_MAX };

const PRICES: &[Field] = &[LIMIT, CURSOR, filter("plan", Kind::Code, "Only of this plan")];

const SIMS: &[Field] =
    &[LIMIT, CURSOR, filter("state", Kind::Word(super::sim::STATES), "Only in this state")];

const ORDERS: &[Field] = &[
    LIMIT,
    CURSOR,
    PARTNER,
    filter("state", Kind::Word(order::STATES), "Only in this state"),
    filter("iccid", Kind::Iccid, "Only for this SIM"),
    filter(
        "number",
        NUMBER,
        "Only with this number: `orderNo`, `payId`, `requestOrderId`, or our own id",
    ),
    filter("plan", NUMBER, "Only of this plan"),
    filter("from", Kind::Time, "Only those that came from this time on"),
    filter("to", Kind::Time, "Only those that came before this time"),
];

const RENEWALS: &[Field] = &[
    LIMIT,
    CURSOR,
    PARTNER,
    filter("state", Kind::Word(renewal::STATES), "Only in this state"),
    filter("failing", Kind::Bool, "Only those whose last period did not come, or was declined"),
    filter(
        "number",
        NUMBER,
        "Only of the SIM with this number, of an order with it (`orderNo`, `payId`, `requestOrderId`, our own id), \
         or with this id",
    ),
];

const OPERATION_SIMS: &[Field] =
    &[LIMIT, CURSOR, filter("failed", Kind::Bool, "Only those that did not succeed")];

const JOBS: &[Field] = &[
    LIMIT,
    CURSOR,
    PARTNER,
    filter("kind", Kind::Word(job::KINDS), "Only of this kind"),
    filter("state", Kind::Word(job::STATES), "Only in this state"),
];

const DELIVERIES: &[Field] = &[
    LIMIT,
    CURSOR,
    filter("state", Kind::Word(DELIVERED), "Only in this state"),
    filter("event_id", Kind::Id("evt"), "Only of this event, with its body and all its tries"),
];

const LEDGER: &[Field] = &[LIMIT, CURSOR, PARTNER];

const REQUESTS: &[Field] = &[
    LIMIT,
    CURSOR,
    filter("code", Kind::Text { min: 1, max: 64 }, "Only with this code, such as `SIGN_MISMATCH`"),
    filter("outcome", Kind::Word(OUTCOMES), "Only those that succeeded, or those that failed"),
    filter("from", Kind::Time, "Only from this time on"),
    filter("to", Kind::Time, "Only before this time"),
];

const DRY_RUN: &[Field] =
    &[filter("dry_run", Kind::Bool, "Say what would change, and change nothing")];

const EXPORT: &[Field] = &[
    filter("cursor", FREE, "The `x-next-cursor` of the page before"),
    filter("partner", Kind::Code, "Whose SIMs, which need it; only this partner's prices"),
];

macro_rules! routes {
    ($($method:ident $path:literal $op:ident $role:ident $summary:literal
        $query:expr, $body:expr => $answer:expr;)*) => {
        /// Every route there is.
        pub const ROUTES: &[Route] = &[$(Route {
            op: Op::$op,
            method: Method::$method,
            path: $path,
            role: Role::$role,
            summary: $summary,
            query: $query,
            body: $body,
            answer: $answer,
        }),*];
    };
}

routes! {
    Get "/whoami" Whoami Viewer "Whose token this is"
        &[], Body::None => Answer::One(&Whoami::RECORD);

    Get "/tokens" ListTokens Owner "List tokens, the oldest first"
        PAGE, Body::None => Answer::List(&Token::RECORD);
    Post "/tokens" AddToken Owner "Make a token; its text is shown only now"
        &[], Body::Json(&NewToken::RECORD) => Answer::Created(&IssuedToken::RECORD);
    Delete "/tokens/{token_id}" RetireToken Owner "Retire a token; the last owner's is kept"
        &[], Body::None => Answer::One(&Token::RECORD);

    Get "/{mode}/partners" ListPartners Viewer "List partners by code"
        PAGE, Body::None => Answer::List(&Partner::RECORD);
    Post "/{mode}/partners" AddPartner Operator "Add a partner; it has no key yet"
        &[], Body::Json(&NewPartner::RECORD) => Answer::Created(&Partner::RECORD);
    Get "/{mode}/partners/{code}" ShowPartner Viewer "Show a partner"
        &[], Body::None => Answer::One(&Partner::RECORD);
    Patch "/{mode}/partners/{code}" ChangePartner Operator "Change a partner's settings"
        &[], Body::Json(&PartnerChange::RECORD) => Answer::One(&Partner::RECORD);
    Post "/{mode}/partners/{code}/suspend" SuspendPartner Operator "Refuse a partner's requests"
        &[], Body::None => Answer::One(&Partner::RECORD);
    Post "/{mode}/partners/{code}/resume" ResumePartner Operator "Take a partner's requests again"
        &[], Body::None => Answer::One(&Partner::RECORD);

    Get "/{mode}/partners/{code}/keys" ListKeys Viewer "List a partner's keys, the oldest first"
        PAGE, Body::None => Answer::List(&Key::RECORD);
    Post "/{mode}/partners/{code}/keys" AddKey Operator
        "Make a key; its text is shown only now. A partner has two at most that are not retired"
        &[], Body::None => Answer::Created(&IssuedKey::RECORD);
    Delete "/{mode}/partners/{code}/keys/{key_id}" RetireKey Operator "Retire a key"
        &[], Body::None => Answer::One(&Key::RECORD);

    Get "/{mode}/partners/{code}/push-endpoints" ListPushEndpoints Viewer
        "List where a partner is told of events, the oldest first"
        PAGE, Body::None => Answer::List(&PushEndpoint::RECORD);
    Post "/{mode}/partners/{code}/push-endpoints" AddPushEndpoint Operator
        "Add a push endpoint; its key is shown only now. A partner has 20 at most in a mode"
        &[], Body::Json(&NewPushEndpoint::RECORD) => Answer::Created(&IssuedPushEndpoint::RECORD);
    Get "/{mode}/partners/{code}/push-endpoints/{endpoint_id}" ShowPushEndpoint Viewer
        "Show a push endpoint"
        &[], Body::None => Answer::One(&PushEndpoint::RECORD);
    Patch "/{mode}/partners/{code}/push-endpoints/{endpoint_id}" ChangePushEndpoint Operator
        "Change, pause or resume a push endpoint"
        &[], Body::Json(&PushEndpointChange::RECORD) => Answer::One(&PushEndpoint::RECORD);
    Delete "/{mode}/partners/{code}/push-endpoints/{endpoint_id}" DeletePushEndpoint Operator
        "Delete a push endpoint with what waits for it and its log"
        &[], Body::None => Answer::Nothing;
    Post "/{mode}/partners/{code}/push-endpoints/{endpoint_id}/test" TestPushEndpoint Operator
        "Send a sample to a push endpoint, and tell what came of it"
        &[], Body::None => Answer::One(&TestedPush::RECORD);
    Post "/{mode}/partners/{code}/push-endpoints/{endpoint_id}/rotate" RotatePushKey Operator
        "Give a push endpoint a new key, shown only now; the old one signs too for a while"
        &[], Body::MaybeJson(&RotatePushKey::RECORD) => Answer::One(&IssuedPushEndpoint::RECORD);
    Get "/{mode}/partners/{code}/push-endpoints/{endpoint_id}/deliveries" ListPushDeliveries Viewer
        "List what a push endpoint was told, the newest first, with every try"
        DELIVERIES, Body::None => Answer::List(&PushDelivery::RECORD);
    Post "/{mode}/partners/{code}/push-endpoints/{endpoint_id}/resend" ResendPushes Operator
        "Send events again: one, those that failed since a time, or those of some time"
        &[], Body::Json(&ResendPushes::RECORD) => Answer::One(&ResentPushes::RECORD);

    Get "/{mode}/partners/{code}/credits" ListCredits Viewer "List what a partner may owe, and owes"
        PAGE, Body::None => Answer::List(&Credit::RECORD);
    Put "/{mode}/partners/{code}/credits/{currency}" SetCredit Operator
        "Set what a partner may owe in a currency"
        &[], Body::Json(&CreditLimit::RECORD) => Answer::One(&Credit::RECORD);

    Post "/{mode}/partners/{code}/credits/{currency}/settlements" Settle Operator
        "Book what a partner paid of what it owes, or was let off"
        &[], Body::Json(&NewSettlement::RECORD) => Answer::Created(&Posting::RECORD);

    Get "/{mode}/partners/{code}/prices" ListPrices Viewer
        "List a partner's prices, those that ended and those to come included"
        PRICES, Body::None => Answer::List(&Price::RECORD);
    Post "/{mode}/partners/{code}/prices" AddPrice Operator
        "Add a price, which ends the one before it"
        &[], Body::Json(&NewPrice::RECORD) => Answer::Created(&Price::RECORD);
    Delete "/{mode}/partners/{code}/prices/{price_id}" EndPrice Operator
        "End a price now, or cancel one that has not begun"
        &[], Body::None => Answer::One(&Price::RECORD);

    Get "/{mode}/partners/{code}/sims" ListSims Viewer "List a partner's SIMs by ICCID"
        SIMS, Body::None => Answer::List(&Sim::RECORD);
    Get "/{mode}/partners/{code}/sims/{iccid}" ShowSim Viewer "Show a SIM"
        &[], Body::None => Answer::One(&Sim::RECORD);
    Put "/{mode}/partners/{code}/sims/{iccid}" PutSim Operator "Add a SIM, or change it"
        &[], Body::Json(&PutSim::RECORD) => Answer::One(&Sim::RECORD);
    Patch "/{mode}/partners/{code}/sims/{iccid}" ChangeSim Operator "Change a SIM's state"
        &[], Body::Json(&SimChange::RECORD) => Answer::One(&Sim::RECORD);

    Get "/{mode}/packages" ListPackages Viewer "List packages by code"
        PAGE, Body::None => Answer::List(&Package::RECORD);
    Get "/{mode}/packages/{code}" ShowPackage Viewer "Show a package"
        &[], Body::None => Answer::One(&Package::RECORD);
    Put "/{mode}/packages/{code}" PutPackage Operator
        "Make a package, or change it. One that a plan gives keeps unit, calendar and carrier"
        &[], Body::Json(&PutPackage::RECORD) => Answer::One(&Package::RECORD);
    Get "/{mode}/packages/{code}/route" ShowRoute Viewer
        "Show which other carriers may provide a package"
        &[], Body::None => Answer::One(&catalogue::Route::RECORD);
    Put "/{mode}/packages/{code}/route" PutRoute Operator
        "Set which other carriers are asked where a package's own refuses for good"
        &[], Body::Json(&catalogue::Route::RECORD) => Answer::One(&catalogue::Route::RECORD);
    Get "/{mode}/plans" ListPlans Viewer "List plans by code, on sale or not"
        PAGE, Body::None => Answer::List(&Plan::RECORD);
    Get "/{mode}/plans/{code}" ShowPlan Viewer "Show a plan"
        &[], Body::None => Answer::One(&Plan::RECORD);
    Put "/{mode}/plans/{code}" PutPlan Operator
        "Make a plan, or change it. Its package may change to one of the same unit and carrier only"
        &[], Body::Json(&PutPlan::RECORD) => Answer::One(&Plan::RECORD);

    Get "/{mode}/orders" ListOrders Viewer
        "List orders, the newest first. A page may have few items, or none, and yet a next one"
        ORDERS, Body::None => Answer::List(&Order::RECORD);
    Get "/{mode}/orders/{order_id}" ShowOrder Viewer "Show an order with all that belongs to it"
        &[], Body::None => Answer::One(&OrderDetail::RECORD);
    Get "/{mode}/orders/{order_id}/timeline" ShowTimeline Viewer
        "Show all that happened to an order, in its order"
        &[], Body::None => Answer::One(&Timeline::RECORD);
    Get "/{mode}/reviews" ListReviews Viewer "List orders that wait for a person, the eldest first"
        LEDGER, Body::None => Answer::List(&Review::RECORD);
    Post "/{mode}/orders/{order_id}/resolve" ResolveOrder Operator
        "Decide about an order that waits for a person"
        &[], Body::Json(&Resolve::RECORD) => Answer::One(&Order::RECORD);

    Post "/{mode}/orders/{order_id}/refund" RefundOrder Operator
        "Give back what was paid for an order, whole or in part"
        &[], Body::Json(&RefundOrder::RECORD) => Answer::One(&OrderDetail::RECORD);

    Get "/{mode}/renewals" ListRenewals Viewer "List auto-renewals, the newest first"
        RENEWALS, Body::None => Answer::List(&Renewal::RECORD);
    Get "/{mode}/renewals/{renewal_id}/timeline" ShowRenewal Viewer
        "Show all that happened to an auto-renewal, and why it did not renew"
        &[], Body::None => Answer::One(&RenewalTimeline::RECORD);
    Post "/{mode}/renewals/{renewal_id}/cancel" CancelRenewal Operator
        "End an auto-renewal; the running period stays"
        &[], Body::Json(&CancelRenewal::RECORD) => Answer::One(&Renewal::RECORD);

    Get "/{mode}/groups" ListGroups Viewer "List groups of SIMs by partner and code"
        LEDGER, Body::None => Answer::List(&Group::RECORD);
    Post "/{mode}/partners/{code}/groups" AddGroup Operator
        "Make a group of SIMs under a bundle, whose first period begins now and is charged"
        &[], Body::Json(&NewGroup::RECORD) => Answer::Created(&Group::RECORD);
    Get "/{mode}/partners/{code}/groups/{group_id}" ShowGroup Viewer "Show a group"
        &[], Body::None => Answer::One(&Group::RECORD);
    Patch "/{mode}/partners/{code}/groups/{group_id}" ChangeGroup Operator
        "Change a group's name, how many SIMs there may be, or its bundle's policies"
        &[], Body::Json(&GroupChange::RECORD) => Answer::One(&Group::RECORD);
    Put "/{mode}/partners/{code}/groups/{group_id}/bundle" SetBundle Operator
        "Set what a group's SIMs share; its period begins now and is charged, the one before is lost"
        &[], Body::Json(&PutBundle::RECORD) => Answer::One(&Group::RECORD);
    Get "/{mode}/partners/{code}/groups/{group_id}/operations" ListOperations Viewer
        "List operations on a group, the newest first"
        PAGE, Body::None => Answer::List(&Operation::RECORD);
    Get "/{mode}/operations/{request_id}" ShowOperation Viewer "Show an operation on a group"
        &[], Body::None => Answer::One(&Operation::RECORD);
    Get "/{mode}/operations/{request_id}/sims" ListOperationSims Viewer
        "List what came of an operation's SIMs, in the order in which they were named"
        OPERATION_SIMS, Body::None => Answer::List(&OperationSim::RECORD);
    Get "/{mode}/group-reviews" ListGroupReviews Viewer
        "List SIMs of which nobody can tell whether they are in their group, by ICCID"
        PAGE, Body::None => Answer::List(&GroupReview::RECORD);
    Post "/{mode}/partners/{code}/group-reviews/{iccid}/resolve" ResolveGroupSim Operator
        "Decide about a SIM of which nobody can tell whether it is in its group"
        &[], Body::Json(&ResolveSim::RECORD) => Answer::Nothing;

    Get "/{mode}/jobs" ListJobs Viewer "List jobs: the dead ones, then the others as they fall due"
        JOBS, Body::None => Answer::List(&Job::RECORD);
    Get "/{mode}/jobs/{job_id}" ShowJob Viewer "Show a job"
        &[], Body::None => Answer::One(&Job::RECORD);
    Post "/{mode}/jobs/{job_id}/retry" RetryJob Operator "Run a job now, as if it had never failed"
        &[], Body::None => Answer::One(&Job::RECORD);
    Post "/{mode}/jobs/{job_id}/cancel" CancelJob Operator
        "Drop a job that has nothing left to do"
        &[], Body::None => Answer::Nothing;

    Get "/{mode}/ledger/balances" ListBalances Viewer "List balances by partner"
        LEDGER, Body::None => Answer::List(&Balance::RECORD);
    Get "/{mode}/ledger/postings" ListPostings Viewer
        "List postings by partner, those of the newest orders first"
        LEDGER, Body::None => Answer::List(&Posting::RECORD);
    Get "/{mode}/clock" ShowClock Viewer "Show a mode's business time"
        &[], Body::None => Answer::One(&Clock::RECORD);
    Post "/{mode}/clock" MoveClock Operator
        "Move the test mode's business time on; for a while, so that it may have to be asked again"
        &[], Body::Json(&MoveClock::RECORD) => Answer::One(&Clock::RECORD);
    Get "/{mode}/reconciliation" Reconcile Viewer
        "Compare a day's money: Stripe's balance, the postings, orders and plans; a part at a time"
        DAY, Body::None => Answer::One(&Reconciliation::RECORD);
    Get "/{mode}/partners/{code}/requests" ListRequests Viewer
        "List what a partner asked and how it was answered, the newest first"
        REQUESTS, Body::None => Answer::List(&LoggedRequest::RECORD);

    Get "/audit" ListAudit Viewer "List what was changed, the newest first"
        AUDIT, Body::None => Answer::List(&Entry::RECORD);
    Get "/audit/head" AuditHead Owner "The end of the audit chain, to be kept elsewhere"
        &[], Body::None => Answer::One(&Head::RECORD);
    Post "/audit/verify" VerifyAudit Owner "Verify the audit chain"
        &[], Body::MaybeJson(&Verify::RECORD) => Answer::One(&Verdict::RECORD);

    Post "/{mode}/imports" AddImport Operator
        "Begin an import, or go on with the one of the same file that is not applied yet"
        &[], Body::Json(&NewImport::RECORD) => Answer::Created(&Import::RECORD);
    Put "/{mode}/imports/{import_id}/parts/{part}" PutImportPart Operator
        "Stage the next part of a file, or the same part again; whole lines, the first with the header"
        &[], Body::Raw(CSV, PART_BYTES_MAX) => Answer::One(&ImportPart::RECORD);
    Post "/{mode}/imports/{import_id}/apply" ApplyImport Operator
        "Validate what is staged and apply it, in the background"
        DRY_RUN, Body::None => Answer::One(&Import::RECORD);
    Get "/{mode}/imports/{import_id}" ShowImport Viewer "How far an import is, and its errors"
        &[], Body::None => Answer::One(&Import::RECORD);
    Get "/{mode}/exports/{kind}" Export Viewer
        "A page of all SIMs of a partner, packages, plans or prices, as an import takes them"
        EXPORT, Body::None => Answer::Raw(CSV);
}
