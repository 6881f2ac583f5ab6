//! A partner's server: it takes every push and counts them. It has a thread of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A server that counts.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU64,
    /// When the first and the last arrived since somebody began to watch.
    times: Mutex<Option<(Instant, Instant)>>,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, seen) = (listener.local_addr()?, Arc::<Seen>::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counted = Arc::clone(&seen);
        std::thread::spawn(move || runtime.block_on(serve(listener, counted)));
        Ok(Self { address, seen })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn url(&self, number: u32) -> String {
        format!("http://{}/hook/{number}", self.address)
    }

    /// How many came.
    pub(super) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// Begins to watch.
    pub(super) fn watch(&self) {
        *self.seen.times.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// From the first arrival to the last since then.
    pub(super) fn watched(&self) -> Duration {
        let times = *self.seen.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.map_or(Duration::ZERO, |(first, last)| last.duration_since(first))
    }
}

async fn serve(listener: std::net::TcpListener, seen: Arc<Seen>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        let take = service_fn(move |request| take(request, Arc::clone(&seen)));
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), take)
                .await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    // What is cut off is sent again.
    if request.into_body().collect().await.is_ok() {
        let now = Instant::now();
        let mut times = seen.times.lock().unwrap_or_else(PoisonError::into_inner);
        *times = Some((times.map_or(now, |(first, _)| first), now));
        seen.count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Response::new(Empty::new()))
}
