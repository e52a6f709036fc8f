//! `-f https://…`: a manifest by its URL, fetched as kubectl does it, which follows redirects and tries again when a server
//! has a fault of its own.
//!
//! Users, passwords and queries of URLs may be secrets. No message repeats them.

use std::io;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::CertificateError;
use ureq::http::StatusCode;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, ResponseExt as _};

use crate::files::read_text;
use crate::version::VERSION;

/// How often a server is asked that answers with a fault of its own.
const ATTEMPTS: usize = 3;

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The largest answer.
    bytes: u64,
    /// The longest time for everything.
    patience: Duration,
    /// The time before another attempt.
    pause: Duration,
}

/// Those of every command.
pub(super) const LIMITS: Limits =
    Limits { bytes: 16 * 1024 * 1024, patience: Duration::from_secs(30), pause: Duration::from_secs(1) };

/// Whether a name of `-f` is a URL.
pub(super) fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// A URL as it may be shown: without what can be a secret in it.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    if !port.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
        // A password that holds a slash ends up here.
        return format!("{scheme}://…");
    }
    match path.split_once(['?', '#']) {
        Some((path, _)) => format!("{scheme}://{host}{path}?…"),
        None => format!("{scheme}://{host}{path}"),
    }
}

/// Fetches a text; if that fails, tells why, and what to do.
pub(super) fn fetch(url: &str, limits: Limits) -> Result<String, String> {
    let begin = Instant::now();
    let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
    let agent = agent();
    let mut attempt = 1;
    loop {
        let left = limits.patience.saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
        let request = agent.get(&uri).config().timeout_global(Some(left)).build();
        let mut answer = request.call().map_err(|error| sentence(&error, limits))?;
        let status = answer.status();
        if status.is_server_error() && attempt < ATTEMPTS && limits.pause < left {
            attempt += 1;
            sleep(limits.pause);
            continue;
        }
        let last = shown(&answer.get_uri().to_string());
        if status != StatusCode::OK {
            let place = if last == shown(url) { String::new() } else { format!(" {last}, to which it led,") };
            return Err(format!("the server{place} answered {status}; {}", advice(status)));
        }
        let text = read_text(answer.body_mut().as_reader(), limits.bytes)
            .map_err(|error| sentence(&ureq::Error::from(error), limits))?;
        if text.trim_start().starts_with('<') {
            return Err("a web page, and no manifest; of a file on GitHub, name the address behind \"Raw\"".to_owned());
        }
        return Ok(text);
    }
}

/// A client that trusts the authorities of the system, and asks the proxy that `HTTPS_PROXY` and its like name.
fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .user_agent(format!("pillion/{VERSION}"))
        .build()
        .new_agent()
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "fetch the file with a client that has the rights, and pipe it into -f -"
        }
        status if status.is_server_error() => "try again later",
        _ => "check the URL",
    }
}

fn sentence(error: &ureq::Error, limits: Limits) -> String {
    match error {
        ureq::Error::Timeout(_) => {
            let seconds = limits.patience.as_secs_f64();
            format!("not read within {seconds} s; fetch the file in another way, and name it with -f")
        }
        ureq::Error::TooManyRedirects => "redirected more than 10 times; check the URL".to_owned(),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            "not a URL, or it redirects to something that is none".to_owned()
        }
        ureq::Error::ConnectProxyFailed(why) => {
            format!("the proxy that HTTPS_PROXY or its like names refuses: {why}")
        }
        ureq::Error::Rustls(error) => tls_sentence(error),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => tls_sentence(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the server ended the connection before its answer was complete; try again".to_owned()
            }
            None => error.to_string(),
        },
        error => error.to_string(),
    }
}

fn tls_sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the server's certificate is not from an authority that this system trusts; make it trusted, or name a file with \
             its certificate in SSL_CERT_FILE"
                .to_owned()
        }
        rustls::Error::InvalidMessage(_) => format!("the server does not speak TLS there ({error}); check the port"),
        rustls::Error::General(why) if why.starts_with("No CA certificates") => {
            "no trusted certificate is found on this system; install its ca-certificates, or name a file in SSL_CERT_FILE"
                .to_owned()
        }
        error => format!("TLS failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn what_can_be_a_secret_is_not_shown() {
        for (url, expected) in [
            ("https://example.com/a/b@1.yaml", "https://example.com/a/b@1.yaml"),
            ("https://example.com:8443", "https://example.com:8443"),
            ("https://[::1]/a", "https://[::1]/a"),
            ("https://[::1]:8443/a", "https://[::1]:8443/a"),
            ("https://me:pass@example.com/a", "https://example.com/a"),
            ("https://me:p@ss@example.com:1/a", "https://example.com:1/a"),
            ("https://me:pa/ss@example.com/a", "https://…"),
            ("https://example.com/a?token=t", "https://example.com/a?…"),
            ("https://example.com?token=t/@", "https://example.com?…"),
            ("https://example.com/a#t", "https://example.com/a?…"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let limits = Limits { patience: Duration::from_millis(200), ..LIMITS };
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{}/a", listener.local_addr().unwrap());
            let why = fetch(&url, limits).unwrap_err();
            assert!(why.starts_with("not read within 0.2 s"), "{why}");
        }
    }

    #[test]
    fn a_server_with_a_fault_of_its_own_is_asked_again() {
        let limits = Limits { pause: Duration::ZERO, ..LIMITS };
        for (faults, expected) in [
            (2, Ok("kind: Pod".to_owned())),
            (3, Err("the server answered 503 Service Unavailable; try again later".to_owned())),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/a", listener.local_addr().unwrap());
            let server = thread::spawn(move || {
                for at in 0..3 {
                    let mut stream = BufReader::new(listener.accept().unwrap().0);
                    while stream.by_ref().lines().next().is_some_and(|line| !line.unwrap().is_empty()) {}
                    let status = if at < faults { "503 Service Unavailable" } else { "200 OK" };
                    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 9\r\n\r\n");
                    stream.get_mut().write_all((head + "kind: Pod").as_bytes()).unwrap();
                }
            });
            assert_eq!(fetch(&url, limits), expected);
            server.join().unwrap();
        }
    }
}
