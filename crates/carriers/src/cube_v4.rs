//! Cube v4: renewals of SIMs by ICCID, accepted at once and carried out within tens of minutes.
//!
//! Cube has no keys of ours, does not report a SIM that failed, and its order states are not published. So:
//! one SIM per order; what is on the SIM is read before an order, and the order is done when something
//! new is on it. Cube takes the same parameters within ten seconds for one order; nothing here leans on
//! that, nothing is repeated, and two like orders are kept apart. May touch the network.

mod bundles;
mod codes;
mod notification;
mod sign;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::{Ctx, Iccid, Span, Timestamp, Zone};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::evidence::{Evidence, Mark};
use crate::http::{Answer, Call, Http, Missed};
use crate::limits::Purpose;
use crate::{
    Accepted, AsyncState, Capabilities, Carrier, CarrierPlan, CarrierSim, ControlError, Endpoint,
    Feature, Headers, Idempotency, Limits, Line, Lookup, Products, QueryError, Secret, SetupError,
    Snapshot, SubmitError, Submitted, UpstreamState, Usage, UsageRange, WebhookError, WebhookHint,
    tolerant,
};
use bundles::unreadable;
use codes::{Class, Envelope, class, taken};
pub use notification::CubeNotifications;
use sign::{Signer, canonical};

/// The name in snapshots.
const NAME: &str = "cube_v4";
/// Two orders for the same SIM and product within ten seconds may be taken for one.
const LIKE_ORDERS_APART: Span = Span::seconds(11);
/// Entries of a page; the most that Cube gives.
const PAGE_SIZE: usize = 100;
/// The most bundles on a SIM that are read.
const PAGES_MAX: usize = 10;

/// How Cube is reached.
#[derive(Debug, Clone)]
pub struct CubeSettings {
    /// Where it is. The path is part of what is signed.
    pub endpoint: Endpoint,
    /// The id of the API key.
    pub key_id: String,
    /// The private key: PEM, or the bare Base64 that the console shows.
    pub private_key: Secret,
    /// `X-LF-Api-Version`; without it Cube takes the earlier of its two live versions.
    pub api_version: Option<String>,
    /// Whether to suspend by the twin of the published call to resume, which is not published itself.
    pub suspend_unconfirmed: bool,
    /// How notifications are signed, once that is known.
    pub notifications: Option<CubeNotifications>,
}

impl CubeSettings {
    /// The published address and limits, with these keys.
    pub fn new(key_id: impl Into<String>, private_key: Secret) -> Self {
        Self {
            endpoint: Endpoint {
                base: "https://api.linksfield.net/cube/v4".to_owned(),
                call_max: Span::seconds(20),
                limits: Limits {
                    starts_per_second: 10,
                    in_flight: 3,
                    calls_per_day: Some(5_000),
                    wait_max: Span::seconds(3),
                },
            },
            key_id: key_id.into(),
            private_key,
            api_version: None,
            suspend_unconfirmed: false,
            notifications: None,
        }
    }
}

/// The network behind Cube v4.
#[derive(Debug)]
pub struct CubeV4 {
    ctx: Ctx,
    http: Http,
    signer: Signer,
    api_version: Option<String>,
    suspend_unconfirmed: bool,
    notifications: Option<CubeNotifications>,
    /// When an order for a SIM and a product was last sent; older than [`LIKE_ORDERS_APART`] is forgotten.
    sent: Mutex<HashMap<(Iccid, String), Timestamp>>,
}

/// A request before it is signed.
struct Request<'a> {
    purpose: Purpose,
    method: Method,
    path: String,
    query: Vec<(&'a str, String)>,
    body: Option<Map<String, Value>>,
}

impl CubeV4 {
    /// A client with these settings.
    pub fn new(ctx: Ctx, settings: CubeSettings) -> Result<Self, SetupError> {
        let signer = Signer::new(ctx.clone(), &settings.key_id, &settings.private_key)?;
        let http = Http::new(ctx.clone(), &settings.endpoint, vec![settings.private_key])?;
        Ok(Self {
            ctx,
            http,
            signer,
            api_version: settings.api_version,
            suspend_unconfirmed: settings.suspend_unconfirmed,
            notifications: settings.notifications,
            sent: Mutex::default(),
        })
    }

