//! A plain protocol of our own, which `simmall simulator --speak plain` plays: orders under our own key, which is the order's id
//! there, and groups, which no vendor's protocol here has. May touch the network.

use async_trait::async_trait;
use domain::group::CarrierPolicy;
use domain::{Ctx, Iccid, Span, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Call, Http, Missed};
use crate::limits::Purpose;
use crate::secret::words;
use crate::{
    Accepted, Allowance, Capabilities, Carrier, CarrierPlan, CarrierSim, ControlError, Endpoint,
    Feature, GroupUsage, Idempotency, Limits, Line, Lookup, Membership, PeriodUnit, PlanState,
    Product, Products, QueryError, Secret, SetupError, SimState, Snapshot, SubmitError, Submitted,
    UpstreamState, Usage, UsageRange, tolerant,
};

/// How a network is reached that speaks it.
#[derive(Debug, Clone)]
pub struct PlainSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The key.
    pub api_key: Secret,
}

impl PlainSettings {
    /// An address on this machine, with this key.
    pub fn new(api_key: Secret) -> Self {
        let limits = Limits {
            starts_per_second: 100,
            in_flight: 32,
            calls_per_day: None,
            wait_max: Span::seconds(3),
        };
        let base = "http://127.0.0.1:8090/plain/v1".to_owned();
        Self { endpoint: Endpoint { base, call_max: Span::seconds(10), limits }, api_key }
    }
}

/// A network that speaks it.
#[derive(Debug)]
pub struct Plain {
    http: Http,
    api_key: Secret,
}

/// What an answer to a change means.
enum Meant {
    Taken(Value),
    Refused { code: String, message: String },
    PutOff { after: Span, message: String },
    Unclear { message: String },
}

fn meant(answer: &Answer) -> Meant {
    let said = answer.said();
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    let text = |name: &str| body.as_ref().and_then(|body| tolerant::text(body, &[name]));
    match (answer.status, &body) {
        (200, Some(body)) => Meant::Taken(body.clone()),
        (409 | 429, _) => Meant::PutOff { after: answer.wait(), message: said },
        (400 | 401 | 404 | 405 | 422, _) => Meant::Refused {
            code: text("code").unwrap_or_else(|| format!("HTTP_{}", answer.status)),
            message: text("message").map_or(said, |message| words(&message)),
        },
        _ => Meant::Unclear { message: said },
    }
}

impl Plain {
    /// A client with these settings.
    pub fn new(ctx: Ctx, settings: PlainSettings) -> Result<Self, SetupError> {
        let PlainSettings { endpoint, api_key } = settings;
        let http = Http::new(ctx, &endpoint, vec![api_key.clone()])?;
        Ok(Self { http, api_key })
    }

    async fn send(
        &self,
        purpose: Purpose,
        (method, path): (Method, String),
        body: Option<Value>,
    ) -> Result<Answer, Missed> {
        let headers = vec![("x-api-key", self.api_key.reveal().to_owned())];
        let body = body.map(|body| body.to_string());
        self.http.call(Call { purpose, method, path, headers, body }).await
    }

