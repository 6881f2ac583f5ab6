//! Every route of the admin API: where it stands, who may call it, what it takes and answers. One table
//! drives the router, the reading of requests, the `OpenAPI` document and the tests.

use domain::Role;

use super::audit::{Entry, Head, Verdict, Verify};
use super::record::kinds::FREE;
use super::record::{Field, Kind, Record, Recorded};
use super::token::{IssuedToken, NewToken, Token, Whoami};
use super::{LIMIT_MAX, PREFIX};

/// An operation. The router has a handler for each, or does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each one's meaning is its route's summary")]
pub enum Op {
    Whoami,
    ListTokens,
    AddToken,
    RetireToken,
    ListAudit,
    AuditHead,
    VerifyAudit,
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

    Get "/audit" ListAudit Viewer "List what was changed, the newest first"
        AUDIT, Body::None => Answer::List(&Entry::RECORD);
    Get "/audit/head" AuditHead Owner "The end of the audit chain, to be kept elsewhere"
        &[], Body::None => Answer::One(&Head::RECORD);
    Post "/audit/verify" VerifyAudit Owner "Verify the audit chain"
        &[], Body::MaybeJson(&Verify::RECORD) => Answer::One(&Verdict::RECORD);
}
