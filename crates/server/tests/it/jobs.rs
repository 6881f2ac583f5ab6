//! Jobs: what the mall does on its own, driven by the clock, however the network behaves and whichever
//! node lives.

use domain::sim::SimState;
use domain::{Mode, Span, Timestamp};
use mall::Settings;
use sdk::{Client, Order, PaidOrder};
use store::{JobKind, NewJob, StoreError};
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};

use crate::steps::{assert_owes, at_once, client_at, daily, postings, set_credit, settle_nodes};

on_both_engines!(
    an_unpaid_order_closes_after_its_time,
    a_late_payment_reopens_a_closed_order,
    a_slow_network_is_asked_until_it_is_done,
    a_busy_network_is_asked_again,
    a_lost_reply_is_looked_up_and_not_repeated,
    what_nobody_can_tell_goes_to_a_person,
    a_dead_workers_job_is_taken_over,
    a_dead_workers_poll_is_taken_over,
    a_late_word_does_not_touch_the_next_workers_job,
    two_nodes_share_the_work,
    a_stopped_node_finishes_what_it_runs,
    a_backlog_drains,
    what_falls_due_does_not_wait_for_a_lull,
    parts_of_operations_do_not_stand_behind_orders,
);

/// A node that answers and runs no jobs.
fn without_workers() -> Recipe {
    let settings = Settings { workers: 0, ..Recipe::default().settings };
    Recipe { settings, ..Recipe::default() }
}

async fn an_unpaid_order_closes_after_its_time(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.single_order(&partner.order(sim, "N1")).await.unwrap();
    let unknown = PaidOrder { pay_status: "2".to_owned(), ..partner.paid_order(sim, "N2") };
    client.syn_order_info(&unknown).await.unwrap();
    // This one is paid in time, and does not close.
    let mut paid = PaidOrder { pay_status: "2".to_owned(), ..partner.paid_order(sim, "N3") };
    client.syn_order_info(&paid).await.unwrap();
    mall.advance(Span::seconds(30 * 60 - 1)).await;
    paid.pay_status = "1".into();
    client.syn_order_info(&paid).await.unwrap();
    for (number, status, word) in
        [("N1", "AWAITING_PAYMENT", "processing"), ("N2", "AWAITING_PAYMENT", "processing")]
    {
        assert_eq!(client.order(number).await.unwrap().status, status);
        assert_eq!(client.result_query(&format!("P100{number}")).await.unwrap().pay_rst, word);
    }
    mall.advance(Span::seconds(1)).await;
    for (number, status, word) in
        [("N1", "CLOSED", "closed"), ("N2", "CLOSED", "closed"), ("N3", "PROVISIONED", "success")]
    {
        assert_eq!(client.order(number).await.unwrap().status, status, "{number}");
        assert_eq!(client.result_query(&format!("P100{number}")).await.unwrap().pay_rst, word);
    }
    // A closed order's number stays taken: the repeat finds it as it is.
    client.single_order(&partner.order(sim, "N1")).await.unwrap();
    assert_eq!(client.order("N1").await.unwrap().status, "CLOSED");
    assert_eq!(client.syn_order_info(&unknown).await.unwrap().order_status, "CLOSED");
    mall.stop().await;
}

async fn a_late_payment_reopens_a_closed_order(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    let mut order = PaidOrder { pay_status: "2".to_owned(), ..partner.paid_order(sim, "N1") };
    let made = client.syn_order_info(&order).await.unwrap();
    mall.advance(Span::days(3)).await;
    assert_eq!(client.order("N1").await.unwrap().status, "CLOSED");
    order.pay_status = "1".into();
    let late = client.syn_order_info(&order).await.unwrap();
    assert_eq!(late.order_id, made.order_id);
    mall.settle().await;
    let order = client.order("N1").await.unwrap();
    assert_eq!((order.status.as_str(), order.pay_result.as_str()), ("PROVISIONED", "success"));
    assert_eq!(order.effective_at, Some(mall.now().as_millis()));
    assert_owes(&mall, &partner, 800).await;

    // A late failure ends a closed order for good.
    let mut order = PaidOrder { pay_status: "2".to_owned(), ..partner.paid_order(sim, "N2") };
    client.syn_order_info(&order).await.unwrap();
    mall.advance(Span::minutes(30)).await;
    (order.pay_rst, order.pay_status) = ("FAIL".to_owned(), "0".to_owned());
    assert_eq!(client.syn_order_info(&order).await.unwrap().order_status, "FAILED");
    assert_eq!(client.result_query("P100N2").await.unwrap().pay_rst, "fail");
    mall.stop().await;
}

