//! What holds whatever is asked and whatever goes wrong.

use std::collections::BTreeMap;

use domain::Span;
use proptest::prelude::*;
use serde_json::json;
use upstream::{Count, Entry, Faults, Protocol, Reply, Request};

use super::{
    Played, cube_order, go_order, plain_order, to_access, to_cube, to_go, to_plain, top_up,
};

const SIMS: [&str; 3] = ["89248044404413065327", "89248044404413065335", "89248044404413065343"];
/// No order takes longer. Only the network's clock is moved: callers' timestamps stay right.
const END: Span = Span::days(1);

/// One step of a client: which reference, which SIM, and how long it waits before.
type Step = (u8, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0..6_u8, 0..3_u8, 0..20_u8), 1..40)
}

fn order(protocol: Protocol, (reference, sim, _): Step) -> Request {
    let (reference, sim) = (format!("ref-{reference}"), SIMS[usize::from(sim)]);
    match protocol {
        Protocol::CubeV4 => cube_order(&reference, &[sim]),
        Protocol::EsimAccess => top_up(&reference, sim),
        Protocol::EsimGo => go_order("transaction", &[sim]),
        Protocol::Plain => plain_order(&reference, sim),
    }
}

fn protocols() -> impl Strategy<Value = Protocol> {
    proptest::sample::select(&Protocol::ALL[..])
}

/// How many bundles the protocol itself shows on all SIMs.
fn shown(played: &Played, protocol: Protocol) -> usize {
    let of_sim = |sim: &str| {
        let (request, pointer) = match protocol {
            Protocol::CubeV4 => {
                (to_cube("GET", &format!("/sims/{sim}/bundles?page_size=100"), None), "/data")
            }
            Protocol::EsimAccess => {
                (to_access("/esim/query", &json!({"iccid": sim})), "/obj/esimList/0/packageList")
            }
            Protocol::Plain => (to_plain("GET", &format!("/sims/{sim}"), None), "/bundles"),
            Protocol::EsimGo => (
                to_go("GET", &format!("/esims/{sim}/bundles?includeUsed=true&limit=200"), None),
                "/bundles/0/assignments",
            ),
        };
        let answer = played.ask(&request).1;
        answer.pointer(pointer).and_then(|list| list.as_array()).map_or(0, Vec::len)
    };
    SIMS.iter().map(|sim| of_sim(sim)).sum()
}

fn total(counts: &BTreeMap<String, Count>, part: fn(&Count) -> u64) -> u64 {
    counts.values().map(part).sum()
}

proptest! {
    /// The journal counts an order as done exactly when its bundle is on the SIM, whatever the caller heard.
    #[test]
    fn done_is_what_is_on_the_sims(protocol in protocols(), steps in steps(), seed: u64) {
        let played = Played::new(protocol, "all", seed);
        for step in steps {
            played.upstream.advance(Span::seconds(i64::from(step.2)));
            played.upstream.handle(&order(protocol, step));
            let counts = played.upstream.counts();
            let on_sims = SIMS.iter().map(|sim| played.upstream.bundles(sim).len()).sum::<usize>();
            prop_assert_eq!(usize::try_from(total(&counts, |count| count.done)), Ok(on_sims));
        }
        played.upstream.advance(END);
        let counts = played.upstream.counts();
        prop_assert_eq!(total(&counts, |count| count.accepted), 0);
        for (reference, count) in &counts {
            let on_sims = SIMS.iter().flat_map(|sim| played.upstream.bundles(sim));
            let on_sims = on_sims.filter(|bundle| bundle == reference).count();
            prop_assert_eq!(usize::try_from(count.done), Ok(on_sims));
        }
        played.upstream.set_faults(Faults::default());
        let done = usize::try_from(total(&counts, |count| count.done));
        prop_assert_eq!(Ok(shown(&played, protocol)), done);
    }

    /// A transaction is never done twice, however often it is sent.
    #[test]
    fn a_transaction_is_done_at_most_once(steps in steps(), seed: u64) {
        let played = Played::new(Protocol::EsimAccess, "all", seed);
        for step in steps {
            played.upstream.advance(Span::seconds(i64::from(step.2)));
            played.upstream.handle(&order(Protocol::EsimAccess, step));
        }
        played.upstream.advance(END);
        prop_assert!(played.upstream.counts().values().all(|count| count.done <= 1));
    }

    /// The same seed and the same requests give the same answers, the same journal and the same webhooks.
    #[test]
    fn a_run_can_be_repeated(protocol in protocols(), steps in steps(), seed: u64) {
        let run = || {
            let played = Played::new(protocol, "all", seed);
            let mut replies = Vec::new();
            for step in &steps {
                played.upstream.advance(Span::seconds(i64::from(step.2)));
                replies.push(played.upstream.handle(&order(protocol, *step)));
            }
            played.upstream.advance(END);
            let webhooks = played.upstream.due_webhooks(played.upstream.now());
            (replies, played.upstream.journal(), webhooks)
        };
        prop_assert_eq!(run(), run());
    }

    /// What becomes of a reference does not depend on what others ask in between.
    #[test]
    fn how_requests_interleave_does_not_matter(seed: u64, reversed: bool) {
        let outcome = |order: &[usize]| {
            let played = Played::new(Protocol::EsimAccess, "all", seed);
            let mut replies = BTreeMap::<usize, Vec<Reply>>::new();
            for place in order {
                let request = top_up(&format!("ref-{place}"), SIMS[*place]);
                replies.entry(*place).or_default().push(played.upstream.handle(&request));
            }
            played.upstream.advance(END);
            let mut journal: Vec<Entry> = played.upstream.journal();
            journal.sort_by(|left, right| left.reference.cmp(&right.reference));
            (replies, journal)
        };
        let apart = [0, 0, 0, 1, 1, 1, 2, 2, 2];
        let mixed = if reversed { [2, 1, 0, 2, 1, 0, 2, 1, 0] } else { [0, 1, 2, 0, 1, 2, 0, 1, 2] };
        prop_assert_eq!(outcome(&apart), outcome(&mixed));
    }

    /// No bytes bring it down.
    #[test]
    fn nothing_panics(
        protocol in protocols(),
        method in "GET|POST|PUT|DELETE",
        path in "/[a-z0-9/]{0,30}",
        query in ".{0,20}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let played = Played::new(protocol, "all", 1);
        let mut request = to_cube(&method, "", None);
        request.headers.extend(to_access("", &json!({})).headers);
        request.headers.extend(to_go("GET", "", None).headers);
        request.path = format!("{}{path}", protocol.prefix());
        (request.query, request.body) = (query, body);
        played.upstream.handle(&request);
    }
}

/// Other seeds are other days: of a hundred orders, not all fare alike.
#[test]
fn seeds_differ() {
    let day = |seed: u64| {
        let played = Played::new(Protocol::EsimAccess, "rough", seed);
        let replies = (0..100).map(|number| {
            let transaction = format!("tx-{number}");
            played.upstream.handle(&top_up(&transaction, SIMS[0])).answer().map(|it| it.status)
        });
        replies.collect::<Vec<_>>()
    };
    assert_eq!(day(1), day(1));
    assert_ne!(day(1), day(2));
}
