//! How much a caller may ask: the rate of a partner, the failures of an address, the misses of the
//! card check. The clock stands still unless it is moved, so that nothing depends on speed.

use domain::{Locale, Mode, Role, Span};
use mall::{RateLimit, Settings};
use serde_json::json;
use testkit::{Engine, Recipe, TestMall, TestPartner, http_client, on_both_engines};
use wire::sign::Scheme;
use wire::vshop::{SINGLE_QUERY_ORDER, SINGLE_VERIFY};

use crate::proxies::behind_proxy;
use crate::raw::{Answer, call_well, fields, path, sample, send, signed};
use crate::steps::{at_once, code, count};

on_both_engines!(
    a_partner_has_its_rate_and_no_other_has_to_wait_for_it,
    forged_calls_lock_out_an_address_and_never_a_partner,
    a_busy_partner_is_not_counted_by_its_address,
    whoever_guesses_cards_has_to_wait,
    guesses_at_the_same_moment_gain_nothing,
    limits_can_be_switched_off,
    tokens_cannot_be_guessed_at_speed,
);

/// A rate that is left after so many calls, until the clock moves.
fn rate(per_second: u32, burst: u32) -> RateLimit {
    RateLimit::new(per_second, burst).unwrap()
}

fn recipe(change: impl FnOnce(&mut Settings)) -> Recipe {
    let mut recipe = behind_proxy("x-forwarded-for");
    change(&mut recipe.settings);
    recipe
}

/// A SIM that is nobody's.
fn stranger(number: usize) -> String {
    format!("8944000000000{number:06}")
}

/// A card check of a partner that comes through the proxy from an address.
async fn check(mall: &TestMall, partner: &TestPartner, from: &str, sim: &str) -> Answer {
    signed_call(mall, partner, (Scheme::HmacSha256, &partner.key), from, sim).await
}

async fn signed_call(
    mall: &TestMall,
    partner: &TestPartner,
    (scheme, key): (Scheme, &str),
    from: &str,
    sim: &str,
) -> Answer {
    let fields = fields(mall, &partner.partner.code, &SINGLE_VERIFY, json!({"deviceCode": sim}));
    let body = serde_json::Value::Object(signed(scheme, key, fields)).to_string();
    send(mall, "POST", &path(partner, &SINGLE_VERIFY), |request| {
        request.header("x-forwarded-for", from).body(body)
    })
    .await
}