/// Reports a paid order for a SIM with a special ending, and lets the jobs run that are due.
async fn order_for(mall: &TestMall, partner: &TestPartner, ending: &str) -> String {
    let sim = mall.add_sim(partner, ending, "simulator", SimState::Ready).await;
    let order = partner.paid_order(&sim, &format!("N{ending}"));
    partner.client(mall).syn_order_info(&order).await.unwrap();
    mall.settle().await;
    sim
}

async fn plans_on(client: &Client, sim: &str) -> usize {
    client.single_query_order(sim).await.unwrap().order_list.len()
}

async fn a_slow_network_is_asked_until_it_is_done(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = order_for(&mall, &partner, "9001").await;
    // The network takes 60 seconds.
    for _ in 0..59 {
        let order = client.order("N9001").await.unwrap();
        assert_eq!((order.status.as_str(), order.provisioned_at), ("PROVISIONING", None));
        assert_eq!(plans_on(&client, &sim).await, 0);
        mall.advance(Span::seconds(1)).await;
    }
    // It is asked seldom enough to let it work, and often enough not to be forgotten.
    mall.advance(Span::seconds(21)).await;
    let order = client.order("N9001").await.unwrap();
    assert_eq!(order.status, "PROVISIONED");
    assert_eq!(order.effective_at, order.provisioned_at);
    assert_eq!(plans_on(&client, &sim).await, 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn a_busy_network_is_asked_again(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = order_for(&mall, &partner, "9003").await;
    // It is put off twice, by two seconds each. The network did nothing, so that the order is paid and
    // no more.
    for _ in 0..2 {
        assert_eq!(client.order("N9003").await.unwrap().status, "PAID");
        mall.advance(Span::seconds(1)).await;
        assert_eq!(client.order("N9003").await.unwrap().status, "PAID");
        mall.advance(Span::seconds(1)).await;
    }
    assert_eq!(client.order("N9003").await.unwrap().status, "PROVISIONED");
    assert_eq!(plans_on(&client, &sim).await, 1);
    mall.stop().await;
}

async fn a_lost_reply_is_looked_up_and_not_repeated(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = order_for(&mall, &partner, "9004").await;
    assert_eq!(client.order("N9004").await.unwrap().status, "PROVISIONED");
    // Whatever the mall still had in mind comes to nothing more.
    for _ in 0..10 {
        mall.advance(Span::minutes(1)).await;
    }
    assert_eq!(plans_on(&client, &sim).await, 1);
    assert_eq!(postings(&mall, &partner).await, 1);
    assert_owes(&mall, &partner, 800).await;
    mall.stop().await;
}

async fn what_nobody_can_tell_goes_to_a_person(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = order_for(&mall, &partner, "9005").await;
    for _ in 0..3 {
        let order = client.order("N9005").await.unwrap();
        assert_eq!((order.status.as_str(), order.pay_result.as_str()), ("REVIEW", "success"));
        let failure = order.failure.unwrap();
        assert_eq!(failure.code, "CARRIER_UNCLEAR");
        assert!(failure.message.contains("answer was lost"), "{}", failure.message);
        // Nothing is guessed: there is no plan, and the booking stands until somebody decides.
        assert_eq!(plans_on(&client, &sim).await, 0);
        assert_owes(&mall, &partner, 800).await;
        mall.advance(Span::days(1)).await;
    }
    mall.stop().await;
}

/// A worker that takes all due jobs for 20 seconds, as they all do, and then does nothing.
async fn claim_and_die(mall: &TestMall) -> Vec<store::Job> {
    let (now, lease) = (mall.now(), Settings::default().lease);
    let mut tx = mall.store().begin().await.unwrap();
    let claimed = tx.claim_jobs(now, now + lease, 100).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

async fn a_dead_workers_job_is_taken_over(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&partner.paid_order(sim, "N1")).await.unwrap();
    let dead = claim_and_die(&mall).await;
    assert_eq!(dead.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Provision]);

    let living = mall.another_node(Recipe::default()).await;
    let nodes = [mall.mall(), &living.mall];
    // The lease holds: nobody else touches the job.
    mall.clock.advance(Span::seconds(15));
    settle_nodes(&nodes).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PAID");
    mall.clock.advance(Span::seconds(14));
    settle_nodes(&nodes).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_eq!(plans_on(&client, sim).await, 1);
    assert_late_words_are_refused(&mall, &dead[0]).await;
    assert_eq!(plans_on(&client, sim).await, 1);
    assert_owes(&mall, &partner, 800).await;
    living.stop().await;
    mall.stop().await;
}

async fn a_dead_workers_poll_is_taken_over(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let sim = mall.add_sim(&partner, "9001", "simulator", SimState::Ready).await;
    client.syn_order_info(&partner.paid_order(&sim, "N1")).await.unwrap();
    // One node asks the network, which takes a minute, and stops.
    let first = mall.another_node(Recipe::default()).await;
    settle_nodes(&[mall.mall(), &first.mall]).await;
    first.stop().await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONING");
    // A worker claims the question that is due, and dies; while it is thought alive the network is
    // done.
    mall.clock.advance(Span::seconds(60));
    let dead = claim_and_die(&mall).await;
    assert_eq!(dead.len(), 1);
    let living = mall.another_node(Recipe::default()).await;
    let nodes = [mall.mall(), &living.mall];
    settle_nodes(&nodes).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONING");
    // One that claims the same job again holds a higher fence.
    mall.clock.advance(Span::seconds(29));
    settle_nodes(&nodes).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_eq!(plans_on(&client, &sim).await, 1);
    assert_late_words_are_refused(&mall, &dead[0]).await;
    living.stop().await;
    mall.stop().await;
}

async fn a_late_word_does_not_touch_the_next_workers_job(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sim, client) = (&partner.sims[0], partner.client(&mall));
    client.syn_order_info(&partner.paid_order(sim, "N1")).await.unwrap();
    let asleep = claim_and_die(&mall).await.remove(0);
    assert!(claim_and_die(&mall).await.is_empty(), "a job was claimed twice");
    mall.clock.advance(Settings::default().lease);
    let next = claim_and_die(&mall).await.remove(0);
    assert_eq!(next.id, asleep.id);
    assert!(next.fence > asleep.fence);
    // The first one wakes up while the next one works: the job is still there, but no longer its own.
    assert_late_words_are_refused(&mall, &asleep).await;
    // The next one's word counts.
    let mut tx = mall.store().begin().await.unwrap();
    tx.reschedule_job(&next, mall.now(), 0, "").await.unwrap();
    tx.commit().await.unwrap();
    let node = mall.another_node(Recipe::default()).await;
    settle_nodes(&[mall.mall(), &node.mall]).await;
    assert_eq!(client.order("N1").await.unwrap().status, "PROVISIONED");
    assert_eq!(plans_on(&client, sim).await, 1);
    node.stop().await;
    mall.stop().await;
}

