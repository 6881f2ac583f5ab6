//! Groups of SIMs as a partner meets them: every call and every refusal, over HTTP.

use std::collections::BTreeMap;

use domain::{Mode, Span};
use sdk::{Accepted, Client, OperationResult};
use testkit::{Engine, TestMall, TestPartner};

mod changing;
mod listing;
mod reach;
mod repeating;
mod signing;

/// A partner with a group, and a client of it.
struct Fleet {
    mall: TestMall,
    shop: TestPartner,
    client: Client,
}

/// The group's code.
const GROUP: &str = "FLEET-1";
/// How often it is waited for an operation to end.
const STEPS_MAX: u32 = 600;
/// A number of a card that nobody has.
const NOBODYS: &str = "8900100000000000000";

impl Fleet {
    async fn new(engine: Engine) -> Self {
        Self::with_limit(engine, 1_000).await
    }

    async fn with_limit(engine: Engine, sim_limit: i64) -> Self {
        let mall = TestMall::start(engine).await;
        let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
        mall.add_group(&shop, GROUP, sim_limit).await;
        let client = shop.client(&mall);
        Self { mall, shop, client }
    }

    /// More SIMs in the partner's stock.
    async fn more_sims(&self, count: usize) -> Vec<String> {
        let mut sims = Vec::with_capacity(count);
        for _ in 0..count {
            let state = domain::sim::SimState::Ready;
            sims.push(self.mall.add_sim(&self.shop, "", "simulator", state).await);
        }
        sims
    }

    /// What became of an operation, once nothing more is to be done.
    async fn ended(&self, accepted: &Accepted) -> OperationResult {
        assert_eq!(accepted.status, "ACCEPTED");
        for _ in 0..STEPS_MAX {
            self.mall.settle().await;
            let result = self.client.async_result(&accepted.request_id, false, 1).await.unwrap();
            if result.finished_at.is_some() {
                return result;
            }
            assert_eq!(result.status, "RUNNING");
            // Many SIMs are done in many turns.
            self.mall.advance(Span::millis(100)).await;
        }
        panic!("the operation does not end")
    }

    /// Adds SIMs, and insists that all of them came in.
    async fn add(&self, sims: &[String]) {
        let accepted = self.client.add_group_sims(GROUP, sims, "").await.unwrap();
        let result = self.ended(&accepted).await;
        assert_eq!(result.status, "SUCCEEDED", "{result:?}");
    }

    /// The SIMs of the group, as its first page of a thousand has them.
    async fn sims(&self) -> Vec<String> {
        let page = self.client.group_sims(GROUP, sdk::PageAt::Number(1), 1_000).await.unwrap();
        assert_eq!(usize::try_from(page.total_count).unwrap(), page.sims.len());
        page.sims.into_iter().map(|sim| sim.sim_id).collect()
    }
}

/// The status and the code of each SIM of a result.
fn told(result: &OperationResult) -> BTreeMap<&str, (&str, &str)> {
    let results = result.results.iter();
    results
        .map(|sim| {
            let code = sim.code.as_deref().unwrap_or_default();
            assert_eq!(sim.message.is_some(), sim.code.is_some(), "{sim:?}");
            (sim.sim_id.as_str(), (sim.status.as_str(), code))
        })
        .collect()
}
