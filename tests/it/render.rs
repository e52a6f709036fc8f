//! `pillion render`: what a template adds, as the template says it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::cookbook::recipes;
use crate::harness::tools::{Ran, run};

/// Adds one of everything that a template can give.
const TEMPLATE: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: side}
spec:
  parameters:
    - {name: logDir, type: string, default: /var/log/app}
    - {name: token, type: string, sensitive: true, example: abc, pattern: "^[a-z]+$"}
    - {name: owner, type: string, optional: true, settableBy: Namespace}
  pod:
    metadata: {labels: {shipped: "yes", owner: "${{ params.owner }}"}}
    spec:
      terminationGracePeriodSeconds: 60
      initContainers:
        - name: side
          image: registry.example.com/side:1
          restartPolicy: Always
          args: ["${{ params.token }}", "${{ string(size(pod.spec.containers)) }}"]
      volumes: [{name: logs, emptyDir: {}}]
  app:
    - containers: ["*"]
      env: [{name: LOGS, value: "${{ params.logDir }}"}]
      volumeMounts: [{name: logs, mountPath: "${{ params.logDir }}"}]
    - containers: [web]
      override: true
      env: [{name: MODE, value: side}]
      resources: {requests: {cpu: 10m}}
    - initContainers: ["*"]
      env: [{name: LOGS, value: none}]
"#;

/// Renders the template `side`.
fn render(arguments: &[&str], manifest: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = folder.path().join("side.yaml");
    fs::write(&template, TEMPLATE).expect("the folder is writable");
    let template = template.to_str().expect("a name that is text");
    pillion(&[&["render", "side", "--templates", template], arguments].concat(), manifest)
}

fn pillion(arguments: &[&str], stdin: &str) -> Ran {
    run(Path::new(env!("CARGO_BIN_EXE_pillion")), arguments, stdin)
}

#[test]
fn a_template_is_rendered_for_a_pod_with_one_container_as_the_template_says_it() {
    let ran = render(&["--set", "token=abc", "--set", "side.logDir=/logs"], "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        "\
pod:
  metadata:
    labels:
      shipped: \"yes\"
  spec:
    initContainers:
    - name: side
      image: registry.example.com/side:1
      restartPolicy: Always
      args:
      - abc
      - \"1\"
    volumes:
    - name: logs
      emptyDir: {}
    terminationGracePeriodSeconds: 60
app:
- containers:
  - app
  env:
  - name: LOGS
    value: /logs
  volumeMounts:
  - name: logs
    mountPath: /logs
"
    );
    assert!(ran.stderr.starts_with("into a pod with one container, app; --filename names one of yours\n"));
    let said = "warning: template \"side\": app[1] names no container of this pod";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

/// A workload whose pods have some of what the template gives, and ask for other templates.
const WORKLOADS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec:
  template:
    metadata:
      labels: {app: shop}
      annotations: {pillion.dev/templates: other, other.pillion.dev/x: "1", side.pillion.dev/token: abc}
    spec:
      terminationGracePeriodSeconds: 30
      initContainers: [{name: migrate, image: migrate}]
      containers:
        - {name: web, image: web, env: [{name: OWN, value: own}, {name: MODE, value: own}], resources: {requests: {memory: 1Mi}}}
        - {name: one, image: one}
        - {name: two, image: two, env: [{name: LOGS, value: own}]}
        - {name: three, image: three}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {pillion.dev/inject: enabled}
  annotations: {pillion.dev/required-templates: other, side.pillion.dev/owner: shop}
---
{apiVersion: v1, kind: Pod, metadata: {name: last}, spec: {containers: [{name: last, image: last}]}}
"#;

#[test]
fn what_is_there_already_is_not_rendered_and_other_templates_neither() {
    let ran = render(&["-f", "-", "-o", "json", "--set", "token=cba"], WORKLOADS);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let rendered = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<Value>();
    let rendered: Vec<_> = rendered.collect::<Result<_, _>>().expect("an object for each pod");
    assert_eq!(rendered.len(), 2, "{}", ran.stdout);
    let logs = json!([{"name": "LOGS", "value": "/var/log/app"}]);
    let mounts = json!([{"name": "logs", "mountPath": "/var/log/app"}]);
    let side = json!({"name": "side", "image": "registry.example.com/side:1", "restartPolicy": "Always", "args": ["cba", "4"]});
    let expected = json!({
        "pod": {
            "metadata": {"labels": {"shipped": "yes", "owner": "shop"}},
            "spec": {
                "terminationGracePeriodSeconds": 60,
                "initContainers": [side],
                "volumes": [{"name": "logs", "emptyDir": {}}],
            },
        },
        "app": [
            {
                "containers": ["web"],
                "env": [{"name": "MODE", "value": "side"}, logs[0]],
                "resources": {"requests": {"cpu": "10m"}},
                "volumeMounts": mounts,
            },
            {"containers": ["one", "three"], "env": logs, "volumeMounts": mounts},
            {"containers": ["two"], "volumeMounts": mounts},
            {"initContainers": ["migrate"], "env": [{"name": "LOGS", "value": "none"}]},
        ],
    });
    assert_eq!(rendered[0], expected);
    let place = "standard input:2 shop/deployment/shop";
    let said = format!("{place}: warning: template \"side\": the existing value wins at containers[two].env[LOGS]");
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);

    let yaml = render(&["-f", "-", "--set", "token=cba"], WORKLOADS).stdout;
    let headings: Vec<_> = yaml.lines().filter(|line| line.starts_with('#') || *line == "---").collect();
    assert_eq!(headings, [&*format!("# {place}"), "---", "# standard input:26 default/pod/last"]);
    assert_eq!(serde_saphyr::from_multiple::<Value>(&yaml).expect("YAML"), rendered);
}