/// Whatever a worker says of a job after it lost it is refused.
async fn assert_late_words_are_refused(mall: &TestMall, job: &store::Job) {
    let lost = |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::LeaseLost));
    let mut tx = mall.store().begin().await.unwrap();
    assert!(lost(tx.finish_job(job).await));
    assert!(lost(tx.reschedule_job(job, mall.now(), 0, "").await));
    assert!(lost(tx.bury_job(job, "").await));
    // Even if nobody looked at the answers.
    tx.commit().await.unwrap();
    settle_nodes(&[mall.mall()]).await;
}

/// Twenty SIMs, so that few orders meet on one.
async fn twenty_sims(mall: &TestMall, partner: &TestPartner) -> Vec<String> {
    let mut sims = Vec::new();
    for number in 0..20 {
        let ending = format!("10{number:02}");
        sims.push(mall.add_sim(partner, &ending, "simulator", SimState::Ready).await);
    }
    sims
}

/// All orders of the SIMs.
async fn orders_of(client: &Client, sims: &[String]) -> Vec<Order> {
    let mut orders = Vec::new();
    for sim in sims {
        let page = client.orders_of_sim(sim, 1).await.unwrap();
        assert_eq!(page.orders.len(), usize::try_from(page.total_count).unwrap());
        orders.extend(page.orders);
    }
    orders
}

