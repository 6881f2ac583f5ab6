//! eSIM Go v2.5: an API key, no reference of the caller's and no idempotency, so that after a lost reply only
//! looking helps. Touches nothing.

use domain::{Iccid, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::dice::Dice;
use crate::exchange::{Answer, Request};
use crate::face::{Asked, Bundles, Face, Refused, Webhook, What};
use crate::faults::{Drawn, FaultKind};
use crate::journal::Action;
use crate::network::{Event, Line, Network, NewOrder, Notice, Order, Placed, Sameness};
use crate::sim::{self, BundleState, PRODUCTS, View};

/// Where the paths begin.
pub(crate) const PREFIX: &str = "/v2.5";
/// The most SIMs of an order.
const SIMS_MAX: usize = 100;
/// How many bundles of an eSIM are shown unless told, and at most (published).
const BUNDLES_SHOWN: usize = 15;
const BUNDLES_SHOWN_MAX: usize = 200;
/// The most rows of a list of orders.
const ORDERS_SHOWN_MAX: usize = 100;

/// The protocol.
#[derive(Debug, Default)]
pub(crate) struct EsimGo {
    key: Option<String>,
}

impl EsimGo {
    pub(crate) fn new(key: Option<String>) -> Self {
        Self { key }
    }
}

fn message(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({ "message": text }))
}

fn refused(status: u16, text: &str) -> Refused {
    Refused { why: text.to_owned(), answer: message(status, text) }
}

impl Face for EsimGo {
    fn read(&self, request: &Request, _real_now: Timestamp) -> Result<Asked, Answer> {
        let given = request.header("x-api-key").filter(|key| !key.is_empty());
        if given.is_none() || self.key.as_deref().is_some_and(|key| given != Some(key)) {
            return Err(message(403, "access denied: X-API-Key is missing or wrong"));
        }
        let path = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let places: Vec<&str> = path.split('/').skip(1).collect();
        let what = match (request.method.as_str(), places.as_slice()) {
            ("GET", ["catalogue"]) => What::Products,
            ("POST", ["orders"]) => return read_order(request),
            ("GET", ["orders"]) => What::ListOrders,
            ("GET", ["orders", reference]) => What::GetOrder((*reference).to_owned()),
            ("GET", ["esims", iccid]) => What::Sim(read_sim(iccid)?),
            ("GET", ["esims", iccid, "bundles"]) => read_bundles(request, iccid, None)?,
            ("GET", ["esims", iccid, "bundles", name]) => read_bundles(request, iccid, Some(name))?,
            ("DELETE", ["esims", iccid, "bundles", name]) => revoke(iccid, name)?,
            ("DELETE", ["esims", iccid, "bundles", _, "assignments", id]) => revoke(iccid, id)?,
            _ => return Err(message(404, "no such call")),
        };
        Ok(Asked { subject: format!("{} {}", request.method, request.path), what })
    }

    fn perform(
        &self,
        what: &What,
        network: &mut Network,
        drawn: &Drawn<'_>,
    ) -> Result<Answer, Refused> {
        match what {
            What::Products => Ok(products()),
            What::Quote(lines) => quote(lines),
            What::Order(new) => order(new, network, drawn),
            What::GetOrder(id) => {
                let order = network.order_by_id(id).ok_or_else(|| refused(404, "no such order"))?;
                Ok(Answer::json(200, &order_record(order)))
            }
            What::ListOrders => {
                let newest = network.orders.iter().rev().take(ORDERS_SHOWN_MAX);
                let rows: Vec<Value> = newest.map(order_record).collect();
                Ok(Answer::json(200, &json!(rows)))
            }
            What::Sim(iccid) => Ok(Answer::json(
                200,
                &json!({
                    "iccid": iccid,
                    "matchingId": matching_id(network.dice, iccid),
                    "smdpAddress": "smdp.simulator.invalid",
                    "profileStatus": "Installed",
                }),
            )),
            What::Bundles(asked) => list(asked, network),
            What::Operate { iccid, action, target } => {
                let name = target.clone().unwrap_or_default();
                take_off(iccid, *action, &name, network)
            }
            // Nothing is read as one of these.
            What::Usage { .. } | What::Result(_) | What::Balance | What::Group { .. } => {
                Err(refused(404, "not a call of this protocol"))
            }
        }
    }

    fn refuse(&self, kind: FaultKind, seconds: u32) -> Answer {
        match kind {
            FaultKind::PendingOperation => {
                message(503, "still working").with_header("retry-after", &seconds.to_string())
            }
            FaultKind::Refuse => message(400, "the bundle does not fit the eSIM"),
            _ => message(500, "internal error"),
        }
    }

