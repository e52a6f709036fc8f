//! The webhook over real TLS: what it speaks, and what it answers to good and to bad input.

use std::io::Write;

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::harness::connection::Connection;
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, names, patched, pod, review_of};

/// As an API server sent it, for a pod that a ReplicaSet made.
const TYPICAL: &[u8] = include_bytes!("../fixtures/reviews/typical.json");
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[test]
fn a_review_comes_back_with_a_patch_that_adds_the_sidecar() {
    let pillion = Setup::new().cookbook("fluent-bit").start();
    let review: Value = serde_json::from_slice(TYPICAL).expect("the fixture is JSON");
    let pod = &review["request"]["object"];

    let answer = pillion.post(TYPICAL);

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = answer.json();
    assert_eq!((&answer["apiVersion"], &answer["kind"]), (&review["apiVersion"], &review["kind"]));
    let response = &answer["response"];
    assert_eq!(response["uid"], review["request"]["uid"]);
    let injected = patched(pod, response);
    assert_eq!(names(&injected, "initContainers"), ["fluent-bit"]);
    assert_eq!(names(&injected, "containers"), ["web", "cache"]);
    assert_eq!(pillion.metric("pillion_injections_total", &["template=\"fluent-bit\""]), 1.0);

    let mut again = review.clone();
    again["request"]["object"] = injected;
    assert_eq!(pillion.answer(&again).get("patch"), None, "our own output needs nothing more");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_http_1_1_alone() {
    let pillion = Pillion::start();
    let review = review_of("by-hand", &pod("web", "log-shipper")).to_string();
    for (version, named) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut connection =
            Connection::open(pillion.webhook, pillion.webhook.ip().into(), pillion.authority.roots(), &[version])
                .expect("a handshake");
        assert_eq!(connection.version(), Some(named));
        assert_eq!(connection.application_protocol(), Some(&b"http/1.1"[..]));
        // Twice: the connection is kept alive.
        for _ in 0..2 {
            let answer = connection.post(review.as_bytes());
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("connection"), None);
        }
    }
}

#[test]
fn what_is_no_review_gets_one_line_that_says_why() {
    let pillion = Pillion::start();
    let secret = "hunter2-hunter2";
    let cases = [
        (format!("{secret} is not JSON"), "not an AdmissionReview"),
        (format!("[\"{secret}\"]"), "not an AdmissionReview"),
        (format!("{{\"apiVersion\": \"admission.k8s.io/v1\", \"more\": \"{secret}\"}}"), "no request"),
        (format!("{{\"request\": {{\"name\": \"{secret}\"}}}}"), "no uid"),
        (String::new(), "not an AdmissionReview"),
    ];
    for (counted, (body, why)) in (1..).zip(&cases) {
        let answer = pillion.post(body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(why), "{body}: {}", answer.text());
        assert_eq!(answer.text().trim_end().lines().count(), 1, "{}", answer.text());
        assert!(!answer.text().contains(secret), "{}", answer.text());
        let labels = ["result=\"error\"", "reason=\"malformed_review\""];
        assert_eq!(pillion.metric("pillion_admission_requests_total", &labels), f64::from(counted));
    }
    pillion.logged("message", "request refused");
    let log = pillion.log().join("\n");
    assert!(!log.contains(secret), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_body_that_is_too_large_is_not_read() {
    let pillion = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--max-body-bytes", "20000"]).start();
    assert_eq!(pillion.post(vec![b' '; 20_001]).status, 413);
    assert_eq!(pillion.post(review_of("small", &pod("web", "log-shipper")).to_string()).status, 200);

    // Nor when nobody says beforehand how large it is.
    let mut connection = pillion.connect();
    connection
        .send(
            "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .expect("a head");
    for _ in 0..3 {
        connection.send(format!("{:x}\r\n{}\r\n", 8000, " ".repeat(8000))).expect("a chunk");
    }
    assert_eq!(connection.answer().status, 413);
}

#[test]
fn four_mebibytes_are_taken_and_no_more() {
    let pillion = Pillion::start();
    assert_eq!(pillion.post(vec![b' '; 4 << 20]).status, 400, "taken, and then found to be no review");
    assert_eq!(pillion.post(vec![b' '; (4 << 20) + 1]).status, 413);
}

#[test]
fn a_review_that_is_too_large_is_refused_by_what_stands_before_its_object() {
    let pillion = Pillion::start();
    let mut connection = pillion.connect();
    let mut review = review_of("large", &pod("web", "log-shipper"));
    let object = review["request"]["object"].take().to_string();
    let padded = object.replacen('{', &format!("{{\"padding\": \"{}\",", "x".repeat(5 << 20)), 1);
    let body = review.to_string().replacen("\"object\":null", &format!("\"object\":{padded}"), 1);

    let answer = connection.post(body.as_bytes());

    assert_eq!(answer.status, 200);
    let response = answer.json()["response"].take();
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("large"), &json!(false)));
    let message = response["status"]["message"].as_str().expect("a refusal says why");
    assert!(message.contains("more than 4194304 bytes"), "{message}");
    let page = "(too_large: https://github.com/pillion-dev/pillion/blob/main/docs/reasons.md#too_large)";
    assert!(message.ends_with(page), "{message}");
    assert_eq!(pillion.logged("uid", "large")["reason"], "too_large");
    // All of it was read, so that the connection can go on.
    assert_eq!(connection.post(review_of("next", &pod("web", "log-shipper")).to_string().as_bytes()).status, 200);
}

#[test]
fn a_wrong_method_path_or_content_type_has_its_own_status() {
    let pillion = Pillion::start();
    let review = review_of("misdirected", &pod("web", "log-shipper")).to_string();
    let send = |method, path, headers: &[(&str, &str)]| pillion.send(method, path, headers, review.as_bytes()).status;
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(send(method, "/mutate", &JSON), 405, "{method}");
    }
    assert_eq!(pillion.send("GET", "/mutate", &[], &[]).status, 405);
    for path in ["/", "/mutate/", "/Mutate", "/metrics", "/mutate/../mutate", "/readyz"] {
        assert_eq!(send("POST", path, &JSON), 404, "{path}");
    }
    for kind in ["text/plain", "application/yaml", "application/json-patch+json"] {
        assert_eq!(send("POST", "/mutate", &[("content-type", kind)]), 415, "{kind}");
    }
    assert_eq!(send("POST", "/mutate", &[("content-type", "application/json; charset=utf-8")]), 200);
}

