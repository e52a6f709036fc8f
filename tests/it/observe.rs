//! What the server tells of itself: readiness, metrics, and one log line a decision.

use std::io::{Write, stderr};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod, review_of};

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
