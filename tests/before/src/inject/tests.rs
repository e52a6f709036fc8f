use serde_json::{Value, json};

use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::decision::{Decision, Outcome, Reason};
use crate::load;
use crate::response;
use crate::review;
use crate::template::OnError;

/// The templates of a YAML text, all of which must be right.
fn catalog(yaml: &str) -> Catalog {
    let mut catalog = Catalog::new(OnError::Deny);
    for template in load::read(yaml, "test.yaml") {
        catalog.insert(template.unwrap_or_else(|refused| panic!("{}", refused.problems[0])).into());
    }
    catalog
}

fn namespace() -> Namespace {
    Namespace::from_object(&json!({"metadata": {"name": "shop", "labels": {"team": "payments"}}}))
}

fn decide(catalog: &Catalog, pod: &Value) -> Decision {
    let pod = serde_json::value::to_raw_value(pod).expect("JSON");
    review(catalog, &namespace(), &Review::of_pod("shop", &pod))
}

/// The pod with the decision's patch applied.
fn applied(pod: &Value, decision: &Decision) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json).expect("a JSON patch");
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"pillion.dev/templates": "log"}},
        "spec": {
            "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}], "future": 1.50}],
            "initContainers": [{"name": "migrate", "image": "migrate:1"}],
        },
    })
}

const LOG: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: log}
spec:
  parameters:
    - {name: logDir, type: string, default: /var/log/app, pattern: "^/"}
    - {name: port, type: integer, default: 2020, minimum: 1}
    - {name: memory, type: quantity, default: 64Mi, maximum: 1Gi}
  shares: [logs]
  pod:
    metadata: {labels: {logs: shipped}}
    spec:
      terminationGracePeriodSeconds: 45
      initContainers:
        - name: log
          image: "log:${{ params.port }}"
          restartPolicy: Always
          ports: [{containerPort: "${{ params.port }}"}]
          startupProbe: {httpGet: {path: /, port: "${{ params.port }}"}}
          resources: {limits: {memory: "${{ params.memory }}"}}
          volumeMounts: [{name: logs, mountPath: "${{ params.logDir }}", readOnly: true}]
      volumes: [{name: logs, emptyDir: {}}]
  app:
    - containers: ["*"]
      env: [{name: LOG_DIR, value: "${{ params.logDir }}"}]
      volumeMounts: [{name: logs, mountPath: "${{ params.logDir }}"}]
    - containers: [web]
      when: has(container.ports)
      readinessProbe: {tcpSocket: {port: "${{ container.ports[0].containerPort }}"}}
"#;

#[test]
fn a_sidecar_its_volume_and_its_probes_are_added() {
    let (catalog, pod) = (catalog(LOG), pod());
    let decision = decide(&catalog, &pod);
    assert_eq!((decision.outcome, decision.reason), (Outcome::Injected, Reason::Injected), "{:?}", decision.message);
    let pod = applied(&pod, &decision);
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "log");
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(pod["spec"]["initContainers"][0]["image"], "log:2020");
    assert_eq!(pod["spec"]["initContainers"][0]["ports"][0]["containerPort"], 2020);
    assert_eq!(pod["spec"]["initContainers"][1]["name"], "migrate");
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 45);
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "logs", "emptyDir": {}}]));
    let web = &pod["spec"]["containers"][0];
    assert_eq!(web["env"], json!([{"name": "LOG_DIR", "value": "/var/log/app"}]));
    assert_eq!(web["volumeMounts"], json!([{"name": "logs", "mountPath": "/var/log/app"}]));
    assert_eq!(web["readinessProbe"], json!({"tcpSocket": {"port": 8080}}));
    assert_eq!(web["future"], json!(1.50));
    assert_eq!(pod["metadata"]["labels"], json!({"logs": "shipped"}));
    assert_eq!(pod["metadata"]["annotations"]["pillion.dev/outcome"], "log=injected");
}

#[test]
fn a_second_pass_over_our_own_output_changes_nothing() {
    let (catalog, pod) = (catalog(LOG), pod());
    let pod = applied(&pod, &decide(&catalog, &pod));
    let again = decide(&catalog, &pod);
    assert_eq!((again.outcome, again.reason), (Outcome::Skipped, Reason::AlreadyInjected), "{:?}", again.message);
    assert!(again.patch.is_empty(), "{}", again.patch.json);
}

#[test]
fn what_another_webhook_took_away_is_added_again_and_new_containers_get_their_part() {
    let (catalog, pod) = (catalog(LOG), pod());
    let mut pod = applied(&pod, &decide(&catalog, &pod));
    pod["spec"]["containers"].as_array_mut().expect("a list").push(json!({"name": "late", "image": "late:1"}));
    let again = decide(&catalog, &pod);
    let pod = applied(&pod, &again);
    assert_eq!(again.outcome, Outcome::Injected);
    assert_eq!(pod["spec"]["containers"][1]["env"][0]["name"], "LOG_DIR");
    assert_eq!(pod["spec"]["initContainers"].as_array().map(Vec::len), Some(2));
    assert!(decide(&catalog, &pod).patch.is_empty());

    let mut bare = pod.clone();
    bare["spec"]["initContainers"].as_array_mut().expect("a list").remove(0);
    let restored = applied(&bare, &decide(&catalog, &bare));
    assert_eq!(restored["spec"]["initContainers"][0]["name"], "log");
    let status = restored["metadata"]["annotations"]["pillion.dev/status"].as_str().expect("a status");
    assert_eq!(status.matches("/spec/initContainers/log").count(), 1, "{status}");
    assert!(decide(&catalog, &restored).patch.is_empty());
}

