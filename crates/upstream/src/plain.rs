//! A plain protocol of our own, for what no vendor's protocol has: groups. Orders are made under the caller's key, once.
//! Touches nothing.

use domain::{Iccid, Timestamp, UnknownWord};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::exchange::{Answer, Request};
use crate::face::{Asked, Bundles, Face, GroupAsk, Refused, Webhook, What};
use crate::faults::{Drawn, FaultKind};
use crate::groups::{Policy, Seen};
use crate::network::{Line, Network, NewOrder, Notice, Placed, Sameness};
use crate::sim::{self, BundleState, PRODUCTS, SimState, View};

/// Where the paths begin.
pub(crate) const PREFIX: &str = "/plain/v1";
/// The longest key and the longest name of a group.
const NAME_CHARS_MAX: usize = 64;
/// The most SIMs of a question about a group.
const SIMS_MAX: usize = 1_000;

/// The protocol.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    api_key: Option<String>,
}

impl Plain {
    pub(crate) fn new(api_key: Option<String>) -> Self {
        Self { api_key }
    }

    fn check(&self, request: &Request) -> Result<(), Answer> {
        let given = request.header("x-api-key").filter(|given| !given.is_empty());
        match (given, &self.api_key) {
            (Some(given), Some(key)) if given != key => Err(fail(401, "KEY", "not this key")),
            (Some(_), _) => Ok(()),
            (None, _) => Err(fail(401, "KEY", "x-api-key is missing")),
        }
    }
}

fn fail(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"code": code, "message": message}))
}

fn bad(message: &str) -> Answer {
    fail(400, "BAD", message)
}

fn refused(status: u16, code: &str, message: &str) -> Refused {
    Refused { why: code.to_owned(), answer: fail(status, code, message) }
}

fn name(text: &str) -> Result<String, Answer> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let fits = plain && (1..=NAME_CHARS_MAX).contains(&text.len());
    if fits { Ok(text.to_owned()) } else { Err(bad("a name has 1 to 64 letters and digits")) }
}

fn iccid(text: &str) -> Result<String, Answer> {
    let read: Result<Iccid, _> = text.parse();
    read.map(|iccid| iccid.as_str().to_owned()).map_err(|_| bad("not an ICCID"))
}

/// The caller's key is the network's id, too.
fn same_id(_: Dice, key: &str, _: u64) -> String {
    key.to_owned()
}

fn read_order(key: &str, body: &Value) -> Result<What, Answer> {
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let quantity = body["quantity"].as_u64().and_then(|number| u32::try_from(number).ok());
    let quantity = quantity.filter(|number| *number > 0);
    let quantity = quantity.ok_or_else(|| bad("quantity is a number from 1 on"))?;
    let line = Line { iccid: iccid(text("iccid"))?, product: name(text("product"))?, quantity };
    Ok(What::Order(NewOrder {
        reference: Some(name(key)?),
        lines: vec![line],
        sameness: Sameness::Reference,
        make_id: same_id,
    }))
}

fn read_group(method: &str, group: &str, rest: &[&str], request: &Request) -> Result<What, Answer> {
    let group = name(group)?;
    let body = request.json().ok_or_else(|| bad("the body is not JSON"))?;
    let ask = match (method, rest) {
        ("PUT", ["sims", sim]) => GroupAsk::Change { iccid: iccid(sim)?, joins: true },
        ("DELETE", ["sims", sim]) => GroupAsk::Change { iccid: iccid(sim)?, joins: false },
        ("POST", ["members"]) => {
            let iccids = body["iccids"].as_array().filter(|iccids| iccids.len() <= SIMS_MAX);
            let iccids = iccids.ok_or_else(|| bad("iccids is a list of at most 1000"))?;
            let read = |value: &Value| iccid(value.as_str().unwrap_or_default());
            GroupAsk::Members(iccids.iter().map(read).collect::<Result<_, _>>()?)
        }
        ("GET", ["usage"]) => {
            let from = request.parameter("from").and_then(|from| from.parse().ok());
            let from = from.ok_or_else(|| bad("from is a time in microseconds"))?;
            GroupAsk::Usage { from: Timestamp::from_micros(from) }
        }
        ("PUT", ["policy"]) => {
            let word = body["policy"].as_str().unwrap_or_default();
            let policy = UnknownWord::or_find(&Policy::ALL, Policy::word, word, "policy");
            GroupAsk::Policy(policy.map_err(|error| bad(&error.to_string()))?)
        }
        _ => return Err(fail(404, "PATH", "no such call")),
    };
    Ok(What::Group { group, ask })
}

impl Face for Plain {
    fn read(&self, request: &Request, _real_now: Timestamp) -> Result<Asked, Answer> {
        self.check(request)?;
        let method = request.method.as_str();
        let call = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let parts: Vec<&str> = call.split('/').skip(1).collect();
        let what = match (method, parts.as_slice()) {
            ("GET", ["products"]) => What::Products,
            ("PUT", ["orders", key]) => {
                let body = request.json().ok_or_else(|| bad("the body is not JSON"))?;
                read_order(key, &body)?
            }
            ("GET", ["orders", key]) => What::GetOrder(name(key)?),
            ("GET", ["sims", sim]) => What::Bundles(Bundles {
                iccid: iccid(sim)?,
                filter: None,
                with_used: true,
                page: 1,
                page_size: usize::MAX,
            }),
            (method, ["groups", group, rest @ ..]) => read_group(method, group, rest, request)?,
            _ => return Err(fail(404, "PATH", "no such call")),
        };
        Ok(Asked { subject: format!("{method} {call}"), what })
    }

