//! What is signed: queries, bodies, lists, and what stands in the path.

use serde_json::{Map, Value, json};
use testkit::{Engine, on_both_engines};
use wire::Call;
use wire::groups::{ADD_GROUP_SIMS, ASYNC_RESULT, LIST_GROUP_SIMS, LIST_GROUPS, REMOVE_GROUP_SIMS};
use wire::sign::{Scheme, sign};

use super::{Fleet, GROUP};
use crate::raw::{Answer, content, fields, get, path, send, sent};

on_both_engines!(
    a_query_is_signed_with_the_path_or_without,
    a_body_is_signed_with_the_path_or_without,
    a_delete_is_signed_as_it_is_sent,
    hmac_wants_the_calls_own_name,
    a_changed_list_or_path_is_found,
);

impl Fleet {
    /// The fields of a call, signed over what `signed` leaves of them.
    fn signed(
        &self,
        scheme: Scheme,
        call: &Call,
        (more, signed): (Value, impl Fn(&mut Map<String, Value>)),
    ) -> Map<String, Value> {
        let mut members = fields(&self.mall, "SHOP", call, more);
        let mut over = members.clone();
        signed(&mut over);
        members.insert("sign".to_owned(), sign(scheme, &self.shop.key, &content(&over)).into());
        members
    }

    async fn sent(&self, call: &Call, members: &Map<String, Value>) -> Answer {
        sent(&self.mall, call, &path(&self.shop, call), members).await
    }

    /// Insists that a call is taken however the MD5 schemes may sign it, and in the published form alone under HMAC.
    async fn is_tolerant(&self, call: &Call, more: Value) {
        let without = |names: &'static [&'static str]| {
            move |over: &mut Map<String, Value>| {
                over.retain(|name, _| !names.iter().any(|one| one == name))
            }
        };
        for scheme in Scheme::ALL {
            for (form, left_out) in [
                ("the published form", &[][..]),
                ("without the path", &["group_id", "request_id"]),
                ("without what is empty", &["note"]),
                ("without both", &["group_id", "request_id", "note"]),
            ] {
                let mut more = more.clone();
                more["note"] = "".into();
                let members = self.signed(scheme, call, (more, without(left_out)));
                let answer = self.sent(call, &members).await;
                if scheme == Scheme::HmacSha256 && !left_out.is_empty() {
                    let hint = answer.refused("SIGN_MISMATCH").told("hint");
                    let names_path = hint.contains("The parameters of the path were left out");
                    assert_eq!(names_path, left_out.contains(&"group_id"), "{form}: {hint}");
                } else {
                    assert_eq!(
                        answer.status, 200,
                        "{} {scheme:?} {form}: {}",
                        call.name, answer.text
                    );
                }
                self.mall.settle().await;
            }
        }
    }
}

async fn a_query_is_signed_with_the_path_or_without(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    fleet.is_tolerant(&LIST_GROUP_SIMS, json!({"group_id": GROUP, "page_size": "5"})).await;
    let accepted = fleet.client.add_group_sims(GROUP, &fleet.shop.sims, "").await.unwrap();
    fleet.mall.settle().await;
    let asked = json!({"request_id": accepted.request_id, "only": "failed"});
    fleet.is_tolerant(&ASYNC_RESULT, asked).await;
    // As published: version, partnerCode and sign, and nothing else.
    let bare = json!({"partnerCode": "SHOP", "version": "3.0"});
    let Value::Object(mut bare) = bare else { panic!("an object") };
    for scheme in [Scheme::Md5, Scheme::Md5Key] {
        bare.remove("sign");
        let made = sign(scheme, &fleet.shop.key, &content(&bare));
        bare.insert("sign".to_owned(), made.into());
        get(&fleet.mall, &path(&fleet.shop, &LIST_GROUPS), &bare).await.accepted();
    }
    fleet.mall.stop().await;
}

async fn a_body_is_signed_with_the_path_or_without(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let sims = &fleet.shop.sims;
    fleet.is_tolerant(&ADD_GROUP_SIMS, json!({"group_id": GROUP, "sim_ids": sims})).await;
    fleet.is_tolerant(&REMOVE_GROUP_SIMS, json!({"group_id": GROUP, "sim_ids": sims})).await;
    fleet.mall.stop().await;
}

