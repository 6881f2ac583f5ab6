//! Stripe's search: clauses such as `metadata['order']:'o1'`, all or any of which must hold. Touches the state only.

use serde_json::{Value, json};

use crate::call::{Answered, Call};
use crate::error::ApiError;
use crate::state::shown;

pub(crate) const PARAMS: &[&str] = &["query", "page"];

struct Clause {
    path: Vec<String>,
    value: String,
    is_negated: bool,
}

fn unquoted(text: &str) -> String {
    text.trim_matches(['\'', '"']).replace("\\'", "'").replace("\\\"", "\"")
}

fn clause(text: &str) -> Option<Clause> {
    let is_negated = text.starts_with('-');
    let (field, value) = text.trim_start_matches('-').split_once(':')?;
    let mut path = Vec::new();
    match field.split_once('[') {
        Some((name, key)) => path.extend([name.to_owned(), unquoted(key.strip_suffix(']')?)]),
        None => path.push(field.to_owned()),
    }
    Some(Clause { path, value: unquoted(value.trim()), is_negated })
}

fn fits(clause: &Clause, object: &Value) -> bool {
    let found = clause.path.iter().fold(object, |value, part| &value[part.as_str()]);
    let is_equal = match found {
        Value::String(text) => text.eq_ignore_ascii_case(&clause.value),
        Value::Number(number) => number.to_string() == clause.value,
        _ => clause.value == "null" && found.is_null(),
    };
    is_equal != clause.is_negated
}

pub(crate) fn answer(call: &mut Call<'_>, kind: &str) -> Answered {
    let query = call.params.required("query")?;
    let (word, is_any) = if query.contains(" OR ") { (" OR ", true) } else { (" AND ", false) };
    let clauses: Option<Vec<Clause>> = query.split(word).map(|text| clause(text.trim())).collect();
    let error =
        || ApiError::param("query", format!("We were unable to parse your search query: {query}"));
    let clauses = clauses.ok_or_else(error)?;
    let wanted = |object: &&Value| {
        let mut clauses = clauses.iter();
        if is_any { clauses.any(|it| fits(it, object)) } else { clauses.all(|it| fits(it, object)) }
    };
    let limit = call.limit()?;
    let from = call.params.integer("page")?.unwrap_or_default();
    let from = usize::try_from(from).unwrap_or_default();
    let found: Vec<Value> = call.state.newest(kind).filter(wanted).map(shown).collect();
    let next = from.saturating_add(limit);
    let has_more = found.len() > next;
    let data: Vec<Value> = found.into_iter().skip(from).take(limit).collect();
    let next_page = has_more.then(|| next.to_string());
    Ok(json!({"object": "search_result", "url": call.path, "has_more": has_more,
        "next_page": next_page, "data": data}))
}
