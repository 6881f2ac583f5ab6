//! A partner never learns whether another one's SIM, order, payment or renewal exists: a question
//! about a foreign object is answered to the byte like one about an object that is not there.

use domain::id::{GroupOperationId, OrderId};
use domain::plan::PriceKind;
use domain::sim::SimState;
use domain::{Mode, Money};
use serde_json::{Value, json};
use store::Price;
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};
use wire::Call;
use wire::call::{CALLS, Service};
use wire::groups::begins_operation;
use wire::renewals::{CANCEL_AUTO_RENEWAL_RECORD, QUERY_AUTO_RENEWAL_RECORD};
use wire::sign::Scheme;
use wire::topup::QUERY_ORDER;
use wire::vshop::{SINGLE_ORDER, SINGLE_VERIFY, SYN_ORDER_INFO};

use crate::raw::{Answer, GROUP, call_well, fields, post, sample, signed};

on_both_engines!(
    foreign_sims_are_like_none,
    foreign_orders_and_payments_are_like_none,
    foreign_groups_and_operations_are_like_none,
    foreign_numbers_are_free_to_use,
    a_plan_sold_to_others_is_like_none,
    nobody_sees_anothers_lists,
);

/// Somebody who has something, and somebody who would like to know.
struct Street {
    mall: TestMall,
    owner: TestPartner,
    snoop: TestPartner,
    /// The owner's order that is paid and runs, and renews by itself.
    order_id: String,
}

impl Street {
    async fn in_mode(engine: Engine, mode: Mode) -> Self {
        let mall = TestMall::with(engine, Recipe { stripe: true, ..Recipe::default() }).await;
        let owner = mall.add_partner("OWNER", mode, |_| ()).await;
        let snoop = mall.add_partner("SNOOP", mode, |_| ()).await;
        let mut reported = owner.paid_order(&owner.sims[0], "SECRET-1");
        reported.order.auto_renewal = true;
        "SECRET-REF".clone_into(&mut reported.order.request_order_id);
        "SECRET-TX".clone_into(&mut reported.transaction_id);
        let order = owner.client(&mall).syn_order_info(&reported).await.unwrap();
        let unpaid = owner.order(&owner.sims[0], "SECRET-2");
        owner.client(&mall).single_order(&unpaid).await.unwrap();
        mall.settle().await;
        Self { mall, owner, snoop, order_id: order.order_id }
    }

    /// What the snoop is answered.
    async fn ask(&self, call: &Call, more: Value) -> Answer {
        call_well(&self.mall, &self.snoop, call, more).await
    }

    /// Asks about a foreign object and about none: `more` with one word, then with the other, which
    /// are of one length. Insists that the two answers are the same but for that word.
    async fn cannot_tell(
        &self,
        call: &Call,
        more: &Value,
        (foreign, none): (&str, &str),
    ) -> Answer {
        assert_eq!(foreign.len(), none.len());
        let of_none = more.to_string().replace(foreign, none);
        assert_ne!(of_none, more.to_string());
        let of_none: Value = serde_json::from_str(&of_none).unwrap();
        let (about_foreign, about_none) =
            (self.ask(call, more.clone()).await, self.ask(call, of_none).await);
        assert_eq!(about_foreign.status, about_none.status, "{}", about_foreign.text);
        let masked = |answer: &Answer| answer.text.replace(foreign, "…").replace(none, "…");
        assert_eq!(masked(&about_foreign), masked(&about_none), "{}", call.name);
        let headers = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("x-request-id");
            headers.remove("date");
            headers
        };
        assert_eq!(headers(&about_foreign), headers(&about_none), "{}", call.name);
        about_foreign
    }
}

/// A number of a card that nobody has, as long as another.
fn nobodys(iccid: &str) -> String {
    format!("89001{}", &iccid[5..])
}

