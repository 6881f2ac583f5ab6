//! Whoever is at the other end, and names that are played.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{Mode, Span};
use pushes::{Names, Outcome, Policy, Push, Sender, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Longer than a try on a slow machine takes, for tests in which no time-out is wanted.
pub const LONG: Span = Span::seconds(60);
/// The host of all URLs here.
pub const HOST: &str = "hooks.example.com";
/// An address that the tests allow; another of this machine they do not.
pub const GOOD: &str = "127.0.0.1";
pub const BAD: &str = "127.0.0.2";

/// Whether a connection lives on after an answer, and what happens after a request.
#[derive(Debug, Clone)]
pub enum Ending {
    /// These bytes are sent, and the next request is waited for.
    Go(String),
    /// These bytes are sent, and the connection is closed.
    Say(String),
    /// These bytes are sent, and nothing follows; the connection stays open.
    Stall(String),
}

/// A whole answer.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

#[derive(Debug, Default)]
struct Log {
    connections: usize,
    requests: Vec<String>,
}

/// A receiver with what it saw.
pub struct Peer {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Peer {
    pub async fn start(ending: Ending) -> Self {
        Self::at(&format!("{GOOD}:0"), ending).await
    }

    pub async fn at(address: &str, ending: Ending) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, ending.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, log }
    }

    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// The requests, each as its bytes.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().requests.clone()
    }

    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/push?token=s3cret", self.address.port())
    }
}

async fn serve(mut stream: TcpStream, ending: Ending, log: Arc<Mutex<Log>>) {
    while let Some(request) = read(&mut stream).await {
        log.lock().unwrap().requests.push(request);
        let (Ending::Go(bytes) | Ending::Say(bytes) | Ending::Stall(bytes)) = &ending;
        let _ = stream.write_all(bytes.as_bytes()).await;
        match ending {
            Ending::Go(_) => {}
            Ending::Say(_) => return,
            Ending::Stall(_) => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text);
        }
    }
}

/// Names whose answers are written beforehand, one for each time; the last one stays.
#[derive(Debug)]
pub struct Played {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Played {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        let answers = Mutex::new(answers.iter().map(parse).collect());
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Names for Played {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { Ok(answers.pop_front().unwrap()) } else { Ok(answers[0].clone()) }
    }
}

/// A port on which nobody listens, and nobody else can.
pub fn held_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{GOOD}:0").parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A policy under which the peers of these tests stand for the public network.
pub fn policy(ports: &[u16]) -> Policy {
    Policy {
        ranges: vec![format!("{GOOD}/32").parse().unwrap()],
        ports: ports.to_vec(),
        hosts: Vec::new(),
    }
}

/// A sender that takes `GOOD` for a public address and these ports for usual ones.
pub fn sender(names: Arc<Played>, ports: &[u16], timeout: Span) -> Sender {
    let policy = policy(ports);
    Sender::new(Settings { policy, names, timeout, ..Settings::default() }).unwrap()
}

/// A sender for a peer, under whatever name.
pub fn sender_to(peer: &Peer) -> Sender {
    sender(Played::new(&[&[GOOD]]), &[peer.address.port()], LONG)
}

pub async fn send(sender: &Sender, url: &str) -> Outcome {
    let headers = [("webhook-id", "evt_1"), ("x-lf-algo", "HMAC-SHA1")];
    push(sender, (url, Mode::Test), (&headers, "{\"a\":\"欧\"}")).await
}

/// Sends a push, if its URL is one that pushes go to.
pub async fn push(
    sender: &Sender,
    (url, mode): (&str, Mode),
    (headers, body): (&[(&str, &str)], &str),
) -> Outcome {
    match sender.target(url, mode) {
        Ok(to) => sender.send(Push { to: &to, headers, body: body.to_owned() }).await,
        Err(failure) => Outcome { latency: Span::micros(0), result: Err(failure) },
    }
}
