//! A line between a client and a server that speak HTTP/1.1, on which single calls go wrong as they do on networks. It
//! knows of HTTP only where a call begins and ends. Touches loopback sockets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The most bytes of a request or an answer.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What befalls a call on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// It is done; its answer comes so much later.
    Slow(Duration),
    /// It is done; only so many bytes of its answer come before the connection ends.
    Cut(usize),
    /// It is done; the connection ends without an answer.
    AnswerLost,
    /// It is done; the connection is reset without an answer.
    ResetAfter,
    /// It is done; nothing is heard of it, and the connection stays open.
    Silent,
    /// It never arrives; the connection is reset.
    ResetBefore,
    /// It never arrives; nothing is heard, and the connection stays open.
    BlackHole,
    /// It stays on the way until [`WireProxy::release`]; nothing is heard of it, whatever becomes of it.
    Held,
}

/// The calls that a rule is about. A call's shape is its method and path, with `*` for ids, such as
/// `POST /v1/payment_intents/*/cancel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Calls {
    /// All.
    Every,
    /// Those of a shape.
    Of(String),
    /// Those whose shape begins so.
    Under(String),
}

/// A rule: of the calls that it is about, from the `nth` on (1 is the next), so many are befallen.
#[derive(Debug, Clone)]
struct Rule {
    calls: Calls,
    fault: WireFault,
    nth: u64,
    times: u64,
    seen: u64,
}

#[derive(Debug, Default)]
struct State {
    target: Option<SocketAddr>,
    rules: Vec<Rule>,
    seen: BTreeMap<String, u64>,
    befallen: u64,
}

/// A line on which calls go wrong.
#[derive(Debug)]
pub struct WireProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    released: watch::Sender<u64>,
    serving: JoinHandle<()>,
}

impl Calls {
    fn are(&self, shape: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Of(one) => one == shape,
            Self::Under(begin) => shape.starts_with(begin.as_str()),
        }
    }
}

impl WireProxy {
    /// A line to a server; without one, connections end at once.
    pub async fn start(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { target, ..State::default() }));
        let released = watch::Sender::new(0);
        let line = Line { state: Arc::clone(&state), released: released.clone() };
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(line.clone().converse(stream));
            }
        });
        Self { address, state, released, serving }
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections elsewhere, or nowhere.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        self.state.lock().unwrap().target = target;
    }

    /// Lets a fault befall calls: from the `nth` of them on (1 is the next), so many.
    pub fn fault(&self, calls: Calls, fault: WireFault, (nth, times): (u64, u64)) {
        self.state.lock().unwrap().rules.push(Rule { calls, fault, nth, times, seen: 0 });
    }

    /// Nothing befalls calls any more. Those that are held stay so.
    pub fn no_faults(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    /// Lets the calls that are held go on their way.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// How often calls of each shape came.
    pub fn seen(&self) -> BTreeMap<String, u64> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How many calls a fault befell.
    pub fn befallen(&self) -> u64 {
        self.state.lock().unwrap().befallen
    }
}

impl Drop for WireProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Line {
    state: Arc<Mutex<State>>,
    released: watch::Sender<u64>,
}

/// What becomes of the client's connection after a call.
enum After {
    GoesOn,
    Ends,
    IsReset,
}

