//! What pushes must withstand: events that an endpoint cannot take, an endpoint that moves, asks for time or is gone,
//! events that are told again while they are told, and samples that hang.

use domain::push::{DeliveryState, EndpointState};
use domain::{Mode, Span, Timestamp};
use sdk::{Again, ChangeEndpoint, Client};
use store::{PushAttempt, PushDelivery, PushOutcome};
use testkit::{
    Engine, Received, Receiver, Reply, TestEndpoint, TestMall, TestPartner, on_both_engines,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

on_both_engines!(
    a_few_poison_events_do_not_keep_an_endpoint_shut,
    a_closing_breaker_leaves_the_schedule_of_what_fails_alone,
    what_the_old_url_answers_is_not_held_against_the_new_one,
    who_asks_for_time_gets_it,
    what_is_told_again_while_it_is_told_comes_again,
    who_says_that_it_is_gone_gets_nothing_more,
    what_failed_lately_is_told_again_but_for_samples,
    a_sample_goes_alone_and_is_noted_though_nobody_waits,
    what_waits_for_a_paused_endpoint_goes_in_the_end,
);

/// Orders that are delivered, so that each is told; numbers begin with a word.
async fn delivered(mall: &TestMall, partner: &TestPartner, client: &Client, numbers: &[String]) {
    for (number, sim) in numbers.iter().zip(partner.sims.iter().cycle()) {
        client.syn_order_info(&partner.paid_order(sim, number)).await.unwrap();
    }
    mall.settle().await;
}

fn numbers(word: &str, many: usize) -> Vec<String> {
    (0..many).map(|number| format!("{word}{number}")).collect()
}

fn is_of(received: &Received, word: &str) -> bool {
    String::from_utf8_lossy(&received.body).contains(&format!("\"{word}"))
}

fn came(receiver: &Receiver, word: &str) -> usize {
    receiver.received().iter().filter(|one| is_of(one, word)).count()
}

async fn pause(client: &Client, endpoint: &TestEndpoint, paused: bool) {
    let endpoint_id = endpoint.row.id.to_string();
    let change = ChangeEndpoint { endpoint_id, paused: Some(paused), ..ChangeEndpoint::default() };
    client.change_push_endpoint(&change).await.unwrap();
}

/// Writes what became of a delivery, as the relay does.
async fn decide(
    mall: &TestMall,
    endpoint: &TestEndpoint,
    was: &PushDelivery,
    (state, tries, due_at): (DeliveryState, i64, Timestamp),
) {
    let (event_id, was) = (was.event_id, (was.tries, was.due_at));
    let outcome = PushOutcome { event_id, was, was_tried: true, state, tries, due_at };
    let attempt = PushAttempt {
        event_id,
        tried_at: mall.now(),
        latency: Span::micros(0),
        status: None,
        failure: String::new(),
        said: String::new(),
    };
    let mut tx = mall.store().begin().await.unwrap();
    tx.write_push_outcomes(&[(endpoint.row.key(), &outcome, &attempt)]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_few_poison_events_do_not_keep_an_endpoint_shut(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    receiver.answers(|got| Reply::Status(if is_of(got, "BAD") { 500 } else { 200 }));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    pause(&client, &endpoint, true).await;
    delivered(&mall, &partner, &client, &numbers("BAD", 8)).await;
    mall.clock.advance(Span::seconds(1));
    delivered(&mall, &partner, &client, &numbers("GOOD", 1)).await;
    pause(&client, &endpoint, false).await;
    mall.settle_pushes().await;
    assert!(endpoint.now(&mall).await.health.probe_at.is_some());
    assert_eq!(came(&receiver, "GOOD"), 0);
    for _ in 0..2 {
        mall.advance_and_tell(Span::minutes(5)).await;
    }
    assert_eq!(came(&receiver, "GOOD"), 1, "{:?}", endpoint.now(&mall).await);
    mall.stop().await;
}

async fn a_closing_breaker_leaves_the_schedule_of_what_fails_alone(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    receiver.answers(|_| Reply::Status(500));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    delivered(&mall, &partner, &client, &numbers("ALONE", 1)).await;
    mall.settle_pushes().await;
    // By now it has failed so often that it was not the outage that held it up.
    let was = endpoint.deliveries(&mall).await.pop().unwrap();
    assert_eq!(was.tries, 1);
    let later = mall.now() + Span::minutes(120);
    mall.clock.advance(Span::millis(1));
    // Nobody may know whether a write was done, and do it again: the same try is one try.
    for _ in 0..2 {
        decide(&mall, &endpoint, &was, (was.state, 4, later)).await;
    }
    assert_eq!(endpoint.attempts(&mall, was.event_id).await.len(), 2);
    delivered(&mall, &partner, &client, &numbers("HELD", 2)).await;
    mall.settle_pushes().await;
    mall.advance_and_tell(Span::seconds(6)).await;
    assert!(endpoint.now(&mall).await.health.probe_at.is_some());
    receiver.answers(|_| Reply::Status(200));
    for _ in 0..2 {
        mall.advance_and_tell(Span::minutes(5)).await;
    }
    let told = endpoint.deliveries(&mall).await;
    let (alone, held): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|one| one.event_id == was.event_id);
    assert!(held.iter().all(|one| one.state == DeliveryState::Delivered), "{held:?}");
    let is_as_it_was = (DeliveryState::Waiting, 4, later);
    assert_eq!((alone[0].state, alone[0].tries, alone[0].due_at), is_as_it_was);
    assert_eq!(came(&receiver, "ALONE"), 1);
    mall.advance_and_tell(Span::minutes(120)).await;
    assert_eq!(came(&receiver, "ALONE"), 2);
    mall.stop().await;
}

/// Takes a push and does not answer it.
async fn taken(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let many = stream.read(&mut part).await.unwrap();
        got.extend_from_slice(&part[..many]);
        // The body is one object that is closed last of all.
        if many == 0 || got.ends_with(b"\"partner_code\":\"P100\"}") {
            return stream;
        }
    }
}

async fn answer(mut stream: TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn what_the_old_url_answers_is_not_held_against_the_new_one(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", old.local_addr().unwrap());
    let endpoint = mall.add_endpoint(&partner, &url, &[]).await;
    pause(&client, &endpoint, true).await;
    delivered(&mall, &partner, &client, &numbers("N", 3)).await;
    pause(&client, &endpoint, false).await;
    answer(taken(&old).await, "200 OK").await;
    // A success later two are on their way at once.
    let (one, other) = (taken(&old).await, taken(&old).await);
    let change = ChangeEndpoint {
        endpoint_id: endpoint.row.id.to_string(),
        url: Some(receiver.url("/new")),
        ..ChangeEndpoint::default()
    };
    client.change_push_endpoint(&change).await.unwrap();
    answer(one, "500 No").await;
    let written = async || {
        let told = endpoint.deliveries(&mall).await;
        let mut tries = 0;
        for delivery in told {
            tries += endpoint.attempts(&mall, delivery.event_id).await.len();
        }
        tries
    };
    // What the first answered is written: the relay knows then of the new URL, or learns of it right away.
    while written().await < 2 {
        tokio::task::yield_now().await;
    }
    answer(other, "410 Gone").await;
    mall.settle_pushes().await;
    mall.advance_and_tell(Span::seconds(6)).await;
    assert_eq!(receiver.received_at("/new").len(), 2);
    let now = endpoint.now(&mall).await;
    assert_eq!((now.state, now.off_reason.as_str()), (EndpointState::On, ""));
    assert_eq!((now.health.failures, now.health.failing_since), (0, None));
    mall.stop().await;
}

async fn who_asks_for_time_gets_it(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    receiver.answers(|_| Reply::RetryAfter(429, "90"));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    // However often it asks, and whatever happens meanwhile: nothing is sent before the time is over, and nothing counts.
    for asked in 1..=4 {
        delivered(&mall, &partner, &client, &numbers(&format!("N{asked}-"), 1)).await;
        mall.settle_pushes().await;
        assert_eq!(receiver.received().len(), asked);
        let health = endpoint.now(&mall).await.health;
        let since = mall.now() - Span::seconds(i64::from(asked > 1));
        assert_eq!((health.failures, health.probe_at), (0, Some(since + Span::seconds(90))));
        mall.advance_and_tell(Span::seconds(88)).await;
        assert_eq!(receiver.received().len(), asked);
        mall.advance_and_tell(Span::seconds(if asked == 1 { 2 } else { 1 })).await;
        assert_eq!(receiver.received().len(), asked + 1);
        mall.clock.advance(Span::seconds(1));
    }
    receiver.answers(|_| Reply::Status(200));
    mall.advance_and_tell(Span::seconds(89)).await;
    let told = endpoint.deliveries(&mall).await;
    let outcomes: Vec<_> = told.iter().map(|one| (one.state, one.tries)).collect();
    assert_eq!(outcomes.len(), 4);
    assert!(
        outcomes.iter().all(|(state, tries)| *state == DeliveryState::Delivered && *tries <= 1)
    );
    mall.stop().await;
}

async fn what_is_told_again_while_it_is_told_comes_again(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    receiver.answers(|_| Reply::Hang(200));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    delivered(&mall, &partner, &client, &numbers("N", 1)).await;
    receiver.wait_for(1).await;
    let event = endpoint.deliveries(&mall).await.pop().unwrap().event_id.to_string();
    let id = endpoint.row.id.to_string();
    let resent = client.resend_pushes(&id, Again::Event(&event), "").await.unwrap();
    assert_eq!(resent.count, 1);
    receiver.answers(|_| Reply::Status(200));
    receiver.go_on();
    mall.settle_pushes().await;
    assert_eq!(receiver.received().len(), 2);
    let told = endpoint.deliveries(&mall).await.pop().unwrap();
    assert_eq!((told.state, told.tries), (DeliveryState::Delivered, 1));
    assert_eq!(endpoint.attempts(&mall, told.event_id).await.len(), 2);
    // Tries that were made before there was a place for the last one stand all in the log.
    let told_again = async || {
        mall.clock.advance(Span::millis(1));
        client.resend_pushes(&id, Again::Event(&event), "").await.unwrap();
        mall.settle_pushes().await;
    };
    let moved =
        "INSERT INTO push_attempts SELECT mode, partner_id, endpoint_id, event_id, tried_at,
        latency_micros, status, failure, said FROM push_deliveries";
    assert_eq!(mall.database.execute(moved).await, 1);
    mall.database.execute("UPDATE push_deliveries SET tried_at = NULL").await;
    assert_eq!(endpoint.attempts(&mall, told.event_id).await.len(), 2);
    for many in [3, 4] {
        told_again().await;
        assert_eq!(endpoint.attempts(&mall, told.event_id).await.len(), many);
    }
    mall.stop().await;
}

async fn who_says_that_it_is_gone_gets_nothing_more(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    pause(&client, &endpoint, true).await;
    delivered(&mall, &partner, &client, &numbers("N", 20)).await;
    let first = std::sync::atomic::AtomicBool::new(true);
    receiver.answers(move |_| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        Reply::Status(if is_first { 200 } else { 410 })
    });
    pause(&client, &endpoint, false).await;
    mall.settle_pushes().await;
    // A success, and the two that were then on their way at once.
    assert!(receiver.received().len() <= 3, "{}", receiver.received().len());
    let now = endpoint.now(&mall).await;
    assert_eq!(now.state, EndpointState::Off);
    assert!(now.off_reason.contains("410"), "{}", now.off_reason);
    // It is told all when it is there again.
    receiver.answers(|_| Reply::Status(200));
    pause(&client, &endpoint, false).await;
    mall.settle_pushes().await;
    let told = endpoint.deliveries(&mall).await;
    assert!(told.iter().all(|one| one.state == DeliveryState::Delivered), "{told:?}");
    mall.stop().await;
}

async fn what_failed_lately_is_told_again_but_for_samples(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    receiver.answers(|_| Reply::Status(500));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    let id = endpoint.row.id.to_string();
    delivered(&mall, &partner, &client, &numbers("N", 1)).await;
    mall.settle_pushes().await;
    // The next try falls due meanwhile: it is over before it is read how it stands.
    mall.advance_and_tell(Span::minutes(90)).await;
    let was = endpoint.deliveries(&mall).await.pop().unwrap();
    decide(&mall, &endpoint, &was, (DeliveryState::Failed, 8, mall.now())).await;
    let sample = client.test_push_endpoint(&id).await.unwrap();
    assert_eq!(sample.state, "failed");
    let since = |ago: Span| Again::FailedSince((mall.now() - ago).as_millis());
    mall.clock.advance(Span::minutes(1));
    // It failed a minute ago, though it happened long before.
    let none = client.resend_pushes(&id, since(Span::seconds(59)), "").await.unwrap();
    assert_eq!(none.count, 0);
    receiver.answers(|_| Reply::Status(200));
    let one = client.resend_pushes(&id, since(Span::seconds(61)), "").await.unwrap();
    assert_eq!((one.count, one.next_cursor), (1, None));
    mall.settle_pushes().await;
    let told = endpoint.deliveries(&mall).await;
    let of = |state| told.iter().filter(|one| one.state == state).count();
    assert_eq!((of(DeliveryState::Delivered), of(DeliveryState::Failed)), (1, 1));
    mall.stop().await;
}

async fn a_sample_goes_alone_and_is_noted_though_nobody_waits(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    receiver.answers(|_| Reply::Hang(200));
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &[]).await;
    let (client, id) = (partner.client(&mall), endpoint.row.id.to_string());
    let asking = tokio::spawn({
        let (client, id) = (partner.client(&mall), id.clone());
        async move { client.test_push_endpoint(&id).await }
    });
    receiver.wait_for(1).await;
    let refused = client.test_push_endpoint(&id).await.unwrap_err();
    assert_eq!(refused.code(), Some("RATE_LIMITED"));
    // It is told again when it has been told.
    let event = receiver.received()[0].event_id().to_owned();
    let early = client.resend_pushes(&id, Again::Event(&event), "").await.unwrap_err();
    assert_eq!(early.code(), Some("EVENT_UNKNOWN"));
    // Another endpoint has a place of its own.
    let other = mall.add_endpoint(&partner, "http://127.0.0.1:1/", &[]).await;
    let missed = client.test_push_endpoint(&other.row.id.to_string()).await.unwrap();
    assert_eq!(missed.state, "failed");
    asking.abort();
    assert!(asking.await.is_err());
    receiver.go_on();
    while endpoint.deliveries(&mall).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let told = endpoint.deliveries(&mall).await.pop().unwrap();
    assert_eq!(told.state, DeliveryState::Delivered);
    assert_eq!(endpoint.attempts(&mall, told.event_id).await.len(), 1);
    receiver.answers(|_| Reply::Status(200));
    mall.clock.advance(Span::millis(1));
    client.resend_pushes(&id, Again::Event(&event), "").await.unwrap();
    mall.settle_pushes().await;
    assert_eq!(endpoint.attempts(&mall, told.event_id).await.len(), 2);
    mall.stop().await;
}

async fn what_waits_for_a_paused_endpoint_goes_in_the_end(engine: Engine) {
    let (mall, receiver) = (TestMall::start(engine).await, Receiver::start().await);
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    let endpoint = mall.add_endpoint(&partner, &receiver.url("/"), &["recharge.success"]).await;
    pause(&client, &endpoint, true).await;
    delivered(&mall, &partner, &client, &numbers("N", 1)).await;
    let event = endpoint.deliveries(&mall).await.pop().unwrap().event_id.to_string();
    let id = endpoint.row.id.to_string();
    mall.clock.advance(Span::minutes(30 * 24 * 60 - 1));
    assert_eq!(mall.mall().sweep_pushes().await.unwrap(), 0);
    // What will be gone in a moment is told to nobody any more.
    let refused = client.resend_pushes(&id, Again::Event(&event), "").await.unwrap_err();
    assert_eq!(refused.code(), Some("EVENT_UNKNOWN"));
    mall.clock.advance(Span::minutes(2));
    assert_eq!(mall.mall().sweep_pushes().await.unwrap(), 2);
    assert_eq!(endpoint.deliveries(&mall).await, []);
    mall.stop().await;
}