    /// Signs a request and sends it once.
    async fn send(&self, request: Request<'_>) -> Result<Answer, Missed> {
        let timestamp = self.ctx.now().as_millis().to_string();
        let nonce = u32::from_be_bytes(self.ctx.random()).to_string();
        let signed_path = format!("{}{}", self.http.base_path(), request.path);
        let body = request.body.as_ref();
        let text = canonical(&signed_path, &request.query, body, &timestamp, &nonce);
        let signed = self.signer.authorization(&text);
        let authorization = signed.map_err(|error| Missed::NotSent {
            after: Span::minutes(1),
            message: format!("cannot sign: {error}"),
        })?;
        let mut headers = vec![
            ("authorization", authorization),
            ("timestamp", timestamp),
            ("nonce", nonce),
            ("x-lf-signature-type", "2.0".to_owned()),
        ];
        headers.extend(self.api_version.clone().map(|version| ("x-lf-api-version", version)));
        let mut path = request.path;
        if !request.query.is_empty() {
            let mut query = form_urlencoded::Serializer::new(String::new());
            path = format!("{path}?{}", query.extend_pairs(request.query).finish());
        }
        // The members that were signed, written once.
        let body = request.body.map(|body| Value::Object(body).to_string());
        let (purpose, method) = (request.purpose, request.method);
        self.http.call(Call { purpose, method, path, headers, body }).await
    }

    /// Asks a question.
    async fn ask(&self, path: &str, query: Vec<(&str, String)>) -> Result<Envelope, QueryError> {
        let (purpose, method) = (Purpose::Question, Method::GET);
        let path = path.to_owned();
        let answer = self.send(Request { purpose, method, path, query, body: None }).await?;
        let envelope = Envelope::read(&answer);
        let envelope = envelope.ok_or_else(|| QueryError { message: answer.said() })?;
        match class(&envelope.code) {
            Class::Success => Ok(envelope),
            _ => Err(QueryError { message: envelope.said }),
        }
    }

    /// Asks for a change to a SIM.
    async fn change(&self, path: String, body: Option<Value>) -> Result<Accepted, ControlError> {
        let body = body.and_then(|body| body.as_object().cloned());
        let (purpose, method) = (Purpose::Change, Method::PUT);
        let request = Request { purpose, method, path, query: Vec::new(), body };
        let answer = self.send(request).await?;
        match Envelope::read(&answer) {
            Some(envelope) if class(&envelope.code) == Class::AlreadySo => {
                Ok(Accepted { request_id: None, said: envelope.said })
            }
            _ => {
                let Envelope { data, said, .. } = taken(&answer)?;
                let request_id = tolerant::text(&data, &["request_id"]);
                Ok(Accepted { request_id, said })
            }
        }
    }

    /// Every bundle of a SIM, in every state.
    async fn bundles(&self, iccid: &Iccid) -> Result<Vec<Value>, QueryError> {
        let path = format!("/sims/{}/bundles", iccid.as_str());
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let query = vec![("page_no", page.to_string()), ("page_size", PAGE_SIZE.to_string())];
            let envelope = self.ask(&path, query).await?;
            let bundles = bundles::read_page(&envelope.data)?;
            let (full, empty) = (bundles.len() >= PAGE_SIZE, bundles.is_empty());
            all.extend(bundles);
            let total = envelope.total.and_then(|total| usize::try_from(total).ok());
            let more = total.map_or(full, |total| total > all.len());
            if !more {
                return Ok(all);
            }
            if empty {
                return Err(unreadable("fewer bundles than announced"));
            }
        }
        Err(unreadable("too many bundles"))
    }

    async fn marks(&self, iccid: &Iccid) -> Result<Vec<Mark>, QueryError> {
        Ok(self.bundles(iccid).await?.iter().map(bundles::mark).collect())
    }

    /// Keeps two like orders apart: within ten seconds Cube takes them for one.
    fn keep_apart(&self, line: &Line) -> Result<(), SubmitError> {
        let now = self.ctx.now();
        // The map is valid between any two statements that change it.
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|_, at| (Span::micros(0)..LIKE_ORDERS_APART).contains(&now.since(*at)));
        let wanted = (line.iccid.clone(), line.product.clone());
        if sent.contains_key(&wanted) {
            let message = "a like order was sent within eleven seconds".to_owned();
            return Err(SubmitError::RetryLater { after: LIKE_ORDERS_APART, message });
        }
        sent.insert(wanted, now);
        Ok(())
    }

    /// What Cube says of an order. None of it means that it is done.
    async fn order_said(&self, upstream_id: &str) -> Result<String, QueryError> {
        let path = format!("/orders/{}/service", path_id(upstream_id)?);
        let envelope = self.ask(&path, Vec::new()).await?;
        let status = tolerant::text(&envelope.data, &["status"]).unwrap_or_default();
        let abnormal = tolerant::list(&envelope.data, "abnormal").len();
        Ok(format!("{}; order status {status}, {abnormal} abnormal", envelope.said))
    }
}

