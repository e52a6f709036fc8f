//! What no golden case can show: several calls in a row, of which the second needs the digests of the first; bounds; secrets
//! that are not repeated; reviews of other things than pods; and what the server's own settings decide.

use serde_json::{Value, json};

use super::{OUTCOME, STATUS};
use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Decision, Outcome, Reason};
use crate::load;
use crate::response;
use crate::review;
use crate::template::OnError;

const LOG: &str = r#"
parameters:
  - {name: logDir, type: string, default: /var/log/app}
shares: [logs]
pod:
  metadata: {labels: {logs: shipped}}
  spec:
    initContainers: [{name: log, image: "log:1", restartPolicy: Always}]
    volumes: [{name: logs, emptyDir: {}}]
app:
  - containers: ["*"]
    env: [{name: LOG_DIR, value: "${{ params.logDir }}"}]
    volumeMounts: [{name: logs, mountPath: "${{ params.logDir }}"}]
"#;

/// A catalog with one template, which must be right.
fn catalog(name: &str, spec: &str) -> Catalog {
    catalog_with(OnError::Deny, name, spec)
}

fn catalog_with(on_error: OnError, name: &str, spec: &str) -> Catalog {
    let spec = spec.trim().replace('\n', "\n  ");
    let yaml = format!(
        "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    );
    let mut catalog = Catalog::new(on_error);
    for template in load::read(&yaml, "test.yaml") {
        catalog.insert(template.unwrap_or_else(|refused| panic!("{}", refused.problems[0])).into());
    }
    catalog
}

fn asking(templates: &str) -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"pillion.dev/templates": templates}},
        "spec": {
            "containers": [{"name": "web", "image": "web:1"}],
            "initContainers": [{"name": "migrate", "image": "migrate:1"}],
        },
    })
}

fn decide(catalog: &Catalog, pod: &Value) -> Decision {
    let pod = serde_json::value::to_raw_value(pod).expect("JSON");
    review(catalog, &Namespace::named("shop"), &Review::of_pod("shop", &pod))
}

/// The pod with what is injected.
fn injected(catalog: &Catalog, pod: &Value) -> Value {
    let decision = decide(catalog, pod);
    assert_eq!(decision.outcome, Outcome::Injected, "{:?}", decision.message);
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json).expect("a JSON patch");
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}

/// The same, and a second call has nothing left to do.
fn injected_for_good(catalog: &Catalog, pod: &Value) -> Value {
    let pod = injected(catalog, pod);
    let again = decide(catalog, &pod);
    assert!(again.patch.is_empty(), "{}", again.patch.json);
    pod
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect()
}

/// The status of a pod, as data.
fn status(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"][STATUS].as_str().expect("a status");
    serde_json::from_str(text).expect("a status is JSON")
}

fn set_status(pod: &mut Value, status: &Value) {
    pod["metadata"]["annotations"][STATUS] = status.to_string().into();
}

#[test]
fn what_another_webhook_took_away_is_added_again_and_new_containers_get_their_part() {
    let catalog = catalog("log", LOG);
    let mut pod = injected_for_good(&catalog, &asking("log"));
    pod["spec"]["containers"].as_array_mut().expect("a list").push(json!({"name": "late", "image": "late:1"}));
    let mut pod = injected_for_good(&catalog, &pod);
    assert_eq!(pod["spec"]["containers"][1]["env"][0]["name"], "LOG_DIR");
    assert_eq!(names(&pod["spec"]["initContainers"]), ["log", "migrate"]);

    pod["spec"]["initContainers"].as_array_mut().expect("a list").remove(0);
    let pod = injected_for_good(&catalog, &pod);
    assert_eq!(names(&pod["spec"]["initContainers"]), ["log", "migrate"]);
    assert_eq!(status(&pod).to_string().matches("/spec/initContainers/log").count(), 1, "{}", status(&pod));
}

#[test]
fn a_status_that_lies_does_not_keep_the_sidecar_away() {
    let catalog = catalog("log", LOG);
    let of_another_pod = status(&injected(&catalog, &asking("log")));
    let digest = &of_another_pod["templates"][0]["digest"];
    let parameters = &of_another_pod["templates"][0]["parameters"];
    let of_this_version = json!({"templates": [
        {"name": "log", "digest": digest, "parameters": parameters, "added": ["/spec/containers/web"], "app": ["web"]}
    ]});
    let of_another_version =
        json!({"templates": [{"name": "log", "digest": "x", "added": ["/spec/containers/web"], "app": ["web"]}]});
    for lie in [of_another_pod, of_this_version, of_another_version] {
        let mut liar = asking("log");
        set_status(&mut liar, &lie);
        liar["metadata"]["annotations"][OUTCOME] = "log=injected".into();
        assert_eq!(names(&injected(&catalog, &liar)["spec"]["initContainers"]), ["log", "migrate"], "{lie}");
    }
}

