//! eSIM Access: every call is a POST, and a `transactionId` makes a top-up happen once. Its numbers of errors
//! and the details of its records are chosen where no published page was at hand. Touches nothing.

use domain::{Iccid, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::dice::Dice;
use crate::exchange::{Answer, Request};
use crate::face::{Asked, Bundles, Face, Refused, Webhook, What};
use crate::faults::{Drawn, FaultKind};
use crate::journal::Action;
use crate::network::{Event, Line, Network, NewOrder, Notice, Placed, Sameness};
use crate::sim::{self, PRODUCTS, SimState};

/// Where the paths begin.
pub(crate) const PREFIX: &str = "/api/v1/open";
/// The longest `transactionId` (published: 50 or 64).
const TRANSACTION_ID_CHARS_MAX: usize = 64;
/// A price is the amount times this (published); prices of products are in cents.
const PRICE_PER_CENT: u64 = 100;
/// The network's own number of a profile is its ICCID behind these letters.
const PROFILE: &str = "ET";
/// What the account holds, in the unit of prices.
const BALANCE: u64 = 1_000_000_000;

/// The protocol.
#[derive(Debug, Default)]
pub(crate) struct EsimAccess {
    secret: Option<String>,
}

impl EsimAccess {
    pub(crate) fn new(secret: Option<String>) -> Self {
        Self { secret }
    }

    fn check(&self, request: &Request) -> Result<(), Answer> {
        let header = |name| request.header(name).filter(|value| !value.is_empty());
        let distrust = |message| fail(200, "101003", message);
        let code = header("rt-accesscode").ok_or_else(|| distrust("RT-AccessCode is missing"))?;
        let Some(secret) = &self.secret else { return Ok(()) };
        let parts = [header("rt-timestamp"), header("rt-requestid"), header("rt-signature")];
        let [Some(time), Some(id), Some(given)] = parts else {
            return Err(distrust("RT-Timestamp, RT-RequestID or RT-Signature is missing"));
        };
        let signed = [time, id, code].concat();
        let expected = signature(secret, &[signed.as_bytes(), &request.body].concat());
        if expected == given { Ok(()) } else { Err(distrust("RT-Signature does not match")) }
    }
}

/// HMAC-SHA256 in upper-case hexadecimal digits.
fn signature(secret: &str, message: &[u8]) -> String {
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(message);
            hex::encode_upper(mac.finalize().into_bytes())
        },
    )
}

fn envelope(success: bool, code: Option<&str>, message: Option<&str>, obj: &Value) -> Value {
    json!({"success": success, "errorCode": code, "errorMsg": message, "obj": obj})
}

fn ok(obj: &Value) -> Answer {
    Answer::json(200, &envelope(true, None, None, obj))
}

fn fail(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &envelope(false, Some(code), Some(message), &Value::Null))
}

fn refused(code: &str, message: &str) -> Refused {
    Refused { why: code.to_owned(), answer: fail(200, code, message) }
}

impl Face for EsimAccess {
    fn read(&self, request: &Request, _real_now: Timestamp) -> Result<Asked, Answer> {
        self.check(request)?;
        let call = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let body = request.json().ok_or_else(|| fail(200, "000104", "the body is not JSON"))?;
        if request.method != "POST" {
            return Err(fail(405, "000105", "every call is a POST"));
        }
        let what = match call {
            "/package/list" => What::Products,
            "/esim/topup" => return read_top_up(&body),
            "/esim/query" => read_query(&body)?,
            "/esim/usage/query" => {
                let profiles = body["esimTranNoList"].as_array().ok_or_else(missing_profile)?;
                let read =
                    |profile: &Value| read_profile(profile.as_str()).ok_or_else(missing_profile);
                let iccids = profiles.iter().map(read).collect::<Result<_, _>>()?;
                What::Usage { iccids, period: String::new() }
            }
            "/esim/cancel" => operate(&body, Action::Cancel)?,
            "/esim/suspend" => operate(&body, Action::Suspend)?,
            "/esim/unsuspend" => operate(&body, Action::Resume)?,
            "/esim/revoke" => operate(&body, Action::Revoke)?,
            "/balance/query" => What::Balance,
            _ => return Err(fail(404, "000105", "no such call")),
        };
        Ok(Asked { subject: format!("{call} {body}"), what })
    }