/// Insists on a refusal, and gives how many seconds the caller has to wait.
#[track_caller]
fn has_to_wait(answer: &Answer) -> i64 {
    assert_eq!(answer.outcome(), (429, "RATE_LIMITED".to_owned()), "{}", answer.text);
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

async fn a_partner_has_its_rate_and_no_other_has_to_wait_for_it(engine: Engine) {
    let recipe = recipe(|settings| settings.partner_rate = Some(rate(2, 5)));
    let mall = TestMall::with(engine, recipe).await;
    let busy = mall.add_partner("BUSY", Mode::Live, |partner| partner.locale = Locale::ZhCn).await;
    let calm = mall.add_partner("CALM", Mode::Live, |_| ()).await;
    for number in 0..5 {
        // Whatever the call and wherever from.
        let from = format!("203.0.113.{number}");
        check(&mall, &busy, &from, &busy.sims[0]).await.accepted();
    }
    let refused = check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await;
    assert_eq!(has_to_wait(&refused), 1);
    // In its own language, with the published envelope.
    assert!(
        refused.json()["message"] == "fail" && refused.told("message").contains("请求过于频繁")
    );
    let queue = sample(&SINGLE_QUERY_ORDER, &busy.sims[0], "");
    has_to_wait(&call_well(&mall, &busy, &SINGLE_QUERY_ORDER, queue).await);
    check(&mall, &calm, "203.0.113.9", &calm.sims[0]).await.accepted();

    // The wait was true, though less than a second would have done: there is one call every half.
    mall.clock.advance(Span::millis(499));
    has_to_wait(&check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await);
    mall.clock.advance(Span::millis(1));
    check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await.accepted();
    has_to_wait(&check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await);
    // However long it was quiet, there is no more than a burst.
    mall.clock.advance(Span::minutes(60));
    let asked = mall.now();
    for _ in 0..5 {
        check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await.accepted();
    }
    assert_eq!(mall.now(), asked);
    has_to_wait(&check(&mall, &busy, "203.0.113.9", &busy.sims[0]).await);
    mall.stop().await;
}

async fn forged_calls_lock_out_an_address_and_never_a_partner(engine: Engine) {
    let recipe = recipe(|settings| {
        settings.partner_rate = Some(rate(1, 3));
        settings.address_rate = Some(rate(1, 4));
    });
    let mall = TestMall::with(engine, recipe).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    let forge = |from: &'static str| {
        signed_call(&mall, &shop, (Scheme::HmacSha256, "a guess"), from, &shop.sims[0])
    };
    // More forgeries than the partner has calls: it has them all the same.
    for from in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8::1"] {
        forge(from).await.refused("SIGN_MISMATCH");
    }
    // One /64 is one address, and its neighbour is another.
    assert_eq!(has_to_wait(&forge("2001:db8::4").await), 1);
    forge("2001:db8:0:1::4").await.refused("SIGN_MISMATCH");
    check(&mall, &shop, "203.0.113.1", &shop.sims[0]).await.accepted();
    // From the forger's own address nobody is heard for a while: that is before the signature.
    has_to_wait(&check(&mall, &shop, "2001:db8::9", &shop.sims[0]).await);
    // What is refused for this reason does not count, so that the wait is true.
    for _ in 0..20 {
        assert_eq!(has_to_wait(&forge("2001:db8::4").await), 1);
    }
    mall.clock.advance(Span::seconds(1));
    check(&mall, &shop, "2001:db8::9", &shop.sims[0]).await.accepted();

    // What cannot be read counts as well.
    let rubbish = || {
        send(&mall, "POST", "/vshop/singleVerify", |request| {
            request.header("x-forwarded-for", "203.0.113.77").body("{")
        })
    };
    for _ in 0..4 {
        rubbish().await.refused("BAD_REQUEST");
    }
    has_to_wait(&rubbish().await);
    mall.stop().await;
}

async fn a_busy_partner_is_not_counted_by_its_address(engine: Engine) {
    let recipe = recipe(|settings| settings.address_rate = Some(rate(1, 2)));
    let mall = TestMall::with(engine, recipe).await;
    let shop = mall.add_partner("SHOP", Mode::Live, |_| ()).await;
    for _ in 0..20 {
        check(&mall, &shop, "203.0.113.1", &shop.sims[0]).await.accepted();
        // Neither for what is refused to it for other reasons, once it is certain who calls.
        check(&mall, &shop, "203.0.113.1", &stranger(1)).await.refused("SIM_UNKNOWN");
    }
    mall.stop().await;
}

