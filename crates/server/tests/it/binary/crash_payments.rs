//! The binary is killed at random instants while end users pay through Stripe, which lives on: each payment that
//! succeeded has its one plan or went back whole, nobody pays an order twice, and the books are Stripe's.
//!
//! `CRASH_ROUNDS`, `CRASH_SEED` and `CRASH_SABOTAGE` as for the orders; see `scripts/crash`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Mode;
use domain::ledger::balances;
use domain::order::OrderState;
use domain::sim::{Sim, SimState};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sdk::{Client, Error, NewOrder};
use serde_json::{Value, json};
use store::{Store, Tx};
use testkit::{Engine, WireProxy, all_at_stripe, http_client, on_both_engines};
use tokio::task::JoinSet;

use super::crash::{LIVES, number};
use super::install::{Installation, demo_client};
use super::network::{Network, PARTNER, paid_order, stock};
use super::process::{Directory, Server, run, simmall};

on_both_engines!(killed_while_money_comes, two_payments_of_one_order_are_found);

/// How many end users pay at once.
const USERS: usize = 6;
/// SIMs of the network, and SIMs that the built-in one refuses.
const SIMS: usize = 20;
/// By then every payment is decided: leases have run out, and Stripe was asked again.
const LOOKS_MAX: u32 = 1_500;
const PAUSE: Duration = Duration::from_millis(100);
/// What an order costs, in cents.
const PRICE: i64 = 499;
/// What makes every second intent be forgotten with its key.
const SABOTAGE: &str = "forget-intent=50%return(lost)";
/// So many purchases that it befalls one of them.
const SABOTAGED_MIN: usize = 30;

/// Stripe, played in a process of its own, whose events go to whatever server lives.
struct Stripe {
    server: Server,
    events: WireProxy,
    directory: Directory,
}

impl Stripe {
    async fn start() -> Self {
        let (events, directory) = (WireProxy::start(None).await, Directory::new());
        let hook = format!("--webhook-url=http://{}/stripe/webhook/test", events.address());
        let mut command = simmall(["stripe-double", "--webhook-secret=whsec_test", &hook]);
        let server = Server::start_one(&mut command);
        std::fs::write(directory.join("key"), "sk_test_key").unwrap();
        std::fs::write(directory.join("hook"), "whsec_test").unwrap();
        let file = json!({"test": {
            "secret_key": {"file": directory.join("key")},
            "publishable_key": "pk_test_key",
            "webhook_secret": {"file": directory.join("hook")},
            "base": server.url,
            "call_max_seconds": 2,
        }});
        std::fs::write(directory.join("cashiers.json"), file.to_string()).unwrap();
        Self { server, events, directory }
    }

    fn option(&self) -> String {
        format!("--cashiers={}", self.directory.join("cashiers.json"))
    }
}

/// What an end user buys.
#[derive(Debug, Clone)]
struct Purchase {
    order: NewOrder,
    /// The intents that the user was given: never a second one.
    intents: BTreeSet<String>,
    /// The subscriptions, where it renews: never a second one either.
    subscriptions: BTreeSet<String>,
    /// The card that was saved for it.
    card: Option<String>,
    /// Whether a card is declined before.
    declines: bool,
    /// Whether the client says that it is done, or leaves it to the mall to find out.
    tells: bool,
}

#[derive(Default)]
struct Book {
    made: usize,
    /// Not heard of to the end: they go on later, and only then others.
    unsure: Vec<Purchase>,
    done: Vec<Purchase>,
}

impl Book {
    fn next(&mut self, sims: &[String]) -> Purchase {
        self.unsure.pop().unwrap_or_else(|| {
            self.made += 1;
            let (made, no) = (self.made, format!("N{}", self.made));
            let mut order = paid_order(&sims[made % SIMS], &no).order;
            if made.is_multiple_of(3) && made / 3 < sims.len() - 2 * SIMS {
                // It renews: one at a time on a SIM.
                order.iccid.clone_from(&sims[2 * SIMS + made / 3]);
                order.auto_renewal = true;
            } else if made.is_multiple_of(7) {
                // It cannot be provisioned, and goes back.
                order.iccid.clone_from(&sims[SIMS + made % SIMS]);
                "SP201804280499".clone_into(&mut order.service_plan_code);
                "PACKAGE20180428000007".clone_into(&mut order.package_code);
            }
            let (declines, tells) = (made.is_multiple_of(5), made.is_multiple_of(2));
            let (intents, subscriptions) = Default::default();
            Purchase { order, intents, subscriptions, card: None, declines, tells }
        })
    }
}

