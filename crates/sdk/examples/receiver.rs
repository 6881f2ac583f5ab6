//! A receiver of pushes:
//!
//! ```text
//! PUSH_KEYS="k1=HEX k2=HEX" PORT=8099 cargo run -p sdk --example receiver
//! ```

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sdk::push::{BODY_BYTES_MAX, Key, verify};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The keys, and the events that came. A real receiver keeps the events in its database.
struct Receiver {
    keys: Vec<Key>,
    seen: Mutex<HashSet<String>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let text = std::env::var("PUSH_KEYS")?;
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    let keys = pairs.map(|(id, key)| Key::parse(id, key)).collect::<Result<_, _>>()?;
    let receiver = Arc::new(Receiver { keys, seen: Mutex::default() });
    let listener = TcpListener::bind(("127.0.0.1", std::env::var("PORT")?.parse()?)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, receiver) = (listener.accept().await?.0, Arc::clone(&receiver));
        let service = service_fn(move |request| receive(request, Arc::clone(&receiver)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(
    request: Request<Incoming>,
    receiver: Arc<Receiver>,
) -> Result<Response<Empty<Bytes>>, Failure> {
    let (head, body) = request.into_parts();
    let status = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => take(&head.headers, &body.to_bytes(), &receiver),
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

fn take(headers: &HeaderMap, body: &[u8], receiver: &Receiver) -> StatusCode {
    #[expect(clippy::disallowed_methods, reason = "a receiver lives by the real clock")]
    let now = std::time::SystemTime::now();
    match verify(headers, body, &receiver.keys, now) {
        Ok(event) => {
            // An event may come twice; it is handled once.
            if receiver.seen.lock().is_ok_and(|mut seen| seen.insert(event.event_id.clone())) {
                eprintln!("event {} {}", event.event_type, event.event_id);
            }
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            eprintln!("refused: {error}");
            StatusCode::UNAUTHORIZED
        }
    }
}