#[test]
fn a_template_of_which_only_app_changed_is_not_topped_up() {
    let version = |env: &str| catalog("log", &format!("app: [{{containers: [\"*\"], env: [{env}]}}]"));
    let changed = version("{name: A, value: two}, {name: B, value: two}");
    let mut pod = injected(&version("{name: A, value: one}"), &asking("log"));
    let again = decide(&changed, &pod);
    assert_eq!((again.reason, again.patch.is_empty()), (Reason::AlreadyInjected, true));
    // What its record speaks of has to be there.
    pod["spec"]["containers"][0].as_object_mut().expect("an object").remove("env");
    assert_eq!(decide(&changed, &pod).outcome, Outcome::Injected);
}

#[test]
fn expressions_see_the_pod_as_the_first_call_saw_it() {
    let catalog = catalog(
        "log",
        r#"
when: >-
  !has(pod.spec.initContainers) && size(pod.spec.containers) == 1 && !('team' in pod.metadata.labels) &&
  !has(pod.spec.containers[0].env) && pod.spec.?terminationGracePeriodSeconds.orValue(30) == 30 &&
  size(pod.metadata.annotations) == 1
pod:
  metadata: {labels: {team: ops}}
  spec:
    terminationGracePeriodSeconds: 60
    initContainers: [{name: log, image: "log:${{ size(pod.spec.containers) }}", restartPolicy: Always}]
    containers: [{name: extra, image: "extra:1"}]
app:
  - containers: ["*"]
    env: [{name: COUNT, value: "${{ size(pod.spec.containers) }}"}]
"#,
    );
    let mut pod = asking("log");
    pod["spec"]["initContainers"].take();
    pod["spec"]["terminationGracePeriodSeconds"] = 30.into();
    let mut pod = injected_for_good(&catalog, &pod);
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 60);
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "1");

    // Something that is missing makes it render again.
    pod["spec"]["containers"].as_array_mut().expect("a list").remove(1);
    let restored = injected_for_good(&catalog, &pod);
    assert_eq!(restored["spec"]["containers"][1]["name"], "extra");
    assert_eq!(restored["spec"]["initContainers"][0]["image"], "log:1");
}

#[test]
fn a_name_of_no_template_is_skipped_where_the_server_says_so() {
    let lenient = catalog_with(OnError::Skip, "log", LOG);
    let pod = asking("lgo,log");
    assert_eq!(
        response::warnings(&decide(&lenient, &pod)),
        ["skipped: pillion.dev/templates asks for \"lgo\", and there is no such template; did you mean log?"]
    );
    let outcome = |pod| injected(&lenient, &pod)["metadata"]["annotations"][OUTCOME].take();
    assert_eq!(outcome(pod), "lgo=unknown_template,log=injected");
    // What is no name is not written among names.
    assert_eq!(outcome(asking("log=injected,log")), "log=injected");
}

/// A namespace that requires these templates.
fn requiring(templates: &str) -> Namespace {
    Namespace::from_object(&json!({
        "metadata": {"name": "shop", "annotations": {"pillion.dev/required-templates": templates}}
    }))
}

#[test]
fn a_required_name_of_no_template_follows_the_policy_of_the_server() {
    let pod = serde_json::value::to_raw_value(&asking("")).expect("JSON");
    let decide = |on_error, required| {
        let catalog = catalog_with(on_error, "log", LOG);
        review(&catalog, &requiring(required), &Review::of_pod("shop", &pod))
    };
    let why = "the namespace's pillion.dev/required-templates asks for \"lgo\", and there is no such template; did you mean \
               log?";
    let denied = decide(OnError::Deny, "log, lgo");
    assert_eq!(
        (denied.allowed(), denied.reason, denied.message.as_deref()),
        (false, Reason::UnknownTemplate, Some(why))
    );
    let skipped = decide(OnError::Skip, "log, lgo");
    assert_eq!((skipped.outcome, skipped.message.as_deref()), (Outcome::Injected, Some(why)));
    for no_name in ["Log", "log/", "l\u{f6}g"] {
        let denied = decide(OnError::Deny, no_name);
        assert_eq!((denied.allowed(), denied.reason), (false, Reason::UnknownTemplate), "{no_name}");
        let skipped = decide(OnError::Skip, no_name);
        assert_eq!((skipped.outcome, skipped.reason), (Outcome::Error, Reason::UnknownTemplate), "{no_name}");
        assert!(!response::warnings(&skipped).is_empty(), "{no_name}");
    }
    for none in ["", ",", " , +"] {
        assert_eq!(decide(OnError::Deny, none).reason, Reason::NoTemplatesRequested, "{none:?}");
    }
}

