//! The policies of the chart on a real API server: pods that should have been injected and were not, and annotations
//! where nobody reads them.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::http::Answer;
use crate::harness::installed::Install;

const CHECK: &str = "pillion-final-check";
const MISPLACED: &str = "pillion-misplaced";

/// Labels or annotations.
type Entries = &'static [(&'static str, &'static str)];

/// A pod, and of its templates those without which it comes.
struct Case {
    what: &'static str,
    /// Annotations of the namespace.
    namespace: Entries,
    annotations: Entries,
    labels: Entries,
    /// While Pillion is down.
    down: &'static str,
    /// While Pillion answers.
    up: &'static str,
}

const PLAIN: Case = Case { what: "a pod", namespace: &[], annotations: &[], labels: &[], down: "", up: "" };

const GIVES_A: Entries = &[("pillion.dev/templates", "a")];
const REQUIRES_C: Entries = &[("pillion.dev/required-templates", "c")];
const ASKS_A: Entries = &[("pillion.dev/templates", "a")];
const MIRROR: &str = "kubernetes.io/config.mirror";
const DISABLED: Entries = &[("pillion.dev/inject", "disabled")];

const CASES: &[Case] = &[
    PLAIN,
    Case { what: "a pod that asks", annotations: ASKS_A, down: "a", ..PLAIN },
    Case { what: "a pod that asks for two", annotations: &[("pillion.dev/templates", "b,a")], down: "b,a", ..PLAIN },
    Case {
        what: "blanks and empty entries",
        annotations: &[("pillion.dev/templates", " a ,, b,")],
        down: "a,b",
        ..PLAIN
    },
    Case {
        what: "a template that is not there",
        annotations: &[("pillion.dev/templates", "nobody-knows")],
        down: "nobody-knows",
        ..PLAIN
    },
    Case {
        what: "a template whose guard does not hold",
        annotations: &[("pillion.dev/templates", "guarded")],
        down: "guarded",
        ..PLAIN
    },
    Case { what: "what is no name", annotations: &[("pillion.dev/templates", "A_b, -, x.y")], ..PLAIN },
    Case { what: "a namespace that gives", namespace: GIVES_A, down: "a", ..PLAIN },
    Case {
        what: "a pod that wants none of it",
        namespace: GIVES_A,
        annotations: &[("pillion.dev/templates", "")],
        ..PLAIN
    },
    Case {
        what: "a pod that wants another",
        namespace: GIVES_A,
        annotations: &[("pillion.dev/templates", "b")],
        down: "b",
        ..PLAIN
    },
    Case {
        what: "a pod that wants one more",
        namespace: GIVES_A,
        annotations: &[("pillion.dev/templates", "+b")],
        down: "a,b",
        ..PLAIN
    },
    Case {
        what: "one plus for the whole list, and several before a name",
        namespace: GIVES_A,
        annotations: &[("pillion.dev/templates", "b, ++ c, +a")],
        down: "a,b,c",
        ..PLAIN
    },
    Case { what: "a namespace that requires", namespace: REQUIRES_C, down: "c", ..PLAIN },
    Case {
        what: "a required template that the pod asks for, too",
        namespace: REQUIRES_C,
        annotations: &[("pillion.dev/templates", "a,c")],
        down: "c,a",
        ..PLAIN
    },
    Case {
        what: "a pod that opted out by annotation",
        namespace: GIVES_A,
        annotations: &[("pillion.dev/inject", "false"), ("pillion.dev/templates", "b")],
        ..PLAIN
    },
    Case { what: "a pod that opted out by label", annotations: ASKS_A, labels: DISABLED, ..PLAIN },
    Case {
        what: "opting out by annotation of what is required",
        namespace: REQUIRES_C,
        annotations: DISABLED,
        down: "c",
        ..PLAIN
    },
    // The API server does not call Pillion for it, so Pillion cannot see to it.
    Case {
        what: "opting out by label of what is required",
        namespace: REQUIRES_C,
        annotations: ASKS_A,
        labels: DISABLED,
        down: "c",
        up: "c",
    },
    Case {
        what: "opting out by label with an outcome of one's own",
        namespace: REQUIRES_C,
        annotations: &[("pillion.dev/outcome", "c=injected")],
        labels: DISABLED,
        down: "c",
        up: "c",
    },
    Case {
        what: "a label that opts in",
        annotations: ASKS_A,
        labels: &[("pillion.dev/inject", "true")],
        down: "a",
        ..PLAIN
    },
    Case {
        what: "an outcome of each template",
        annotations: &[("pillion.dev/templates", "a,b"), ("pillion.dev/outcome", "a=injected,b=guard_false")],
        ..PLAIN
    },
    Case {
        what: "an outcome of one of them",
        annotations: &[("pillion.dev/templates", "a,b"), ("pillion.dev/outcome", "a=injected")],
        down: "b",
        ..PLAIN
    },
    Case {
        what: "an outcome of a template whose name begins alike",
        annotations: &[("pillion.dev/templates", "a"), ("pillion.dev/outcome", "ab=injected")],
        down: "a",
        ..PLAIN
    },
    Case { what: "a mirror pod", annotations: &[("pillion.dev/templates", "a"), (MIRROR, "x")], ..PLAIN },
];