/// Insists that each SIM has so many plans, that they follow each other day by day without gap or
/// overlap once the clock has run through them all, and that each order gave one.
async fn assert_each_provisioned_once(
    mall: &TestMall,
    nodes: &[&std::sync::Arc<mall::Mall>],
    (client, sims): (&Client, &[String]),
    per_sim: usize,
) {
    let statuses: Vec<String> =
        orders_of(client, sims).await.into_iter().map(|order| order.status).collect();
    assert_eq!(statuses, vec!["PROVISIONED"; per_sim * sims.len()]);
    for sim in sims {
        assert_eq!(plans_on(client, sim).await, per_sim);
    }
    let start: Timestamp = mall.now();
    mall.clock.advance(Span::days(i64::try_from(per_sim).unwrap()));
    settle_nodes(nodes).await;
    for sim in sims {
        assert_eq!(plans_on(client, sim).await, 0);
        let orders = client.orders_of_sim(sim, 1).await.unwrap().orders;
        let mut days: Vec<_> =
            orders.iter().map(|order| (order.effective_at, order.expire_at)).collect();
        days.sort_unstable();
        let day = |number: i64| Some((start + Span::days(number)).as_millis());
        let expected: Vec<_> =
            (0_i64..).take(per_sim).map(|number| (day(number), day(number + 1))).collect();
        assert_eq!(days, expected);
    }
}

async fn two_nodes_share_the_work(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let sims = twenty_sims(&mall, &partner).await;
    let other = mall.another_node(Recipe::default()).await;
    let nodes = [mall.mall(), &other.mall];
    let clients = [partner.client(&mall), client_at(&other, &mall, &partner)];
    // 200 orders; each is reported to both nodes at the same moment.
    for round in 0..4 {
        let answers = at_once(100, |number| {
            let place = round * 50 + number / 2;
            let order = daily(&partner, &sims[place % 20], &format!("N{place}"), 1);
            let client = clients[number % 2].clone();
            async move { (place, client.syn_order_info(&order).await.unwrap().order_id) }
        })
        .await;
        for pair in answers.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }
    settle_nodes(&nodes).await;
    assert_owes(&mall, &partner, 200 * 80).await;
    assert_eq!(postings(&mall, &partner).await, 200);
    assert_each_provisioned_once(&mall, &nodes, (&clients[1], &sims), 10).await;
    other.stop().await;
    mall.stop().await;
}

async fn a_stopped_node_finishes_what_it_runs(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sims, client) = (twenty_sims(&mall, &partner).await, partner.client(&mall));
    for number in 0..100 {
        let order = daily(&partner, &sims[number % 20], &format!("N{number}"), 1);
        client.syn_order_info(&order).await.unwrap();
    }
    // A node is stopped in the middle of its work.
    let node = mall.another_node(Recipe::default()).await;
    let mut looks = 0;
    loop {
        let orders = client.orders_of_sim(&sims[0], 1).await.unwrap().orders;
        if orders.iter().any(|order| order.status == "PROVISIONED") {
            break;
        }
        looks += 1;
        assert!(looks < 10_000, "the node does not begin: {orders:?}");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    node.stop().await;
    // What it had begun it finished; the clock stands still, so that no lease has run out.
    let orders = orders_of(&client, &sims).await;
    let finished = orders.iter().filter(|order| order.status == "PROVISIONED").count();
    let untouched = orders.iter().filter(|order| order.status == "PAID").count();
    assert!(finished > 0 && finished + untouched == 100, "{finished} {untouched}");
    assert_eq!(claimed_by_nobody(&mall).await, untouched);
    mall.stop().await;
}

