//! Prints signed pushes, one a line as JSON, for receivers in other languages to verify:
//!
//! ```text
//! cargo run -p wire --example sign_pushes -- COUNT SEED EPOCH_MS LASTING
//! ```
//!
//! `LASTING` is 0 for keys of each push's own, 1 for the key `old`, 2 for the keys `new` and `old`.
//! A line has `headers`, `body` and `keys` (`id`, `hex`, `whsec`), the newest key first.

#![expect(clippy::unwrap_used, reason = "a tool of the tests may fail by panic")]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;

use serde_json::json;
use wire::push::Timestamp;

#[path = "../tests/it/payloads.rs"]
mod payloads;

fn main() {
    let numbers: Vec<i64> =
        std::env::args().skip(1).map(|number| number.parse().unwrap()).collect();
    let [count, seed, at, lasting] = numbers[..] else {
        panic!("usage: sign_pushes COUNT SEED EPOCH_MS LASTING");
    };
    let at = Timestamp::from_millis(at).unwrap();
    let size = |number| usize::try_from(number).unwrap();
    let seed = u64::try_from(seed).unwrap();
    for push in payloads::pushes(seed, size(count), at, size(lasting)) {
        let headers: BTreeMap<_, _> = push.headers.pairs().into_iter().collect();
        let keys: Vec<_> = push
            .keys
            .iter()
            .map(|key| json!({"id": key.id(), "hex": key.hex(), "whsec": key.whsec()}))
            .collect();
        println!("{}", json!({"headers": headers, "body": push.body, "keys": keys}));
    }
}
