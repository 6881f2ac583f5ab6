//! The signing content for a log: its form to the letter, without what a log must not know.
//!
//! What is kept is listed, not what is hidden: the values of a call's own fields, but for those that hold
//! people's data. All other values are replaced by what they are, and so are names that are no names. An
//! ICCID keeps its first six and last four digits wherever it stands.

use std::fmt::Write as _;

use crate::call::Call;
use crate::content::signing_content;
use crate::form::Kind;
use crate::params::{Param, Params, Source, Value};

/// The most bytes of a redacted content.
pub const REDACTED_BYTES_MAX: usize = 2 * 1024;
/// The longest name that is taken for one.
const NAME_CHARS_MAX: usize = 32;
/// Digits that may be an ICCID: as many as one has, or more.
const ICCID_DIGITS_MIN: usize = 18;
/// Hexadecimal digits that may be a key or a signature.
const SECRET_DIGITS_MIN: usize = 32;
/// Fields of ours whose value is a person's, or may carry a secret.
const PERSONAL: [&str; 3] = ["email", "payAccount", "url"];

/// The content as the server built it, redacted. A long one is cut.
pub fn redacted_content(params: &Params, call: &Call) -> String {
    let mut redacted = Params::default();
    for (place, param) in params.iter().enumerate() {
        let mut name = safe_name(param, place);
        if redacted.get(&name).is_some() {
            name = format!("<name {place}>");
        }
        let value = redact(call, param);
        // Names are made unique above, and there are no more of them than there were.
        let _ = match param.source {
            Source::Sent => redacted.push_sent(&name, value),
            Source::Path => match value {
                Value::String(text) => redacted.push_path(&name, &text),
                other => redacted.push_sent(&name, other),
            },
        };
    }
    let mut content = signing_content(&redacted);
    if content.len() > REDACTED_BYTES_MAX {
        let whole = content.len();
        content.truncate(content.floor_char_boundary(REDACTED_BYTES_MAX));
        // A string takes whatever is written to it.
        let _ = write!(content, "… ({whole} bytes in all)");
    }
    content
}

fn safe_name(param: &Param, place: usize) -> String {
    let name = &param.name;
    let plain = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let masked = if plain { masked(name) } else { None };
    match masked {
        None if plain => name.clone(),
        _ => format!("<name {place}>"),
    }
}

fn redact(call: &Call, param: &Param) -> Value {
    let field = call.all_fields().find(|field| field.name == param.name);
    let kept = field.filter(|field| !PERSONAL.contains(&field.name));
    match (&param.value, kept) {
        (Value::Null, _) => Value::Null,
        (Value::Bool(flag), Some(_)) => Value::Bool(*flag),
        // An empty text is a common cause, and tells nothing else.
        (Value::String(text), _) if text.is_empty() => Value::String(String::new()),
        (Value::String(text), Some(field)) => Value::String(keep(text, field.kind)),
        (Value::Number(token), Some(field)) => match keep(token, field.kind) {
            kept if kept == *token => Value::Number(kept),
            masked => Value::String(masked),
        },
        (Value::Bool(_), None) => Value::String("<a boolean>".to_owned()),
        (Value::Number(_), None) => Value::String("<a number>".to_owned()),
        (Value::String(text), None) => {
            Value::String(format!("<a text of {} characters>", text.chars().count()))
        }
        (Value::Array(items), _) => Value::String(format!("<a list of {}>", items.len())),
        (Value::Object(members), _) => Value::String(format!("<an object of {}>", members.len())),
    }
}

fn keep(text: &str, kind: Kind) -> String {
    let of_cards = matches!(kind, Kind::Iccid | Kind::Iccids { .. });
    let wrong_iccid = of_cards && masked(text).is_none();
    if wrong_iccid || text.contains('@') {
        return format!("<a text of {} characters>", text.chars().count());
    }
    masked(text).unwrap_or_else(|| text.to_owned())
}