    fn perform(
        &self,
        what: &What,
        network: &mut Network,
        drawn: &Drawn<'_>,
    ) -> Result<Answer, Refused> {
        match what {
            What::Products => Ok(products()),
            What::Order(new) => top_up(new, network, drawn),
            // A top-up is no order of its own: it has no number that could be asked for.
            What::GetOrder(_) => Err(refused("310272", "no such order")),
            What::Bundles(asked) => Ok(profiles(&asked.iccid, network)),
            What::Usage { iccids, .. } => Ok(usage(iccids, network)),
            What::Operate { iccid, action, .. } => {
                network.operate(iccid, *action, None, None);
                Ok(ok(&json!({})))
            }
            What::Balance => Ok(ok(&json!({ "balance": BALANCE }))),
            // Nothing is read as one of these.
            What::Quote(_)
            | What::ListOrders
            | What::Sim(_)
            | What::Result(_)
            | What::Group { .. } => Err(refused("000105", "not a call of this protocol")),
        }
    }

    fn refuse(&self, kind: FaultKind, _seconds: u32) -> Answer {
        match kind {
            FaultKind::PendingOperation => fail(200, "900001", "busy; try again later"),
            FaultKind::Refuse => fail(200, "200002", "not allowed in the profile's status"),
            _ => fail(500, "000001", "server error"),
        }
    }

    fn notify(&self, notice: &Notice, network: &Network) -> Option<Webhook> {
        let order = network.orders.get(notice.order)?;
        let line = &order.parts.get(notice.part)?.line;
        let content = match notice.event {
            Event::Accepted => json!({
                "orderNo": order.id,
                "transactionId": order.reference,
                "orderStatus": "GOT_RESOURCE",
            }),
            Event::Done => json!({
                "orderNo": order.id,
                "transactionId": order.reference,
                "esimTranNo": format!("{PROFILE}{}", line.iccid),
                "iccid": line.iccid,
                "esimStatus": "IN_USE",
                "smdpStatus": "ENABLED",
            }),
        };
        let kind = match notice.event {
            Event::Accepted => "ORDER_STATUS",
            Event::Done => "ESIM_STATUS",
        };
        let id = network.dice.uuid(&["notify", kind, &order.id], notice.copy);
        Some(Webhook::json(&json!({"notifyType": kind, "notifyId": id, "content": content})))
    }
}

fn missing_profile() -> Answer {
    fail(200, "310272", "iccid or esimTranNo names no profile")
}

fn read_profile(number: Option<&str>) -> Option<String> {
    let iccid: Iccid = number?.strip_prefix(PROFILE)?.parse().ok()?;
    Some(iccid.as_str().to_owned())
}

fn read_iccid(body: &Value) -> Result<String, Answer> {
    let iccid = body["iccid"].as_str().and_then(|text| text.parse::<Iccid>().ok());
    let iccid = iccid.map(|iccid| iccid.as_str().to_owned());
    iccid.or_else(|| read_profile(body["esimTranNo"].as_str())).ok_or_else(missing_profile)
}

fn read_query(body: &Value) -> Result<What, Answer> {
    if let Some(order) = body["orderNo"].as_str().filter(|order| !order.is_empty()) {
        return Ok(What::GetOrder(order.to_owned()));
    }
    // All of one SIM come at once; pages are not played.
    let (iccid, filter, page, page_size) = (read_iccid(body)?, None, 1, usize::MAX);
    Ok(What::Bundles(Bundles { iccid, filter, with_used: true, page, page_size }))
}

fn operate(body: &Value, action: Action) -> Result<What, Answer> {
    Ok(What::Operate { iccid: read_iccid(body)?, action, target: None })
}

fn read_top_up(body: &Value) -> Result<Asked, Answer> {
    let iccid = read_iccid(body)?;
    let missing = |name: &str| fail(200, "000105", &format!("{name} is missing or too long"));
    let product = body["packageCode"].as_str().ok_or_else(|| missing("packageCode"))?.to_owned();
    let reference = body["transactionId"].as_str();
    let reference =
        reference.filter(|id| (1..=TRANSACTION_ID_CHARS_MAX).contains(&id.chars().count()));
    let reference = reference.ok_or_else(|| missing("transactionId"))?.to_owned();
    if let (Some(amount), Some(known)) = (body["amount"].as_u64(), sim::product(&product))
        && amount != known.price_minor * PRICE_PER_CENT
    {
        return Err(fail(200, "200005", "the amount is not the package's price"));
    }
    let subject = format!("top-up {reference}");
    let lines = vec![Line { iccid, product, quantity: 1 }];
    let (reference, sameness) = (Some(reference), Sameness::Reference);
    Ok(Asked { subject, what: What::Order(NewOrder { reference, lines, sameness, make_id }) })
}

