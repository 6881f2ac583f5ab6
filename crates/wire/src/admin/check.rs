//! Whether a request is what its table says. Every mistake is gathered, unknown names are named.

use domain::{Currency, Iccid, Timestamp, Zone};
use serde_json::Value;

use super::problem::FieldError;
use super::record::{Field, Kind, Record};

/// The most mistakes that are told at once.
const ERRORS_MAX: usize = 100;
/// The most languages of a text.
const LANGUAGES: [&str; 2] = ["en", "zh"];
/// The most characters of a text in one language.
const TEXTS_CHARS_MAX: usize = 500;
/// The most digits of an amount, on both sides of the point.
const AMOUNT_CHARS_MAX: usize = 24;

/// Everything in a body that is not as its record says.
pub fn check(record: &Record, body: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    object(record.fields, body, "", &mut errors);
    errors.truncate(ERRORS_MAX);
    errors
}

/// Everything in a query string that is not as its table says.
pub fn check_query(fields: &[Field], query: &[(String, String)]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (place, (name, text)) in query.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            errors.push(FieldError::new(name, unknown(fields)));
            continue;
        };
        if query[..place].iter().any(|(earlier, _)| earlier == name) {
            errors.push(FieldError::new(name, "given twice"));
        }
        let read = match field.kind {
            Kind::Bool => text.parse().map_or(Value::Null, Value::Bool),
            Kind::Whole { .. } => text.parse::<i64>().map_or(Value::Null, Value::from),
            _ => Value::from(text.as_str()),
        };
        value(&field.kind, &read, name, &mut errors);
    }
    for field in fields.iter().filter(|field| field.required) {
        if !query.iter().any(|(name, _)| name == field.name) {
            errors.push(FieldError::new(field.name, "missing"));
        }
    }
    errors.truncate(ERRORS_MAX);
    errors
}

fn object(fields: &[Field], body: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Value::Object(members) = body else {
        let what = if path.is_empty() { "the body" } else { path };
        errors.push(FieldError::new(what, "not a JSON object"));
        return;
    };
    let named = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    };
    for name in members.keys() {
        if !fields.iter().any(|field| field.name == name) {
            let name: String = named(name).chars().take(200).collect();
            errors.push(FieldError::new(name, unknown(fields)));
        }
    }
    for field in fields {
        match members.get(field.name) {
            None | Some(Value::Null) if field.required => {
                errors.push(FieldError::new(named(field.name), "missing"));
            }
            None | Some(Value::Null) => {}
            Some(member) => value(&field.kind, member, &named(field.name), errors),
        }
    }
}

fn unknown(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    match names.as_slice() {
        [] => "unknown; nothing is taken here".to_owned(),
        names => format!("unknown; what is taken: {}", names.join(", ")),
    }
}

fn value(kind: &Kind, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match kind {
        Kind::Record(record) => object(record.fields, value, path, errors),
        Kind::List(inner, max) => list(inner, *max, value, path, errors),
        Kind::Texts => texts(value, path, errors),
        Kind::Any => {}
        kind => {
            if let Some(why) = scalar(kind, value) {
                errors.push(FieldError::new(path, why));
            }
        }
    }
}

fn list(inner: &Kind, max: usize, all: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Value::Array(items) = all else {
        errors.push(FieldError::new(path, "not a list"));
        return;
    };
    if items.len() > max {
        errors.push(FieldError::new(path, format!("more than {max} items")));
        return;
    }
    for (place, item) in items.iter().enumerate() {
        value(inner, item, &format!("{path}[{place}]"), errors);
    }
}

fn texts(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let languages = LANGUAGES.join(", ");
    let Value::Object(members) = value else {
        errors.push(FieldError::new(
            path,
            format!("not an object of texts by language: {languages}"),
        ));
        return;
    };
    for (language, text) in members {
        let name = format!("{path}.{}", language.chars().take(20).collect::<String>());
        if !LANGUAGES.contains(&language.as_str()) {
            errors.push(FieldError::new(name, format!("unknown language; known: {languages}")));
        } else if let Some(why) = scalar(&Kind::Text { min: 0, max: TEXTS_CHARS_MAX }, text) {
            errors.push(FieldError::new(name, why));
        }
    }
}

/// What is wrong with a value that has no parts.
fn scalar(kind: &Kind, value: &Value) -> Option<String> {
    let wrong = |right: bool, what: String| if right { None } else { Some(what) };
    match (kind, value) {
        (Kind::Bool, value) => wrong(value.is_boolean(), "not true or false".to_owned()),
        (Kind::Whole { min, max }, value) => {
            let right = value.as_i64().is_some_and(|number| (*min..=*max).contains(&number));
            wrong(right, format!("not a whole number from {min} to {max}"))
        }
        (kind, Value::String(text)) => check_text(kind, text),
        _ => Some("not a text".to_owned()),
    }
}

/// What is wrong with a text that stands for a value without parts, such as a cell of a table.
pub fn check_text(kind: &Kind, text: &str) -> Option<String> {
    let chars = text.chars().count();
    let (right, what) = match kind {
        Kind::Text { min, max } => {
            let printable = !text.chars().any(char::is_control);
            let right = printable && (*min..=*max).contains(&chars);
            (right, format!("not a printable text of {min} to {max} characters"))
        }
        Kind::Code => (is_code(text), "not 1 to 64 letters, digits, '-', '_' or '.'".to_owned()),
        Kind::Id(prefix) => {
            let hex = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
            let right = hex.is_some_and(|hex| is_hex(hex, 32));
            (right, format!("not an id of the form {prefix}_<32 hexadecimal digits>"))
        }
        Kind::Word(words) => (words.contains(&text), format!("not one of: {}", words.join(", "))),
        Kind::Time => match Timestamp::parse_rfc3339(text) {
            Ok(_) => return None,
            Err(error) => (false, error.to_string()),
        },
        Kind::Currency => {
            let known = text.parse::<Currency>().is_ok_and(|currency| currency.code() == text);
            (known, "not an ISO 4217 code in upper case, such as EUR".to_owned())
        }
        Kind::Amount => {
            (is_amount(text), "not an amount in major units, such as \"12.36\"".to_owned())
        }
        Kind::Iccid => (text.parse::<Iccid>().is_ok(), "not 18 to 22 digits".to_owned()),
        Kind::Zone => {
            let known = text.parse::<Zone>().is_ok_and(|zone| zone.name() == text);
            (known, "not an IANA time zone, such as Europe/Berlin".to_owned())
        }
        Kind::Cidr => {
            (is_range(text), "not an address or a CIDR range, such as 192.0.2.0/24".to_owned())
        }
        Kind::Hex(digits) => (is_hex(text, *digits), format!("not {digits} hexadecimal digits")),
        _ => (false, "not of the right type".to_owned()),
    };
    if right { None } else { Some(what) }
}

fn is_code(text: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=super::CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(taken)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_amount(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= AMOUNT_CHARS_MAX && digits(whole) && digits(decimals)
}

fn is_range(text: &str) -> bool {
    use std::net::IpAddr;
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let plain = bits.bytes().all(|b| b.is_ascii_digit()) && bits.len() <= 3;
    plain && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}
