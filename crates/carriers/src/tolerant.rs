//! Reading answers whose numbers may be texts, whose names vary and whose times have several forms, as the
//! carriers' pages show them. Pure.

use domain::{Timestamp, Zone};
use serde_json::Value;

use crate::Allowance;

/// Numbers from here on are milliseconds, below they are seconds: the year 5138 and 1973.
const MILLIS_FROM: i64 = 100_000_000_000;

/// The first member of these names that is there and neither null nor an empty text.
pub(crate) fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let filled = |found: &&Value| !found.is_null() && found.as_str() != Some("");
    names.iter().filter_map(|name| value.get(name)).find(filled)
}

/// A text, or a number as text.
pub(crate) fn text(value: &Value, names: &[&str]) -> Option<String> {
    match member(value, names)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, or a text of one.
pub(crate) fn number(value: &Value, names: &[&str]) -> Option<i64> {
    match member(value, names)? {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

/// A whole number that is not negative.
pub(crate) fn count(value: &Value, names: &[&str]) -> Option<u64> {
    number(value, names).and_then(|number| u64::try_from(number).ok())
}

/// Bytes; -1 is no limit.
pub(crate) fn allowance(value: &Value, names: &[&str]) -> Allowance {
    match number(value, names) {
        Some(-1) => Allowance::Unlimited,
        Some(number) => u64::try_from(number).map_or(Allowance::Unknown, Allowance::Bytes),
        None => Allowance::Unknown,
    }
}

/// The entries of a list; none if it is not there.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A time: epoch milliseconds or seconds as number or text, or a date and time. Without an offset it is UTC.
pub(crate) fn time(value: &Value, names: &[&str]) -> Option<Timestamp> {
    match member(value, names)? {
        Value::Number(number) => epoch(number.as_i64()?),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => epoch(number),
            Err(_) => date_time(text.trim()),
        },
        _ => None,
    }
}

fn epoch(number: i64) -> Option<Timestamp> {
    let millis = if number < MILLIS_FROM { number.checked_mul(1_000)? } else { number };
    (millis > 0).then(|| Timestamp::from_millis(millis)).flatten()
}

fn date_time(text: &str) -> Option<Timestamp> {
    let (start, rest) = (text.get(..19)?, text.get(19..)?);
    let decimals = rest
        .strip_prefix('.')
        .map_or(rest, |rest| rest.trim_start_matches(|char: char| char.is_ascii_digit()));
    if matches!(decimals, "" | "Z" | "z" | "+0000" | "+00:00") {
        return Zone::UTC.parse_date_time(&start.replace('T', " ")).ok();
    }
    Timestamp::parse_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn times_come_in_many_forms() {
        let expected = Timestamp::from_millis(1_698_802_504_000);
        for form in [
            json!(1_698_802_504_000_i64),
            json!("1698802504000"),
            json!(1_698_802_504),
            json!("2023-11-01T01:35:04"),
            json!("2023-11-01 01:35:04"),
            json!("2023-11-01T01:35:04Z"),
            json!("2023-11-01T01:35:04.123456789Z"),
            json!("2023-11-01T01:35:04+0000"),
            json!("2023-11-01T09:35:04+08:00"),
        ] {
            let value = json!({ "created_at": form });
            assert_eq!(time(&value, &["created_at"]), expected, "{form}");
        }
        for bad in [json!(null), json!(""), json!(0), json!("soon"), json!({}), json!("2023-11-01")]
        {
            assert_eq!(time(&json!({ "at": bad }), &["at"]), None, "{bad}");
        }
    }

    #[test]
    fn names_vary() {
        let names = ["updated_at", "update_at"];
        let (one, other) =
            (json!({"updated_at": 1_698_802_504}), json!({"update_at": "1698802504"}));
        assert!(time(&one, &names).is_some());
        assert_eq!(time(&one, &names), time(&other, &names));
        assert_eq!(
            text(&json!({"updated_at": null, "update_at": 5}), &names),
            Some("5".to_owned())
        );
    }

    #[test]
    fn numbers_may_be_texts() {
        let value = json!({"a": "2222", "b": 2222, "c": -1, "d": "x", "e": 1.5, "f": "-1"});
        assert_eq!((count(&value, &["a"]), count(&value, &["b"])), (Some(2222), Some(2222)));
        assert_eq!(count(&value, &["c"]), None);
        assert_eq!((number(&value, &["d"]), number(&value, &["e"])), (None, None));
        assert_eq!(allowance(&value, &["a"]), Allowance::Bytes(2222));
        assert_eq!(allowance(&value, &["c"]), Allowance::Unlimited);
        assert_eq!(allowance(&value, &["f"]), Allowance::Unlimited);
        assert_eq!(allowance(&value, &["g"]), Allowance::Unknown);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let value = json!({ "at": text });
            let _ = (time(&value, &["at"]), number(&value, &["at"]), allowance(&value, &["at"]));
        }
    }
}