#[test]
fn a_status_that_lies_does_not_keep_the_sidecar_away() {
    let catalog = catalog(LOG);
    let injected = applied(&pod(), &decide(&catalog, &pod()));
    let mut liar = pod();
    liar["metadata"]["annotations"] = injected["metadata"]["annotations"].clone();
    let pod = applied(&liar, &decide(&catalog, &liar));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "log");

    let digest = serde_json::from_str::<Value>(
        injected["metadata"]["annotations"]["pillion.dev/status"].as_str().expect("a status"),
    )
    .expect("JSON")["templates"][0]["digest"]
        .clone();
    let status =
        json!({"templates": [{"name": "log", "digest": digest, "added": ["/spec/containers/web"], "app": ["web"]}]});
    liar["metadata"]["annotations"]["pillion.dev/status"] = status.to_string().into();
    let pod = applied(&liar, &decide(&catalog, &liar));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "log");

    liar["metadata"]["annotations"]["pillion.dev/status"] = "{nonsense".into();
    let pod = applied(&liar, &decide(&catalog, &liar));
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "log");
}

#[test]
fn a_template_that_changed_is_not_topped_up() {
    let pod = applied(&pod(), &decide(&catalog(LOG), &pod()));
    let changed = catalog(&LOG.replace("log:${{", "log2:${{"));
    let again = decide(&changed, &pod);
    assert_eq!((again.reason, again.patch.is_empty()), (Reason::AlreadyInjected, true));
}

#[test]
fn a_copy_without_annotations_is_recognised() {
    let catalog = catalog(LOG);
    let mut copy = applied(&pod(), &decide(&catalog, &pod()));
    copy["metadata"]["annotations"] = json!({"pillion.dev/templates": "log"});
    // As the API server writes it.
    copy["spec"]["initContainers"][0]["resources"]["limits"]["memory"] = "65536Ki".into();
    copy["spec"]["initContainers"][0]["imagePullPolicy"] = "IfNotPresent".into();
    copy["spec"]["initContainers"][0]["ports"][0]["protocol"] = "TCP".into();
    copy["metadata"]["labels"] = json!({});
    let decision = decide(&catalog, &copy);
    assert_eq!(decision.outcome, Outcome::Injected, "{:?}", decision.message);
    let pod = applied(&copy, &decision);
    assert_eq!(pod["spec"]["initContainers"].as_array().map(Vec::len), Some(2));
    assert!(decide(&catalog, &pod).patch.is_empty());
}

#[test]
fn every_problem_of_a_parameter_names_annotation_value_and_rule() {
    let catalog = catalog(LOG);
    let mut pod = pod();
    let annotations = &mut pod["metadata"]["annotations"];
    annotations["log.pillion.dev/logDir"] = "var/log".into();
    annotations["log.pillion.dev/port"] = "0".into();
    annotations["log.pillion.dev/memori"] = "1".into();
    let decision = decide(&catalog, &pod);
    assert_eq!(decision.outcome, Outcome::Denied);
    let message = decision.message.expect("a refusal says why");
    assert_eq!(
        message,
        "template \"log\": there is no parameter memori (annotation log.pillion.dev/memori); did you mean memory?; \
         parameter logDir must match ^/ but the annotation log.pillion.dev/logDir is \"var/log\"; \
         parameter port must be at least 1 but the annotation log.pillion.dev/port is \"0\""
    );
}

#[test]
fn an_unknown_template_is_refused_with_the_nearest_name_or_skipped() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["pillion.dev/templates"] = "lgo".into();
    let decision = decide(&catalog(LOG), &pod);
    assert_eq!((decision.outcome, decision.reason), (Outcome::Denied, Reason::UnknownTemplate));
    assert_eq!(
        decision.message.as_deref(),
        Some("pillion.dev/templates asks for \"lgo\", and there is no such template; did you mean log?")
    );

    let mut lenient = Catalog::new(OnError::Skip);
    lenient.insert(load::read(LOG, "log.yaml").remove(0).expect("valid").into());
    pod["metadata"]["annotations"]["pillion.dev/templates"] = "lgo,log".into();
    let decision = decide(&lenient, &pod);
    assert_eq!(decision.outcome, Outcome::Injected);
    assert_eq!(
        response::warnings(&decision),
        ["skipped: pillion.dev/templates asks for \"lgo\", and there is no such template; did you mean log?"]
    );
    let pod = applied(&pod, &decision);
    assert_eq!(pod["metadata"]["annotations"]["pillion.dev/outcome"], "lgo=unknown_template,log=injected");
}

#[test]
fn a_name_that_the_pod_has_is_a_conflict_that_names_both_sides() {
    let mut pod = pod();
    pod["spec"]["containers"][0]["name"] = "log".into();
    let decision = decide(&catalog(LOG), &pod);
    assert_eq!((decision.outcome, decision.reason), (Outcome::Denied, Reason::Conflict));
    assert_eq!(
        decision.message.as_deref(),
        Some(
            "container \"log\" comes from template \"log\" and from the pod itself; rename one, or drop the template \
             from pillion.dev/templates"
        )
    );
}

