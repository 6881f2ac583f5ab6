//! A day's money is compared on all sides, whatever is wrong is named, and partners pay what they owe.

use std::collections::BTreeSet;

use domain::Role;
use sdk::Client;
use serde_json::{Value, json};
use testkit::{Engine, TestMall, TestPartner, on_both_engines};

use crate::binary::process::{run, simmall};
use crate::payments::{authorised, balance, with_stripe};
use crate::steps::at_once;

on_both_engines!(
    every_difference_is_named,
    a_day_that_adds_up_is_told_so,
    a_partner_pays_what_it_owes,
    a_payment_of_a_partner_is_booked_once,
);

const DAY: &str = "2024-03-10";

/// All parts of a day, and the differences of all.
async fn reconciled(mall: &TestMall, limit: u32) -> (Vec<Value>, Vec<Value>) {
    let viewer = mall.admin(Role::Viewer).await;
    let (mut parts, mut differences, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/test/reconciliation?day={DAY}&limit={limit}{cursor}");
        let part = viewer.get(&path).await.done();
        differences.extend(part["differences"].as_array().unwrap().clone());
        let next = part["next_cursor"].as_str().map(str::to_owned);
        parts.push(part);
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (parts, differences),
        }
    }
}

fn reconcile(mall: &TestMall, token: &str, more: &str) -> std::process::Command {
    let mut command = simmall(["admin", "reconcile", "--mode", "test"]);
    command.args(more.split_whitespace());
    command.env("SIMMALL_ADMIN_URL", mall.admin_url()).env("SIMMALL_ADMIN_TOKEN", token);
    command
}

/// Five orders that were paid and have their plans, and one that is not paid; gives their ids.
async fn six_orders(mall: &TestMall, partner: &TestPartner, client: &Client) -> Vec<String> {
    let mut orders = Vec::new();
    for number in ["N1", "N2", "N3", "N4", "N5", "N6"] {
        let (_, intent) = authorised((partner, client), number).await;
        if number != "N6" {
            mall.stripe().pay(&intent, "pm_card_visa").await;
        }
        mall.settle_payments().await;
        orders.push(client.order(number).await.unwrap().order_id);
    }
    orders
}

/// Spoils each of six orders in another way.
async fn spoil(mall: &TestMall, partner: &TestPartner, orders: &[String]) {
    let [lost, other, free, pretended, failed, unpaid] = orders else { panic!() };
    let (mode, whose) = ("mode = 'test'", partner.partner.id);
    let posting = |order: &str, kind: &str| {
        format!("WHERE {mode} AND order_id = '{order}' AND kind = '{kind}'")
    };
    for statement in [
        format!("DELETE FROM postings {}", posting(lost, "sale")),
        format!("UPDATE postings SET minor = 900 {}", posting(other, "sale")),
        format!("DELETE FROM postings {}", posting(free, "fee")),
        format!(
            "INSERT INTO postings (mode, partner_id, order_id, kind, reference, debit, credit, minor,
            currency, created_at) VALUES ('test', '{whose}', '{pretended}', 'dispute', 'du_none',
            'disputed', 'stripe_balance', 1, 'EUR', 1)"
        ),
        format!(
            "UPDATE orders SET state = 'FAILED', failure_code = 'X', failure_message = 'x'
            WHERE {mode} AND order_id = '{failed}'"
        ),
        format!(
            "UPDATE orders SET state = 'PROVISIONED', paid_at = created_at,
            provisioned_at = created_at WHERE {mode} AND order_id = '{unpaid}'"
        ),
    ] {
        assert_eq!(mall.database.execute(&statement).await, 1, "{statement}");
    }
}

/// Money of one of our customers that no order asked for, and of somebody who only has the same account.
async fn strange_money(mall: &TestMall, partner: &TestPartner, client: &Client) {
    let pay_id = partner.order(&partner.sims[0], "N6").pay_id;
    let ours = client.stripe_single_auth(&pay_id, ("10.00", "EUR"), "").await.unwrap();
    let other = mall.stripe().call("customers", &[]).await.1;
    for customer in [ours.customer_id.as_str(), other["id"].as_str().unwrap()] {
        let form = [
            ("amount", "700"),
            ("currency", "eur"),
            ("customer", customer),
            ("payment_method", "pm_card_visa"),
            ("automatic_payment_methods[enabled]", "true"),
            ("automatic_payment_methods[allow_redirects]", "never"),
            ("confirm", "true"),
        ];
        let (status, paid) = mall.stripe().call("payment_intents", &form).await;
        assert_eq!(status, 200, "{paid}");
    }
}

