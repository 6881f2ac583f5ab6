//! Pushes of every shape, from a seed: for the tests here, and for `examples/sign_pushes.rs`, whose output
//! receivers in other languages verify.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use wire::push::{BODY_BYTES_MAX, Event, EventType, Headers, Key, Mode, Timestamp, sign};

/// Texts that JSON writers, and those who take bytes for text, get wrong.
const TEXTS: [&str; 16] = [
    "",
    "欧洲 10GB",
    "🇪🇺 eSIM 👩‍👩‍👧",
    "quote \" backslash \\ slash /",
    "line\nfeed\r\n\ttab",
    "\u{0}\u{1}\u{1f}\u{7f}\u{80}",
    "\u{2028}\u{2029}\u{feff}",
    "e\u{301} é",
    "<script>&amp;</script>",
    "%s %00 ${x} {{y}}",
    "12.360",
    "v1,AAAA",
    ".",
    "Ω≈ç√∫",
    "\u{10ffff}\u{e000}",
    "שלום مرحبا",
];

/// One signed push.
pub struct Signed {
    pub keys: Vec<Key>,
    pub headers: Headers,
    pub body: String,
}

/// `count` pushes, signed at a time: with the last so many of the keys `new` and `old`, or with keys of
/// their own.
pub fn pushes(seed: u64, count: usize, at: Timestamp, lasting: usize) -> Vec<Signed> {
    let mut rng = StdRng::seed_from_u64(seed);
    let pair = [Key::new("new", &[2; 32]).unwrap(), Key::new("old", &[1; 32]).unwrap()];
    let mut next = |place| {
        let keys =
            if lasting == 0 { fresh(&mut rng) } else { pair[pair.len() - lasting..].to_vec() };
        push(&mut rng, place, at, keys)
    };
    (0..count).map(&mut next).collect()
}

/// One key or two, of any length that there is.
fn fresh(rng: &mut StdRng) -> Vec<Key> {
    let mut key = |n| {
        let bytes: Vec<u8> = (0..rng.random_range(24..=64)).map(|_| rng.random()).collect();
        Key::new(&format!("k{n}"), &bytes).unwrap()
    };
    let first = key(0);
    if first.hex().ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) {
        return vec![first, key(1)];
    }
    vec![first]
}

fn push(rng: &mut StdRng, place: usize, at: Timestamp, keys: Vec<Key>) -> Signed {
    let id = format!("evt_{:032x}_{place}", rng.random::<u128>());
    let event_type = EventType::ALL[rng.random_range(0..EventType::ALL.len())];
    let happened = Timestamp::from_micros(rng.random_range(0..at.as_micros()));
    let mode = if rng.random() { Mode::Live } else { Mode::Test };
    // Every twentieth is as long as it may be.
    let mut data = if place.is_multiple_of(20) { json!(big(rng)) } else { object(rng, 4) };
    let body = loop {
        let event = Event::new((&id, event_type), happened, (mode, "P000270"), data);
        if let Ok(body) = event.body() {
            break body;
        }
        data = object(rng, 2);
    };
    let headers = sign(&keys, &id, at, body.as_bytes()).unwrap();
    Signed { keys, headers, body }
}

fn object(rng: &mut StdRng, depth: usize) -> Value {
    let members = (0..rng.random_range(0..6)).map(|_| (text(rng), value(rng, depth)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<i64>()),
        3 => json!(rng.random::<f64>()),
        5 => Value::Array((0..rng.random_range(0..5)).map(|_| value(rng, depth - 1)).collect()),
        6 | 7 => object(rng, depth - 1),
        _ => json!(text(rng)),
    }
}

fn text(rng: &mut StdRng) -> String {
    if rng.random() {
        return TEXTS[rng.random_range(0..TEXTS.len())].to_owned();
    }
    (0..rng.random_range(0..12)).map(|_| rng.random::<char>()).collect()
}

fn big(rng: &mut StdRng) -> String {
    let mut text = String::new();
    while text.len() < BODY_BYTES_MAX - 300 {
        text.push(if rng.random_range(0..8) == 0 { '欧' } else { 'x' });
    }
    text
}
