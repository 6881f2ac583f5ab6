//! LINKSFIELD Cube v4: orders are accepted and done later, SIMs fail in silence, and the same parameters
//! within 10 seconds are one order. A refusal comes with HTTP 200; whether the real one does so is not
//! published. Touches nothing.

mod answers;
mod signature;

use domain::{Iccid, Timestamp};
use rsa::PublicKey;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::exchange::{Answer, Request};
use crate::face::{Asked, Bundles, Face, Refused, Webhook, What};
use crate::faults::{Drawn, FaultKind};
use crate::journal::Action;
use crate::network::{Event, Line, Network, NewOrder, Notice, Placed, Sameness};
use crate::sim;

use answers::{fail, missing, ok, refused};
use signature::Distrust;

pub use signature::KeyError;

/// Where the paths begin.
pub(crate) const PREFIX: &str = "/cube/v4";
/// The most SIMs of an order, and the largest page (the latter published).
const SIMS_MAX: usize = 100;
/// The most of one product for one SIM in one order.
const QUANTITY_MAX: u64 = 100;
/// How many rows a page has unless told (published).
const PAGE_SIZE: usize = 10;
/// The notification key of those who set none.
const NOTIFICATION_KEY: &str = "00000000000000000000000000000000";

/// The protocol.
#[derive(Debug, Default)]
pub(crate) struct Cube {
    key: Option<PublicKey>,
    notification_key: Option<String>,
}

impl Cube {
    pub(crate) fn new(
        public_key_pem: Option<&str>,
        notification_key: Option<String>,
    ) -> Result<Self, KeyError> {
        let key = public_key_pem.map(signature::read_key).transpose()?;
        Ok(Self { key, notification_key })
    }
}

impl Face for Cube {
    fn read(&self, request: &Request, real_now: Timestamp) -> Result<Asked, Answer> {
        let path = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let places: Vec<&str> = path.split('/').skip(1).collect();
        match signature::check(request, self.key.as_ref(), real_now) {
            Ok(()) => {}
            Err(Distrust::Missing) => {
                return Err(fail(401, "CB-99-9401", "Authorization missing"));
            }
            Err(Distrust::Wrong(why)) => return Err(fail(403, "CB-99-9403", why)),
        }
        let plain =
            |what| Ok(Asked { subject: format!("{} {}", request.method, request.path), what });
        match (request.method.as_str(), places.as_slice()) {
            ("GET", ["skus"]) => plain(What::Products),
            ("POST", ["orders", "service"]) => read_order(request),
            ("GET", ["orders", id, "service"]) => plain(What::GetOrder((*id).to_owned())),
            ("GET", ["sims", "async_result", id]) => plain(What::Result((*id).to_owned())),
            ("GET", ["sims", sim]) => plain(What::Sim(read_sim(sim)?)),
            ("GET", ["sims", sim, "bundles"]) => {
                plain(What::Bundles(read_bundles(request, read_sim(sim)?)?))
            }
            ("GET", ["sims", sim, "usage"]) => plain(What::Usage {
                iccids: vec![read_sim(sim)?],
                period: request.parameter("end_by").unwrap_or_default(),
            }),
            ("PUT", ["sims", sim, word]) => {
                let (iccid, target) = (read_sim(sim)?, read_target(request)?);
                let action = read_action(word).ok_or_else(|| missing(request))?;
                plain(What::Operate { iccid, action, target })
            }
            _ => Err(missing(request)),
        }
    }

    fn perform(
        &self,
        what: &What,
        network: &mut Network,
        drawn: &Drawn<'_>,
    ) -> Result<Answer, Refused> {
        match what {
            What::Products => Ok(answers::products()),
            What::Order(new) => order(new, network, drawn),
            What::GetOrder(id) => network
                .order_by_id(id)
                .map(|order| answers::order(order, network.now))
                .ok_or_else(|| refused("CB-99-9400", "no such order")),
            What::Sim(iccid) => Ok(answers::sim(iccid, network)),
            What::Bundles(asked) => Ok(answers::bundles(asked, network)),
            What::Usage { iccids, period } => Ok(answers::usage(iccids, period, network)),
            What::Operate { iccid, action, target } => {
                operate(iccid, *action, target.as_ref(), network, drawn)
            }
            What::Result(id) => network
                .operation(id)
                .map(|operation| answers::result(operation, network.now))
                .ok_or_else(|| refused("CB-99-9400", "no such request")),
            // Nothing is read as one of these.
            What::Quote(_) | What::ListOrders | What::Balance | What::Group { .. } => {
                Err(refused("CB-99-9400", "not a call of this protocol"))
            }
        }
    }

    fn refuse(&self, kind: FaultKind, _seconds: u32) -> Answer {
        match kind {
            FaultKind::PendingOperation => pending().answer,
            FaultKind::Refuse => {
                fail(200, "CB-01-0107", "This operation is not allowed in the current status")
            }
            _ => fail(500, "CB-99-9500", "Internal call error: busy, try later"),
        }
    }