async fn whoever_guesses_cards_has_to_wait(engine: Engine) {
    let mall = TestMall::with(engine, recipe(|_| ())).await;
    let guesser = mall.add_partner("GUESSER", Mode::Test, |_| ()).await;
    let neighbour = mall.add_partner("NEIGHBOUR", Mode::Test, |_| ()).await;
    let (here, elsewhere) = ("203.0.113.1", "203.0.113.2");
    // Another's card is a miss like one that does not exist. Hits do not count.
    for number in 0..50 {
        check(&mall, &guesser, here, &guesser.sims[0]).await.accepted();
        check(&mall, &guesser, here, &stranger(number)).await.refused("SIM_UNKNOWN");
        check(&mall, &guesser, here, &neighbour.sims[0]).await.refused("SIM_UNKNOWN");
        if number == 0 {
            mall.clock.advance(Span::seconds(30));
        }
    }
    // A hundred misses: now nothing is told any more, be it a hit or a miss.
    let mut told = Vec::new();
    for sim in [&guesser.sims[0], &neighbour.sims[0], &stranger(99)] {
        for from in [here, elsewhere] {
            let answer = check(&mall, &guesser, from, sim).await;
            // The first two leave the window after 10 minutes.
            assert_eq!(has_to_wait(&answer), 600 - 30);
            told.push(answer.text);
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    // The address has to wait with any partner, but a partner elsewhere is not held up.
    has_to_wait(&check(&mall, &neighbour, here, &neighbour.sims[0]).await);
    check(&mall, &neighbour, elsewhere, &neighbour.sims[0]).await.accepted();
    // Selling goes on.
    let client = guesser.client(&mall);
    client.syn_order_info(&guesser.paid_order(&guesser.sims[0], "N1")).await.unwrap();
    client.single_query_order(&guesser.sims[0]).await.unwrap();
    assert_eq!(code(client.single_verify(&guesser.sims[0]).await), "RATE_LIMITED");

    // The wait was true: there is room for as many as have left the window, two.
    mall.clock.advance(Span::seconds(569));
    has_to_wait(&check(&mall, &guesser, here, &guesser.sims[0]).await);
    mall.clock.advance(Span::seconds(1));
    check(&mall, &guesser, here, &guesser.sims[0]).await.accepted();
    for number in 100..102 {
        check(&mall, &guesser, here, &stranger(number)).await.refused("SIM_UNKNOWN");
    }
    assert_eq!(has_to_wait(&check(&mall, &guesser, here, &stranger(103)).await), 30);
    mall.stop().await;
}

async fn guesses_at_the_same_moment_gain_nothing(engine: Engine) {
    let mall = TestMall::with(engine, recipe(|settings| settings.card_misses_max = 5)).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    let outcomes = at_once(40, |number| {
        let client = shop.client(&mall);
        async move { code(client.single_verify(&stranger(number)).await) }
    })
    .await;
    assert_eq!(count(&outcomes, "SIM_UNKNOWN"), 5, "{outcomes:?}");
    assert_eq!(count(&outcomes, "RATE_LIMITED"), 35, "{outcomes:?}");
    mall.stop().await;
}

async fn limits_can_be_switched_off(engine: Engine) {
    let recipe = recipe(|settings| settings.card_misses_max = 0);
    assert_eq!((recipe.settings.partner_rate, recipe.settings.address_rate), (None, None));
    let mall = TestMall::with(engine, recipe).await;
    let shop = mall.add_partner("SHOP", Mode::Test, |_| ()).await;
    for number in 0..120 {
        check(&mall, &shop, "203.0.113.1", &stranger(number)).await.refused("SIM_UNKNOWN");
    }
    mall.stop().await;
}

async fn tokens_cannot_be_guessed_at_speed(engine: Engine) {
    let recipe = recipe(|settings| settings.token_rate = Some(rate(1, 3)));
    let mall = TestMall::with(engine, recipe).await;
    let token = mall.admin(Role::Viewer).await.token.unwrap();
    let ask = async |token: Option<&str>, from: &str| {
        let url = format!("{}/admin/v1/whoami", mall.admin_url());
        let mut request = http_client().get(url).header("x-forwarded-for", from);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send().await.unwrap();
        let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap() == "1");
        (response.status().as_u16(), wait)
    };
    // A token with one wrong letter, rubbish, and none at all, which is no guess.
    let wrong = format!("{}x", &token[..token.len() - 1]);
    for (guess, times) in [(Some(wrong.as_str()), 2), (None, 10), (Some("rubbish"), 1)] {
        for _ in 0..times {
            assert_eq!(ask(guess, "203.0.113.1").await, (401, None));
        }
    }
    // Now not even the right one is looked at, from there; elsewhere it is.
    for guess in [wrong.as_str(), token.as_str()] {
        assert_eq!(ask(Some(guess), "203.0.113.1").await, (429, Some(true)));
    }
    for _ in 0..10 {
        assert_eq!(ask(Some(&token), "203.0.113.2").await, (200, None));
    }
    mall.clock.advance(Span::seconds(1));
    assert_eq!(ask(Some(&token), "203.0.113.1").await, (200, None));
    mall.stop().await;
}
