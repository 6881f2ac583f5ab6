//! What must hold of groups however things meet: carriers that partners share, repeats, the order of operations, jobs that
//! were given up, and SIMs that only pass through.

use domain::sim::SimState;
use domain::{Clock as _, Mode, Role, Span};
use sdk::{Client, OperationResult, PageAt};
use serde_json::{Value, json};
use testkit::{Engine, Network, Recipe, TestMall, TestPartner, on_both_engines};
use upstream::Protocol;

on_both_engines!(
    two_groups_are_never_one_at_a_carrier,
    a_bundle_that_is_set_twice_is_charged_once,
    a_retry_and_an_add_after_a_cancel_are_new_operations,
    an_earlier_operation_never_undoes_a_later_one,
    operations_on_a_sim_are_done_in_their_order,
    a_sim_of_a_group_stays_with_its_carrier,
    a_job_that_was_given_up_is_put_back,
    a_job_that_is_missing_is_put_back,
    who_only_passed_through_is_counted,
    what_a_partner_can_have_has_an_end,
    what_is_counted_wrong_is_found,
);

const GROUP: &str = "FLEET-1";
const NET: &str = "network";
/// How many jobs' times are waited for until an operation ends.
const STEPS_MAX: u32 = 600;

struct Yard {
    mall: TestMall,
    shop: TestPartner,
    client: Client,
}

impl Yard {
    async fn new(engine: Engine, recipe: Recipe, plan: &str) -> Self {
        let has_network = !recipe.networks.is_empty();
        let mall = TestMall::with(engine, recipe).await;
        let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
        if has_network {
            mall.add_plan_of(&shop, NET).await;
        }
        let client = shop.client(&mall);
        let yard = Self { mall, shop, client };
        yard.make("SHOP", &json!({"group_id": GROUP, "plan_code": plan})).await;
        yard
    }

    async fn plain(engine: Engine) -> Self {
        Self::new(engine, Recipe::default(), "PLAN-M").await
    }

    /// Makes a group; gives the answer's status and body.
    async fn make(&self, partner: &str, more: &Value) -> (u16, Value) {
        let mut group = json!({"name": "Cars", "sim_limit": 100, "plan_code": "PLAN-M"});
        for (name, value) in more.as_object().unwrap() {
            group[name] = value.clone();
        }
        let admin = self.mall.admin(Role::Operator).await;
        let answer = admin.post(&format!("/test/partners/{partner}/groups"), &group).await;
        (answer.status, answer.body)
    }

    async fn sims(&self, carrier: &str, endings: &[&str]) -> Vec<String> {
        let mut sims = Vec::new();
        for ending in endings {
            sims.push(self.mall.add_sim(&self.shop, ending, carrier, SimState::Ready).await);
        }
        sims
    }

    async fn add(&self, sims: &[String]) -> String {
        self.client.add_group_sims(GROUP, sims, "").await.unwrap().request_id
    }

    async fn remove(&self, sims: &[String]) -> String {
        self.client.remove_group_sims(GROUP, sims, "").await.unwrap().request_id
    }

    async fn ended(&self, request_id: &str) -> OperationResult {
        for _ in 0..STEPS_MAX {
            self.mall.settle().await;
            let result = self.client.async_result(request_id, false, 1).await.unwrap();
            if result.finished_at.is_some() {
                return result;
            }
            let next = self.mall.store().next_job_at().await.unwrap().unwrap();
            let wait = next.since(self.mall.clock.now()).max(Span::millis(100));
            self.mall.clock.advance(wait);
        }
        panic!("the operation does not end")
    }

    async fn members(&self) -> Vec<String> {
        let page = self.client.group_sims(GROUP, PageAt::Number(1), 1_000).await.unwrap();
        page.sims.into_iter().map(|sim| sim.sim_id).collect()
    }

    async fn shown(&self) -> Value {
        let admin = self.mall.admin(Role::Viewer).await;
        admin.get(&format!("/test/partners/SHOP/groups/{GROUP}")).await.done()
    }
}

