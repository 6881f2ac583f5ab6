//! What the mall may rely on, of any carrier. The checks know the trait only.

use std::sync::Arc;

use carriers::{
    Allowance, Behaviour, Carrier, ControlError, CubeSettings, CubeV4, Endpoint, EsimAccess,
    EsimAccessSettings, EsimGo, EsimGoSettings, Feature, Idempotency, Limits, Line, Lookup,
    Membership, Plain, PlainSettings, Secret, Simulator, Snapshot, SubmitError, UpstreamState,
    UsageRange, WORDS_CHARS_MAX,
};
use domain::group::CarrierPolicy;
use domain::{Ctx, Iccid, Span, Timestamp};

use crate::fake::{Fake, Play, Protocol};
use crate::networks::{self, Access, Cube, Go, ICCID, SECRET, cube_key};

const KEY: &str = "ord0123456789abcdef";

struct Stopped;

impl domain::Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_674_197_059_220_000)
    }
}

fn ctx() -> Ctx {
    Ctx::new(Arc::new(Stopped), rand::SeedableRng::seed_from_u64(1))
}

fn line(iccid: &str) -> Line {
    Line { iccid: iccid.parse().unwrap(), product: "CP-1".to_owned(), periods: 1 }
}

/// The same carrier afresh, at an address.
type Make = fn(&str) -> Box<dyn Carrier>;

fn endpoint(base: &str) -> Endpoint {
    let limits = Limits {
        starts_per_second: 1_000,
        in_flight: 3,
        calls_per_day: None,
        wait_max: Span::seconds(2),
    };
    // Time enough on a slow machine, and not enough for an answer that does not end.
    Endpoint { base: base.to_owned(), call_max: Span::seconds(3), limits }
}

fn cube(base: &str) -> Box<dyn Carrier> {
    let settings = CubeSettings::new("key1", Secret::new(cube_key()));
    let settings = CubeSettings { endpoint: endpoint(base), ..settings };
    assert!(!format!("{settings:?}").contains("PRIVATE"));
    Box::new(CubeV4::new(ctx(), settings).unwrap())
}

fn access(base: &str) -> Box<dyn Carrier> {
    let settings = EsimAccessSettings::new(Secret::new("code1"), Some(Secret::new(SECRET)));
    let settings = EsimAccessSettings { endpoint: endpoint(base), ..settings };
    assert!(!format!("{settings:?}").contains(SECRET));
    Box::new(EsimAccess::new(ctx(), settings).unwrap())
}

fn go(base: &str) -> Box<dyn Carrier> {
    let settings =
        EsimGoSettings { endpoint: endpoint(base), ..EsimGoSettings::new(Secret::new(SECRET)) };
    assert!(!format!("{settings:?}").contains(SECRET));
    Box::new(EsimGo::new(ctx(), settings).unwrap())
}

fn plain(base: &str) -> Box<dyn Carrier> {
    let settings = PlainSettings::new(Secret::new(SECRET));
    let settings = PlainSettings { endpoint: endpoint(base), ..settings };
    assert!(!format!("{settings:?}").contains(SECRET));
    Box::new(Plain::new(ctx(), settings).unwrap())
}

async fn snapshot(carrier: &dyn Carrier, line: &Line) -> Snapshot {
    let snapshot = carrier.snapshot(line).await.unwrap();
    assert_eq!(!snapshot.is_empty(), carrier.capabilities().has(Feature::Snapshot));
    // As the mall does: it is stored as text.
    Snapshot::from_text(snapshot.as_text())
}

/// An order that is taken is done in the end, and its words are short.
async fn it_takes(carrier: &dyn Carrier, line: &Line) {
    let before = snapshot(carrier, line).await;
    let submitted = carrier.submit(KEY, line).await.unwrap();
    assert!(!submitted.upstream_id.is_empty() && !submitted.said.is_empty());
    assert!(submitted.said.chars().count() <= WORDS_CHARS_MAX);
    let order = carrier.get_order(&submitted.upstream_id, line, &before).await.unwrap();
    assert_eq!(order.state, UpstreamState::Done);
    let found = carrier.find_by_key(KEY, line, &before).await.unwrap();
    assert!(matches!(found, Lookup::Found(found) if found.state == UpstreamState::Done));
}

/// A refusal names the carrier's own code and words, and nothing was done.
async fn it_refuses(carrier: &dyn Carrier, line: &Line) {
    let before = snapshot(carrier, line).await;
    let refused = carrier.submit(KEY, line).await;
    let Err(SubmitError::Permanent { code, message }) = refused else { panic!("{refused:?}") };
    assert!(!code.is_empty() && !message.is_empty() && !message.contains(SECRET));
    it_has_not(carrier, line, &before).await;
}

