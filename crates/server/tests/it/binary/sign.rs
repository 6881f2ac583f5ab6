//! `simmall sign` and `simmall openapi`: what a partner's developer uses.

use serde_json::Value;

use super::process::{Directory, Server, run, simmall};

const VECTORS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/tests/signature.json"));

/// What `simmall sign` makes of a body.
fn sign(args: &[&str], body: &str) -> String {
    let said = run(simmall(["sign"]).args(args), body).success();
    said.strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn the_vectors_come_out_under_all_schemes() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let key = file["key"].as_str().unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 5 && vectors.iter().any(|vector| vector["path"].is_object()));
    for vector in vectors {
        let body = vector["body"].to_string();
        let path = vector["path"].as_object().cloned().unwrap_or_default();
        let path: Vec<String> = path
            .iter()
            .map(|(name, value)| format!("--path-param={name}={}", value.as_str().unwrap()))
            .collect();
        let with = |args: &[&'static str]| {
            let args = args.iter().copied().chain(path.iter().map(String::as_str));
            sign(&args.collect::<Vec<_>>(), &body)
        };
        assert_eq!(with(&["--content"]), vector["content"], "{vector}");
        assert_eq!(with(&["--scheme=md5"]), vector["sign"], "{vector}");
        for (scheme, expected) in [("md5-key", "md5_key"), ("hmac-sha256", "hmac_sha256")] {
            // The vector with a path has no value of this scheme.
            if let Some(expected) = vector[expected].as_str() {
                let mut command = simmall(["sign", "--scheme", scheme]);
                command.args(&path).env("SIMMALL_KEY", key);
                assert_eq!(run(&mut command, &body).success(), format!("{expected}\n"), "{vector}");
            }
        }
    }
}

#[test]
fn a_query_is_signed_like_a_body_and_together_with_one() {
    let body = r#"{"sim_id":"89","version":"3.0","name":"a b&"}"#;
    let whole = sign(&["--content"], body);
    assert_eq!(whole, r#"{"name":"a b&","sim_id":"89","version":"3.0"}"#);
    assert_eq!(sign(&["--content", "--query=version=3.0&name=a+b%26&sim_id=89"], ""), whole);
    assert_eq!(
        sign(&["--content", "--query=version=3.0&name=a+b%26"], r#"{"sim_id":"89"}"#),
        whole
    );
    // HMAC is the scheme that is meant where none is named.
    let named = sign(&["--key=k", "--scheme=hmac-sha256"], body);
    assert_eq!((sign(&["--key=k"], body), named.len()), (named, 64));
}

#[test]
fn what_cannot_be_signed_is_said_clearly() {
    let body = r#"{"a":"1"}"#;
    let key = "--key=hush-hush";
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024 * 1024));
    let cases: [(&[&str], &str, &str); 10] = [
        (&[], body, "hmac-sha256 needs --key KEY or SIMMALL_KEY"),
        (&["--scheme=md5-key"], body, "md5-key needs --key KEY or SIMMALL_KEY"),
        (&["--key="], body, "hmac-sha256 needs --key KEY or SIMMALL_KEY"),
        (&["--scheme=md5", key], body, "md5 has no key"),
        (&["--scheme=sha1", key], body, "sha1"),
        (&[key], "{\"a\":", "the body is not JSON"),
        (&[key], "[1]", "the body is not a JSON object"),
        (&[key], &large, "the body is larger than 1 MiB"),
        (&[key, "--query=a=2"], body, "the name \"a\" occurs twice"),
        (&[key, "--path-param=group_id"], body, "--path-param takes NAME=VALUE"),
    ];
    for (args, body, expected) in cases {
        let said = run(simmall(["sign"]).args(args), body).failure();
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!said.contains("hush-hush"), "{args:?}: {said}");
    }
    // One byte less is taken.
    let fits = large.replacen('x', "", large.len() - 1024 * 1024);
    assert_eq!((fits.len(), sign(&[key], &fits).len()), (1024 * 1024, 64));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_document_is_the_served_one() {
    let printed: Value =
        serde_json::from_str(&run(&mut simmall(["openapi"]), "").success()).unwrap();
    let directory = Directory::new();
    let server = Server::start(&mut simmall(["demo", "--data", &directory.join("data")]));
    let request = testkit::http_client().get(format!("{}/openapi.json", server.url));
    let answer = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["paths"].as_object().unwrap().len() > 10);
    assert_eq!(printed, answer);
    server.stop().success();
}
