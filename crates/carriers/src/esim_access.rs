//! eSIM Access: top-ups by ICCID under our own transaction id. The same id twice is the same order, so that an
//! order whose fate is unknown is simply sent again. May touch the network.

mod codes;
mod profiles;

use async_trait::async_trait;
use domain::{Ctx, Iccid, Span};
use reqwest::Method;
use serde_json::{Value, json};

use crate::evidence::{Evidence, Mark};
use crate::http::{Answer, Call, Http, Missed};
use crate::limits::Purpose;
use crate::{
    Accepted, Capabilities, Carrier, CarrierPlan, CarrierSim, ControlError, Endpoint, Feature,
    Headers, Idempotency, Limits, Line, Lookup, Products, QueryError, Secret, SetupError, Snapshot,
    SubmitError, Submitted, UpstreamState, Usage, UsageRange, WebhookError, WebhookHint, tolerant,
};
use codes::{Class, Envelope, signature, taken};
use profiles::unreadable;

/// The name in snapshots.
const NAME: &str = "esim_access";
/// Profiles of one answer; a question by ICCID or order gives few.
const PAGE_SIZE: u32 = 50;
/// The code of an order that does not exist.
const NO_SUCH_ORDER: &str = "310272";

/// How eSIM Access is reached.
#[derive(Debug, Clone)]
pub struct EsimAccessSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The account's access code.
    pub access_code: Secret,
    /// The key that signs; without it the access code alone is sent.
    pub secret_key: Option<Secret>,
}

impl EsimAccessSettings {
    /// The published address and limit, with these keys.
    pub fn new(access_code: Secret, secret_key: Option<Secret>) -> Self {
        let limits = Limits {
            starts_per_second: 8,
            in_flight: 8,
            calls_per_day: None,
            wait_max: Span::seconds(3),
        };
        let base = "https://api.esimaccess.com/api/v1/open".to_owned();
        let endpoint = Endpoint { base, call_max: Span::seconds(20), limits };
        Self { endpoint, access_code, secret_key }
    }
}

/// The network behind eSIM Access.
#[derive(Debug)]
pub struct EsimAccess {
    ctx: Ctx,
    http: Http,
    access_code: Secret,
    secret_key: Option<Secret>,
}

impl EsimAccess {
    /// A client with these settings.
    pub fn new(ctx: Ctx, settings: EsimAccessSettings) -> Result<Self, SetupError> {
        let EsimAccessSettings { endpoint, access_code, secret_key } = settings;
        let secrets = [Some(access_code.clone()), secret_key.clone()];
        let http = Http::new(ctx.clone(), &endpoint, secrets.into_iter().flatten().collect())?;
        Ok(Self { ctx, http, access_code, secret_key })
    }

    /// Signs a call and sends it once. Every call is a POST.
    async fn send(&self, purpose: Purpose, path: &str, body: &Value) -> Result<Answer, Missed> {
        let body = body.to_string();
        let mut headers = vec![("rt-accesscode", self.access_code.reveal().to_owned())];
        if let Some(secret) = &self.secret_key {
            let timestamp = self.ctx.now().as_millis().to_string();
            let request_id = hex::encode(self.ctx.random::<16>());
            let code = self.access_code.reveal();
            let signed = signature(secret.reveal(), &timestamp, &request_id, code, &body);
            headers.push(("rt-timestamp", timestamp));
            headers.push(("rt-requestid", request_id));
            headers.push(("rt-signature", signed));
        }
        let (method, path) = (Method::POST, path.to_owned());
        self.http.call(Call { purpose, method, path, headers, body: Some(body) }).await
    }

    /// Asks a question; the answer may be a refusal.
    async fn ask(&self, path: &str, body: &Value) -> Result<Envelope, QueryError> {
        let answer = self.send(Purpose::Question, path, body).await?;
        Envelope::read(&answer).ok_or_else(|| QueryError { message: answer.said() })
    }

