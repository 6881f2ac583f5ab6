//! The admin API in the document, made from the table of routes and those of the records.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wire::admin::route::Method;
use wire::admin::{Answer, Body, Field, Kind, ROUTES, Record, Route};

use super::refer;

/// The tag of all its operations.
pub const TAG: &str = "Admin";

/// The statuses of failures and what they mean to a caller.
const FAILURES: [(u16, &str); 10] = [
    (400, "Something in the request is wrong; `errors` names every field"),
    (401, "The header `Authorization` has no token that is taken"),
    (403, "The token's role is too low"),
    (404, "There is no such object, in this mode or at this partner"),
    (409, "What is asked for does not go with what there is; `code` and `detail` say why"),
    (413, "The body is too large"),
    (415, "The body is of another media type"),
    (429, "Too many requests; try again after `Retry-After` seconds"),
    (500, "The server made a mistake"),
    (503, "The server cannot answer now; try again after `Retry-After` seconds"),
];

/// The tag with what is said of it.
pub fn tag() -> Value {
    let about = "For operators, on an address of its own. A token goes into the header \
                 `Authorization: Bearer …`; its role must be the one that an operation needs, or a \
                 higher one: `viewer`, `operator`, `owner`. `mode` is `live` or `test`.";
    json!({"name": TAG, "description": about})
}

/// How an operator proves who it is.
pub fn security_schemes() -> Value {
    let about = "An operator's token: `simmall token add`, or `POST /admin/v1/tokens`";
    json!({"AdminToken": {"type": "http", "scheme": "bearer", "description": about}})
}

/// Every path with its operations.
pub fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for route in ROUTES {
        let about = "The admin API's own address (`--admin-listen`)";
        let address = json!({"default": "http://127.0.0.1:8081", "description": about});
        let server = json!([{"url": "{address}", "variables": {"address": address}}]);
        let path = paths.entry(route.full_path()).or_insert_with(|| json!({"servers": server}));
        path[method(route.method)] = operation(route);
    }
    paths
}

fn method(method: Method) -> String {
    method.as_str().to_ascii_lowercase()
}

fn operation(route: &Route) -> Value {
    let mut responses = Map::new();
    let (status, success) = success(route);
    responses.insert(status.to_owned(), success);
    for (status, _) in FAILURES.iter().filter(|(status, _)| may_fail(route, *status)) {
        let failure = refer("responses", &format!("AdminFailure{status}"));
        responses.insert(status.to_string(), failure);
    }
    let parameters: Vec<Value> = names(route.path)
        .map(|name| {
            let modes = ["live", "test"];
            let schema = if name == "mode" {
                json!({"type": "string", "enum": modes})
            } else {
                json!({"type": "string", "minLength": 1})
            };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .chain(route.query.iter().map(|field| {
            json!({
                "name": field.name,
                "in": "query",
                "required": field.required,
                "description": field.doc,
                "schema": schema(&field.kind),
            })
        }))
        .collect();
    let mut operation = json!({
        "operationId": format!("admin{:?}", route.op),
        "tags": [TAG],
        "summary": route.summary,
        "description": format!("Needs the role `{}`.", route.role.as_str()),
        "security": [{"AdminToken": []}],
        "parameters": parameters,
        "responses": responses,
    });
    let body = match route.body {
        Body::None => return operation,
        Body::Json(record) => (true, "application/json", reference(record)),
        Body::MaybeJson(record) => (false, "application/json", reference(record)),
        Body::Raw(kind, _) => (true, kind, json!({"type": "string", "format": "binary"})),
    };
    let (required, kind, schema) = body;
    operation["requestBody"] = json!({"required": required, "content": {kind: {"schema": schema}}});
    operation
}

/// The names in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn may_fail(route: &Route, status: u16) -> bool {
    match status {
        404 => route.path.contains('{'),
        409 => route.method != Method::Get,
        413 | 415 => !matches!(route.body, Body::None),
        _ => true,
    }
}

fn success(route: &Route) -> (&'static str, Value) {
    let headers = json!({"x-request-id": refer("headers", "RequestId")});
    let (status, kind, schema) = match route.answer {
        Answer::One(record) => ("200", "application/json", reference(record)),
        Answer::Created(record) => ("201", "application/json", reference(record)),
        Answer::List(record) => ("200", "application/json", page(record)),
        Answer::Raw(kind) => ("200", kind, json!({"type": "string", "format": "binary"})),
        Answer::Nothing => return ("204", json!({"description": "Done", "headers": headers})),
    };
    let content = json!({kind: {"schema": schema}});
    (status, json!({"description": "Done", "headers": headers, "content": content}))
}

fn page(record: &Record) -> Value {
    json!({
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": reference(record)},
            "next_cursor": {
                "type": ["string", "null"],
                "description": "The `cursor` of the next page; null after the last",
            },
        },
        "required": ["items", "next_cursor"],
        "additionalProperties": false,
    })
}

