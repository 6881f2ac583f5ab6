//! Sends the simulator's webhooks, one after another in the order that was planned. Each is sent once: how the
//! real ones repeat theirs is not published, and repeats are a fault. Touches the network.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use upstream::{Upstream, Webhook};

/// The pause between two looks at what is due.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a webhook may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// Where webhooks go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    authority: String,
    address: String,
    path: String,
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or("use http://HOST:PORT/PATH")?;
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (authority, address) = (authority.as_str().to_owned(), format!("{host}:{port}"));
        Ok(Self { authority, address, path })
    }
}

/// Sends what becomes due, for ever.
pub(super) async fn send_all(upstream: Arc<Upstream>, target: Target) {
    loop {
        for webhook in upstream.due_webhooks(upstream.now()) {
            let sent = tokio::time::timeout(SEND_TIME_MAX, send(webhook, &target)).await;
            match sent.context("it took too long").flatten() {
                Ok(status) => tracing::info!(status, "webhook sent"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "a webhook is lost"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn send(webhook: Webhook, target: &Target) -> anyhow::Result<u16> {
    post(target, webhook.headers, webhook.body).await
}

/// Sends a request and says with which status it was answered.
pub(crate) async fn post(
    target: &Target,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(&target.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = hyper::Request::post(&target.path).header("host", &target.authority);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answered = sender.send_request(request.body(Full::new(Bytes::from(body)))?);
    let answered = async move { anyhow::Ok(answered.await?.status().as_u16()) };
    tokio::pin!(answered);
    tokio::select! {
        status = &mut answered => status,
        // The connection may end with its answer in hand.
        ended = connection => {
            ended?;
            answered.await
        }
    }
}
