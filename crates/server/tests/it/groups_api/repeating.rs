//! The same request again, with a key and without, only for the look of it, or for what failed; and operations that are
//! cancelled.

use std::collections::BTreeSet;

use domain::Span;
use sdk::{Accepted, Error};
use serde_json::json;
use testkit::{Engine, on_both_engines};
use tokio::task::JoinSet;
use wire::groups::{ADD_GROUP_SIMS, IDEMPOTENCY_KEY};

use super::{Fleet, GROUP, NOBODYS};
use crate::raw::{fields, filled, path, send, signed};

on_both_engines!(
    a_key_makes_a_repeat_the_same_operation,
    the_same_request_many_times_at_once_is_one_operation,
    of_many_requests_at_once_under_a_key_one_is_taken,
    without_a_key_a_repeat_is_known_for_ten_seconds,
    a_key_has_a_form,
    a_dry_run_changes_nothing,
    what_failed_is_tried_again,
    what_has_ended_cannot_be_cancelled,
);

fn id(accepted: Result<Accepted, Error>) -> String {
    let accepted = accepted.unwrap();
    assert_eq!(accepted.status, "ACCEPTED");
    accepted.request_id
}

async fn a_key_makes_a_repeat_the_same_operation(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    fleet.mall.add_group(&fleet.shop, "FLEET-2", 10).await;
    let (client, sims) = (&fleet.client, &fleet.shop.sims);
    let first = id(client.add_group_sims(GROUP, &sims[..2], "K-1").await);
    fleet.mall.settle().await;
    // The same content in another order, at any time, whatever came between.
    let turned = [sims[1].clone(), sims[0].clone(), sims[1].clone()];
    assert_eq!(id(client.add_group_sims(GROUP, &turned, "K-1").await), first);
    let removed = id(client.remove_group_sims(GROUP, &sims[..1], "K-2").await);
    assert_ne!(removed, first);
    fleet.mall.advance(Span::days(2)).await;
    assert_eq!(id(client.add_group_sims(GROUP, &sims[..2], "K-1").await), first);
    fleet.mall.settle().await;
    assert_eq!(fleet.sims().await, sims[1..2], "the repeat did nothing");
    // The query is as good as the body.
    assert_eq!(id(client.remove_group_sims_by_query(GROUP, &sims[..1], "K-2").await), removed);
    // Other content, another group or another way round under the key is a conflict.
    for refused in [
        client.add_group_sims(GROUP, &sims[..1], "K-1").await,
        client.add_group_sims("FLEET-2", &sims[..2], "K-1").await,
        client.remove_group_sims(GROUP, &sims[..2], "K-1").await,
    ] {
        let Error::Refused { status, failure } = refused.unwrap_err() else {
            panic!("not refused")
        };
        assert_eq!((status, failure.code.as_str()), (400, "ORDER_CONFLICT"));
        assert_eq!(failure.field.as_deref(), Some(IDEMPOTENCY_KEY));
    }
    // A key is the partner's own.
    let other = fleet.mall.add_partner("OTHER", domain::Mode::Test, |_| ()).await;
    fleet.mall.add_group(&other, GROUP, 10).await;
    let theirs = other.client(&fleet.mall);
    assert_ne!(id(theirs.add_group_sims(GROUP, &other.sims[..1], "K-1").await), first);
    fleet.mall.settle().await;
    fleet.mall.stop().await;
}

async fn the_same_request_many_times_at_once_is_one_operation(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    for (key, adds) in [("K-1", true), ("K-2", false), ("", true), ("", false)] {
        let mut asked = JoinSet::new();
        for _ in 0..16 {
            let (client, sims) = (fleet.client.clone(), fleet.shop.sims.clone());
            asked.spawn(async move {
                if adds {
                    client.add_group_sims(GROUP, &sims, key).await
                } else {
                    client.remove_group_sims(GROUP, &sims, key).await
                }
            });
        }
        let ids: BTreeSet<String> = asked.join_all().await.into_iter().map(id).collect();
        assert_eq!(ids.len(), 1, "{key:?} {ids:?}");
        fleet.mall.settle().await;
        let there = if adds { fleet.shop.sims.len() } else { 0 };
        assert_eq!(fleet.sims().await.len(), there, "{key:?}");
    }
    fleet.mall.stop().await;
}

