//! `pillion inject`: the same engine on files.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::PATIENCE;
use crate::harness::pillion::{LOG_SHIPPER, names};

/// What a command left behind.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The YAML documents that it wrote.
    #[track_caller]
    fn documents(&self) -> Vec<Value> {
        serde_saphyr::from_multiple(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{}", self.stdout))
    }

    /// As `documents`, when there must be just one, and all must have gone well.
    #[track_caller]
    fn document(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        let mut documents = self.documents();
        assert_eq!(documents.len(), 1, "{}", self.stdout);
        documents.remove(0)
    }
}

/// Runs `pillion inject` with one template, `log-shipper`, and `input` on standard input.
#[track_caller]
fn inject<const N: usize>(arguments: [&str; N], input: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("log-shipper.yaml"), LOG_SHIPPER).expect("the folder is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
    command.arg("inject").arg("--templates").arg(folder.path()).args(arguments);
    run(command, input)
}

#[track_caller]
fn run(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    // It may end without reading all of it.
    std::thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let stdout = read_all(child.stdout.take().expect("stdout is piped"));
    let stderr = read_all(child.stderr.take().expect("stderr is piped"));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("a child can be killed");
            panic!("{command:?} did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("the reader does not panic");
    Ran { code: status.code().expect("it ends by itself"), stdout: text(stdout), stderr: text(stderr) }
}

fn read_all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).expect("the program writes text");
        text
    })
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    pillion.dev/templates: log-shipper
spec:
  containers:
    - {name: app, image: 'registry.example.com/app:1'}
";

/// A workload whose pod template is at `path`.
fn workload(api_version: &str, kind: &str, path: &str) -> Value {
    let pod: Value = serde_saphyr::from_str(POD).expect("the pod is YAML");
    let template = json!({"metadata": {"annotations": pod["metadata"]["annotations"]}, "spec": pod["spec"]});
    let spec = path.rsplit('/').fold(template, |inner, field| json!({field: inner}));
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}});
    object["spec"] = spec["spec"].clone();
    object
}

#[test]
fn a_pod_on_standard_input_comes_out_with_its_sidecar() {
    let ran = inject(["-f", "-"], POD);
    let pod = ran.document();
    assert_eq!(names(&pod, "initContainers"), ["log-shipper"]);
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "LOG_DIR", "value": "/var/log/app"}]));
    assert_eq!(pod["metadata"].get("namespace"), None, "nothing is added that a template does not say");
    assert!(
        ran.stderr.contains("standard input:1 default/pod/web: injected") && ran.stderr.contains("log-shipper"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_built_in_cookbook_is_used_when_no_templates_are_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
    command.args(["inject", "-f", "-"]);
    let ran = run(command, &POD.replace("log-shipper", "fluent-bit,otel-collector"));
    assert_eq!(names(&ran.document(), "initContainers"), ["fluent-bit", "otel-collector"]);
}

#[test]
fn workloads_are_injected_where_they_hold_their_pod_template() {
    for (api_version, kind, path) in [
        ("apps/v1", "Deployment", "spec/template"),
        ("apps/v1", "StatefulSet", "spec/template"),
        ("apps/v1", "DaemonSet", "spec/template"),
        ("apps/v1", "ReplicaSet", "spec/template"),
        ("batch/v1", "Job", "spec/template"),
        ("batch/v1", "CronJob", "spec/jobTemplate/spec/template"),
    ] {
        let before = workload(api_version, kind, path);
        let after = inject(["-f", "-"], &before.to_string()).document();
        let template = |object: &Value| object.pointer(&format!("/{path}")).cloned().expect("a pod template");
        assert_eq!(names(&template(&after), "initContainers"), ["log-shipper"], "{kind}");
        assert_eq!(template(&after)["metadata"].get("name"), None, "{kind}");
        assert_eq!(template(&after)["metadata"].get("generateName"), None, "{kind}");
        assert_eq!(after["metadata"], before["metadata"], "{kind}");
    }
}

#[test]
fn the_items_of_a_list_are_injected_each() {
    let pod: Value = serde_saphyr::from_str(POD).expect("the pod is YAML");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
    let items = [pod, service.clone(), workload("apps/v1", "Deployment", "spec/template")];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});

    let after = inject(["-f", "-"], &list.to_string()).document();

    assert_eq!(names(&after["items"][0], "initContainers"), ["log-shipper"]);
    assert_eq!(after["items"][1], service);
    assert_eq!(names(&after["items"][2]["spec"]["template"], "initContainers"), ["log-shipper"]);
}

