//! No push reaches an address inside, whatever names answer and whenever.

use domain::Mode;
use pushes::{FailureKind, Policy, Sender, Settings, SystemNames};
use std::sync::Arc;

use crate::peer::{
    BAD, Ending, GOOD, HOST, LONG, Peer, Played, answer, held_port, policy, push, send, sender,
    sender_to,
};

fn kind(outcome: &pushes::Outcome) -> FailureKind {
    outcome.result.as_ref().unwrap_err().kind
}

/// Two receivers on one port: the one stands for the public network, the other for what is inside.
async fn outside_and_inside(ending: Ending) -> (Peer, Peer) {
    let outside = Peer::start(ending.clone()).await;
    let inside = Peer::at(&format!("{BAD}:{}", outside.address.port()), ending).await;
    (outside, inside)
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_refused_the_second_time() {
    let (outside, inside) = outside_and_inside(Ending::Say(answer(200, "", ""))).await;
    let names = Played::new(&[&[GOOD], &[BAD]]);
    let sender = sender(Arc::clone(&names), &[outside.address.port()], LONG);
    assert!(send(&sender, &outside.url()).await.is_success());
    // The receiver closed the connection, so that the name is asked again.
    let second = send(&sender, &outside.url()).await;
    assert_eq!(kind(&second), FailureKind::Address);
    let words = second.result.unwrap_err().words;
    assert!(
        words.contains(HOST) && words.ends_with(": loopback") && !words.contains(BAD),
        "{words}"
    );
    assert_eq!((outside.requests().len(), inside.connections()), (1, 0));
    assert_eq!(names.asked(), [HOST, HOST]);
}

#[tokio::test]
async fn between_the_check_and_the_connection_no_name_is_asked_again() {
    let (outside, inside) = outside_and_inside(Ending::Go(answer(200, "", ""))).await;
    let names = Played::new(&[&[GOOD], &[BAD]]);
    let sender = sender(Arc::clone(&names), &[outside.address.port()], LONG);
    for _ in 0..5 {
        assert!(send(&sender, &outside.url()).await.is_success());
    }
    // All of them went over the connection whose address was checked.
    assert_eq!((outside.requests().len(), outside.connections()), (5, 1));
    assert_eq!((names.asked().len(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn of_mixed_answers_only_what_is_outside_is_connected_to() {
    let (outside, inside) = outside_and_inside(Ending::Go(answer(204, "", ""))).await;
    let answers: [&[&str]; 4] = [
        &[BAD, GOOD],
        &[GOOD, BAD],
        &["::1", "10.0.0.1", "169.254.169.254", GOOD, BAD],
        &["::ffff:127.0.0.1", BAD, GOOD],
    ];
    for mixed in answers {
        let sender = sender(Played::new(&[mixed]), &[outside.address.port()], LONG);
        assert!(send(&sender, &outside.url()).await.is_success(), "{mixed:?}");
    }
    assert_eq!((outside.requests().len(), inside.connections()), (4, 0));
}

#[tokio::test]
async fn if_the_outside_does_not_answer_the_inside_is_not_tried() {
    let (_held, port) = held_port();
    let inside = Peer::at(&format!("{BAD}:{port}"), Ending::Go(answer(200, "", ""))).await;
    let sender = sender(Played::new(&[&[GOOD, BAD]]), &[port], LONG);
    let outcome = send(&sender, &inside.url()).await;
    assert_eq!(kind(&outcome), FailureKind::Connection, "{outcome:?}");
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn names_that_lead_inside_only() {
    let (outside, inside) = outside_and_inside(Ending::Go(answer(200, "", ""))).await;
    for address in [BAD, "::1", "::ffff:127.0.0.1", "10.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"] {
        let sender = sender(Played::new(&[&[address]]), &[outside.address.port()], LONG);
        assert_eq!(kind(&send(&sender, &outside.url()).await), FailureKind::Address, "{address}");
    }
    let sender = sender(Played::new(&[&[]]), &[outside.address.port()], LONG);
    assert_eq!(kind(&send(&sender, &outside.url()).await), FailureKind::Name);
    assert_eq!((outside.connections(), inside.connections()), (0, 0));
}

#[tokio::test]
async fn literal_addresses_are_checked_though_no_name_is_asked() {
    let (outside, inside) = outside_and_inside(Ending::Go(answer(200, "", ""))).await;
    let port = outside.address.port();
    let names = Played::new(&[&[GOOD]]);
    let sender = sender(Arc::clone(&names), &[port], LONG);
    assert!(send(&sender, &format!("http://{GOOD}:{port}/")).await.is_success());
    for host in [BAD, "[::1]", "[::ffff:7f00:2]"] {
        let outcome = send(&sender, &format!("http://{host}:{port}/")).await;
        assert_eq!(kind(&outcome), FailureKind::Address, "{host}");
    }
    // All of these are 127.0.0.1, which is allowed, in forms that nobody should write.
    for host in ["0x7f.1", "2130706433", "017700000001", "127.1", "127.0.0.1.", "%31%32%37.0.0.1"] {
        let outcome = send(&sender, &format!("http://{host}:{port}/")).await;
        assert_eq!(kind(&outcome), FailureKind::Endpoint, "{host}");
    }
    assert_eq!((outside.requests().len(), inside.connections()), (1, 0));
    assert_eq!(names.asked().len(), 0);
}

#[tokio::test]
async fn the_machines_own_names_are_checked_too() {
    let (outside, inside) = outside_and_inside(Ending::Go(answer(200, "", ""))).await;
    let port = outside.address.port();
    let url = format!("http://localhost:{port}/");
    let hosts = vec!["localhost".to_owned()];
    let strict = Policy { ranges: Vec::new(), hosts: hosts.clone(), ports: vec![port] };
    let sender = |policy| {
        let names = Arc::new(SystemNames);
        Sender::new(Settings { policy, names, timeout: LONG, ..Settings::default() }).unwrap()
    };
    assert_eq!(
        kind(&push(&sender(strict), (&url, Mode::Test), (&[], "{}")).await),
        FailureKind::Address
    );
    assert_eq!(outside.connections(), 0);
    let open = Policy { hosts, ..policy(&[port]) };
    assert!(push(&sender(open), (&url, Mode::Test), (&[], "{}")).await.is_success());
    assert_eq!((outside.requests().len(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn redirects_are_told_and_not_followed() {
    let inside = Peer::at(&format!("{BAD}:0"), Ending::Go(answer(200, "", ""))).await;
    let location = format!("location: http://{}/\r\n", inside.address);
    for status in [301, 302, 303, 307, 308] {
        let outside = Peer::start(Ending::Go(answer(status, &location, ""))).await;
        let sender = sender_to(&outside);
        let outcome = send(&sender, &outside.url()).await;
        assert_eq!(outcome.result.as_ref().unwrap().status, status);
        assert!(!outcome.is_success());
    }
    assert_eq!(inside.connections(), 0);
}

/// In a process of its own, whose environment names a proxy.
#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    const MARK: &str = "PUSHES_TEST_WITH_PROXY";
    let outside = Peer::start(Ending::Go(answer(200, "", ""))).await;
    if std::env::var_os(MARK).is_some() {
        assert!(std::env::var_os("http_proxy").is_some());
        assert!(send(&sender_to(&outside), &outside.url()).await.is_success());
        assert_eq!(outside.requests().len(), 1);
        return;
    }
    let proxy = Peer::start(Ending::Go(answer(200, "", ""))).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "inside::proxies_of_the_environment_are_not_used"]).env(MARK, "1");
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        child.env(name, format!("http://{}", proxy.address));
    }
    let output = child.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.connections(), 0);
}