    /// Asks a question whose answer is needed.
    async fn ask_for(&self, path: &str, body: &Value) -> Result<Value, QueryError> {
        let envelope = self.ask(path, body).await?;
        match envelope.class {
            Class::Success => Ok(envelope.obj),
            _ => Err(QueryError { message: envelope.said }),
        }
    }

    /// The profiles of a SIM: one, but for numbers that were used twice.
    async fn profiles(&self, iccid: &Iccid) -> Result<Vec<Value>, QueryError> {
        let pager = json!({ "pageNum": 1, "pageSize": PAGE_SIZE });
        let body = json!({ "iccid": iccid.as_str(), "pager": pager });
        let obj = self.ask_for("/esim/query", &body).await?;
        Ok(profiles::read_list(&obj)?.to_vec())
    }

    async fn profile(&self, iccid: &Iccid) -> Result<Value, QueryError> {
        let none = || QueryError { message: "eSIM Access has no such SIM".to_owned() };
        self.profiles(iccid).await?.into_iter().next_back().ok_or_else(none)
    }

    async fn change(&self, path: &str, iccid: &Iccid) -> Result<Accepted, ControlError> {
        let body = json!({ "iccid": iccid.as_str() });
        let answer = self.send(Purpose::Change, path, &body).await?;
        Ok(Accepted { request_id: None, said: taken(&answer)?.said })
    }
}

fn marks(profiles: &[Value]) -> Vec<Mark> {
    profiles.iter().flat_map(profiles::marks).collect()
}

/// What shows on the SIM that an order was carried out.
fn evidence(key: &str, profiles: &[Value], snapshot: &Snapshot) -> Option<String> {
    if profiles.iter().any(|profile| profiles::is_of_key(profile, key)) {
        return Some("the transaction is on the SIM".to_owned());
    }
    let now = marks(profiles);
    let grown = Evidence::read(snapshot, NAME)?.grown(&now)?.to_owned();
    Some(format!("profile {grown} has grown"))
}