#[test]
fn what_is_not_changed_goes_out_as_it_came_comments_and_all() {
    let config = "\
# The configuration of the app.
apiVersion: v1
kind: ConfigMap
metadata: {name:   web}   # odd spacing
data:
  mode: 0644
";
    let trailer = "---\n# only a comment\n";
    let ran = inject(["-f", "-"], &format!("{config}---\n# The app itself.\n{POD}{trailer}"));

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with(config), "{}", ran.stdout);
    assert!(ran.stdout.contains("---\n# The app itself.\n"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with(trailer), "{}", ran.stdout);
    assert_eq!(names(&ran.documents()[1], "initContainers"), ["log-shipper"]);
    // The fields stay in the order in which they were written.
    let fields = ["apiVersion:", "kind: Pod", "metadata:", "spec:", "  containers:"];
    let pod = &ran.stdout[ran.stdout.find("# The app itself").expect("the comment is there")..];
    let places: Vec<_> = fields.iter().map(|field| pod.find(field).expect("the field is there")).collect();
    assert!(places.is_sorted(), "{pod}");
}

#[test]
fn other_peoples_manifests_keep_their_lines_and_a_second_time_changes_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/manifests");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("it is there").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 6);
    for file in files {
        let text = fs::read_to_string(&file).expect("it is text");
        let file = file.to_str().expect("it is text");
        let once = inject(["-f", file, "--template", "log-shipper"], "");
        assert!(once.stderr.contains(": injected log-shipper") && !once.stderr.contains("anew"), "{}", once.stderr);
        let mut lines = once.stdout.lines();
        for line in text.lines() {
            assert!(lines.any(|kept| kept == line), "{file}: {line}");
        }
        let twice = inject(["-f", "-", "--template", "log-shipper"], &once.stdout);
        assert_eq!((twice.code, &twice.stdout), (0, &once.stdout), "{}", twice.stderr);
    }
}

#[test]
fn what_is_written_anew_is_told_with_its_line() {
    let ran = inject(
        ["-f", "-"],
        &format!("# head\n{POD}---\n# second\n{}", POD.replace("    - {name", "    # in it\n    - {name")),
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("# head\napiVersion") && ran.stdout.contains("    # in it\n    - name: app\n"));
    for line in [10, 22] {
        let note = format!(
            "standard input:{line}: note: spec.containers[0] is written anew, without its comments, as it is in flow style\n"
        );
        assert!(ran.stderr.contains(&note), "{}", ran.stderr);
    }
    let alias = POD.replace("    - {name", "    - &app {name") + "  x: *app\n";
    let ran = inject(["-f", "-"], &alias);
    assert!(ran.stderr.contains("1: note: the document is written anew, without its comments, as"), "{}", ran.stderr);
}

#[test]
fn an_item_that_is_omitted_leaves_the_comments_of_the_others() {
    let item = |name: &str, templates: &str| {
        let pod = POD.replace("web", name).replace("log-shipper", templates).replace('\n', "\n  ");
        format!("# of {name}\n- {}\n", pod.trim_end())
    };
    let list = format!("kind: List\napiVersion: v1\nitems:\n{}{}", item("one", "no-such"), item("two", "''"));
    let ran = inject(["-f", "-"], &list);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("kind: List\napiVersion: v1\nitems:\n# of one\n{}", item("two", "''")));
}

