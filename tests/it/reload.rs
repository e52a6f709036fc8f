//! Certificates and templates that change while the server runs.

use serde_json::Value;

use crate::harness::authority::Identity;
use crate::harness::eventually;
use crate::harness::pillion::{LOG_SHIPPER, Pillion, names, patched, pod, review_of};

fn review(templates: &str) -> Value {
    review_of("reload", &pod("web", templates))
}

/// The image of the sidecar that a pod gets which asks for `template`; `None` when the pod is refused.
fn image(pillion: &Pillion, template: &str) -> Option<String> {
    let review = review(template);
    let response = pillion.answer(&review);
    (response["allowed"] == true).then(|| {
        let pod = patched(&review["request"]["object"], &response);
        pod["spec"]["initContainers"][0]["image"].as_str().expect("the sidecar has an image").to_owned()
    })
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let pillion = Pillion::start();
    let mut kept_alive = pillion.connect();
    let before = kept_alive.leaf();
    let review = review("log-shipper").to_string();
    assert_eq!(kept_alive.post(review.as_bytes()).status, 200);

    let renewed = pillion.authority.issue();
    pillion.swap_certificate(&renewed);

    eventually("the new certificate", || (pillion.connect().leaf() == renewed.der).then_some(()));
    assert_eq!(kept_alive.post(review.as_bytes()).status, 200);
    assert_eq!(kept_alive.leaf(), before);
    assert_eq!(pillion.connect().post(review.as_bytes()).status, 200);
    let reloads = |result| pillion.metric("pillion_certificate_reloads_total", &[result]);
    assert_eq!((reloads("result=\"success\""), reloads("result=\"failure\"")), (1.0, 0.0));
}

#[test]
fn a_bad_pair_never_replaces_a_good_one() {
    let pillion = Pillion::start();
    let good = pillion.connect().leaf();
    let refused = || pillion.metric("pillion_certificate_reloads_total", &["result=\"failure\""]);

    let one = pillion.authority.issue();
    let other = pillion.authority.issue();
    let bad_pairs = [
        Identity { key: other.key.clone(), ..one },
        Identity { certificate: "not a certificate".into(), ..pillion.authority.issue() },
        Identity { key: String::new(), ..pillion.authority.issue() },
    ];
    for (count, bad) in (1..).zip(&bad_pairs) {
        pillion.swap_certificate(bad);
        eventually("the bad pair to be refused", || (refused() == f64::from(count)).then_some(()));
        assert_eq!(pillion.connect().leaf(), good);
        let readyz = pillion.ask_admin("/readyz?verbose");
        assert_eq!(readyz.status, 200, "the old pair is still good: {}", readyz.text());
        assert!(readyz.text().contains("certificate: not replaced"), "{}", readyz.text());
    }
    let log = pillion.log().join("\n");
    assert!(!log.contains("PRIVATE KEY") && !log.contains(&other.key[30..60]), "{log}");

    pillion.swap_certificate(&other);
    eventually("the good pair", || (pillion.connect().leaf() == other.der).then_some(()));
    assert!(!pillion.ask_admin("/readyz?verbose").text().contains("not replaced"));
}

#[test]
fn templates_come_change_and_go_without_a_restart() {
    let pillion = Pillion::start();
    let second = LOG_SHIPPER.replace("log-shipper", "second").replace("app-logs", "second-logs");
    assert_eq!(image(&pillion, "second"), None);
    assert_eq!(pillion.logged("reason", "unknown_template")["outcome"], "denied");

    pillion.write_template("second.yaml", &second);
    let first_image = eventually("the new template", || image(&pillion, "second"));
    assert_eq!(first_image, "registry.example.com/second:1");

    pillion.write_template("second.yaml", &second.replace("second:1", "second:2"));
    eventually("the changed template", || {
        image(&pillion, "second").filter(|image| image == "registry.example.com/second:2")
    });

    pillion.remove_template("second.yaml");
    eventually("the template to be gone", || image(&pillion, "second").is_none().then_some(()));
    assert!(image(&pillion, "log-shipper").is_some(), "the other one stayed");
    let metrics = pillion.metrics();
    assert_eq!(metrics.sum("pillion_templates_loaded", &[]), 1.0);
    assert_eq!(metrics.sum("pillion_config_reloads_total", &["result=\"success\""]), 3.0);
    assert_eq!(metrics.sum("pillion_config_reloads_total", &["result=\"failure\""]), 0.0);
}

#[test]
fn a_template_that_breaks_stays_in_force_as_it_last_was() {
    let pillion = Pillion::start();
    let second = LOG_SHIPPER.replace("log-shipper", "second").replace("app-logs", "second-logs");

    // In one go, a change that breaks one template and adds another.
    pillion.write_template("log-shipper.yaml", &LOG_SHIPPER.replace("restartPolicy:", "restartPolcy:"));
    pillion.write_template("second.yaml", &second);

    eventually("the new template", || image(&pillion, "second"));
    assert_eq!(image(&pillion, "log-shipper").as_deref(), Some("registry.example.com/log-shipper:1"));
    let problem = pillion.logged("message", "template refused")["problem"].take();
    let problem = problem.as_str().expect("the problem is text");
    let line = 1 + LOG_SHIPPER.lines().position(|line| line.contains("restartPolicy:")).expect("the line is there");
    for part in [&format!("log-shipper.yaml:{line}:"), "initContainers[0].restartPolcy", "restartPolicy?"] {
        assert!(problem.contains(part), "{part:?} is missing: {problem}");
    }
    assert!(pillion.metric("pillion_config_reloads_total", &["result=\"failure\""]) >= 1.0);
    assert_eq!(pillion.metric("pillion_templates_refused", &[]), 1.0);
    let readyz = pillion.ask_admin("/readyz?verbose");
    assert_eq!(readyz.status, 200);
    assert!(readyz.text().contains("restartPolcy"), "{}", readyz.text());
}

#[test]
fn a_template_that_was_never_good_is_known_as_broken() {
    let pillion = Pillion::start();
    pillion.write_template("broken.yaml", &LOG_SHIPPER.replace("log-shipper", "broken").replace("httpGet", "httpGot"));
    eventually("the template to be refused", || {
        (pillion.metric("pillion_templates_refused", &[]) == 1.0).then_some(())
    });

    let response = pillion.answer(&review("broken"));

    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().expect("a refusal has a message");
    assert!(message.contains("broken") && message.contains("httpGot"), "{message}");
    assert_eq!(pillion.logged("reason", "invalid_template")["outcome"], "denied");
    let fine = review("log-shipper");
    assert_eq!(names(&patched(&fine["request"]["object"], &pillion.answer(&fine)), "initContainers"), ["log-shipper"]);
}

#[test]
fn what_should_be_better_about_a_template_is_in_the_log() {
    let pillion = Pillion::start();
    let warning = pillion.logged("message", "template accepted, but should be better")["warning"].take();
    let warning = warning.as_str().expect("the warning is text");
    for part in ["log-shipper.yaml:", "spec.pod.spec.initContainers[0] requests no cpu and no memory"] {
        assert!(warning.contains(part), "{part:?} is missing: {warning}");
    }
}
