//! Partners' servers, in a process of their own: each takes whatever comes and does nothing with it. What is asked for
//! at [`HANG`] is answered late.

use std::convert::Infallible;
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

/// The word that makes this program the receivers.
pub(crate) const RECEIVE: &str = "__receivers";
/// Where a push is taken at once, and where it is answered late.
pub(super) const HOOK: &str = "/hook";
pub(super) const HANG: &str = "/hang";
/// How late.
const HANGS: Duration = Duration::from_secs(30);

/// Receivers in a process of their own.
#[derive(Debug)]
pub(super) struct Receivers {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(super) ports: Vec<u16>,
}

impl Receivers {
    pub(super) async fn start(many: u16) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([RECEIVE, &many.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("receivers have an output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next_line().await?.context("the receivers did not start")?;
        let ports = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { process, lines, ports })
    }

    /// What lets a mall push to them.
    pub(super) fn option(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(|port| format!(":{port}")).collect();
        format!("--push-allow=127.0.0.0/8,{}", ports.join(","))
    }

    /// Ends them; gives how many requests came.
    pub(super) async fn stop(mut self) -> anyhow::Result<u64> {
        drop(self.process.stdin.take());
        let line = self.lines.next_line().await?.context("the receivers ended")?;
        self.process.wait().await?;
        Ok(line.parse()?)
    }
}

/// Serves so many receivers until its input ends; then prints how many requests came.
pub(crate) fn serve(many: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let count = Arc::new(AtomicU64::new(0));
        let mut ports = Vec::new();
        for _ in 0..many.parse::<u16>()? {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push(listener.local_addr()?.port().to_string());
            tokio::spawn(listen(listener, Arc::clone(&count)));
        }
        println!("{}", ports.join(" "));
        // Nothing is ever written to it: it ends with whoever started this.
        let ended = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(ended).await??;
        println!("{}", count.load(Ordering::Relaxed));
        Ok(())
    })
}

async fn listen(listener: TcpListener, count: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Without it an answer may wait for more to send.
        let _ = stream.set_nodelay(true);
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let answer = service_fn(move |request: hyper::Request<Incoming>| {
                let count = Arc::clone(&count);
                async move {
                    if request.uri().path() == HANG {
                        tokio::time::sleep(HANGS).await;
                    }
                    let came = request.into_body().collect().await;
                    count.fetch_add(u64::from(came.is_ok()), Ordering::Relaxed);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            // Whoever hangs up has what it wanted.
            let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
