//! Over real TLS, with limits so short or so long that only one of them can be what is seen.

use std::io::{Read as _, Write as _};
use std::net;

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
const PATIENT: Limits = Limits { connections: 1, greeting: EVER, idle: EVER, write: EVER, ..Limits::DEFAULT };

struct Server {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    _phase: watch::Sender<Phase>,
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
        Server { address, client: Arc::new(client), _phase: phase, _runtime: runtime }
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