/// An id that may stand in a path.
fn path_id(id: &str) -> Result<&str, QueryError> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain && !id.is_empty() {
        Ok(id)
    } else {
        Err(QueryError { message: "the id has characters that no id of Cube has".to_owned() })
    }
}

#[async_trait]
impl Carrier for CubeV4 {
    fn capabilities(&self) -> Capabilities {
        const FEATURES: &[Feature] = &[
            Feature::Snapshot,
            Feature::Resume,
            Feature::CancelPlan,
            Feature::AsyncResult,
            Feature::Webhooks,
            Feature::Plans,
            Feature::Suspend,
        ];
        let count = if self.suspend_unconfirmed { FEATURES.len() } else { FEATURES.len() - 1 };
        Capabilities {
            idempotency: Idempotency::None,
            features: &FEATURES[..count],
            periods_max: 100,
            key_chars_max: 50,
            deadline: Span::minutes(120),
            fresh_for: Span::minutes(20),
            call_max: self.http.call_max(),
            in_process: false,
        }
    }

    fn poll_pause(&self, age: Span) -> Span {
        // At three a minute one stuck order would use up most of the 5,000 questions of a day.
        match age {
            age if age < Span::minutes(1) => Span::seconds(20),
            age if age < Span::minutes(10) => Span::minutes(1),
            age if age < Span::minutes(30) => Span::minutes(5),
            _ => Span::minutes(15),
        }
    }

    async fn check(&self) -> Result<String, QueryError> {
        let one = ["category", "status", "page_no", "page_size"].map(|name| (name, "1".to_owned()));
        Ok(self.ask("/skus", one.to_vec()).await?.said)
    }

    async fn list_products(&self, cursor: Option<&str>) -> Result<Products, QueryError> {
        let page: usize = cursor.unwrap_or("1").parse().map_err(|_| unreadable("the cursor"))?;
        let query = vec![
            ("category", "1".to_owned()),
            ("status", "1".to_owned()),
            ("page_no", page.to_string()),
            ("page_size", PAGE_SIZE.to_string()),
        ];
        let envelope = self.ask("/skus", query).await?;
        let skus = envelope.data.as_array().ok_or_else(|| unreadable("a list of products"))?;
        let next = (skus.len() >= PAGE_SIZE).then(|| (page + 1).to_string());
        Ok(Products { products: skus.iter().filter_map(bundles::product).collect(), next })
    }

    async fn snapshot(&self, line: &Line) -> Result<Snapshot, QueryError> {
        Ok(Evidence::new(NAME, self.marks(&line.iccid).await?).to_snapshot())
    }

    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError> {
        self.capabilities().check(key, line)?;
        self.keep_apart(line)?;
        // One SIM per order: of several, Cube may drop some and not say which. The names inside of `items`
        // come sorted, so that it does not matter whether Cube sorts them before it checks the signature.
        let body = json!({
            "extra": { "po": key },
            "items": [{
                "id": line.product,
                "quantity": line.periods,
                "sim_ids": [line.iccid.as_str()],
            }],
        });
        let (purpose, method) = (Purpose::Change, Method::POST);
        let (path, query) = ("/orders/service".to_owned(), Vec::new());
        let body = body.as_object().cloned();
        let answer = self.send(Request { purpose, method, path, query, body }).await?;
        let Envelope { data, said, .. } = taken(&answer)?;
        let Some(upstream_id) = tolerant::text(&data, &["order_id", "id"]) else {
            let message = format!("{said}, without an order id");
            return Err(SubmitError::Ambiguous { message });
        };
        Ok(Submitted { upstream_id, state: UpstreamState::Pending, said })
    }