#[test]
fn what_is_not_ours_to_change_passes_with_a_reason_of_its_own() {
    let pillion = Pillion::start();
    let review = review_of("x", &pod("web", "log-shipper"));
    let mut v1beta1 = review.clone();
    v1beta1["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut service = review.clone();
    service["request"]["kind"]["kind"] = json!("Service");
    service["request"]["object"]["kind"] = json!("Service");
    let mut update = review.clone();
    update["request"]["operation"] = json!("UPDATE");
    let mut subresource = review.clone();
    subresource["request"]["subResource"] = json!("ephemeralcontainers");

    let cases = [
        (v1beta1, "unsupported_version"),
        (service, "not_a_pod"),
        (update, "not_a_create"),
        (subresource, "subresource"),
    ];
    for (mut review, reason) in cases {
        review["request"]["uid"] = json!(reason);
        let answer = pillion.post(review.to_string());
        assert_eq!(answer.status, 200, "{reason}: {}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["apiVersion"], review["apiVersion"]);
        assert_eq!(answer["response"]["uid"], reason);
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
        assert_eq!(answer["response"].get("patch"), None, "{answer}");
        assert_eq!(pillion.logged("uid", reason)["reason"], reason);
        let label = format!("reason=\"{reason}\"");
        assert_eq!(pillion.metric("pillion_admission_requests_total", &[&label]), 1.0);
    }
}

#[test]
fn deep_nesting_and_megabytes_of_junk_are_answered_in_bounded_memory() {
    let pillion = Pillion::start();
    let with_junk = |junk: &str| {
        let review = review_of("junk", &pod("web", "log-shipper")).to_string();
        review.replacen("\"spec\":{", &format!("\"spec\":{{\"junk\":{junk},"), 1)
    };
    let deep = 100_000;
    let megabytes = 3 << 20;
    let junk = [
        "[".repeat(deep) + &"]".repeat(deep),
        "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep),
        format!("[{}]", vec!["{}"; megabytes / 3].join(",")),
        format!("\"{}\"", "x".repeat(megabytes)),
        format!("\"{}\"", "\\u0000".repeat(megabytes / 6)),
        format!("[{}]", vec!["1e400"; megabytes / 6].join(",")),
        "[".repeat(megabytes),
    ];
    for junk in &junk {
        let answer = pillion.post(with_junk(junk));
        let start = &junk[..20];
        assert!([200, 400].contains(&answer.status), "{start}: {} {}", answer.status, answer.text());
        assert!(answer.body.len() < 100_000, "{start}: an answer of {} bytes", answer.body.len());
    }
    let deep_labels = format!("{{\"a\":{}1{}}}", "[".repeat(deep), "]".repeat(deep));
    let answer = pillion.post(with_junk("1").replacen(
        "\"annotations\"",
        &format!("\"labels\":{deep_labels},\"annotations\""),
        1,
    ));
    assert!([200, 400].contains(&answer.status), "{}", answer.text());

    let fine = review_of("fine", &pod("web", "log-shipper"));
    assert_eq!(names(&patched(&fine["request"]["object"], &pillion.answer(&fine)), "initContainers"), ["log-shipper"]);
    let memory = pillion.metric("process_resident_memory_bytes", &[]);
    assert!(memory < 256e6, "{memory} bytes are resident");
    assert!(!pillion.log().join("\n").contains("panicked"));
}

#[test]
fn plain_http_on_the_tls_port_is_turned_away() {
    let pillion = Pillion::start();
    let mut stream = crate::harness::connection::tcp(pillion.webhook).expect("the server listens");
    stream.write_all(b"GET /mutate HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server takes bytes");
    let mut answer = Vec::new();
    // It may end the connection with an alert, or cut it.
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