    fn notify(&self, notice: &Notice, network: &Network) -> Option<Webhook> {
        let order = network.orders.get(notice.order)?;
        let part = order.parts.get(notice.part)?;
        let (event, status, at) = match notice.event {
            Event::Accepted => ("renewal_order_accepted", 1, order.made_at),
            Event::Done => ("renewal_order_result", 3, part.due_at),
        };
        let event_id = network.dice.letters(24, &["event", event, &order.id, &part.line.iccid], 0);
        // The bodies of these events are not published; chosen here. A repeat has the event's own id and
        // another transaction id, as the console's resend button does it.
        let purpose = ["transaction", &event_id];
        let body = json!({
            "event": event,
            "event_id": event_id,
            "transaction_id": network.dice.uuid(&purpose, notice.copy),
            "occurred_at": at.as_millis(),
            "data": {
                "order_id": order.id,
                "sim_id": part.line.iccid,
                "status": status,
                "extra": {"po": order.reference},
            },
        });
        let millis = network.now.as_millis();
        let key = self.notification_key.as_deref().unwrap_or(NOTIFICATION_KEY);
        let signature = signature::of_notification(key, &body, millis);
        Some(
            Webhook::json(&body)
                .with_header("x-lf-notification-version", "1.0")
                .with_header("x-lf-algo", "HMAC-SHA1")
                .with_header("x-lf-timestamp", &millis.to_string())
                .with_header("x-lf-signature", &format!("simulator/{signature}")),
        )
    }
}

fn read_sim(text: &str) -> Result<String, Answer> {
    let parsed = text.parse::<Iccid>().map(|iccid| iccid.as_str().to_owned());
    parsed.map_err(|_| fail(200, "CB-01-0001", "SIM does not exist"))
}

fn read_bundles(request: &Request, iccid: String) -> Result<Bundles, Answer> {
    let read = |name: &str, default: usize| match request.parameter(name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|number| *number > 0),
    };
    let number = read("page_no", 1);
    let size = read("page_size", PAGE_SIZE).filter(|size| *size <= SIMS_MAX);
    match (number, size) {
        (Some(page), Some(page_size)) => {
            let filter = request.parameter("status");
            Ok(Bundles { iccid, filter, with_used: true, page, page_size })
        }
        _ => Err(invalid("page_no is from 1 on, page_size from 1 to 100")),
    }
}

fn read_action(word: &str) -> Option<Action> {
    match word {
        "cancel" => Some(Action::Cancel),
        "suspend" => Some(Action::Suspend),
        "resume" => Some(Action::Resume),
        _ => None,
    }
}

/// Which plan a cancellation is for: whether that stands in the body or in the query is not published.
fn read_target(request: &Request) -> Result<Option<String>, Answer> {
    let body = request.json().ok_or_else(|| invalid("the body is not JSON"))?;
    let target = body["order_id"].as_str().map(str::to_owned);
    Ok(target.or_else(|| request.parameter("order_id")))
}

fn invalid(message: &str) -> Answer {
    fail(400, "CB-99-9400", message)
}

fn read_order(request: &Request) -> Result<Asked, Answer> {
    let body = request.json().ok_or_else(|| invalid("the body is not JSON"))?;
    let items = body["items"].as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| fail(400, "CB-99-9402", "items are missing"))?;
    let mut lines = Vec::new();
    for item in items {
        let product = item["id"].as_str().ok_or_else(|| invalid("an item has an id"))?;
        let quantity = item["quantity"].as_u64().filter(|count| (1..=QUANTITY_MAX).contains(count));
        let quantity = quantity.and_then(|count| u32::try_from(count).ok());
        let quantity = quantity.ok_or_else(|| invalid("a quantity is from 1 to 100"))?;
        let sims = item["sim_ids"].as_array().filter(|sims| !sims.is_empty());
        let sims = sims.ok_or_else(|| invalid("an item has sim_ids"))?;
        for sim in sims {
            let iccid = read_sim(sim.as_str().unwrap_or_default())?;
            lines.push(Line { iccid, product: product.to_owned(), quantity });
        }
    }
    if lines.len() > SIMS_MAX {
        return Err(invalid("an order has at most 100 SIMs"));
    }
    let whole = signature::compact(&body);
    let mut rest = body.clone();
    if let Value::Object(members) = &mut rest {
        members.remove("extra");
    }
    let without_extra = format!("without extra {}", signature::compact(&rest));
    let reference = body["extra"]["po"].as_str().filter(|po| !po.is_empty()).map(str::to_owned);
    let subject = format!("order {}", reference.as_ref().unwrap_or(&whole));
    let sameness = Sameness::Parameters { whole, without_extra };
    let what = What::Order(NewOrder { reference, lines, sameness, make_id });
    Ok(Asked { subject, what })
}

fn make_id(dice: Dice, subject: &str, number: u64) -> String {
    format!("OL-{}", dice.letters(12, &["cube order", subject], number))
}

fn pending() -> Refused {
    refused("CB-01-0111", "SIM has pending operations")
}

fn order(new: &NewOrder, network: &mut Network, drawn: &Drawn<'_>) -> Result<Answer, Refused> {
    if new.lines.iter().any(|line| sim::product(&line.product).is_none()) {
        return Err(refused("CB-02-0003", "Bundle does not exist"));
    }
    // A repeat is told of its first order even while that is under way.
    let is_new = network.find_same(new, drawn).is_none();
    if is_new && new.lines.iter().any(|line| network.is_busy(&line.iccid)) {
        return Err(pending());
    }
    let (Placed::New(place) | Placed::Repeat(place)) = network.place(new, drawn) else {
        return Err(refused("CB-99-9400", "another order has this reference"));
    };
    let order = &network.orders[place];
    Ok(ok(&json!({
        "status": 1,
        "created_at": order.made_at.as_millis(),
        "order_id": order.id,
    })))
}

fn operate(
    iccid: &str,
    action: Action,
    target: Option<&String>,
    network: &mut Network,
    drawn: &Drawn<'_>,
) -> Result<Answer, Refused> {
    if network.is_busy(iccid) {
        return Err(pending());
    }
    let id = network.operate(iccid, action, target.cloned(), Some(drawn));
    Ok(ok(&json!({ "request_id": id })))
}
