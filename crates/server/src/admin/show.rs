//! Answers as tables for people.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::cli::say;

/// How deep an object may lie in another one.
const DEPTH_MAX: usize = 4;

/// A list, with some of its items' fields as columns.
pub(super) fn list(list: &Value, columns: &[&str]) -> anyhow::Result<()> {
    let items = list.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return say("nothing");
    }
    say(&table(items, columns))?;
    match list.get("next_cursor").and_then(Value::as_str) {
        Some(cursor) => say(&format!("more: --limit NUMBER, or --cursor {cursor}")),
        None => Ok(()),
    }
}

pub(super) fn table(items: &[Value], columns: &[&str]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase().replace('_', " ")));
    for item in items {
        table.add_row(columns.iter().map(|column| text(item.get(column).unwrap_or(&Value::Null))));
    }
    trimmed(&table)
}

/// Without the spaces that a table leaves at its lines' ends.
fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// One object, field by field.
pub(super) fn record(record: &Value) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    match record {
        Value::Object(members) => fields(members, 0, &mut lines),
        Value::Null => return Ok(()),
        other => lines.push(text(other)),
    }
    say(&lines.join("\n"))
}

fn fields(members: &Map<String, Value>, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let width = members.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in members {
        match value {
            Value::Object(inner) if depth < DEPTH_MAX && !is_texts(inner) => {
                lines.push(format!("{indent}{name}:"));
                fields(inner, depth + 1, lines);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                lines.push(format!("{indent}{name}:"));
                let columns = items.iter().filter_map(Value::as_object).flat_map(Map::keys);
                let mut names: Vec<&str> = Vec::new();
                for column in columns {
                    if !names.contains(&column.as_str()) {
                        names.push(column);
                    }
                }
                lines.extend(table(items, &names).lines().map(|line| format!("{indent}  {line}")));
            }
            value => {
                lines.push(format!("{indent}{name:width$}  {}", text(value)).trim_end().to_owned());
            }
        }
    }
}

/// Whether an object is a text in several languages.
fn is_texts(members: &Map<String, Value>) -> bool {
    !members.is_empty() && members.iter().all(|(name, text)| name.len() == 2 && text.is_string())
}

/// A value in one cell. What a terminal would act on is left out.
pub(super) fn text(value: &Value) -> String {
    let plain = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Object(members) if is_texts(members) => {
            let english = members.get("en").or_else(|| members.values().next());
            english.map(text).unwrap_or_default()
        }
        other => other.to_string(),
    };
    plain.chars().filter(|character| !wire::form::is_unprintable(*character)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_whatever_they_hold() {
        let items = [
            json!({"code": "A", "name": {"en": "Europe", "zh": "欧洲"}, "on_sale": true}),
            json!({"code": "LONG-CODE", "name": "欧洲", "on_sale": false, "more": 1}),
        ];
        let expected = "CODE       NAME    ON SALE\nA          Europe  yes\nLONG-CODE  欧洲    no";
        assert_eq!(table(&items, &["code", "name", "on_sale"]), expected);
    }

    #[test]
    fn objects_are_shown_whole() {
        let order = json!({
            "order": {"order_id": "ord_1", "state": "PAID\u{1b}[31m"},
            "postings": [{"kind": "sale", "amount": "1.00"}],
            "jobs": [],
        });
        let mut lines = Vec::new();
        fields(order.as_object().unwrap(), 0, &mut lines);
        let text = lines.join("\n");
        assert!(text.contains("order:\n  order_id  ord_1\n  state     PAID[31m"), "{text}");
        assert!(text.contains("postings:\n  AMOUNT  KIND\n  1.00    sale"), "{text}");
    }
}
