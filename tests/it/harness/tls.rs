//! A small HTTPS server on loopback that answers every request with JSON.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::authority::Authority;

pub(crate) struct Server {
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
}

/// Serves until the test process ends. What was asked is the body; `null` when there was none.
pub(crate) fn serve(answer: impl Fn(&Value) -> Value + Clone + Send + 'static) -> Server {
    let authority = Authority::new();
    let config = authority.issue().server_config();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, answer) = (Arc::clone(&config), answer.clone());
            std::thread::spawn(move || converse(stream, config, answer));
        }
    });
    Server { authority, address }
}

/// Answers until the client has no more.
fn converse(stream: TcpStream, config: Arc<ServerConfig>, answer: impl Fn(&Value) -> Value) {
    let connection = ServerConnection::new(config).expect("a server");
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(body) = read_body(&mut stream) {
        let answer = answer(&body).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        if stream.get_mut().write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn read_body(stream: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&body).ok() }
}