#[test]
fn who_opts_out_is_left_alone() {
    for (label, annotation) in [(Some("disabled"), None), (None, Some("false"))] {
        let mut pod = pod();
        if let Some(value) = label {
            pod["metadata"]["labels"] = json!({"pillion.dev/inject": value});
        }
        if let Some(value) = annotation {
            pod["metadata"]["annotations"]["pillion.dev/inject"] = value.into();
        }
        let decision = decide(&catalog(LOG), &pod);
        assert_eq!((decision.reason, decision.patch.is_empty()), (Reason::PodOptedOut, true));
    }
    let mut mirror = pod();
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x".into();
    assert_eq!(decide(&catalog(LOG), &mirror).reason, Reason::MirrorPod);
    let mut host = pod();
    host["spec"]["hostNetwork"] = true.into();
    assert_eq!(decide(&catalog(LOG), &host).reason, Reason::HostNetwork);
    let mut windows = pod();
    windows["spec"]["os"] = json!({"name": "windows"});
    assert_eq!(decide(&catalog(LOG), &windows).reason, Reason::UnsupportedOs);
    let mut nothing = pod();
    nothing["metadata"]["annotations"] = json!({});
    assert_eq!(decide(&catalog(LOG), &nothing).reason, Reason::NoTemplatesRequested);
}

#[test]
fn an_annotation_is_only_ever_data() {
    let catalog = catalog(&LOG.replace(", pattern: \"^/\"", ""));
    let mut pod = pod();
    let hostile = "a\"}],\"x\": [{ \n- b: ${{ params.port }}";
    pod["metadata"]["annotations"]["log.pillion.dev/logDir"] = hostile.into();
    let decision = decide(&catalog, &pod);
    let pod = applied(&pod, &decision);
    assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], hostile);
}

#[test]
fn a_name_that_is_null_is_not_the_text_null() {
    let template = "
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: log}
spec:
  pod: {spec: {volumes: [{name: 'null', emptyDir: {}}]}}
";
    let mut pod = pod();
    pod["spec"]["volumes"] = json!([{"name": null, "emptyDir": {}}]);
    let decision = decide(&catalog(template), &pod);
    assert_eq!(decision.outcome, Outcome::Injected, "{:?}", decision.message);
    assert_eq!(applied(&pod, &decision)["spec"]["volumes"][1]["name"], "null");
}

#[test]
fn reviews_of_other_things_are_let_through() {
    for (review, reason) in [
        (json!({"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "1"}}), Reason::UnsupportedVersion),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "operation": "CREATE"}}),
            Reason::NotAPod,
        ),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "UPDATE"}}),
            Reason::NotACreate,
        ),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "subResource": "status", "operation": "UPDATE"}}),
            Reason::Subresource,
        ),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "object": [1]}}),
            Reason::MalformedReview,
        ),
    ] {
        let body = review.to_string();
        let decision = crate::review(&catalog(LOG), &namespace(), &Review::parse(body.as_bytes()).expect("a review"));
        assert_eq!((decision.reason, decision.allowed(), decision.patch.is_empty()), (reason, true, true));
    }
}

#[test]
fn a_pod_that_is_made_to_keep_us_busy_is_answered() {
    let catalog = catalog(LOG);
    let names: Vec<_> = (0..20_000).map(|number| format!("t{number}")).collect();
    let mut many = pod();
    many["metadata"]["annotations"]["pillion.dev/templates"] = names.join(",").into();
    assert_eq!(decide(&catalog, &many).reason, Reason::TooLarge);

    let mut containers = pod();
    let list = (0..20_000).map(|number| json!({"name": format!("c{number}"), "image": "c:1"}));
    containers["spec"]["containers"] = list.collect();
    assert_eq!(decide(&catalog, &containers).reason, Reason::TooLarge);
    containers["spec"]["containers"].as_array_mut().expect("a list").truncate(200);
    containers["metadata"]["annotations"]["log.pillion.dev/logDir"] = format!("/{}", "x".repeat(100_000)).into();
    assert_eq!(decide(&catalog, &containers).reason, Reason::TooLarge);

    let added: Vec<_> = (0..20_000).map(|number| format!("/spec/containers/web/env/{number}")).collect();
    let mut liar = pod();
    let status = json!({"templates": [{"name": "log", "added": added}]}).to_string();
    liar["metadata"]["annotations"]["pillion.dev/status"] = status.into();
    assert_eq!(decide(&catalog, &liar).outcome, Outcome::Injected);

    let mut keys = pod();
    for number in 0..5_000 {
        keys["metadata"]["annotations"][format!("log.pillion.dev/p{number}")] = "".into();
        keys["metadata"]["annotations"][format!("lug.pillion.dev/p{number}")] = "".into();
    }
    assert_eq!(decide(&catalog, &keys).reason, Reason::UnknownParameter);
}

#[test]
fn expressions_see_the_pod_as_the_first_call_saw_it() {
    let template = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: log}
spec:
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
"#;
    let catalog = catalog(template);
    let mut pod = pod();
    pod["spec"]["initContainers"].take();
    pod["spec"]["terminationGracePeriodSeconds"] = 30.into();
    let mut injected = applied(&pod, &decide(&catalog, &pod));
    assert_eq!(injected["spec"]["terminationGracePeriodSeconds"], 60);
    assert_eq!(injected["spec"]["containers"][0]["env"][0]["value"], "1");
    assert!(decide(&catalog, &injected).patch.is_empty());

    // Something that is missing makes it render again.
    injected["spec"]["containers"].as_array_mut().expect("a list").remove(1);
    let again = decide(&catalog, &injected);
    assert_eq!(again.outcome, Outcome::Injected, "{:?}", again.templates);
    let restored = applied(&injected, &again);
    assert_eq!(restored["spec"]["containers"][1]["name"], "extra");
    assert_eq!(restored["spec"]["initContainers"][0]["image"], "log:1");
    assert!(decide(&catalog, &restored).patch.is_empty());
}

