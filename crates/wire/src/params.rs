//! The parameters of a request as they arrived: names, values, number tokens and their order, since the
//! signature is made over them and the diagnosis of a wrong one needs all of that.

use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may nest in a request.
pub const DEPTH_MAX: usize = 32;
/// How many values a request may have in all, those in lists and objects included.
pub const VALUES_MAX: usize = 20_000;
/// How many parameters a request may have at the top.
pub const PARAMS_MAX: usize = 256;

/// A JSON value that keeps number tokens and the order of object members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`, which counts as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as the token that was received.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object in the order received, without two members of one name.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// How many bytes of text it holds, those of its members included.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Number(text) | Self::String(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::text_bytes).sum(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| name.len() + value.text_bytes()).sum()
            }
        }
    }
}

/// Where a parameter stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the query string or the body.
    Sent,
    /// In the path.
    Path,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where it stood.
    pub source: Source,
}

/// All parameters of a request, in the order received: query, body, path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

/// Why a request has no readable parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The body is not JSON, from this line and column on.
    #[error("the body is not JSON at line {0}, column {1}")]
    NotJson(usize, usize),
    /// A text in the body has an escape that means no character.
    #[error("a text in the body has a broken escape")]
    BadEscape,
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The query is not percent-encoded UTF-8.
    #[error("the query string is not percent-encoded UTF-8")]
    BadQuery,
    /// A name occurs twice.
    #[error("the name {0:?} occurs twice")]
    Duplicate(String),
    /// Values nest too deeply.
    #[error("values nest deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Too many parameters, or too many values in them.
    #[error("more than {PARAMS_MAX} parameters or {VALUES_MAX} values")]
    TooMany,
}

impl Params {
    /// Reads the parameters of a request. An empty body has none.
    pub fn read(query: Option<&str>, body: &[u8]) -> Result<Self, ParamsError> {
        let mut params = Self::default();
        for (name, value) in parse_query(query.unwrap_or(""))? {
            params.push(name, Value::String(value), Source::Sent)?;
        }
        if !body.iter().all(u8::is_ascii_whitespace) {
            let text = std::str::from_utf8(body).map_err(|_| ParamsError::NotUtf8)?;
            let Value::Object(members) = parse_json(text)? else {
                return Err(ParamsError::NotAnObject);
            };
            for (name, value) in members {
                params.push(name, value, Source::Sent)?;
            }
        }
        Ok(params)
    }

    /// Adds a parameter of the path.
    pub fn push_path(&mut self, name: &str, value: &str) -> Result<(), ParamsError> {
        self.push(name.to_owned(), Value::String(value.to_owned()), Source::Path)
    }

    /// Adds a parameter as if it had been sent.
    pub fn push_sent(&mut self, name: &str, value: Value) -> Result<(), ParamsError> {
        self.push(name.to_owned(), value, Source::Sent)
    }

    fn push(&mut self, name: String, value: Value, source: Source) -> Result<(), ParamsError> {
        if self.0.iter().any(|param| param.name == name) {
            return Err(ParamsError::Duplicate(name));
        }
        if self.0.len() >= PARAMS_MAX {
            return Err(ParamsError::TooMany);
        }
        self.0.push(Param { name, value, source });
        Ok(())
    }

    /// All parameters, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }

    /// The value of a name; `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|param| param.name == name)
            .map(|param| &param.value)
            .filter(|value| **value != Value::Null)
    }

    /// The text of a name: a string, or the token of a number. Absent, `null` and `""` are the same.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::String(text) | Value::Number(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

fn parse_query(query: &str) -> Result<Vec<(String, String)>, ParamsError> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    // The decoder puts U+FFFD where the bytes are not UTF-8; nobody has a reason to send it.
    let broken = |text: &String| text.contains(char::REPLACEMENT_CHARACTER);
    // It leaves a `%` alone that begins no byte: a text that was not encoded, and reads otherwise
    // whenever two hexadecimal digits happen to follow.
    let escape =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !query.split('%').skip(1).all(escape) {
        return Err(ParamsError::BadQuery);
    }
    if pairs.iter().any(|(name, value)| broken(name) || broken(value)) {
        return Err(ParamsError::BadQuery);
    }
    Ok(pairs)
}

/// Writes names and values as a query string.
pub fn write_query<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Reads one JSON value.
pub fn parse_json(text: &str) -> Result<Value, ParamsError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    parse_raw(raw.get(), DEPTH_MAX, &mut { VALUES_MAX })
}

fn json_error(error: &serde_json::Error) -> ParamsError {
    ParamsError::NotJson(error.line(), error.column())
}