fn reference(record: &Record) -> Value {
    refer("schemas", &format!("Admin{}", record.name))
}

/// The schemas of all records that a route takes or answers, and of those in them.
pub fn schemas() -> Map<String, Value> {
    let mut records = BTreeMap::new();
    for route in ROUTES {
        if let Body::Json(record) | Body::MaybeJson(record) = route.body {
            gather(record, &mut records);
        }
        if let Answer::One(record) | Answer::Created(record) | Answer::List(record) = route.answer {
            gather(record, &mut records);
        }
    }
    let mut schemas: Map<String, Value> = records
        .into_values()
        .map(|record| (format!("Admin{}", record.name), object(record)))
        .collect();
    schemas.insert("AdminProblem".into(), problem());
    schemas
}

fn gather(record: &'static Record, into: &mut BTreeMap<&'static str, &'static Record>) {
    if into.insert(record.name, record).is_none() {
        record.fields.iter().for_each(|field| gather_kind(&field.kind, into));
    }
}

fn gather_kind(kind: &'static Kind, into: &mut BTreeMap<&'static str, &'static Record>) {
    match kind {
        Kind::Record(record) => gather(record, into),
        Kind::List(inner, _) => gather_kind(inner, into),
        _ => {}
    }
}

fn object(record: &Record) -> Value {
    let described = |field: &Field| {
        let mut schema = schema(&field.kind);
        schema["description"] = json!(field.doc.trim());
        (field.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = record.fields.iter().map(described).collect();
    let required = record.fields.iter().filter(|field| field.required);
    json!({
        "type": "object",
        "description": record.doc.trim(),
        "properties": properties,
        "required": required.map(|field| field.name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

fn schema(kind: &Kind) -> Value {
    let pattern = |pattern: String| json!({"type": "string", "pattern": pattern});
    match kind {
        Kind::Text { min, max } => json!({"type": "string", "minLength": min, "maxLength": max}),
        Kind::Code => pattern("^[A-Za-z0-9._-]{1,64}$".to_owned()),
        Kind::Id(prefix) => pattern(format!("^{prefix}_[0-9a-f]{{32}}$")),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Currency => pattern("^[A-Z]{3}$".to_owned()),
        Kind::Amount => pattern(r"^-?[0-9]+(?:\.[0-9]+)?$".to_owned()),
        Kind::Iccid => pattern("^[0-9]{18,22}$".to_owned()),
        Kind::Zone | Kind::Cidr => json!({"type": "string"}),
        Kind::Texts => {
            let text = json!({"type": "string", "maxLength": 500});
            json!({
                "type": "object",
                "properties": {"en": text, "zh": text},
                "additionalProperties": false,
            })
        }
        Kind::Hex(digits) => pattern(format!("^[0-9a-f]{{{digits}}}$")),
        Kind::List(inner, max) => {
            json!({"type": "array", "items": schema(inner), "maxItems": max})
        }
        Kind::Record(record) => reference(record),
        Kind::Any => json!({}),
    }
}

/// Failures look like this (RFC 9457).
fn problem() -> Value {
    let error = json!({
        "type": "object",
        "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
        "required": ["field", "detail"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "pattern": "^[A-Z_]+$", "description": "For programs"},
            "detail": {"type": "string", "description": "For people"},
            "errors": {"type": "array", "items": error, "description": "Every field that is wrong"},
        },
        "required": ["type", "title", "status", "code", "detail"],
        "additionalProperties": false,
    })
}

/// One failure per status.
pub fn responses() -> Map<String, Value> {
    let response = |(status, about): (u16, &str)| {
        let mut headers = json!({"x-request-id": refer("headers", "RequestId")});
        if [429, 503].contains(&status) {
            headers["Retry-After"] = refer("headers", "RetryAfter");
        }
        let schema = refer("schemas", "AdminProblem");
        let content = json!({"application/problem+json": {"schema": schema}});
        let failure = json!({"description": about, "headers": headers, "content": content});
        (format!("AdminFailure{status}"), failure)
    };
    FAILURES.into_iter().map(response).collect()
}