async fn it_puts_off(carrier: &dyn Carrier, line: &Line) -> Span {
    let put_off = carrier.submit(KEY, line).await;
    let Err(SubmitError::RetryLater { after, message }) = put_off else { panic!("{put_off:?}") };
    assert!(after > Span::seconds(0) && !message.is_empty() && !message.contains("127.0.0.1"));
    after
}

/// A lost answer is ambiguous; a look finds the order if it was carried out, and never where it was not.
async fn it_loses(carrier: &dyn Carrier, line: &Line, carried_out: bool) {
    let before = snapshot(carrier, line).await;
    let lost = carrier.submit(KEY, line).await;
    assert!(matches!(lost, Err(SubmitError::Ambiguous { .. })), "{lost:?}");
    if carried_out {
        let found = carrier.find_by_key(KEY, line, &before).await.unwrap();
        assert!(matches!(found, Lookup::Found(found) if found.state == UpstreamState::Done));
    } else {
        it_has_not(carrier, line, &before).await;
    }
}

/// Only a carrier with native keys may say that there is none.
async fn it_has_not(carrier: &dyn Carrier, line: &Line, before: &Snapshot) {
    let missing = carrier.find_by_key(KEY, line, before).await.unwrap();
    match carrier.idempotency() {
        Idempotency::Native => assert_eq!(missing, Lookup::NotFound),
        Idempotency::None => assert!(matches!(missing, Lookup::CannotTell { .. }), "{missing:?}"),
    }
}

/// What is on the SIM proves nothing if it was not read before.
async fn it_needs_its_snapshot(carrier: &dyn Carrier, line: &Line) {
    let native = carrier.idempotency() == Idempotency::Native;
    for text in ["", "{", r#"{"carrier":"other","marks":[]}"#] {
        let look = carrier.find_by_key("ordother", line, &Snapshot::from_text(text)).await.unwrap();
        let right = match look {
            Lookup::NotFound => native,
            Lookup::CannotTell { .. } => !native,
            Lookup::Found(_) => false,
        };
        assert!(right, "{text}");
    }
}

/// Questions are answered, and orders over the limits refused.
async fn it_answers(carrier: &dyn Carrier, line: &Line) {
    assert!(!carrier.check().await.unwrap().is_empty());
    assert!(!carrier.list_products(None).await.unwrap().products.is_empty());
    assert!(!carrier.get_sim(&line.iccid).await.unwrap().said.is_empty());
    carrier.list_plans(&line.iccid).await.unwrap();
    let range = UsageRange { from: Timestamp::from_micros(0), to: Timestamp::from_micros(0) };
    let usage = carrier.get_usage(&line.iccid, range).await.unwrap();
    assert!(!matches!(usage.total, Allowance::Bytes(total) if total < usage.used));
    let quote = carrier.quote(line).await;
    if carrier.capabilities().has(Feature::Quote) {
        assert!(quote.unwrap().price.is_some());
    } else {
        assert_eq!(quote, Err(ControlError::Unsupported));
    }
    assert!(carrier.parse_webhook(&[], b"\xff").is_err());
    let (young, old) = (carrier.poll_pause(Span::seconds(0)), carrier.poll_pause(Span::days(1)));
    assert!(Span::seconds(1) <= young && young < old);
    if !carrier.capabilities().has(Feature::Suspend) {
        assert_eq!(carrier.suspend(&line.iccid).await, Err(ControlError::Unsupported));
    }
}

/// Who has groups lets SIMs in and out; who has none says so.
async fn it_has_groups_or_not(carrier: &dyn Carrier, iccid: &Iccid) {
    let joined = carrier.join_group("G1", iccid).await;
    let told = carrier.apply_group_policy("G1", CarrierPolicy::Stopped).await;
    let asked = [iccid.clone(), iccid.clone(), iccid.clone()];
    let members = carrier.group_members("G1", &asked).await;
    let used = carrier.group_usage("G1", Timestamp::from_micros(0)).await;
    if carrier.capabilities().has(Feature::Groups) {
        assert!(!joined.unwrap().said.is_empty() && !told.unwrap().said.is_empty());
        let members = members.unwrap();
        assert_eq!((&members[0], members.len()), (&Membership::In, 3));
        used.unwrap();
        assert!(!carrier.leave_group("G1", iccid).await.unwrap().said.is_empty());
    } else {
        assert_eq!(joined, Err(ControlError::Unsupported));
        assert_eq!(told, Err(ControlError::Unsupported));
        assert_eq!(carrier.leave_group("G1", iccid).await, Err(ControlError::Unsupported));
        assert!(members.is_err() && used.is_err());
    }
}