async fn every_difference_is_named(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let orders = six_orders(&mall, &partner, &client).await;
    strange_money(&mall, &partner, &client).await;
    spoil(&mall, &partner, &orders).await;
    let [lost, other, free, pretended, failed, unpaid] = orders.as_slice() else { panic!() };
    let (parts, differences) = reconciled(&mall, 2).await;
    let found: BTreeSet<(&str, &str)> = differences
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["order_id"].as_str().unwrap_or_default()))
        .collect();
    let expected = BTreeSet::from([
        ("not_booked", lost.as_str()),
        ("plan_without_money", lost),
        ("amount_differs", other),
        ("not_booked", free),
        ("not_at_stripe", pretended),
        ("money_without_plan", failed),
        ("plan_without_money", unpaid),
        ("not_booked", ""),
    ]);
    assert_eq!(found, expected, "{differences:#?}");
    let moved: Vec<&Value> =
        parts.iter().flat_map(|part| part["movements"].as_array().unwrap()).collect();
    // Five orders and two strangers: 2.9 % and 30 cents of each.
    let expected =
        json!({"kind": "charge", "currency": "EUR", "count": 7, "amount": "64.00", "fee": "3.95"});
    assert_eq!(moved, [&expected]);
    let looked_at: i64 = parts.iter().map(|part| part["orders"].as_i64().unwrap()).sum();
    assert_eq!(looked_at, 7, "six, and one of the demo");

    told_on_the_command_line(&mall, (pretended, failed)).await;
    mall.stop_as_it_is().await;
}

