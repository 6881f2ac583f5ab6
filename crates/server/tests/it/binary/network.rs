//! A network over HTTP in a process of its own, and what a mall needs to sell its plans.

use domain::package::{Package, PackageType, Volume};
use domain::plan::{Plan, PriceKind};
use domain::sim::{Sim, SimState};
use domain::{Ctx, Currency, LocalizedText, Mode, Money};
use sdk::{NewOrder, PaidOrder};
use serde_json::Value;
use store::{Price, Store};

use super::process::{Directory, Server, simmall};

/// The carrier's code, and a part of its plan's and package's.
pub(super) const CODE: &str = "network";
/// The demo's partner that signs with keyless MD5.
pub(super) const PARTNER: &str = "P000818";
/// What that partner owes for a plan, in minor units.
pub(super) const OWED: i64 = 399;
/// What it owes for the demo's published payment, in minor units.
pub(super) const OWED_BEFORE: i64 = 1_999;

/// The network, and the file that tells a mall of it.
pub(super) struct Network {
    server: Server,
    directory: Directory,
}

impl Network {
    pub(super) fn start(speak: &str) -> Self {
        Self::start_with(speak, "none", 3)
    }

    /// One that holds half of each answer back for a while, which is waited for.
    pub(super) fn start_slow(speak: &str) -> Self {
        let file = Directory::new();
        let faults = r#"{"faults": [{"kind": "slow-body", "per_mille": 1000, "seconds": 4}]}"#;
        std::fs::write(file.join("slow.json"), faults).unwrap();
        Self::start_with(speak, &file.join("slow.json"), 10)
    }

    pub(super) fn start_with(speak: &str, faults: &str, call_max_seconds: u8) -> Self {
        let mut command = simmall(["simulator", "--speak", speak, "--faults", faults]);
        let server = Server::start_one(&mut command);
        let directory = Directory::new();
        std::fs::write(directory.join("key"), "test-key").unwrap();
        let (speaks, key, path) = match speak {
            "esim-go" => ("esim_go", "api_key", "/v2.5"),
            "plain" => ("plain", "api_key", "/plain/v1"),
            _ => ("esim_access", "access_code", "/api/v1/open"),
        };
        let file = serde_json::json!({CODE: {
            "speaks": speaks,
            "modes": ["test"],
            "base": format!("{}{path}", server.url),
            key: {"file": directory.join("key")},
            "call_max_seconds": call_max_seconds,
            "limits": {"starts_per_second": 10_000, "in_flight": 64, "wait_max_seconds": 0},
        }});
        std::fs::write(directory.join("carriers.json"), file.to_string()).unwrap();
        Self { server, directory }
    }

    /// The option that tells `simmall serve` of it.
    pub(super) fn option(&self) -> String {
        format!("--carriers={}", self.directory.join("carriers.json"))
    }

    /// What came of the orders of each of our keys, where the network keeps them.
    pub(super) async fn counts(&self) -> Value {
        let url = format!("{}/__simulator/counts", self.server.url);
        let answer = testkit::http_client().get(url).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// The SIMs that really are in each group.
    pub(super) async fn groups(&self) -> Value {
        let url = format!("{}/__simulator/groups", self.server.url);
        let answer = testkit::http_client().get(url).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// How many of all orders came to something: those done, and those taken for repeats.
    pub(super) async fn done_and_repeated(&self) -> (u64, u64) {
        let counts = self.counts().await;
        let sum = |name: &str| {
            counts.as_object().unwrap().values().map(|count| count[name].as_u64().unwrap()).sum()
        };
        (sum("done"), sum("repeated"))
    }
}

/// Adds the network's plan, SIMs and credit for the partner; gives the SIMs.
pub(super) async fn stock(store: &Store, ctx: &Ctx, sims: usize, credit: i64) -> Vec<String> {
    let (mode, now) = (Mode::Test, ctx.now());
    let currency: Currency = "USD".parse().unwrap();
    let mut tx = store.begin().await.unwrap();
    let partner = tx.partner_by_code(mode, PARTNER).await.unwrap().unwrap();
    tx.set_credit_limit(&partner, Money::new(credit, currency)).await.unwrap();
    let package = Package {
        code: format!("PACK-{CODE}"),
        kind: PackageType::Monthly,
        calendar: false,
        volume: Volume::Bytes(1 << 30),
        area: LocalizedText::en_zh("Europe", "欧洲"),
        countries: vec!["DE".to_owned()],
        carrier: CODE.to_owned(),
        carrier_product: "CP-1".to_owned(),
    };
    tx.insert_package(mode, &package).await.unwrap();
    let plan = Plan {
        code: format!("PLAN-{CODE}"),
        plan_id: "plan_network".to_owned(),
        name: LocalizedText::en_zh("Europe", "欧洲"),
        description: LocalizedText::default(),
        package,
        periods: vec![1],
        renewable: true,
    };
    tx.insert_plan(mode, &plan).await.unwrap();
    for (kind, minor) in [(PriceKind::Sale, 499), (PriceKind::Settlement, OWED)] {
        let unit = Money::new(minor, currency);
        let price = Price { plan_code: plan.code.clone(), kind, unit };
        tx.insert_price(mode, partner.id, ctx.id(), &price, (now, None)).await.unwrap();
    }
    let mut numbers = Vec::new();
    for number in 0..sims {
        let iccid: domain::Iccid = format!("8985200000077{number:06}").parse().unwrap();
        numbers.push(iccid.as_str().to_owned());
        let (id, carrier) = (ctx.id(), CODE.to_owned());
        let sim = Sim { id, iccid, carrier, state: SimState::Ready };
        tx.insert_sim(mode, partner.id, &sim, now).await.unwrap();
    }
    tx.commit().await.unwrap();
    numbers
}

/// A paid order of the network's plan.
pub(super) fn paid_order(sim: &str, order_no: &str) -> PaidOrder {
    PaidOrder {
        order: NewOrder {
            iccid: sim.to_owned(),
            pay_id: format!("PAY-{order_no}"),
            order_no: order_no.to_owned(),
            service_plan_code: format!("PLAN-{CODE}"),
            package_code: format!("PACK-{CODE}"),
            order_period: 1,
            pay_amount: "4.99".to_owned(),
            pay_currency: "USD".to_owned(),
            ..NewOrder::default()
        },
        settle_price: "3.99".to_owned(),
        pay_rst: "SUCCESS".to_owned(),
        pay_status: "1".to_owned(),
        pay_result_date: "2024-03-10 16:00:00".to_owned(),
        ..PaidOrder::default()
    }
}