impl Line {
    /// One client's calls, one after another.
    async fn converse(self, mut client: TcpStream) {
        let Some(target) = self.state.lock().unwrap().target else { return };
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        // Either may be gone, and then its messages go nowhere.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        while let Some(request) = read_message(&mut client).await {
            match self.call(&mut client, &mut server, &request).await {
                After::GoesOn => {}
                After::Ends => return,
                After::IsReset => {
                    let _ = client.set_zero_linger();
                    return;
                }
            }
        }
    }

    async fn call(&self, client: &mut TcpStream, server: &mut TcpStream, request: &[u8]) -> After {
        let mut release = self.released.subscribe();
        let fault = self.take(&shape(request));
        match fault {
            Some(WireFault::ResetBefore) => return After::IsReset,
            Some(WireFault::BlackHole) => return wait_for_end(client).await,
            Some(WireFault::Held) => {
                // The client may go meanwhile: what it sent is on its way all the same.
                let _ = release.changed().await;
            }
            _ => {}
        }
        if server.write_all(request).await.is_err() {
            return After::Ends;
        }
        let Some(answer) = read_message(server).await else { return After::Ends };
        let told = match fault {
            Some(WireFault::Cut(bytes)) => &answer[..bytes.min(answer.len() - 1)],
            Some(WireFault::AnswerLost) => return After::Ends,
            Some(WireFault::ResetAfter) => return After::IsReset,
            Some(WireFault::Silent | WireFault::Held) => return wait_for_end(client).await,
            Some(WireFault::Slow(by)) => {
                tokio::time::sleep(by).await;
                &answer[..]
            }
            _ => &answer[..],
        };
        let sent = client.write_all(told).await.is_ok();
        if sent && told.len() == answer.len() { After::GoesOn } else { After::Ends }
    }

    /// What befalls a call, which counts from now on.
    fn take(&self, shape: &str) -> Option<WireFault> {
        let mut state = self.state.lock().unwrap();
        *state.seen.entry(shape.to_owned()).or_default() += 1;
        let mut found = None;
        for rule in state.rules.iter_mut().filter(|rule| rule.calls.are(shape)) {
            rule.seen += 1;
            let befalls = (rule.nth..rule.nth.saturating_add(rule.times)).contains(&rule.seen);
            if found.is_none() && befalls {
                found = Some(rule.fault);
            }
        }
        state.befallen += u64::from(found.is_some());
        found
    }
}

/// Waits until the client goes away.
async fn wait_for_end(client: &mut TcpStream) -> After {
    let mut byte = [0];
    // It says nothing more while it waits for an answer.
    let _ = client.read(&mut byte).await;
    After::Ends
}

/// Method and path of a request, with `*` in the place of ids.
fn shape(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    // `/v1/KIND/ID/…`
    let parts = path.split('/').enumerate().map(|(place, part)| {
        let is_id = place == 3 && path.starts_with("/v1/") && part != "search";
        if is_id { "*" } else { part }
    });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

/// The next request or answer, with its head; `None` once the connection has ended.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4 * 1024);
    loop {
        if let Some(length) = message_length(&bytes)
            && bytes.len() >= length
        {
            // Nobody sends a second one before the first has come.
            assert_eq!(bytes.len(), length, "calls are made one after another");
            return Some(bytes);
        }
        let Ok(1..) = stream.read_buf(&mut bytes).await else { return None };
        assert!(bytes.len() <= MESSAGE_BYTES_MAX, "a message is too long");
    }
}

/// How long a message is with its head, once that is there.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    assert!(!head.contains("transfer-encoding"), "bodies have a length here");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(end + length.map_or(0, |length| length.trim().parse::<usize>().unwrap()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_shape() {
        for (line, expected) in [
            ("GET /v1/payment_intents/pi_1?expand[]=x HTTP/1.1\r\n", "GET /v1/payment_intents/*"),
            ("GET /v1/payment_intents?customer=cus_1 HTTP/1.1\r\n", "GET /v1/payment_intents"),
            ("POST /v1/payment_intents/pi_1/cancel HTTP/1.1", "POST /v1/payment_intents/*/cancel"),
            ("GET /v1/payment_intents/search?query=1 HTTP/1.1", "GET /v1/payment_intents/search"),
            ("POST /stripe/webhook/test HTTP/1.1", "POST /stripe/webhook/test"),
        ] {
            assert_eq!(shape(line.as_bytes()), expected);
        }
    }

    #[test]
    fn a_message_ends_with_its_body() {
        assert_eq!(message_length(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(message_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(message_length(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), Some(43));
    }
}