/// Tables, CSV and JSON; and a status that a script can see.
async fn told_on_the_command_line(mall: &TestMall, (pretended, failed): (&str, &str)) {
    let token = mall.add_token("Vera", Role::Viewer).await;
    let ended = run(&mut reconcile(mall, &token, &format!("--day {DAY}")), "");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the sides differ in 9 places"), "{ended:?}");
    for words in
        ["7 movements at Stripe, 7 orders, 9 differences", "charge  EUR", "du_none", failed]
    {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let ended = run(&mut reconcile(mall, &token, &format!("--day {DAY} --csv")), "");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{ended:?}");
    assert_eq!(lines[0], "kind,partner,order_id,state,stripe_id,at_stripe,in_books,currency,what");
    let line = format!("not_at_stripe,P100,{pretended},PROVISIONED,du_none,,0.01,EUR,");
    assert!(ended.stdout.contains(&line), "{line}: {}", ended.stdout);
    let ended = run(&mut reconcile(mall, &token, &format!("--day {DAY} --json")), "");
    let all: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(all["differences"].as_array().unwrap().len(), 9);
}

async fn a_day_that_adds_up_is_told_so(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    let (_, intent) = authorised((&partner, &client), "N1").await;
    mall.stripe().pay(&intent, "pm_card_visa").await;
    mall.settle_payments().await;
    // What is reported is compared too, and has no part at Stripe.
    client.syn_order_info(&partner.paid_order(&partner.sims[1], "R1")).await.unwrap();
    mall.settle().await;
    let token = mall.add_token("Vera", Role::Viewer).await;
    let said = run(&mut reconcile(&mall, &token, &format!("--day {DAY}")), "").success();
    assert!(said.contains("1 movements at Stripe, 3 orders, 0 differences"), "{said}");
    let said = run(&mut reconcile(&mall, &token, "--day 2024-03-09"), "").success();
    assert_eq!(said, "0 movements at Stripe, 0 orders, 0 differences\n");
    let viewer = mall.admin(Role::Viewer).await;
    for bad in ["2024-02-30", "2024-3-100", "yesterday!", "1899-01-01"] {
        let refused = viewer.get(&format!("/test/reconciliation?day={bad}")).await;
        assert_eq!(refused.wrong_fields(), ["day"], "{bad}");
    }
    assert_eq!(viewer.get("/test/reconciliation").await.wrong_fields(), ["day"]);
    for bad in ["stripe 7 ", "stripe x y", "orders x", "orders", "else"] {
        let path = format!("/test/reconciliation?day={DAY}&cursor={}", hex::encode(bad));
        assert_eq!(viewer.get(&path).await.wrong_fields(), ["cursor"], "{bad}");
    }
    // While Stripe cannot be asked, nobody says that all is well.
    mall.stripe().fault("drop_before", ("GET", "/v1/balance_transactions"), 1).await;
    let refused = viewer.get(&format!("/test/reconciliation?day={DAY}")).await;
    assert_eq!(refused.code(503), "PAYMENT_PROVIDER_UNAVAILABLE");
    mall.stop().await;
}

async fn a_partner_pays_what_it_owes(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    for number in ["A", "B"] {
        client.syn_order_info(&partner.paid_order(&partner.sims[0], number)).await.unwrap();
    }
    mall.settle().await;
    assert_eq!(partner.owes(&mall).await, 1_600);
    let operator = mall.admin(Role::Operator).await;
    let path = "/test/partners/P100/credits/EUR/settlements";
    let settle = |kind: &str, amount: &str, reference: &str| json!({"kind": kind, "amount": amount, "reference": reference});
    let booked = operator.post(path, &settle("settlement", "10.00", "BANK-1")).await.done();
    assert_eq!(
        (&booked["debit"], &booked["credit"]),
        (&json!("settled"), &json!("partner_receivable"))
    );
    assert!(booked["order_id"].is_null() && booked["reference"] == "BANK-1", "{booked}");
    assert_eq!(operator.post(path, &settle("settlement", "10.00", "BANK-1")).await.done(), booked);
    let other = operator.post(path, &settle("settlement", "9.00", "BANK-1")).await;
    assert_eq!(other.code(409), "REFERENCE_TAKEN");
    let more = operator.post(path, &settle("settlement", "6.01", "BANK-2")).await;
    assert_eq!(more.code(409), "MORE_THAN_OWED");
    assert!(more.body["detail"].as_str().unwrap().contains("EUR 6.00"), "{}", more.body);
    operator.post(path, &settle("credit", "2.00", "BANK-1")).await.done();
    for (wrong, field) in [
        (settle("settlement", "0.00", "X"), "amount"),
        (settle("settlement", "-1.00", "X"), "amount"),
        (settle("settlement", "1.001", "X"), "amount"),
        (settle("gift", "1.00", "X"), "kind"),
        (settle("credit", "1.00", "a b"), "reference"),
        (settle("credit", "1.00", ""), "reference"),
    ] {
        assert_eq!(operator.post(path, &wrong).await.wrong_fields(), [field], "{wrong}");
    }
    assert_eq!(partner.owes(&mall).await, 400);
    let balances = ["partner_receivable", "settled", "sales"];
    let mut found = Vec::new();
    for account in balances {
        found.push(balance(&mall, &partner, account).await);
    }
    assert_eq!(found, [400, 1_000, -1_400]);
    // They stand in the list of postings, whichever page they are on.
    for limit in [1, 50] {
        let all = operator.all("/test/ledger/postings?partner=P100", limit).await;
        let kinds: Vec<&str> = all.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["sale", "sale", "settlement", "credit"], "{limit}");
    }
    let audit = operator.get("/audit?action=credit.settle").await.done();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "what is repeated changes nothing");
    // From the command line.
    let token = mall.add_token("Olga", Role::Operator).await;
    let mut settle =
        simmall(["admin", "credit", "settle", "P100", "EUR", "1.00", "--reference", "BANK-3"]);
    settle.env("SIMMALL_ADMIN_URL", mall.admin_url()).env("SIMMALL_ADMIN_TOKEN", &token);
    let said = run(settle.env("SIMMALL_MODE", "test"), "").success();
    assert!(said.contains("BANK-3"), "{said}");
    let mut note =
        simmall(["admin", "credit", "note", "P100", "EUR", "3.00", "--reference", "CN-1"]);
    note.env("SIMMALL_ADMIN_URL", mall.admin_url()).env("SIMMALL_ADMIN_TOKEN", &token);
    run(note.env("SIMMALL_MODE", "test"), "").success();
    assert_eq!(partner.owes(&mall).await, 0);
    mall.stop().await;
}

async fn a_payment_of_a_partner_is_booked_once(engine: Engine) {
    let (mall, partner, client) = with_stripe(engine).await;
    for number in ["A", "B", "C"] {
        client.syn_order_info(&partner.paid_order(&partner.sims[0], number)).await.unwrap();
    }
    mall.settle().await;
    let operator = mall.admin(Role::Operator).await;
    let path = "/test/partners/P100/credits/EUR/settlements";
    let answers = at_once(16, |number| {
        let operator = operator.clone();
        // Four of each of four references, of which three can be paid.
        let body = json!({"kind": "settlement", "amount": "8.00", "reference": format!("B{}", number % 4)});
        async move { operator.post(path, &body).await.status }
    })
    .await;
    let done = answers.iter().filter(|status| **status == 201).count();
    assert_eq!(
        (done, answers.iter().filter(|status| **status == 409).count()),
        (12, 4),
        "{answers:?}"
    );
    assert_eq!(partner.owes(&mall).await, 0);
    assert_eq!(balance(&mall, &partner, "settled").await, 2_400);
    mall.stop().await;
}