/// `raw` is known to be one valid JSON value, but for its strings' escapes and its nesting.
fn parse_raw(raw: &str, depth: usize, values_left: &mut usize) -> Result<Value, ParamsError> {
    *values_left = values_left.checked_sub(1).ok_or(ParamsError::TooMany)?;
    let raw = raw.trim_ascii();
    let mut reader = serde_json::Deserializer::from_str(raw);
    match raw.as_bytes().first() {
        Some(b'{' | b'[') if depth == 0 => Err(ParamsError::TooDeep),
        Some(b'{') => {
            let members = reader.deserialize_map(Members).map_err(|_| ParamsError::BadEscape)?;
            let mut object: Vec<(String, Value)> = Vec::with_capacity(members.len());
            let mut names = std::collections::HashSet::with_capacity(members.len());
            for (name, value) in members {
                if !names.insert(name.clone()) {
                    return Err(ParamsError::Duplicate(name));
                }
                object.push((name, parse_raw(value.get(), depth - 1, values_left)?));
            }
            Ok(Value::Object(object))
        }
        Some(b'[') => {
            let items = reader.deserialize_seq(Items).map_err(|_| ParamsError::BadEscape)?;
            let values =
                items.into_iter().map(|item| parse_raw(item.get(), depth - 1, values_left));
            values.collect::<Result<_, _>>().map(Value::Array)
        }
        Some(b'"') => {
            serde_json::from_str(raw).map(Value::String).map_err(|_| ParamsError::BadEscape)
        }
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        _ => Ok(Value::Number(raw.to_owned())),
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Params, ParamsError> {
        Params::read(None, body.as_bytes())
    }

    #[test]
    fn number_tokens_and_order_are_kept() {
        let params =
            read(r#"{"b": 12.360, "a": "x", "c": 1E+2, "d": [1, {"z": -0, "y": null}]}"#).unwrap();
        let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c", "d"]);
        assert_eq!(params.text("b"), Some("12.360"));
        assert_eq!(params.text("c"), Some("1E+2"));
        let inner = vec![("z".into(), Value::Number("-0".into())), ("y".into(), Value::Null)];
        assert_eq!(
            params.get("d"),
            Some(&Value::Array(vec![Value::Number("1".into()), Value::Object(inner)]))
        );
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(read("{\"a\":[\"\\ud800\"]}"), Err(ParamsError::BadEscape));
        assert_eq!(read("{\n\"a\":}"), Err(ParamsError::NotJson(2, 5)));
    }

    #[test]
    fn a_name_occurs_once() {
        let twice = |name: &str| Err(ParamsError::Duplicate(name.to_owned()));
        assert_eq!(read(r#"{"a":1,"a":1}"#), twice("a"));
        assert_eq!(read(r#"{"a":1,"\u0061":1}"#), twice("a"));
        assert_eq!(read(r#"{"o":{"b":1,"b":2}}"#), twice("b"));
        assert_eq!(Params::read(Some("a=1&a=2"), b""), twice("a"));
        assert_eq!(Params::read(Some("a=1"), br#"{"a":"1"}"#), twice("a"));
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for bad in ["{", "nonsense", "{\"a\":}", "{\"a\":01}", "{} {}", "\u{feff}{}"] {
            assert!(matches!(read(bad), Err(ParamsError::NotJson(..))), "{bad}");
        }
        for bad in ["[]", "1", "null", "\"x\""] {
            assert_eq!(read(bad), Err(ParamsError::NotAnObject), "{bad}");
        }
        assert_eq!(Params::read(None, b"{\"a\":\"\xff\"}"), Err(ParamsError::NotUtf8));
        for bad in ["a=%ff", "a=%zz", "a=100%", "%4=a", "a=%%20"] {
            assert_eq!(Params::read(Some(bad), b""), Err(ParamsError::BadQuery), "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(60), "]".repeat(60));
        assert_eq!(read(&deep), Err(ParamsError::TooDeep));
        let deeper = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(read(&deeper).is_err());
        let long = format!("{{\"a\":[{}1]}}", "1,".repeat(VALUES_MAX));
        assert_eq!(read(&long), Err(ParamsError::TooMany));
        let many: Vec<String> = (0..=PARAMS_MAX).map(|n| format!("\"{n}\":1")).collect();
        assert_eq!(read(&format!("{{{}}}", many.join(","))), Err(ParamsError::TooMany));
    }

    #[test]
    fn a_delete_may_have_a_body_and_a_query() {
        let params = Params::read(Some("page=1&q=a+b%26"), br#"{"sim_ids":["1"]}"#).unwrap();
        assert_eq!(params.text("q"), Some("a b&"));
        assert!(params.get("sim_ids").is_some());
        assert_eq!(Params::read(None, b" \n"), Ok(Params::default()));
    }
}
