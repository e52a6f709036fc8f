//! Manifests and templates by URL.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::harness::authority::Authority;
use crate::harness::pillion::{LOG_SHIPPER, pod, review_of};
use crate::harness::site::{Access, serve};
use crate::harness::tools::{Ran, run};

/// Runs the program with these variables, and no others that say whom to trust and which proxy to ask.
fn pillion(variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let env = Path::new("/usr/bin/env");
    let proxies = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
    let unset =
        proxies.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned(), "-u".to_owned(), name.to_lowercase()]);
    let set = variables.iter().map(|(name, value)| format!("{name}={value}"));
    let program = [env!("CARGO_BIN_EXE_pillion")].into_iter().chain(arguments.iter().copied()).map(str::to_owned);
    run(env, unset.chain(set).chain(program).collect::<Vec<_>>(), "")
}

/// A file in which the authority's certificate is.
fn trusted(authority: &Authority) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(authority.pem().as_bytes()).expect("the file is writable");
    file
}

fn ok(out: &mut dyn Write, body: &[u8]) {
    let _ = write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = out.write_all(body);
}

/// What each path of the site answers.
fn answer(head: &str, out: &mut dyn Write) {
    let path = head.split(' ').nth(1).expect("a request has a path");
    let empty = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let redirect = |to: &str| empty(&format!("302 Found\r\nLocation: {to}"));
    let short = match path.split('?').next().expect("a first part") {
        "/pod.yaml" => return ok(out, pod("web", "shared-processes").to_string().as_bytes()),
        "/template.yaml" => return ok(out, LOG_SHIPPER.as_bytes()),
        "/review.json" => return ok(out, review_of("a1", &pod("web", "shared-processes")).to_string().as_bytes()),
        "/page" => return ok(out, b"\n<!DOCTYPE html><html>"),
        "/latin.yaml" => return ok(out, b"a: \xe9"),
        "/large.yaml" => return ok(out, &vec![b'#'; 16 * 1024 * 1024 + 1]),
        "/cut.yaml" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nkind: Pod".to_owned(),
        "/moved" => redirect("/pod.yaml"),
        "/moved/away" => redirect("/gone?token=s3cret"),
        "/moved/nowhere" => redirect("gopher://example.com"),
        "/round" => redirect("/round"),
        "/forbidden" => empty("403 Forbidden"),
        _ => empty("404 Not Found"),
    };
    let _ = out.write_all(short.as_bytes());
}

