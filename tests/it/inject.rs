//! `pillion inject`: the same engine on files.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
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
    assert!(ran.stderr.contains("pod \"web\"") && ran.stderr.contains("log-shipper"), "{}", ran.stderr);
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
    for part in ["pod \"web\"", "unknown_template", "log-shiper", "log-shipper"] {
        assert!(ran.stderr.contains(part), "{part:?} is missing: {}", ran.stderr);
    }
    let ran = inject(["-f", "-", "--set", "log-shipper.logDir=var/log"], POD);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("invalid_parameter") && ran.stderr.contains("^/"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "what is denied must not reach a cluster bare");
}

#[test]
fn input_that_cannot_be_read_is_exit_code_2_and_writes_nothing() {
    let good_then_bad = format!("{POD}---\nkind: [Pod\n");
    for (arguments, input, says) in [
        (vec!["-f", "-"], good_then_bad.as_str(), "standard input"),
        (vec!["-f", "-"], "a: 1\na: 2\n", "standard input"),
        (vec!["-f", "/nowhere/pod.yaml"], "", "/nowhere/pod.yaml"),
        (vec!["-f", "-", "--set", "logDir=/x"], POD, "--set"),
        (vec![], POD, "--filename"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillion"));
        command.arg("inject").args(&arguments);
        let ran = run(command, input);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(ran.stderr.contains(says), "{says:?} is missing: {}", ran.stderr);
    }
}

#[test]
fn annotations_on_the_workload_itself_are_pointed_out() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\n\
                      metadata: {name: web, annotations: {pillion.dev/templates: log-shipper}}\n\
                      spec: {template: {spec: {containers: [{name: app, image: app}]}}}\n";
    let ran = inject(["-f", "-"], deployment);
    assert_eq!(ran.code, 0);
    let said = "deployment \"web\": warning: pillion.dev/templates is on the deployment; \
                only the annotations of the pod template are read";
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
        ran.stderr.contains("pod \"wrong\": metadata.annotations[pillion.dev/inject] must be a string; quote false"),
        "{}",
        ran.stderr
    );
    let names: Vec<_> = ran.documents().iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["plain"]);
}