fn map(entries: &[(&str, &str)]) -> Value {
    entries.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
}

fn pod(annotations: &Value, labels: &Value) -> Value {
    json!({
        "metadata": {"name": "web", "annotations": annotations, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}
    })
}

impl Case {
    fn pod(&self) -> Value {
        let mut pod = pod(&map(self.annotations), &map(self.labels));
        if self.annotations.iter().any(|(key, _)| *key == MIRROR) {
            // Else the API server refuses it.
            pod["spec"]["nodeName"] = json!("node");
        }
        pod
    }
}

const OPTED_IN: [(&str, &str); 1] = [("pillion.dev/inject", "enabled")];
const STRICT: [(&str, &str); 2] = [("pillion.dev/inject", "enabled"), ("pillion.dev/failure-policy", "fail")];

/// A namespace of its own for all cases with the same annotations of the namespace.
fn namespaces(cluster: &Cluster) -> BTreeMap<Entries, String> {
    let kinds: HashSet<_> = CASES.iter().map(|case| case.namespace).collect();
    let created = kinds.into_iter().enumerate().map(|(number, annotations)| {
        let name = format!("case-{number}");
        namespace(cluster, &name, &OPTED_IN, annotations);
        (annotations, name)
    });
    created.collect()
}

/// Creates a namespace and waits until pods can be created in it.
fn namespace(cluster: &Cluster, name: &str, labels: &[(&str, &str)], annotations: &[(&str, &str)]) {
    let metadata = json!({"name": name, "labels": map(labels), "annotations": map(annotations)});
    let created = cluster.api.create("/api/v1/namespaces", &json!({"metadata": metadata}));
    assert_eq!(created.status, 201, "{}", created.text());
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    eventually("the default ServiceAccount", || (cluster.api.get(&account).status == 200).then_some(()));
}

/// What the API server answers to a pod. Nothing is stored.
fn try_pod(cluster: &Cluster, namespace: &str, pod: &Value) -> Answer {
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), pod)
}

/// The warning of a policy, if there is one.
fn warning_of(policy: &str, answer: &Answer) -> Option<String> {
    let begin = format!("Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{policy}': ");
    answer.warnings().iter().find_map(|warning| warning.strip_prefix(&begin).map(str::to_owned))
}

/// The templates that an audit event of this cluster names, by the event's id.
fn audited(cluster: &Cluster) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let missing = format!("{CHECK}/missing-templates");
    cluster.audit().iter().map(|event| (text(&event["auditID"]), text(&event["annotations"][&missing]))).collect()
}

/// Checks that no policy failed to be evaluated: the API server counts that as `allow`.
fn assert_no_policy_failed(cluster: &Cluster) {
    let metrics = cluster.metrics();
    let series = "apiserver_validating_admission_policy_check_total";
    assert_eq!(metrics.sum(series, &["enforcement_action=\"allow\""]), 0.0, "{metrics:?}");
}

fn templates() -> Value {
    let template = |name: &str, guard: Value| {
        json!({
            "apiVersion": "pillion.dev/v1alpha1",
            "kind": "ClusterInjectionTemplate",
            "metadata": {"name": name},
            "spec": {
                "when": guard,
                "pod": {"spec": {"initContainers": [
                    {"name": name, "image": "registry.example.com/sidecar:1", "restartPolicy": "Always"}
                ]}}
            }
        })
    };
    let mut all = json!({"guarded": template("guarded", json!("false"))});
    for name in ["a", "b", "c"] {
        all[name] = template(name, json!("true"));
    }
    all
}

