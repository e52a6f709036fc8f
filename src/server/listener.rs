//! The accept loop that both listeners share: TLS or plain, HTTP/1.1 only, everything bounded.
//!
//! The API server is the only client that matters here. It keeps connections open for 90 seconds without a request and
//! does not repeat a review when one is closed under it. So an idle connection must live longer than that, also while
//! others wait for its place, and a server that shuts down, or has an old connection, closes it with an answer
//! (`Connection: close`).
//!
//! This file stands alone, because the benchmark's bare server is built from it too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;

/// What is read of a connection at a time: a review of ordinary size.
const BUFFER: usize = 32 * 1024;
/// How long the accept loop waits for a connection to end before it asks another one.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How far the shutdown of the server has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// There is no shutdown.
    Serving,
    /// Everything is answered, and each answer asks the client for a new connection.
    Draining,
    /// Nothing new is accepted; what was begun is finished.
    Closing,
}

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time. Further ones wait until one ends, or is closed in their favour.
    pub(crate) connections: u32,
    /// For the TLS handshake, and again for the first request's head, so that silent clients do not hold a place.
    pub(crate) greeting: Duration,
    /// From the accept to the end of the first request's head, when no place is free and another connection waits.
    pub(crate) greeting_when_full: Duration,
    /// For a kept-alive connection between two requests, the next head included.
    pub(crate) idle: Duration,
    /// For a kept-alive connection between two requests, when no place is free and another connection waits.
    pub(crate) idle_when_full: Duration,
    /// For the client to take any of what is written to it.
    pub(crate) write: Duration,
    /// When a connection is older, give or take a tenth, its next answer is its last: the client's next connection may
    /// lead to another replica.
    pub(crate) age: Duration,
    /// Of a request's head, in bytes.
    pub(crate) head: usize,
}

impl Limits {
    /// For an ordinary webhook.
    pub(crate) const DEFAULT: Limits = Limits {
        connections: 1024,
        greeting: Duration::from_secs(10),
        // An API server that has a call to make takes milliseconds.
        greeting_when_full: Duration::from_secs(2),
        // API servers reuse a connection for up to 90 seconds.
        idle: Duration::from_secs(120),
        idle_when_full: Duration::from_secs(95),
        write: Duration::from_secs(30),
        age: Duration::from_secs(300),
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

    /// The address that it is bound to, also when the system chose the port.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the phase is [`Phase::Closing`] and the last connection has ended.
    pub(crate) async fn serve(self, app: Router, phase: watch::Receiver<Phase>) {
        let mut closing = phase.clone();
        let mut closing = pin!(reached(&mut closing, Phase::Closing));
        let mut connections = Connections::default();
        // At most one is accepted beyond the places that there are: it is how a full server knows that somebody waits.
        let mut waiting = None;
        loop {
            connections.forget_ended();
            if connections.tasks.len() < self.limits.connections as usize
                && let Some(stream) = waiting.take()
            {
                let activity = Arc::new(Activity::new());
                let connection = serve_stream(
                    stream,
                    self.tls.clone(),
                    app.clone(),
                    self.limits,
                    phase.clone(),
                    Arc::clone(&activity),
                );
                connections.add(connection, activity);
            }
            if waiting.is_some() {
                connections.ask_the_quietest_to_leave(&self.limits);
            }
            tokio::select! {
                () = closing.as_mut() => break,
                stream = self.accept(), if waiting.is_none() => waiting = Some(stream),
                () = connections.one_ended() => {}
                () = sleep(ASK_AGAIN), if waiting.is_some() => {}
            }
        }
        drop((self.socket, waiting));
        while connections.tasks.join_next().await.is_some() {}
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

/// The connections of a listener. Only its accept loop has them.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    activities: HashMap<Id, Arc<Activity>>,
}

impl Connections {
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static, activity: Arc<Activity>) {
        let task = self.tasks.spawn(connection);
        self.activities.insert(task.id(), activity);
    }

    /// Waits until a connection ends, which is for ever while there is none.
    async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        self.activities.remove(&ended.map_or_else(|panicked| panicked.id(), |(id, ())| id));
    }

    /// Whoever has been quiet for longest is the least likely to be an API server: those that have sent no request are
    /// closed within seconds anyway, so an idle connection that may be closed has always been quiet for longer.
    fn ask_the_quietest_to_leave(&self, limits: &Limits) {
        let may_leave = self.activities.values().filter_map(|activity| Some((activity.quiet(limits)?, activity)));
        if let Some((_, activity)) = may_leave.max_by_key(|(quiet, _)| *quiet) {
            activity.leave.notify_one();
        }
    }
}

