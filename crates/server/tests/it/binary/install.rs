//! A mall as an operator installs it: a database that `simmall migrate` made, with the demo's data.

use std::process::Command;

use carriers::Carriers;
use domain::Mode;
use mall::{Cashiers, Mall, Settings};
use pushes::Sender;
use sdk::{Client, Credentials, Prefix};
use store::{Sealer, Store};
use testkit::{Database, Engine};

use super::process::{run, simmall};

/// The sealing key of all installations, as an operator writes it.
pub(super) const SEALING_KEY: &str =
    "0707070707070707070707070707070707070707070707070707070707070707";
/// A password that PostgreSQL does not ask for here, and that must be seen nowhere.
pub(super) const PASSWORD: &str = "tr0ubadour-secret";

pub(super) struct Installation {
    database: Database,
    /// The key of the demo's partner `P012345`.
    pub(super) demo_key: String,
}

impl Installation {
    pub(super) async fn new(engine: Engine) -> Self {
        let database = Database::empty(engine).await;
        let migrate = &mut simmall(["migrate"]);
        let said = run(migrate.env("SIMMALL_DATABASE_URL", &database.url), "").success();
        assert_eq!(said, "the schema is up to date\n");
        let mall = mall_on(database.open().await, [7; 32]);
        let demo_key = mall::demo::seed(&mall).await.unwrap().key.unwrap().text;
        mall.store().close().await;
        Self { database, demo_key }
    }

    /// Gives the demo's partner `P012345` a key that was sealed by some other mall, as a bad restore of
    /// a backup could: whoever needs it comes upon an internal error.
    pub(super) async fn spoil_demo_keys(&self) {
        let mall = mall_on(self.store().await, [8; 32]);
        let mut tx = mall.store().begin().await.unwrap();
        let partner = tx.partner_by_code(Mode::Test, "P012345").await.unwrap().unwrap();
        mall.add_key(&mut tx, &partner).await.unwrap();
        tx.commit().await.unwrap();
        mall.store().close().await;
    }

    /// The database's URL, with a password where the engine knows such a thing.
    pub(super) fn database_url(&self) -> String {
        self.database.url.replace("//postgres@", &format!("//postgres:{PASSWORD}@"))
    }

    /// Its database, to look behind the scenes while nobody serves it.
    pub(super) async fn store(&self) -> Store {
        self.database.open().await
    }

    /// `simmall serve` on it.
    pub(super) fn serve<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = simmall(["serve"]);
        command.env("SIMMALL_DATABASE_URL", self.database_url());
        command.env("SIMMALL_SEALING_KEY", SEALING_KEY).args(args);
        command
    }
}

pub(super) fn mall_on(store: Store, sealing_key: [u8; 32]) -> Mall {
    let (ctx, sealer) = (server::system_ctx(), Sealer::new(&sealing_key));
    let sends = Sender::new(pushes::Settings::default()).unwrap();
    let others = (Carriers::new(), Cashiers::default(), sends);
    Mall::new(store, ctx, others, sealer, Settings::default())
}

/// A client of the demo's partner `P000818`, which signs with keyless MD5.
pub(super) fn demo_client(url: &str) -> Client {
    Client::new(url, Prefix::Test, Credentials::md5("P000818")).unwrap()
}

/// The plain SIMs of `P000818`.
pub(super) fn demo_sim(number: usize) -> String {
    format!("8985200000000001{number:04}")
}
