//! Orders at networks over HTTP: exactly one plan for each paid order, or its money back, or a person who decides,
//! whatever the network does.

use domain::sim::SimState;
use domain::{Mode, Span};
use testkit::saga::{self, Saga};
use testkit::{Engine, Network, Recipe, TestMall, on_both_engines};
use upstream::{Faults, Protocol};

use crate::steps::assert_owes;

on_both_engines!(
    each_network_gives_a_plan,
    the_orders_of_a_sim_go_one_after_another,
    cube_v4_with_every_fault,
    esim_access_with_every_fault,
    esim_go_with_every_fault,
);

/// A mall with one network, in which some things go wrong.
fn with_network(protocol: Protocol, faults: &str) -> Recipe {
    let faults = Faults::parse(faults).unwrap();
    let network = Network { faults, ..Network::new("network", protocol) };
    Recipe { networks: vec![network], ..Recipe::default() }
}

async fn each_network_gives_a_plan(engine: Engine) {
    for protocol in Protocol::ALL {
        let recipe = with_network(protocol, r#"{"delay_seconds": [10, 10]}"#);
        let mall = TestMall::with(engine, recipe).await;
        let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
        mall.add_plan_of(&partner, "network").await;
        let sim = mall.add_sim(&partner, "", "network", SimState::Ready).await;
        let client = partner.client(&mall);
        client.syn_order_info(&partner.paid_order_at("network", &sim, "N1")).await.unwrap();
        mall.settle().await;
        let order = client.order("N1").await.unwrap();
        assert_eq!((order.status.as_str(), order.failure), ("PROVISIONING", None), "{protocol:?}");
        for _ in 0..30 {
            mall.advance(Span::seconds(1)).await;
        }
        let order = client.order("N1").await.unwrap();
        assert_eq!(order.status, "PROVISIONED", "{protocol:?}");
        assert_eq!(mall.network("network").bundles(&sim).len(), 1);
        assert_eq!(client.single_query_order(&sim).await.unwrap().order_list.len(), 1);
        assert_owes(&mall, &partner, 800).await;
        mall.stop().await;
    }
}

async fn the_orders_of_a_sim_go_one_after_another(engine: Engine) {
    for protocol in Protocol::ALL {
        let recipe = with_network(protocol, r#"{"delay_seconds": [60, 60]}"#);
        let mall = TestMall::with(engine, recipe).await;
        let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
        mall.add_plan_of(&partner, "network").await;
        let sim = mall.add_sim(&partner, "", "network", SimState::Ready).await;
        let client = partner.client(&mall);
        for number in ["N1", "N2", "N3"] {
            client.syn_order_info(&partner.paid_order_at("network", &sim, number)).await.unwrap();
        }
        let mut most = 0;
        for _ in 0..100 {
            mall.advance(Span::seconds(5)).await;
            let journal = mall.network("network").journal();
            let open = |entry: &&upstream::Entry| entry.effect.word() == "accepted";
            most = most.max(journal.iter().filter(open).count());
        }
        assert_eq!(most, 1, "{protocol:?}: orders of one SIM were with the network at once");
        for number in ["N1", "N2", "N3"] {
            assert_eq!(client.order(number).await.unwrap().status, "PROVISIONED", "{protocol:?}");
        }
        assert_eq!(mall.network("network").bundles(&sim).len(), 3);
        mall.stop().await;
    }
}

/// How many orders: some in the suite, as many as wanted with `SAGA_ORDERS`.
fn orders() -> usize {
    std::env::var("SAGA_ORDERS").map_or(350, |text| text.parse().unwrap())
}

/// Which of the networks' fates; any must do.
fn seed() -> u64 {
    std::env::var("SAGA_SEED").map_or(1, |text| text.parse().unwrap())
}

async fn with_every_fault(engine: Engine, protocol: Protocol) {
    let saga =
        Saga { orders: orders(), protocol, faults: saga::all_faults(), seed: seed(), told: false };
    let verdict = saga::run(engine, &saga).await;
    assert_eq!(verdict.violations, Vec::<String>::new(), "{verdict}");
    assert_eq!(verdict.states.values().sum::<usize>(), saga.orders, "{verdict}");
    // Most get their plan, and the faults were met: else nothing was shown.
    assert!(verdict.states["PROVISIONED"] > saga.orders / 2, "{verdict}");
    assert!(verdict.faults > saga.orders / 20, "{verdict}");
}

async fn cube_v4_with_every_fault(engine: Engine) {
    with_every_fault(engine, Protocol::CubeV4).await;
}

async fn esim_access_with_every_fault(engine: Engine) {
    with_every_fault(engine, Protocol::EsimAccess).await;
}

async fn esim_go_with_every_fault(engine: Engine) {
    with_every_fault(engine, Protocol::EsimGo).await;
}
