//! A client of the admin API, for operators' programs.
//!
//! It knows no more of the API than how to call it; what is asked and answered are the structs of
//! `wire::admin`, or plain JSON.

mod upload;

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use reqwest::Method;
pub use upload::{Examined, examine};
pub use wire::admin::{Problem, import};

use crate::client::provide_tls;

/// How long a call may take in all.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused it.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// It did not get through, or the reply was lost.
    #[error("the call did not get through: {0}")]
    Transport(#[from] reqwest::Error),
    /// The answer is not what the API promises.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// A file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// The server's address is not one.
    #[error("not the address of a server: {0}")]
    Address(String),
    /// The token cannot be sent.
    #[error("the token has characters that no token has")]
    Token,
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The body.
    pub text: String,
    /// Where the next page of an export begins.
    pub next_cursor: Option<String>,
}

/// A parameter of a query.
pub type Query<'a> = (&'a str, &'a str);

/// An operator's client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: HeaderValue,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.base)
    }
}

impl Client {
    /// A client of the admin API at `base` (`http://127.0.0.1:8081`).
    pub fn new(base: &str, token: &str) -> Result<Self, Error> {
        provide_tls();
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let wrong = || Error::Address(base.to_owned());
        let base: Url = base.parse().map_err(|_| wrong())?;
        if base.cannot_be_a_base() || !["http", "https"].contains(&base.scheme()) {
            return Err(wrong());
        }
        let mut token =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::Token)?;
        token.set_sensitive(true);
        Ok(Self { http, base, token })
    }

    /// Calls the API: the segments of the path below its prefix, the query, and a body with its media type.
    pub async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[Query<'_>],
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Answer, Error> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let prefix = wire::admin::PREFIX.split('/').filter(|segment| !segment.is_empty());
            segments.pop_if_empty().extend(prefix).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).header(AUTHORIZATION, self.token.clone());
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let cursor = response.headers().get(import::NEXT_CURSOR_HEADER);
        let next_cursor = cursor.and_then(|cursor| cursor.to_str().ok()).map(str::to_owned);
        let text = response.text().await?;
        if status.is_success() {
            return Ok(Answer { text, next_cursor });
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(Error::Refused(Box::new(problem))),
            Err(_) => Err(unreadable(&format!("status {status}"), &text)),
        }
    }

    /// Calls the API with JSON, and reads its answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[Query<'_>],
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let body = match body {
            None => None,
            Some(body) => {
                let json = serde_json::to_vec(body);
                let json = json.map_err(|error| Error::Unreadable(error.to_string()))?;
                Some(("application/json", json))
            }
        };
        let answer = self.send(method, path, query, body).await?;
        let text = if answer.text.is_empty() { "null" } else { &answer.text };
        serde_json::from_str(text).map_err(|error| unreadable(&error.to_string(), text))
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[Query<'_>],
    ) -> Result<T, Error> {
        self.call(Method::GET, path, query, None::<&()>).await
    }
}

fn unreadable(why: &str, text: &str) -> Error {
    let start: String = text.chars().take(200).collect();
    Error::Unreadable(format!("{why}: {start}"))
}
