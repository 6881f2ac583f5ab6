//! What a call of the API is: where it stands, how its answer is shaped, which fields it takes. One
//! table drives the reading of requests, the router and the `OpenAPI` document.

use domain::Mode;

use crate::form::{Field, Form};

/// Where carriers post their notifications (chosen); no call of a partner's.
pub const CARRIER_NOTIFICATIONS: &str = "/carriers/{code}/notifications";
/// Where Stripe sends its events, by mode (6.6).
pub const STRIPE_WEBHOOK: &str = "/stripe/webhook/{mode}";

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The mall.
    Vshop,
    /// The cashier.
    Payment,
    /// Groups and orders.
    Topup,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 3] = [Self::Vshop, Self::Payment, Self::Topup];

    /// The path prefix of live mode (published).
    pub fn live_prefix(self) -> &'static str {
        match self {
            Self::Vshop => "/vshop",
            Self::Payment => "/payment",
            Self::Topup => "/topup",
        }
    }

    /// The path prefix of test mode (published).
    pub fn test_prefix(self) -> &'static str {
        match self {
            Self::Vshop => "/vshop_uat",
            Self::Payment => "/payment_uat",
            Self::Topup => "/topup_test",
        }
    }

    /// The path prefix of a mode.
    pub fn prefix(self, mode: Mode) -> &'static str {
        match mode {
            Mode::Live => self.live_prefix(),
            Mode::Test => self.test_prefix(),
        }
    }
}

/// HTTP methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Parameters in the query.
    Get,
    /// Parameters in the JSON body.
    Post,
    /// Parameters in the JSON body, or in the query, since some proxies drop the body.
    Delete,
}

impl Method {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the parameters stand in the body.
    pub fn has_body(self) -> bool {
        self != Self::Get
    }
}

/// The shape of a successful answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `{"operateCode":"S","message":"success","data":{…}}`.
    Envelope,
    /// The data object alone.
    Bare,
}

/// A call of the API.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its service.
    pub service: Service,
    /// Its method.
    pub method: Method,
    /// Its path below the prefix.
    pub path: &'static str,
    /// Its name: the `tradeType` that `hmac-sha256` demands.
    pub name: &'static str,
    /// The shape of its answer.
    pub shape: Shape,
    /// One line on what it does.
    pub summary: &'static str,
    /// More on it, for the document.
    pub doc: &'static str,
    /// Its fields, the common ones included.
    pub fields: &'static [&'static [Field]],
}

impl Call {
    /// Whether it is taken under `hmac-sha256` only, whatever else its partner may use (3.2): it says where the
    /// partner's business is told, or gives out a secret.
    pub fn needs_hmac(&self) -> bool {
        self.path.starts_with(crate::endpoints::ROOT)
    }

    /// Whether a field stands in the path.
    pub fn in_path(&self, name: &str) -> bool {
        self.path_names().any(|part| part == name)
    }

    /// The names of the fields that stand in the path.
    pub fn path_names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split(['{', '}']).skip(1).step_by(2)
    }

    /// All fields in order.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().flat_map(|part| part.iter())
    }
}

/// A request that can be read from its parameters.
pub trait Request: Sized + Send {
    /// The call it belongs to.
    const CALL: Call;

    /// Reads all fields; problems are gathered in the form. `None` only if there is one.
    fn read(form: &mut Form<'_>) -> Option<Self>;
}

/// Every call that exists.
pub const CALLS: [Call; 32] = [
    crate::vshop::SINGLE_VERIFY,
    crate::vshop::SINGLE_SERVICE_PLAN_PAGE,
    crate::vshop::SINGLE_ORDER,
    crate::vshop::SINGLE_QUERY_ORDER,
    crate::renewals::QUERY_AUTO_RENEWAL_RECORD,
    crate::renewals::CANCEL_AUTO_RENEWAL_RECORD,
    crate::renewals::QUERY_AUTO_RENEWAL_RECORD_LIST,
    crate::vshop::SYN_ORDER_INFO,
    crate::payment::STRIPE_SINGLE_AUTH,
    crate::payment::STRIPE_SUB_AUTH,
    crate::payment::STRIPE_SUB_DIRECTLY,
    crate::payment::RESULT_QUERY,
    crate::payment::RESULT_CONFIRM,
    crate::topup::QUERY_ORDER,
    crate::topup::QUERY_SIM,
    crate::topup::QUERY_SIM_USAGE,
    crate::endpoints::LIST,
    crate::endpoints::ADD,
    crate::endpoints::CHANGE,
    crate::endpoints::TEST,
    crate::endpoints::ROTATE,
    crate::endpoints::DELETE,
    crate::endpoints::RESEND,
    crate::endpoints::TAKE,
    crate::endpoints::DELIVERIES,
    crate::groups::LIST_GROUPS,
    crate::groups::LIST_GROUP_SIMS,
    crate::groups::ADD_GROUP_SIMS,
    crate::groups::REMOVE_GROUP_SIMS,
    crate::groups::ASYNC_RESULT,
    crate::groups::RETRY_FAILED,
    crate::groups::CANCEL_OPERATION,
];