fn template(name: &str, spec: &str) -> String {
    let spec = spec.trim().replace('\n', "\n  ");
    format!(
        "---\napiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    )
}

fn asking(templates: &str) -> Value {
    let mut pod = pod();
    pod["metadata"]["annotations"]["pillion.dev/templates"] = templates.into();
    pod
}

#[test]
fn keys_that_become_equal_only_when_rendered_are_merged_once() {
    let catalog = catalog(&template(
        "a",
        r#"
parameters: [{name: b, type: string, default: /b}, {name: c, type: string, default: /c}]
shares: [data]
app:
  - containers: ["*"]
    volumeMounts: [{name: data, mountPath: /a}, {name: data, mountPath: "${{ params.b }}"}, {name: data, mountPath: "${{ params.c }}"}]
"#,
    ));
    let mut pod = asking("a");
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/a"}]);
    for parameter in ["b", "c"] {
        pod["metadata"]["annotations"][format!("a.pillion.dev/{parameter}")] = "/x".into();
    }
    let injected = applied(&pod, &decide(&catalog, &pod));
    let paths: Vec<_> = injected["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["mountPath"])
        .collect();
    assert_eq!(paths, ["/a", "/x"]);
    assert!(decide(&catalog, &injected).patch.is_empty());
}

#[test]
fn a_record_of_another_version_counts_only_for_what_the_template_brings() {
    let catalog = catalog(LOG);
    let mut liar = pod();
    let status = json!({"templates": [{"name": "log", "digest": "x", "added": ["/spec/containers/web"]}]});
    liar["metadata"]["annotations"]["pillion.dev/status"] = status.to_string().into();
    assert_eq!(decide(&catalog, &liar).outcome, Outcome::Injected);
}

#[test]
fn objects_and_lists_from_parameters_are_merged_like_written_ones() {
    let catalog = catalog(&template(
        "a",
        r#"
parameters:
  - {name: resources, type: object, default: {limits: {memory: 1Gi}}}
  - {name: volume, type: object, default: {name: data, emptyDir: {}}}
  - {name: tolerations, type: list, default: []}
  - {name: labels, type: object, optional: true}
pod:
  metadata: {labels: "${{ params.labels }}"}
  spec:
    volumes: ["${{ params.volume }}"]
    tolerations: "${{ params.tolerations }}"
app:
  - containers: ["*"]
    resources: "${{ params.resources }}"
"#,
    ));
    let mut pod = asking("a");
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
    let injected = applied(&pod, &decide(&catalog, &pod));
    assert_eq!(injected["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "1", "memory": "1Gi"}}));
    assert!(injected["spec"].get("tolerations").is_none() && injected["metadata"].get("labels").is_none());
    assert!(decide(&catalog, &injected).patch.is_empty());

    for (parameter, value) in [
        ("resources", json!({"limits": {"memory": "2Gi"}})),
        ("volume", json!({"name": "other", "emptyDir": {}})),
        ("tolerations", json!([{"key": "a", "operator": "Exists"}])),
        ("labels", json!({"team": "ops"})),
    ] {
        pod["metadata"]["annotations"][format!("a.pillion.dev/{parameter}")] = value.to_string().into();
    }
    let injected = applied(&pod, &decide(&catalog, &pod));
    assert_eq!(injected["spec"]["containers"][0]["resources"]["limits"]["memory"], "2Gi");
    assert_eq!(injected["spec"]["volumes"][0]["name"], "other");
    assert_eq!(injected["spec"]["tolerations"][0]["key"], "a");
    assert_eq!(injected["metadata"]["labels"]["team"], "ops");
    assert!(decide(&catalog, &injected).patch.is_empty());
}

#[test]
fn parameters_can_be_asked_for() {
    let spec = r#"
parameters: [{name: x, type: string, optional: true}]
when: "has(params.x) && params.?x.orValue('') == 'y'"
pod: {spec: {initContainers: [{name: a, image: "a:1"}]}}
"#;
    let catalog = catalog(&template("a", spec));
    let mut pod = asking("a");
    assert_eq!(decide(&catalog, &pod).reason, Reason::GuardFalse);
    pod["metadata"]["annotations"]["a.pillion.dev/x"] = "y".into();
    assert_eq!(decide(&catalog, &pod).outcome, Outcome::Injected);
}

#[test]
fn the_problem_of_one_template_is_not_another_ones() {
    let brings = template("brings", "pod: {spec: {volumes: [{name: logs, emptyDir: {}}]}}");
    let clash = template("clash", "pod: {spec: {initContainers: [{name: web, image: \"a:1\"}]}}");
    let uses = template(
        "uses",
        "shares: [logs]\napp: [{containers: [\"*\"], volumeMounts: [{name: logs, mountPath: /logs}]}]",
    );
    let decision = decide(&catalog(&(brings + &clash + &uses)), &asking("brings,clash,uses"));
    let message = decision.message.expect("a refusal says why");
    assert!(message.contains("container \"web\"") && !message.contains("logs"), "{message}");
}

#[test]
fn null_is_a_list_with_nothing_in_it() {
    let catalog = catalog(&template(
        "a",
        "pod: {spec: {initContainers: [{name: a, image: \"a:1\"}], volumes: [{name: v, emptyDir: {}}]}}",
    ));
    let mut pod = asking("a");
    pod["spec"]["initContainers"] = Value::Null;
    pod["spec"]["volumes"] = Value::Null;
    let injected = applied(&pod, &decide(&catalog, &pod));
    assert_eq!(injected["spec"]["initContainers"][0]["name"], "a");
    assert_eq!(injected["spec"]["volumes"][0]["name"], "v");
}

#[test]
fn what_is_no_name_is_not_written_among_names() {
    let mut lenient = Catalog::new(OnError::Skip);
    lenient.insert(load::read(LOG, "log.yaml").remove(0).expect("valid").into());
    let pod = asking("log=injected,log");
    let injected = applied(&pod, &decide(&lenient, &pod));
    assert_eq!(injected["metadata"]["annotations"]["pillion.dev/outcome"], "log=injected");
}

#[test]
fn only_quantities_are_compared_as_quantities() {
    let spec = r#"pod: {spec: {initContainers: [{name: a, image: "a:1", args: ["1"]}]}}"#;
    let catalog = catalog(&template("a", spec));
    let mut pod = asking("a");
    pod["spec"]["initContainers"] = json!([{"name": "a", "image": "a:1", "args": ["1000m"]}]);
    assert_eq!(decide(&catalog, &pod).reason, Reason::Conflict);
}

#[test]
fn a_secret_is_not_in_a_message() {
    let spec = r#"
parameters: [{name: token, type: string, sensitive: true, default: x}]
pod: {spec: {initContainers: [{name: a, image: "${{ {'x': 'c'}[params.token] }}"}]}}
"#;
    let mut pod = asking("a");
    pod["metadata"]["annotations"]["a.pillion.dev/token"] = "hunter2".into();
    let decision = decide(&catalog(&template("a", spec)), &pod);
    assert_eq!(decision.reason, Reason::ExpressionFailed);
    assert!(!decision.message.expect("a message").contains("hunter2"));
}

#[test]
fn whatever_goes_before_goes_before_what_was_appended() {
    let after = template(
        "after",
        "placement: {position: AfterInit}\npod: {spec: {initContainers: [{name: after, image: \"a:1\"}]}}",
    );
    let before = template("before", "pod: {spec: {initContainers: [{name: before, image: \"a:1\"}]}}");
    let mut pod = asking("after,before");
    pod["spec"].as_object_mut().expect("an object").remove("initContainers");
    let injected = applied(&pod, &decide(&catalog(&(after + &before)), &pod));
    assert_eq!(injected["spec"]["initContainers"][0]["name"], "before");
}

#[test]
fn what_the_api_server_would_refuse_is_refused_here_and_named() {
    for (spec, value, message) in [
        (
            r#"app: [{containers: ["*"], ports: [{containerPort: "${{ int(params.it) }}"}]}]"#,
            "70000",
            "containers[web].ports[70000/TCP].containerPort must be between 1 and 65535",
        ),
        (
            r#"app: [{containers: ["*"], ports: [{containerPort: 1, name: "${{ params.it }}"}]}]"#,
            "http",
            "containers[web].ports[1].name is http a second time",
        ),
        (
            r#"app: [{containers: ["*"], env: [{name: "${{ params.it }}", value: x}]}]"#,
            "A=B",
            "containers[web].env[A=B].name must be printable ASCII without =",
        ),
        (
            r#"app: [{containers: ["*"], lifecycle: {preStop: {sleep: {seconds: "${{ int(params.it) }}"}}}}]"#,
            "60",
            "containers[web].lifecycle.preStop.sleep.seconds is more than the 30 seconds that the pod has to end",
        ),
        (
            r#"app: [{containers: ["*"], resources: {limits: {cpu: "${{ params.it }}"}}}]"#,
            "1",
            "containers[web].resources would request more cpu than the limit allows",
        ),
        (
            r#"app: [{initContainers: ["*"], readinessProbe: {tcpSocket: {port: "${{ int(params.it) }}"}}}]"#,
            "1",
            "initContainers[migrate].readinessProbe must not be set on an init container that ends",
        ),
        (
            r#"{shares: ["${{ params.it }}"], app: [{containers: ["*"], volumeMounts: [{name: "${{ params.it }}", mountPath: /v}]}]}"#,
            "v",
            "containers[web].volumeMounts[/v].name is v, and there is no volume of that name: bring it in volumes, or list",
        ),
        (
            r#"{pod: {spec: {volumes: [{name: v, emptyDir: {}}]}}, app: [{containers: ["*"], volumeMounts: [{name: v, mountPath: /v, subPath: "${{ params.it }}"}]}]}"#,
            "../x",
            "containers[web].volumeMounts[/v].subPath must lead to a place inside of the volume",
        ),
        (
            r#"pod: {metadata: {labels: "${{ {params.it: 'x'} }}"}}"#,
            "pod-template-hash",
            "metadata.labels.pod-template-hash is a label that controllers own",
        ),
        (
            r#"pod: {metadata: {labels: {a: "${{ params.it }}"}}}"#,
            "a b",
            "metadata.labels.a is \"a b\", which is no label's value",
        ),
        (
            r#"app: [{containers: ["*"], livenessProbe: {periodSeconds: "${{ int(params.it) }}", tcpSocket: {port: 1}}}]"#,
            "-1",
            "containers[web].livenessProbe.periodSeconds must not be negative",
        ),
        (
            r#"app: [{containers: ["*"], livenessProbe: {httpGet: {port: "${{ params.it }}"}}}]"#,
            "htp",
            "livenessProbe.httpGet.port is htp, and the container has no port of that name; did you mean http?",
        ),
    ] {
        let mut spec: serde_json::Value = serde_saphyr::from_str(spec).expect("YAML");
        spec["parameters"] = json!([{"name": "it", "type": "string"}]);
        let mut pod = asking("a");
        pod["metadata"]["annotations"]["a.pillion.dev/it"] = value.into();
        pod["spec"]["containers"][0]["ports"][0]["name"] = "http".into();
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
        let decision = decide(&catalog(&template("a", &spec.to_string())), &pod);
        let said = decision.message.expect("a message");
        assert_eq!(decision.reason, Reason::InvalidResult, "{spec}: {said}");
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn items_without_a_key_are_known_in_whatever_order_they_are_written() {
    let spec = r#"
pod: {spec: {tolerations: [{effect: NoSchedule, key: x, operator: Exists}]}}
app: [{containers: ["*"], envFrom: [{configMapRef: {name: c}}]}]
"#;
    let catalog = catalog(&template("a", spec));
    let mut pod = asking("a");
    pod["spec"]["tolerations"] = json!([{"key": "x", "operator": "Exists", "effect": "NoSchedule"}]);
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
    assert_eq!(decide(&catalog, &pod).reason, Reason::AlreadyInjected);
}

#[test]
fn a_whole_number_is_one_wherever_it_comes_from() {
    let spec = r#"
parameters: [{name: uid, type: number, default: 1000}]
pod: {spec: {securityContext: {runAsUser: "${{ params.uid }}"}}}
"#;
    let mut pod = asking("a");
    pod["metadata"]["annotations"]["a.pillion.dev/uid"] = "2000".into();
    let injected = applied(&pod, &decide(&catalog(&template("a", spec)), &pod));
    assert_eq!(injected["spec"]["securityContext"]["runAsUser"], 2000);
}

#[test]
fn nothing_is_decided_about_a_pod_whose_namespace_could_not_be_asked_for() {
    let pod = serde_json::value::to_raw_value(&json!({"metadata": {"name": "web"}, "spec": {"containers": []}}))
        .expect("JSON");
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
fn an_app_entry_that_names_no_container_is_a_warning() {
    let spec = "app: [{containers: [wbe], env: [{name: A, value: b}]}]";
    let decision = decide(&catalog(&template("a", spec)), &asking("a"));
    assert_eq!(response::warnings(&decision), ["template \"a\": app[0] names no container of this pod"]);
}

#[test]
fn a_mount_path_with_a_slash_at_its_end_is_the_same_path() {
    let spec = "pod: {spec: {volumes: [{name: v, emptyDir: {}}]}}\napp: [{containers: [\"*\"], volumeMounts: [{name: v, mountPath: /data}]}]";
    let mut pod = asking("a");
    pod["spec"]["volumes"] = json!([{"name": "mine", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": "/data/"}]);
    assert_eq!(decide(&catalog(&template("a", spec)), &pod).reason, Reason::Conflict);
}

#[test]
fn a_template_whose_conditions_leave_nothing_says_so() {
    let spec = "app: [{containers: [\"*\"], when: has(container.workingDir), env: [{name: A, value: b}]}]";
    assert_eq!(decide(&catalog(&template("a", spec)), &asking("a")).reason, Reason::GuardFalse);
}

#[test]
fn what_a_value_says_is_shown_without_control_characters() {
    let of_container = |field: &str| {
        format!(
            "parameters: [{{name: it, type: object}}]\n\
             pod: {{spec: {{containers: [{{name: x, image: \"x:1\", {field}: \"${{{{ params.it }}}}\"}}]}}}}"
        )
    };
    let of_pod =
        |part: &str| format!("parameters: [{{name: it, type: object}}]\npod: {{{part}: \"${{{{ params.it }}}}\"}}}}");
    let excess = json!({"requests": {"x\ny": 2}, "limits": {"x\ny": 1}});
    for (spec, value) in [
        (of_container("resources"), excess.clone()),
        (of_container("securityContext"), json!({"x\ny": 1})),
        (of_pod("metadata: {labels"), json!({"x\ny": []})),
        (
            "parameters: [{name: it, type: object}]\napp: [{containers: [\"*\"], resources: \"${{ params.it }}\"}]"
                .into(),
            excess,
        ),
        (
            "parameters: [{name: it, type: object}]\npod: {spec: {containers: [{name: x, image: \"x:1\", \
             ports: \"${{ params.it.ports }}\"}]}}"
                .into(),
            json!({"ports": [{"containerPort": 1, "name": "x\ny"}, {"containerPort": 2, "name": "x\ny"}]}),
        ),
    ] {
        let mut pod = asking("a");
        pod["metadata"]["annotations"]["a.pillion.dev/it"] = value.to_string().into();
        let decision = decide(&catalog(&template("a", &spec)), &pod);
        let message = decision.message.unwrap_or_default();
        assert_eq!(decision.reason, Reason::InvalidResult, "{spec}: {message}");
        assert!(message.contains("x\\ny") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_long_status_and_long_lists_are_gone_through_once() {
    // Each of these took the product of the two lengths.
    let env = |range: std::ops::Range<u32>| range.map(|number| format!("/spec/containers/web/env/a{number}"));
    let mut long = asking("a");
    long["spec"]["containers"][0]["env"] = (0..30_000).map(|number| json!({"name": format!("a{number}")})).collect();
    let seen =
        catalog(&template("a", "when: pod.spec.containers.exists(c, has(c.env))\npod: {metadata: {labels: {a: b}}}"));
    let status = json!({"templates": [{"name": "b", "added": env(26_000..30_000).collect::<Vec<_>>()}]});
    long["metadata"]["annotations"]["pillion.dev/status"] = status.to_string().into();
    assert_eq!(decide(&seen, &long).outcome, Outcome::Injected);

    let plain = catalog(&template("a", "pod: {metadata: {labels: {a: b}}}"));
    let injected = applied(&asking("a"), &decide(&plain, &asking("a")));
    let status = injected["metadata"]["annotations"]["pillion.dev/status"].as_str().expect("a status");
    let mut status: Value = serde_json::from_str(status).expect("JSON");
    status["templates"][0]["added"] = env(26_000..30_000).collect();
    long["metadata"]["annotations"]["pillion.dev/status"] = status.to_string().into();
    assert_eq!(decide(&plain, &long).reason, Reason::AlreadyInjected);

    let ports = |range: std::ops::Range<u32>| -> Value { range.map(|port| json!({"containerPort": port})).collect() };
    let spec = "parameters: [{name: it, type: list}]\n\
                pod: {spec: {containers: [{name: x, image: \"x:1\", ports: \"${{ params.it }}\"}]}}";
    let mut many = asking("a");
    many["metadata"]["annotations"]["a.pillion.dev/it"] = ports(1..1000).to_string().into();
    many["spec"]["containers"][0]["ports"] = ports(20_000..50_000);
    assert_eq!(decide(&catalog(&template("a", spec)), &many).outcome, Outcome::Injected);

    let spec = "parameters: [{name: it, type: list}]\napp: [{containers: [\"*\"], ports: \"${{ params.it }}\"}]";
    let catalog = catalog(&template("a", spec));
    assert_eq!(decide(&catalog, &many).outcome, Outcome::Injected);
    many["metadata"]["annotations"]["a.pillion.dev/it"] = ports(1..1002).to_string().into();
    let message = decide(&catalog, &many).message.unwrap_or_default();
    assert!(message.contains("app[0].ports would have 1001 items, and 1000 are allowed"), "{message}");
}

#[test]
fn a_pod_whose_resources_are_reckoned_in_tenths_has_room_for_what_fits() {
    let sidecar = |cpu: &str| {
        let resources = format!("resources: {{requests: {{cpu: {cpu}}}}}");
        catalog(&template(
            "a",
            &format!(
                "pod: {{spec: {{initContainers: [{{name: a, image: \"a:1\", restartPolicy: Always, {resources}}}]}}}}"
            ),
        ))
    };
    let mut pod = asking("a");
    pod["spec"]["resources"] = json!({"requests": {"cpu": "300m"}});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    assert_eq!(decide(&sidecar("200m"), &pod).outcome, Outcome::Injected);
    assert_eq!(decide(&sidecar("201m"), &pod).reason, Reason::InvalidResult);

    let mut copy = asking("a");
    copy["spec"]["initContainers"] = json!([
        {"name": "a", "image": "a:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "0.7"}}}
    ]);
    assert_eq!(decide(&sidecar("700m"), &copy).reason, Reason::AlreadyInjected);
}

#[test]
fn what_a_template_says_of_the_whole_pod_must_suffice_for_the_pods_own_containers() {
    let catalog = catalog(&template("a", "pod: {spec: {resources: {requests: {cpu: 1}}}}"));
    let mut pod = asking("a");
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
    assert_eq!(decide(&catalog, &pod).reason, Reason::InvalidResult);
}

#[test]
fn ports_that_app_gives_cannot_collide_on_the_node() {
    let catalog =
        catalog(&template("a", "hostNetwork: true\napp: [{containers: [\"*\"], ports: [{containerPort: 9000}]}]"));
    let mut pod = asking("a");
    pod["spec"]["containers"] = json!([{"name": "one", "image": "a"}, {"name": "two", "image": "b"}]);
    assert_eq!(decide(&catalog, &pod).outcome, Outcome::Injected);
    pod["spec"]["hostNetwork"] = true.into();
    let message = decide(&catalog, &pod).message.unwrap_or_default();
    assert!(
        message.ends_with("containers[two].ports ask for the node's port 9000, which another container has"),
        "{message}"
    );
}

#[test]
fn a_container_with_two_names_for_one_port_does_not_clash_with_itself() {
    let ports = "ports: [{containerPort: 80, name: http}, {containerPort: 80, name: metrics}]";
    let spec = format!(
        "parameters: [{{name: it, type: string, default: \"x:1\"}}]\npod: {{spec: {{containers: [{{name: x, image: \"${{{{ params.it }}}}\", {ports}}}]}}}}"
    );
    assert_eq!(decide(&catalog(&template("a", &spec)), &asking("a")).warnings, []);
}

#[test]
fn what_an_entry_with_a_condition_adds_by_default_is_judged_at_review() {
    let spec = "parameters: [{name: it, type: string, default: 'A=B'}]\n\
                app: [{containers: [\"*\"], when: has(container.ports), env: [{name: \"${{ params.it }}\", value: b}]}]";
    let mut pod = asking("a");
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    let said = decide(&catalog(&template("a", spec)), &pod).message.expect("a message");
    assert!(said.contains("env[A=B].name must be printable ASCII without ="), "{said}");
}

/// What is wrong with a template of this spec.
fn problems(spec: &str) -> Vec<String> {
    match load::read(&template("a", spec), "test.yaml").remove(0) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_fault_behind_an_item_that_can_be_omitted_is_one_fault_at_its_own_number() {
    let spec = r#"parameters: [{name: opt, type: string, optional: true, example: x}, {name: p, type: string, default: "../x"}]
pod: {spec: {volumes: [{name: v, emptyDir: {}}]}}
app:
  - containers: ["*"]
    volumeMounts:
      - "${{ params.opt == null ? null : {'name': 'v', 'mountPath': '/o'} }}"
      - {name: v, mountPath: /d, subPath: "${{ params.p }}"}"#;
    let problems = problems(spec);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("spec.app[0].volumeMounts[1].subPath must lead to"), "{problems:?}");
}

#[test]
fn a_default_that_looks_like_an_expression_is_judged_as_the_text_that_it_is() {
    let spec =
        "parameters: [{name: p, type: string, default: 'a${{b'}]\npod: {metadata: {labels: {a: \"${{ params.p }}\"}}}";
    let problems = problems(spec);
    assert!(problems[0].contains("labels.a is \"a${{b\", which is no label's value"), "{problems:?}");
}

#[test]
fn what_an_api_server_takes_is_taken() {
    let sidecar = |fields: &str| {
        format!("pod: {{spec: {{initContainers: [{{name: x, image: \"x:1\", restartPolicy: Always, {fields}}}]}}}}")
    };
    for spec in [
        "pod: {spec: {volumes: [{name: tmp, emptyDir: }]}}".to_owned(),
        sidecar("resources: {requests: {kubernetes.io/batch-cpu: 500m}, limits: {kubernetes.io/batch-cpu: 1500m}}"),
        sidecar(
            "readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: \"${{ has(pod.spec.os) ? 1 : null }}\"}",
        ),
        "pod: {spec: {tolerations: [{key: a, operator: Exists, tolerationSeconds: \"${{ has(pod.spec.os) ? 1 : null }}\"}]}}"
            .to_owned(),
    ] {
        assert_eq!(problems(&spec), [""; 0], "{spec}");
    }
    let empty = sidecar("livenessProbe: {exec: {command: [~]}}");
    assert!(problems(&empty)[0].contains("livenessProbe.exec lacks command"), "{:?}", problems(&empty));
}

#[test]
fn what_an_expression_gave_is_not_repeated_where_it_names_nothing() {
    for spec in [
        "pod: {spec: {hostAliases: [{ip: \"${{ params.it }}\", hostnames: [a]}]}}",
        "pod: {spec: {containers: [{name: x, image: \"x:1\", resizePolicy: \
         [{resourceName: \"${{ params.it }}\", restartPolicy: NotRequired}]}]}}",
    ] {
        let mut pod = asking("a");
        pod["metadata"]["annotations"]["a.pillion.dev/it"] = "s3cret".into();
        let spec = format!("parameters: [{{name: it, type: string}}]\n{spec}");
        let said = decide(&catalog(&template("a", &spec)), &pod).message.expect("a message");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn shares_are_written_as_a_list() {
    let spec = "parameters: [{name: it, type: list, default: [data]}]\nshares: \"${{ params.it }}\"\n\
                app: [{containers: [\"*\"], env: [{name: A, value: b}]}]";
    let refused = load::read(&template("a", spec), "test.yaml").remove(0).expect_err("no list");
    assert_eq!(
        refused.problems[0].to_string(),
        "test.yaml:7:11: spec.shares must be written out; expressions can stand inside of it"
    );
}

#[test]
fn volumes_can_be_an_expression_and_mounts_of_them_are_taken_on_trust() {
    let spec = "parameters: [{name: it, type: list, default: [{name: data, emptyDir: {}}]}]\n\
                pod: {spec: {volumes: \"${{ params.it }}\"}}\n\
                app: [{containers: [\"*\"], volumeMounts: [{name: data, mountPath: /data}]}]";
    assert_eq!(decide(&catalog(&template("a", spec)), &asking("a")).outcome, Outcome::Injected);
}

#[test]
fn an_entry_for_all_init_containers_is_tried_beside_one_for_all_containers() {
    let spec = "parameters: [{name: seconds, type: integer, default: -1}]\n\
                app: [{containers: [\"*\"], env: [{name: A, value: b}]}, \
                {initContainers: [\"*\"], startupProbe: {periodSeconds: \"${{ params.seconds }}\", tcpSocket: {port: 1}}}]";
    let refused = load::read(&template("a", spec), "test.yaml").remove(0).expect_err("a wrong probe");
    assert!(refused.problems[0].to_string().contains("must not be negative"), "{}", refused.problems[0]);
}

#[test]
fn a_template_of_which_only_app_changed_is_not_topped_up() {
    let version = |env: &str| catalog(&template("log", &format!("app: [{{containers: [\"*\"], env: [{env}]}}]")));
    let injected = applied(&pod(), &decide(&version("{name: A, value: one}"), &pod()));
    let changed = version("{name: A, value: two}, {name: B, value: two}");
    let again = decide(&changed, &injected);
    assert_eq!((again.reason, again.patch.is_empty()), (Reason::AlreadyInjected, true));
    // What its record speaks of has to be there.
    let mut bare = injected;
    bare["spec"]["containers"][0].as_object_mut().expect("an object").remove("env");
    assert_eq!(decide(&changed, &bare).outcome, Outcome::Injected);
}