/// The text with what may be an ICCID, a key or a signature masked; `None` if there is nothing such in it.
fn masked(text: &str) -> Option<String> {
    let is_word = |character: char| character.is_ascii_alphanumeric();
    let mut out = String::with_capacity(text.len());
    let mut found = false;
    for piece in text.split_inclusive(|character| !is_word(character)) {
        let (word, end) = piece.split_at(piece.trim_end_matches(|c| !is_word(c)).len());
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if word.len() >= SECRET_DIGITS_MIN {
            found = true;
            let _ = write!(out, "<{} characters>", word.len());
        } else if digits >= ICCID_DIGITS_MIN {
            found = true;
            let _ = write!(out, "{}…{}", &word[..6], &word[word.len() - 4..]);
        } else {
            out.push_str(word);
        }
        out.push_str(end);
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vshop::SYN_ORDER_INFO;
    use proptest::prelude::*;

    fn content(body: &str) -> String {
        redacted_content(&Params::read(None, body.as_bytes()).unwrap(), &SYN_ORDER_INFO)
    }

    #[test]
    fn what_explains_a_signature_stays_and_what_is_a_persons_goes() {
        assert_eq!(
            content(
                r#"{"deviceCode":"89852420180910340793","orderNo":"NO-1","payAmount":12.360,
                "mark":"","email":"jane@example.com","payAccount":"jane","n":1,"gone":null,
                "url":"https://a/?token=1","terminal":"jane@example.com","extra":{"a":1},
                "payId":"0123456789abcdef0123456789abcdef","transactionId":"T 8985242018091034079312",
                "jane@example.com":true,"sign":"x","orgOrderId":["89852420180910340793"]}"#
            ),
            concat!(
                r#"{"<name 13>":"<a boolean>","deviceCode":"898524…0793","#,
                r#""email":"<a text of 16 characters>","extra":"<an object of 1>","mark":"","#,
                r#""n":"<a number>","orderNo":"NO-1","orgOrderId":"<a list of 1>","#,
                r#""payAccount":"<a text of 4 characters>","payAmount":12.360,"#,
                r#""payId":"<32 characters>","terminal":"<a text of 16 characters>","#,
                r#""transactionId":"T 898524…9312","url":"<a text of 18 characters>"}"#
            )
        );
    }

    #[test]
    fn a_card_is_masked_as_a_number_and_when_it_is_none() {
        assert_eq!(
            content(r#"{"deviceCode":89852420180910340793}"#),
            r#"{"deviceCode":"898524…0793"}"#
        );
        let spaced = content(r#"{"deviceCode":"8985 2420 1809 1034 0793"}"#);
        assert_eq!(spaced, r#"{"deviceCode":"<a text of 24 characters>"}"#);
    }

    #[test]
    fn a_long_content_is_cut() {
        let members: Vec<String> = (0..200).map(|n| format!(r#""name{n}":"x""#)).collect();
        let long = content(&format!("{{{}}}", members.join(",")));
        assert!(long.len() < REDACTED_BYTES_MAX + 40 && long.ends_with("bytes in all)"), "{long}");
    }

    proptest! {
        /// Wherever a card's number, an address or a key is put, it does not come out.
        #[test]
        fn no_secret_comes_out(
            names in prop::collection::btree_set(
                prop_oneof![
                    prop::sample::select(vec!["deviceCode", "orderNo", "mark", "payAccount", "url",
                        "transactionId", "payType", "servicePlanShowName"]).prop_map(str::to_owned),
                    "[a-z@ ]{1,12}",
                    Just("89852420180910340793".to_owned()),
                ], 1..8),
            secret in prop_oneof![
                Just("89852420180910340793"), Just("jane@example.com"),
                Just("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
            ],
            before in "[ a-z.:/-]{0,5}",
        ) {
            let value = serde_json::to_string(&format!("{before}{secret}")).unwrap();
            let members: Vec<String> = names.iter()
                .map(|name| format!("{}:{value}", serde_json::to_string(name).unwrap())).collect();
            let content = content(&format!("{{{}}}", members.join(",")));
            prop_assert!(!content.contains(secret), "{}", content);
        }
    }
}
