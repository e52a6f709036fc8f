//! What the server tells of itself: readiness, metrics, and one log line a decision.

use std::fs;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod, review_of};
use crate::harness::process::{Folder, Process};
use crate::harness::{eventually, http};

#[test]
fn the_admin_listener_answers_plainly_and_changes_nothing() {
    let pillion = Pillion::start();
    for path in ["/livez", "/healthz", "/readyz", "/readyz?verbose", "/metrics"] {
        assert_eq!(pillion.ask_admin(path).status, 200, "{path}");
    }
    let verbose = pillion.ask_admin("/readyz?verbose").text();
    assert!(verbose.contains("[+]certificate ok"), "{verbose}");
    assert_eq!(pillion.ask_admin("/mutate").status, 404);
    assert_eq!(pillion.ask_admin("/").status, 404);
}

#[test]
fn the_metrics_have_the_names_that_dashboards_rely_on() {
    let pillion = Pillion::start();
    pillion.answer(&review_of("counted", &pod("web", "log-shipper")));
    let answer = pillion.ask_admin("/metrics");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let page = answer.text();
    for metric in [
        "pillion_admission_requests_total counter",
        "pillion_admission_duration_seconds histogram",
        "pillion_injections_total counter",
        "pillion_inflight_requests gauge",
        "pillion_templates_loaded gauge",
        "pillion_config_reloads_total counter",
        "pillion_config_last_reload_success_timestamp_seconds gauge",
        "pillion_certificate_expiration_timestamp_seconds gauge",
        "pillion_certificate_reloads_total counter",
        "pillion_build_info gauge",
        "process_cpu_seconds_total counter",
        "process_resident_memory_bytes gauge",
        "process_open_fds gauge",
    ] {
        assert!(page.contains(&format!("# TYPE {metric}\n")), "{metric} is missing:\n{page}");
    }
    let metrics = pillion.metrics();
    let counted = ["operation=\"CREATE\"", "result=\"injected\"", "reason=\"injected\""];
    assert_eq!(metrics.sum("pillion_admission_requests_total", &counted), 1.0);
    assert_eq!(metrics.sum("pillion_injections_total", &["template=\"log-shipper\""]), 1.0);
    assert_eq!(metrics.sum("pillion_admission_duration_seconds_count", &[]), 1.0);
    assert_eq!(metrics.sum("pillion_templates_loaded", &[]), 1.0);
    assert_eq!(metrics.sum("pillion_build_info", &[]), 1.0);
    assert!(metrics.sum("pillion_certificate_expiration_timestamp_seconds", &[]) > 1.7e9);
    check_with_promtool(&page);
}

fn check_with_promtool(page: &str) {
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        // Past the test runner, which shows the output of a test only when it fails.
        writeln!(stderr(), "promtool check metrics was not run: there is no promtool").expect("stderr is open");
        return;
    };
    promtool.stdin.take().expect("stdin is piped").write_all(page.as_bytes()).expect("promtool reads");
    let checked = promtool.wait_with_output().expect("promtool ends");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn cpu_time_is_not_counted_in_whole_seconds() {
    let seconds = Pillion::start().metric("process_cpu_seconds_total", &[]);
    assert!(seconds > 0.0 && seconds.fract() > 0.0, "{seconds}");
}

#[test]
fn each_decision_is_one_log_line() {
    let pillion = Pillion::start();
    let mut owned = pod("", "log-shipper");
    owned["metadata"]["generateName"] = json!("web-7d9c6b8f5d-");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c6b8f5d", "uid": "u", "controller": true
    }]);
    pillion.answer(&review_of("injected-one", &owned));
    pillion.answer(&review_of("denied-one", &pod("lonely", "log-shiper")));

    let line = pillion.logged("uid", "injected-one");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["namespace"], "shop");
    assert_eq!(line["name"], "web-7d9c6b8f5d-");
    assert_eq!(line["owner"], "ReplicaSet/web-7d9c6b8f5d");
    assert_eq!(line["operation"], "CREATE");
    assert_eq!(line["templates"], "log-shipper=injected");
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("injected"), &json!("injected")));
    assert!(line["operations"].as_u64().is_some_and(|operations| operations > 0), "{line}");
    assert!(line["duration"].as_f64().is_some_and(|seconds| seconds > 0.0), "{line}");

    let line = pillion.logged("uid", "denied-one");
    assert_eq!(line["name"], "lonely");
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("denied"), &json!("unknown_template")));
    for uid in ["injected-one", "denied-one"] {
        assert_eq!(pillion.log().iter().filter(|line| line.contains(uid)).count(), 1);
    }
}

