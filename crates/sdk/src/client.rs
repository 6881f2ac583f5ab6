//! Signing and sending.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wire::answer::{Envelope, Failure};
use wire::content::signing_content;
use wire::groups::IDEMPOTENCY_KEY;
use wire::{Call, Method, Params, Service, Shape};

pub use wire::sign::Scheme;

/// How long a call may take in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which paths are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// `/vshop`, `/payment`, `/topup`.
    Live,
    /// `/vshop_uat`, `/payment_uat`, `/topup_test`.
    Test,
    /// No prefix; the server's setting says what that means.
    Root,
}

/// Who calls, and how it signs.
#[derive(Clone)]
pub struct Credentials {
    /// The code given by the operator.
    pub partner_code: String,
    /// How requests are signed.
    pub scheme: Scheme,
    /// The key; empty under keyless MD5.
    pub key: String,
}

impl Credentials {
    /// Credentials for `hmac-sha256`, which live mode demands.
    pub fn hmac(partner_code: &str, key: &str) -> Self {
        let (partner_code, key) = (partner_code.to_owned(), key.to_owned());
        Self { partner_code, scheme: Scheme::HmacSha256, key }
    }

    /// Credentials for keyless MD5, which proves nothing and is meant for tests.
    pub fn md5(partner_code: &str) -> Self {
        Self { partner_code: partner_code.to_owned(), scheme: Scheme::Md5, key: String::new() }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, {})", self.partner_code, self.scheme.as_str())
    }
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused it.
    #[error("{status} {}: {}", failure.code, failure.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server says.
        failure: Box<Failure>,
    },
    /// It did not get through, or the reply was lost. A write may have happened: repeat it.
    #[error("the call did not get through: {0}")]
    Transport(#[from] reqwest::Error),
    /// The answer is not what the API promises.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// Nothing can be sent to such an address.
    #[error("not an address such as http://127.0.0.1:3000/hook: {0}")]
    Address(String),
}

impl Error {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { failure, .. } => Some(&failure.code),
            _ => None,
        }
    }
}

/// The fields of a request, beside the common ones that the client adds.
pub type Fields<'a> = Vec<(&'a str, Value)>;

/// How a call is sent, where there is a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way<'a> {
    /// Whether all parameters stand in the query, for proxies that drop the body of a DELETE.
    pub in_query: bool,
    /// Under which key it may be repeated; empty: none.
    pub idempotency_key: &'a str,
}

/// A partner's client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    prefix: Prefix,
    credentials: Credentials,
    now_millis: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}, {:?})", self.base, self.credentials)
    }
}