async fn it_keeps_to_its_limits(carrier: &dyn Carrier, line: &Line) {
    let long = "k".repeat(carrier.capabilities().key_chars_max + 1);
    for key in ["", "a b", &long] {
        let refused = carrier.submit(key, line).await;
        assert!(matches!(refused, Err(SubmitError::Permanent { .. })), "{key:?}");
    }
    for periods in [0, carrier.capabilities().periods_max.saturating_add(1)] {
        let refused = carrier.submit(KEY, &Line { periods, ..line.clone() }).await;
        assert!(matches!(refused, Err(SubmitError::Permanent { .. })), "{periods}");
    }
}

/// All of it, for a carrier that is reached over HTTP.
async fn conforms(make: Make, protocol: Arc<dyn Protocol>, path: &str) {
    let line = line(ICCID);
    let start = async || Fake::start(Arc::clone(&protocol), path).await;
    let fake = start().await;
    let carrier = make(&fake.base);
    it_answers(&*carrier, &line).await;
    it_keeps_to_its_limits(&*carrier, &line).await;
    it_needs_its_snapshot(&*carrier, &line).await;
    it_has_groups_or_not(&*carrier, &line.iccid).await;
    assert_eq!(fake.orders(), 0);
    it_takes(&*carrier, &line).await;
    assert_eq!(fake.orders(), 1);

    let fake = start().await;
    fake.set(Play::Refuse, false);
    it_refuses(&*make(&fake.base), &line).await;
    fake.set(Play::Crowded, false);
    assert_eq!(it_puts_off(&*make(&fake.base), &line).await, Span::seconds(7));
    assert_eq!(fake.orders(), 2);

    let lossy = [Play::Broken, Play::Drop, Play::Slow, Play::Malformed, Play::Huge, Play::Redirect];
    for play in lossy {
        for carried_out in [false, true] {
            let fake = start().await;
            fake.set(play, carried_out);
            it_loses(&*make(&fake.base), &line, carried_out).await;
            assert_eq!(fake.orders(), 1, "{play:?}: an order is sent once");
        }
    }

    let fake = start().await;
    fake.state().mumbles = true;
    let carrier = make(&fake.base);
    let reads = carrier.capabilities().has(Feature::Snapshot);
    assert_eq!(carrier.snapshot(&line).await.is_err(), reads);
    assert!(carrier.check().await.is_err());
    assert!(carrier.list_plans(&line.iccid).await.is_err());

    // Nobody listens there: nothing can have left.
    let nobody = make(&format!("http://127.0.0.1:1{path}"));
    it_puts_off(&*nobody, &line).await;
    assert!(nobody.check().await.is_err());
}

#[tokio::test]
async fn cube_v4() {
    conforms(cube, Arc::new(Cube), "/cube/v4").await;
}

#[tokio::test]
async fn esim_access() {
    conforms(access, Arc::new(Access), "/api/v1/open").await;
}

#[tokio::test]
async fn esim_go() {
    conforms(go, Arc::new(Go), "/v2.5").await;
}

#[tokio::test]
async fn plain_protocol() {
    conforms(plain, Arc::new(networks::Plain), "/plain/v1").await;
}

#[tokio::test]
async fn simulator() {
    let simulator = Simulator::new(ctx(), Behaviour::Accept);
    let of = |ending: &str| line(&format!("8985200202110291{ending}"));
    it_answers(&simulator, &of("0000")).await;
    it_keeps_to_its_limits(&simulator, &of("0000")).await;
    it_needs_its_snapshot(&simulator, &of("0000")).await;
    it_has_groups_or_not(&simulator, &of("0000").iccid).await;
    it_refuses(&simulator, &of("9002")).await;
    it_puts_off(&simulator, &of("9003")).await;
    it_loses(&simulator, &of("9004"), true).await;
    it_takes(&simulator, &of("0000")).await;
}

#[tokio::test]
async fn cube_keeps_like_orders_apart() {
    let fake = Fake::start(Arc::new(Cube), "/cube/v4").await;
    let carrier = cube(&fake.base);
    carrier.submit(KEY, &line(ICCID)).await.unwrap();
    assert_eq!(it_puts_off(&*carrier, &line(ICCID)).await, Span::seconds(11));
    assert_eq!(fake.orders(), 1);
}

#[test]
fn addresses_are_checked() {
    for bad in [
        "",
        "api.example.com",
        "ftp://example.com",
        "https://u@example.com",
        "https://example.com/?a=1",
    ] {
        let settings =
            EsimGoSettings { endpoint: endpoint(bad), ..EsimGoSettings::new(Secret::new(SECRET)) };
        assert!(EsimGo::new(ctx(), settings).is_err(), "{bad}");
    }
}
