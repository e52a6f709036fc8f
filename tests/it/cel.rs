//! Expressions in a real policy: the API server, the oracle that the engine's tests ask (`tests/controlplane/celoracle`) and
//! Pillion give the same.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::pillion::{Setup, patched, review_of};
use crate::harness::tools;

/// Of a pod that is called `pod`. What the API server fills in is not asked for.
const EXPRESSIONS: &[&str] = &[
    "size('é')",
    "string(true) + string(1.0) + string(1e21) + string(0.15)",
    "duration('90s').getSeconds() + duration('1h').getMinutes()",
    "pod.spec.containers.map(c, c.?ports.orValue([]).map(p, string(p.containerPort)).join('+')).join(',')",
    "pod.spec.containers.map(c, c.?ports.orValue([]).map(p, p.containerPort)).flatten().sum()",
    "pod.metadata.labels[?'team'].orValue('none')",
    "'app' in pod.metadata.labels ? pod.metadata.labels.app.upperAscii() : 'nobody'",
    "pod.metadata.labels.map(k, k).sort().join('|')",
    "string([50, int(quantity('350m').asApproximateFloat() * 100.0 + 0.5) * 10].max()) + 'm'",
    "quantity('1.5Gi').isGreaterThan(quantity('1500M')) && quantity('1000m').compareTo(quantity('1')) == 0",
    "quantity('1000m').isInteger()",
    "'%s=%d %.2f %x'.format(['a', 3, 1234.5, 255])",
    "'a-b-c'.split('-', 2)",
    "'web-42'.find('[0-9]+') + '|' + ' pad '.trim() + '|' + 'ab'.charAt(1)",
    "'naïve'.matches('^\\\\w+$')",
    "[3, 1, 2].sort().slice(0, 2).reverse()",
    "pod.spec.containers.exists_one(c, c.name == 'web')",
    "pod.spec.?nodeSelector.hasValue() || pod.spec.containers.all(c, c.image.contains(':'))",
    "has(pod.spec.os) ? pod.spec.os.name : 'any'",
    "dyn(1) == 1.0 && dyn(2) > 1.5 && dyn('1') != 1",
];

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web", "tier": "b"}, "annotations": {"pillion.dev/templates": "cel"}},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}, {"containerPort": 81}]},
                {"name": "log", "image": "log:1"},
            ],
        },
    })
}

/// All of them as one text: a policy tells one message.
fn together(pod: &str) -> String {
    let values: Vec<_> =
        EXPRESSIONS.iter().map(|it| format!("'%s'.format([{}])", it.replace("pod.", &format!("{pod}.")))).collect();
    format!("[{}].join(' ; ')", values.join(", "))
}

#[test]
fn a_policy_of_the_api_server_the_oracle_and_pillion_give_the_same() {
    let Some(cluster) = Cluster::shared() else { return };
    let here = cluster.namespace("cel-in-a-policy", &[]);
    let named = json!({"name": "cel-in-a-policy"});
    let policy = json!({
        "metadata": named,
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            "validations": [{"expression": "false", "messageExpression": together("object")}],
        },
    });
    let binding = json!({
        "metadata": named,
        "spec": {
            "policyName": "cel-in-a-policy",
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cel-in-a-policy"}}},
        },
    });
    for (resource, object) in [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)]
    {
        let created = cluster.api.create(&format!("/apis/admissionregistration.k8s.io/v1/{resource}"), &object);
        assert_eq!(created.status, 201, "{}", created.text());
    }
    let of_the_server = eventually("a refusal by the policy", || {
        let answer = here.create("v1", "pods?dryRun=All", &pod());
        let message = answer.json()["message"].as_str()?.to_owned();
        message.split_once("denied request: ").map(|(_, message)| message.to_owned())
    });

    let oracle = tools::control_plane().expect("there is an API server").join("celoracle");
    let question = json!({"expression": together("pod"), "variables": {"pod": pod()}});
    let answer = tools::run(&oracle, [""; 0], &format!("{question}\n")).succeeded();
    let answer: Value = serde_json::from_str(&answer).expect("the oracle answers in JSON");
    assert_eq!(answer["value"], of_the_server, "{answer}");

    let mut template = "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: cel}\nspec: {pod: {metadata: {annotations: {\n".to_owned();
    for (at, expression) in EXPRESSIONS.iter().enumerate() {
        let hole = format!("${{{{ '%s'.format([{expression}]) }}}}");
        writeln!(template, "  r{at}: {},", json!(hole)).expect("a string takes everything");
    }
    let pillion = Setup::new().template("cel.yaml", &(template + "}}}}\n")).start();
    let response = pillion.answer(&review_of("1", &pod()));
    let injected = patched(&pod(), &response);
    let annotations = &injected["metadata"]["annotations"];
    let ours: Vec<_> = (0..EXPRESSIONS.len()).map(|at| annotations[format!("r{at}")].as_str().unwrap_or("")).collect();
    assert_eq!(ours.join(" ; "), of_the_server);
}
