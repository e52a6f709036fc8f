//! A web server on loopback, with TLS or without, that answers as it is told, byte for byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How a server gets at its requests.
#[derive(Clone)]
pub(crate) enum Access {
    /// In plain HTTP.
    Plain,
    /// Over TLS.
    Tls(Arc<ServerConfig>),
    /// Over TLS through a proxy, which it is itself.
    Proxy(Arc<ServerConfig>),
}

/// Serves until the test process ends. `answer` gets the head of a request, lines and all, and writes the whole answer.
pub(crate) fn serve(access: Access, answer: impl Fn(&str, &mut dyn Write) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (access, answer) = (access.clone(), answer.clone());
            std::thread::spawn(move || converse(stream, access, answer));
        }
    });
    address
}

fn converse(mut stream: TcpStream, access: Access, answer: impl Fn(&str, &mut dyn Write)) {
    let config = match access {
        Access::Plain if is_handshake(&stream) => return refuse(stream),
        Access::Plain => return reply(stream, answer),
        Access::Tls(config) => config,
        Access::Proxy(config) => {
            let head = head(&mut stream);
            if !head.starts_with("CONNECT ") || stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
                return;
            }
            config
        }
    };
    let connection = ServerConnection::new(config).expect("a server");
    reply(StreamOwned::new(connection, stream), answer);
}

/// Whether the client begins with TLS.
fn is_handshake(stream: &TcpStream) -> bool {
    let mut first = [0];
    stream.peek(&mut first).is_ok() && first == [22]
}

/// Answers as servers without TLS do, and reads all that comes, so that the answer arrives.
fn refuse(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let _ = io::copy(&mut stream, &mut io::sink());
}

fn reply(mut stream: impl Read + Write, answer: impl Fn(&str, &mut dyn Write)) {
    let head = head(&mut stream);
    // The client may not trust it, or have had enough.
    if !head.is_empty() {
        answer(&head, &mut stream);
        let _ = stream.flush();
    }
}

/// Nothing that is behind the head is read.
fn head(stream: &mut impl Read) -> String {
    let mut head = String::new();
    let mut one_by_one = BufReader::with_capacity(1, stream);
    while one_by_one.read_line(&mut head).is_ok_and(|length| length > 2) {}
    head
}
