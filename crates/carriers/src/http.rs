//! One HTTP call to a carrier: within its limits, in bounded time, with a bounded answer, and never repeated.
//!
//! What happened is told in three ways, because an order depends on the difference: there is an answer;
//! nothing can have left; nobody can tell. May touch the network.

use domain::{Ctx, Span};
use reqwest::{Method, StatusCode, redirect};

use crate::limits::{Limiter, Limits, Purpose};
use crate::secret::{redacted, words};
use crate::{ControlError, QueryError, Secret, SubmitError};

/// How long to wait for a connection.
const CONNECT_MAX: Span = Span::seconds(5);
/// For how long an idle connection is kept. Carriers close theirs after 15 seconds or more: an order on a
/// connection that is just being closed would be lost without a trace.
const IDLE_MAX: Span = Span::seconds(8);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// When to try again where there was no connection.
const UNREACHABLE_RETRY: Span = Span::seconds(30);
/// When to try again if the carrier does not say it.
const CROWDED_RETRY: Span = Span::seconds(10);
/// The longest that a carrier may ask us to wait.
const RETRY_AFTER_SECONDS_MAX: i64 = 3_600;

/// Why a carrier cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base address is not `https://HOST/PATH`, or `http` for a test server.
    #[error("{0:?} is not an address such as https://api.example.com/v1")]
    BadBase(String),
    /// The private key cannot be read; it is not shown.
    #[error("the private key is neither PKCS#8 nor PKCS#1, or it is shorter than 1024 bits")]
    BadKey,
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Where a carrier is and how it may be asked.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `https://HOST/PATH`, before the paths of the calls.
    pub base: String,
    /// How long one call may take in all.
    pub call_max: Span,
    /// What the carrier allows.
    pub limits: Limits,
}

/// A call.
pub(crate) struct Call {
    pub purpose: Purpose,
    pub method: Method,
    /// The path after the base, with the query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
}

/// An answer, whatever its status; without our secrets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub retry_after: Option<Span>,
    pub body: String,
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Nothing can have left.
    NotSent { after: Span, message: String },
    /// It may have been carried out.
    Lost { message: String },
}

/// A carrier's HTTP side.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: reqwest::Url,
    limiter: Limiter,
    call_max: Span,
    secrets: Vec<Secret>,
}

impl Http {
    pub fn new(ctx: Ctx, endpoint: &Endpoint, secrets: Vec<Secret>) -> Result<Self, SetupError> {
        // An error means that the program chose a provider of its own already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = || SetupError::BadBase(endpoint.base.clone());
        let base = reqwest::Url::parse(endpoint.base.trim_end_matches('/')).map_err(|_| bad())?;
        let plain = base.query().is_none() && base.fragment().is_none() && base.has_host();
        if !matches!(base.scheme(), "https" | "http") || !plain || !base.username().is_empty() {
            return Err(bad());
        }
        let client = reqwest::Client::builder()
            .timeout(endpoint.call_max.to_std())
            .connect_timeout(CONNECT_MAX.to_std())
            .pool_idle_timeout(IDLE_MAX.to_std())
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("simmall/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let call_max = endpoint.call_max + endpoint.limits.wait_max;
        let limiter = Limiter::new(ctx, endpoint.limits);
        Ok(Self { client, base, limiter, call_max, secrets })
    }

    /// The longest that a call takes, with the wait for its turn.
    pub fn call_max(&self) -> Span {
        self.call_max
    }

    /// The path of the base address, such as `/cube/v4`.
    pub fn base_path(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    /// Makes a call once.
    pub async fn call(&self, call: Call) -> Result<Answer, Missed> {
        let place = self.limiter.start(call.purpose).await.map_err(|put_off| Missed::NotSent {
            after: put_off.after,
            message: put_off.message.to_owned(),
        })?;
        let url = format!("{}{}", self.base.as_str().trim_end_matches('/'), call.path);
        let mut request = self.client.request(call.method, url);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.missed(error))?;
        let answer = self.read(response).await;
        drop(place);
        answer
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, Missed> {
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let mut body = Vec::new();
        loop {
            let lost = |error: reqwest::Error| Missed::Lost { message: self.describe(error) };
            let Some(chunk) = response.chunk().await.map_err(lost)? else { break };
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let message = format!("HTTP {status} with more than {ANSWER_BYTES_MAX} bytes");
                return Err(Missed::Lost { message });
            }
            body.extend_from_slice(&chunk);
        }
        let body = redacted(&String::from_utf8_lossy(&body), &self.secrets);
        Ok(Answer { status, retry_after, body })
    }

    fn missed(&self, error: reqwest::Error) -> Missed {
        // No request leaves before there is a connection, or if it cannot be built.
        if error.is_connect() || error.is_builder() {
            return Missed::NotSent { after: UNREACHABLE_RETRY, message: self.describe(error) };
        }
        Missed::Lost { message: self.describe(error) }
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
        words(&redacted(&text, &self.secrets))
    }
}

impl Answer {
    /// How long the carrier wants us to wait.
    pub fn wait(&self) -> Span {
        self.retry_after.unwrap_or(CROWDED_RETRY)
    }

    /// Whether it refuses because of too many calls.
    pub fn is_crowded(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS.as_u16()
    }

    /// The status and the beginning of the body.
    pub fn said(&self) -> String {
        words(&format!("HTTP {} {}", self.status, self.body))
    }
}

impl Missed {
    fn message(self) -> String {
        match self {
            Self::NotSent { message, .. } | Self::Lost { message } => message,
        }
    }
}

impl From<Missed> for QueryError {
    fn from(missed: Missed) -> Self {
        Self { message: missed.message() }
    }
}

impl From<Missed> for SubmitError {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::NotSent { after, message } => Self::RetryLater { after, message },
            Missed::Lost { message } => Self::Ambiguous { message },
        }
    }
}

impl From<Missed> for ControlError {
    fn from(missed: Missed) -> Self {
        SubmitError::from(missed).into()
    }
}

/// `Retry-After` in seconds. The form with a date is not used by these carriers.
fn retry_after(response: &reqwest::Response) -> Option<Span> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    let seconds: i64 = value.trim().parse().ok()?;
    (seconds >= 0).then(|| Span::seconds(seconds.clamp(1, RETRY_AFTER_SECONDS_MAX)))
}