impl Client {
    /// A client of the server at `base` (`https://HOST`).
    pub fn new(base: &str, prefix: Prefix, credentials: Credentials) -> Result<Self, Error> {
        provide_tls();
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { http, base, prefix, credentials, now_millis: Arc::new(system_millis) })
    }

    /// The same client with another clock (Unix milliseconds), for tests.
    #[must_use]
    pub fn with_clock(self, now_millis: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { now_millis: Arc::new(now_millis), ..self }
    }

    /// Makes a call. The common fields and the signature are added; a field given here wins over one
    /// that would be added.
    pub async fn call<T: DeserializeOwned>(
        &self,
        call: &Call,
        fields: Fields<'_>,
    ) -> Result<T, Error> {
        self.call_in_way(call, fields, Way::default()).await
    }

    /// Makes a call that is sent in some way.
    pub async fn call_in_way<T: DeserializeOwned>(
        &self,
        call: &Call,
        fields: Fields<'_>,
        way: Way<'_>,
    ) -> Result<T, Error> {
        let text = self.text(call, fields, way).await?;
        // A partner may have asked for the envelope around every answer.
        let enveloped = text.trim_start().starts_with("{\"operateCode\"");
        if call.shape == Shape::Envelope || enveloped {
            let read: Result<Envelope<T>, _> = serde_json::from_str(&text);
            return read.map(|envelope| envelope.data).map_err(|error| unreadable(&error, &text));
        }
        serde_json::from_str(&text).map_err(|error| unreadable(&error, &text))
    }

    /// Makes a call, and gives its answer as it came.
    pub async fn text(
        &self,
        call: &Call,
        fields: Fields<'_>,
        way: Way<'_>,
    ) -> Result<String, Error> {
        let (status, text) = self.send_in_way(call, self.sign(call, fields)?, way).await?;
        if status != 200 {
            let read: Result<Envelope<Failure>, _> = serde_json::from_str(&text);
            let envelope = read.map_err(|error| unreadable(&error, &text))?;
            return Err(Error::Refused { status, failure: Box::new(envelope.data) });
        }
        Ok(text)
    }

    /// All fields of a request with its signature.
    pub fn sign(&self, call: &Call, fields: Fields<'_>) -> Result<Map<String, Value>, Error> {
        let text = |text: &str| Value::String(text.to_owned());
        let mut members = Map::new();
        members.insert("version".to_owned(), text("3.0"));
        members.insert("partnerCode".to_owned(), text(&self.credentials.partner_code));
        members.insert("tradeTime".to_owned(), text(&(self.now_millis)().to_string()));
        members.insert("tradeType".to_owned(), text(call.name));
        for (name, value) in fields {
            members.insert(name.to_owned(), value);
        }
        let body = Value::Object(members.clone()).to_string();
        let params = Params::read(None, body.as_bytes());
        let params = params.map_err(|error| Error::Unreadable(error.to_string()))?;
        let content = signing_content(&params);
        let sign = wire::sign::sign(self.credentials.scheme, &self.credentials.key, &content);
        members.entry("sign").or_insert(Value::String(sign));
        Ok(members)
    }

    /// Sends signed fields as they are, and gives the status and the text of the answer.
    pub async fn send(
        &self,
        call: &Call,
        members: Map<String, Value>,
    ) -> Result<(u16, String), Error> {
        self.send_in_way(call, members, Way::default()).await
    }

    /// Sends signed fields in some way, and gives the status and the text of the answer.
    pub async fn send_in_way(
        &self,
        call: &Call,
        members: Map<String, Value>,
        way: Way<'_>,
    ) -> Result<(u16, String), Error> {
        let mut members = members;
        let path = filled(call, &mut members);
        let url = format!("{}{}{path}", self.base, self.path_prefix(call.service));
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let request = if way.in_query || !call.method.has_body() {
            self.http.request(method, format!("{url}?{}", query(&members)))
        } else {
            let body = Value::Object(members).to_string();
            self.http.request(method, url).header("content-type", "application/json").body(body)
        };
        let key = Some(way.idempotency_key).filter(|key| !key.is_empty());
        let request =
            key.into_iter().fold(request, |request, key| request.header(IDEMPOTENCY_KEY, key));
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    fn path_prefix(&self, service: Service) -> &'static str {
        match (self.prefix, service) {
            (Prefix::Root, _) => "",
            (Prefix::Live, service) => service.live_prefix(),
            (Prefix::Test, service) => service.test_prefix(),
        }
    }
}

/// Chooses who does the cryptography of TLS.
pub(crate) fn provide_tls() {
    // An error means that the program chose a provider of its own already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[expect(clippy::disallowed_methods, reason = "a partner's program has no Ctx; tests set a clock")]
fn system_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The path of a call; what stands in it is taken from the members.
fn filled(call: &Call, members: &mut Map<String, Value>) -> String {
    let mut path = call.path.to_owned();
    for name in call.path_names() {
        let value = members.remove(name).unwrap_or_default();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pair = wire::params::write_query([("", text)].into_iter());
        // A path has no other sign for a space.
        let text = pair.trim_start_matches('=').replace('+', "%20");
        path = path.replace(&format!("{{{name}}}"), &text);
    }
    path
}

fn query(members: &Map<String, Value>) -> String {
    let pairs = members.iter().map(|(name, value)| match value {
        Value::String(text) => (name.as_str(), text.clone()),
        other => (name.as_str(), other.to_string()),
    });
    wire::params::write_query(pairs)
}

fn unreadable(error: &serde_json::Error, text: &str) -> Error {
    let start: String = text.chars().take(200).collect();
    Error::Unreadable(format!("{error}: {start}"))
}
