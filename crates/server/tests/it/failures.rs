//! Each step of an order fails in each way, at each kind of carrier: afterwards the order has one plan, or its
//! money back, or waits for a person, and the network agrees.

use domain::sim::SimState;
use domain::{Mode, Span};
use mall::failpoints::{Point, reached};
use sdk::Order;
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::{Faults, Protocol};

use crate::steps::set_credit;

on_both_engines!(every_step_fails_in_every_way);

/// What can happen at a step.
const WAYS: [&str; 4] = ["crash", "error", "timeout", "duplicate"];
/// The built-in carrier, and one over HTTP for each protocol.
const CARRIERS: [&str; 4] = ["simulator", "cube", "access", "go"];
/// By then an order is decided, whatever its carrier.
const DECIDED: Span = Span::minutes(130);

fn networks() -> Recipe {
    let network = |code, protocol| Network {
        faults: Faults::parse(r#"{"delay_seconds": [3, 3]}"#).unwrap(),
        ..Network::new(code, protocol)
    };
    Recipe {
        networks: vec![
            network("cube", Protocol::CubeV4),
            network("access", Protocol::EsimAccess),
            network("go", Protocol::EsimGo),
        ],
        ..Recipe::default()
    }
}

/// How many plans the carrier really put on a SIM; the built-in one keeps no journal of that.
fn really_done(mall: &TestMall, carrier: &str, sim: &str) -> Option<usize> {
    (carrier != "simulator").then(|| mall.network(carrier).bundles(sim).len())
}

/// One order, with a step that fails once.
async fn one(
    (mall, partner): (&TestMall, &TestPartner),
    carrier: &str,
    (point, way): (Point, &str),
) -> (Order, bool) {
    let sim = mall.add_sim(partner, "", carrier, SimState::Ready).await;
    let number = format!("{carrier}-{}-{way}", point.name());
    let before = reached(point);
    fail::cfg(point.name(), &format!("1*return({way})")).unwrap();
    let client = partner.client(mall);
    let order = match carrier {
        "simulator" => partner.paid_order(&sim, &number),
        _ => partner.paid_order_at(carrier, &sim, &number),
    };
    client.syn_order_info(&order).await.unwrap();
    mall.settle().await;
    let (mut passed, step) = (Span::seconds(0), Span::seconds(5));
    while passed < DECIDED && !decided(&client.order(&number).await.unwrap()) {
        // Small steps at first, for those that end soon.
        let step = if passed < Span::minutes(2) { step } else { Span::minutes(2) };
        mall.advance(step).await;
        passed = passed + step;
    }
    fail::cfg(point.name(), "off").unwrap();
    let order = client.order(&number).await.unwrap();
    let plans = client.single_query_order(&sim).await.unwrap().order_list.len();
    let done = really_done(mall, carrier, &sim);
    let fits = match order.status.as_str() {
        "PROVISIONED" => plans == 1 && done.is_none_or(|done| done == 1),
        "REVIEW" => plans == 0 && done.is_none_or(|done| done <= 1),
        "FAILED" => plans == 0 && done.is_none_or(|done| done == 0),
        _ => false,
    };
    assert!(fits, "{number}: {} with {plans} plans, really {done:?}", order.status);
    (order, reached(point) > before)
}

fn decided(order: &Order) -> bool {
    !matches!(order.status.as_str(), "PAID" | "PROVISIONING")
}

#[expect(clippy::print_stderr, reason = "how many were tried is part of what is shown")]
fn tell(what: &str) {
    eprintln!("{what}");
}

async fn every_step_fails_in_every_way(engine: Engine) {
    let mall = TestMall::with(engine, networks()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    set_credit(&mall, &partner, 1_000_000).await;
    for carrier in &CARRIERS[1..] {
        mall.add_plan_of(&partner, carrier).await;
    }
    let (mut tried, mut met, mut reviews) = (0, 0, Vec::new());
    for carrier in CARRIERS {
        for point in Point::ALL {
            for way in WAYS {
                let (order, fired) = one((&mall, &partner), carrier, (point, way)).await;
                tried += 1;
                met += usize::from(fired);
                if order.status == "REVIEW" {
                    reviews.push(format!("{carrier}-{}-{way}", point.name()));
                }
            }
        }
    }
    tell(&format!(
        "{engine:?}: {tried} combinations of {} carriers, {} steps and {} failures; {met} of them met, {} in review",
        CARRIERS.len(),
        Point::ALL.len(),
        WAYS.len(),
        reviews.len(),
    ));
    // Of the eight steps, the built-in carrier has four; there is nothing to read where nobody asks for it.
    assert_eq!((tried, met), (CARRIERS.len() * Point::ALL.len() * WAYS.len(), 112));
    // Only where nobody can tell is a person asked: at carriers without keys, if the worker is gone after the order
    // was marked and before it was sent.
    for number in &reviews {
        assert!(number.starts_with("cube-after-sending") || number.starts_with("go-after-sending"));
    }
    for (mode, money, plans) in mall.mall().imbalance().await.unwrap() {
        assert_eq!((money, plans), (0, 0), "{mode}");
    }
    mall.stop().await;
}
