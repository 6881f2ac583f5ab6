//! Jobs as operators look at them, run them again and drop them.

use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, Recipe, TestMall, on_both_engines};

on_both_engines!(
    a_dead_job_is_run_again,
    a_job_that_is_needed_is_not_dropped,
    jobs_are_listed_the_dead_ones_first,
);

async fn jobs(admin: &AdminClient, query: &str) -> Vec<Value> {
    admin.all(&format!("/live/jobs{query}"), 2).await
}

fn path(job: &Value, what: &str) -> String {
    format!("/live/jobs/{}/{what}", job["job_id"].as_str().unwrap())
}

/// A mall in which no carrier takes anything for now.
async fn stuck(engine: Engine) -> TestMall {
    let simulator = "retry-later".parse().unwrap();
    TestMall::with(engine, Recipe { simulator, ..Recipe::default() }).await
}

async fn a_dead_job_is_run_again(engine: Engine) {
    let mall = stuck(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let sim = mall.add_sim(&shop, "9001", "simulator", domain::sim::SimState::Ready).await;
    shop.client(&mall).syn_order_info(&shop.paid_order(&sim, "A")).await.unwrap();
    mall.settle().await;
    // As if it had failed twenty times.
    let bury = "UPDATE jobs SET state = 'dead', failures = 20, last_error = 'why' \
        WHERE kind = 'provision' AND mode = 'live'";
    assert_eq!(mall.database.execute(bury).await, 1);
    mall.advance(Span::minutes(10)).await;
    let dead = jobs(&admin, "?state=dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["failures"], &dead[0]["last_error"]), (&json!(20), &json!("why")));
    assert_eq!(dead[0]["partner"], "SHOP");
    let retried = admin.call("POST", &path(&dead[0], "retry"), None).await.done();
    assert_eq!((&retried["state"], &retried["failures"]), (&json!("ready"), &json!(0)));
    assert_eq!(retried["run_at"], "2024-03-10T08:10:00Z");
    mall.settle().await;
    assert_eq!(jobs(&admin, "?state=dead").await, [Value::Null; 0]);
    mall.advance(Span::minutes(3)).await;
    let order = admin.get("/live/orders?number=A").await.done();
    assert_eq!(order["items"][0]["state"], "PROVISIONED", "the end of the SIM's number says so");
    let log = admin.all("/audit?action=job.retry", 50).await;
    assert_eq!(
        (&log[0]["before"]["state"], &log[0]["after"]["state"]),
        (&json!("dead"), &json!("ready"))
    );
    mall.stop().await;
}

async fn a_job_that_is_needed_is_not_dropped(engine: Engine) {
    let mall = stuck(engine).await;
    let admin = mall.admin(Role::Operator).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let client = shop.client(&mall);
    client.syn_order_info(&shop.paid_order(&shop.sims[0], "A")).await.unwrap();
    client.single_order(&shop.order(&shop.sims[1], "B")).await.unwrap();
    mall.settle().await;
    for kind in ["provision", "close_order"] {
        let found = jobs(&admin, &format!("?kind={kind}")).await;
        assert_eq!(found.len(), 1, "{kind}");
        let refused = admin.call("POST", &path(&found[0], "cancel"), None).await;
        assert_eq!(refused.code(409), "JOB_NEEDED", "{kind}");
        let said = refused.body["detail"].as_str().unwrap();
        assert!(said.contains("retry the job"), "{said}");
        assert_eq!(jobs(&admin, &format!("?kind={kind}")).await.len(), 1, "{kind}");
    }
    // Once the order has ended there is nothing left to do.
    let found = jobs(&admin, "?kind=close_order").await;
    mall.database
        .execute("UPDATE orders SET state = 'CLOSED', version = version + 1 WHERE order_no = 'B'")
        .await;
    let cancelled = admin.call("POST", &path(&found[0], "cancel"), None).await;
    assert_eq!((cancelled.status, cancelled.body), (204, Value::Null));
    assert_eq!(jobs(&admin, "?kind=close_order").await, [Value::Null; 0]);
    assert_eq!(admin.call("POST", &path(&found[0], "cancel"), None).await.status, 404);
    mall.stop().await;
}

async fn jobs_are_listed_the_dead_ones_first(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Viewer).await;
    let one = mall.add_partner("ONE", Mode::Live, |_| ()).await;
    let two = mall.add_partner("TWO", Mode::Live, |_| ()).await;
    for (shop, numbers) in [(&one, ["A", "B", "C"]), (&two, ["D", "E", "F"])] {
        for (number, sim) in numbers.iter().zip(&shop.sims) {
            mall.clock.advance(Span::seconds(1));
            shop.client(&mall).single_order(&shop.order(sim, number)).await.unwrap();
        }
    }
    let all = jobs(&admin, "").await;
    let times: Vec<&str> = all.iter().map(|job| job["run_at"].as_str().unwrap()).collect();
    assert_eq!((times.len(), times.is_sorted()), (6, true), "{times:?}");
    for subject in [&all[3], &all[5]] {
        let id = subject["job_id"].as_str().unwrap();
        let bury = format!("UPDATE jobs SET state = 'dead' WHERE job_id = '{id}'");
        mall.database.execute(&bury).await;
    }
    for limit in [1, 2, 3, 50] {
        let all = admin.all("/live/jobs", limit).await;
        let states: Vec<&str> = all.iter().map(|job| job["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["dead", "dead", "ready", "ready", "ready", "ready"], "{limit}");
        let of = admin.all("/live/jobs?partner=ONE&state=ready", limit).await;
        assert_eq!(of.len(), 3);
    }
    assert_eq!(jobs(&admin, "?partner=ONE&state=dead").await, [Value::Null; 0]);
    assert_eq!(jobs(&admin, "?kind=turn_plan").await, [Value::Null; 0]);
    for bad in ["7a7a", "72656164792078", "64656164"] {
        let wrong = admin.get(&format!("/live/jobs?cursor={bad}")).await;
        assert_eq!(wrong.wrong_fields(), ["cursor"], "{bad}");
    }
    mall.stop().await;
}
