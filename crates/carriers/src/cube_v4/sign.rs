//! Signature 2.0 of Cube: what is signed, byte for byte, and with what. Pure but for the blinding, whose
//! randomness comes from the context.

use std::collections::BTreeMap;
use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::Ctx;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::{Pkcs1v15Sign, PrivateKey};
use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

use crate::{Secret, SetupError};

/// Who signs.
pub(super) struct Signer {
    key_id: String,
    key: PrivateKey,
    ctx: Ctx,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.key_id)
    }
}

impl Signer {
    /// A signer with a private key as PEM (PKCS#8 or PKCS#1), or as the bare Base64 that consoles show.
    pub fn new(ctx: Ctx, key_id: &str, key: &Secret) -> Result<Self, SetupError> {
        let key = read_key(key.reveal().trim()).ok_or(SetupError::BadKey)?;
        Ok(Self { key_id: key_id.to_owned(), key, ctx })
    }

    /// The `Authorization` header of a canonical text.
    pub fn authorization(&self, canonical: &str) -> Result<String, rsa::Error> {
        let digest = Sha1::digest(canonical);
        let scheme = Pkcs1v15Sign::new::<Sha1>();
        let mut blinding = Blinding(&self.ctx);
        let signature = self.key.sign_with_rng(&mut blinding, scheme, &digest)?;
        Ok(format!("LF {}/{}", self.key_id, BASE64.encode(signature)))
    }
}

fn read_key(text: &str) -> Option<PrivateKey> {
    if text.starts_with("-----") {
        let key = PrivateKey::from_pkcs8_pem(text).ok();
        return key.or_else(|| PrivateKey::from_pkcs1_pem(text).ok());
    }
    let packed: String = text.split_ascii_whitespace().collect();
    let der = BASE64.decode(packed).ok()?;
    PrivateKey::from_pkcs8_der(&der).ok().or_else(|| PrivateKey::from_pkcs1_der(&der).ok())
}

/// The text that is signed: the path, the query, the top members of the body, the time and the nonce in one
/// sorted JSON object without spaces. What is null or empty is left out.
pub(super) fn canonical(
    path: &str,
    query: &[(&str, String)],
    body: Option<&Map<String, Value>>,
    timestamp: &str,
    nonce: &str,
) -> String {
    let text = |text: &str| Value::String(text.to_owned());
    let mut members: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, value) in query {
        members.insert(name, text(value));
    }
    for (name, value) in body.into_iter().flatten() {
        members.insert(name, value.clone());
    }
    members.insert("x-sign-uri", text(path));
    members.insert("timestamp", text(timestamp));
    members.insert("nonce", text(nonce));
    members.retain(|_, value| !is_empty(value));
    let mut out = String::new();
    write_object(&mut out, members.iter().map(|(name, value)| (*name, value)));
    out
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Writes members that come sorted.
fn write_object<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a Value)>) {
    out.push('{');
    for (place, (name, value)) in members.enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(name).to_string());
        out.push(':');
        write_sorted(out, value);
    }
    out.push('}');
}

/// Writes a value whose objects, at any depth, have their names sorted. Lists keep their order.
fn write_sorted(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&str, &Value> =
                members.iter().map(|(name, value)| (name.as_str(), value)).collect();
            write_object(out, sorted.into_iter());
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_sorted(out, item);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The context's randomness in the form that the `rsa` crate takes it. It hides the time that a signature
/// takes and does not change the signature.
struct Blinding<'a>(&'a Ctx);

impl TryRng for Blinding<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.0.random()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.0.random()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let random: [u8; 8] = self.0.random();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Blinding<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    struct Stopped;

    impl domain::Clock for Stopped {
        fn now(&self) -> domain::Timestamp {
            domain::Timestamp::from_micros(0)
        }
    }

    fn ctx() -> Ctx {
        Ctx::new(Arc::new(Stopped), rand::SeedableRng::seed_from_u64(1))
    }

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/cube_v4.json")).unwrap()
    }

    #[test]
    fn the_vectors_come_out_byte_for_byte() {
        let file = vectors();
        let pem = Secret::new(file["private_key_pkcs8_pem"].as_str().unwrap());
        let signer = Signer::new(ctx(), "testkeyid0000000000000000000000", &pem).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 4);
        for vector in vectors {
            let member = |name: &str| vector[name].as_str().unwrap();
            let query = vector["query"].as_object().into_iter().flatten();
            let query: Vec<(&str, String)> = query
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap().to_owned()))
                .collect();
            let canonical = canonical(
                member("uri"),
                &query,
                vector["body"].as_object(),
                member("timestamp"),
                member("nonce"),
            );
            assert_eq!(canonical, member("canonical"), "{}", vector["name"]);
            let header = signer.authorization(&canonical).unwrap();
            assert_eq!(header, member("authorization"), "{}", vector["name"]);
        }
    }

    #[test]
    fn what_is_empty_is_left_out_and_inner_names_are_sorted() {
        let body =
            json!({"z": [{"b": 1, "a": null}], "n": null, "e": "", "o": {}, "l": [], "f": false});
        let query = [("q", String::new()), ("status", "0,1,2".to_owned())];
        let canonical = canonical("/p", &query, body.as_object(), "1", "2");
        let expected = r#"{"f":false,"nonce":"2","status":"0,1,2","timestamp":"1","x-sign-uri":"/p","z":[{"a":null,"b":1}]}"#;
        assert_eq!(canonical, expected);
    }

    #[test]
    fn keys_come_as_pem_or_bare_and_never_show() {
        let file = vectors();
        let pem = file["private_key_pkcs8_pem"].as_str().unwrap();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let signers = [pem, &bare].map(|key| Signer::new(ctx(), "k", &Secret::new(key)).unwrap());
        assert_eq!(signers[0].authorization("x").unwrap(), signers[1].authorization("x").unwrap());
        assert_eq!(format!("{:?}", signers[0]), "Signer(k)");
        let bad = Signer::new(ctx(), "k", &Secret::new("secret but no key")).unwrap_err();
        assert!(!bad.to_string().contains("secret but"));
    }
}
