//! Behind proxies: whose address counts, and who may say so.

use api::{ClientAddressHeader, TrustedProxies};
use domain::Mode;
use serde_json::{Value, json};
use testkit::{Engine, Recipe, TestMall, TestPartner, on_both_engines};
use wire::sign::Scheme;
use wire::vshop::SINGLE_VERIFY;

use crate::raw::{Answer, fields, path, send, signed};

on_both_engines!(
    a_trusted_proxy_tells_the_address_of_its_client,
    a_stranger_is_not_believed,
    the_header_is_the_one_that_was_set,
);

/// A mall that takes whoever runs the tests for its proxy.
pub(crate) fn behind_proxy(header: &str) -> Recipe {
    let header = match header {
        "x-forwarded-for" => ClientAddressHeader::XForwardedFor,
        "forwarded" => ClientAddressHeader::Forwarded,
        other => panic!("no such header: {other}"),
    };
    let ranges = ["127.0.0.1/32", "::1/128", "10.0.0.0/8"].map(|range| range.parse().unwrap());
    Recipe { proxies: TrustedProxies::new(ranges, header), ..Recipe::default() }
}

/// A card check with lines of headers.
async fn check(mall: &TestMall, partner: &TestPartner, lines: &[(&str, &str)]) -> Answer {
    let (code, sim) = (&partner.partner.code, json!({"deviceCode": partner.sims[0]}));
    let fields = fields(mall, code, &SINGLE_VERIFY, sim);
    let body = Value::Object(signed(Scheme::HmacSha256, &partner.key, fields)).to_string();
    send(mall, "POST", &path(partner, &SINGLE_VERIFY), |mut request| {
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(body)
    })
    .await
}

/// A partner that may call from a few addresses.
async fn fenced(mall: &TestMall) -> TestPartner {
    mall.add_partner("FENCED", Mode::Live, |partner| {
        partner.ip_allowlist = ["198.51.100.0/24", "2001:db8::/32"].map(str::to_owned).to_vec();
    })
    .await
}

const XFF: &str = "x-forwarded-for";

async fn a_trusted_proxy_tells_the_address_of_its_client(engine: Engine) {
    let mall = TestMall::with(engine, behind_proxy(XFF)).await;
    let shop = fenced(&mall).await;
    for good in [
        &[(XFF, "198.51.100.7")][..],
        &[(XFF, "198.51.100.7, 10.1.2.3")],
        &[(XFF, "203.0.113.1, 198.51.100.7")],
        &[(XFF, "198.51.100.7"), (XFF, "10.1.2.3")],
        &[(XFF, "::ffff:198.51.100.7")],
        &[(XFF, "[2001:db8::7]:40000")],
    ] {
        check(&mall, &shop, good).await.accepted();
    }
    for bad in [
        &[][..],
        // What stands before the client's address, the client itself wrote.
        &[(XFF, "198.51.100.7, 203.0.113.1")],
        &[(XFF, "198.51.100.7"), (XFF, "203.0.113.1")],
        &[(XFF, "198.51.100.7, unknown")],
        &[(XFF, "198.51.100.7, ")],
        &[(XFF, "198.51.100.777")],
        &[(XFF, "2001:db9::7")],
        // Another header is not read.
        &[("forwarded", "for=198.51.100.7")],
        &[("x-real-ip", "198.51.100.7")],
    ] {
        check(&mall, &shop, bad).await.refused("IP_NOT_ALLOWED");
    }
    mall.stop().await;
}

async fn a_stranger_is_not_believed(engine: Engine) {
    // Its own address is all that counts: that of whoever runs the tests.
    let mall = TestMall::start(engine).await;
    let shop = fenced(&mall).await;
    let home = mall
        .add_partner("HOME", Mode::Live, |partner| {
            partner.ip_allowlist = vec!["127.0.0.1".to_owned()];
        })
        .await;
    for lines in [&[][..], &[(XFF, "198.51.100.7"), ("forwarded", "for=198.51.100.7")]] {
        check(&mall, &shop, lines).await.refused("IP_NOT_ALLOWED");
        check(&mall, &home, lines).await.accepted();
    }
    mall.stop().await;
}

async fn the_header_is_the_one_that_was_set(engine: Engine) {
    let mall = TestMall::with(engine, behind_proxy("forwarded")).await;
    let shop = fenced(&mall).await;
    for good in ["for=198.51.100.7", "proto=https;For=\"[2001:db8::7]:443\", for=10.2.3.4;by=_x"] {
        check(&mall, &shop, &[("forwarded", good)]).await.accepted();
    }
    for bad in
        ["198.51.100.7", "for=198.51.100.7, for=unknown", "for=198.51.100.7, for=203.0.113.1"]
    {
        check(&mall, &shop, &[("forwarded", bad)]).await.refused("IP_NOT_ALLOWED");
    }
    check(&mall, &shop, &[(XFF, "198.51.100.7")]).await.refused("IP_NOT_ALLOWED");
    mall.stop().await;
}