    fn notify(&self, notice: &Notice, network: &Network) -> Option<Webhook> {
        if notice.event == Event::Accepted {
            return None;
        }
        let order = network.orders.get(notice.order)?;
        let line = &order.parts.get(notice.part)?.line;
        let sim = network.sim(&line.iccid);
        let views = sim.views(network.now);
        let view = views.iter().find(|view| view.bundle.order_id == order.id)?;
        let body = json!({
            "iccid": line.iccid,
            "alertType": "Utilisation",
            "bundle": assignment(view),
        });
        let webhook = Webhook::json(&body);
        let key = self.key.as_deref().unwrap_or_default();
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
        mac.update(&webhook.body);
        let signature = hex::encode(mac.finalize().into_bytes());
        Some(webhook.with_header("x-signature-sha256", &signature))
    }
}

fn read_sim(text: &str) -> Result<String, Answer> {
    let parsed = text.parse::<Iccid>().map(|iccid| iccid.as_str().to_owned());
    parsed.map_err(|_| message(400, "no such eSIM"))
}

fn read_bundles(request: &Request, iccid: &str, name: Option<&str>) -> Result<What, Answer> {
    let iccid = read_sim(iccid)?;
    let limit = match request.parameter("limit") {
        None => Some(BUNDLES_SHOWN),
        Some(text) => text.parse().ok().filter(|limit| (1..=BUNDLES_SHOWN_MAX).contains(limit)),
    };
    let page_size = limit.ok_or_else(|| message(400, "limit is from 1 to 200"))?;
    let with_used = request.parameter("includeUsed").as_deref() == Some("true");
    let filter = name.map(str::to_owned);
    Ok(What::Bundles(Bundles { iccid, filter, with_used, page: 1, page_size }))
}

fn revoke(iccid: &str, name: &str) -> Result<What, Answer> {
    let target = Some(name.to_owned());
    Ok(What::Operate { iccid: read_sim(iccid)?, action: Action::Revoke, target })
}

fn read_order(request: &Request) -> Result<Asked, Answer> {
    let body = request.json().ok_or_else(|| message(400, "the body is not JSON"))?;
    let items = body["order"].as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| message(400, "order is missing"))?;
    if body["assign"] != json!(true) {
        return Err(message(400, "only orders with assign:true are played"));
    }
    let mut lines = Vec::new();
    for item in items {
        let product = item["item"].as_str().ok_or_else(|| message(400, "item is missing"))?;
        let iccids = item["iccids"].as_array().filter(|iccids| !iccids.is_empty());
        let iccids = iccids.ok_or_else(|| message(400, "only orders with iccids are played"))?;
        if item["quantity"].as_u64() != u64::try_from(iccids.len()).ok() {
            return Err(message(400, "there must be as many iccids as quantity says"));
        }
        for iccid in iccids {
            let iccid = read_sim(iccid.as_str().unwrap_or_default())?;
            lines.push(Line { iccid, product: product.to_owned(), quantity: 1 });
        }
    }
    if lines.len() > SIMS_MAX {
        return Err(message(400, "an order has at most 100 eSIMs"));
    }
    let about: Vec<String> =
        lines.iter().map(|line| format!("{} {}", line.iccid, line.product)).collect();
    let about = about.join(" ");
    match body["type"].as_str() {
        Some("validate") => {
            Ok(Asked { subject: format!("quote {about}"), what: What::Quote(lines) })
        }
        Some("transaction") => {
            let (reference, sameness) = (None, Sameness::Never);
            let what = What::Order(NewOrder { reference, lines, sameness, make_id });
            Ok(Asked { subject: format!("order {about}"), what })
        }
        _ => Err(message(400, "type is validate or transaction")),
    }
}

fn make_id(dice: Dice, subject: &str, number: u64) -> String {
    dice.uuid(&["esim go order", subject], number)
}

fn matching_id(dice: Dice, iccid: &str) -> String {
    dice.letters(16, &["matching", iccid], 0)
}

/// What lines cost in all, in cents.
fn total(lines: &[Line]) -> Result<u64, Refused> {
    let prices = lines.iter().map(|line| sim::product(&line.product));
    let prices: Option<Vec<u64>> =
        prices.map(|product| product.map(|product| product.price_minor)).collect();
    prices.map(|prices| prices.iter().sum()).ok_or_else(|| refused(400, "no such bundle"))
}

fn quote(lines: &[Line]) -> Result<Answer, Refused> {
    let total = total(lines)?;
    Ok(Answer::json(200, &json!({"valid": true, "total": total / 100, "currency": "USD"})))
}

fn order(new: &NewOrder, network: &mut Network, drawn: &Drawn<'_>) -> Result<Answer, Refused> {
    total(&new.lines)?;
    let (Placed::New(place) | Placed::Repeat(place)) = network.place(new, drawn) else {
        return Err(refused(400, "another order has this reference"));
    };
    Ok(Answer::json(200, &order_record(&network.orders[place])))
}