async fn of_many_requests_at_once_under_a_key_one_is_taken(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let mut asked = JoinSet::new();
    for sim in fleet.more_sims(16).await {
        let client = fleet.client.clone();
        asked.spawn(async move { client.add_group_sims(GROUP, &[sim], "K-1").await });
    }
    let (taken, refused): (Vec<_>, Vec<_>) =
        asked.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (1, 15));
    for error in refused {
        assert_eq!(error.unwrap_err().code(), Some("ORDER_CONFLICT"));
    }
    fleet.mall.settle().await;
    assert_eq!(fleet.sims().await.len(), 1);
    fleet.mall.stop().await;
}

async fn without_a_key_a_repeat_is_known_for_ten_seconds(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let (client, sims) = (&fleet.client, &fleet.shop.sims);
    let first = id(client.add_group_sims(GROUP, &sims[..2], "").await);
    fleet.mall.settle().await;
    fleet.mall.advance(Span::seconds(9)).await;
    let turned = [sims[1].clone(), sims[0].clone()];
    assert_eq!(id(client.add_group_sims(GROUP, &turned, "").await), first);
    // Another operation came between: the same words mean something new.
    let removed = id(client.remove_group_sims(GROUP, &sims[..1], "").await);
    fleet.mall.settle().await;
    let second = id(client.add_group_sims(GROUP, &sims[..2], "").await);
    assert!(second != first && second != removed);
    fleet.mall.settle().await;
    assert_eq!(fleet.sims().await.len(), 2);
    fleet.mall.advance(Span::seconds(10)).await;
    let third = id(client.add_group_sims(GROUP, &sims[..2], "").await);
    assert_ne!(third, second);
    fleet.mall.settle().await;
    fleet.mall.stop().await;
}

async fn a_key_has_a_form(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let asked = json!({"group_id": GROUP, "sim_ids": [fleet.shop.sims[0]]});
    let asked = fields(&fleet.mall, "SHOP", &ADD_GROUP_SIMS, asked);
    let members = signed(wire::sign::Scheme::HmacSha256, &fleet.shop.key, asked);
    let (path, body) = filled(&path(&fleet.shop, &ADD_GROUP_SIMS), &members);
    let body = serde_json::Value::Object(body).to_string();
    let (long, longest) = ("k".repeat(129), "k".repeat(128));
    for keys in [&[""][..], &["a b"], &[long.as_str()], &["schlüssel"], &["a", "b"], &["a", "a"]] {
        let answer = send(&fleet.mall, "POST", &path, |request| {
            let request = request.body(body.clone());
            keys.iter()
                .fold(request, |request, key| request.header(IDEMPOTENCY_KEY, key.as_bytes()))
        });
        let answer = answer.await;
        assert_eq!(answer.refused("BAD_REQUEST").told("field"), IDEMPOTENCY_KEY, "{keys:?}");
        assert!(answer.told("message").contains("128"), "{}", answer.text);
    }
    for key in [longest.as_str(), "\"5ba5-4c\"", "!~"] {
        let request = |request: reqwest::RequestBuilder| {
            request.body(body.clone()).header("idempotency-key", key)
        };
        send(&fleet.mall, "POST", &path, request).await.accepted();
        fleet.mall.settle().await;
    }
    fleet.mall.stop().await;
}