    async fn ask(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Value, QueryError> {
        self.question(Purpose::Question, (method, path), body).await
    }

    async fn ask_of_group(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Value, QueryError> {
        self.question(Purpose::GroupQuestion, (method, path), body).await
    }

    async fn question(
        &self,
        purpose: Purpose,
        call: (Method, String),
        body: Option<Value>,
    ) -> Result<Value, QueryError> {
        let answer = self.send(purpose, call, body).await?;
        let unreadable = || QueryError { message: answer.said() };
        if answer.status != 200 {
            return Err(unreadable());
        }
        serde_json::from_str(&answer.body).map_err(|_| unreadable())
    }

    /// Changes something that may be changed twice without harm.
    async fn change_group(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Accepted, ControlError> {
        let answer = self.send(Purpose::GroupChange, (method, path), body).await?;
        match meant(&answer) {
            Meant::Taken(_) => Ok(Accepted { request_id: None, said: answer.said() }),
            Meant::Refused { code, message } => Err(ControlError::Refused { code, message }),
            Meant::PutOff { after, message } => Err(ControlError::RetryLater { after, message }),
            Meant::Unclear { message } => Err(ControlError::Unclear { message }),
        }
    }

    async fn on_sim(&self, iccid: &Iccid) -> Result<Value, QueryError> {
        self.ask(Method::GET, format!("/sims/{}", iccid.as_str()), None).await
    }
}

fn submitted(key: &str, body: &Value, said: String) -> Submitted {
    let done = tolerant::text(body, &["state"]).as_deref() == Some("done");
    let state = if done { UpstreamState::Done } else { UpstreamState::Pending };
    Submitted { upstream_id: key.to_owned(), state, said }
}

fn unreadable(what: &str) -> QueryError {
    QueryError { message: format!("{what} cannot be read") }
}

fn plan(bundle: &Value) -> CarrierPlan {
    let micros = |name: &str| tolerant::number(bundle, &[name]).map(Timestamp::from_micros);
    let state = match tolerant::text(bundle, &["state"]).as_deref() {
        Some("queued") => PlanState::Queued,
        Some("active") => PlanState::Active,
        Some("ended") => PlanState::Ended,
        Some("revoked") => PlanState::Revoked,
        other => PlanState::Other(other.unwrap_or_default().to_owned()),
    };
    let queued = state == PlanState::Queued;
    let quantity = tolerant::count(bundle, &["quantity"]);
    CarrierPlan {
        id: tolerant::text(bundle, &["id"]).unwrap_or_default(),
        order: tolerant::text(bundle, &["order"]),
        data: tolerant::allowance(bundle, &["bytes"]),
        used: tolerant::count(bundle, &["used"]),
        periods: quantity.and_then(|quantity| u32::try_from(quantity).ok()),
        start_at: micros("start_at").filter(|_| !queued),
        end_at: micros("end_at"),
        state,
    }
}

#[async_trait]
impl Carrier for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::Native,
            features: &[Feature::Plans, Feature::Groups],
            periods_max: 10_000,
            key_chars_max: 50,
            // What it has taken it does in the end, some in tens of minutes.
            deadline: Span::minutes(60),
            fresh_for: Span::minutes(1),
            call_max: self.http.call_max(),
            in_process: false,
        }
    }

    async fn check(&self) -> Result<String, QueryError> {
        self.list_products(None).await?;
        Ok("reached".to_owned())
    }

    async fn list_products(&self, _cursor: Option<&str>) -> Result<Products, QueryError> {
        let body = self.ask(Method::GET, "/products".to_owned(), None).await?;
        let product = |product: &Value| {
            let days = tolerant::count(product, &["days"]);
            let days = days.and_then(|days| u32::try_from(days).ok());
            Some(Product {
                id: tolerant::text(product, &["id"])?,
                name: tolerant::text(product, &["name"]).unwrap_or_default(),
                data: tolerant::allowance(product, &["bytes"]),
                validity: days.map(|days| (days, PeriodUnit::Day)),
                coverage: Vec::new(),
                cost: None,
            })
        };
        let products = tolerant::list(&body, "products").iter().filter_map(product).collect();
        Ok(Products { products, next: None })
    }

    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError> {
        self.capabilities().check(key, line)?;
        let body = json!({
            "iccid": line.iccid.as_str(),
            "product": line.product,
            "quantity": line.periods,
        });
        let call = (Method::PUT, format!("/orders/{key}"));
        let answer = self.send(Purpose::Change, call, Some(body)).await?;
        match meant(&answer) {
            Meant::Taken(body) => Ok(submitted(key, &body, answer.said())),
            Meant::Refused { code, message } => Err(SubmitError::Permanent { code, message }),
            Meant::PutOff { after, message } => Err(SubmitError::RetryLater { after, message }),
            Meant::Unclear { message } => Err(SubmitError::Ambiguous { message }),
        }
    }

