//! A call of the admin API: who calls, and what was asked, checked against its route.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::StatusCode};
use domain::Mode;
use domain::id::RequestId;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mall::admin::{Operator, Page};
use mall::{Error, Mall};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::admin::{BODY_BYTES_MAX, Body as Takes, FieldError, Problem, Route, check, check_query};

use super::failure::Failure;
use crate::ClientAddress;
use crate::time_limit::timed_out;

/// The scheme of the header `Authorization`.
const SCHEME: &str = "bearer ";

/// What a route's guard knows.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) mall: Arc<Mall>,
    pub(crate) route: &'static Route,
}

/// A call by an operator whose role suffices, with all that its route's table asks of it.
pub(crate) struct Call {
    pub(crate) mall: Arc<Mall>,
    /// Who calls.
    pub(crate) by: Operator,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Value,
    /// The body of a route that takes bytes.
    pub(crate) bytes: Bytes,
}

impl FromRequest<Gate> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, gate: &Gate) -> Result<Self, Response> {
        read(request, gate).await.map_err(IntoResponse::into_response)
    }
}

/// Token and role first: who may not call learns nothing about what was asked.
async fn read(request: Request, gate: &Gate) -> Result<Call, Failure> {
    let (mut parts, body) = request.into_parts();
    let route = gate.route;
    let number = parts.extensions.get::<RequestId>().copied();
    let address = ClientAddress::of(&parts.extensions);
    gate.mall.admit_token_of(address)?;
    let token = bearer(&parts.headers);
    let by = gate.mall.operator(token, number).await.inspect_err(|error| {
        let guessed = |problem: &Problem| problem.status == 401 && token.is_some();
        if matches!(error, Error::Denied(problem) if guessed(problem)) {
            gate.mall.blame_token_of(address);
        }
    })?;
    if by.role < route.role {
        let role = route.role.as_str();
        let detail = format!("this needs the role {role}; the token has {}", by.role.as_str());
        return Err(Problem::new(403, "ROLE_TOO_LOW", detail).into());
    }
    let path = path_of(&mut parts).await?;
    let query = parts.uri.query().unwrap_or_default();
    let query: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut errors = check_query(route.query, &query);
    let (mut json, mut bytes) = (Value::Null, Bytes::new());
    match route.body {
        Takes::None => {}
        Takes::Raw(kind, bytes_max) => bytes = raw(&parts.headers, body, kind, bytes_max).await?,
        Takes::Json(record) => {
            json = json_of(&parts.headers, body).await?.unwrap_or_default();
            errors.extend(check(record, &json));
        }
        Takes::MaybeJson(record) => {
            if let Some(value) = json_of(&parts.headers, body).await? {
                errors.extend(check(record, &value));
                json = value;
            } else {
                json = Value::Object(serde_json::Map::new());
            }
        }
    }
    if !errors.is_empty() {
        return Err(Failure::invalid(errors));
    }
    Ok(Call { mall: Arc::clone(&gate.mall), by, path, query, body: json, bytes })
}

/// The parameters in the path. One that is not UTF-8 names nothing that there is.
async fn path_of(parts: &mut Parts) -> Result<Vec<(String, String)>, Failure> {
    use axum::extract::FromRequestParts;
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| Problem::not_found("object"))?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The token in the header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let scheme = value.get(..SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| value[SCHEME.len()..].trim())
}

/// A body as bytes of a media type.
async fn raw(
    headers: &HeaderMap,
    body: Body,
    kind: &str,
    bytes_max: usize,
) -> Result<Bytes, Failure> {
    let said = media_type(headers);
    if !said.is_empty() && said != kind {
        let detail = format!("the body must be {kind}, not {said}");
        return Err(Problem::new(415, "UNSUPPORTED_MEDIA_TYPE", detail).into());
    }
    read_body(body, bytes_max).await
}

/// A JSON body; `None` where there is none.
async fn json_of(headers: &HeaderMap, body: Body) -> Result<Option<Value>, Failure> {
    let body = read_body(body, BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(None);
    }
    let said = media_type(headers);
    if !said.is_empty() && said != "application/json" {
        let detail = format!("the body must be application/json, not {said}");
        return Err(Problem::new(415, "UNSUPPORTED_MEDIA_TYPE", detail).into());
    }
    let value = serde_json::from_slice(&body);
    Ok(Some(value.map_err(|error| Problem::new(400, "INVALID_JSON", error.to_string()))?))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail = format!("the body has more than {bytes_max} bytes");
        Failure::from(Problem::new(413, "PAYLOAD_TOO_LARGE", detail))
    };
    let length = body.size_hint().lower();
    if usize::try_from(length).map_or(true, |length| length > bytes_max) {
        return Err(too_large());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) if timed_out(&*error) => {
            Err(Problem::new(408, "REQUEST_TIMEOUT", "the body did not come in time").into())
        }
        Err(_) => Err(Problem::new(400, "UNREADABLE", "the body did not arrive whole").into()),
    }
}

impl Call {
    /// A parameter of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value)
    }

    /// The mode in the path.
    pub(crate) fn mode(&self) -> Result<Mode, Failure> {
        let mode = self.path("mode").parse();
        mode.map_err(|_| Problem::new(404, "NOT_FOUND", "a mode is `live` or `test`").into())
    }

    /// The mode and the partner's code in the path.
    pub(crate) fn partner(&self) -> Result<(Mode, &str), Failure> {
        Ok((self.mode()?, self.path("code")))
    }

    /// The mode, the partner's code and the name of something of that partner's in the path.
    pub(crate) fn of_partner(&self, name: &str) -> Result<(Mode, &str, &str), Failure> {
        Ok((self.mode()?, self.path("code"), self.path(name)))
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, as a text of its own.
    pub(crate) fn filter(&self, name: &str) -> Option<String> {
        self.query(name).map(str::to_owned)
    }

    /// Which page of a list is asked for.
    pub(crate) fn page(&self) -> Result<Page, Failure> {
        let limit = self.query("limit").and_then(|limit| limit.parse().ok());
        Ok(Page::new(limit, self.query("cursor"))?)
    }

    /// The body as its record, which it was checked against.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.body)
            .map_err(|error| Failure::invalid(vec![FieldError::new("the body", error.to_string())]))
    }
}

/// Status 200 with an object or a page.
pub(crate) fn done<T: Serialize>(answer: mall::Result<T>) -> super::Outcome {
    Ok(Json(answer?).into_response())
}

/// Status 201 with an object.
pub(crate) fn created<T: Serialize>(answer: mall::Result<T>) -> super::Outcome {
    Ok((StatusCode::CREATED, Json(answer?)).into_response())
}
