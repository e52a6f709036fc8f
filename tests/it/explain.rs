//! What the engine can say of each place that a template speaks of.

use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Effect};
use pillion_engine::template::OnError;
use pillion_engine::{load, select};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::golden::applied;

const TEMPLATES: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: first}
spec:
  pod:
    metadata: {labels: {team: ops}}
    spec:
      terminationGracePeriodSeconds: 60
      dnsPolicy: Default
      initContainers: [{name: first, image: "first:1", restartPolicy: Always}]
  app:
    - containers: [app]
      env: [{name: NEW, value: a}, {name: SAME, value: a}, {name: OTHER, value: a}]
      readinessProbe: {tcpSocket: {port: 1}}
---
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: second}
spec:
  pod: {spec: {terminationGracePeriodSeconds: 45}}
  app:
    - containers: [app]
      env: [{name: NEW, value: b}]
    - containers: [app]
      override: true
      env: [{name: OTHER, value: b}]
"#;

#[test]
fn each_place_says_what_became_of_it_and_by_which_rule() {
    let pod = json!({
        "metadata": {"name": "web", "annotations": {"pillion.dev/templates": "first,second"}},
        "spec": {
            "dnsPolicy": "ClusterFirst",
            "containers": [{
                "name": "app",
                "env": [{"name": "SAME", "value": "a"}, {"name": "OTHER", "value": "mine"}],
                "readinessProbe": {"tcpSocket": {"port": 2}},
            }],
        },
    });
    let first = explain(&pod);
    assert_eq!(
        places(&first),
        [
            "first: metadata.labels[team] added by `labels`, `annotations`, `nodeSelector`",
            "first: initContainers[first] added by `containers`, `initContainers`",
            "first: terminationGracePeriodSeconds added by `terminationGracePeriodSeconds`",
            "first: dnsPolicy replaced by `dnsPolicy`, `restartPolicy`, `schedulerName`, `enableServiceLinks`",
            "first: containers[app].env[NEW] added by `env`",
            "first: containers[app].env[SAME] already there by `env`",
            "first: containers[app].env[OTHER] not applied by `env`",
            "first: containers[app].readinessProbe not applied by probes, `affinity` and all other fields",
            "second: terminationGracePeriodSeconds not applied because of first by `terminationGracePeriodSeconds`",
            "second: containers[app].env[NEW] not applied because of first by `env`",
            "second: containers[app].env[OTHER] replaced by `env`",
        ]
    );
    let second = explain(&applied(&pod, &first));
    assert!(second.patch.is_empty(), "{second:?}");
    assert_eq!(
        places(&second),
        [
            "first: metadata.labels[team] already there by `labels`, `annotations`, `nodeSelector`",
            "first: initContainers[first] already there by `containers`, `initContainers`",
            "first: terminationGracePeriodSeconds already there by `terminationGracePeriodSeconds`",
            "first: containers[app].env[NEW] already there by `env`",
            "first: dnsPolicy replaced by `dnsPolicy`, `restartPolicy`, `schedulerName`, `enableServiceLinks`",
            "second: terminationGracePeriodSeconds not applied because of first by `terminationGracePeriodSeconds`",
            "second: containers[app].env[NEW] not applied because of first by `env`",
        ]
    );
}

#[test]
fn nothing_is_said_of_places_unless_somebody_asks() {
    let pod = json!({
        "metadata": {"name": "web", "annotations": {"pillion.dev/templates": "first"}},
        "spec": {"containers": [{"name": "app"}]},
    });
    let pod = to_raw_value(&pod).expect("JSON");
    let decision = pillion_engine::review(&catalog(), &Namespace::named("shop"), &Review::of_pod("shop", &pod));
    assert!(!decision.patch.is_empty() && decision.templates[0].places.is_empty(), "{decision:?}");
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::new(OnError::Deny);
    for template in load::read(TEMPLATES, "templates.yaml") {
        catalog.insert(template.expect("it is right").into());
    }
    catalog
}

fn explain(pod: &Value) -> Decision {
    let (catalog, namespace, pod) = (catalog(), Namespace::named("shop"), to_raw_value(pod).expect("JSON"));
    let review = Review::of_pod("shop", &pod);
    select(&catalog, &namespace, &review).expect("it asks for templates").explain(&catalog)
}

fn places(decision: &Decision) -> Vec<String> {
    let places = decision.templates.iter().flat_map(|it| it.places.iter().map(|place| (&it.name, place)));
    places
        .map(|(template, it)| {
            let effect = match &it.effect {
                Effect::Added => "added".into(),
                Effect::AlreadyThere => "already there".into(),
                Effect::NotApplied { of: None } => "not applied".into(),
                Effect::NotApplied { of: Some(template) } => format!("not applied because of {template}"),
                Effect::Replaced => "replaced".to_owned(),
            };
            format!("{template}: {} {effect} by {}", it.place, it.rule.part)
        })
        .collect()
}