#[test]
fn a_required_templates_image_may_come_from_a_mirror_of_the_server() {
    let spec = "pod: {spec: {containers: [{name: guard, image: \"guard:1\"}]}}";
    let mut pod = asking("");
    let guard = json!({"name": "guard", "image": "mirror.example.com/hub/guard:1"});
    pod["spec"]["containers"].as_array_mut().expect("a list").push(guard);
    let pod = serde_json::value::to_raw_value(&pod).expect("JSON");
    let decide = |catalog: Catalog| review(&catalog, &requiring("guard"), &Review::of_pod("shop", &pod));
    let refused = decide(catalog("guard", spec));
    assert_eq!((refused.allowed(), refused.reason), (false, Reason::Conflict));
    assert!(
        refused.message.is_some_and(
            |message| message.contains("from the pod itself with the image mirror.example.com/hub/guard:1")
        )
    );
    let mirror = "mirror.example.com/hub".parse().expect("a mirror");
    assert_eq!(decide(catalog("guard", spec).with_image_mirrors(vec![mirror])).reason, Reason::AlreadyInjected);
}

#[test]
fn nothing_is_decided_about_a_pod_whose_namespace_could_not_be_asked_for() {
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": []}});
    let pod = serde_json::value::to_raw_value(&pod).expect("JSON");
    let review_with = |on_error| {
        let namespace = Namespace::unavailable("shop", "no answer in time".into());
        review(&Catalog::new(on_error), &namespace, &Review::of_pod("shop", &pod))
    };
    let denied = review_with(OnError::Deny);
    assert_eq!((denied.outcome, denied.reason), (Outcome::Denied, Reason::UnknownNamespace));
    assert_eq!(denied.message.as_deref(), Some("no answer in time"));
    let let_through = review_with(OnError::Skip);
    assert_eq!((let_through.outcome, let_through.allowed()), (Outcome::Error, true));
    assert_eq!(response::warnings(&let_through), ["no answer in time"]);
}

#[test]
fn reviews_of_other_things_are_let_through() {
    let pod = json!({"group": "", "version": "v1", "kind": "Pod"});
    let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    for (version, request, reason) in [
        ("v1beta1", json!({"uid": "1"}), Reason::UnsupportedVersion),
        ("v1", json!({"uid": "1", "kind": deployment, "operation": "CREATE"}), Reason::NotAPod),
        ("v1", json!({"uid": "1", "kind": pod, "operation": "UPDATE"}), Reason::NotACreate),
        ("v1", json!({"uid": "1", "kind": pod, "subResource": "status", "operation": "UPDATE"}), Reason::Subresource),
        ("v1", json!({"uid": "1", "kind": pod, "operation": "CREATE", "object": [1]}), Reason::MalformedReview),
    ] {
        let body = json!({"apiVersion": format!("admission.k8s.io/{version}"), "request": request}).to_string();
        let asked = Review::parse(body.as_bytes()).expect("a review");
        let decision = review(&catalog("log", LOG), &Namespace::named("shop"), &asked);
        assert_eq!((decision.reason, decision.allowed(), decision.patch.is_empty()), (reason, true, true));
    }
}