async fn a_delete_is_signed_as_it_is_sent(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let sims = &fleet.shop.sims;
    for scheme in Scheme::ALL {
        fleet.add(sims).await;
        let joined = json!({"group_id": GROUP, "sim_ids": sims[..2].join(",")});
        let members = fleet.signed(scheme, &REMOVE_GROUP_SIMS, (joined, |_| ()));
        let pairs = members.iter().filter(|(name, _)| *name != "group_id");
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap().to_owned()));
        let query = wire::params::write_query(pairs);
        let path = path(&fleet.shop, &REMOVE_GROUP_SIMS).replace("{group_id}", GROUP);
        let target = format!("{path}?{query}");
        send(&fleet.mall, "DELETE", &target, |request| request).await.accepted();
        fleet.mall.settle().await;
        assert_eq!(fleet.sims().await, sims[2..], "{scheme:?}");
        // Who signs a list and sends a text has signed something else.
        let listed = |over: &mut Map<String, Value>| {
            over.insert("sim_ids".to_owned(), json!(sims[..2]));
        };
        let joined = json!({"group_id": GROUP, "sim_ids": sims[..2].join(",")});
        let members = fleet.signed(scheme, &REMOVE_GROUP_SIMS, (joined, listed));
        fleet.sent(&REMOVE_GROUP_SIMS, &members).await.refused("SIGN_MISMATCH");
        // Half in the query and half in the body is one request all the same.
        let body = json!({"group_id": GROUP, "sim_ids": sims[2..]});
        let mut members = fleet.signed(scheme, &REMOVE_GROUP_SIMS, (body, |_| ()));
        let sign = members.remove("sign").unwrap();
        members.remove("group_id");
        let target = format!("{path}?sign={}", sign.as_str().unwrap());
        let body = Value::Object(members).to_string();
        send(&fleet.mall, "DELETE", &target, |request| request.body(body)).await.accepted();
        fleet.mall.settle().await;
        assert!(fleet.sims().await.is_empty(), "{scheme:?}");
    }
    fleet.mall.stop().await;
}

async fn hmac_wants_the_calls_own_name(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    let all = json!({"group_id": GROUP, "sim_ids": fleet.shop.sims});
    // The last literal part of the path is the name of none of them.
    for name in ["sims", "AddGroupSims", "removeGroupSims", ""] {
        let mut more = all.clone();
        more["tradeType"] = name.into();
        let members = fleet.signed(Scheme::HmacSha256, &ADD_GROUP_SIMS, (more, |_| ()));
        let answer = fleet.sent(&ADD_GROUP_SIMS, &members).await;
        assert_eq!(answer.refused("BAD_REQUEST").told("field"), "tradeType", "{name}");
    }
    let members = fleet.signed(Scheme::HmacSha256, &ADD_GROUP_SIMS, (all, |_| ()));
    fleet.sent(&ADD_GROUP_SIMS, &members).await.accepted();
    fleet.mall.settle().await;
    fleet.mall.stop().await;
}

async fn a_changed_list_or_path_is_found(engine: Engine) {
    let fleet = Fleet::new(engine).await;
    fleet.mall.add_group(&fleet.shop, "FLEET-2", 10).await;
    let sims = &fleet.shop.sims;
    for scheme in Scheme::ALL {
        let all = json!({"group_id": GROUP, "sim_ids": sims[..2]});
        let good = fleet.signed(scheme, &ADD_GROUP_SIMS, (all, |_| ()));
        for (name, value) in [
            // Another order is another content, though it means the same.
            ("sim_ids", json!([sims[1], sims[0]])),
            ("sim_ids", json!([sims[0], sims[2]])),
            ("sim_ids", json!([sims[0]])),
            ("group_id", json!("FLEET-2")),
        ] {
            let mut changed = good.clone();
            changed.insert(name.to_owned(), value);
            fleet.sent(&ADD_GROUP_SIMS, &changed).await.refused("SIGN_MISMATCH");
        }
    }
    assert!(fleet.sims().await.is_empty());
    fleet.mall.stop().await;
}