/// Pods that ask for what is not there are let through, so that the final check sees them.
fn install<'a>(cluster: &'a Cluster) -> Install<'a> {
    Install::on(cluster).values(json!({
        "replicaCount": 1,
        "config": {"onError": "skip", "drainSeconds": 0},
        "templates": templates(),
        "finalCheck": {"enabled": true},
        "misplaced": {"enabled": true}
    }))
}

#[test]
fn it_reports_nothing_while_pillion_answers_and_each_pod_that_goes_without_while_not() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = install(&cluster).start();
    let namespaces = namespaces(&cluster);
    namespace(&cluster, "heeded", &OPTED_IN, REQUIRES_C);
    let opted_out = pod(&map(&[]), &map(DISABLED));
    eventually("the API server to apply the final check", || {
        warning_of(CHECK, &try_pod(&cluster, "heeded", &opted_out))
    });

    let asks = try_pod(&cluster, &namespaces[GIVES_A], &pod(&map(&[]), &map(&[]))).json();
    assert_eq!(asks["metadata"]["annotations"]["pillion.dev/outcome"], "a=injected");
    assert_cases(&cluster, &namespaces, |case| case.up);

    let replica = installed.replicas().remove(0);
    installed.stop(&replica);
    assert_cases(&cluster, &namespaces, |case| case.down);
    assert_no_policy_failed(&cluster);
}

/// Tries each pod, and checks that exactly what `missing` says is warned of and in the audit log.
#[track_caller]
fn assert_cases(cluster: &Cluster, namespaces: &BTreeMap<Entries, String>, missing: impl Fn(&Case) -> &'static str) {
    let mut expected = Vec::new();
    for case in CASES {
        let what = case.what;
        let answer = try_pod(cluster, &namespaces[case.namespace], &case.pod());
        assert_eq!(answer.status, 201, "{what}: {}", answer.text());
        let warning = warning_of(CHECK, &answer);
        let named = warning.as_deref().and_then(|text| text.strip_prefix("this pod is without ")?.split(':').next());
        let missing = missing(case);
        assert_eq!(named.unwrap_or_default().replace(", ", ","), missing, "{what}: {warning:?}");
        let id = answer.header("audit-id").expect("the API server numbers its audit events").to_owned();
        expected.push((what, id, missing));
    }
    let audited = audited(cluster);
    for (what, id, missing) in expected {
        assert_eq!(audited.get(&id).map(String::as_str), Some(missing), "{what}");
    }
}

#[test]
fn where_pods_wait_for_pillion_no_label_keeps_one_from_it_or_from_the_second_belt() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = install(&cluster).start();
    namespace(&cluster, "strict", &STRICT, REQUIRES_C);
    namespace(&cluster, "usual", &OPTED_IN, REQUIRES_C);
    let opted_out = pod(&map(ASKS_A), &map(DISABLED));
    eventually("the API server to apply the final check", || {
        warning_of(CHECK, &try_pod(&cluster, "usual", &opted_out))
    });

    let answer = try_pod(&cluster, "strict", &opted_out);
    assert_eq!(warning_of(CHECK, &answer), None);
    assert_eq!(answer.json()["metadata"]["annotations"]["pillion.dev/outcome"], "c=injected");

    // Without the webhook, as if somebody had taken it away.
    let [path, _] = installed.configurations();
    assert_eq!(cluster.api.delete(&path).status, 200);
    eventually("the API server to forget the webhook", || {
        let warning = warning_of(CHECK, &try_pod(&cluster, "strict", &opted_out))?;
        assert!(warning.starts_with("this pod is without c: Pillion was not asked about it"), "{warning}");
        Some(())
    });
    // The second belt is for these namespaces alone.
    let guide = include_str!("../../docs/failure-policy.md");
    let binding = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    cluster.apply(binding);
    eventually("the API server to apply the binding", || {
        (try_pod(&cluster, "strict", &opted_out).status == 422).then_some(())
    });
    assert_eq!(try_pod(&cluster, "usual", &opted_out).status, 201);
    assert_no_policy_failed(&cluster);
}

#[test]
fn it_refuses_what_it_would_warn_of_when_it_is_told_to_deny() {
    let Some(cluster) = Cluster::own() else { return };
    let actions = json!({"finalCheck": {"validationActions": ["Deny"]}});
    install(&cluster).values(actions).apply();
    let namespaces = namespaces(&cluster);
    eventually("the API server to apply the final check", || {
        (try_pod(&cluster, &namespaces[GIVES_A], &PLAIN.pod()).status == 422).then_some(())
    });

    for case in CASES {
        let answer = try_pod(&cluster, &namespaces[case.namespace], &case.pod());

        let (what, text) = (case.what, answer.text());
        if case.down.is_empty() {
            assert_eq!(answer.status, 201, "{what}: {text}");
        } else {
            assert_eq!(answer.status, 422, "{what}: {text}");
            let missing = format!("denied request: this pod is without {}: ", case.down.replace(',', ", "));
            assert!(text.contains(&missing), "{what}: {text}");
        }
    }
    assert_no_policy_failed(&cluster);
}