/// The status and the code of an operation's only SIM.
fn only(result: &OperationResult) -> (&str, &str) {
    let [sim] = result.results.as_slice() else { panic!("{result:?}") };
    (sim.status.as_str(), sim.code.as_deref().unwrap_or_default())
}

async fn two_groups_are_never_one_at_a_carrier(engine: Engine) {
    let yard = Yard::plain(engine).await;
    yard.mall.add_partner("OTHER", Mode::Test, |_| ()).await;
    // The same code for another partner is another group at the carrier.
    let (status, theirs) = yard.make("OTHER", &json!({"group_id": GROUP})).await;
    assert!(status < 300, "{theirs}");
    let ours = yard.shown().await;
    assert_eq!(ours["group_id"], theirs["group_id"]);
    assert_ne!(ours["carrier_group"], theirs["carrier_group"]);
    // A name that is told is refused where it is taken, whoever has it.
    let (status, named) =
        yard.make("OTHER", &json!({"group_id": "G2", "carrier_group": "G-77"})).await;
    assert!(status < 300, "{named}");
    let (status, refused) =
        yard.make("SHOP", &json!({"group_id": "G2", "carrier_group": "G-77"})).await;
    assert_eq!((status, &refused["code"]), (409, &"CARRIER_GROUP_TAKEN".into()), "{refused}");
    let (status, refused) = yard.make("SHOP", &json!({"group_id": GROUP})).await;
    assert_eq!((status, &refused["code"]), (409, &"GROUP_EXISTS".into()), "{refused}");
    yard.mall.stop().await;
}

async fn a_bundle_that_is_set_twice_is_charged_once(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let owed = yard.shop.owes(&yard.mall).await;
    let admin = yard.mall.admin(Role::Operator).await;
    let path = format!("/test/partners/SHOP/groups/{GROUP}/bundle");
    let wish = json!({"plan_code": "PLAN-M", "period_no": 1});
    assert_eq!(admin.put(&path, &wish).await.done()["period_no"], 2);
    let again = admin.put(&path, &wish).await;
    assert_eq!((again.status, &again.body["code"]), (409, &"OTHER_PERIOD".into()));
    assert_eq!(admin.put(&path, &json!({"plan_code": "PLAN-M"})).await.status, 400);
    assert_eq!(yard.shop.owes(&yard.mall).await, 2 * owed);
    // A group is not made twice by a repeat either.
    let (status, _) = yard.make("SHOP", &json!({})).await;
    assert_eq!(status, 400);
    yard.mall.stop().await;
}

async fn a_retry_and_an_add_after_a_cancel_are_new_operations(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let sims = yard.sims("simulator", &["9002"]).await;
    let first = yard.add(&sims).await;
    assert_eq!(only(&yard.ended(&first).await), ("FAILED", "CARRIER_REFUSED"));
    let retried = yard.client.retry_failed(&first, "").await.unwrap().request_id;
    assert_ne!(retried, first);
    assert_eq!(yard.client.retry_failed(&first, "").await.unwrap().request_id, retried);
    yard.ended(&retried).await;
    let more = yard.sims("simulator", &["9003"]).await;
    let second = yard.add(&more).await;
    yard.mall.settle().await;
    yard.client.cancel_operation(&second).await.unwrap();
    let third = yard.add(&more).await;
    assert_ne!(third, second, "it was cancelled, and is asked for anew");
    assert_eq!(only(&yard.ended(&second).await), ("CANCELLED", "CANCELLED"));
    assert_eq!(only(&yard.ended(&third).await), ("SUCCEEDED", ""));
    yard.mall.stop().await;
}