#[test]
fn a_parameter_that_must_be_set_is_named_with_the_flag_that_sets_it() {
    let ran = render(&[], "");
    assert_eq!((ran.code, &*ran.stdout), (1, ""));
    assert!(
        ran.stderr.contains("missing_parameter: template \"side\": parameter token has no default"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("\nuse --set side.token=VALUE\n"), "{}", ran.stderr);
    let ran = render(&["--set", "token=S3cret"], "");
    assert!(ran.code == 1 && ran.stderr.contains("parameter token must match ^[a-z]+$"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("S3cret"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_rendered_says_why() {
    let pod = |more: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web{more}}}, spec: {{containers: [{{name: side, image: x}}]}}}}"
        )
    };
    let token = ["--set", "token=abc"];
    for (arguments, manifest, code, says) in [
        (
            &["-f", "-"][..],
            pod(""),
            1,
            "standard input:1 default/pod/web: denied: conflict: container \"side\" comes from",
        ),
        (&["-f", "-"], pod(", labels: {pillion.dev/inject: disabled}"), 1, "skipped: pod_opted_out: The pod has"),
        (&["-f", "-"], pod(", annotations: {a: true}"), 1, "metadata.annotations[a] must be a string; quote true"),
        (&["-n", "kube-system"], String::new(), 1, "the webhook leaves kube-system alone"),
        (&["-f", "-"], "{apiVersion: v1, kind: ConfigMap}".into(), 2, "there is no pod and no pod template"),
        (&["-f", "-"], "a: [".into(), 2, "standard input:1:4: invalid YAML"),
        (&["-f", "nowhere.yaml"], String::new(), 2, "nowhere.yaml: No such file"),
        (&["--set", "logDir"], String::new(), 2, "--set logDir: write it as template.parameter=value"),
        (&["--set", "other.logDir=/x"], String::new(), 2, "other is another template than side"),
        (&["--set", "logdir=/x"], String::new(), 1, "there is no parameter logdir"),
    ] {
        let ran = render(&[&token, arguments].concat(), &manifest);
        assert_eq!((ran.code, &*ran.stdout), (code, ""), "{says}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    let ran = pillion(&["render", "envoi"], "");
    assert!(ran.code == 2 && ran.stderr.contains("there is no template envoi; did you mean envoy?"), "{}", ran.stderr);
}

#[test]
fn every_template_of_the_cookbook_is_rendered_as_its_message_says() {
    for recipe in recipes() {
        let render = |sets: &[String]| {
            let sets = sets.iter().flat_map(|set| ["--set", set]);
            pillion(&["render", &recipe.name].into_iter().chain(sets).collect::<Vec<_>>(), "")
        };
        let mut ran = render(&[]);
        if let Some((_, flags)) = ran.stderr.split_once("use --set ") {
            // Of what is sensitive no example is shown.
            let parameters = recipe.spec["parameters"].as_array().into_iter().flatten();
            let flags = parameters.fold(flags.to_owned(), |flags, parameter| {
                let [name, example] = ["name", "example"].map(|field| parameter[field].as_str().unwrap_or_default());
                flags.replace(&format!(".{name}=VALUE"), &format!(".{name}={example}"))
            });
            let flags: Vec<_> =
                flags.trim_end().split(" --set ").map(|set| set.trim_matches('\'').to_owned()).collect();
            ran = render(&flags);
        }
        // Some are for pods that have more.
        let needs_more = ran.stderr.contains("conflict") || ran.stderr.contains("invalid_result");
        assert!(ran.code == 0 || needs_more, "{}: {}", recipe.name, ran.stderr);
        assert_eq!(ran.code == 0, ran.stdout.starts_with("pod:\n"), "{}: {}", recipe.name, ran.stdout);
        assert!(!ran.stdout.contains("${{"), "{}", ran.stdout);
    }
}