#[test]
fn output_that_is_injected_again_is_unchanged() {
    let input = format!("{POD}---\n{}", workload("batch/v1", "CronJob", "spec/jobTemplate/spec/template"));
    let once = inject(["-f", "-"], &input);
    let twice = inject(["-f", "-"], &once.stdout);
    assert_eq!((once.code, twice.code), (0, 0), "{}{}", once.stderr, twice.stderr);
    assert_ne!(once.stdout, input);
    assert_eq!(once.stdout, twice.stdout);
    assert!(twice.stderr.contains("already_injected"), "{}", twice.stderr);
}

#[test]
fn a_copy_may_have_the_image_of_a_mirror_that_is_named() {
    let injected = inject(["-f", "-"], POD).document();
    let mut copy = injected.clone();
    let annotations = copy["metadata"]["annotations"].as_object_mut().expect("annotations");
    annotations.retain(|key, _| key == "pillion.dev/templates");
    let image = &mut copy["spec"]["initContainers"][0]["image"];
    *image = format!("mirror.example.com/hub/{}", image.as_str().expect("an image")).into();
    let refused = inject(["-f", "-"], &copy.to_string());
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("name the mirror in the template's imageMirrors"), "{}", refused.stderr);
    let known = inject(["-f", "-", "--image-mirrors", "other.example.com,mirror.example.com/hub"], &copy.to_string());
    assert_eq!(known.code, 0, "{}", known.stderr);
    assert!(known.stderr.contains("already_injected"), "{}", known.stderr);
    let wrong = inject(["-f", "-", "--image-mirrors", "hub"], POD);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("must be a registry with its domain"), "{}", wrong.stderr);
}

#[test]
fn parameters_are_set_from_the_command_line() {
    let ran = inject(["-f", "-", "--set", "log-shipper.logDir=/data/a=b", "--set", "log-shipper.image=shipper:2"], POD);
    let pod = ran.document();
    assert_eq!(pod["spec"]["initContainers"][0]["image"], "shipper:2");
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/data/a=b");
}

#[test]
fn templates_are_given_from_the_command_line() {
    let plain = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app, image: app}]}}";
    let pod = inject(["-f", "-", "--template", "log-shipper"], plain).document();
    assert_eq!(names(&pod, "initContainers"), ["log-shipper"]);
    assert_eq!(pod["metadata"]["annotations"]["pillion.dev/templates"], "log-shipper");
    let asks = POD.replace("log-shipper", "+log-shipper");
    let pod = inject(["-f", "-", "--template", "log-shipper"], &asks).document();
    assert_eq!(pod["metadata"]["annotations"]["pillion.dev/templates"], "+log-shipper");
    let ran = inject(["-f", "-", "--set", "log-shiper.logDir=/x"], POD);
    assert!(ran.stderr.contains("no pod asks for log-shiper; did you mean log-shipper?"), "{}", ran.stderr);
}

#[test]
fn files_and_folders_are_read_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder is writable");
        path
    };
    file("2-second.yaml", &POD.replace("name: web", "name: second"));
    file("1-first.yml", &POD.replace("name: web", "name: first"));
    file("notes.txt", "not: [a manifest");
    let ran = inject(["-f", &folder.path().display().to_string()], "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let found: Vec<_> = ran.documents().iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(found, ["first", "second"]);
}

#[test]
fn a_pod_that_cannot_get_what_it_asks_for_is_exit_code_1() {
    let ran = inject(["-f", "-"], &POD.replace("log-shipper", "log-shiper"));
    assert_eq!(ran.code, 1);
    for part in ["pod/web", "unknown_template", "log-shiper", "log-shipper"] {
        assert!(ran.stderr.contains(part), "{part:?} is missing: {}", ran.stderr);
    }
    let ran = inject(["-f", "-", "--set", "log-shipper.logDir=var/log"], POD);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("invalid_parameter") && ran.stderr.contains("^/"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "what is denied must not reach a cluster bare");
}

