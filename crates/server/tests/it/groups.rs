//! Groups of SIMs at carriers where things go wrong, beside orders, and over time: what is told is what is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::sim::SimState;
use domain::{Clock as _, Mode, Role, Span};
use mall::Mall;
use sdk::{Client, OperationResult, PageAt};
use serde_json::{Value, json};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner};
use upstream::{Faults, Protocol};

use crate::steps::settle_nodes;

mod bundles;
mod faults;
mod places;
mod turns;

/// The code of a network over HTTP that has groups.
const NET: &str = "network";
/// The code of the group.
const GROUP: &str = "FLEET-1";
/// How many jobs' times are waited for until an operation ends.
const STEPS_MAX: u32 = 600;

/// A partner with a group, and a client of it.
struct Band {
    mall: TestMall,
    shop: TestPartner,
    client: Client,
}

impl Band {
    /// With a group at the built-in network.
    async fn new(engine: Engine) -> Self {
        Self::with(engine, Recipe::default(), ("PLAN-M", &json!({}))).await
    }

    /// With a group at a network over HTTP.
    async fn over_http(engine: Engine, faults: Faults) -> Self {
        let network = Network { faults, ..Network::new(NET, Protocol::Plain) };
        let recipe = Recipe { networks: vec![network], ..Recipe::default() };
        Self::with(engine, recipe, ("PLAN-network", &json!({}))).await
    }

    async fn with(engine: Engine, recipe: Recipe, (plan, more): (&str, &Value)) -> Self {
        let networks = !recipe.networks.is_empty();
        let mall = TestMall::with(engine, recipe).await;
        let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
        if networks {
            mall.add_plan_of(&shop, NET).await;
        }
        let client = shop.client(&mall);
        let band = Self { mall, shop, client };
        band.add_group(GROUP, plan, more).await;
        band
    }

    async fn add_group(&self, code: &str, plan: &str, more: &Value) {
        let mut group = json!({"group_id": code, "name": code, "sim_limit": 1_000, "plan_code": plan, "carrier_group": code});
        for (name, value) in more.as_object().unwrap() {
            group[name] = value.clone();
        }
        let admin = self.mall.admin(Role::Operator).await;
        admin.post("/test/partners/SHOP/groups", &group).await.done();
    }

    /// SIMs whose numbers end as told.
    async fn sims(&self, carrier: &str, endings: &[&str]) -> Vec<String> {
        let mut sims = Vec::new();
        for ending in endings {
            sims.push(self.mall.add_sim(&self.shop, ending, carrier, SimState::Ready).await);
        }
        sims
    }

    async fn add(&self, sims: &[String]) -> String {
        self.client.add_group_sims(GROUP, sims, "").await.unwrap().request_id
    }

    async fn remove(&self, sims: &[String]) -> String {
        self.client.remove_group_sims(GROUP, sims, "").await.unwrap().request_id
    }

    /// How far an operation is, with all its results.
    async fn result(&self, request_id: &str) -> OperationResult {
        let mut whole = self.client.async_result(request_id, false, 1).await.unwrap();
        for page in 2.. {
            let more = self.client.async_result(request_id, false, page).await.unwrap();
            if more.results.is_empty() {
                return whole;
            }
            whole.results.extend(more.results);
        }
        whole
    }

    /// Lets time pass until an operation has ended.
    async fn ended(&self, request_id: &str) -> OperationResult {
        self.ended_on(&[self.mall.mall()], request_id).await
    }

    /// The same where several nodes work on it.
    async fn ended_on(&self, nodes: &[&Arc<Mall>], request_id: &str) -> OperationResult {
        for _ in 0..STEPS_MAX {
            settle_nodes(nodes).await;
            let result = self.client.async_result(request_id, false, 1).await.unwrap();
            if result.finished_at.is_some() {
                return self.result(request_id).await;
            }
            self.to_next_job().await;
        }
        panic!("the operation does not end: {:?}", self.result(request_id).await)
    }

    /// Moves the clock to the next job.
    async fn to_next_job(&self) {
        let next = self.mall.store().next_job_at().await.unwrap().unwrap();
        let wait = next.since(self.mall.clock.now()).max(Span::millis(100));
        self.mall.clock.advance(wait);
    }

    /// The SIMs of a group, page by page behind each other.
    async fn members_of(&self, group: &str) -> BTreeSet<String> {
        let (mut members, mut at) = (BTreeSet::new(), PageAt::Number(1));
        loop {
            let page = self.client.group_sims(group, at, 100).await.unwrap();
            for sim in page.sims {
                assert!(members.insert(sim.sim_id), "a SIM is listed twice");
            }
            let Some(cursor) = page.next_cursor else {
                assert_eq!(usize::try_from(page.total_count).unwrap(), members.len());
                return members;
            };
            at = PageAt::Cursor(cursor);
        }
    }

    async fn members(&self) -> BTreeSet<String> {
        self.members_of(GROUP).await
    }

    async fn shown(&self) -> Value {
        let admin = self.mall.admin(Role::Viewer).await;
        admin.get(&format!("/test/partners/SHOP/groups/{GROUP}")).await.done()
    }

    /// The group's counts are those of its rows.
    async fn counts_agree(&self) {
        let key = (Mode::Test, self.shop.partner.id, GROUP);
        let mut tx = self.mall.store().read().await.unwrap();
        let group = tx.group(key).await.unwrap().unwrap();
        let counted = tx.counted_members(key).await.unwrap();
        assert_eq!((group.sim_count, group.held_count), counted);
    }

    /// What became true of the group: kind and subject.
    async fn events(&self) -> Vec<(String, String)> {
        let key = (Mode::Test, self.shop.partner.id, GROUP);
        let mut tx = self.mall.store().read().await.unwrap();
        let events = tx.group_events(key, 1_000).await.unwrap();
        events.into_iter().map(|event| (event.kind, event.subject)).collect()
    }
}

/// The status and the code of each SIM of a result.
fn told(result: &OperationResult) -> BTreeMap<&str, (&str, &str)> {
    let results = result.results.iter();
    let one = results.map(|sim| {
        let code = sim.code.as_deref().unwrap_or_default();
        (sim.sim_id.as_str(), (sim.status.as_str(), code))
    });
    one.collect()
}