async fn foreign_sims_are_like_none(engine: Engine) {
    for mode in Mode::ALL {
        let street = Street::in_mode(engine, mode).await;
        let (mall, owner) = (&street.mall, &street.owner);
        mall.add_group(&street.snoop, GROUP, 10).await;
        let mut sims = owner.sims[..2].to_vec();
        for state in [SimState::Suspended, SimState::Expired, SimState::Terminated] {
            sims.push(mall.add_sim(owner, "", "simulator", state).await);
        }
        for iccid in &sims {
            let none = nobodys(iccid);
            for call in CALLS {
                // With the owner's own numbers, and with numbers of nobody's.
                for number in ["SECRET-1", "SNOOPS-1"] {
                    let mut more = sample(&call, iccid, number);
                    if call.name == "queryOrder" {
                        more = json!({"sim_id": iccid});
                    } else if call.service == Service::Payment
                        || !more.to_string().contains(iccid.as_str())
                    {
                        // They name payments, groups or operations, and no cards.
                        continue;
                    }
                    if begins_operation(&call) {
                        // Of many cards each is told about by itself; here, what would become of it.
                        more["dry_run"] = "1".into();
                        let told = street.cannot_tell(&call, &more, (iccid, &none)).await;
                        let told = told.accepted().json()["data"]["results"][0].clone();
                        assert_eq!(told["code"], "SIM_UNKNOWN", "{}", call.name);
                        continue;
                    } else if call.path.starts_with(wire::endpoints::ROOT) {
                        // They name endpoints, and no cards.
                        continue;
                    }
                    let told = street.cannot_tell(&call, &more, (iccid, &none)).await;
                    told.refused("SIM_UNKNOWN");
                }
            }
        }
        // The first period of its own group, and nothing else.
        assert_eq!(street.snoop.owes(mall).await, 800);
        street.mall.stop().await;
    }
}

async fn foreign_orders_and_payments_are_like_none(engine: Engine) {
    for mode in Mode::ALL {
        let street = Street::in_mode(engine, mode).await;
        let none: OrderId = street.mall.mall().ctx().id();
        let (own_sim, order_id) = (&street.snoop.sims[0], street.order_id.as_str());
        let numbers = ("SECRET", "NOBODY");
        for number in ["SECRET-1", "SECRET-2"] {
            let pay_id = format!("OWNER{number}");
            for call in CALLS.iter().filter(|call| call.service == Service::Payment) {
                let mut more = sample(call, own_sim, number);
                more["payId"] = pay_id.as_str().into();
                let told = street.cannot_tell(call, &more, numbers).await;
                let asks = call.name.starts_with("stripe") && mode == Mode::Live;
                // There is no account for live money here.
                let code = if asks { "PAYMENT_PROVIDER_UNAVAILABLE" } else { "PAYMENT_UNKNOWN" };
                assert_eq!(told.outcome().1, code, "{}", call.name);
            }
            let more = json!({"deviceCode": own_sim, "orderNo": number, "payId": pay_id});
            let told = street.cannot_tell(&CANCEL_AUTO_RENEWAL_RECORD, &more, numbers).await;
            told.refused("RENEWAL_UNKNOWN");
            for name in ["order_id", "purchase_order_id"] {
                let told = street.cannot_tell(&QUERY_ORDER, &json!({name: number}), numbers).await;
                told.refused("ORDER_UNKNOWN");
            }
        }
        let reference = json!({"purchase_order_id": "SECRET-REF"});
        street.cannot_tell(&QUERY_ORDER, &reference, numbers).await.refused("ORDER_UNKNOWN");
        // The mall's own id, which is unique across partners.
        let ids = (order_id, none.to_string());
        let told =
            street.cannot_tell(&QUERY_ORDER, &json!({"order_id": order_id}), (ids.0, &ids.1)).await;
        told.refused("ORDER_UNKNOWN");
        // The owner finds all of it.
        let owners = street.owner.client(&street.mall);
        assert_eq!(owners.order(order_id).await.unwrap().order_id, order_id);
        assert_eq!(owners.order_by_purchase("SECRET-REF").await.unwrap().order_id, order_id);
        assert_eq!(owners.result_query("OWNERSECRET-1").await.unwrap().pay_rst, "success");
        let renewal = owners.query_auto_renewal_record(&street.owner.sims[0]).await.unwrap();
        assert_eq!(renewal.unwrap().order_no, "SECRET-1");
        street.mall.stop().await;
    }
}