#[test]
fn a_refusal_says_where_to_put_it_right_and_where_more_is_written() {
    let deployment = |name: &str, annotations: Value| {
        let mut object = workload("apps/v1", "Deployment", "spec/template");
        object["metadata"]["name"] = name.into();
        object["spec"]["template"]["metadata"]["annotations"] = annotations;
        serde_saphyr::to_string(&object).expect("it is plain data")
    };
    let misspelt = json!({"pillion.dev/templates": "log-shipper", "log-shipper.pillion.dev/logdir": "/srv"});
    let input = [
        deployment("one", json!({"pillion.dev/templates": "log-shiper"})),
        deployment("two", misspelt),
        deployment("three", json!({"pillion.dev/templates": "log-shiper"})),
    ];
    let input = input.join("---\n");
    let line = |text: &str| 1 + input.lines().position(|line| line.contains(text)).expect("it is there");

    let ran = inject(["-f", "-"], &input);

    assert_eq!(ran.code, 1);
    let report: Vec<_> = ran.stderr.lines().collect();
    let page = |code: &str| {
        format!(
            "    {code}: pillion explain --reason {code}, or https://github.com/pillion-dev/pillion/blob/main/docs/reasons.md#{code}"
        )
    };
    let list = line("pillion.dev/templates: log-shiper");
    let annotations = line("log-shipper.pillion.dev/logdir") - 2;
    assert!(
        report[0].starts_with("standard input:1 default/deployment/one: denied: unknown_template: "),
        "{report:#?}"
    );
    assert_eq!(report[1], format!("    standard input:{list}: write pillion.dev/templates: log-shipper"));
    assert_eq!(report[2], page("unknown_template"));
    assert!(report[4].contains("default/deployment/two: denied: unknown_parameter: "), "{report:#?}");
    let place = "spec.template.metadata.annotations";
    assert_eq!(
        report[5..9],
        [
            format!("    standard input:{}: remove log-shipper.pillion.dev/logdir", annotations + 2),
            format!("    standard input:{annotations}: add log-shipper.pillion.dev/logDir: \"/srv\" to {place}"),
            "    or --set log-shipper.logDir=/srv".to_owned(),
            page("unknown_parameter"),
        ]
    );
    assert_eq!(ran.stderr.matches("unknown_template: pillion explain").count(), 1, "once for each reason: {report:#?}");
}

