//! One HTTP call to Stripe: in bounded time, with a bounded answer, and never repeated. May touch the network.

use domain::{Mode, Span};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, redirect};
use serde::de::DeserializeOwned;

use super::error::Refusal;
use super::form::Form;
use super::secret::words;
use super::{API_VERSION, CallError, IdempotencyKey, Secret, Settings, SetupError};

/// How long to wait for a connection.
const CONNECT_MAX: Span = Span::seconds(5);
/// For how long an idle connection is kept: less than the other side keeps it, so that no call is lost on a
/// connection that is just being closed.
const IDLE_MAX: Span = Span::seconds(8);
/// The longest answer that is read: a page of a hundred expanded objects.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// When to try again where there was no connection.
const UNREACHABLE_RETRY: Span = Span::seconds(30);
/// The longest that Stripe may ask us to wait.
const RETRY_AFTER_SECONDS_MAX: i64 = 3_600;

/// Stripe's HTTP side.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    secret: Secret,
}

/// An answer, whatever its status.
struct Answer {
    status: u16,
    retry_after: Option<Span>,
    request_id: Option<String>,
    body: Vec<u8>,
}

impl Http {
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        // An error means that the program chose a provider of its own already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base(settings)?;
        let client = reqwest::Client::builder()
            .timeout(settings.timeout.to_std())
            .connect_timeout(CONNECT_MAX.to_std())
            .pool_idle_timeout(IDLE_MAX.to_std())
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .default_headers(HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static("stripe-version"),
                HeaderValue::from_static(API_VERSION),
            )]))
            .user_agent(concat!("simmall/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base, secret: settings.secret_key.clone() })
    }

    /// Asks for an object.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, form: Form) -> Result<T, CallError> {
        let query = form.encoded();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}/v1/{path}{mark}{query}", self.base);
        self.call(self.client.request(Method::GET, url)).await
    }

    /// Makes or changes an object.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: Form,
        key: &IdempotencyKey,
    ) -> Result<T, CallError> {
        let request = self
            .client
            .request(Method::POST, format!("{}/v1/{path}", self.base))
            .header("idempotency-key", key.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.encoded());
        self.call(request).await
    }

    /// Ends an object. Stripe needs no key for it: whatever is ended stays so.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let url = format!("{}/v1/{path}", self.base);
        self.call(self.client.request(Method::DELETE, url)).await
    }

    /// Makes a call of a double's own controls.
    pub async fn control<T: DeserializeOwned>(
        &self,
        name: &str,
        body: &str,
    ) -> Result<T, CallError> {
        let request = self.client.request(Method::POST, format!("{}/_double/{name}", self.base));
        self.call(request.body(body.to_owned())).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, CallError> {
        let bearer = format!("Bearer {}", self.secret.reveal());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| CallError::Unavailable {
            after: UNREACHABLE_RETRY,
            message: "the secret key has characters that no header can carry".to_owned(),
        })?;
        bearer.set_sensitive(true);
        let response = request.header(AUTHORIZATION, bearer).send().await;
        let answer = self.read(response.map_err(|error| self.missed(error))?).await?;
        if !(200..=299).contains(&answer.status) {
            let refusal = Refusal {
                status: answer.status,
                retry_after: answer.retry_after,
                request_id: answer.request_id.as_deref(),
                body: &answer.body,
            };
            return Err(refusal.meaning(&self.secret));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let request = answer.request_id.as_deref().unwrap_or("no request id");
            let text = format!("HTTP {} ({request}) cannot be read: {error}", answer.status);
            CallError::Unknown { message: words(&text, &self.secret) }
        })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, CallError> {
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let request_id = response.headers().get("request-id");
        let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        loop {
            let lost = |error| CallError::Unknown { message: self.describe(error) };
            let Some(chunk) = response.chunk().await.map_err(lost)? else { break };
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let message = format!("HTTP {status} with more than {ANSWER_BYTES_MAX} bytes");
                return Err(CallError::Unknown { message });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, request_id, body })
    }

    fn missed(&self, error: reqwest::Error) -> CallError {
        // No request leaves before there is a connection, or if it cannot be built.
        if error.is_connect() || error.is_builder() {
            let message = self.describe(error);
            return CallError::Unavailable { after: UNREACHABLE_RETRY, message };
        }
        CallError::Unknown { message: self.describe(error) }
    }

    /// An error with its causes, without the address.
    fn describe(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        words(&text, &self.secret)
    }
}

/// The base address without a slash at its end.
fn base(settings: &Settings) -> Result<String, SetupError> {
    let given = settings.base_url.as_str();
    let bad = || SetupError::BadBase(given.to_owned());
    let text = given.trim_end_matches('/');
    let url = reqwest::Url::parse(text).map_err(|_| bad())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
    if !plain || !url.username().is_empty() || url.password().is_some() {
        // A password in it must not be shown.
        return Err(SetupError::BadBase(url.host_str().unwrap_or_default().to_owned()));
    }
    match (url.scheme(), settings.mode) {
        ("https", _) | ("http", Mode::Test) => Ok(text.to_owned()),
        ("http", Mode::Live) => Err(SetupError::PlainBase(given.to_owned())),
        _ => Err(bad()),
    }
}

/// `Retry-After` in seconds, the only form that Stripe uses.
fn retry_after(response: &reqwest::Response) -> Option<Span> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    let seconds: i64 = value.trim().parse().ok()?;
    (seconds >= 0).then(|| Span::seconds(seconds.clamp(1, RETRY_AFTER_SECONDS_MAX)))
}