async fn a_dry_run_changes_nothing(engine: Engine) {
    let fleet = Fleet::with_limit(engine, 2).await;
    let (client, sims) = (&fleet.client, &fleet.shop.sims);
    fleet.add(&sims[..1]).await;
    let before = client.groups().await.unwrap();
    let all = [sims.clone(), vec![NOBODYS.to_owned()]].concat();
    let would = client.would_add_group_sims(GROUP, &all).await.unwrap();
    assert_eq!(
        (would.operation.as_str(), would.group_id.as_str(), would.status.as_str()),
        ("ADD_SIMS", GROUP, "DRY_RUN")
    );
    let told: Vec<(&str, &str)> = would
        .results
        .iter()
        .map(|sim| (sim.status.as_str(), sim.code.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [
            ("SUCCEEDED", "ALREADY_IN_GROUP"),
            ("SUCCEEDED", ""),
            ("FAILED", "GROUP_FULL"),
            ("FAILED", "SIM_UNKNOWN"),
        ]
    );
    assert_eq!((would.total, would.succeeded, would.failed), (4, 2, 2));
    let would = client.would_remove_group_sims(GROUP, &sims[..2]).await.unwrap();
    assert_eq!((would.operation.as_str(), would.succeeded, would.failed), ("REMOVE_SIMS", 1, 1));
    let unknown = client.would_add_group_sims("FLEET-9", &all).await.unwrap_err();
    assert_eq!(unknown.code(), Some("GROUP_UNKNOWN"));
    fleet.mall.settle().await;
    assert_eq!(client.groups().await.unwrap(), before);
    assert_eq!(fleet.sims().await, sims[..1]);
    // It is no operation that came between, and no request that a later one could repeat.
    let really = id(client.add_group_sims(GROUP, &sims[1..2], "").await);
    client.would_add_group_sims(GROUP, &sims[2..]).await.unwrap();
    assert_eq!(id(client.add_group_sims(GROUP, &sims[1..2], "").await), really);
    fleet.mall.settle().await;
    assert_eq!(fleet.sims().await, sims[..2]);
    fleet.mall.stop().await;
}

async fn what_failed_is_tried_again(engine: Engine) {
    let fleet = Fleet::with_limit(engine, 2).await;
    let (client, sims) = (&fleet.client, &fleet.shop.sims);
    let accepted = client.add_group_sims(GROUP, sims, "").await.unwrap();
    assert_eq!(fleet.ended(&accepted).await.failed, 1);
    let members = fleet.sims().await;
    let out: Vec<&String> = sims.iter().filter(|sim| !members.contains(sim)).collect();
    let left = client.remove_group_sims(GROUP, &members[..1], "").await.unwrap();
    fleet.ended(&left).await;
    // One operation with those that failed, however often it is asked for under its key.
    let again = client.retry_failed(&accepted.request_id, "R-1").await.unwrap();
    assert_ne!(again.request_id, accepted.request_id);
    let result = fleet.ended(&again).await;
    assert_eq!((result.total, result.succeeded), (1, 1), "{result:?}");
    assert_eq!(&result.results[0].sim_id, out[0]);
    let repeat = client.retry_failed(&accepted.request_id, "R-1").await.unwrap();
    assert_eq!(repeat.request_id, again.request_id);
    // Where nothing failed, there is nothing to begin.
    let none = client.retry_failed(&again.request_id, "").await.unwrap();
    assert_eq!((&none.request_id, none.status.as_str()), (&again.request_id, "SUCCEEDED"));
    let unknown = client.retry_failed("gop_1", "").await.unwrap_err();
    assert_eq!(unknown.code(), Some("REQUEST_UNKNOWN"));
    fleet.mall.stop().await;
}

async fn what_has_ended_cannot_be_cancelled(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let (client, sims) = (&fleet.client, &fleet.shop.sims);
    let accepted = client.add_group_sims(GROUP, sims, "").await.unwrap();
    let result = fleet.ended(&accepted).await;
    for _ in 0..2 {
        let cancelled = client.cancel_operation(&accepted.request_id).await.unwrap();
        assert_eq!(cancelled.request_id, accepted.request_id);
        assert_eq!(cancelled.status, "SUCCEEDED");
    }
    fleet.mall.settle().await;
    assert_eq!(client.async_result(&accepted.request_id, false, 1).await.unwrap(), result);
    assert_eq!(fleet.sims().await.len(), 3);
    let unknown = client.cancel_operation("gop_1").await.unwrap_err();
    assert_eq!(unknown.code(), Some("REQUEST_UNKNOWN"));
    fleet.mall.stop().await;
}
