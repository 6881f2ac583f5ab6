//! The ledger: every currency sums to zero, whatever page it is read by.

use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{Engine, TestMall, on_both_engines};

on_both_engines!(balances_and_postings,);

async fn balances_and_postings(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let admin = mall.admin(Role::Viewer).await;
    let one = mall.add_partner("ONE", Mode::Live, |_| ()).await;
    let yen = |partner: &mut domain::partner::Partner| {
        partner.settlement_currency = "JPY".parse().unwrap();
    };
    let two = mall.add_partner("TWO", Mode::Live, yen).await;
    let refused = mall.add_sim(&two, "9002", "simulator", domain::sim::SimState::Ready).await;
    for (shop, sim, number) in [
        (&one, &one.sims[0], "A"),
        (&two, &two.sims[0], "B"),
        (&one, &one.sims[1], "C"),
        (&two, &refused, "D"),
    ] {
        mall.clock.advance(Span::seconds(1));
        shop.client(&mall).syn_order_info(&shop.paid_order(sim, number)).await.unwrap();
        mall.settle().await;
    }
    let balance = |partner: &str, account: &str, currency: &str, balance: &str| json!({"partner": partner, "account": account, "currency": currency, "balance": balance});
    let expected = [
        balance("ONE", "partner_receivable", "EUR", "16.00"),
        balance("ONE", "sales", "EUR", "-16.00"),
        balance("TWO", "partner_receivable", "JPY", "800"),
        balance("TWO", "sales", "JPY", "-800"),
    ];
    for limit in [1, 3, 50] {
        assert_eq!(admin.all("/live/ledger/balances", limit).await, expected, "{limit}");
        let of = admin.all("/live/ledger/balances?partner=TWO", limit).await;
        assert_eq!(of, expected[2..], "{limit}");
        let postings = admin.all("/live/ledger/postings", limit).await;
        assert_eq!(postings.len(), 5, "four sales, one of them taken back");
        let of: Vec<&Value> = postings.iter().filter(|one| one["partner"] == "TWO").collect();
        let alone = admin.all("/live/ledger/postings?partner=TWO", limit).await;
        assert_eq!(alone.iter().collect::<Vec<_>>(), of, "{limit}");
        let kinds: Vec<&str> = alone.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["sale", "reversal", "sale"], "the newest order first");
    }
    assert_eq!(admin.all("/test/ledger/postings?partner=P012345", 50).await, [Value::Null; 0]);
    assert_eq!(admin.get("/live/ledger/postings?cursor=7a").await.wrong_fields(), ["cursor"]);
    mall.stop().await;
}