#[test]
fn every_command_that_reads_files_reads_urls() {
    let authority = Authority::new();
    let site = serve(Access::Tls(authority.issue().server_config()), answer);
    let trusted = trusted(&authority);
    let trust = [("SSL_CERT_FILE", trusted.path().to_str().expect("a text"))];
    let url = |path: &str| format!("https://{site}{path}");
    let ran = pillion(&trust, &["inject", "-f", &url("/pod.yaml"), "-o", "name"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "pod/web\n"), "{}", ran.stderr);
    assert_eq!(ran.stderr, format!("{}:1 default/pod/web: injected shared-processes\n", url("/pod.yaml")));
    for (command, path, code, says) in [
        ("inject", "/moved", 0, "shareProcessNamespace: true"),
        ("diff", "/pod.yaml", 1, "+  shareProcessNamespace: true"),
        ("explain", "/pod.yaml", 0, "INJECTED  default/pod/web  shared-processes"),
        ("lint", "/template.yaml", 0, ""),
        ("review", "/review.json", 0, r#""uid":"a1""#),
    ] {
        let ran = pillion(&trust, &[command, "-f", &url(path)]);
        assert_eq!(ran.code, code, "{command}: {}", ran.stderr);
        assert!(ran.stdout.contains(says), "{command}: {}", ran.stdout);
    }
}

#[test]
fn what_fails_about_a_url_is_told_with_what_to_do() {
    let site = serve(Access::Plain, answer);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let url = |path: &str| format!("http://{site}{path}");
    for (url, says) in [
        (url("/gone"), "the server answered 404 Not Found; check the URL".to_owned()),
        (
            url("/forbidden"),
            "the server answered 403 Forbidden; fetch the file with a client that has the rights".to_owned(),
        ),
        (
            url("/moved/away"),
            format!("the server {}?…, to which it led, answered 404 Not Found; check the URL", url("/gone")),
        ),
        (url("/moved/nowhere"), "not a URL, or it redirects to something that is none".to_owned()),
        (url("/round"), "redirected more than 10 times; check the URL".to_owned()),
        (url("/page"), "a web page, and no manifest; of a file on GitHub, name the address behind \"Raw\"".to_owned()),
        (url("/latin.yaml"), "line 1 is not UTF-8 text; save the file as UTF-8".to_owned()),
        (url("/large.yaml"), "larger than 16 MiB".to_owned()),
        (url("/cut.yaml"), "the server ended the connection before its answer was complete; try again".to_owned()),
        (format!("http://{nobody}/a"), "Connection refused".to_owned()),
        (format!("https://{site}/a"), "the server does not speak TLS there".to_owned()),
        ("http://there-is-no.invalid/a".to_owned(), "failed to lookup address information".to_owned()),
        ("https://example.com/a b".to_owned(), "not a URL: invalid uri character".to_owned()),
        ("https://".to_owned(), "not a URL".to_owned()),
    ] {
        let ran = pillion(&[], &["inject", "-f", &url]);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{url}: {}", ran.stderr);
        let expected = format!("error: {url}: {says}");
        assert!(ran.stderr.starts_with(&expected) && ran.stderr.lines().count() == 1, "{expected}\n{}", ran.stderr);
    }
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_told_with_what_to_do() {
    let authority = Authority::new();
    let own = serve(Access::Tls(authority.issue().server_config()), answer);
    let other = serve(Access::Tls(authority.issue_for("example.com").server_config()), answer);
    let trusted = trusted(&authority);
    let trusted = trusted.path().to_str().expect("a text");
    let stranger = self::trusted(&Authority::new());
    let stranger = stranger.path().to_str().expect("a text");
    for (site, file, says) in [
        (own, stranger, "not from an authority that this system trusts; make it trusted, or name a file with"),
        (other, trusted, "TLS failed: invalid peer certificate: certificate not valid for name \"127.0.0.1\""),
        (own, "/nowhere", "no trusted certificate is found on this system; install its ca-certificates, or name"),
    ] {
        let trust = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nowhere")];
        let ran = pillion(&trust, &["lint", "-f", &format!("https://{site}/template.yaml")]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stdout.contains(says), "{says}\n{}", ran.stdout);
    }
}

#[test]
fn what_may_be_secret_in_a_url_is_sent_and_not_shown() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let site = serve(Access::Plain, move |head, out| {
        seen.lock().expect("no test panics while it holds the heads").push(head.to_lowercase());
        answer(head, out);
    });
    for path in ["/pod.yaml", "/gone"] {
        let url = format!("http://me:p4ss@{site}{path}?token=t0ken");
        let ran = pillion(&[], &["explain", "-f", &url]);
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains(&format!("http://{site}{path}?…")), "{said}");
        assert!(!said.contains("p4ss") && !said.contains("t0ken"), "{said}");
    }
    let heads = heads.lock().expect("no test panics while it holds the heads");
    assert_eq!(heads.len(), 2);
    let version = env!("CARGO_PKG_VERSION");
    for head in &*heads {
        for sent in ["?token=t0ken ", "authorization: basic bwu6cdrzcw==", &format!("user-agent: pillion/{version}")] {
            assert!(head.contains(sent), "{sent}\n{head}");
        }
    }
}

#[test]
fn a_proxy_is_asked_that_the_usual_variables_name() {
    let authority = Authority::new();
    let config = authority.issue_for("manifests.example").server_config();
    let proxy: SocketAddr = serve(Access::Proxy(config), answer);
    let trusted = trusted(&authority);
    let trust = ("SSL_CERT_FILE", trusted.path().to_str().expect("a text"));
    let proxy = format!("http://{proxy}");
    let arguments = ["inject", "-f", "https://manifests.example/pod.yaml", "-o", "name"];
    let ran = pillion(&[trust, ("HTTPS_PROXY", &proxy)], &arguments);
    assert_eq!((ran.code, &*ran.stdout), (0, "pod/web\n"), "{}", ran.stderr);
    let ran = pillion(&[trust, ("https_proxy", &proxy), ("NO_PROXY", "manifests.example")], &arguments);
    assert!(ran.code == 2 && ran.stderr.contains("failed to lookup address"), "{}", ran.stderr);
    let refuses = format!("http://{}", serve(Access::Plain, answer));
    let ran = pillion(&[trust, ("HTTPS_PROXY", &refuses)], &arguments);
    assert!(ran.code == 2 && ran.stderr.contains("the proxy that HTTPS_PROXY or its like names"), "{}", ran.stderr);
}