#[test]
fn while_nobody_reads_the_log_reviews_are_answered_and_lines_that_are_dropped_are_counted() {
    let pillion = Pillion::start();
    let mut connection = pillion.connect();
    let review = review_of("unread", &pod("web", "log-shipper")).to_string();
    let answered = pillion.with_log_unread(|| {
        (1_u32..).find(|answered| {
            assert_eq!(connection.post(review.as_bytes()).status, 200);
            answered % 1000 == 0 && pillion.metric("pillion_log_lines_dropped_total", &[]) > 0.0
        })
    });

    eventually("the lines that were not dropped", || {
        let written = pillion.log().iter().filter(|line| line.contains(r#""uid":"unread""#)).count() as f64;
        let dropped = pillion.metric("pillion_log_lines_dropped_total", &[]);
        (answered.map(f64::from) == Some(written + dropped)).then_some(())
    });
}

#[test]
fn of_a_name_that_is_none_the_log_has_the_beginning() {
    let pillion = Pillion::start();
    let mut long = pod(&"n".repeat(100_000), "log-shipper");
    long["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "k".repeat(100_000), "name": "o".repeat(100_000), "controller": true}]);
    pillion.answer(&review_of("long", &long));

    let line = pillion.logged("uid", "long");
    assert_eq!(line["name"], "n".repeat(253));
    assert_eq!(line["owner"], format!("{}/{}", "k".repeat(253), "o".repeat(253)));
}

#[test]
fn nothing_that_a_client_writes_forges_a_line_of_the_text_log() {
    let arguments = "serve --dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format text";
    let process = Process::start(Path::new(env!("CARGO_BIN_EXE_pillion")), arguments.split(' '));
    let command = process.stdout().find("a curl line", |line| line.starts_with("curl ").then(|| line.to_owned()));
    let authority = command.split('\'').nth(1).expect("it names a certificate");
    let url = command.split(' ').find(|word| word.starts_with("https://")).expect("it names a URL");
    let agent = http::agent(&fs::read_to_string(authority).expect("the certificate is there"));

    let hostile = "web\n2026-11-29T12:00:00Z  INFO forged\u{1b}[2K\u{202e}";
    let mut web = pod(hostile, hostile);
    let owner = json!({"apiVersion": hostile, "kind": hostile, "name": hostile, "uid": hostile, "controller": true});
    web["metadata"]["ownerReferences"] = json!([owner]);
    web["metadata"]["annotations"]["pillion.dev/inject"] = json!(hostile);
    let mut review = review_of(hostile, &web);
    review["request"]["namespace"] = json!(hostile);
    let json = [("content-type", "application/json")];
    assert_eq!(http::send(&agent, "POST", url, &json, review.to_string().as_bytes()).status, 200);

    let decided = |line: &str| line.contains(" decided ").then(|| line.to_owned());
    let line = process.stderr().find("the decision", decided);
    assert!(line.contains("duration="), "it is one line: {line}");
    let log = process.stderr().all();
    assert!(!log.iter().any(|line| line.starts_with("2026-11-29T12:00:00Z")), "{}", log.join("\n"));
    assert!(!log.join("\n").contains(['\u{1b}', '\u{202e}']), "{}", log.join("\n"));
}

/// A client of an API server that is not there.
const NOWHERE: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a",
    "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "a", "user": {"token": "a"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}"#;

#[test]
fn what_goes_wrong_with_the_api_server_is_said_once_and_as_a_warning() {
    let folder = Folder::new("pillion-nowhere-");
    let environment = format!("KUBECONFIG={}", folder.write("kubeconfig.json", NOWHERE));
    let flags = "serve --watch --certs auto --certs-name localhost --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
    let pillion = env!("CARGO_BIN_EXE_pillion");
    let arguments = [&environment, pillion].into_iter().chain(flags.split(' ')).chain(["--log-format", "json"]);
    let process = Process::start(Path::new("/usr/bin/env"), arguments);

    for ours in [
        "watch failed; the last known state is used meanwhile",
        "cannot take part in the election",
        "cannot reconcile the certificates; the one in use is kept",
    ] {
        assert_eq!(process.stderr().logged("message", ours)["level"], "WARN");
    }
    let log = process.stderr().all();
    assert!(!log.iter().any(|line| line.contains("ERROR") || line.contains("kube_client")), "{}", log.join("\n"));
}

#[test]
fn no_value_of_an_env_and_no_body_is_ever_logged() {
    let setup = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).template("broken.yaml", "kind: nothing");
    let pillion = setup.flags(["--log-level", "trace"]).start();
    let secret = "correct-horse-battery-staple";
    let mut reviews = Vec::new();
    for (uid, templates) in [("fine", "log-shipper"), ("unknown", "log-shiper"), ("broken", "broken")] {
        let mut web = pod("web", templates);
        web["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": secret}]);
        web["spec"]["containers"][0]["args"] = json!([secret]);
        reviews.push(review_of(uid, &web));
    }
    let mut wrong_type = reviews[0].clone();
    wrong_type["request"]["uid"] = json!("wrong-type");
    wrong_type["request"]["object"]["spec"]["containers"][0]["env"] = json!(secret);
    let mut clash = reviews[0].clone();
    clash["request"]["uid"] = json!("clash");
    clash["request"]["object"]["spec"]["containers"][0]["name"] = json!("log-shipper");
    reviews.extend([wrong_type, clash]);

    for review in &reviews {
        assert_eq!(pillion.post(review.to_string()).status, 200);
        pillion.logged("uid", review["request"]["uid"].as_str().expect("a review has a uid"));
    }
    let cut_off = reviews[0].to_string();
    assert_eq!(pillion.post(&cut_off[..cut_off.len() - 1]).status, 400);
    pillion.logged("message", "request refused");
    let log = pillion.log();
    assert!(!log.iter().any(|line| line.contains(secret)), "{}", log.join("\n"));
}