    async fn find_by_key(
        &self,
        key: &str,
        _line: &Line,
        _snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError> {
        let call = (Method::GET, format!("/orders/{key}"));
        let answer = self.send(Purpose::Question, call, None).await?;
        let body: Option<Value> = serde_json::from_str(&answer.body).ok();
        match (answer.status, body) {
            (200, Some(body)) => Ok(Lookup::Found(submitted(key, &body, answer.said()))),
            (404, Some(_)) => Ok(Lookup::NotFound),
            _ => Err(QueryError { message: answer.said() }),
        }
    }

    async fn get_order(
        &self,
        upstream_id: &str,
        _line: &Line,
        _snapshot: &Snapshot,
    ) -> Result<Submitted, QueryError> {
        let body = self.ask(Method::GET, format!("/orders/{upstream_id}"), None).await?;
        let said = tolerant::text(&body, &["state"]).unwrap_or_default();
        Ok(submitted(upstream_id, &body, said))
    }

    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        let body = self.on_sim(iccid).await?;
        let said = tolerant::text(&body, &["state"]).unwrap_or_default();
        let state = match said.as_str() {
            "active" => SimState::Active,
            "suspended" => SimState::Paused,
            "ended" => SimState::Expired,
            other => SimState::Other(other.to_owned()),
        };
        Ok(CarrierSim { state, said })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        let body = self.on_sim(iccid).await?;
        Ok(tolerant::list(&body, "bundles").iter().map(plan).collect())
    }

    async fn get_usage(&self, iccid: &Iccid, _range: UsageRange) -> Result<Usage, QueryError> {
        let plans = self.list_plans(iccid).await?;
        let bytes = |plan: &CarrierPlan| match plan.data {
            Allowance::Bytes(bytes) => bytes,
            Allowance::Unlimited | Allowance::Unknown => 0,
        };
        let used = plans.iter().filter_map(|plan| plan.used).fold(0, u64::saturating_add);
        let total = Allowance::Bytes(plans.iter().map(bytes).fold(0, u64::saturating_add));
        Ok(Usage { used, total, as_of: None, periods: Vec::new() })
    }

    async fn join_group(&self, group: &str, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change_group(Method::PUT, format!("/groups/{group}/sims/{}", iccid.as_str()), None)
            .await
    }

    async fn leave_group(&self, group: &str, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change_group(Method::DELETE, format!("/groups/{group}/sims/{}", iccid.as_str()), None)
            .await
    }

    async fn group_members(
        &self,
        group: &str,
        iccids: &[Iccid],
    ) -> Result<Vec<Membership>, QueryError> {
        let asked: Vec<&str> = iccids.iter().map(Iccid::as_str).collect();
        let path = format!("/groups/{group}/members");
        let body = self.ask_of_group(Method::POST, path, Some(json!({ "iccids": asked }))).await?;
        let members = tolerant::list(&body, "members");
        if members.len() != iccids.len() {
            return Err(unreadable("a list of members"));
        }
        let seen = |word: &Value| match word.as_str() {
            Some("in") => Membership::In,
            Some("out") => Membership::Out,
            Some("pending") => Membership::Pending,
            other => Membership::CannotTell { message: format!("it says {other:?}") },
        };
        Ok(members.iter().map(seen).collect())
    }

    async fn group_usage(&self, group: &str, from: Timestamp) -> Result<GroupUsage, QueryError> {
        let path = format!("/groups/{group}/usage?from={}", from.as_micros());
        let body = self.ask_of_group(Method::GET, path, None).await?;
        let used = tolerant::count(&body, &["used"]).ok_or_else(|| unreadable("bytes used"))?;
        let as_of = tolerant::number(&body, &["as_of"]).map(Timestamp::from_micros);
        Ok(GroupUsage { used, as_of })
    }

    async fn apply_group_policy(
        &self,
        group: &str,
        policy: CarrierPolicy,
    ) -> Result<Accepted, ControlError> {
        let body = json!({ "policy": policy.as_str() });
        self.change_group(Method::PUT, format!("/groups/{group}/policy"), Some(body)).await
    }
}