#[test]
fn a_message_repeats_a_wrong_value_unless_it_may_be_a_secret() {
    const SENSITIVE: &str = "{name: it, type: string, sensitive: true}";
    const PLAIN: &str = "{name: it, type: string}";
    const OF_ENV: &str = "pod.spec.containers[0].env[0].value";
    let invalid = |source: &str| {
        [
            r#"hostAliases: [{ip: "${{ IT }}", hostnames: [a]}]"#,
            r#"hostname: "a${{ IT }}""#,
            r#"nodeSelector: {team: "${{ IT }}"}"#,
            r#"dnsPolicy: "${{ IT }}""#,
            r#"containers: [{name: x, image: "x:1", resizePolicy: [{resourceName: "${{ IT }}", restartPolicy: NotRequired}]}]"#,
            r#"containers: [{name: x, image: "x:1", volumeMounts: [{name: "${{ IT }}", mountPath: /x}]}]"#,
            r#"containers: [{name: x, image: "x:1", resources: {limits: {cpu: "${{ IT }}"}}}]"#,
        ]
        .map(|pod| pod.replace("IT", source))
    };
    let message = |parameter: &str, pod: &str, reason: Reason| {
        let mut asking = asking("a");
        asking["metadata"]["annotations"]["a.pillion.dev/it"] = "hunter2!".into();
        asking["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "hunter2!"}]);
        let decision = decide(&catalog("a", &format!("parameters: [{parameter}]\npod: {{spec: {{{pod}}}}}")), &asking);
        let message = decision.message.expect("a refusal says why");
        assert_eq!(decision.reason, reason, "{message}");
        message
    };
    for (parameter, source, is_repeated) in
        [(PLAIN, "params.it", true), (SENSITIVE, "params.it", false), (PLAIN, OF_ENV, false)]
    {
        for pod in invalid(source) {
            let message = message(parameter, &pod, Reason::InvalidResult);
            assert_eq!(message.contains("hunter2!"), is_repeated, "{message}");
        }
    }
    let keys = r#"nodeSelector: "${{ {pod.spec.containers[0].env[0].value: 'x'} }}""#;
    let message_of_keys = message(PLAIN, keys, Reason::InvalidResult);
    assert!(!message_of_keys.contains("hunter2!"), "{message_of_keys}");
    let failing = r#"initContainers: [{name: a, image: "${{ {'x': 'c'}[params.it] }}"}]"#;
    let message = message(SENSITIVE, failing, Reason::ExpressionFailed);
    assert!(!message.contains("hunter2!"), "{message}");
}

#[test]
fn a_pod_that_is_made_to_keep_us_busy_is_answered() {
    let catalog = catalog("log", LOG);
    let names: Vec<_> = (0..20_000).map(|number| format!("t{number}")).collect();
    assert_eq!(decide(&catalog, &asking(&names.join(","))).reason, Reason::TooLarge);

    let mut containers = asking("log");
    let list = (0..20_000).map(|number| json!({"name": format!("c{number}"), "image": "c:1"}));
    containers["spec"]["containers"] = list.collect();
    assert_eq!(decide(&catalog, &containers).reason, Reason::TooLarge);
    containers["spec"]["containers"].as_array_mut().expect("a list").truncate(200);
    containers["metadata"]["annotations"]["log.pillion.dev/logDir"] = format!("/{}", "x".repeat(100_000)).into();
    assert_eq!(decide(&catalog, &containers).reason, Reason::TooLarge);

    let added: Vec<_> = (0..20_000).map(|number| format!("/spec/containers/web/env/{number}")).collect();
    let mut liar = asking("log");
    set_status(&mut liar, &json!({"templates": [{"name": "log", "added": added}]}));
    assert_eq!(decide(&catalog, &liar).outcome, Outcome::Injected);

    let mut keys = asking("log");
    for number in 0..5_000 {
        keys["metadata"]["annotations"][format!("log.pillion.dev/p{number}")] = "".into();
        keys["metadata"]["annotations"][format!("lug.pillion.dev/p{number}")] = "".into();
    }
    assert_eq!(decide(&catalog, &keys).reason, Reason::UnknownParameter);
}

#[test]
fn a_long_status_and_long_lists_are_gone_through_once() {
    // Each of these took the product of the two lengths.
    let places: Vec<_> = (26_000..30_000).map(|number| format!("/spec/containers/web/env/a{number}")).collect();
    let mut long = asking("a");
    long["spec"]["containers"][0]["env"] = (0..30_000).map(|number| json!({"name": format!("a{number}")})).collect();
    let seen = catalog("a", "when: pod.spec.containers.exists(c, has(c.env))\npod: {metadata: {labels: {a: b}}}");
    set_status(&mut long, &json!({"templates": [{"name": "b", "added": places}]}));
    assert_eq!(decide(&seen, &long).outcome, Outcome::Injected);

    let plain = catalog("a", "pod: {metadata: {labels: {a: b}}}");
    let mut status = status(&injected(&plain, &asking("a")));
    status["templates"][0]["added"] = json!(places);
    set_status(&mut long, &status);
    assert_eq!(decide(&plain, &long).reason, Reason::AlreadyInjected);

    let ports = |range: std::ops::Range<u32>| -> Value { range.map(|port| json!({"containerPort": port})).collect() };
    let giving = |what: &str| catalog("a", &format!("parameters: [{{name: it, type: list}}]\n{what}"));
    let mut many = asking("a");
    many["metadata"]["annotations"]["a.pillion.dev/it"] = ports(1..1000).to_string().into();
    many["spec"]["containers"][0]["ports"] = ports(20_000..50_000);
    let by_container = giving("pod: {spec: {containers: [{name: x, image: \"x:1\", ports: \"${{ params.it }}\"}]}}");
    assert_eq!(decide(&by_container, &many).outcome, Outcome::Injected);

    let by_app = giving("app: [{containers: [\"*\"], ports: \"${{ params.it }}\"}]");
    assert_eq!(decide(&by_app, &many).outcome, Outcome::Injected);
    many["metadata"]["annotations"]["a.pillion.dev/it"] = ports(1..1002).to_string().into();
    let message = decide(&by_app, &many).message.unwrap_or_default();
    assert!(message.contains("app[0].ports would have 1001 items, and 1000 are allowed"), "{message}");
}
