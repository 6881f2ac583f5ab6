//! Signatures: making them, and checking them under a partner's policy.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::content::{PUBLISHED, Style, write_content};
use crate::params::{Params, Source, Value};

pub use domain::partner::Scheme;

/// A signing key. `Debug` shows its id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The id by which people speak of it.
    pub id: String,
    /// Its text; the UTF-8 bytes are the key.
    pub text: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// How a good signature was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Under which scheme.
    pub scheme: Scheme,
    /// With which key; `None` under the keyless scheme.
    pub key_id: Option<String>,
    /// Whether the content held empty strings.
    pub empty_kept: bool,
    /// Whether the content held the path's parameters.
    pub path_kept: bool,
}

impl Match {
    /// The form as words: the scheme, and what the content was without.
    pub fn form(&self) -> String {
        let part = |kept, word| if kept { "" } else { word };
        let empty = part(self.empty_kept, " without-empty");
        format!("{}{empty}{}", self.scheme.as_str(), part(self.path_kept, " without-path"))
    }
}

/// The `sign` of a content under a scheme, as lower-case hexadecimal.
pub fn sign(scheme: Scheme, key: &str, content: &str) -> String {
    match scheme {
        Scheme::Md5 => hex::encode(Md5::digest(content)),
        Scheme::Md5Key => {
            hex::encode(Md5::new().chain_update(content).chain_update(key).finalize())
        }
        Scheme::HmacSha256 => {
            // HMAC takes a key of any length, so that there is no error to speak of.
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_or_else(
                |_| String::new(),
                |mac| hex::encode(mac.chain_update(content).finalize().into_bytes()),
            )
        }
    }
}

/// Compares two signatures without telling by the time taken where they differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// The contents that a scheme accepts, the published form first: HMAC is strict, the MD5 schemes also
/// take contents without empty strings and without the path's parameters.
pub fn accepted_forms(params: &Params, scheme: Scheme) -> Vec<Style> {
    let mut forms = vec![PUBLISHED];
    if scheme == Scheme::HmacSha256 {
        return forms;
    }
    if params.iter().any(|param| param.value == Value::String(String::new())) {
        forms.push(Style { empty_kept: false, ..PUBLISHED });
    }
    if params.iter().any(|param| param.source == Source::Path) {
        let without: Vec<Style> =
            forms.iter().map(|form| Style { path_kept: false, ..*form }).collect();
        forms.extend(without);
    }
    forms
}

/// Finds out how `sign` was made, if it is right under any scheme and any of the keys. Whether the
/// policy allows that scheme is the caller's to say. The work does not depend on where it matches.
pub fn verify(params: &Params, sign_given: &str, keys: &[Key]) -> Option<Match> {
    let mut found = None;
    let schemes: &[Scheme] =
        if sign_given.len() == 64 { &[Scheme::HmacSha256] } else { &[Scheme::Md5, Scheme::Md5Key] };
    for scheme in schemes {
        for form in accepted_forms(params, *scheme) {
            let content = write_content(params, form);
            let keyless = Key { id: String::new(), text: String::new() };
            let candidates =
                if scheme.proves_sender() { keys } else { std::slice::from_ref(&keyless) };
            for key in candidates {
                if same(&sign(*scheme, &key.text, &content), sign_given) && found.is_none() {
                    found = Some(Match {
                        scheme: *scheme,
                        key_id: scheme.proves_sender().then(|| key.id.clone()),
                        empty_kept: form.empty_kept,
                        path_kept: form.path_kept,
                    });
                }
            }
        }
    }
    found
}
