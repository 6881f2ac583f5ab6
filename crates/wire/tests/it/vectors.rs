//! Signing contents and signatures, reproduced byte for byte.

use domain::partner::Scheme;
use serde_json::Value;
use wire::Params;
use wire::content::signing_content;
use wire::sign::{Key, sign, verify};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../signature.json")).unwrap()
}

fn params(vector: &Value) -> Params {
    let mut params = Params::read(None, vector["body"].to_string().as_bytes()).unwrap();
    if let Some(path) = vector["path"].as_object() {
        for (name, value) in path {
            params.push_path(name, value.as_str().unwrap()).unwrap();
        }
    }
    params
}

#[test]
fn contents_and_signatures_are_reproduced() {
    let file = vectors();
    let key = file["key"].as_str().unwrap();
    let mut checked = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let content = signing_content(&params(vector));
        assert_eq!(content, vector["content"].as_str().unwrap());
        for (scheme, member) in [
            (Scheme::Md5, "sign"),
            (Scheme::Md5Key, "md5_key"),
            (Scheme::HmacSha256, "hmac_sha256"),
        ] {
            if let Some(expected) = vector[member].as_str() {
                assert_eq!(sign(scheme, key, &content), expected, "{} {member}", vector["name"]);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 14);
}

#[test]
fn every_vector_verifies_and_a_changed_one_does_not() {
    let file = vectors();
    let keys = [Key { id: "k".into(), text: file["key"].as_str().unwrap().into() }];
    for vector in file["vectors"].as_array().unwrap() {
        for member in ["sign", "md5_key", "hmac_sha256", "sign_without_empty"] {
            let Some(made) = vector[member].as_str() else {
                continue;
            };
            let found = verify(&params(vector), made, &keys).expect(member);
            assert_eq!(found.empty_kept, member != "sign_without_empty");
            let mut changed = params(vector);
            changed.push_sent("extra", wire::Value::String("1".into())).unwrap();
            assert_eq!(verify(&changed, made, &keys), None);
            assert_eq!(verify(&params(vector), &made.to_uppercase(), &keys), None);
        }
    }
}

#[test]
fn the_placeholder_of_the_published_page_is_refused() {
    let file = vectors();
    let vector = &file["vectors"][3];
    assert_eq!(verify(&params(vector), "b2a9e697bdff66049803d62ffeffccaf", &[]), None);
}

#[test]
fn the_md5_schemes_are_tolerant_and_hmac_is_not() {
    let mut params = Params::read(None, br#"{"a":"","b":"1"}"#).unwrap();
    params.push_path("group_id", "g").unwrap();
    let keys = [Key { id: "k".into(), text: "test-key".into() }];
    for (content, empty_kept, path_kept) in [
        (r#"{"a":"","b":"1","group_id":"g"}"#, true, true),
        (r#"{"b":"1","group_id":"g"}"#, false, true),
        (r#"{"a":"","b":"1"}"#, true, false),
        (r#"{"b":"1"}"#, false, false),
    ] {
        for scheme in Scheme::ALL {
            let found = verify(&params, &sign(scheme, "test-key", content), &keys);
            let strict = scheme == Scheme::HmacSha256;
            assert_eq!(
                found.is_some(),
                !strict || (empty_kept && path_kept),
                "{scheme:?} {content}"
            );
            if let Some(found) = found {
                assert_eq!(
                    (found.scheme, found.empty_kept, found.path_kept),
                    (scheme, empty_kept, path_kept)
                );
            }
        }
    }
}
