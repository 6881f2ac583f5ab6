//! Lines are read as they were written, and every mistake is named at its place.

use super::*;
use proptest::prelude::*;

fn all(kind: ImportKind, body: &str) -> (Vec<Numbered>, Part) {
    let mut rows = Vec::new();
    let part = read(kind, None, (body, 1), |row| rows.push(row));
    (rows, part)
}

fn places(part: &Part) -> Vec<(i64, &str)> {
    part.errors.iter().map(|error| (error.line_no, error.column_name.as_str())).collect()
}

#[test]
fn lines_are_numbered_as_an_editor_numbers_them() {
    for end in ["\n", "\r\n"] {
        let lines = [
            "\u{feff}state,iccid,carrier",
            "",
            "ready,89852420180910340793,simulator",
            "ready,8985242018091034079x,simulator",
            "",
            "lost,89852420180910340794,",
            "\"ready\",89852420180910340795,simulator",
            "ready,89852420180910340796",
            "",
        ];
        let (rows, part) = all(ImportKind::Sims, &lines.join(end));
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 7]);
        let expected = [(4, "iccid"), (6, "carrier"), (6, "state"), (8, "")];
        assert_eq!(places(&part), expected, "{:?}", part.errors);
        assert_eq!((part.lines, part.rows, part.is_cut), (8, 5, false));
    }
}

#[test]
fn a_later_part_goes_on_where_the_last_one_ended() {
    let header = ["iccid", "carrier", "state"].map(str::to_owned);
    let mut rows = Vec::new();
    let body = "89852420180910340793,simulator,ready\n1,simulator,ready";
    let part = read(ImportKind::Sims, Some(&header), (body, 100), |row| rows.push(row));
    assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [100]);
    assert_eq!(places(&part), [(101, "iccid")]);
    assert_eq!((part.lines, part.rows, part.is_cut), (2, 2, true));
}

#[test]
fn a_header_must_be_the_kinds_own() {
    let (_, part) = all(ImportKind::Sims, "iccid,colour,iccid,carrier\n1,2,3,4\n");
    assert_eq!(places(&part), [(1, "colour"), (1, "iccid"), (1, "state")]);
    let (_, part) = all(ImportKind::Sims, "");
    assert_eq!(places(&part), [(1, "")]);
    assert!(part.errors[0].detail.contains("iccid,carrier,state"));
}

#[test]
fn mistakes_are_told_apart() {
    let sim = |cell: &str| format!("iccid,carrier,state\n{cell}\n");
    for (cell, told) in [
        ("8.98524E+19,simulator,ready", "spreadsheet"),
        ("\"89852420180910340793,simulator,ready\n1,2,3", "quote"),
        ("8985242018091034079\u{7},simulator,ready", "control"),
        ("89852420180910340793,sim\u{202e}ulator,ready", "control"),
        ("89852420180910340793,simulator,gone", "ready, suspended"),
    ] {
        let (rows, part) = all(ImportKind::Sims, &sim(cell));
        let found = part.errors.iter().any(|error| error.detail.contains(told));
        assert!(rows.is_empty() && found, "{cell}: {:?}", part.errors);
    }
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    assert_eq!(places(&all(ImportKind::Sims, &sim(&long)).1), [(2, "")]);
    let header = "partner,plan,kind,currency,amount,valid_from,valid_to";
    for (row, column) in [
        ("P1,A,sale,EUR,1.234,2026-01-01T00:00:00Z,", "amount"),
        ("P1,A,sale,eur,1.23,2026-01-01T00:00:00Z,", "currency"),
        ("P1,A,sold,EUR,1.23,2026-01-01T00:00:00Z,", "kind"),
        ("P1,A,sale,EUR,-1,2026-01-01T00:00:00Z,", "amount"),
        ("P1,A,sale,EUR,1.23,2026-01-01,", "valid_from"),
        ("P1,A,sale,EUR,1.23,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z", "valid_to"),
    ] {
        let (rows, part) = all(ImportKind::Prices, &format!("{header}\n{row}\n"));
        assert!(rows.is_empty(), "{row}");
        assert_eq!(places(&part), [(2, column)], "{row}: {:?}", part.errors);
    }
}

