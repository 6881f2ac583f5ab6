//! The signing content: the bytes over which a signature is made.
//!
//! Published rule: compact JSON of all parameters but `sign`, top-level keys in ascending byte order,
//! `null` left out, empty strings kept, non-ASCII as raw UTF-8, `/` not escaped. The other forms
//! exist for two reasons: the tolerance of the MD5 schemes, and to recognise what a client with a
//! wrong signature did.

use std::fmt::Write as _;

use crate::params::{Param, Params, Source, Value};

/// How white space is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// None at all.
    Compact,
    /// One space after each comma and colon.
    Spaced,
}

/// How non-ASCII characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonAscii {
    /// Raw UTF-8.
    Raw,
    /// `\u6b27`.
    LowerEscape,
    /// `\u6B27`.
    UpperEscape,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As the tokens that were received.
    AsSent,
    /// Numbers as strings.
    AsStrings,
    /// Strings that are JSON numbers as numbers.
    FromStrings,
    /// Of the first 64 parameters, those whose bit is set the other way round: a number as a string, a
    /// string as a number.
    Flipped(u64),
}

/// One way to write the parameters down. The default is the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent choice of a writer")]
pub struct Style {
    /// Keys in byte order, or as received.
    pub sorted: bool,
    /// Whether empty strings stay.
    pub empty_kept: bool,
    /// Whether `null` stays.
    pub null_kept: bool,
    /// Whether parameters of the path are part of it.
    pub path_kept: bool,
    /// White space.
    pub spacing: Spacing,
    /// Non-ASCII characters.
    pub non_ascii: NonAscii,
    /// Whether `/` is written `\/`.
    pub slash_escaped: bool,
    /// Whether `<`, `>` and `&` are escaped, as for a page.
    pub html_escaped: bool,
    /// Whether a line feed stands at the end.
    pub newline: bool,
    /// Numbers.
    pub numbers: Numbers,
}

/// The published form.
pub const PUBLISHED: Style = Style {
    sorted: true,
    empty_kept: true,
    null_kept: false,
    path_kept: true,
    spacing: Spacing::Compact,
    non_ascii: NonAscii::Raw,
    slash_escaped: false,
    html_escaped: false,
    newline: false,
    numbers: Numbers::AsSent,
};

/// The signing content in the published form.
pub fn signing_content(params: &Params) -> String {
    write_content(params, PUBLISHED)
}

/// The parameters written in some style.
pub fn write_content(params: &Params, style: Style) -> String {
    let kept = |param: &&Param| {
        param.name != "sign"
            && (style.null_kept || param.value != Value::Null)
            && (style.empty_kept || param.value != Value::String(String::new()))
            && (style.path_kept || param.source == Source::Sent)
    };
    let mut members: Vec<(&str, &Value, Style)> = (0_u32..)
        .zip(params.iter())
        .filter(|(_, param)| kept(param))
        .map(|(place, param)| (param.name.as_str(), &param.value, style.at(place, &param.value)))
        .collect();
    if style.sorted {
        members.sort_unstable_by_key(|(name, ..)| *name);
    }
    let mut out = String::new();
    write_members(&mut out, members.into_iter(), style);
    if style.newline {
        out.push('\n');
    }
    out
}

/// An object as compact JSON: its own members in ascending byte order, everything below them as it
/// stands. The form of pushes.
pub(crate) fn sorted_at_the_top(members: &[(String, Value)]) -> String {
    let style = Style { sorted: false, ..PUBLISHED };
    let mut members: Vec<(&str, &Value, Style)> =
        members.iter().map(|(name, value)| (name.as_str(), value, style)).collect();
    members.sort_unstable_by_key(|(name, ..)| *name);
    let mut out = String::new();
    write_members(&mut out, members.into_iter(), style);
    out
}

impl Style {
    /// The style of the parameter at a place.
    fn at(self, place: u32, value: &Value) -> Self {
        let Numbers::Flipped(places) = self.numbers else { return self };
        let flipped = places.checked_shr(place).is_some_and(|bits| bits & 1 == 1);
        let numbers = match value {
            Value::Number(_) if flipped => Numbers::AsStrings,
            Value::String(_) if flipped => Numbers::FromStrings,
            _ => Numbers::AsSent,
        };
        Self { numbers, ..self }
    }
}

fn write_members<'a>(
    out: &mut String,
    members: impl Iterator<Item = (&'a str, &'a Value, Style)>,
    style: Style,
) {
    let (comma, colon) = separators(style);
    out.push('{');
    for (place, (name, value, style)) in members.enumerate() {
        if place > 0 {
            out.push_str(comma);
        }
        write_string(out, name, style);
        out.push_str(colon);
        write_value(out, value, style);
    }
    out.push('}');
}

