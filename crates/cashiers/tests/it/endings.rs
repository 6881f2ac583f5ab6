//! Every way in which a call can end, and what is known then.

use cashiers::stripe::{CallError, NewPaymentIntent, PaymentIntent, Stripe};
use domain::Span;

use crate::peer::{Ending, Peer, SECRET, client, held_address, key};

fn payment() -> NewPaymentIntent {
    NewPaymentIntent {
        amount: 499,
        currency: "usd".to_owned(),
        customer: "cus_1".to_owned(),
        description: None,
        metadata: [("payment".to_owned(), "pay_1".to_owned())].into(),
    }
}

async fn create(stripe: &Stripe) -> Result<PaymentIntent, CallError> {
    stripe.create_payment_intent(&payment(), &key("k1")).await
}

/// The error of one call, which was sent once, and shows no key.
async fn error(ending: Ending) -> CallError {
    let peer = Peer::start(ending).await;
    let error = create(&peer.client()).await.unwrap_err();
    assert_eq!(peer.seen().len(), 1, "{error}");
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    error
}

async fn refusal(status: u16, body: &str) -> CallError {
    error(Ending::answer(status, "request-id: req_1\r\n", body)).await
}

#[tokio::test]
async fn nothing_was_done_where_there_was_no_connection() {
    let (_held, address) = held_address();
    let error = create(&client(address, Span::seconds(60))).await.unwrap_err();
    assert!(matches!(&error, CallError::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn nobody_can_tell_where_the_answer_is_missing_or_cut() {
    let cuts = [
        String::new(),
        "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"pi_1\"".to_owned(),
        "not http at all\r\n\r\n".to_owned(),
    ];
    for cut in cuts {
        let error = error(Ending::Say(cut.clone())).await;
        assert!(matches!(&error, CallError::Unknown { .. }), "{cut:?}: {error}");
    }
}

#[tokio::test]
async fn nobody_can_tell_where_the_answer_takes_too_long() {
    let beginning = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":";
    for said in ["", beginning] {
        let peer = Peer::start(Ending::Stall(said.to_owned())).await;
        let error = create(&peer.impatient_client()).await.unwrap_err();
        assert!(matches!(&error, CallError::Unknown { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_can_tell_where_the_answer_cannot_be_read() {
    let answers = [
        (200, "{\"id\":\"pi_1\""),
        (200, "{\"id\":\"pi_1\",\"status\":\"succeeded\"}"),
        (200, "<html>"),
        (302, ""),
        (500, ""),
        (502, "<html>"),
        (503, ""),
        // Not Stripe: somebody between.
        (400, "<html>"),
        (403, "blocked"),
        (404, ""),
        (413, "too large"),
    ];
    for (status, body) in answers {
        let error = refusal(status, body).await;
        assert!(matches!(&error, CallError::Unknown { .. }), "{status} {body}: {error}");
        assert!(error.to_string().contains(&format!("HTTP {status}")), "{error}");
    }
    let huge = " ".repeat(5 << 20);
    assert!(matches!(refusal(200, &huge).await, CallError::Unknown { .. }));
}

#[tokio::test]
async fn nobody_can_tell_where_somebody_points_elsewhere() {
    for status in [301, 302, 307, 308] {
        // The call would go there with its key.
        let error = error(Ending::answer(status, "location: /v1/elsewhere\r\n", "")).await;
        assert!(matches!(&error, CallError::Unknown { .. }), "{status}: {error}");
    }
}

#[tokio::test]
async fn nobody_can_tell_where_stripe_is_in_trouble() {
    let body = r#"{"error":{"type":"api_error","message":"Sorry."}}"#;
    for status in [500, 503] {
        let message = format!("HTTP {status} (req_1): Sorry.");
        assert_eq!(refusal(status, body).await, CallError::Trouble { message });
    }
}

#[tokio::test]
async fn a_declined_card() {
    let body = r#"{"error":{"type":"card_error","code":"card_declined",
        "decline_code":"insufficient_funds","message":"Your card has insufficient funds.",
        "payment_intent":{"id":"pi_1","object":"payment_intent","status":"requires_payment_method"}}}"#;
    assert_eq!(
        refusal(402, body).await,
        CallError::Declined {
            code: Some("card_declined".to_owned()),
            decline_code: Some("insufficient_funds".to_owned()),
            message: "HTTP 402 (req_1): Your card has insufficient funds.".to_owned(),
            payment_intent: Some("pi_1".to_owned()),
        }
    );
}

#[tokio::test]
async fn a_mistake_of_ours() {
    let body = r#"{"error":{"type":"invalid_request_error","code":"amount_too_small",
        "param":"amount","message":"Amount must be at least $0.50 usd"}}"#;
    assert_eq!(
        refusal(400, body).await,
        CallError::Refused {
            code: Some("amount_too_small".to_owned()),
            param: Some("amount".to_owned()),
            message: "HTTP 400 (req_1): Amount must be at least $0.50 usd".to_owned(),
        }
    );
}

#[tokio::test]
async fn a_key_that_was_used_for_another_call() {
    let body = r#"{"error":{"type":"idempotency_error","message":"Keys for idempotent requests can only be used with the same parameters."}}"#;
    assert!(matches!(refusal(400, body).await, CallError::KeyConflict { .. }));
}

#[tokio::test]
async fn not_now() {
    let limited =
        r#"{"error":{"type":"invalid_request_error","code":"rate_limit","message":"Slow."}}"#;
    for (headers, expected) in
        [("", 5), ("retry-after: 7\r\n", 7), ("retry-after: 999999\r\n", 3_600)]
    {
        for body in [limited, "slow down"] {
            let error = error(Ending::answer(429, headers, body)).await;
            let CallError::Unavailable { after, .. } = error else { panic!("{error}") };
            assert_eq!(after, Span::seconds(expected), "{headers}");
        }
    }
    let in_use = r#"{"error":{"type":"invalid_request_error","code":"idempotency_key_in_use",
        "message":"There is currently another in-progress request using this key."}}"#;
    assert!(matches!(refusal(409, in_use).await, CallError::Unavailable { .. }));
    let unknown_key = format!(
        r#"{{"error":{{"type":"invalid_request_error","message":"Invalid API Key provided: {SECRET}"}}}}"#
    );
    assert!(matches!(refusal(401, &unknown_key).await, CallError::Unavailable { .. }));
}

#[tokio::test]
async fn what_is_not_there() {
    let body = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","param":"id",
        "message":"No such subscription: 'sub_1'"}}"#;
    let peer = Peer::start(Ending::answer(404, "", body)).await;
    let stripe = peer.client();
    for error in [
        stripe.subscription("sub_1").await.unwrap_err(),
        stripe.cancel_subscription("sub_1").await.unwrap_err(),
    ] {
        assert!(matches!(&error, CallError::NotFound { .. }), "{error}");
    }
}
