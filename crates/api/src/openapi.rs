//! The `OpenAPI` document, made from the table of calls: what a partner reads, what clients are
//! generated from, and what the tests hold the server's answers against.
//!
//! Paths, fields and their meaning come from `wire::call::CALLS` alone; the answers' schemas and the
//! examples stand beside it in the modules below.

mod admin;
mod answers;
mod endpoints;
mod examples;
mod fields;
mod groups;

use domain::Mode;
use serde_json::{Map, Value, json};
use wire::call::{CALLS, Service, Shape};
use wire::form::Field;
use wire::{Call, Code};

use examples::Example;
use fields::Place;

/// What the document says before the calls.
const ABOUT: &str = include_str!("openapi/about.md");

/// The statuses of failures and what they mean to a caller.
const FAILURES: [(u16, &str); 9] = [
    (400, "The call is refused; `data.code` says why"),
    (404, "Nothing is at this path; without a prefix also where the root is switched off"),
    (405, "The path does not take this method; the `Allow` header names those that it takes"),
    (408, "The body did not come in time"),
    (413, "The request is too large"),
    (415, "The body is not declared as JSON"),
    (429, "Too many requests; try again after `Retry-After` seconds"),
    (500, "The server made a mistake; the call may be repeated"),
    (503, "The server cannot answer now; try again after `Retry-After` seconds"),
];

/// The `OpenAPI` 3.1 document. It is the same each time.
pub fn document() -> Value {
    let tags = Service::ALL.into_iter().map(tag).chain([admin::tag()]);
    let tags: Vec<Value> = tags.collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mall API v3",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/", "description": "This mall"}],
        "tags": tags,
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "parameters": parameters(),
            "requestBodies": request_bodies(),
            "responses": responses(),
            "securitySchemes": admin::security_schemes(),
            "headers": {
                "RequestId": {
                    "description": "The request's number in the log of the mall (chosen)",
                    "required": true,
                    "schema": {"type": "string", "minLength": 1},
                },
                "RetryAfter": {
                    "description": "Seconds to wait",
                    "required": true,
                    "schema": {"type": "string", "pattern": "^[0-9]+$"},
                },
            },
        },
    })
}

fn tag(service: Service) -> Value {
    let (name, about) = tag_words(service);
    json!({"name": name, "description": about})
}

fn tag_words(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::Vshop => ("Vshop", "The mall: cards, plans, orders, auto-renewals"),
        Service::Payment => ("Payment", "The cashier: results of payments"),
        Service::Topup => (
            "Topup",
            "Orders, SIMs and groups, for those who manage many, and where pushes go; `snake_case`",
        ),
    }
}

/// Under which prefixes a call stands: the word in its operation's id, the prefix, what is said of it.
fn places(service: Service) -> [(&'static str, &'static str, &'static str); 3] {
    [
        ("live", service.prefix(Mode::Live), "live mode"),
        ("test", service.prefix(Mode::Test), "test mode"),
        ("root", "", "mode by setting"),
    ]
}

fn paths() -> Value {
    let mut paths = Map::new();
    for call in &CALLS {
        for (word, prefix, mode) in places(call.service) {
            let method = call.method.as_str().to_ascii_lowercase();
            let path = paths.entry(format!("{prefix}{}", call.path)).or_insert_with(|| json!({}));
            path[method] = operation(call, word, mode);
        }
    }
    paths.append(&mut admin::paths());
    Value::Object(paths)
}

/// What differs between a call's places; all that does not is in the components.
fn operation(call: &Call, word: &str, mode: &str) -> Value {
    let mut about = call.doc.to_owned();
    if word == "root" {
        about.push_str(
            "\n\nThe published examples call this path without a prefix. A setting of the mall says \
             which mode that means: none (the path answers 404), test or live.",
        );
    }
    let mut responses = Map::new();
    responses.insert("200".into(), refer("responses", &name(call, "Done")));
    for (status, _) in FAILURES {
        let failure = refer("responses", &format!("Failure{status}"));
        responses.insert(status.to_string(), failure);
    }
    let mut parameters = vec![refer("parameters", "AcceptLanguage")];
    let mut operation = json!({
        "operationId": format!("{}_{word}", call.name),
        "tags": [tag_words(call.service).0],
        "summary": format!("{} ({mode})", call.summary),
        "description": about,
        "responses": responses,
    });
    let fields = call.all_fields().filter(|field| !in_body(call, field));
    parameters.extend(fields.map(|field| refer("parameters", &name(call, field.name))));
    if call.method.has_body() {
        operation["requestBody"] = refer("requestBodies", &name(call, "Request"));
    }
    if wire::groups::begins_operation(call) {
        parameters.push(refer("parameters", "IdempotencyKey"));
    }
    operation["parameters"] = json!(parameters);
    operation
}

/// Whether a field stands in the body.
fn in_body(call: &Call, field: &Field) -> bool {
    call.method.has_body() && !call.in_path(field.name)
}

fn parameters() -> Map<String, Value> {
    let mut parameters = Map::new();
    parameters.insert(
        "AcceptLanguage".into(),
        json!({
            "name": "Accept-Language",
            "in": "header",
            "description":
                "The language of messages, `en-US` or `zh-CN`, where no parameter says it (published)",
            "schema": {"type": "string"},
        }),
    );
    parameters.insert("IdempotencyKey".into(), groups::idempotency_key());
    for call in &CALLS {
        let requests = examples::requests(call);
        for field in call.all_fields().filter(|field| !in_body(call, field)) {
            let place = if call.in_path(field.name) { "path" } else { "query" };
            let mut schema = fields::schema(field, Place::Query);
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
            }
            let mut parameter = json!({
                "name": field.name,
                "in": place,
                "required": field.required,
                "description": field.doc,
                "schema": schema,
            });
            let shown = requests.first().map(|example| &example.value[field.name]);
            if let Some(shown) = shown.filter(|value| value.is_string()) {
                parameter["example"] = shown.clone();
            }
            parameters.insert(name(call, field.name), parameter);
        }
    }
    parameters
}