async fn an_earlier_operation_never_undoes_a_later_one(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let sims = yard.sims("simulator", &["9001", "0000"]).await;
    let (busy, other) = (&sims[..1], &sims[1..]);
    // It stays open while its SIM has an order.
    yard.client.syn_order_info(&yard.shop.paid_order(&busy[0], "N1")).await.unwrap();
    yard.mall.settle().await;
    let open = yard.add(busy).await;
    let removed = yard.remove(other).await;
    let added = yard.add(other).await;
    assert_eq!(only(&yard.ended(&added).await), ("SUCCEEDED", ""));
    assert_eq!(only(&yard.ended(&removed).await), ("FAILED", "SIM_NOT_IN_GROUP"));
    assert_eq!(only(&yard.ended(&open).await), ("SUCCEEDED", ""));
    assert_eq!(yard.members().await.len(), 2);
    yard.mall.stop().await;
}

async fn operations_on_a_sim_are_done_in_their_order(engine: Engine) {
    let yard = Yard::plain(engine).await;
    // Its carrier puts it off, so that nothing of it is written in the group meanwhile.
    let sims = yard.sims("simulator", &["9003"]).await;
    let first = yard.add(&sims).await;
    yard.mall.settle().await;
    let waits = yard.client.async_result(&first, false, 1).await.unwrap();
    assert_eq!(only(&waits), ("WAITING", "CARRIER_BUSY"));
    let removed = yard.remove(&sims).await;
    let again = yard.add(&sims).await;
    for id in [&first, &removed, &again] {
        assert_eq!(only(&yard.ended(id).await), ("SUCCEEDED", ""), "{id}");
    }
    assert_eq!(yard.members().await, sims);
    yard.mall.stop().await;
}

async fn a_sim_of_a_group_stays_with_its_carrier(engine: Engine) {
    let networks = vec![Network::new(NET, Protocol::Plain)];
    let yard = Yard::new(engine, Recipe { networks, ..Recipe::default() }, "PLAN-M").await;
    let sims = yard.sims("simulator", &["0000"]).await;
    let id = yard.add(&sims).await;
    assert_eq!(yard.ended(&id).await.status, "SUCCEEDED");
    let admin = yard.mall.admin(Role::Operator).await;
    let path = format!("/test/partners/SHOP/sims/{}", sims[0]);
    let moved = json!({"carrier": NET, "state": "ready"});
    let refused = admin.put(&path, &moved).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &"SIM_IN_USE".into()));
    let bundle = format!("/test/partners/SHOP/groups/{GROUP}/bundle");
    let wish = json!({"plan_code": "PLAN-network", "period_no": 1});
    let refused = admin.put(&bundle, &wish).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &"OTHER_CARRIER".into()));
    let id = yard.remove(&sims).await;
    assert_eq!(yard.ended(&id).await.status, "SUCCEEDED");
    admin.put(&path, &moved).await.done();
    assert_eq!(admin.put(&bundle, &wish).await.done()["carrier"], NET);
    yard.mall.stop().await;
}

async fn a_job_that_was_given_up_is_put_back(engine: Engine) {
    let yard = Yard::plain(engine).await;
    for cancels in [false, true] {
        let sims = yard.sims("simulator", &["9003"]).await;
        let id = yard.add(&sims).await;
        yard.mall.settle().await;
        let bury = "UPDATE jobs SET state = 'dead' WHERE kind = 'group_chunk'";
        assert_eq!(yard.mall.database.execute(bury).await, 1);
        yard.mall.advance(Span::minutes(5)).await;
        assert_eq!(only(&yard.client.async_result(&id, false, 1).await.unwrap()).0, "WAITING");
        let wanted = if cancels {
            yard.client.cancel_operation(&id).await.unwrap();
            ("CANCELLED", "CANCELLED")
        } else {
            assert_eq!(yard.mall.mall().reconcile().await.unwrap().jobs_added, 1);
            ("SUCCEEDED", "")
        };
        assert_eq!(only(&yard.ended(&id).await), wanted);
    }
    yard.mall.stop().await;
}