#[async_trait]
impl Carrier for EsimAccess {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            idempotency: Idempotency::Native,
            features: &[Feature::Snapshot, Feature::Suspend, Feature::Resume, Feature::Webhooks],
            // A top-up is one package; a second one would need a key of its own.
            periods_max: 1,
            key_chars_max: 50,
            // What it has taken it does in the end, some in tens of minutes: a person need not be asked sooner.
            deadline: Span::minutes(60),
            fresh_for: Span::minutes(5),
            call_max: self.http.call_max(),
            in_process: false,
        }
    }

    async fn check(&self) -> Result<String, QueryError> {
        let obj = self.ask_for("/balance/query", &json!({})).await?;
        tolerant::number(&obj, &["balance"]).ok_or_else(|| unreadable("the balance"))?;
        Ok("success".to_owned())
    }

    async fn list_products(&self, _cursor: Option<&str>) -> Result<Products, QueryError> {
        // What is sold here goes onto SIMs that are there already.
        let obj = self.ask_for("/package/list", &json!({ "type": "TOPUP" })).await?;
        let list = obj.get("packageList").and_then(Value::as_array);
        let list = list.ok_or_else(|| unreadable("a list of packages"))?;
        Ok(Products { products: list.iter().filter_map(profiles::product).collect(), next: None })
    }

    async fn snapshot(&self, line: &Line) -> Result<Snapshot, QueryError> {
        Ok(Evidence::new(NAME, marks(&self.profiles(&line.iccid).await?)).to_snapshot())
    }

    async fn submit(&self, key: &str, line: &Line) -> Result<Submitted, SubmitError> {
        self.capabilities().check(key, line)?;
        let body = json!({
            "iccid": line.iccid.as_str(),
            "packageCode": line.product,
            "transactionId": key,
        });
        let answer = self.send(Purpose::Change, "/esim/topup", &body).await?;
        let Envelope { obj, said, .. } = taken(&answer)?;
        // The published answer has the new totals of the SIM: then the plan is on it. Otherwise ask.
        let same_sim = tolerant::text(&obj, &["iccid"]).as_deref() == Some(line.iccid.as_str());
        let done = same_sim && tolerant::count(&obj, &["totalVolume"]).is_some();
        let state = if done { UpstreamState::Done } else { UpstreamState::Pending };
        let upstream_id = tolerant::text(&obj, &["orderNo", "topUpEsimTranNo"]);
        Ok(Submitted { upstream_id: upstream_id.unwrap_or_else(|| key.to_owned()), state, said })
    }

    async fn find_by_key(
        &self,
        key: &str,
        line: &Line,
        snapshot: &Snapshot,
    ) -> Result<Lookup, QueryError> {
        let profiles = self.profiles(&line.iccid).await?;
        Ok(match evidence(key, &profiles, snapshot) {
            Some(said) => Lookup::Found(Submitted {
                upstream_id: key.to_owned(),
                state: UpstreamState::Done,
                said,
            }),
            None => Lookup::NotFound,
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
        let pager = json!({ "pageNum": 1, "pageSize": PAGE_SIZE });
        let by_order = json!({ "orderNo": upstream_id, "pager": pager });
        let envelope = self.ask("/esim/query", &by_order).await?;
        match envelope.class {
            Class::Success => {
                let of_sim = profiles::read_list(&envelope.obj)?.iter().find(|profile| {
                    tolerant::text(profile, &["iccid"]).as_deref() == Some(line.iccid.as_str())
                });
                if let Some(profile) = of_sim {
                    let status = profiles::status(profile);
                    let done = matches!(status.as_str(), "GOT_RESOURCE" | "IN_USE");
                    let state = if done { UpstreamState::Done } else { UpstreamState::Pending };
                    return submitted(state, status);
                }
            }
            Class::Working => return submitted(UpstreamState::Pending, envelope.said),
            // A top-up has no order of its own.
            Class::Permanent if envelope.code == NO_SUCH_ORDER => {}
            _ => return Err(QueryError { message: envelope.said }),
        }
        let profiles = self.profiles(&line.iccid).await?;
        match evidence(upstream_id, &profiles, snapshot) {
            Some(said) => submitted(UpstreamState::Done, said),
            None => submitted(UpstreamState::Pending, "nothing new on the SIM".to_owned()),
        }
    }

    async fn get_sim(&self, iccid: &Iccid) -> Result<CarrierSim, QueryError> {
        let said = profiles::status(&self.profile(iccid).await?);
        Ok(CarrierSim { state: profiles::sim_state(&said), said })
    }

    async fn list_plans(&self, iccid: &Iccid) -> Result<Vec<CarrierPlan>, QueryError> {
        Ok(self.profiles(iccid).await?.iter().map(profiles::plan).collect())
    }

    async fn get_usage(&self, iccid: &Iccid, _range: UsageRange) -> Result<Usage, QueryError> {
        let number = tolerant::text(&self.profile(iccid).await?, &["esimTranNo"]);
        let number = number.ok_or_else(|| unreadable("the profile's number"))?;
        let body = json!({ "esimTranNoList": [number] });
        let obj = self.ask_for("/esim/usage/query", &body).await?;
        let of_sim = |row: &&Value| tolerant::text(row, &["esimTranNo"]).as_ref() == Some(&number);
        let row = tolerant::list(&obj, "esimUsageList").iter().find(of_sim);
        let row = row.ok_or_else(|| unreadable("usage"))?;
        let used = tolerant::count(row, &["dataUsage"]).ok_or_else(|| unreadable("bytes used"))?;
        let as_of = tolerant::time(row, &["lastUpdateTime"]);
        let total = tolerant::allowance(row, &["totalData"]);
        Ok(Usage { used, total, as_of, periods: Vec::new() })
    }

    async fn suspend(&self, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change("/esim/suspend", iccid).await
    }

    async fn resume(&self, iccid: &Iccid) -> Result<Accepted, ControlError> {
        self.change("/esim/unsuspend", iccid).await
    }

    fn parse_webhook(
        &self,
        _headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<WebhookHint, WebhookError> {
        profiles::webhook(body)
    }
}
