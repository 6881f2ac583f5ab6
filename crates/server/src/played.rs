//! What plays over HTTP have in common: a listener, requests and answers as plain values, and webhooks. What is played
//! is decided elsewhere.

mod body;

use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) use body::Body;

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a connection may be silent, and how long the body of a request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(75);
/// The pause of a listener that cannot take connections.
const PAUSE: Duration = Duration::from_millis(100);

/// A request as it came.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer with its status and headers; `None` closes the connection without one.
pub(crate) type Told = Option<(u16, Vec<(String, String)>, Body)>;

/// Something that is played.
pub(crate) trait Play: Send + Sync + 'static {
    /// What becomes of a request.
    fn answer(self: Arc<Self>, asked: Asked) -> impl Future<Output = Told> + Send;
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped, as a fault wants it")
    }
}

impl std::error::Error for Dropped {}

/// Plays to all who connect, for ever.
pub(crate) async fn serve<P: Play>(listener: TcpListener, play: Arc<P>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&play)));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken; the next try is in a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse<P: Play>(stream: TcpStream, play: Arc<P>) {
    // An answer is written whole: waiting for more would only delay it. It goes without, too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&play)));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer<P: Play>(
    request: hyper::Request<Incoming>,
    play: Arc<P>,
) -> Result<hyper::Response<Body>, Dropped> {
    // A caller that breaks off in the midst of its request did not ask.
    let asked = read(request).await.map_err(|_| Dropped)?;
    let (method, path) = (asked.method.clone(), asked.path.clone());
    let Some((status, headers, body)) = play.answer(asked).await else {
        tracing::info!(method, path, "dropped");
        return Err(Dropped);
    };
    tracing::info!(method, path, status, "answered");
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(body).expect("a play's own statuses and headers are valid"))
}

async fn read(request: hyper::Request<Incoming>) -> io::Result<Asked> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(REQUEST_TIME_MAX, body).await?;
    let body = body.map_err(io::Error::other)?.to_bytes().to_vec();
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Asked {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body,
    })
}

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

/// Posts a webhook; gives the status that it was answered with.
pub(crate) async fn post(
    target: &Target,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(&target.address).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
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