/// What a connection is doing. Its own task writes it and decides by it; the accept loop only reads it, and only when
/// no place is free, so that requests of different connections share no lock.
struct Activity {
    accepted: Instant,
    /// The time from `accepted` to the last answer, in nanoseconds, or one of the constants below.
    idle_since: AtomicU64,
    leave: Notify,
}

/// A request has arrived, and its answer is not there yet.
const IN_FLIGHT: u64 = u64::MAX;
/// There was no request yet: the handshake, or the first head, is still to come in whole.
const NO_REQUEST: u64 = u64::MAX - 1;

impl Activity {
    fn new() -> Activity {
        Activity { accepted: Instant::now(), idle_since: AtomicU64::new(NO_REQUEST), leave: Notify::new() }
    }

    fn has_spoken(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) != NO_REQUEST
    }

    fn request_begins(&self) {
        self.idle_since.store(IN_FLIGHT, Ordering::Relaxed);
    }

    /// Also gives the age of the connection.
    fn request_ends(&self) -> Duration {
        let age = self.accepted.elapsed();
        self.idle_since.store(age.as_nanos() as u64, Ordering::Relaxed);
        age
    }

    /// For how long no request has come, if the connection may be closed because another one waits.
    ///
    /// Half of a head is no request: neither the first one, which could arrive byte by byte to keep the place, nor a
    /// later one, because who begins it so late is no API server. An answer that its client has not taken after all
    /// that time does not count either.
    fn quiet(&self, limits: &Limits) -> Option<Duration> {
        let age = self.accepted.elapsed();
        match self.idle_since.load(Ordering::Relaxed) {
            NO_REQUEST => Some(age).filter(|age| *age > limits.greeting_when_full),
            IN_FLIGHT => None,
            since => Some(age.saturating_sub(Duration::from_nanos(since))).filter(|idle| *idle > limits.idle_when_full),
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
    // A sender that is gone counts as closing.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

async fn serve_stream(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    mut phase: watch::Receiver<Phase>,
    activity: Arc<Activity>,
) {
    // Without this, small answers wait for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before it began");
        return;
    }
    // Below TLS, whose buffer would make a write look like progress that the client has not read.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write));
    let stream = Box::pin(stream);
    let Some(tls) = tls else {
        return serve_connection(stream, app, limits, phase, &activity).await;
    };
    tokio::select! {
        shaken = timeout(limits.greeting, tls.accept(stream)) => match shaken {
            Ok(Ok(stream)) => serve_connection(stream, app, limits, phase, &activity).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
        () = activity.leave.notified() => tracing::debug!("closed in favour of another connection"),
        () = reached(&mut phase, Phase::Closing) => {}
    }
}

async fn serve_connection<S>(
    stream: S,
    app: Router,
    limits: Limits,
    mut phase: watch::Receiver<Phase>,
    activity: &Activity,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let app = TowerToHyperService::new(app);
    let now = &phase.clone();
    let old = give_or_take_a_tenth(limits.age);
    let service = service_fn(|request| {
        activity.request_begins();
        let answer = app.call(request);
        async move {
            let mut response = answer.await?;
            let age = activity.request_ends();
            // A refused request may have left its body unread, and then nothing can follow it.
            if *now.borrow() >= Phase::Draining || response.status().is_client_error() || age >= old {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_header_size(limits.head).max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));

    let mut greeting = pin!(sleep(limits.greeting));
    let mut greeted = false;
    let mut closing = false;
    loop {
        tokio::select! {
            // The connection first: a request that is there already counts.
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = greeting.as_mut(), if !greeted => {
                if !activity.has_spoken() {
                    tracing::debug!("connection without a request");
                    return;
                }
                greeted = true;
            }
            () = activity.leave.notified() => {
                if activity.quiet(&limits).is_some() {
                    tracing::debug!("closed in favour of another connection");
                    return;
                }
            }
            () = reached(&mut phase, Phase::Closing), if !closing => {
                if !activity.has_spoken() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
        }
    }
}

/// Varies an age, so that connections that began together do not end together.
fn give_or_take_a_tenth(age: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    age.mul_f64(0.9 + 0.2 * random)
}

#[cfg(test)]
#[path = "listener/tests.rs"]
mod tests;