#[test]
fn it_can_be_evaluated_whatever_stands_in_the_annotations() {
    let Some(cluster) = Cluster::own() else { return };
    let actions = json!({"misplaced": {"validationActions": ["Audit"]}});
    install(&cluster).values(actions).apply();
    namespace(&cluster, "shop", &OPTED_IN, REQUIRES_C);
    eventually("the API server to apply the final check", || {
        warning_of(CHECK, &try_pod(&cluster, "shop", &PLAIN.pod()))
    });

    // All annotations together may have 256 KiB.
    let most = (256 << 10) - 100;
    let repeated = |text: &str| text.repeat(most / text.len());
    let alone = |key: &str, text: String| json!({key: text});
    let mut shapes: Vec<Value> = ["a,", ",", "+", "+a,", "a", " ", "=", ",=", "\n", "é"]
        .iter()
        .flat_map(|text| ["pillion.dev/templates", "pillion.dev/outcome"].map(|key| alone(key, repeated(text))))
        .collect();
    let long_names: Vec<String> = (10..74).map(|number| format!("{}{number}", "a".repeat(61))).collect();
    shapes.push(alone("pillion.dev/templates", long_names.join(",")));
    shapes.push((0..most / 20).map(|number| (format!("a-key-of-20-lett{number:04x}"), json!(""))).collect());

    for annotations in shapes {
        let begin: String = annotations.to_string().chars().take(60).collect();
        let answer = try_pod(&cluster, "shop", &pod(&annotations, &map(&[])));
        assert_eq!(answer.status, 201, "{begin}: {}", answer.text());
        let warning = warning_of(CHECK, &answer).unwrap_or_else(|| panic!("no warning for {begin}"));
        assert!(warning.starts_with("this pod is without c"), "{begin}: {warning}");
        let deployment = deployment(&annotations, &json!({}), &json!({}));
        let answer = cluster.api.create("/apis/apps/v1/namespaces/shop/deployments?dryRun=All", &deployment);
        assert_eq!(answer.status, 201, "{begin}: {}", answer.text());
    }
    assert_no_policy_failed(&cluster);
}

