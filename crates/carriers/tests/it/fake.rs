//! A pretended upstream network: a small HTTP server that answers questions truly and treats orders as it is told.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// It is taken and carried out.
    Take,
    /// It is refused for good, in the network's own way.
    Refuse,
    /// 429 with `Retry-After: 7`.
    Crowded,
    /// 500 from a gateway.
    Broken,
    /// The connection is closed instead of an answer.
    Drop,
    /// The answer begins and does not end.
    Slow,
    /// 200 with half an object.
    Malformed,
    /// 200 with more than anybody reads.
    Huge,
    /// 302 to where it would be taken.
    Redirect,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// How a network speaks.
pub trait Protocol: Send + Sync {
    fn is_order(&self, seen: &Seen) -> bool;
    /// The answer to an order that is taken, and to one that is refused.
    fn order(&self, taken: bool, seen: &Seen) -> (u16, String);
    /// The answer to a question; `done` if an order was carried out.
    fn question(&self, seen: &Seen, done: bool) -> (u16, String);
    /// Panics if a request is not as the network wants it.
    fn inspect(&self, seen: &Seen);
}

#[derive(Debug)]
pub struct State {
    pub play: Play,
    /// Whether an order is carried out although it is not answered.
    pub carries_out: bool,
    /// Whether questions are answered with half an object.
    pub mumbles: bool,
    pub done: bool,
    pub seen: Vec<Seen>,
    /// What a request did wrong.
    pub complaint: Option<String>,
}

pub struct Fake {
    pub base: String,
    state: Arc<Mutex<State>>,
    protocol: Arc<dyn Protocol>,
}

impl Fake {
    pub async fn start(protocol: Arc<dyn Protocol>, path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{path}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            play: Play::Take,
            carries_out: false,
            mumbles: false,
            done: false,
            seen: Vec::new(),
            complaint: None,
        }));
        let (shared, speaks) = (Arc::clone(&state), Arc::clone(&protocol));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), Arc::clone(&speaks)));
            }
        });
        Self { base, state, protocol }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set(&self, play: Play, carries_out: bool) {
        let mut state = self.state();
        (state.play, state.carries_out) = (play, carries_out);
    }

    /// How many orders arrived. Fails if any request was not as the network wants it.
    pub fn orders(&self) -> usize {
        let state = self.state();
        assert_eq!(state.complaint, None);
        state.seen.iter().filter(|seen| self.protocol.is_order(seen)).count()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, protocol: Arc<dyn Protocol>) {
    let Some(seen) = read(&mut stream).await else { return };
    let inspected =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| protocol.inspect(&seen)));
    let is_order = protocol.is_order(&seen);
    let (play, mumbles, done) = {
        let mut state = state.lock().unwrap();
        if inspected.is_err() {
            state.complaint = Some(format!("{} {}", seen.method, seen.path));
        }
        state.seen.push(seen.clone());
        state.done |= is_order && (state.play == Play::Take || state.carries_out);
        (state.play, state.mumbles, state.done)
    };
    let (status, body) = match (is_order, play) {
        (false, _) if mumbles => (200, r#"{"data":"#.to_owned()),
        (false, _) => protocol.question(&seen, done),
        (true, Play::Take) => protocol.order(true, &seen),
        (true, Play::Refuse) => protocol.order(false, &seen),
        (true, Play::Crowded) => (429, "slow down".to_owned()),
        (true, Play::Broken) => (500, "<html>".to_owned()),
        (true, Play::Malformed) => (200, r#"{"data":"#.to_owned()),
        (true, Play::Huge) => (200, " ".repeat(2 << 20)),
        (true, Play::Redirect) => (302, String::new()),
        (true, Play::Drop) => return,
        (true, Play::Slow) => {
            let start = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"success\"";
            let _ = stream.write_all(start.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            return;
        }
    };
    let extra = match status {
        429 => "retry-after: 7\r\n".to_owned(),
        302 => format!("location: {}\r\n", seen.path),
        _ => String::new(),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\n{extra}content-length: {length}\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let pair = |line: &str| line.split_once(": ").map(|(a, b)| (a.to_owned(), b.to_owned()));
        let headers: Vec<(String, String)> = lines.filter_map(pair).collect();
        let seen = Seen { method, path, headers, body: body.to_owned() };
        let length: usize = seen.header("content-length").parse().unwrap_or(0);
        if seen.body.len() >= length {
            return Some(seen);
        }
    }
}