/// How many jobs that provision are due, and so held by nobody.
async fn claimed_by_nobody(mall: &TestMall) -> usize {
    let due = claim_and_die(mall).await;
    due.iter().filter(|job| job.kind == JobKind::Provision).count()
}

async fn a_backlog_drains(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let (sims, client) = (twenty_sims(&mall, &partner).await, partner.client(&mall));
    // No node runs jobs for an hour; orders keep coming in.
    for number in 0..100 {
        let order = daily(&partner, &sims[number % 20], &format!("N{number}"), 1);
        client.syn_order_info(&order).await.unwrap();
        mall.clock.advance(Span::seconds(36));
    }
    let orders = orders_of(&client, &sims).await;
    assert!(orders.iter().all(|order| order.status == "PAID"));
    assert!(!mall.mall().is_idle().await.unwrap());

    let node = mall.another_node(Recipe::default()).await;
    let nodes = [mall.mall(), &node.mall];
    settle_nodes(&nodes).await;
    assert_owes(&mall, &partner, 100 * 80).await;
    assert_each_provisioned_once(&mall, &nodes, (&client, &sims), 5).await;
    let mut reader = mall.store().read().await.unwrap();
    let standing = reader.standing_jobs(Mode::Test, partner.partner.id).await.unwrap();
    assert_eq!(standing, [], "no job is left over");
    drop(reader);
    node.stop().await;
    mall.stop().await;
}

async fn what_falls_due_does_not_wait_for_a_lull(engine: Engine) {
    let settings = Settings { poll: Span::millis(300), ..Recipe::default().settings };
    let mall = TestMall::with(engine, Recipe { settings, ..Recipe::default() }).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    set_credit(&mall, &partner, 100_000_000).await;
    let client = partner.client(&mall);
    // A network that takes a minute is done when it is asked again.
    order_for(&mall, &partner, "9001").await;
    mall.clock.advance(Span::seconds(90));
    // Meanwhile orders come in one after another, each of which keeps the workers busy at once.
    for number in 0..3_000 {
        let order = daily(&partner, &partner.sims[number % 3], &format!("N{number}"), 1);
        client.syn_order_info(&order).await.unwrap();
        if client.order("N9001").await.unwrap().status == "PROVISIONED" {
            mall.stop().await;
            return;
        }
    }
    panic!("it waits for a lull");
}

async fn parts_of_operations_do_not_stand_behind_orders(engine: Engine) {
    let mall = TestMall::with(engine, without_workers()).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    for number in ["N1", "N2", "N3"] {
        client.syn_order_info(&partner.paid_order(&partner.sims[0], number)).await.unwrap();
    }
    let later = mall.now() + Span::seconds(5);
    let part = NewJob {
        mode: Mode::Test,
        partner_id: partner.partner.id,
        kind: JobKind::GroupChunk,
        subject: "an operation's part".to_owned(),
        trace: String::new(),
        run_at: later,
        claimed_at: None,
    };
    let mut tx = mall.store().begin().await.unwrap();
    tx.insert_job(&part, mall.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(mall.store().due().await.unwrap().group_part_at, Some(later));

    let lease = later + Settings::default().lease;
    let mut tx = mall.store().begin().await.unwrap();
    assert_eq!(tx.claim_group_parts(mall.now(), lease, 1).await.unwrap(), [], "not due yet");
    // Of the jobs of orders, however many there are, none is one of them.
    let orders = tx.claim_jobs(later, lease, 100).await.unwrap();
    assert_eq!(orders.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Provision; 3]);
    let parts = tx.claim_group_parts(later, lease, 1).await.unwrap();
    assert_eq!(parts.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::GroupChunk]);
    tx.commit().await.unwrap();
    mall.stop().await;
}