fn deployment(annotations: &Value, labels: &Value, of_pods: &Value) -> Value {
    let mut template = pod(of_pods, &json!({"app": "web"}));
    template["metadata"].as_object_mut().expect("an object").remove("name");
    json!({
        "metadata": {"name": "web", "annotations": annotations, "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    })
}

/// A workload of each kind, made of what a Deployment would be.
fn workloads(deployment: &Value) -> [(&'static str, Value, &'static str); 6] {
    let of = |spec: Value| json!({"metadata": deployment["metadata"], "spec": spec});
    let spec = &deployment["spec"];
    let mut job = json!({"template": spec["template"]});
    job["template"]["spec"]["restartPolicy"] = json!("Never");
    let mut stateful_set = spec.clone();
    stateful_set["serviceName"] = json!("web");
    let path = "spec.template.metadata";
    [
        ("apps/v1 deployments Deployment", of(spec.clone()), path),
        ("apps/v1 statefulsets StatefulSet", of(stateful_set), path),
        ("apps/v1 daemonsets DaemonSet", of(spec.clone()), path),
        ("apps/v1 replicasets ReplicaSet", of(spec.clone()), path),
        ("batch/v1 jobs Job", of(job.clone()), path),
        (
            "batch/v1 cronjobs CronJob",
            of(json!({"schedule": "@daily", "jobTemplate": {"spec": job}})),
            "spec.jobTemplate.spec.template.metadata",
        ),
    ]
}

#[test]
fn annotations_on_a_workload_instead_of_its_pods_are_reported() {
    let Some(cluster) = Cluster::own() else { return };
    install(&cluster).apply();
    namespace(&cluster, "shop", &OPTED_IN, &[]);
    namespace(&cluster, "bare", &[], &[]);
    let none = map(&[]);
    eventually("the API server to apply the policy", || {
        warning_of(MISPLACED, &try_pod(&cluster, "bare", &pod(&map(ASKS_A), &none)))
    });
    let try_workload = |namespace: &str, kind: &str, workload: &Value| {
        let mut words = kind.split(' ');
        let (group, resource) = (words.next().expect("a group"), words.next().expect("a resource"));
        let answer =
            cluster.api.create(&format!("/apis/{group}/namespaces/{namespace}/{resource}?dryRun=All"), workload);
        assert_eq!(answer.status, 201, "{kind}: {}", answer.text());
        warning_of(MISPLACED, &answer)
    };

    let asks = map(ASKS_A);
    let parameter = json!({"a.pillion.dev/logDir": "/log"});
    for (kind, misplaced, path) in workloads(&deployment(&asks, &none, &none)) {
        let name = kind.split(' ').next_back().expect("a kind");
        let moved = |what: &str| Some(format!("{what} does nothing on the metadata of a {name}: move it to {path}"));
        assert_eq!(try_workload("shop", kind, &misplaced), moved("pillion.dev/templates"));
        let others = [(&parameter, &none, "a.pillion.dev/logDir"), (&none, &map(DISABLED), "pillion.dev/inject")];
        for (annotations, labels, what) in others {
            let mut workload = misplaced.clone();
            workload["metadata"]["annotations"] = annotations.clone();
            workload["metadata"]["labels"] = labels.clone();
            assert_eq!(try_workload("shop", kind, &workload), moved(what));
        }
        let mut owned = misplaced.clone();
        let owner = json!({"apiVersion": "example.com/v1", "kind": "App", "name": "web", "uid": "1"});
        owned["metadata"]["ownerReferences"] = json!([owner]);
        assert_eq!(try_workload("shop", kind, &owned), None, "what its owner made is its owner's matter");
    }
    for (kind, right, _) in workloads(&deployment(&asks, &none, &asks)) {
        assert_eq!(try_workload("shop", kind, &right), None, "{kind}");
        let warning = try_workload("bare", kind, &right).unwrap_or_else(|| panic!("no warning for {kind}"));
        assert!(warning.starts_with("nothing is injected in namespace bare"), "{warning}");
        assert!(warning.contains("kubectl label namespace bare pillion.dev/inject=enabled"), "{warning}");
    }
    assert_eq!(try_workload("bare", "apps/v1 deployments", &deployment(&none, &none, &none)), None);
    let other = json!({"example.com/pillion.dev": "x", "pillion.dev.example.com/templates": "a"});
    assert_eq!(try_workload("shop", "apps/v1 deployments", &deployment(&other, &none, &none)), None);

    // What is there already can still be changed into what is right, and is spoken of when it is changed otherwise.
    let path = "/apis/apps/v1/namespaces/shop/deployments";
    assert_eq!(cluster.api.create(path, &deployment(&asks, &none, &none)).status, 201);
    let web = format!("{path}/web");
    let changed = cluster.api.merge(&web, &json!({"metadata": {"labels": {"changed": "yes"}}}));
    assert!(warning_of(MISPLACED, &changed).is_some(), "{}", changed.text());
    let mended = json!({"spec": {"template": {"metadata": {"annotations": asks}}}});
    assert_eq!(warning_of(MISPLACED, &cluster.api.merge(&web, &mended)), None);
    assert_no_policy_failed(&cluster);
}

#[test]
fn a_failure_policy_that_does_nothing_is_reported_when_a_namespace_is_labelled() {
    let Some(cluster) = Cluster::own() else { return };
    install(&cluster).apply();
    namespace(&cluster, "shop", &OPTED_IN, &[]);
    let label = |name: &str, labels: &Value, annotations: &Value| {
        let change = json!({"metadata": {"labels": labels, "annotations": annotations}});
        let answer = cluster.api.merge(&format!("/api/v1/namespaces/{name}?dryRun=All"), &change);
        assert_eq!(answer.status, 200, "{}", answer.text());
        warning_of(MISPLACED, &answer)
    };
    let policy = |value: &str| json!({"pillion.dev/failure-policy": value});
    eventually("the API server to apply the policy", || label("shop", &policy("Fail"), &json!({})));

    assert_eq!(label("shop", &policy("fail"), &json!({})), None);
    assert_eq!(label("shop", &json!({"team": "shop"}), &json!({"team": "shop"})), None);
    assert_eq!(label("default", &json!({"team": "shop"}), &json!({})), None);
    for value in ["Fail", "ignore", "yes", ""] {
        let means_nothing = format!("the label pillion.dev/failure-policy is \"{value}\", which means nothing; ");
        let warning = label("shop", &policy(value), &json!({}));
        assert!(warning.as_ref().is_some_and(|it| it.starts_with(&means_nothing)), "{value}: {warning:?}");
    }
    let warning = label("default", &policy("fail"), &json!({})).expect("it has not opted in");
    assert!(warning.contains("kubectl label namespace default pillion.dev/inject=enabled"), "{warning}");
    let warning = label("shop", &json!({}), &policy("fail")).expect("it is no annotation");
    assert!(warning.ends_with("it counts as a label alone"), "{warning}");

    let labels: Value = OPTED_IN.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let mut new = json!({"metadata": {"name": "new", "labels": labels}});
    new["metadata"]["labels"]["pillion.dev/failure-policy"] = json!("Fail");
    let created = cluster.api.create("/api/v1/namespaces?dryRun=All", &new);
    assert!(warning_of(MISPLACED, &created).is_some(), "{}", created.text());
    assert_no_policy_failed(&cluster);
}

#[test]
fn a_pod_that_asks_is_either_sent_to_pillion_or_reported_whatever_the_namespace_selector() {
    let Some(cluster) = Cluster::own() else { return };
    let selector = json!({
        "matchLabels": {"team": "shop"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["web", "batch"]},
            {"key": "stage", "operator": "NotIn", "values": ["test"]},
            {"key": "owner", "operator": "Exists"},
            {"key": "frozen", "operator": "DoesNotExist"}
        ]
    });
    let installed = install(&cluster).values(json!({"webhook": {"namespaceSelector": selector}})).apply();
    const SELECTED: [(&str, &str); 3] = [("team", "shop"), ("tier", "web"), ("owner", "")];
    let others: [(&str, Entries, bool); 9] = [
        ("selected", &[], true),
        ("other-value", &[("stage", "live"), ("tier", "batch")], true),
        ("empty-value", &[("stage", "")], true),
        ("other-team", &[("team", "other")], false),
        ("empty-team", &[("team", "")], false),
        ("other-tier", &[("tier", "db")], false),
        ("empty-tier", &[("tier", "")], false),
        ("in-test", &[("stage", "test")], false),
        ("is-frozen", &[("frozen", "no")], false),
    ];
    let mut expected = Vec::new();
    for (name, more, selected) in others {
        let labels: BTreeMap<&str, &str> = SELECTED.into_iter().chain(more.iter().copied()).collect();
        namespace(&cluster, name, &labels.into_iter().collect::<Vec<_>>(), &[]);
        expected.push((name, selected));
    }
    for (without, name) in ["no-team", "no-tier", "no-owner"].iter().enumerate() {
        let labels: Vec<_> =
            SELECTED.into_iter().enumerate().filter(|(at, _)| *at != without).map(|(_, it)| it).collect();
        namespace(&cluster, name, &labels, &[]);
        expected.push((name, false));
    }
    // Excluded, though it has the labels.
    let labels = json!({"metadata": {"labels": map(&SELECTED)}});
    assert_eq!(cluster.api.merge("/api/v1/namespaces/kube-node-lease", &labels).status, 200);
    expected.push(("kube-node-lease", false));
    let asking = pod(&map(ASKS_A), &map(&[]));
    eventually("the API server to heed both policies", || {
        warning_of(CHECK, &try_pod(&cluster, "selected", &asking))?;
        warning_of(MISPLACED, &try_pod(&cluster, "no-team", &asking))
    });

    for (name, selected) in expected {
        let before = installed.calls().failed_open;
        let answer = try_pod(&cluster, name, &asking);
        let was_sent = installed.calls().failed_open > before;
        assert_eq!(was_sent, selected, "{name}");
        assert_eq!(warning_of(CHECK, &answer).is_some(), selected, "{name}: {:?}", answer.warnings());
        assert_eq!(warning_of(MISPLACED, &answer).is_none(), selected, "{name}: {:?}", answer.warnings());
    }
    assert_no_policy_failed(&cluster);
}

#[test]
fn the_api_server_finds_nothing_to_complain_of_in_the_policies() {
    let Some(cluster) = Cluster::own() else { return };
    install(&cluster).apply();

    for policy in [CHECK, MISPLACED] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{policy}");
        let checked = eventually("the controller to check the policy's types", || {
            let policy = cluster.api.get(&path).json();
            (policy["status"]["observedGeneration"] == policy["metadata"]["generation"]).then_some(policy)
        });
        assert_eq!(checked["status"]["typeChecking"], json!({}), "{policy}");
    }
}
