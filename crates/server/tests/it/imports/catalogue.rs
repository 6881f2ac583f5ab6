//! Packages, plans and prices as files.

use super::*;

on_both_engines!(
    all_of_a_mall_goes_out_and_into_an_empty_one,
    plans_need_their_packages_and_keep_their_ids,
    prices_are_in_force_one_at_a_time,
    a_catalogue_is_sold_at_once,
    routes_come_with_their_packages,
);

const PACKAGES: &str = "code,unit,calendar,volume_bytes,area_en,area_zh,countries,carrier,\
    carrier_product,route\n";
const PLANS: &str = "code,plan_id,package_code,name_en,name_zh,description_en,description_zh,\
    periods,renewable,on_sale\n";
const PRICES: &str = "partner,plan,kind,currency,amount,valid_from,valid_to\n";

/// The published partners of the demo, with their codes.
const PARTNERS: [&str; 3] = ["P000270", "P000818", "P012345"];

async fn all_of_a_mall_goes_out_and_into_an_empty_one(engine: Engine) {
    let mall = TestMall::start(engine).await;
    // The same partners in live mode, which has nothing else.
    let mut tx = mall.store().begin().await.unwrap();
    for code in PARTNERS {
        let mut partner = tx.partner_by_code(Mode::Test, code).await.unwrap().unwrap();
        (partner.mode, partner.id) = (Mode::Live, mall.mall().ctx().id());
        partner.ip_allowlist = vec!["192.0.2.0/24".to_owned()];
        tx.insert_partner(&partner, mall.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut files: Vec<(&str, Option<&str>)> =
        vec![("packages", None), ("plans", None), ("prices", None)];
    files.extend(PARTNERS.map(|code| ("sims", Some(code))));
    for (kind, partner) in files {
        let empty = export(&mall, Mode::Live, kind, partner).await;
        assert_eq!(empty.lines().count(), 1, "{kind}: nothing but the header");
        let out = export(&mall, Mode::Test, kind, partner).await;
        assert!(out.lines().count() > 15 && out.starts_with(empty.trim_end()), "{kind}: {out}");
        let applied = import(&mall, Mode::Live, (kind, partner), &out).await;
        assert_eq!(applied.state, "applied", "{kind}: {:?}", applied.errors);
        assert_eq!(export(&mall, Mode::Live, kind, partner).await, out, "{kind}");
        // What is there already stays as it is.
        let again = import(&mall, Mode::Test, (kind, partner), &out).await;
        assert_eq!((again.state.as_str(), again.unchanged), ("applied", again.rows), "{kind}");
    }
    let one = export(&mall, Mode::Live, "prices", Some("P000818")).await;
    assert!(one.lines().skip(1).all(|line| line.starts_with("P000818,")), "{one}");
    mall.stop().await;
}

async fn plans_need_their_packages_and_keep_their_ids(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let plan = |code: &str, id: &str, package: &str| {
        format!("{code},{id},{package},\"A, \"\"good\"\" one\",=1+1,,,1 3,true,true\n")
    };
    let package = "PK-1,monthly,false,unlimited,Europe,欧洲,DE FR,simulator,X 1,\n";
    let file = format!("{PACKAGES}{package}");
    let made = import(&mall, Mode::Live, ("packages", None), &file).await;
    assert_eq!(counts(&made), (1, 0, 0), "{:?}", made.errors);
    let file = format!(
        "{PLANS}{}{}{}{}",
        plan("PL-1", "id-1", "PK-1"),
        plan("PL-2", "id-2", "PK-2"),
        plan("PL-3", "id-1", "PK-1"),
        plan("PL-1", "id-4", "PK-1"),
    );
    let bad = import(&mall, Mode::Live, ("plans", None), &file).await;
    assert_eq!(places(&bad), [(3, "package_code"), (4, "plan_id"), (5, "code")]);
    let file = format!("{PLANS}{}", plan("PL-1", "id-1", "PK-1"));
    assert_eq!(import(&mall, Mode::Live, ("plans", None), &file).await.new, 1);
    assert_eq!(export(&mall, Mode::Live, "plans", None).await, file, "quotes and formulas stay");
    // What is sold keeps its unit, calendar and carrier.
    let other = package.replace("monthly", "daily");
    let bad = import(&mall, Mode::Live, ("packages", None), &format!("{PACKAGES}{other}")).await;
    assert_eq!(places(&bad), [(2, "code")]);
    let file = format!("{PACKAGES}{}", other.replace("PK-1", "PK-2"));
    assert_eq!(import(&mall, Mode::Live, ("packages", None), &file).await.new, 1);
    let file = format!("{PLANS}{}", plan("PL-1", "id-1", "PK-2"));
    let bad = import(&mall, Mode::Live, ("plans", None), &file).await;
    assert_eq!(places(&bad), [(2, "package_code")]);
    let larger = package.replace("unlimited", "1024");
    let done = import(&mall, Mode::Live, ("packages", None), &format!("{PACKAGES}{larger}")).await;
    assert_eq!(done.changed, 1, "{:?}", done.errors);
    let file = format!("{PLANS}{}", plan("PL-9", "id-1", "PK-1"));
    let bad = import(&mall, Mode::Live, ("plans", None), &file).await;
    assert_eq!(places(&bad), [(2, "plan_id")]);
    assert!(bad.errors[0].detail.contains("PL-1"), "{:?}", bad.errors);
    mall.stop().await;
}

async fn routes_come_with_their_packages(engine: Engine) {
    let networks =
        vec![Network::new("first", Protocol::CubeV4), Network::new("second", Protocol::EsimAccess)];
    let mall = TestMall::with(engine, Recipe { networks, ..Recipe::default() }).await;
    let admin = mall.admin(Role::Operator).await;
    let kind = ("packages", None);
    let row = |carrier: &str, route: &str| {
        format!("PK-1,monthly,false,unlimited,Europe,,DE,{carrier},X{route}\n")
    };
    let file = |route: &str| format!("{PACKAGES}{}", row("first", &format!(",{route}")));
    let old =
        |carrier: &str| format!("{}\n{}", PACKAGES.trim_end_matches(",route\n"), row(carrier, ""));
    let route = || async { admin.get("/test/packages/PK-1/route").await.done()["route"].clone() };
    // A file that knows no routes, then one that does.
    assert_eq!(counts(&import(&mall, Mode::Test, kind, &old("first")).await), (1, 0, 0));
    assert_eq!(route().await, json!([]));
    let routed = file("second:Y simulator:Z");
    assert_eq!(counts(&import(&mall, Mode::Test, kind, &routed).await), (0, 1, 0));
    assert_eq!(route().await, json!(["second:Y", "simulator:Z"]));
    let out = export(&mall, Mode::Test, "packages", None).await;
    assert!(out.contains(&row("first", ",second:Y simulator:Z")), "{out}");
    assert_eq!(
        counts(&import(&mall, Mode::Test, kind, &file("second:Y simulator:Z")).await),
        (0, 0, 1)
    );
    // What a file does not know stays.
    assert_eq!(counts(&import(&mall, Mode::Test, kind, &old("first")).await), (0, 0, 1));
    assert_eq!(route().await, json!(["second:Y", "simulator:Z"]));
    let bad = import(&mall, Mode::Test, kind, &old("second")).await;
    assert_eq!(places(&bad), [(2, "carrier")]);
    for wrong in ["third:X", "first:X", "second"] {
        let bad = import(&mall, Mode::Test, kind, &file(wrong)).await;
        assert_eq!(places(&bad), [(2, "route")], "{wrong}");
    }
    assert_eq!(route().await, json!(["second:Y", "simulator:Z"]));
    assert_eq!(counts(&import(&mall, Mode::Test, kind, &file("")).await), (0, 1, 0));
    assert_eq!(route().await, json!([]));
    mall.stop().await;
}

async fn prices_are_in_force_one_at_a_time(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    // It is 8:00 on the 10th of March 2024; the partner has open prices from then on.
    let file = |rows: &[&str]| {
        let rows: Vec<String> = rows.iter().map(|row| format!("P100,PLAN-D,{row}\n")).collect();
        format!("{PRICES}{}", rows.concat())
    };
    let prices = ("prices", None);
    for (rows, place) in [
        (vec!["sale,EUR,2.00,2024-04-01T00:00:00Z,"], (2, "valid_from")),
        (vec!["sale,EUR,2.00,2024-03-01T00:00:00Z,2024-03-10T08:00:01Z"], (2, "valid_from")),
        (vec!["sale,EUR,2.00,2024-03-10T08:00:00Z,"], (2, "amount")),
        (vec!["sale,EUR,1.00,2024-03-10T08:00:00Z,2024-03-10T08:00:00.000001Z"], (2, "valid_to")),
        (vec!["settlement,USD,2.00,2024-04-01T00:00:00Z,"], (2, "currency")),
        (
            vec!["sale,USD,2.00,2024-04-01T00:00:00Z,", "sale,USD,3.00,2024-05-01T00:00:00Z,"],
            (3, "valid_from"),
        ),
        (
            vec!["sale,USD,2.00,2024-04-01T00:00:00Z,", "sale,USD,3.00,2024-04-01T00:00:00Z,"],
            (3, "valid_from"),
        ),
    ] {
        mall.clock.advance(Span::millis(1));
        let bad = import(&mall, Mode::Test, prices, &file(&rows)).await;
        assert_eq!((bad.state.as_str(), places(&bad)), ("invalid", vec![place]), "{rows:?}");
    }
    let strangers = format!(
        "{PRICES}P999,PLAN-D,sale,EUR,1.00,2024-04-01T00:00:00Z,\n\
         P100,PLAN-X,sale,EUR,1.00,2024-04-01T00:00:00Z,\n"
    );
    let bad = import(&mall, Mode::Test, prices, &strangers).await;
    assert_eq!(places(&bad), [(2, "partner"), (3, "plan")]);

    // One ends and the next begins, in whichever order the file has them.
    let turn = file(&[
        "sale,EUR,2.00,2024-04-01T00:00:00Z,2024-05-01T00:00:00Z",
        "sale,EUR,1.00,2024-03-10T08:00:00Z,2024-04-01T00:00:00Z",
        "sale,EUR,3.00,2024-05-01T00:00:00Z,",
        "sale,USD,1.50,2024-03-10T09:00:00Z,",
    ]);
    let done = import(&mall, Mode::Test, prices, &turn).await;
    assert_eq!((done.state.as_str(), counts(&done)), ("applied", (3, 1, 0)), "{:?}", done.errors);
    let out = export(&mall, Mode::Test, "prices", Some("P100")).await;
    let of_plan = |line: &&str| line.starts_with("P100,PLAN-D,sale,");
    let mut rows: Vec<&str> = turn.lines().filter(of_plan).collect();
    rows.sort_by_key(|row| (row.contains("USD"), row.split(',').nth(5).unwrap().to_owned()));
    assert_eq!(out.lines().filter(of_plan).collect::<Vec<_>>(), rows);
    // One that has not begun may still be changed; in April the new one counts.
    let cheaper = file(&["sale,EUR,1.90,2024-04-01T00:00:00Z,2024-05-01T00:00:00Z"]);
    assert_eq!(import(&mall, Mode::Test, prices, &cheaper).await.changed, 1);
    mall.advance(Span::days(30)).await;
    let mut order = partner.paid_order(&partner.sims[0], "N1");
    order.order.service_plan_code = "PLAN-D".into();
    order.order.package_code = "PACK-D".into();
    (order.order.pay_amount, order.settle_price) = ("1.90".to_owned(), "0.80".to_owned());
    partner.client(&mall).syn_order_info(&order).await.unwrap();
    mall.stop().await;
}

async fn a_catalogue_is_sold_at_once(engine: Engine) {
    let mall = TestMall::start(engine).await;
    let partner = mall.add_partner("P100", Mode::Test, |_| ()).await;
    let client = partner.client(&mall);
    client.syn_order_info(&partner.paid_order(&partner.sims[0], "N1")).await.unwrap();
    let plans = export(&mall, Mode::Test, "plans", None).await;
    let off = |line: &str| {
        let ours = line.starts_with("PLAN-M,");
        if ours { line.replace(",true,true", ",true,false") } else { line.to_owned() }
    };
    let file: String = plans.lines().map(|line| off(line) + "\n").collect();
    assert_eq!(counts(&import(&mall, Mode::Test, ("plans", None), &file).await).1, 1);
    let refused = client.syn_order_info(&partner.paid_order(&partner.sims[0], "N2")).await;
    assert_eq!(refused.unwrap_err().code(), Some("PLAN_UNKNOWN"));
    assert_eq!(counts(&import(&mall, Mode::Test, ("plans", None), &plans).await).1, 1);
    client.syn_order_info(&partner.paid_order(&partner.sims[0], "N2")).await.unwrap();
    // Its job stays until the import is forgotten, and is nobody's.
    let jobs = mall.admin(Role::Viewer).await.all("/test/jobs?kind=import", 2).await;
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert!(jobs.iter().all(|job| job["partner"] == ""), "{jobs:?}");
    mall.stop().await;
}

/// Every column stands in the document, with what it holds.
#[test]
fn the_document_names_every_column() {
    let document = include_str!("../../../../../docs/IMPORT.md");
    for kind in wire::admin::import::KINDS {
        for field in wire::admin::import::columns(kind).unwrap() {
            let row = format!("| `{}` | {} |", field.name, field.doc);
            assert!(document.contains(&row), "{kind}: {row}");
        }
    }
    for header in [SIMS, PACKAGES, PLANS, PRICES] {
        assert!(document.contains(header), "no example has the header {header}");
    }
}