    async fn find_by_key(
        &self,
        _key: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError> {
        let Some(before) = Evidence::read(snapshot, NAME) else {
            let message = "what was on the SIM before the order was not read".to_owned();
            return Ok(Lookup::CannotTell { message });
        };
        let now = self.marks(&line.iccid).await?;
        let Some(bundle) = before.grown(&now) else {
            let message = "no new bundle on the SIM, which may still come".to_owned();
            return Ok(Lookup::CannotTell { message });
        };
        Ok(Lookup::Found(Submitted {
            // Cube's id of the order went lost with its answer.
            upstream_id: format!("bundle-{bundle}"),
            state: UpstreamState::Done,
            said: format!("bundle {bundle} is new on the SIM"),
        }))
    }

    async fn get_order(
        &self,
        upstream_id: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Submitted, QueryError> {
        let upstream_id = upstream_id.to_owned();
        if let Some(before) = Evidence::read(snapshot, NAME) {
            let now = self.marks(&line.iccid).await?;
            if let Some(bundle) = before.grown(&now) {
                let said = format!("bundle {bundle} is new on the SIM");
                return Ok(Submitted { upstream_id, state: UpstreamState::Done, said });
            }
        }
        // Its states are not published: whatever it says, only a new bundle is the end.
        let said = self.order_said(&upstream_id).await?;
        Ok(Submitted { upstream_id, state: UpstreamState::Pending, said })
    }

    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        let envelope = self.ask(&format!("/sims/{}", iccid.as_str()), Vec::new()).await?;
        let status = tolerant::text(&envelope.data, &["status"]);
        let said = status.ok_or_else(|| unreadable("the SIM's status"))?;
        Ok(CarrierSim { state: bundles::sim_state(&envelope.data), said })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        Ok(self.bundles(iccid).await?.iter().map(bundles::plan).collect())
    }

    async fn get_usage(&self, iccid: &Iccid, range: UsageRange) -> Result<Usage, QueryError> {
        let query = vec![
            ("category", "data".to_owned()),
            ("period_type", "1".to_owned()),
            ("begin_from", range.from.date(&Zone::UTC)),
            ("end_by", range.to.date(&Zone::UTC)),
        ];
        let envelope = self.ask(&format!("/sims/{}/usage", iccid.as_str()), query).await?;
        bundles::usage(&envelope.data)
    }

    async fn suspend(&self, iccid: &Iccid) -> Result<Accepted, ControlError> {
        if !self.suspend_unconfirmed {
            return Err(ControlError::Unsupported);
        }
        self.change(format!("/sims/{}/suspend", iccid.as_str()), None).await
    }

    async fn resume(&self, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change(format!("/sims/{}/resume", iccid.as_str()), None).await
    }

    async fn cancel_plan(
        &self,
        iccid: &Iccid,
        _plan: &str,
        upstream_id: &str,
    ) -> Result<Accepted, ControlError> {
        // Without an order all plans of the SIM would end.
        if !upstream_id.starts_with("OL-") {
            let message = "Cube ends a plan by the id of its order, which is not known".to_owned();
            return Err(ControlError::Refused { code: "ORDER_UNKNOWN".to_owned(), message });
        }
        let body = json!({ "keep_alive": true, "order_id": upstream_id });
        self.change(format!("/sims/{}/cancel", iccid.as_str()), Some(body)).await
    }

    async fn get_async(&self, request_id: &str) -> Result<AsyncState, QueryError> {
        let path = format!("/sims/async_result/{}", path_id(request_id)?);
        let envelope = self.ask(&path, Vec::new()).await?;
        // Its form is not published.
        let said = crate::secret::words(&format!("{} {}", envelope.said, envelope.data));
        Ok(AsyncState::Unclear { said })
    }

    fn parse_webhook(
        &self,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<WebhookHint, WebhookError> {
        notification::read(self.notifications.as_ref(), headers, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_are_plain() {
        assert!(path_id("OL-6XB9I9XX8QNR").is_ok());
        for bad in ["", "../sims", "a/b", "a?b", "a b", "é"] {
            assert!(path_id(bad).is_err(), "{bad}");
        }
    }
}
