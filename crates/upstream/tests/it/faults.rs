//! What goes wrong, and that the journal knows better than the caller.

use domain::Span;
use upstream::{FaultKind, Faults, Protocol, Reply};

use super::{Played, SIM, cube_order, go_order, read, to_cube, top_up};

fn always(kind: FaultKind) -> String {
    format!(r#"{{"faults":[{{"kind":"{}"}}]}}"#, kind.word())
}

/// What the caller hears of an order that always meets a fault.
fn order(kind: FaultKind) -> (Played, Reply) {
    let played = Played::new(Protocol::CubeV4, &always(kind), 1);
    let reply = played.upstream.handle(&cube_order("po-1", &[SIM]));
    (played, reply)
}

#[test]
fn dropped_after_doing_is_done_and_dropped_before_is_not() {
    let (played, reply) = order(FaultKind::DropAfterDoing);
    assert_eq!(reply, Reply::Drop);
    assert_eq!((played.count("po-1"), played.upstream.bundles(SIM).len()), ((1, 0, 0, 0), 1));
    assert_eq!(played.upstream.journal()[0].told, "drop-after-doing");
    let (played, reply) = order(FaultKind::DropBeforeDoing);
    assert_eq!(reply, Reply::Drop);
    assert_eq!((played.count("po-1"), played.upstream.bundles(SIM).len()), ((0, 1, 0, 0), 0));
    assert_eq!(played.upstream.journal()[0].told, "drop-before-doing");
}

#[test]
fn server_errors_do_not_say_what_was_done() {
    for (kind, done) in [(FaultKind::ServerError, 0), (FaultKind::ServerErrorAfterDoing, 1)] {
        let (played, reply) = order(kind);
        assert!([500, 502].contains(&read(&reply).0));
        assert_eq!(played.upstream.done("po-1"), done);
    }
}

#[test]
fn refusals_do_nothing() {
    for (kind, status, code) in [
        (FaultKind::TooManyRequests, 429, None),
        (FaultKind::PendingOperation, 200, Some("CB-01-0111")),
        (FaultKind::Refuse, 200, Some("CB-01-0107")),
    ] {
        let (played, reply) = order(kind);
        let (given, body) = read(&reply);
        assert_eq!((given, body["status"]["code"].as_str()), (status, code), "{kind:?}");
        assert_eq!(played.count("po-1"), (0, 1, 0, 0));
    }
}

#[test]
fn answers_come_slowly_or_cut_off() {
    let (played, reply) = order(FaultKind::SlowBody);
    let Reply::Slow { answer, first_bytes, pause } = reply else { panic!("{reply:?}") };
    assert!(first_bytes > 0 && first_bytes < answer.body.len());
    assert_eq!((pause, played.upstream.done("po-1")), (Span::seconds(5), 1));
    let (played, reply) = order(FaultKind::MalformedJson);
    let answer = reply.answer().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert_eq!((answer.status, played.upstream.done("po-1")), (200, 1));
}

#[test]
fn some_orders_take_tens_of_minutes() {
    let (played, _) = order(FaultKind::TensOfMinutes);
    played.wait(599);
    assert_eq!(played.upstream.done("po-1"), 0);
    played.upstream.advance(Span::minutes(40));
    played.wait(1);
    assert_eq!(played.upstream.done("po-1"), 1);
}

#[test]
fn reads_fail_as_well_but_are_never_refused() {
    let read_bundles = to_cube("GET", &format!("/sims/{SIM}/bundles"), None);
    let dropping = Played::new(Protocol::CubeV4, &always(FaultKind::DropAfterDoing), 1);
    assert_eq!(dropping.upstream.handle(&read_bundles), Reply::Drop);
    let refusing = Played::new(Protocol::CubeV4, &always(FaultKind::PendingOperation), 1);
    assert_eq!(refusing.ask(&read_bundles).0, 200);
    assert!(refusing.upstream.journal().is_empty());
}

#[test]
fn conditions_narrow_a_fault() {
    let faults = r#"{"faults":[{"kind":"too-many-requests","iccid_ends":"5327","attempts":2}]}"#;
    let played = Played::new(Protocol::EsimAccess, faults, 1);
    assert_eq!(played.ask(&top_up("tx-1", "89248044404413065335")).0, 200);
    let statuses = [(); 3].map(|()| played.ask(&top_up("tx-2", SIM)).0);
    assert_eq!(statuses, [429, 429, 200]);
    assert_eq!(played.count("tx-2"), (1, 2, 0, 0));
}

#[test]
fn faults_can_be_changed() {
    let (played, _) = order(FaultKind::DropAfterDoing);
    played.upstream.set_faults(Faults::default());
    assert_eq!(played.ask(&cube_order("po-2", &[SIM])).0, 200);
    let calls = Played::new(Protocol::EsimGo, "none", 1);
    calls.upstream.set_faults(Faults::parse(&always(FaultKind::Refuse)).unwrap());
    assert_eq!(calls.ask(&go_order("transaction", &[SIM])).0, 400);
}

#[test]
fn files_are_read_strictly_and_written_back() {
    let text = r#"{"faults":[{"kind":"slow-body","per_mille":5,"iccid_ends":"1","attempts":3,
        "seconds":9},{"kind":"refuse"}],"delay_seconds":[1,30]}"#;
    let faults = Faults::parse(text).unwrap();
    assert_eq!((faults.delay_seconds, faults.faults.len()), ((1, 30), 2));
    assert_eq!(faults.faults[1].per_mille, 1_000);
    assert_eq!(Faults::parse(&faults.to_json().to_string()).unwrap(), faults);
    for preset in Faults::PRESETS {
        let preset = Faults::preset(preset).unwrap();
        assert_eq!(Faults::parse(&preset.to_json().to_string()).unwrap(), preset);
    }
    assert_eq!(Faults::preset("quiet"), None);
}

#[test]
fn a_slip_in_a_file_is_named() {
    for (bad, reason) in [
        ("", "not JSON"),
        ("[]", "not an object"),
        (r#"{"fault":[]}"#, "\"fault\" is none of"),
        (r#"{"faults":{}}"#, "an array"),
        (r#"{"faults":[{}]}"#, "has a kind"),
        (r#"{"faults":[{"kind":"x"}]}"#, "kind of fault"),
        (r#"{"faults":[{"kind":"refuse","per_mille":1001}]}"#, "per_mille"),
        (r#"{"faults":[{"kind":"refuse","often":1}]}"#, "\"often\""),
        (r#"{"faults":[{"kind":"refuse","iccid_ends":1}]}"#, "a text"),
        (r#"{"delay_seconds":[2,1]}"#, "delay_seconds"),
        (r#"{"delay_seconds":[0,86401]}"#, "delay_seconds"),
    ] {
        let error = Faults::parse(bad).unwrap_err().to_string();
        assert!(error.contains(reason), "{bad}: {error}");
    }
}