#[test]
fn input_that_cannot_be_read_is_exit_code_2_and_the_rest_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("the folder is writable");
    file("1-good.yaml", POD.as_bytes());
    file("2-broken.yaml", b"a: 1\n---\nkind: [Pod\n---\nb: 2\nb: 3\n");
    file("3-latin.yaml", &[b'a', b':', b' ', 0xe9]);
    file("4-helm.yaml", b"metadata:\n  name: {{ .Release.Name }}\n{{- if .Values.x }}\n  labels: {}\n{{- end }}\n");
    let root = folder.path().display().to_string();
    let ran = inject(["-f", &root, "-f", "/nowhere/pod.yaml"], "");

    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(names(&ran.documents()[0], "initContainers"), ["log-shipper"]);
    let errors: Vec<_> = ran.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let expected = [
        format!("{root}/2-broken.yaml:3:7: invalid YAML:"),
        format!("{root}/2-broken.yaml:6:1: invalid YAML: duplicate mapping key: b"),
        format!("{root}/3-latin.yaml: line 1 is not UTF-8 text; save the file as UTF-8"),
        format!("{root}/4-helm.yaml:"),
        "/nowhere/pod.yaml: No such file".to_owned(),
    ];
    assert_eq!(errors.len(), expected.len(), "{}", ran.stderr);
    for (error, expected) in errors.iter().zip(&expected) {
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    assert!(errors[3].contains("looks like a Helm template") && errors[3].contains("helm template"), "{}", errors[3]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for (arguments, says) in [
        (vec!["-f", "-", "--set", "logDir=/x"], "--set"),
        (vec!["-f", "-", "--namespace-labels", "team"], "--namespace-labels"),
        (vec!["-f", "-", "--on-error", "maybe"], "--on-error"),
        (vec![], "--filename"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.arg("inject").args(&arguments);
        let ran = run(command, POD);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says:?} is missing: {}", ran.stderr);
    }
}

#[test]
fn of_a_list_only_what_is_refused_is_omitted() {
    let pod: Value = serde_saphyr::from_str(POD).expect("the pod is YAML");
    let mut bad = pod.clone();
    bad["metadata"] = json!({"name": "bad", "annotations": {"pillion.dev/templates": "log-shiper"}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();

    let ran = inject(["-f", "-"], &list(json!([pod, bad, config])));
    assert_eq!(ran.code, 1);
    let items = &ran.documents()[0]["items"];
    let left: Vec<_> = items.as_array().expect("a list").iter().map(|item| item["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["web", "settings"]);
    assert_eq!(names(&items[0], "initContainers"), ["log-shipper"]);
    assert_eq!(ran.stderr.matches("omitted from the output").count(), 1, "{}", ran.stderr);

    assert_eq!(inject(["-f", "-"], &list(json!([bad]))).stdout, "", "nothing is left of it");
}

/// A Namespace with these labels and annotations.
fn namespace(labels: &Value, annotations: &Value) -> String {
    let metadata = json!({"name": "shop", "labels": labels, "annotations": annotations});
    format!("---\n{}\n", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
}

#[test]
fn namespaces_of_the_input_count_as_in_the_cluster() {
    let enabled = json!({"pillion.dev/inject": "enabled"});
    let pod = format!("---\n{}", POD.replace("name: web", "name: web\n  namespace: shop"));
    let plain = pod.replace("pillion.dev/templates: log-shipper", "a: b");
    let inject = |pod: &str, namespace: &str| inject(["-f", "-"], &format!("{pod}{namespace}"));

    let ran = inject(&pod, &namespace(&json!({"team": "shop"}), &json!({})));
    assert_eq!(ran.documents()[0]["spec"].get("initContainers"), None);
    let fix = "kubectl label namespace shop pillion.dev/inject=enabled";
    assert!(ran.stderr.contains("not sent to Pillion") && ran.stderr.contains(fix), "{}", ran.stderr);

    for key in ["pillion.dev/templates", "pillion.dev/required-templates"] {
        let gives = json!({key: "log-shipper", "log-shipper.pillion.dev/logDir": "/of/the/namespace"});
        let ran = inject(&plain, &namespace(&enabled, &gives));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let pod = &ran.documents()[0];
        assert_eq!(names(pod, "initContainers"), ["log-shipper"], "{key}");
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/of/the/namespace");
    }
}

#[test]
fn flags_describe_the_namespaces_that_are_not_in_the_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let selector = "spec:\n  namespaceSelector: {matchLabels: {team: shop}}\n";
    let template = LOG_SHIPPER.replacen("spec:\n", selector, 1);
    fs::write(folder.path().join("log-shipper.yaml"), template).expect("the folder is writable");
    let inject = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.arg("inject").arg("--templates").arg(folder.path()).args(["-f", "-"]).args(flags);
        run(command, POD)
    };
    let ran = inject(&["-n", "shop", "--namespace-labels", "team=shop,tier=web"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("shop/pod/web: injected log-shipper"), "{}", ran.stderr);
    let ran = inject(&["-n", "bank", "--namespace-labels", "team=bank"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is not for namespace bank"), "{}", ran.stderr);
    let ran = inject(&["-n", "kube-system", "--namespace-labels", "team=shop"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("the webhook leaves kube-system alone"), "{}", ran.stderr);
}

#[test]
fn a_pod_template_is_found_by_its_shape_and_what_cannot_be_injected_is_named() {
    for (api_version, kind, path) in [
        ("argoproj.io/v1alpha1", "Rollout", "spec/template"),
        ("apps.kruise.io/v1alpha1", "CloneSet", "spec/template"),
        ("apps.openshift.io/v1", "DeploymentConfig", "spec/template"),
        ("serving.knative.dev/v1", "Service", "spec/template"),
        ("keda.sh/v1alpha1", "ScaledJob", "spec/jobTargetRef/template"),
        ("batch.volcano.sh/v1alpha1", "Job", "spec/task/template"),
    ] {
        let before = workload(api_version, kind, path);
        let after = inject(["-f", "-"], &before.to_string()).document();
        let template = after.pointer(&format!("/{path}")).expect("a pod template");
        assert_eq!(names(template, "initContainers"), ["log-shipper"], "{kind}");
    }
    let spark = json!({"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": {"name": "pi"},
        "spec": {"driver": {"annotations": {"pillion.dev/templates": "log-shipper"}}}});
    let ran = inject(["-f", "-"], &spark.to_string());
    assert_eq!((ran.code, &*ran.stdout), (0, &*spark.to_string()));
    let said = "sparkapplication/pi: warning: pillion.dev/templates is among spec.driver.annotations; no pod template";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn what_controllers_and_the_api_server_add_and_refuse_is_known() {
    let template = |pod: &str, more: &str| {
        format!(
            "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: side}}\n\
             spec:\n  pod: {{spec: {pod}}}\n{more}"
        )
    };
    let inject = |template: String, kind: &str, spec: Value| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("side.yaml"), template).expect("the folder is writable");
        let group = if kind == "Job" { "batch" } else { "apps" };
        let mut object = workload(&format!("{group}/v1"), kind, "spec/template");
        object["spec"]["template"]["metadata"]["annotations"] = json!({"pillion.dev/templates": "side"});
        for (field, value) in spec.as_object().expect("fields") {
            object["spec"][field] = value.clone();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.arg("inject").arg("--templates").arg(folder.path()).args(["-f", "-"]);
        run(command, &object.to_string())
    };

    let side = "{initContainers: [{name: side, image: side, restartPolicy: Always, volumeMounts: [{name: data, mountPath: /d}]}]}";
    let claims = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let ran = inject(template(side, "  shares: [data]\n"), "StatefulSet", claims);
    let set = ran.document();
    assert_eq!(names(&set["spec"]["template"], "initContainers"), ["side"], "{}", ran.stderr);
    assert_eq!(set["spec"]["template"]["spec"].get("volumes"), None, "the controller adds it");

    for (kind, pod, says) in [
        ("Deployment", "{activeDeadlineSeconds: 60}", "a Deployment must not have activeDeadlineSeconds"),
        ("Deployment", "{restartPolicy: OnFailure}", "a Deployment must have restartPolicy Always, not OnFailure"),
        ("DaemonSet", "{restartPolicy: Never}", "a DaemonSet must have restartPolicy Always, not Never"),
    ] {
        let ran = inject(template(pod, ""), kind, json!({}));
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("invalid_result") && ran.stderr.contains(says), "{}", ran.stderr);
    }
    let ran = inject(template("{restartPolicy: OnFailure}", ""), "Job", json!({}));
    assert_eq!(ran.document()["spec"]["template"]["spec"]["restartPolicy"], "OnFailure");

    let ran = inject(template("{imagePullSecrets: [{name: mirror}]}", ""), "Deployment", json!({}));
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("is not given those of its ServiceAccount"), "{}", ran.stderr);
}

#[test]
fn the_result_comes_in_the_format_that_is_asked_for() {
    let deployment = workload("apps/v1", "Deployment", "spec/template");
    let input = format!("{deployment}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\n");
    let written = |format: &str| {
        let ran = inject(["-f", "-", "-o", format], &input);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let yaml = written("yaml");
    let expected: Vec<Value> = serde_saphyr::from_multiple(&yaml).expect("YAML");

    let json: Vec<Value> =
        serde_json::Deserializer::from_str(&written("json")).into_iter().map(|it| it.expect("JSON")).collect();
    assert_eq!(json, expected);

    assert_eq!(written("name"), "deployment.apps/web\n");

    let patch: json_patch::Patch = serde_json::from_str(&written("patch")).expect("a patch");
    let mut patched = deployment.clone();
    json_patch::patch(&mut patched, &patch).expect("it applies");
    assert_eq!(patched, expected[0]);

    let diff = written("diff");
    assert!(diff.contains("+        initContainers:") || diff.contains("+      initContainers:"), "{diff}");
    assert!(
        !diff.contains("settings") && diff.lines().all(|line| !line.starts_with('-') || line.starts_with("---")),
        "{diff}"
    );
}

#[test]
fn diff_ends_with_1_when_something_changes() {
    let diff = |input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.args(["diff", "-f", "-"]);
        run(command, input)
    };
    let changed = diff(&POD.replace("log-shipper", "fluent-bit"));
    assert_eq!(changed.code, 1, "{}", changed.stderr);
    assert!(changed.stdout.starts_with("--- standard input:1 default/pod/web\n"), "{}", changed.stdout);
    let same = diff("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app}]}}");
    assert_eq!((same.code, &*same.stdout), (0, ""), "{}", same.stderr);
}

#[test]
fn what_happens_on_an_error_is_said_by_flag_or_variable() {
    let pod = POD.replace("log-shipper", "log-shiper");
    for (flags, variable) in [(vec!["--on-error", "skip"], "deny"), (vec![], "skip")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.args(["inject", "-f", "-"]).args(flags).env("PILLION_ON_ERROR", variable);
        let ran = run(command, &pod);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert_eq!(ran.documents().len(), 1, "the pod is let through: {}", ran.stderr);
    }
}

#[test]
fn annotations_on_the_workload_itself_are_pointed_out() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\n\
                      metadata: {name: web, annotations: {pillion.dev/templates: log-shipper}}\n\
                      spec: {template: {spec: {containers: [{name: app, image: app}]}}}\n";
    let ran = inject(["-f", "-"], deployment);
    assert_eq!(ran.code, 0);
    let said = "standard input:1 default/deployment/web: warning: pillion.dev/templates is among metadata.annotations; \
                only those of the pod template are read; move it there";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn what_should_be_better_about_a_template_is_said_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = LOG_SHIPPER.replacen(
        "restartPolicy: Always",
        "restartPolicy: Always\n          securityContext: {privileged: true}",
        1,
    );
    fs::write(folder.path().join("log-shipper.yaml"), template).expect("the folder is writable");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web, annotations: {pillion.dev/templates: log-shipper}}, \
               spec: {containers: [{name: app, image: app}]}}\n";
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
    command.arg("inject").arg("--templates").arg(folder.path()).args(["-f", "-"]);
    let ran = run(command, &format!("{pod}---\n{pod}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said = "securityContext.privileged must not be true, as the baseline Pod Security level asks";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{}", ran.stderr);
}

#[test]
fn an_annotation_that_is_no_text_leaves_out_its_pod_alone() {
    let pods = "{apiVersion: v1, kind: Pod, metadata: {name: wrong, annotations: {pillion.dev/inject: false}}, spec: {containers: []}}\n\
                ---\n{apiVersion: v1, kind: Pod, metadata: {name: plain}, spec: {containers: []}}\n";
    let ran = inject(["-f", "-"], pods);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("pod/wrong: metadata.annotations[pillion.dev/inject] must be a string; quote false"),
        "{}",
        ran.stderr
    );
    let names: Vec<_> = ran.documents().iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["plain"]);
}
