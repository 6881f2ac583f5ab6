//! eSIM Go: bundles for SIMs by ICCID, without any key of ours. An order that may have been sent is never sent
//! again: what is new on the SIM tells whether it was carried out, or else a person. May touch the network.

mod bundles;

use async_trait::async_trait;
use domain::{Ctx, Iccid, Span};
use reqwest::Method;
use serde_json::{Value, json};

use crate::evidence::{Evidence, Mark};
use crate::http::{Call, Http};
use crate::limits::Purpose;
use crate::{
    Allowance, Capabilities, Carrier, CarrierPlan, CarrierSim, ControlError, Endpoint, Feature,
    Headers, Idempotency, Limits, Line, Lookup, Products, QueryError, Quote, Secret, SetupError,
    Snapshot, SubmitError, Submitted, UpstreamState, Usage, UsageRange, WebhookError, WebhookHint,
    tolerant,
};
use bundles::{Assignment, said, taken, unreadable};

/// The name in snapshots.
const NAME: &str = "esim_go";
/// Bundles of a SIM and of a page of the catalogue; the most that are given for a SIM.
const PAGE_SIZE: usize = 200;

/// How eSIM Go is reached.
#[derive(Debug, Clone)]
pub struct EsimGoSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The API key, which also signs notifications.
    pub api_key: Secret,
}

impl EsimGoSettings {
    /// The published address and limit, with this key.
    pub fn new(api_key: Secret) -> Self {
        let limits = Limits {
            starts_per_second: 10,
            in_flight: 8,
            calls_per_day: None,
            wait_max: Span::seconds(3),
        };
        let base = "https://api.esim-go.com/v2.5".to_owned();
        Self { endpoint: Endpoint { base, call_max: Span::seconds(20), limits }, api_key }
    }
}

/// The network behind eSIM Go.
#[derive(Debug)]
pub struct EsimGo {
    http: Http,
    api_key: Secret,
}

impl EsimGo {
    /// A client with these settings.
    pub fn new(ctx: Ctx, settings: EsimGoSettings) -> Result<Self, SetupError> {
        let EsimGoSettings { endpoint, api_key } = settings;
        Ok(Self { http: Http::new(ctx, &endpoint, vec![api_key.clone()])?, api_key })
    }

    fn call(&self, purpose: Purpose, method: Method, path: String, body: Option<Value>) -> Call {
        let headers = vec![("x-api-key", self.api_key.reveal().to_owned())];
        Call { purpose, method, path, headers, body: body.map(|body| body.to_string()) }
    }

    async fn ask(&self, path: String) -> Result<Value, QueryError> {
        let call = self.call(Purpose::Question, Method::GET, path, None);
        let answer = self.http.call(call).await?;
        let body: Option<Value> = serde_json::from_str(&answer.body).ok();
        match (answer.status, body) {
            (200..=299, Some(body)) => Ok(body),
            (_, body) => Err(QueryError { message: said(&answer, body.as_ref()) }),
        }
    }

    /// Sends an order, or checks one.
    async fn order(&self, kind: &str, line: &Line) -> Result<(Value, String), SubmitError> {
        let body = json!({
            "type": kind,
            "assign": true,
            "order": [{
                "type": "bundle",
                "item": line.product,
                "quantity": 1,
                "iccids": [line.iccid.as_str()],
                "allowReassign": false,
            }],
        });
        let call = self.call(Purpose::Change, Method::POST, "/orders".to_owned(), Some(body));
        let answer = self.http.call(call).await?;
        let body = taken(&answer)?;
        let said = said(&answer, Some(&body));
        Ok((body, said))
    }

    /// Every bundle of a SIM, used ones included.
    async fn assignments(&self, iccid: &Iccid) -> Result<Vec<Assignment>, QueryError> {
        let iccid = iccid.as_str();
        let path = format!("/esims/{iccid}/bundles?includeUsed=true&limit={PAGE_SIZE}");
        let all = bundles::read_list(&self.ask(path).await?)?;
        // A list that may be cut is no evidence.
        if all.len() >= PAGE_SIZE { Err(unreadable("too many bundles")) } else { Ok(all) }
    }

    /// The order as the carrier keeps it.
    async fn kept_order(&self, reference: &str) -> Result<Value, QueryError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if reference.is_empty() || !reference.bytes().all(plain) {
            let message = "the reference has characters that none of eSIM Go has".to_owned();
            return Err(QueryError { message });
        }
        self.ask(format!("/orders/{reference}")).await
    }
}

/// How far an order is whose bundles should show on the SIM.
fn seen(all: &[Assignment], reference: &str, snapshot: &Snapshot) -> Option<UpstreamState> {
    let state = |there: bool| if there { UpstreamState::Done } else { UpstreamState::Pending };
    if let Some(own) = all.iter().find(|assignment| assignment.is_of(reference)) {
        return Some(state(own.is_there()));
    }
    let before = Evidence::read(snapshot, NAME)?;
    let marks_of = |there: bool| -> Vec<Mark> {
        all.iter().filter(|it| !there || it.is_there()).map(Assignment::mark).collect()
    };
    before.grown(&marks_of(false))?;
    // Only what arrived counts as done.
    Some(state(before.grown(&marks_of(true)).is_some()))
}

fn one_period(line: &Line) -> Result<(), ControlError> {
    if line.periods == 1 {
        return Ok(());
    }
    let (code, message) = ("PERIODS_UNSUPPORTED".to_owned(), "one period at a time".to_owned());
    Err(ControlError::Refused { code, message })
}