fn request_bodies() -> Map<String, Value> {
    let sent = |call: &Call| {
        let mut examples = examples::requests(call);
        for members in examples.iter_mut().filter_map(|example| example.value.as_object_mut()) {
            members.retain(|name, _| !call.in_path(name));
        }
        examples
    };
    let body = |call: &Call| {
        json!({
            "required": true,
            "description": "All parameters in one JSON object; unknown ones are signed and ignored.",
            "content": {"application/json": {
                "schema": refer("schemas", &name(call, "Request")),
                "examples": shown(sent(call), |value| value),
            }},
        })
    };
    let calls = CALLS.iter().filter(|call| call.method.has_body());
    calls.map(|call| (name(call, "Request"), body(call))).collect()
}

/// The answer of a call that succeeded, in its shape.
fn success(call: &Call) -> Value {
    let answer = refer("schemas", &name(call, "Answer"));
    let wrapped = answers::envelope(&answer);
    let (about, schema) = match call.shape {
        Shape::Envelope => ("Done", wrapped),
        Shape::Bare => (
            "Done. The answer stands bare, as published, unless the partner's `response_style` is \
             `envelope`",
            json!({"anyOf": [answer, wrapped]}),
        ),
    };
    let wrap = |data: Value| match call.shape {
        Shape::Envelope => json!({"operateCode": "S", "message": "success", "data": data}),
        Shape::Bare => data,
    };
    let mut content = json!({"application/json": {
        "schema": schema,
        "examples": shown(examples::answers(call), wrap),
    }});
    if let Some(file) = groups::file(call) {
        content["text/csv"] = file;
    }
    json!({
        "description": about,
        "headers": {"x-request-id": refer("headers", "RequestId")},
        "content": content,
    })
}

fn shown(examples: Vec<Example>, wrap: impl Fn(Value) -> Value) -> Map<String, Value> {
    let entry = |example: Example| {
        let value = json!({"summary": example.summary, "value": wrap(example.value)});
        (example.name.to_owned(), value)
    };
    examples.into_iter().map(entry).collect()
}

fn schemas() -> Map<String, Value> {
    let mut schemas = fields::shared();
    for call in &CALLS {
        if call.method.has_body() {
            schemas.insert(name(call, "Request"), fields::body(call));
        }
        if let Some(answer) = answers::data(call) {
            schemas.insert(name(call, "Answer"), answer);
        }
    }
    schemas.append(&mut admin::schemas());
    schemas
}

/// The answers: one success per call, one failure per status.
fn responses() -> Map<String, Value> {
    let successes = CALLS.iter().map(|call| (name(call, "Done"), success(call)));
    let mut responses: Map<String, Value> = successes.collect();
    for (status, about) in FAILURES {
        let codes: Vec<Code> =
            Code::ALL.into_iter().filter(|code| code.status() == status).collect();
        let mut about = about.to_owned();
        if status == 400 {
            about.push_str(". As published, without the code: `");
            about.push_str(examples::PUBLISHED_FAILURE);
            about.push('`');
        }
        let mut headers = json!({"x-request-id": refer("headers", "RequestId")});
        if [429, 503].contains(&status) {
            headers["Retry-After"] = refer("headers", "RetryAfter");
        }
        responses.insert(
            format!("Failure{status}"),
            json!({
                "description": about,
                "headers": headers,
                "content": {"application/json": {"schema": answers::failure(&codes)}},
            }),
        );
    }
    responses.append(&mut admin::responses());
    responses
}

fn refer(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// `singleVerify` and `Request` make `SingleVerifyRequest`, with a field's name `SingleVerify_url`.
fn name(call: &Call, what: &str) -> String {
    let (first, rest) = call.name.split_at(1);
    let between = if what.starts_with(|first: char| first.is_uppercase()) { "" } else { "_" };
    format!("{}{rest}{between}{what}", first.to_uppercase())
}

#[cfg(test)]
mod tests;
