//! One TLS connection, spoken to byte by byte: for what no well-behaved client does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::PATIENCE;
use super::http::Answer;

pub(crate) struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Connects and shakes hands, offering HTTP/2 before HTTP/1.1 as Go's clients do.
    pub(crate) fn open(
        address: SocketAddr,
        name: ServerName<'static>,
        roots: Arc<RootCertStore>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<Connection> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring knows the versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = StreamOwned::new(client, tcp(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection(stream))
    }

    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.0.conn.protocol_version()
    }

    pub(crate) fn application_protocol(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("the server showed a certificate");
        chain[0].clone().into_owned()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())?;
        self.0.flush()
    }

    /// Posts a whole review and gives the answer; the connection stays open.
    #[track_caller]
    pub(crate) fn post(&mut self, body: &[u8]) -> Answer {
        self.try_post(body).expect("the server answers")
    }

    pub(crate) fn try_post(&mut self, body: &[u8]) -> io::Result<Answer> {
        self.send(post_head(body.len()))?;
        self.send(body)?;
        self.try_answer()
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("the server answers")
    }

    pub(crate) fn try_answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
                (name, HeaderValue::from_str(value).expect("a header's value"))
            })
            .collect();
        let length = headers.get("content-length").and_then(|value| value.to_str().ok()).unwrap_or("0");
        let mut body = vec![0; length.parse().expect("a length")];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status: status.parse().expect("a status"), headers, body })
    }

    /// Waits until the server closes the connection; false when it had something to say instead.
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        is_closed(self.0.read(&mut [0]))
    }
}

pub(crate) fn post_head(length: usize) -> String {
    format!(
        "POST /mutate?timeout=5s HTTP/1.1\r\nHost: pillion\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A TCP connection on which no read or write waits for ever.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether a read met the end of the connection, cut off or not.
pub(crate) fn is_closed(read: io::Result<usize>) -> bool {
    match read {
        Ok(read) => read == 0,
        Err(e) => matches!(
            e.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ),
    }
}