    fn perform(
        &self,
        what: &What,
        network: &mut Network,
        drawn: &Drawn<'_>,
    ) -> Result<Answer, Refused> {
        match what {
            What::Products => Ok(products()),
            What::Order(new) => order(new, network, drawn),
            What::GetOrder(key) => order_state(key, network)
                .ok_or_else(|| refused(404, "UNKNOWN", "there is no such order")),
            What::Bundles(asked) => Ok(on_sim(&asked.iccid, network)),
            What::Group { group, ask } => Ok(in_group(group, ask, network, drawn)),
            // Nothing is read as one of these.
            What::Quote(_)
            | What::ListOrders
            | What::Sim(_)
            | What::Usage { .. }
            | What::Operate { .. }
            | What::Result(_)
            | What::Balance => Err(refused(404, "PATH", "not a call of this protocol")),
        }
    }

    fn refuse(&self, kind: FaultKind, seconds: u32) -> Answer {
        match kind {
            FaultKind::PendingOperation => {
                let answer = fail(409, "BUSY", "the SIM has a pending operation");
                answer.with_header("retry-after", &seconds.to_string())
            }
            FaultKind::Refuse => fail(422, "REFUSED", "not allowed for this SIM"),
            _ => fail(500, "INTERNAL", "server error"),
        }
    }

    fn notify(&self, _notice: &Notice, _network: &Network) -> Option<Webhook> {
        None
    }
}

fn products() -> Answer {
    let products = PRODUCTS.map(|product| {
        json!({"id": product.id, "name": product.name, "bytes": product.bytes, "days": product.days})
    });
    Answer::json(200, &json!({ "products": products }))
}

fn order(new: &NewOrder, network: &mut Network, drawn: &Drawn<'_>) -> Result<Answer, Refused> {
    if new.lines.iter().any(|line| sim::product(&line.product).is_none()) {
        return Err(refused(422, "PRODUCT", "there is no such product"));
    }
    let (Placed::New(place) | Placed::Repeat(place)) = network.place(new, drawn) else {
        return Err(refused(422, "KEY", "the key is another order's"));
    };
    let id = network.orders[place].id.clone();
    order_state(&id, network).ok_or_else(|| refused(500, "INTERNAL", "the order is gone"))
}

/// An order that failed in silence is never done.
fn order_state(id: &str, network: &Network) -> Option<Answer> {
    let order = network.order_by_id(id)?;
    let is_there = |line: &Line| {
        network.sim(&line.iccid).bundles.iter().any(|bundle| bundle.order_id == order.id)
    };
    let done = order.parts.iter().all(|part| is_there(&part.line));
    let state = if done { "done" } else { "pending" };
    Some(Answer::json(200, &json!({"id": order.id, "state": state})))
}

fn on_sim(iccid: &str, network: &Network) -> Answer {
    let sim = network.sim(iccid);
    let bundle = |view: &View<'_>| {
        let state = match view.state {
            BundleState::Queued => "queued",
            BundleState::Active | BundleState::Paused => "active",
            BundleState::Expired => "ended",
            BundleState::Revoked => "revoked",
        };
        json!({
            "id": view.bundle.id,
            "order": view.bundle.order_id,
            "state": state,
            "bytes": view.limit_bytes,
            "used": view.used_bytes,
            "quantity": view.bundle.quantity,
            "start_at": view.start_at.as_micros(),
            "end_at": view.end_at.as_micros(),
        })
    };
    let bundles: Vec<Value> = sim.views(network.now).iter().map(bundle).collect();
    let state = match sim.state {
        SimState::Active => "active",
        SimState::Suspended => "suspended",
        SimState::Ended => "ended",
    };
    Answer::json(200, &json!({"state": state, "bundles": bundles}))
}

fn in_group(group: &str, ask: &GroupAsk, network: &mut Network, drawn: &Drawn<'_>) -> Answer {
    let body = match ask {
        GroupAsk::Change { iccid, joins } => {
            network.change_group(group, iccid, (*joins, drawn));
            json!({"state": "accepted"})
        }
        GroupAsk::Members(iccids) => {
            let seen = |iccid: &String| match network.seen_in(group, iccid) {
                Seen::In => "in",
                Seen::Out => "out",
                Seen::Pending => "pending",
            };
            json!({"members": iccids.iter().map(seen).collect::<Vec<_>>()})
        }
        GroupAsk::Usage { from } => {
            let used = network.used_by_group(group, *from);
            json!({"used": used, "as_of": network.now.as_micros()})
        }
        GroupAsk::Policy(policy) => {
            network.set_policy(group, *policy);
            json!({"policy": network.policy(group).word()})
        }
    };
    Answer::json(200, &body)
}