#[async_trait]
impl Carrier for EsimGo {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::None,
            features: &[Feature::Quote, Feature::Snapshot, Feature::Webhooks, Feature::Plans],
            // How a SIM that is named twice is billed is not published.
            periods_max: 1,
            key_chars_max: 50,
            deadline: Span::minutes(15),
            fresh_for: Span::minutes(5),
            call_max: self.http.call_max(),
            in_process: false,
        }
    }

    async fn check(&self) -> Result<String, QueryError> {
        self.ask("/catalogue?page=1&perPage=10".to_owned()).await?;
        Ok("HTTP 200".to_owned())
    }

    async fn list_products(&self, cursor: Option<&str>) -> Result<Products, QueryError> {
        let page: u32 = cursor.unwrap_or("1").parse().map_err(|_| unreadable("the cursor"))?;
        let body = self.ask(format!("/catalogue?page={page}&perPage={PAGE_SIZE}")).await?;
        let list = body.get("bundles").and_then(Value::as_array).or_else(|| body.as_array());
        let list = list.ok_or_else(|| unreadable("a catalogue"))?;
        let pages = tolerant::number(&body, &["pageCount"]).unwrap_or_default();
        let next = (i64::from(page) < pages && !list.is_empty()).then(|| (page + 1).to_string());
        Ok(Products { products: list.iter().filter_map(bundles::product).collect(), next })
    }

    async fn quote(&self, line: &Line) -> Result<Quote, ControlError> {
        one_period(line)?;
        let (body, said) = self.order("validate", line).await?;
        Ok(Quote { price: bundles::total(&body), said })
    }

    async fn snapshot(&self, line: &Line) -> Result<Snapshot, QueryError> {
        let marks = self.assignments(&line.iccid).await?.iter().map(Assignment::mark).collect();
        Ok(Evidence::new(NAME, marks).to_snapshot())
    }

    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError> {
        self.capabilities().check(key, line)?;
        let (body, said) = self.order("transaction", line).await?;
        let Some(upstream_id) = tolerant::text(&body, &["orderReference", "reference"]) else {
            return Err(SubmitError::Ambiguous { message: format!("{said}, without a reference") });
        };
        // A completed order's bundle reaches its SIM within ten minutes.
        Ok(Submitted { upstream_id, state: UpstreamState::Pending, said })
    }

    async fn find_by_key(
        &self,
        _key: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError> {
        if Evidence::read(snapshot, NAME).is_none() {
            let message = "what was on the SIM before the order was not read".to_owned();
            return Ok(Lookup::CannotTell { message });
        }
        let all = self.assignments(&line.iccid).await?;
        Ok(match seen(&all, "", snapshot) {
            Some(UpstreamState::Done) => Lookup::Found(Submitted {
                // The order's reference went lost with its answer.
                upstream_id: format!("bundle-{}", line.product),
                state: UpstreamState::Done,
                said: "a new bundle is on the SIM".to_owned(),
            }),
            Some(_) => {
                let message = "a new bundle is on its way to the SIM: look again".to_owned();
                return Err(QueryError { message });
            }
            None => {
                let message = "no new bundle on the SIM, which may still come".to_owned();
                Lookup::CannotTell { message }
            }
        })
    }

    async fn get_order(
        &self,
        upstream_id: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Submitted, QueryError> {
        let submitted =
            |state, said| Ok(Submitted { upstream_id: upstream_id.to_owned(), state, said });
        let all = self.assignments(&line.iccid).await?;
        if let Some(state) = seen(&all, upstream_id, snapshot) {
            return submitted(state, "its bundle is on the SIM, or on its way".to_owned());
        }
        let order = self.kept_order(upstream_id).await?;
        let status = tolerant::text(&order, &["status"]).unwrap_or_default();
        let message = tolerant::text(&order, &["statusMessage"]).unwrap_or_default();
        let said = crate::secret::words(&format!("order {status} {message}"));
        // Without a snapshot the carrier's word for its own order is all there is.
        let unread = Evidence::read(snapshot, NAME).is_none();
        let done = unread && status.eq_ignore_ascii_case("completed");
        submitted(if done { UpstreamState::Done } else { UpstreamState::Pending }, said)
    }

    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        let body = self.ask(format!("/esims/{}", iccid.as_str())).await?;
        let word = tolerant::text(&body, &["profileStatus", "status"]);
        let said = word.ok_or_else(|| unreadable("the SIM's status"))?;
        Ok(CarrierSim { state: bundles::sim_state(&said), said })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        Ok(self.assignments(iccid).await?.iter().map(Assignment::plan).collect())
    }

    async fn get_usage(&self, iccid: &Iccid, _range: UsageRange) -> Result<Usage, QueryError> {
        let plans = self.list_plans(iccid).await?;
        let used = plans.iter().filter_map(|plan| plan.used);
        let used = used.fold(0_u64, u64::saturating_add);
        let total = plans.iter().try_fold(0_u64, |sum, plan| match plan.data {
            Allowance::Bytes(bytes) => Some(sum.saturating_add(bytes)),
            Allowance::Unlimited | Allowance::Unknown => None,
        });
        let total = total.map_or(Allowance::Unknown, Allowance::Bytes);
        Ok(Usage { used, total, as_of: None, periods: Vec::new() })
    }

    fn parse_webhook(
        &self,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<WebhookHint, WebhookError> {
        bundles::webhook(&self.api_key, headers, body)
    }
}