async fn foreign_groups_and_operations_are_like_none(engine: Engine) {
    for mode in Mode::ALL {
        let street = Street::in_mode(engine, mode).await;
        street.mall.add_group(&street.owner, "SECRET-GROUP", 10).await;
        let owners = street.owner.client(&street.mall);
        let begun = owners.add_group_sims("SECRET-GROUP", &street.owner.sims, "SECRET-KEY").await;
        let begun = begun.unwrap().request_id;
        street.mall.settle().await;
        let none: GroupOperationId = street.mall.mall().ctx().id();
        let none = none.to_string();
        let own_sim = street.snoop.sims[0].as_str();
        for call in CALLS {
            let mut more = sample(&call, own_sim, &begun);
            if call.in_path("group_id") {
                more["group_id"] = "SECRET-GROUP".into();
                for dry_run in ["0", "1"] {
                    more["dry_run"] = dry_run.into();
                    let numbers = ("SECRET", "NOBODY");
                    let told = street.cannot_tell(&call, &more, numbers).await;
                    told.refused("GROUP_UNKNOWN");
                }
            } else if call.in_path("request_id") {
                let told = street.cannot_tell(&call, &more, (&begun, &none)).await;
                told.refused("REQUEST_UNKNOWN");
            }
        }
        // A SIM in somebody's group is like one in none, to whoever has the same number in another stock: the code of a
        // group and a key are free to use.
        street.mall.add_group(&street.snoop, "SECRET-GROUP", 10).await;
        let snoops = street.snoop.client(&street.mall);
        let sims = &street.snoop.sims[..1];
        let theirs = snoops.add_group_sims("SECRET-GROUP", sims, "SECRET-KEY").await.unwrap();
        assert_ne!(theirs.request_id, begun);
        street.mall.settle().await;
        let result = owners.async_result(&begun, false, 1).await.unwrap();
        assert_eq!((result.total, result.succeeded), (3, 3));
        let members = owners.group_sims("SECRET-GROUP", sdk::PageAt::Number(1), 10).await.unwrap();
        assert_eq!(members.total_count, 3);
        street.mall.stop().await;
    }
}

async fn foreign_numbers_are_free_to_use(engine: Engine) {
    for mode in Mode::ALL {
        let street = Street::in_mode(engine, mode).await;
        let (mall, snoop) = (&street.mall, &street.snoop);
        let numbers = ("SECRET", "NOBODY");
        let mut more = sample(&SINGLE_ORDER, &snoop.sims[0], "SECRET-2");
        more["payId"] = "OWNERSECRET-2".into();
        street.cannot_tell(&SINGLE_ORDER, &more, numbers).await.accepted();

        // An order that claims to renew a foreign one, with the number and the payment of that one.
        let none: OrderId = mall.mall().ctx().id();
        let none = none.to_string();
        let mut renewals = Vec::new();
        for (sim, org, word) in
            [(1, street.order_id.as_str(), "SECRET"), (2, none.as_str(), "NOBODY")]
        {
            let mut more = sample(&SYN_ORDER_INFO, &snoop.sims[sim], &format!("{word}-1"));
            more["payId"] = format!("OWNER{word}-1").into();
            more["transactionId"] = format!("{word}-TX").into();
            more["requestOrderId"] = format!("{word}-REF").into();
            more["orgOrderId"] = org.into();
            let answer = street.ask(&SYN_ORDER_INFO, more).await;
            let told = answer.accepted().json()["data"].clone();
            assert_eq!(told["orderStatus"], "PAID", "{told}");
            mall.settle().await;
            let sim = json!({"deviceCode": snoop.sims[sim]});
            let renewal = street.ask(&QUERY_AUTO_RENEWAL_RECORD, sim).await;
            renewals.push(renewal.text.replace(word, "…").replace(&snoop.sims[1], "SIM"));
        }
        let second = renewals.pop().unwrap().replace(&snoop.sims[2], "SIM");
        assert_eq!(renewals[0], second);
        assert!(second.contains("subscriptionTime"), "{second}");

        // The owner notices nothing.
        let owners = street.owner.client(mall);
        let order = owners.order("SECRET-1").await.unwrap();
        assert_eq!((order.order_id, order.sim_id), (street.order_id, street.owner.sims[0].clone()));
        let renewal = owners.query_auto_renewal_record(&street.owner.sims[0]).await.unwrap();
        assert_eq!(renewal.unwrap().order_no, "SECRET-1");
        assert_eq!((street.owner.owes(mall).await, snoop.owes(mall).await), (800, 1_600));
        street.mall.stop().await;
    }
}

