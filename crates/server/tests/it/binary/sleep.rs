//! A worker that sleeps past its lease, and wakes: it sends nothing more, and its outcome is refused.
//!
//! The first node puts itself to sleep (SIGSTOP) at a step of an order; a second node on the same database takes
//! the order over; then the first is woken.

use std::time::Duration;

use domain::Mode;
use store::{JobKind, Store};
use testkit::{Engine, on_both_engines};

use super::install::{Installation, demo_client};
use super::network::{Network, PARTNER, paid_order, stock};
use super::process::Server;

on_both_engines!(asleep_before_it_sends, asleep_with_an_answer, asleep_with_an_answer_unread);

/// How often something is looked at that is about to happen: for a minute at least.
const LOOKS_MAX: u32 = 1_200;
const PAUSE: Duration = Duration::from_millis(50);
/// What a worker says that was succeeded while it slept.
const LOST: &str = "the lease was lost";

/// Waits until something is so.
pub(super) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if so().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("it does not come to pass: {what}");
}

/// How often the order's job was claimed; `None` once it is done.
async fn claims(store: &Store, order_id: &str) -> Option<i64> {
    let mut tx = store.read().await.unwrap();
    let partner = tx.partner_by_code(Mode::Test, PARTNER).await.unwrap().unwrap();
    let job = tx.job_record((Mode::Test, partner.id), JobKind::Provision.job_id(order_id)).await;
    job.unwrap().map(|job| job.fence)
}

/// When the first node falls asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asleep<'a> {
    /// At a step of its own.
    At(&'a str),
    /// When the network has done what it was asked, and answers slowly.
    WhileAnswered,
}

/// The first node sleeps; gives the order's state in the end, and what the network really did.
async fn sleep(engine: Engine, speak: &str, asleep: Asleep<'_>) -> (String, (u64, u64)) {
    let slow = asleep == Asleep::WhileAnswered;
    let network = if slow { Network::start_slow(speak) } else { Network::start(speak) };
    let installation = Installation::new(engine).await;
    let (store, ctx) = (installation.store().await, server::system_ctx());
    let sims = stock(&store, &ctx, 1, 1_000_000).await;
    let options = ["--lease-seconds=2", &network.option()];
    let mut first = installation.serve(options);
    if let Asleep::At(step) = asleep {
        first.env("FAILPOINTS", format!("{step}=1*return(stop)"));
    }
    let first = Server::start(&mut first);
    let client = demo_client(&first.url);
    let order = client.syn_order_info(&paid_order(&sims[0], "N1")).await.unwrap();
    if slow {
        until("the network does it", async || network.done_and_repeated().await.0 == 1).await;
        first.signal("STOP");
    }
    until("the first node sleeps", async || first.is_stopped()).await;
    let before = claims(&store, &order.order_id).await.unwrap();

    let second = Server::start(&mut installation.serve(options));
    let client = demo_client(&second.url);
    let taken = async || claims(&store, &order.order_id).await.is_none_or(|now| now > before);
    until("the second node has the job", taken).await;
    let decided = async || client.order("N1").await.unwrap().status == "PROVISIONED";
    // At a carrier without keys nobody can tell whether it was sent: it is looked for, until a person is asked.
    let looked_for = speak == "esim-go" && asleep == Asleep::At("after-sending");
    if !looked_for {
        until("the second node ends it", decided).await;
    }
    assert!(first.is_stopped());
    first.signal("CONT");
    let gives_up = async || (first.stdout() + &first.stderr()).contains(LOST);
    until("the first node finds that it lost its lease", gives_up).await;
    let status = client.order("N1").await.unwrap().status;
    let plans = client.single_query_order(&sims[0]).await.unwrap().order_list.len();
    assert_eq!(plans, usize::from(status == "PROVISIONED"));
    assert_eq!(first.stop().code, Some(0));
    assert_eq!(second.stop().code, Some(0));
    store.close().await;
    (status, network.done_and_repeated().await)
}

/// The first node sleeps at a step.
async fn sleep_at(engine: Engine, speak: &str, step: &str) -> (String, (u64, u64)) {
    sleep(engine, speak, Asleep::At(step)).await
}

fn ended(status: &str, done: u64) -> (String, (u64, u64)) {
    (status.to_owned(), (done, 0))
}

async fn asleep_before_it_sends(engine: Engine) {
    // One after another, here and below: at once they would take each other the time that calls have.
    let before = sleep_at(engine, "esim-go", "before-sending").await;
    assert_eq!(before, ended("PROVISIONED", 1));
    let after = sleep_at(engine, "esim-go", "after-sending").await;
    assert_eq!(after, ended("PROVISIONING", 0));
    let native = sleep_at(engine, "esim-access", "after-sending").await;
    assert_eq!(native, ended("PROVISIONED", 1));
}

async fn asleep_with_an_answer(engine: Engine) {
    let unkeyed = sleep_at(engine, "esim-go", "before-writing").await;
    assert_eq!(unkeyed, ended("PROVISIONED", 1));
    let native = sleep_at(engine, "esim-access", "before-writing").await;
    // The second node asked again under the same key, which the network took for a repeat.
    assert_eq!(native, ("PROVISIONED".to_owned(), (1, 1)));
}

async fn asleep_with_an_answer_unread(engine: Engine) {
    let unkeyed = sleep(engine, "esim-go", Asleep::WhileAnswered).await;
    assert_eq!(unkeyed, ended("PROVISIONED", 1));
    let native = sleep(engine, "esim-access", Asleep::WhileAnswered).await;
    assert_eq!(native, ("PROVISIONED".to_owned(), (1, 1)));
}