/// SIMs of the network, as many that are refused, and so many for orders that renew.
async fn sims(store: &Store, renewing: usize) -> Vec<String> {
    let ctx = server::system_ctx();
    let mut sims = stock(store, &ctx, SIMS + renewing, 0).await;
    let renewing = sims.split_off(SIMS);
    let mut tx = store.begin().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
    for number in 0..SIMS {
        let iccid: domain::Iccid = format!("8985200000088{number:02}9002").parse().unwrap();
        sims.push(iccid.as_str().to_owned());
        let carrier = "simulator".to_owned();
        let sim = Sim { id: ctx.id(), iccid, carrier, state: SimState::Ready };
        tx.insert_sim(Mode::Test, partner.id, &sim, ctx.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    sims.extend(renewing);
    sims
}

/// An answer, asked for again while Stripe is slow.
async fn answered<T, F>(ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match ask().await {
            Err(error) if error.code() == Some("PAYMENT_PROVIDER_UNAVAILABLE") => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Saves a card, and subscribes with it.
async fn subscribe(client: &Client, stripe: &str, purchase: &mut Purchase) -> Result<(), Error> {
    let pay_id = &purchase.order.pay_id;
    let card = if let Some(card) = &purchase.card {
        card.clone()
    } else {
        let auth = answered(|| client.stripe_sub_auth(pay_id)).await?;
        let (setup, _) = auth.client_secret.split_once("_secret_").unwrap();
        let saved = http_client().post(format!("{stripe}/v1/setup_intents/{setup}/confirm"));
        let saved = saved.header("authorization", "Bearer sk_test_dashboard");
        let saved = saved.body("payment_method=pm_card_visa&use_stripe_sdk=true").send().await;
        let saved = saved.unwrap().text().await.unwrap();
        let saved: Value = serde_json::from_str(&saved).unwrap();
        saved["payment_method"].as_str().unwrap().to_owned()
    };
    purchase.card = Some(card.clone());
    let price = ("4.99", "USD");
    let made = answered(|| client.stripe_sub_directly(pay_id, price, ("plan_network", &card)));
    purchase.subscriptions.insert(made.await?.sub_id);
    Ok(())
}

/// Orders and pays; what it was told is noted.
async fn buy(client: &Client, stripe: &str, purchase: &mut Purchase) -> Result<(), Error> {
    client.single_order(&purchase.order).await?;
    if purchase.order.auto_renewal {
        return subscribe(client, stripe, purchase).await;
    }
    let pay_id = &purchase.order.pay_id;
    let auth = answered(|| client.stripe_single_auth(pay_id, ("4.99", "USD"), ""));
    let intent = auth.await?.payment_intent_id;
    purchase.intents.insert(intent.clone());
    for card in ["pm_card_chargeDeclined", "pm_card_visa"] {
        if card == "pm_card_visa" || purchase.declines {
            let paid = http_client().post(format!("{stripe}/_double/pay/{intent}"));
            // What is paid already is not paid again.
            paid.body(json!({"card": card}).to_string()).send().await.unwrap();
        }
    }
    if purchase.tells {
        client.result_confirm(pay_id).await?;
    }
    Ok(())
}

/// Buys as long as there are answers.
async fn buy_on(
    (client, stripe): (Client, String),
    book: Arc<Mutex<Book>>,
    sims: Arc<Vec<String>>,
) {
    loop {
        let mut purchase = book.lock().unwrap().next(&sims);
        match buy(&client, &stripe, &mut purchase).await {
            Ok(()) => book.lock().unwrap().done.push(purchase),
            Err(error @ Error::Refused { .. }) => panic!("{}: {error}", purchase.order.order_no),
            Err(_) => {
                book.lock().unwrap().unsure.push(purchase);
                return;
            }
        }
    }
}

/// A server that Stripe's events go to.
fn start(
    installation: &Installation,
    (network, stripe): (&Network, &Stripe),
    sabotage: bool,
) -> Server {
    let options = [&*network.option(), &*stripe.option(), "--lease-seconds=5"];
    let mut command = installation.serve(options);
    if sabotage {
        command.env("FAILPOINTS", SABOTAGE);
    }
    let server = Server::start(&mut command);
    let address = server.url.trim_start_matches("http://").parse().unwrap();
    stripe.events.lead_to(Some(address));
    server
}

/// Kills so many servers, and gives what is wrong afterwards.
async fn crash(engine: Engine, rounds: u64, sabotage: bool) -> Vec<String> {
    let (installation, network) = (Installation::new(engine).await, Network::start("esim-access"));
    let stripe = Stripe::start().await;
    let store = installation.store().await;
    let renewing = usize::try_from(rounds * 20).unwrap();
    let sims = Arc::new(sims(&store, renewing).await);
    let book = Arc::new(Mutex::new(Book::default()));
    let mut dice = StdRng::seed_from_u64(number("CRASH_SEED", 1));
    for _ in 0..rounds {
        let mut server = start(&installation, (&network, &stripe), sabotage);
        let mut users = JoinSet::new();
        for _ in 0..USERS {
            let to = (demo_client(&server.url), stripe.server.url.clone());
            users.spawn(buy_on(to, Arc::clone(&book), Arc::clone(&sims)));
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(LIVES))).await;
        server.kill();
        users.join_all().await;
    }
    assert!(book.lock().unwrap().made > 0, "nobody bought while servers were killed");
    // What was broken off goes on, to its end; and where lives were too short on a slow machine, more is bought.
    let server = start(&installation, (&network, &stripe), sabotage);
    let client = demo_client(&server.url);
    let enough = if sabotage { SABOTAGED_MIN } else { usize::try_from(rounds).unwrap() };
    let is_enough = || {
        let book = book.lock().unwrap();
        book.unsure.is_empty() && book.done.len() > enough
    };
    while !is_enough() {
        let mut purchase = book.lock().unwrap().next(&sims);
        buy(&client, &stripe.server.url, &mut purchase).await.unwrap();
        book.lock().unwrap().done.push(purchase);
    }
    let done = std::mem::take(&mut book.lock().unwrap().done);
    assert!(done.iter().any(|purchase| !purchase.subscriptions.is_empty()), "nobody renews");
    wait_until_decided(&store, &done).await;
    assert_eq!(server.stop().code, Some(0));
    let mut wrong = look(&store, &done, (&network, &stripe.server.url)).await;
    wrong.extend(look_at_books(&store, &done, &stripe.server.url).await);
    store.close().await;
    let mut doctor = simmall(["doctor", "--deep"]);
    doctor.env("SIMMALL_DATABASE_URL", installation.database_url());
    let doctor = run(&mut doctor, "");
    for name in ["orders", "ledger", "jobs"] {
        let well = format!("ok    {name} ");
        if !doctor.stdout.lines().any(|line| line.starts_with(&well)) {
            wrong.push(format!("the doctor does not find {name} well: {doctor:?}"));
        }
    }
    wrong
}

fn is_decided(state: &OrderState) -> bool {
    matches!(state, OrderState::Provisioned { .. } | OrderState::Refunded { .. })
}

async fn order(tx: &mut Tx, purchase: &Purchase) -> domain::order::Order {
    let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
    let order = tx.order_by_no(Mode::Test, partner.id, &purchase.order.order_no).await.unwrap();
    order.unwrap()
}

async fn wait_until_decided(store: &Store, done: &[Purchase]) {
    let mut left: Vec<&Purchase> = done.iter().collect();
    for _ in 0..LOOKS_MAX {
        let mut tx = store.read().await.unwrap();
        while let Some(purchase) = left.last()
            && is_decided(&order(&mut tx, purchase).await.state)
        {
            left.pop();
        }
        if left.is_empty() {
            return;
        }
        drop(tx);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is wrong with what was bought.
async fn look(
    store: &Store,
    done: &[Purchase],
    (network, stripe): (&Network, &str),
) -> Vec<String> {
    let (counts, mut wrong) = (network.counts().await, Vec::new());
    let journal = http_client().get(format!("{stripe}/_double/journal")).send().await.unwrap();
    let journal: Value = serde_json::from_str(&journal.text().await.unwrap()).unwrap();
    let mut intents = by_payment(stripe, "payment_intents").await;
    let mut subscriptions = by_payment(stripe, "subscriptions?status=all").await;
    let mut tx = store.read().await.unwrap();
    for purchase in done {
        let (no, pay_id) = (&purchase.order.order_no, &purchase.order.pay_id);
        let made = intents.remove(pay_id).unwrap_or_default();
        // Whoever renews is not told of an intent.
        if made.len() != 1 || !made.is_superset(&purchase.intents) {
            wrong.push(format!("{no} has the intents {made:?}, not {:?}", purchase.intents));
        }
        let made = subscriptions.remove(pay_id).unwrap_or_default();
        if made.len() > 1 || made != purchase.subscriptions {
            wrong.push(format!("{no} has {made:?}, not {:?}", purchase.subscriptions));
        }
        let order = order(&mut tx, purchase).await;
        let given = match order.state {
            OrderState::Provisioned { .. } => 1,
            OrderState::Refunded { .. } => 0,
            state => {
                wrong.push(format!("{no} is {}", state.name()));
                continue;
            }
        };
        let sums = &journal["by_payment"][pay_id];
        let sum = |name: &str| sums[name].as_i64().unwrap_or_default();
        let money = ["charges", "charged", "refunds", "refunded"].map(sum);
        if money != [1, PRICE, 1 - given, PRICE * (1 - given)] {
            wrong.push(format!("{no} is {}, and its money: {sums}", order.state.name()));
        }
        if i64::from(tx.sim_plan_of_order(&order).await.unwrap().is_some()) != given {
            wrong.push(format!("{no} is {}, and its plan does not fit", order.state.name()));
        }
        let at_network = counts[order.upstream_key()]["done"].as_i64();
        if order.carrier == super::network::CODE && at_network != Some(given) {
            wrong.push(format!("{no} was done {at_network:?} times by the network"));
        }
    }
    if !intents.is_empty() || !subscriptions.is_empty() {
        wrong.push(format!("nobody bought {intents:?} and {subscriptions:?}"));
    }
    wrong
}

/// The ids of a kind at Stripe, by the payment that they are for.
async fn by_payment(stripe: &str, kind: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in all_at_stripe(stripe, kind).await {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of = found.entry(text(&object["metadata"]["payment"])).or_default();
        of.insert(text(&object["id"]));
    }
    found
}

/// What is in the books and not at Stripe, or the other way round. The demo's old payment was never at this one.
async fn look_at_books(store: &Store, done: &[Purchase], stripe: &str) -> Vec<String> {
    let (mut charged, mut refunded, mut fees) = (0, 0, 0);
    for moved in all_at_stripe(stripe, "balance_transactions").await {
        let amount = moved["amount"].as_i64().unwrap();
        fees += moved["fee"].as_i64().unwrap();
        match moved["type"].as_str().unwrap() {
            "charge" => charged += amount,
            "refund" => refunded -= amount,
            other => return vec![format!("nobody asked for a {other}: {moved}")],
        }
    }
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
    let booked = tx.postings(Mode::Test, partner.id).await.unwrap();
    let mut bought = HashSet::new();
    for purchase in done {
        bought.insert(order(&mut tx, purchase).await.id);
    }
    let own =
        booked.into_iter().filter(|booked| booked.order_id.is_some_and(|id| bought.contains(&id)));
    let postings: Vec<_> = own.map(|booked| booked.posting).collect();
    let sums = balances(&postings).unwrap();
    let of = |name: &str| -> i64 {
        sums.iter().filter(|((account, _), _)| account.as_str() == name).map(|(_, sum)| sum).sum()
    };
    let found = ["stripe_balance", "sales", "stripe_fees"].map(of);
    let expected = [charged - refunded - fees, refunded - charged, fees];
    if found == expected {
        return Vec::new();
    }
    vec![format!("the books have {found:?}, Stripe {expected:?}")]
}

async fn killed_while_money_comes(engine: Engine) {
    let sabotage = std::env::var("CRASH_SABOTAGE").is_ok();
    let wrong = crash(engine, number("CRASH_ROUNDS", 10), sabotage).await;
    assert_eq!(wrong, Vec::<String>::new());
}

async fn two_payments_of_one_order_are_found(engine: Engine) {
    let wrong = crash(engine, 4, true).await;
    assert!(wrong.iter().any(|what| what.contains("has the intents")), "{wrong:?}");
}