fn make_id(dice: Dice, subject: &str, number: u64) -> String {
    format!("B{}", dice.letters(15, &["esim access order", subject], number))
}

fn top_up(new: &NewOrder, network: &mut Network, drawn: &Drawn<'_>) -> Result<Answer, Refused> {
    if new.lines.iter().any(|line| sim::product(&line.product).is_none()) {
        return Err(refused("310241", "no such package"));
    }
    let (Placed::New(place) | Placed::Repeat(place)) = network.place(new, drawn) else {
        return Err(refused("200008", "the transactionId belongs to another top-up"));
    };
    let order = &network.orders[place];
    let iccid = order.parts.first().map(|part| part.line.iccid.as_str()).unwrap_or_default();
    let sim = network.sim(iccid);
    let mut obj = json!({
        "transactionId": order.reference,
        "iccid": iccid,
        "esimTranNo": format!("{PROFILE}{iccid}"),
        "topUpEsimTranNo": order.id,
    });
    // The new totals are told when they are true.
    let views = sim.views(network.now);
    if let Some(view) = views.iter().find(|view| view.bundle.order_id == order.id) {
        obj["expiredTime"] = view.end_at.rfc3339().into();
        obj["totalVolume"] = sim.limit_bytes(network.now).into();
        obj["orderUsage"] = sim.used_bytes(network.now).into();
    }
    Ok(ok(&obj))
}

fn products() -> Answer {
    let packages = PRODUCTS.map(|product| {
        json!({
            "packageCode": product.id,
            "name": product.name,
            "price": product.price_minor * PRICE_PER_CENT,
            "currencyCode": "USD",
            "volume": product.bytes,
            "duration": product.days,
            "durationUnit": "DAY",
            "supportTopUpType": 2,
        })
    });
    ok(&json!({ "packageList": packages }))
}

fn profiles(iccid: &str, network: &Network) -> Answer {
    let pager = json!({"pageNum": 1, "pageSize": 1, "total": 1});
    ok(&json!({"esimList": [profile(iccid, network)], "pager": pager}))
}

fn profile(iccid: &str, network: &Network) -> Value {
    let sim = network.sim(iccid);
    let views = sim.views(network.now);
    let packages: Vec<Value> = views
        .iter()
        .map(|view| {
            let product = sim::product(&view.bundle.product).unwrap_or(PRODUCTS[0]);
            json!({
                "packageCode": view.bundle.product,
                "packageName": product.name,
                "duration": product.days,
                "volume": view.limit_bytes,
                "transactionId": view.bundle.reference,
                "createTime": view.bundle.added_at.rfc3339(),
                "expiredTime": view.end_at.rfc3339(),
            })
        })
        .collect();
    let status = match sim.state {
        SimState::Active => "IN_USE",
        SimState::Suspended => "SUSPENDED",
        SimState::Ended => "CANCEL",
    };
    json!({
        "esimTranNo": format!("{PROFILE}{iccid}"),
        "iccid": iccid,
        "esimStatus": status,
        "smdpStatus": "ENABLED",
        "totalVolume": sim.limit_bytes(network.now),
        "orderUsage": sim.used_bytes(network.now),
        "expiredTime": views.last().map(|view| view.end_at.rfc3339()),
        "packageList": packages,
    })
}

fn usage(iccids: &[String], network: &Network) -> Answer {
    let row = |iccid: &String| {
        let sim = network.sim(iccid);
        json!({
            "esimTranNo": format!("{PROFILE}{iccid}"),
            "dataUsage": sim.used_bytes(network.now),
            "totalData": sim.limit_bytes(network.now),
            "lastUpdateTime": network.now.rfc3339(),
        })
    };
    ok(&json!({ "esimUsageList": iccids.iter().map(row).collect::<Vec<_>>() }))
}