fn order_record(order: &Order) -> Value {
    let lines: Vec<Line> = order.parts.iter().map(|part| part.line.clone()).collect();
    let items: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "type": "bundle",
                "item": line.product,
                "quantity": line.quantity,
                "esims": [{"iccid": line.iccid}],
            })
        })
        .collect();
    json!({
        "order": items,
        "total": total(&lines).map_or(0, |cents| cents / 100),
        "currency": "USD",
        "status": "completed",
        "statusMessage": format!("Order completed: {} eSIMs assigned", lines.len()),
        "orderReference": order.id,
        "createdDate": order.made_at.rfc3339(),
        "assigned": true,
    })
}

fn products() -> Answer {
    let bundles = PRODUCTS.map(|product| {
        json!({
            "name": product.id,
            "description": product.name,
            "dataAmount": product.bytes >> 20,
            "duration": product.days,
            "price": product.price_minor / 100,
        })
    });
    let rows = bundles.len();
    Answer::json(200, &json!({"bundles": bundles, "pageCount": 1, "rows": rows, "pageSize": rows}))
}

fn assignment(view: &View<'_>) -> Value {
    let state = match view.state {
        BundleState::Queued => "queued",
        BundleState::Active | BundleState::Paused if view.used_bytes >= view.limit_bytes => {
            "depleted"
        }
        BundleState::Active | BundleState::Paused => "active",
        BundleState::Expired => "expired",
        BundleState::Revoked => "revoked",
    };
    json!({
        "id": view.bundle.id,
        "name": view.bundle.product,
        "callTypeGroup": "data",
        "initialQuantity": view.limit_bytes,
        "remainingQuantity": view.limit_bytes - view.used_bytes,
        "startTime": view.start_at.rfc3339(),
        "endTime": view.end_at.rfc3339(),
        "assignmentDateTime": view.bundle.added_at.rfc3339(),
        "assignmentReference": format!("{}-0", view.bundle.order_id),
        "bundleState": state,
        "unlimited": false,
    })
}

/// A line that is accepted and not done: a bundle that is being processed. One that failed in silence is
/// processed until it is not there.
fn processing(line: &Line, order: &Order) -> Value {
    json!({
        "name": line.product,
        "callTypeGroup": "data",
        "assignmentDateTime": order.made_at.rfc3339(),
        "assignmentReference": format!("{}-0", order.id),
        "bundleState": "processing",
        "unlimited": false,
    })
}

fn list(asked: &Bundles, network: &Network) -> Result<Answer, Refused> {
    let (iccid, name) = (asked.iccid.as_str(), asked.filter.as_deref());
    let sim = network.sim(iccid);
    let views = sim.views(network.now);
    let wanted = views.iter().filter(|view| asked.with_used || !view.is_over());
    let mut assignments: Vec<Value> = wanted.map(assignment).collect();
    for order in network.orders.iter().filter(|order| !order.is_over(network.now)) {
        let waiting = order.parts.iter().filter(|part| part.due_at > network.now);
        let waiting = waiting.filter(|part| part.line.iccid == iccid);
        assignments.extend(waiting.map(|part| processing(&part.line, order)));
    }
    // The most recent ones.
    assignments.drain(..assignments.len().saturating_sub(asked.page_size));
    let mut names: Vec<String> = Vec::new();
    for found in assignments.iter().filter_map(|row| row["name"].as_str()) {
        if !names.iter().any(|known| known == found) && name.is_none_or(|name| name == found) {
            names.push(found.to_owned());
        }
    }
    let bundle = |found: &String| {
        let of = assignments.iter().filter(|row| row["name"] == json!(found));
        json!({"name": found, "description": found, "assignments": of.collect::<Vec<_>>()})
    };
    let bundles: Vec<Value> = names.iter().map(bundle).collect();
    match (name, bundles.first()) {
        (Some(_), None) => Err(refused(404, "no such bundle on the eSIM")),
        (Some(_), Some(bundle)) => Ok(Answer::json(200, bundle)),
        (None, _) => Ok(Answer::json(200, &json!({ "bundles": bundles }))),
    }
}

/// Takes a bundle off: one assignment by its id, or the first one of a name.
fn take_off(
    iccid: &str,
    action: Action,
    name: &str,
    network: &mut Network,
) -> Result<Answer, Refused> {
    let sim = network.sim(iccid);
    let views = sim.views(network.now);
    let is_meant = |view: &&View<'_>| view.bundle.id == name || view.bundle.product == name;
    let found = views.iter().filter(|view| !view.is_over()).find(is_meant);
    let found = found.map(|view| view.bundle.id.clone());
    let target = found.ok_or_else(|| refused(404, "no such bundle on the eSIM"))?;
    network.operate(iccid, action, Some(target), None);
    Ok(Answer::json(200, &json!({"status": "Bundle revoked"})))
}
