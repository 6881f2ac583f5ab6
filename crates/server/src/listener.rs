//! Takes connections and hands their requests to a router. Nobody who is slow, silent or many holds
//! up anybody else: connections are counted, in all and per address, and each step of one has its
//! time. Nothing of what is asked is looked at here.

mod gate;
mod pace;
mod refusal;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{EarlyAnswers, TrustedProxies};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

use gate::{Gate, Ticket};
use pace::{Answer, Paced, PacedBody, PacedStream};

/// The bytes of a request's head, its path and query included, that are read for certain; twice as
/// many are never.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// The most connections to the admin API. They are counted apart, so that operators get in whatever
/// partners do.
pub(crate) const ADMIN_CONNECTIONS_MAX: usize = 256;
/// The body of an import takes its time: at least so much it is given.
const ADMIN_BODY_TIME_MIN: Duration = Duration::from_mins(5);
/// How long a stopping server waits for the rest of a body, or for an answer to be read.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The pauses of a listener that cannot take connections, such as for want of files: the first one,
/// and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most connections of one address at a time, of IPv6 of one /64. Trusted proxies may have as
    /// many as there are.
    pub connections_per_address_max: usize,
    /// How long a connection may stay silent before a request.
    pub idle_time_max: Duration,
    /// How long the head of a request may take from its first byte on.
    pub head_time_max: Duration,
    /// How long the body of a request may take.
    pub body_time_max: Duration,
    /// How long a request may take from its head to the head of its answer.
    pub request_time_max: Duration,
    /// How long a client may take to read what was written to it.
    pub answer_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_address_max: 1_024,
            idle_time_max: Duration::from_secs(75),
            head_time_max: Duration::from_secs(10),
            body_time_max: Duration::from_secs(20),
            request_time_max: Duration::from_mins(1),
            answer_time_max: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The limits of the admin API: few callers, who may send much.
    pub(crate) fn for_admin(self) -> Self {
        Self {
            connections_max: ADMIN_CONNECTIONS_MAX,
            connections_per_address_max: ADMIN_CONNECTIONS_MAX / 2,
            body_time_max: self.body_time_max.max(ADMIN_BODY_TIME_MIN),
            ..self
        }
    }
}

/// What all connections of a listener share.
struct House {
    router: Router,
    early: EarlyAnswers,
    limits: Limits,
    proxies: TrustedProxies,
    gate: Gate,
    /// Becomes true when the server is told to stop.
    stopped: watch::Receiver<bool>,
}

/// Serves a router, with the answers to what does not reach it, until told to stop, then until its last
/// connection has ended. Connections on which nothing is asked end at once.
pub(crate) async fn serve(
    listener: TcpListener,
    (router, early): (Router, EarlyAnswers),
    limits: Limits,
    proxies: TrustedProxies,
    stopped: watch::Receiver<bool>,
) {
    let gate = Gate::new(limits.connections_max, limits.connections_per_address_max);
    let house = Arc::new(House { router, early, limits, proxies, gate, stopped });
    // Dropped with this future, they all end.
    let mut connections = JoinSet::new();
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            () = told(house.stopped.clone()) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                match Gate::admit(&house, peer.ip()) {
                    Some(ticket) => drop(connections.spawn(converse(stream, peer, ticket))),
                    None => gate::turn_away(&house, &stream),
                }
            }
            // The client's doing, and its loss.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; the next try is in a moment");
                let _ = tokio::time::timeout(pause, told(house.stopped.clone())).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Ends when the server is told to stop.
pub(crate) async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody is left to tell: stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection.
struct Connection {
    peer: IpAddr,
    ticket: Ticket,
    /// Requests that came, and those of them whose answer is written or given up.
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Connection {
    fn house(&self) -> &House {
        self.ticket.house()
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether no request is at work.
    fn is_idle(&self) -> bool {
        self.begun() == self.ended.load(Ordering::Relaxed)
    }

    /// Ends when a time is over; a stopping server gives less.
    fn deadline(self: &Arc<Self>, time_max: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let stopped = self.house().stopped.clone();
        Box::pin(async move {
            if tokio::time::timeout(time_max, told(stopped)).await.is_ok() {
                tokio::time::sleep(STOP_GRACE.min(time_max)).await;
            }
        })
    }

    /// Answers a request.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let at_work = Paced::new(Arc::clone(&self));
        let mut request = request.map(|body| Body::new(PacedBody::new(body, Arc::clone(&self))));
        let client = self.house().proxies.client(self.peer, request.headers());
        request.extensions_mut().insert(client);
        let mut router = self.house().router.clone();
        let response = router.call(request).await?;
        Ok(response.map(|body| Answer::new(body, at_work)))
    }
}

/// Talks with a client until either of them is done.
async fn converse(stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
    // An answer is written whole: waiting for more would only delay it. It goes without, too.
    let _ = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let connection = Arc::new(Connection { peer, ticket, begun, ended });
    let io = TokioIo::new(PacedStream::new(stream, Arc::clone(&connection)));
    let answering = Arc::clone(&connection);
    let service = service_fn(move |request| Arc::clone(&answering).answer(request));
    let mut conversation = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(connection.house().limits.idle_time_max)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(io, service)
    );
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = told(connection.house().stopped.clone()) => {
            if connection.begun() == 0 {
                return;
            }
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