async fn a_plan_sold_to_others_is_like_none(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let snoop = mall.add_partner("SNOOP", Mode::Test, |_| ()).await;
    // The plan of the published request is in the catalogue, but has no price for this partner.
    let mut refusals = Vec::new();
    for (plan, package) in
        [("SP202111041459", "DP20190726001274"), ("SP999999999999", "DP99999999999999")]
    {
        for call in [SINGLE_ORDER, SYN_ORDER_INFO] {
            let mut more = sample(&call, &snoop.sims[0], "N1");
            (more["servicePlanCode"], more["packageCode"]) = (plan.into(), package.into());
            let refusal = call_well(&mall, &snoop, &call, more).await;
            refusal.refused("PLAN_UNKNOWN");
            refusals.push(refusal.text);
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    // A price is all that it takes.
    let mut tx = mall.store().begin().await.unwrap();
    let unit = Money::new(1_000, snoop.partner.currency);
    let price = Price { plan_code: "SP202111041459".to_owned(), kind: PriceKind::Sale, unit };
    let id = mall.mall().ctx().id();
    let always = (mall.now(), None);
    tx.insert_price(Mode::Test, snoop.partner.id, id, &price, always).await.unwrap();
    tx.commit().await.unwrap();
    let mut more = sample(&SINGLE_ORDER, &snoop.sims[0], "N1");
    more["servicePlanCode"] = "SP202111041459".into();
    more["packageCode"] = "DP20190726001274".into();
    call_well(&mall, &snoop, &SINGLE_ORDER, more).await.accepted();
    mall.stop().await;
}

async fn nobody_sees_anothers_lists(engine: Engine) {
    let street = Street::in_mode(engine, Mode::Test).await;
    // A partner that has nothing sees nothing, though others have much; a partner's code in a request
    // does not help without its key.
    let snoops = street.snoop.client(&street.mall);
    for sim in &street.snoop.sims {
        assert_eq!(snoops.orders_of_sim(sim, 1).await.unwrap().total_count, 0);
        assert_eq!(snoops.single_query_order(sim).await.unwrap().order_list, []);
        assert_eq!(snoops.query_auto_renewal_record_list(sim).await.unwrap().record_list, []);
    }
    street.mall.add_group(&street.owner, GROUP, 10).await;
    assert_eq!(snoops.groups().await.unwrap(), []);
    let card = json!({"deviceCode": street.owner.sims[0]});
    let posing = fields(&street.mall, "OWNER", &SINGLE_VERIFY, card);
    for scheme in [Scheme::Md5Key, Scheme::HmacSha256] {
        let body = Value::Object(signed(scheme, &street.snoop.key, posing.clone())).to_string();
        post(&street.mall, "/vshop_uat/singleVerify", body).await.refused("SIGN_MISMATCH");
    }
    street.mall.stop().await;
}
