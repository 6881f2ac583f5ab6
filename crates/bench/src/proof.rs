//! `saga --faults`: many paid orders at each network, which fails in every way it can; afterwards the mall's books
//! and the network's journal must agree. The same as the suite's, with any number of orders.

use anyhow::{Context, ensure};
use testkit::saga::{self, Saga as Plan};
use upstream::{Faults, Protocol};

use crate::Engine;
use crate::saga::Saga;

/// Runs it at each network in turn.
pub(crate) async fn run(args: &Saga, faults: &str) -> anyhow::Result<()> {
    let faults = match faults {
        // The usual preset waits on a real clock; this one does not.
        "all" => saga::all_faults(),
        given => match Faults::preset(given) {
            Some(preset) => preset,
            None => Faults::parse(&std::fs::read_to_string(given).context("--faults")?)?,
        },
    };
    let engine = match args.engine {
        Engine::Sqlite => testkit::Engine::Sqlite,
        Engine::Postgres => {
            let set = std::env::var_os("TEST_POSTGRES_URL").is_some();
            ensure!(set, "run it by scripts/with-postgres, which gives it a server");
            testkit::Engine::Postgres
        }
    };
    let mut violations = 0;
    for protocol in Protocol::ALL {
        let plan = Plan {
            orders: usize::try_from(args.orders)?,
            protocol,
            faults: faults.clone(),
            seed: args.seed,
            told: true,
        };
        let verdict = saga::run(engine, &plan).await;
        println!("{}: {} orders: {verdict}", protocol.word(), args.orders);
        for violation in verdict.violations.iter().take(20) {
            println!("{violation}");
        }
        violations += verdict.violations.len();
    }
    ensure!(violations == 0, "the mall and the networks disagree: {violations} violations");
    Ok(())
}
