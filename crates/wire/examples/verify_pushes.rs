//! Reads what `sign_pushes` prints and has the published Rust library of Standard Webhooks verify it, each
//! push as it is and tampered with. Ends with the number of pushes, or with the first mismatch.

#![expect(clippy::unwrap_used, reason = "a tool of the tests may fail by panic")]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use serde_json::Value;
use standardwebhooks::Webhook;

fn main() {
    let mut count = 0;
    for line in std::io::stdin().lines() {
        let push: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut headers = http::HeaderMap::new();
        for (name, value) in push["headers"].as_object().unwrap() {
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.as_str().unwrap().parse().unwrap());
        }
        let body = push["body"].as_str().unwrap();
        for key in push["keys"].as_array().unwrap() {
            let library = Webhook::new(key["whsec"].as_str().unwrap()).unwrap();
            library
                .verify(body.as_bytes(), &headers)
                .unwrap_or_else(|error| panic!("{error}: {push}"));
            for tampered in [format!("{body} "), body.replacen('{', "{ ", 1), String::new()] {
                assert!(library.verify(tampered.as_bytes(), &headers).is_err(), "{push}");
            }
            let mut moved = headers.clone();
            moved.insert("webhook-id", "evt_other".parse().unwrap());
            assert!(library.verify(body.as_bytes(), &moved).is_err(), "{push}");
        }
        count += 1;
    }
    println!("{count}");
}
