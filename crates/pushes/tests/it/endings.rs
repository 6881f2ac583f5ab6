//! Every way in which a try can end.

use domain::{Mode, Span};
use pushes::{ANSWER_TEXT_BYTES_MAX, BODY_BYTES_MAX, FailureKind};

use crate::peer::{
    Ending, GOOD, LONG, Peer, Played, answer, held_port, push, send, sender, sender_to,
};

/// Short, for tries that get no answer however long one waits.
const SHORT: Span = Span::seconds(2);

#[tokio::test]
async fn the_bytes_that_were_signed_are_sent_with_their_headers() {
    let peer = Peer::start(Ending::Go(answer(202, "", "thanks"))).await;
    let outcome = send(&sender_to(&peer), &peer.url()).await;
    assert!(outcome.is_success());
    let told = outcome.result.unwrap();
    assert_eq!((told.status, told.text.as_str(), told.is_cut), (202, "thanks", false));
    assert_eq!((told.http.as_str(), told.retry_after), ("HTTP/1.1", None));
    assert!(outcome.latency > Span::micros(0));
    let request = peer.requests().remove(0);
    assert!(request.starts_with("POST /push?token=s3cret HTTP/1.1\r\n"), "{request}");
    for line in [
        "webhook-id: evt_1",
        "x-lf-algo: HMAC-SHA1",
        "content-type: application/json",
        &format!("host: hooks.example.com:{}", peer.address.port()),
        &format!("user-agent: simmall/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"a\":\"欧\"}"), "{request}");
}

#[tokio::test]
async fn every_status_is_told() {
    for status in [200, 204, 299, 300, 304, 400, 401, 404, 410, 429, 500, 503, 599] {
        let peer = Peer::start(Ending::Go(answer(status, "", ""))).await;
        let outcome = send(&sender_to(&peer), &peer.url()).await;
        assert_eq!(outcome.is_success(), (200..300).contains(&status), "{status}");
        assert_eq!(outcome.result.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_receiver_may_ask_to_be_left_alone() {
    for (headers, expected) in [
        ("retry-after: 120\r\n", Some(120)),
        ("retry-after: 999999999\r\n", Some(86_400)),
        ("retry-after: soon\r\n", None),
        (
            "date: Wed, 21 Oct 2015 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2015 07:29:00 GMT\r\n",
            Some(60),
        ),
    ] {
        let peer = Peer::start(Ending::Go(answer(503, headers, ""))).await;
        let told = send(&sender_to(&peer), &peer.url()).await.result.unwrap();
        assert_eq!(told.retry_after, expected.map(Span::seconds), "{headers}");
    }
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_kept() {
    let long = "é\u{0}".repeat(10_000);
    let peer = Peer::start(Ending::Go(answer(500, "", &long))).await;
    let sender = sender_to(&peer);
    let told = send(&sender, &peer.url()).await.result.unwrap();
    assert!(told.text.len() <= ANSWER_TEXT_BYTES_MAX && told.text.len() > 2_000);
    assert!(told.text.starts_with("é é ") && told.is_cut);
    // It was read to its end, so that its connection serves again.
    send(&sender, &peer.url()).await;
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_endless_answer_is_dropped() {
    // More is promised than comes; whoever waits for the rest waits for ever.
    let begun =
        format!("HTTP/1.1 200 X\r\ncontent-length: 999999999\r\n\r\n{}", "x".repeat(80_000));
    let peer = Peer::start(Ending::Stall(begun)).await;
    let sender = sender_to(&peer);
    let outcome = send(&sender, &peer.url()).await;
    assert!(outcome.is_success());
    let told = outcome.result.unwrap();
    assert_eq!((told.text.len(), told.is_cut), (ANSWER_TEXT_BYTES_MAX, true));
    send(&sender, &peer.url()).await;
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn the_status_counts_even_if_the_body_breaks_off() {
    for ending in [
        Ending::Say("HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nabc".to_owned()),
        Ending::Stall("HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nabc".to_owned()),
    ] {
        let peer = Peer::start(ending).await;
        let sender = sender(Played::new(&[&[GOOD]]), &[peer.address.port()], Span::seconds(5));
        let outcome = send(&sender, &peer.url()).await;
        assert!(outcome.is_success(), "{outcome:?}");
        let told = outcome.result.unwrap();
        assert_eq!((told.text.as_str(), told.is_cut), ("abc", true));
    }
}

#[tokio::test]
async fn what_gets_no_answer_says_why() {
    let cases = [
        (Ending::Stall(String::new()), SHORT, FailureKind::Time),
        (Ending::Stall("HTTP/1.1 200 X\r\nx: ".to_owned()), SHORT, FailureKind::Time),
        (Ending::Say(String::new()), LONG, FailureKind::Broken),
        (Ending::Say("HTTP/1.1 2".to_owned()), LONG, FailureKind::Broken),
        (Ending::Say("SSH-2.0-OpenSSH_9.2\r\n".to_owned()), LONG, FailureKind::Broken),
        (
            Ending::Say("HTTP/1.1 200 X\r\n".to_owned() + &"a: b\r\n".repeat(100) + "\r\n"),
            LONG,
            FailureKind::Broken,
        ),
    ];
    for (ending, timeout, kind) in cases {
        let peer = Peer::start(ending.clone()).await;
        let sender = sender(Played::new(&[&[GOOD]]), &[peer.address.port()], timeout);
        let failure = send(&sender, &peer.url()).await.result.unwrap_err();
        assert_eq!(failure.kind, kind, "{ending:?} {failure}");
        assert!(kind.may_have_arrived());
        assert!(!failure.words.is_empty() && !failure.words.contains("s3cret"), "{failure}");
        // One try is one try.
        assert_eq!(peer.requests().len(), 1, "{ending:?}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let (_held, port) = held_port();
    let sender = sender(Played::new(&[&[GOOD]]), &[port], LONG);
    let failure =
        send(&sender, &format!("http://a.example.com:{port}/?s3cret")).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection);
    assert!(!failure.kind.may_have_arrived());
    assert!(failure.words.contains("refused") && !failure.words.contains("s3cret"), "{failure}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let peer = Peer::start(Ending::Go(answer(200, "", ""))).await;
    let sender = sender_to(&peer);
    let (url, mode) = (peer.url(), Mode::Test);
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let body = "{}";
    let odd = "https://a.example.com/../s3cret";
    let (line, space) = (&[("a", "b\r\nc: d")][..], &[("a b", "c")][..]);
    for (to, what, kind) in [
        ((url.as_str(), mode), (&[][..], long.as_str()), FailureKind::Push),
        ((&url, mode), (line, body), FailureKind::Push),
        ((&url, mode), (space, body), FailureKind::Push),
        ((&url, Mode::Live), (&[], body), FailureKind::Endpoint),
        ((odd, mode), (&[], body), FailureKind::Endpoint),
    ] {
        let failure = push(&sender, to, what).await.result.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(!failure.words.contains("s3cret"), "{failure}");
    }
    assert_eq!(peer.connections(), 0);
    let full = "x".repeat(BODY_BYTES_MAX);
    assert!(push(&sender, (&url, mode), (&[], &full)).await.is_success());
}

#[test]
fn the_words_of_failures_are_distinct() {
    let words: std::collections::HashSet<_> = FailureKind::ALL.map(FailureKind::as_str).into();
    assert_eq!(words.len(), FailureKind::ALL.len());
}