async fn a_job_that_is_missing_is_put_back(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let sims = yard.sims("simulator", &["9003"]).await;
    let id = yard.add(&sims).await;
    yard.mall.settle().await;
    // While nothing is due yet, so that no worker has it in hand.
    yard.mall.database.execute("DELETE FROM jobs").await;
    // The next time that all is gone by.
    yard.mall.clock.advance(Span::minutes(400));
    // The part of the operation, the group's turn, and its watch.
    assert_eq!(yard.mall.mall().reconcile().await.unwrap().jobs_added, 3);
    assert_eq!(yard.ended(&id).await.total, 1);
    yard.mall.stop().await;
}

async fn who_only_passed_through_is_counted(engine: Engine) {
    let networks = vec![Network::new(NET, Protocol::Plain)];
    let yard = Yard::new(engine, Recipe { networks, ..Recipe::default() }, "PLAN-network").await;
    let sims = yard.sims(NET, &["0000"; 3]).await;
    let id = yard.add(&sims).await;
    assert_eq!(yard.ended(&id).await.status, "SUCCEEDED");
    // They leave before their usage is asked for.
    yard.mall.clock.advance(Span::minutes(2));
    let id = yard.remove(&sims).await;
    assert_eq!(yard.ended(&id).await.status, "SUCCEEDED");
    assert_eq!(yard.shown().await["used_bytes"], 0);
    for _ in 0..3 {
        yard.mall.advance(Span::minutes(60)).await;
    }
    assert!(yard.shown().await["used_bytes"].as_i64().unwrap() > 0);
    yard.mall.stop().await;
}

async fn what_a_partner_can_have_has_an_end(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let columns = "state, sim_limit, sim_count, held_count, next_place, operation_no, plan_code,
        package_code, unit, periods, calendar, volume_bytes, carrier, period_no, counted_from,
        effective_at, expire_at, metered_from, at_limit, at_end, used_bytes, used_at, told,
        carrier_policy, version, created_at";
    let copies = format!(
        "WITH RECURSIVE n (no) AS (SELECT 1 UNION ALL SELECT no + 1 FROM n WHERE no < 999)
        INSERT INTO sim_groups (mode, partner_id, group_id, name, carrier_group, {columns})
        SELECT mode, partner_id, 'C-' || no, name, 'C-' || no, {columns} FROM sim_groups, n"
    );
    assert_eq!(yard.mall.database.execute(&copies).await, 999);
    let (status, refused) = yard.make("SHOP", &json!({"group_id": "ONE-MORE"})).await;
    assert_eq!((status, &refused["code"]), (409, &"TOO_MANY_GROUPS".into()), "{refused}");
    yard.mall.stop().await;
}

async fn what_is_counted_wrong_is_found(engine: Engine) {
    let yard = Yard::plain(engine).await;
    let accepted = yard.client.add_group_sims(GROUP, &yard.shop.sims, "").await.unwrap();
    yard.mall.settle().await;
    let faults = async || -> Vec<String> {
        let mut tx = yard.mall.store().read().await.unwrap();
        tx.order_faults().await.unwrap().into_iter().map(|fault| fault.what).collect()
    };
    assert_eq!(faults().await, Vec::<String>::new());
    let counts = |table: &str, column: &str, by: &str| {
        format!("UPDATE {table} SET {column} = {column} {by} 1 WHERE mode = 'test'")
    };
    for (table, column, what, id) in [
        ("sim_groups", "held_count", "a group that counts other SIMs than it has", GROUP),
        ("group_blocks", "sims", "a group whose pages count other SIMs than it has", GROUP),
        (
            "group_operations",
            "total",
            "an operation that counts other SIMs as open than its parts",
            accepted.request_id.as_str(),
        ),
    ] {
        yard.mall.database.execute(&counts(table, column, "+")).await;
        let found = faults().await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(what) && found[0].contains(id), "{found:?}");
        yard.mall.database.execute(&counts(table, column, "-")).await;
        assert_eq!(faults().await, Vec::<String>::new());
    }
    yard.mall.stop().await;
}
