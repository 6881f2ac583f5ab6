//! Receivers behind TLS: HTTP/2 where it is offered, and certificates that must be the host's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use domain::Mode;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pushes::{FailureKind, Outcome, Sender, Settings};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::peer::{GOOD, HOST, LONG, Played, policy, push};

/// A receiver with a certificate of its own.
struct Peer {
    address: SocketAddr,
    certificate_pem: String,
    /// The bodies that it got, and over how many connections.
    seen: Arc<Mutex<(Vec<String>, usize)>>,
}

impl Peer {
    /// One whose certificate is for a host and which offers HTTP/1 or HTTP/2.
    async fn start(host: &str, offers: &'static str) -> Self {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![offers.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(format!("{GOOD}:0")).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new((Vec::new(), 0)));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                shared.lock().unwrap().1 += 1;
                let (stream, seen) = (TokioIo::new(stream), Arc::clone(&shared));
                let service = service_fn(move |request| take(request, Arc::clone(&seen)));
                tokio::spawn(async move {
                    if offers == "h2" {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(stream, service).await;
                    } else {
                        let server = hyper::server::conn::http1::Builder::new();
                        let _ = server.serve_connection(stream, service).await;
                    }
                });
            }
        });
        Self { address, certificate_pem: made.cert.pem(), seen }
    }

    fn sender(&self, trusted: bool) -> Sender {
        let roots_pem =
            if trusted { vec![self.certificate_pem.clone().into_bytes()] } else { vec![] };
        let policy = policy(&[self.address.port()]);
        let names = Played::new(&[&[GOOD]]);
        Sender::new(Settings { policy, names, roots_pem, timeout: LONG }).unwrap()
    }

    async fn push(&self, sender: &Sender) -> Outcome {
        let url = format!("https://{HOST}:{}/", self.address.port());
        push(sender, (&url, Mode::Live), (&[], "{}")).await
    }
}

async fn take(
    request: Request<Incoming>,
    seen: Arc<Mutex<(Vec<String>, usize)>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    seen.lock().unwrap().0.push(String::from_utf8(body.to_vec()).unwrap());
    Ok(Response::new(Full::new(Bytes::from_static(b"taken"))))
}

#[tokio::test]
async fn http_2_where_it_is_offered() {
    for (offers, http) in [("h2", "HTTP/2.0"), ("http/1.1", "HTTP/1.1")] {
        let peer = Peer::start(HOST, offers).await;
        let sender = peer.sender(true);
        for _ in 0..3 {
            let told = peer.push(&sender).await.result.unwrap();
            assert_eq!((told.status, told.http.as_str(), told.text.as_str()), (200, http, "taken"));
        }
        assert_eq!(*peer.seen.lock().unwrap(), (vec!["{}".to_owned(); 3], 1));
    }
}

#[tokio::test]
async fn a_certificate_is_one_that_is_trusted_and_the_hosts_own() {
    let stranger = Peer::start(HOST, "h2").await;
    let other = Peer::start("other.example.com", "h2").await;
    for (peer, trusted) in [(stranger, false), (other, true)] {
        let failure = peer.push(&peer.sender(trusted)).await.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Connection);
        assert!(failure.words.contains("certificate"), "{failure}");
        assert!(peer.seen.lock().unwrap().0.is_empty());
    }
}

#[test]
fn what_is_no_certificate_is_said_at_once() {
    let roots_pem = vec![b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec()];
    assert!(Sender::new(Settings { roots_pem, ..Settings::default() }).is_err());
}
