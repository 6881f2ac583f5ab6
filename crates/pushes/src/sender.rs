//! One push to one URL. May touch the network.

use std::error::Error as _;
use std::sync::Arc;

use domain::{Mode, Span};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Response, redirect};
use tokio::time::{Instant, timeout_at};

use crate::endpoint::{Endpoint, EndpointError, Policy};
use crate::outcome::{
    ANSWER_TEXT_BYTES_MAX, Answer, Failure, FailureKind, Outcome, answer_text, head,
};
use crate::resolver::{Guarded, NameError, Names, SystemNames};

/// How long a try may take in all.
pub const TIMEOUT: Span = Span::seconds(15);
/// The longest body of a push, in bytes: less than 20 kB.
pub const BODY_BYTES_MAX: usize = 19_999;
/// How long to wait for a connection, its name and its TLS included.
const CONNECT_MAX: Span = Span::seconds(5);
/// For how long an idle connection is kept.
const IDLE_MAX: Span = Span::seconds(30);
/// How many idle connections are kept to one endpoint: as many as pushes to one are on their way at once.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// When a silent HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const PING: Span = Span::seconds(5);
/// How much of an answer is read, in bytes; what follows is dropped with its connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest headers of an answer over HTTP/2, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// The most headers of an answer over HTTP/1.
const HEADERS_MAX: usize = 64;

/// How a sender is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the operator allows beside the rule.
    pub policy: Policy,
    /// Who knows the addresses of names.
    pub names: Arc<dyn Names>,
    /// Certificates in PEM that are trusted beside the machine's, for receivers inside.
    pub roots_pem: Vec<Vec<u8>>,
    /// How long a try may take in all.
    pub timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            names: Arc::new(SystemNames),
            roots_pem: Vec::new(),
            timeout: TIMEOUT,
        }
    }
}

/// Why there is no sender.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A certificate cannot be read, or TLS cannot be set up.
    #[error("pushes cannot be sent: {0}")]
    Http(#[from] reqwest::Error),
}

/// A push that was signed.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// Where to: see [`Sender::target`].
    pub to: &'a Endpoint,
    /// The headers of its signatures.
    pub headers: &'a [(&'a str, &'a str)],
    /// The bytes that were signed.
    pub body: String,
}

/// Sends pushes. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Sender {
    client: reqwest::Client,
    policy: Arc<Policy>,
    timeout: Span,
}

impl Sender {
    /// A sender. No proxy of the environment is used, since the addresses are checked here.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        // An error means that the program chose a provider of its own already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = Arc::new(settings.policy);
        let mut roots = Vec::new();
        for pem in &settings.roots_pem {
            roots.extend(Certificate::from_pem_bundle(pem)?);
        }
        let client = reqwest::Client::builder()
            .dns_resolver(Guarded { names: settings.names, policy: Arc::clone(&policy) })
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_MAX.to_std())
            .pool_idle_timeout(IDLE_MAX.to_std())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_keep_alive_interval(PING.to_std())
            .http2_keep_alive_timeout(PING.to_std())
            .tls_certs_merge(roots)
            .user_agent(concat!("simmall/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, policy, timeout: settings.timeout })
    }

    /// How long a try may take in all.
    pub fn timeout(&self) -> Span {
        self.timeout
    }

    /// Checks the form of a URL, when an endpoint is added. [`Self::target`] does so again.
    pub fn check(&self, url: &str, mode: Mode) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(url, mode, &self.policy)
    }

    /// Where pushes to a URL go, as it is before each lot of them; a failure is that of each.
    pub fn target(&self, url: &str, mode: Mode) -> Result<Endpoint, Failure> {
        self.check(url, mode).map_err(|error| match error {
            EndpointError::Address(..) => Failure::new(FailureKind::Address, &error.to_string()),
            // Its words repeat the URL, which may have a secret of the partner's in it.
            EndpointError::Spelling(_) => {
                Failure::new(FailureKind::Endpoint, "the URL is not in its plain form")
            }
            _ => Failure::new(FailureKind::Endpoint, &error.to_string()),
        })
    }

    /// Sends a push once, and tells what became of it. Never an error of its own: whatever happens is an
    /// outcome.
    pub async fn send(&self, push: Push<'_>) -> Outcome {
        let begun = Instant::now();
        let deadline = begun + self.timeout.to_std();
        let arrived = match self.request(push) {
            Ok(request) => match timeout_at(deadline, request.send()).await {
                Ok(response) => response.map_err(|error| missed(&error.without_url())),
                Err(_) => Err(self.late()),
            },
            Err(failure) => Err(failure),
        };
        let micros = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let latency = Span::micros(micros);
        match arrived {
            Ok(response) => Outcome { latency, result: Ok(read(response, deadline).await) },
            Err(failure) => Outcome { latency, result: Err(failure) },
        }
    }

    fn request(&self, push: Push<'_>) -> Result<reqwest::RequestBuilder, Failure> {
        if push.body.len() > BODY_BYTES_MAX {
            let text =
                format!("the body has {} bytes, more than {BODY_BYTES_MAX}", push.body.len());
            return Err(Failure::new(FailureKind::Push, &text));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in push.headers {
            let bad = || Failure::new(FailureKind::Push, &format!("{name} is not a header"));
            let value = HeaderValue::from_str(value).map_err(|_| bad())?;
            headers.insert(HeaderName::try_from(*name).map_err(|_| bad())?, value);
        }
        let request = self.client.post(push.to.url());
        Ok(request.headers(headers).body(push.body))
    }

    fn late(&self) -> Failure {
        Failure::new(FailureKind::Time, &format!("no answer within {:?}", self.timeout.to_std()))
    }
}

/// The answer with the beginning of its body. The status counts, even if the body breaks off or takes too long.
async fn read(mut response: Response, deadline: Instant) -> Answer {
    let http = format!("{:?}", response.version());
    let mut answer = head(response.status(), response.headers(), http);
    let (mut kept, mut seen) = (Vec::new(), 0);
    loop {
        let Ok(Ok(chunk)) = timeout_at(deadline, response.chunk()).await else {
            answer.is_cut = true;
            break;
        };
        let Some(chunk) = chunk else { break };
        seen += chunk.len();
        let room = ANSWER_TEXT_BYTES_MAX - kept.len();
        kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if seen > ANSWER_BYTES_MAX {
            break;
        }
    }
    answer.is_cut |= seen > kept.len();
    answer.text = answer_text(&kept);
    answer
}

/// Why a request got no answer. An error is wrapped by whoever passes it on; the innermost known one counts.
fn missed(error: &reqwest::Error) -> Failure {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(name) = inner.downcast_ref::<NameError>() {
            let kind = match name {
                NameError::Unknown(..) => FailureKind::Name,
                NameError::Refused { .. } => FailureKind::Address,
            };
            return Failure::new(kind, &name.to_string());
        }
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    let kind = if error.is_connect() {
        FailureKind::Connection
    } else if error.is_timeout() {
        FailureKind::Time
    } else {
        FailureKind::Broken
    };
    Failure::new(kind, &words)
}