/// A file from before there were routes is read as it was, and a route is read only where it can be one.
#[test]
fn the_route_of_a_package_may_be_missing() {
    let header =
        "code,unit,calendar,volume_bytes,area_en,area_zh,countries,carrier,carrier_product";
    let row = "A,monthly,false,1,Europe,,DE,one,X";
    let route = |rows: &[Numbered]| match rows {
        [(_, Line::Package(line))] => line.route.clone(),
        other => panic!("not one package: {other:?}"),
    };
    assert_eq!(route(&all(ImportKind::Packages, &format!("{header}\n{row}\n")).0), None);
    let (rows, part) = all(ImportKind::Packages, &format!("{header}\n{row},two:Y\n"));
    assert_eq!((rows.len(), places(&part)), (0, vec![(2, "")]), "a cell too many");
    let with = |cell: &str| all(ImportKind::Packages, &format!("route,{header}\n{cell},{row}\n"));
    let hop = |carrier: &str, product: &str| (carrier.to_owned(), product.to_owned());
    assert_eq!(route(&with("").0), Some(Vec::new()));
    let expected = vec![hop("two", "Y:1"), hop("three", "Z")];
    assert_eq!(route(&with("two:Y:1 three:Z").0), Some(expected));
    for wrong in [
        "two".to_owned(),
        ":X".to_owned(),
        "two:".to_owned(),
        "one:Y".to_owned(),
        "two:Y two:Z".to_owned(),
        "a:1 b:1 c:1 d:1 e:1 f:1".to_owned(),
        format!("two:{}", "x".repeat(ROUTE_WORD_CHARS_MAX)),
    ] {
        let (rows, part) = with(&wrong);
        assert_eq!((rows.len(), places(&part)), (0, vec![(2, "route")]), "{wrong}");
    }
}

fn texts(least: usize) -> impl Strategy<Value = LocalizedText> {
    let text = "[=+@欧a-z'-][a-z\",;=+@ 欧'-]{0,9}";
    prop::collection::btree_map("(en|zh)", text, least..3).prop_map(LocalizedText)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros)
}

fn code() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,64}"
}

fn any_line() -> impl Strategy<Value = (ImportKind, Line)> {
    let sim = ("[0-9]{18,22}", code(), 0..4_usize).prop_map(|(iccid, carrier, state)| {
        let (iccid, state) = (iccid.parse().unwrap(), SimState::ALL[state]);
        (ImportKind::Sims, Line::Sim(SimLine { iccid, carrier, state }))
    });
    let countries = prop::collection::btree_set("DE|FR|GB|JP|US|ZA", 0..6);
    let volume = prop::option::of(0..=i64::MAX.unsigned_abs());
    let package = (code(), 0..6_usize, any::<bool>(), volume, texts(1), countries, code());
    let hops = prop::collection::btree_map("other-[a-z]{1,9}", "[A-Za-z:欧]{1,9}", 0..5);
    let package = (package, hops).prop_map(|(package, hops)| {
        let (code, kind, calendar, volume, area, countries, carrier) = package;
        let package = Package {
            kind: PackageType::ALL[kind],
            calendar,
            volume: volume.map_or(Volume::Unlimited, Volume::Bytes),
            area,
            countries: countries.into_iter().collect(),
            carrier_product: format!("=\"{carrier}\""),
            carrier,
            code,
        };
        let route = Some(hops.into_iter().collect());
        (ImportKind::Packages, Line::Package(Box::new(PackageLine { package, route })))
    });
    let periods = prop::collection::btree_set(1_u32..1_000, 1..9);
    let plan = (code(), code(), code(), texts(1), texts(0), periods, any::<[bool; 2]>());
    let plan = plan.prop_map(|(code, plan_id, package_code, name, description, periods, flags)| {
        let periods = periods.into_iter().collect();
        let [renewable, on_sale] = flags;
        let plan = CataloguePlan {
            code,
            plan_id,
            package_code,
            name,
            description,
            periods,
            renewable,
            on_sale,
        };
        (ImportKind::Plans, Line::Plan(Box::new(plan)))
    });
    let currency = prop::sample::select(vec!["EUR", "JPY", "KWD"]);
    let price = (code(), code(), any::<bool>(), 0..i64::MAX, currency, time(), any::<bool>());
    let price = price.prop_map(|(partner, plan, sale, minor, currency, valid_from, ends)| {
        let price = PriceLine {
            partner,
            plan,
            kind: if sale { PriceKind::Sale } else { PriceKind::Settlement },
            unit: Money::new(minor, currency.parse().unwrap()),
            valid_from,
            valid_to: ends.then(|| valid_from + domain::Span::millis(1)),
        };
        (ImportKind::Prices, Line::Price(Box::new(price)))
    });
    prop_oneof![sim, package, plan, price]
}

proptest! {
    #[test]
    fn what_an_export_writes_an_import_reads((kind, line) in any_line()) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(fields(kind).iter().map(|field| field.name)).unwrap();
        writer.write_record(cells(&line)).unwrap();
        let body = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let (rows, part) = all(kind, &body);
        prop_assert_eq!(part.errors, Vec::new());
        prop_assert_eq!(rows, vec![(2, line)]);
    }

    #[test]
    fn no_text_panics_and_every_line_is_one_of_the_file(
        text in "([a-z0-9,\"]|\n|\r|\r\n|欧|\u{feff}){0,99}", headed in any::<bool>(),
    ) {
        let header = if headed { "iccid,carrier,state\n" } else { "" };
        let (rows, part) = all(ImportKind::Sims, &format!("{header}{text}"));
        let lines = rows.iter().map(|(line, _)| *line);
        for line in lines.chain(part.errors.iter().map(|error| error.line_no)) {
            prop_assert!((1..=part.lines.max(1)).contains(&line), "{} of {}", line, part.lines);
        }
    }
}
