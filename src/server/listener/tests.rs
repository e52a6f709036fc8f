//! Over real TLS, with limits so short or so long that only one of them can be what is seen.

use std::io::{Read, Write as _};
use std::net;
use std::sync::mpsc;
use std::thread;

use axum::body::Bytes;
use axum::routing::{MethodRouter, post};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::runtime::Runtime;

use super::*;
use crate::certs::{Serving, dev};

/// Longer than any test.
const EVER: Duration = Duration::from_secs(3600);
/// One connection, and nobody loses it for being slow or old.
const PATIENT: Limits = Limits {
    connections: 1,
    greeting: EVER,
    greeting_when_full: EVER,
    idle: EVER,
    idle_when_full: EVER,
    write: EVER,
    age: EVER,
    ..Limits::DEFAULT
};

struct Server {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    phase: watch::Sender<Phase>,
    _runtime: Runtime,
}

impl Server {
    /// Serves `app` at `/`.
    fn start(limits: Limits, app: MethodRouter) -> Server {
        let (pair, authority) = dev::make().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let runtime = Runtime::new().unwrap();
        let tls = tls(Arc::new(Serving::new(pair))).unwrap();
        let bound = Listener::bind(([127, 0, 0, 1], 0).into(), Some(tls), limits);
        let listener = runtime.block_on(bound).unwrap();
        let address = listener.address().unwrap();
        let (phase, phases) = watch::channel(Phase::Serving);
        runtime.spawn(listener.serve(Router::new().route("/", app), phases));
        Server { address, client: Arc::new(client), phase, _runtime: runtime }
    }

    /// Serves what sends back what it got.
    fn echo(limits: Limits) -> Server {
        Server::start(limits, post(async |body: Bytes| body))
    }

    fn tcp(&self) -> net::TcpStream {
        let stream = net::TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn connect(&self) -> Connection {
        let client = ClientConnection::new(Arc::clone(&self.client), ServerName::from(self.address.ip())).unwrap();
        let mut stream = StreamOwned::new(client, self.tcp());
        stream.conn.complete_io(&mut stream.sock).unwrap();
        Connection(stream)
    }
}

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

struct Connection(StreamOwned<ClientConnection, net::TcpStream>);

impl Connection {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Sends a request, and gives the answer to it.
    fn ask(&mut self) -> String {
        self.send(REQUEST);
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhi") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }
}

/// Waits for the end of a connection on which nothing more is said.
fn is_closed(mut stream: impl Read) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_loses_its_place() {
    // More than the kernel takes for somebody who does not read.
    let large = Bytes::from(vec![b'x'; 64 << 20]);
    let large_or_echo = async move |body: Bytes| if body == "large" { large.clone() } else { body };
    let server = Server::start(Limits { write: Duration::from_millis(200), ..PATIENT }, post(large_or_echo));
    let mut reads_no_more = server.connect();
    reads_no_more.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nlarge");
    reads_no_more.0.read_exact(&mut [0]).expect("the answer begins");

    server.connect().ask();
}

#[test]
fn when_no_place_is_free_who_has_sent_no_request_makes_room_the_oldest_first() {
    let server = Server::echo(Limits { connections: 3, greeting_when_full: Duration::ZERO, ..PATIENT });
    let before_handshake = server.tcp();
    let after_handshake = server.connect();
    let mut within_head = server.connect();
    within_head.send(&REQUEST[..20]);

    let (mut first, silent) = (server.connect(), before_handshake);
    first.ask();
    assert!(is_closed(silent));
    let (mut second, silent) = (server.connect(), after_handshake);
    second.ask();
    assert!(is_closed(silent.0));
    let (mut third, silent) = (server.connect(), within_head);
    third.ask();
    assert!(is_closed(silent.0));

    for speaks in [&mut first, &mut second, &mut third] {
        speaks.ask();
    }
}

#[test]
fn when_no_place_is_free_a_newcomer_has_time_to_send_its_request() {
    let server = Server::echo(PATIENT);
    thread::scope(|scope| {
        // Each waits for the place of the one before it.
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| server.connect().ask())).collect();
        for client in clients {
            client.join().expect("it is answered");
        }
    });
}

#[test]
fn when_no_place_is_free_the_longest_idle_makes_room_and_a_younger_one_does_not() {
    let server = Server::echo(Limits { connections: 2, idle_when_full: Duration::from_millis(200), ..PATIENT });
    let (mut longest, mut younger) = (server.connect(), server.connect());
    longest.ask();
    younger.ask();
    // Half of a head is no request, or it would hold the place.
    longest.send(&REQUEST[..20]);

    server.connect().ask();

    assert!(is_closed(longest.0));
    younger.ask();
}

#[test]
fn a_request_in_flight_is_answered_before_its_connection_makes_room() {
    let (arrive, arrived) = mpsc::channel();
    let go_on = Arc::new(Notify::new());
    let waits = {
        let go_on = Arc::clone(&go_on);
        async move |body: Bytes| {
            arrive.send(()).unwrap();
            go_on.notified().await;
            body
        }
    };
    let server = Server::start(Limits { idle_when_full: Duration::ZERO, ..PATIENT }, post(waits));
    let mut in_flight = server.connect();
    thread::scope(|scope| {
        let answered = scope.spawn(move || {
            in_flight.ask();
            in_flight
        });
        arrived.recv().unwrap();
        let waiting = scope.spawn(|| server.connect().ask());
        // Time to ask it to leave, and to ask it again.
        thread::sleep(2 * ASK_AGAIN);
        go_on.notify_one();
        assert!(is_closed(answered.join().expect("the answer came whole").0));

        arrived.recv().unwrap();
        go_on.notify_one();
        waiting.join().expect("the one that waited is served");
    });
}

#[test]
fn an_old_connection_ends_with_an_answer_that_says_so_and_never_without() {
    let server = Server::echo(Limits { age: Duration::from_millis(200), ..PATIENT });
    let mut connection = server.connect();
    let began = Instant::now();
    while !connection.ask().contains("connection: close\r\n") {
        assert!(began.elapsed() < Duration::from_secs(60), "it has not aged");
    }
    assert!(is_closed(connection.0));

    let server = Server::echo(Limits { age: Duration::ZERO, ..PATIENT });
    let mut idle = server.connect();
    idle.0.sock.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(!is_closed(&mut idle.0));
    idle.0.sock.set_read_timeout(None).unwrap();
    assert!(idle.ask().contains("connection: close\r\n"));
}

#[test]
fn a_client_that_has_not_shaken_hands_does_not_hold_up_the_end() {
    let server = Server::echo(Limits { connections: 2, ..PATIENT });
    let silent = server.tcp();
    // Accepted after the silent one.
    server.connect().ask();

    server.phase.send_replace(Phase::Closing);

    assert!(is_closed(silent));
}

#[test]
fn ages_differ_by_up_to_a_tenth() {
    let ages: Vec<_> = (0..100).map(|_| give_or_take_a_tenth(Limits::DEFAULT.age).as_secs_f64()).collect();
    assert!(ages.iter().all(|age| (270.0..=330.0).contains(age)), "{ages:?}");
    let is_spread = |from: f64| ages.iter().any(|age| (from..from + 20.0).contains(age));
    assert!(is_spread(270.0) && is_spread(290.0) && is_spread(310.0), "{ages:?}");
}
