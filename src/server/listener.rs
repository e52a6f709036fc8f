//! The accept loop that both listeners share: TLS or plain, HTTP/1.1 only, everything bounded.
//!
//! The API server is the only client that matters here. It keeps connections open for 90 seconds without a request and
//! does not repeat a review when one is closed under it, so an idle connection must live longer than that, and a
//! server that is going away says so (`Connection: close`) before it closes anything.
//!
//! This file stands alone, because the benchmark's bare server is built from it too.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// Business as usual.
    Serving,
    /// Everything is answered, and each answer asks the client to go elsewhere next time.
    Draining,
    /// Nothing new is accepted; what was begun is finished.
    Closing,
}

/// What one listener grants its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time. Further ones wait in the kernel's queue.
    pub(crate) connections: u32,
    /// For the TLS handshake, and again for the first request's head, so that silent strangers do not hold a place.
    pub(crate) greeting: Duration,
    /// For a kept-alive connection between two requests, the next head included.
    pub(crate) idle: Duration,
    /// For the client to take any of what is written to it.
    pub(crate) write: Duration,
    /// Of a request's head, in bytes.
    pub(crate) head: usize,
}

impl Limits {
    /// For an ordinary webhook.
    pub(crate) const DEFAULT: Limits = Limits {
        connections: 1024,
        greeting: Duration::from_secs(10),
        // API servers reuse a connection for up to 90 seconds.
        idle: Duration::from_secs(120),
        write: Duration::from_secs(30),
        head: 16 * 1024,
    };
}

/// A bound socket, not yet accepting.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl Listener {
    /// Binds `address`; with `tls`, every connection begins with a handshake.
    pub(crate) async fn bind(address: SocketAddr, tls: Option<ServerConfig>, limits: Limits) -> io::Result<Listener> {
        let socket = TcpListener::bind(address).await?;
        Ok(Listener { socket, tls: tls.map(|config| Arc::new(config).into()), limits })
    }

    /// Where it really listens, when the port was left to the system.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the phase is [`Phase::Closing`] and the last connection has ended.
    pub(crate) async fn serve(self, app: Router, phase: watch::Receiver<Phase>) {
        let places = Arc::new(Semaphore::new(self.limits.connections as usize));
        let mut closing = phase.clone();
        let accepting = async {
            loop {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                let stream = self.accept().await;
                let connection = serve_stream(stream, self.tls.clone(), app.clone(), self.limits, phase.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            () = reached(&mut closing, Phase::Closing) => {}
        }
        drop(self.socket);
        let _all = places.acquire_many(self.limits.connections).await;
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "connection accepted");
                    return stream;
                }
                // The client has gone again already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Mostly: out of file descriptors. Trying again at once would only burn the processor.
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// The TLS side of a listener: TLS 1.2 and 1.3, HTTP/1.1 only, the certificate chosen anew for each handshake.
pub(crate) fn tls(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // API servers speak HTTP/1.1 to webhooks in a cluster, and keep no TLS sessions.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // A sender that is gone cannot announce anything any more, which is as final as closing.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

async fn serve_stream(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    phase: watch::Receiver<Phase>,
) {
    // Without this, small answers wait for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before it began");
        return;
    }
    // Below TLS, which has a buffer of its own and would pass for progress what only fills that.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write));
    let stream = Box::pin(stream);
    let Some(tls) = tls else {
        return serve_connection(stream, app, limits, phase).await;
    };
    match timeout(limits.greeting, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve_connection(stream, app, limits, phase).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

async fn serve_connection<S>(stream: S, app: Router, limits: Limits, mut phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let app = TowerToHyperService::new(app);
    let spoken = AtomicBool::new(false);
    let now = &phase.clone();
    let service = service_fn(|request| {
        spoken.store(true, Ordering::Relaxed);
        let answer = app.call(request);
        async move {
            let mut response = answer.await?;
            // A refused request may have left its body unread, and then nothing can follow it.
            if *now.borrow() >= Phase::Draining || response.status().is_client_error() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_header_size(limits.head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));

    let mut greeting = pin!(sleep(limits.greeting));
    let mut greeted = false;
    let mut closing = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = greeting.as_mut(), if !greeted => {
                if !spoken.load(Ordering::Relaxed) {
                    tracing::debug!("connection without a request");
                    return;
                }
                greeted = true;
            }
            () = reached(&mut phase, Phase::Closing), if !closing => {
                if !spoken.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
        }
    }
}

#[cfg(test)]
#[path = "listener/tests.rs"]
mod tests;
