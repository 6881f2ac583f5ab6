//! Whoever is at the other end: a server that takes each request to its end and then does as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cashiers::stripe::{IdempotencyKey, Secret, Settings, Stripe};
use domain::{Mode, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The key that no error may show.
pub const SECRET: &str = "sk_test_v3ryS3cret";
/// Longer than a call on a slow machine takes, for tests in which no time-out is wanted.
const LONG: Span = Span::seconds(60);

/// What happens after a request.
#[derive(Debug, Clone)]
pub enum Ending {
    /// These bytes are sent, and the connection is closed.
    Say(String),
    /// These bytes are sent, and nothing follows; the connection stays open.
    Stall(String),
}

impl Ending {
    /// A whole answer.
    pub fn answer(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Say(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and path with query, as in `GET /v1/x?y`.
    pub line: String,
    head: String,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = pairs.filter(|(given, _)| given.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

/// A server with the requests that it saw.
pub struct Peer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    /// One that ends every call likewise.
    pub async fn start(ending: Ending) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, ending.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub fn client(&self) -> Stripe {
        client(self.address, LONG)
    }

    /// A client that does not wait for long.
    pub fn impatient_client(&self) -> Stripe {
        client(self.address, Span::seconds(1))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An address at which nobody listens, and nobody else can.
pub fn held_address() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A client of whoever is there, or nobody.
pub fn client(address: SocketAddr, timeout: Span) -> Stripe {
    let settings = Settings {
        mode: Mode::Test,
        base_url: format!("http://{address}/"),
        secret_key: Secret::new(SECRET),
        publishable_key: "pk_test_1".to_owned(),
        timeout,
    };
    Stripe::new(&settings).unwrap()
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

async fn serve(mut stream: TcpStream, ending: Ending, seen: Arc<Mutex<Vec<Seen>>>) {
    let Some(request) = read(&mut stream).await else { return };
    seen.lock().unwrap().push(request);
    match ending {
        Ending::Say(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
        Ending::Stall(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            std::future::pending::<()>().await;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
        let seen = Seen { line, head: head.to_owned(), body: body.to_owned() };
        let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        if seen.body.len() >= length {
            return Some(seen);
        }
    }
}
