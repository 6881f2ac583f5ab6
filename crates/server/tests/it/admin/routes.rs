//! Every route of the table, with every kind of caller: nobody gets further than the role lets them.

use domain::Role;
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, TestMall, on_both_engines};
use wire::admin::{Op, ROUTES, Route};

on_both_engines!(every_route_with_every_role);

/// What a test knows of a route: with what it succeeds. A route without a case does not compile.
fn case(op: Op) -> Case {
    let none = Case { own: &[], absent: &[], body: Value::Null };
    match op {
        Op::Whoami | Op::ListTokens | Op::ListAudit | Op::AuditHead => none,
        Op::AddToken => Case { body: json!({"name": "Jo", "role": "viewer"}), ..none },
        Op::VerifyAudit => Case { body: json!({}), ..none },
        Op::RetireToken => Case {
            own: &[("{token_id}", "OWN")],
            absent: &[("{token_id}", "tok_00000000000070008000000000000000")],
            ..none
        },
    }
}

/// With what a route succeeds, and with what there is no such object.
#[derive(Clone)]
struct Case {
    /// What stands for the names in its path.
    own: &'static [(&'static str, &'static str)],
    /// Each of these instead leads to nothing.
    absent: &'static [(&'static str, &'static str)],
    /// Its body.
    body: Value,
}

fn fill(path: &str, names: &[(&str, &str)], own_token: &str) -> String {
    let mut path = path.to_owned();
    for (name, value) in names {
        path = path.replace(name, if *value == "OWN" { own_token } else { value });
    }
    assert!(!path.contains('{'), "{path}: a name in it has no value in the case");
    path
}

async fn call(client: &AdminClient, route: &Route, path: &str, body: &Value) -> u16 {
    let body = Some(body).filter(|body| !body.is_null());
    client.call(route.method.as_str(), path, body).await.status
}

async fn every_route_with_every_role(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let mut clients = Vec::new();
    for role in Role::ALL {
        clients.push((role, mall.admin(role).await));
    }
    let bad = mall.admin_with(Some(format!("smt_{}_{}", "0".repeat(32), "0".repeat(64))));
    let nobody = [mall.admin_with(None), bad];
    for route in ROUTES {
        let case = case(route.op);
        let token = mall.admin(Role::Viewer).await;
        let token = token.get("/whoami").await.done()["token_id"].as_str().unwrap().to_owned();
        let path = fill(route.path, case.own, &token);
        let which = format!("{:?} {path}", route.op);
        for client in &nobody {
            assert_eq!(call(client, route, &path, &case.body).await, 401, "{which}");
            assert_eq!(call(client, route, &path, &json!({"x": 1})).await, 401, "{which}");
        }
        for (role, client) in &clients {
            if *role < route.role {
                assert_eq!(call(client, route, &path, &case.body).await, 403, "{which} {role:?}");
            }
            for absent in case.absent {
                let mut names = case.own.to_vec();
                names.iter_mut().filter(|own| own.0 == absent.0).for_each(|own| *own = *absent);
                let path = fill(route.path, &names, &token);
                let status = call(client, route, &path, &case.body).await;
                let right = if *role < route.role { 403 } else { 404 };
                assert_eq!(status, right, "{which} {absent:?} {role:?}");
            }
        }
        for (role, client) in clients.iter().filter(|(role, _)| *role >= route.role) {
            let status = call(client, route, &path, &case.body).await;
            assert!((200..300).contains(&status), "{which} {role:?}: {status}");
        }
    }
}