fn separators(style: Style) -> (&'static str, &'static str) {
    match style.spacing {
        Spacing::Compact => (",", ":"),
        Spacing::Spaced => (", ", ": "),
    }
}

fn write_value(out: &mut String, value: &Value, style: Style) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(token) if style.numbers == Numbers::AsStrings => {
            write_string(out, token, style);
        }
        Value::Number(token) => out.push_str(token),
        Value::String(text) if style.numbers == Numbers::FromStrings && is_number(text) => {
            out.push_str(text);
        }
        Value::String(text) => write_string(out, text, style),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(separators(style).0);
                }
                write_value(out, item, style);
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<(&str, &Value, Style)> =
                object.iter().map(|(name, value)| (name.as_str(), value, style)).collect();
            if style.sorted {
                members.sort_unstable_by_key(|(name, ..)| *name);
            }
            write_members(out, members.into_iter(), style);
        }
    }
}

/// Whether a text is a JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn write_string(out: &mut String, text: &str, style: Style) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if style.slash_escaped => out.push_str("\\/"),
            '<' | '>' | '&' if style.html_escaped => write_escape(out, character, false),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => write_escape(out, control, false),
            ascii if ascii.is_ascii() => out.push(ascii),
            other => match style.non_ascii {
                NonAscii::Raw => out.push(other),
                NonAscii::LowerEscape => write_escape(out, other, false),
                NonAscii::UpperEscape => write_escape(out, other, true),
            },
        }
    }
    out.push('"');
}

fn write_escape(out: &mut String, character: char, upper: bool) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a String cannot fail.
        let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(body: &str) -> String {
        signing_content(&Params::read(None, body.as_bytes()).unwrap())
    }

    #[test]
    fn published_rules() {
        assert_eq!(
            content(r#"{ "b": "", "a": null, "sign": "x", "Z": "/\u6b27", "n": 12.360 }"#),
            r#"{"Z":"/欧","b":"","n":12.360}"#
        );
        assert_eq!(
            content(r#"{"o":{"z":[{"b":1,"a":"\u0001"}],"y":null}}"#),
            r#"{"o":{"y":null,"z":[{"a":"\u0001","b":1}]}}"#
        );
    }

    #[test]
    fn path_parameters_stand_among_the_others() {
        let mut params = Params::read(None, br#"{"sim_ids":["1","2"]}"#).unwrap();
        params.push_path("group_id", "grp_1").unwrap();
        assert_eq!(signing_content(&params), r#"{"group_id":"grp_1","sim_ids":["1","2"]}"#);
        let without = write_content(&params, Style { path_kept: false, ..PUBLISHED });
        assert_eq!(without, r#"{"sim_ids":["1","2"]}"#);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map(".{0,6}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        // The fuzz target of the signing content: every text is read or refused, never a panic.
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(
            prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b':'), Just(b','), Just(b'['), Just(b']'),
                Just(b'\\'), Just(b'u'), Just(b'0'), Just(b'-'), Just(b'n'), any::<u8>()], 0..40)) {
            if let Ok(params) = Params::read(None, &bytes) {
                let content = signing_content(&params);
                prop_assert!(Params::read(None, content.as_bytes()).is_ok(), "{content}");
            }
        }
    }

    proptest! {
        /// An independent writer (`serde_json`, whose maps are sorted) gives the same bytes.
        #[test]
        fn agrees_with_serde_json(members in prop::collection::btree_map("[^\\x00]{0,8}", any_json(), 0..6)) {
            let body = serde_json::to_string_pretty(&members).unwrap();
            let kept: std::collections::BTreeMap<_, _> = members
                .into_iter().filter(|(name, value)| name != "sign" && !value.is_null()).collect();
            prop_assert_eq!(content(&body), serde_json::to_string(&kept).unwrap());
        }

        #[test]
        fn order_and_spaces_of_the_sender_do_not_matter(
            members in prop::collection::btree_map("[a-z]{1,4}", "[ -~]{0,6}", 0..6),
        ) {
            let pairs: Vec<String> = members.iter()
                .map(|(k, v)| format!("{:?} : {}", k, serde_json::to_string(v).unwrap())).collect();
            let forward = format!("{{{}}}", pairs.join(" ,"));
            let backward = format!("{{{}}}", pairs.into_iter().rev().collect::<Vec<_>>().join(",\n"));
            prop_assert_eq!(content(&forward), content(&backward));
        }
    }
}
