//! What the commands make of files and streams that are large, broken, or not what their names promise.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::tools::{Ran, run};

const PILLION: &str = env!("CARGO_BIN_EXE_pillion");

/// A template that changes little, and is read fast.
const TEMPLATE: &str = "\
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: shared}
spec: {pod: {spec: {shareProcessNamespace: true}}}
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    pillion.dev/templates: shared
spec:
  containers:
    - {name: app, image: app, command: [sh, -c, \"a\\tb\"]}
";

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n  script: |\n    a\n    b\n";

/// A folder with [`TEMPLATE`] in `templates`, and room for more.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("templates")).expect("the folder is new");
        fs::create_dir(folder.path().join("in")).expect("the folder is new");
        fs::write(folder.path().join("templates/shared.yaml"), TEMPLATE).expect("the folder is writable");
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes a file that is to be read.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(&format!("in/{name}"));
        fs::write(&path, bytes).expect("the folder is writable");
        path
    }

    fn inject(&self, arguments: &[&str], stdin: &str) -> Ran {
        let templates = self.path("templates");
        run(Path::new(PILLION), ["inject", "--templates", &templates].iter().chain(arguments), stdin)
    }

    /// What comes out when these bytes are a file.
    fn inject_file(&self, name: &str, bytes: impl AsRef<[u8]>) -> Ran {
        let path = self.write(name, bytes);
        self.inject(&["-f", &path], "")
    }
}

/// The documents of an output.
#[track_caller]
fn documents(output: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(output).unwrap_or_else(|e| panic!("{e}:\n{output}"))
}

#[test]
fn ten_thousand_documents_are_read_in_each_shape_that_they_can_have() {
    let folder = Folder::new();
    let asks: Value = serde_saphyr::from_str(POD).expect("the pod is YAML");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    let objects: Vec<_> = (0..10_000).map(|at| if at % 1000 == 0 { &asks } else { &config }).collect();
    let each = |write: fn(&Value) -> String| objects.iter().map(|object| write(object)).collect::<Vec<_>>();
    for (name, text) in [
        ("documents", each(|object| format!("# one of many\n{object}\n")).join("---\n")),
        ("json", each(|object| format!("{object}\n")).concat()),
        ("list", json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()),
    ] {
        let ran = folder.inject(&["-f", "-", "-o", "name"], &text);
        assert_eq!((ran.code, &*ran.stdout), (0, &*"pod/web\n".repeat(10)), "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 10, "{name}");
    }
}

#[test]
fn text_is_read_in_the_encodings_that_kubectl_reads() {
    let folder = Folder::new();
    let utf16 = |mark: u16, bytes: fn(u16) -> [u8; 2]| {
        [mark].into_iter().chain(POD.encode_utf16()).flat_map(bytes).collect::<Vec<_>>()
    };
    let plain = folder.inject_file("plain.yaml", POD);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    for (name, bytes) in [
        ("utf-8 with a mark", format!("\u{feff}{POD}").into_bytes()),
        ("utf-16, little end first", utf16(0xfeff, u16::to_le_bytes)),
        ("utf-16, big end first", utf16(0xfeff, u16::to_be_bytes)),
    ] {
        let ran = folder.inject_file("web.yaml", bytes);
        assert_eq!((ran.code, &ran.stdout), (0, &plain.stdout), "{name}: {}", ran.stderr);
    }
    // The mark of a second file must not end up within the stream.
    let marked = folder.write("marked.yaml", format!("\u{feff}{CONFIG}"));
    let ran = folder.inject(&["-f", &marked, "-f", &marked], "");
    assert_eq!((ran.code, ran.stdout), (0, format!("{CONFIG}---\n{CONFIG}")), "{}", ran.stderr);

    let latin = folder.write("latin.yaml", b"kind: Pod\nname: caf\xe9\n");
    let ran = folder.inject(&["-f", &latin], "");
    assert_eq!((ran.code, &*ran.stdout), (2, ""));
    assert_eq!(ran.stderr, format!("error: {latin}: line 2 is not UTF-8 text; save the file as UTF-8\n"));
    let mut command = Command::new("sh");
    let pipe = format!("exec '{PILLION}' inject -f - < '{latin}'");
    let output = command.args(["-c", &pipe]).output().expect("sh starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: standard input: line 2 is not UTF-8 text; save the file as UTF-8\n");
}

#[test]
fn lines_may_end_as_on_windows() {
    let folder = Folder::new();
    let windows = |text: &str| text.replace('\n', "\r\n");
    let config = windows(&format!("# kept\n{CONFIG}"));
    let ran = folder.inject_file("all.yaml", format!("{config}---\r\n{}---\r\n{config}", windows(POD)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with(&config) && ran.stdout.ends_with(&config), "{:?}", ran.stdout);
    let documents = documents(&ran.stdout);
    assert_eq!(documents.len(), 3);
    assert_eq!(documents[0]["data"]["script"], "a\nb\n");
    assert_eq!(documents[1]["spec"]["shareProcessNamespace"], true);
    assert_eq!(documents[1]["spec"]["containers"][0]["command"][2], "a\tb");
    assert!(ran.stderr.contains("all.yaml:10 default/pod/web: injected shared"), "{}", ran.stderr);
}

#[test]
fn of_a_folder_everything_is_read_that_is_a_file_and_all_the_rest_is_told_or_passed_by() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in/sub")).expect("the folder is writable");
    folder.write("a.yaml", POD);
    folder.write("sub/b.yml", POD);
    folder.write("c.txt", "not: [a manifest");
    let link = |target: &str, name: &str| symlink(target, folder.path(&format!("in/{name}"))).expect("it is writable");
    link("..", "sub/up");
    link("loop-b", "loop-a");
    link("loop-a", "loop-b");
    link("gone.yaml", "lost.yaml");
    link("/dev/zero", "zero.yaml");
    let made = Command::new("mkfifo").arg(folder.path("in/pipe.yaml")).status().expect("mkfifo starts");
    assert!(made.success());

    let root = folder.path("in");
    for flags in [&[][..], &["-R"], &["--recursive"]] {
        let ran = folder.inject(&[&["-f", &root, "-o", "name"], flags].concat(), "");
        assert_eq!((ran.code, &*ran.stdout), (2, "pod/web\npod/web\n"), "{}", ran.stderr);
        let errors: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(errors, [format!("error: {root}/lost.yaml: a link to gone.yaml that leads nowhere")]);
    }
    fs::create_dir(folder.path("in/empty")).expect("the folder is writable");
    let empty = folder.path("in/empty");
    let ran = folder.inject(&["-f", &empty], "");
    assert_eq!((ran.code, ran.stderr), (2, format!("error: {empty}: no .yaml, .yml or .json file in there\n")));
}

#[test]
fn a_pipe_that_is_named_is_read_and_a_source_without_end_is_bounded() {
    let folder = Folder::new();
    let pipe = folder.path("in/pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts").success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, POD)
    });
    let ran = folder.inject(&["-f", &pipe, "-o", "name"], "");
    assert_eq!((ran.code, &*ran.stdout), (0, "pod/web\n"), "{}", ran.stderr);
    writer.join().expect("it does not panic").expect("the pipe is read");

    let ran = folder.inject(&["-f", "/dev/zero"], "");
    assert_eq!((ran.code, &*ran.stderr), (2, "error: /dev/zero: larger than 64 MiB\n"));
}

#[test]
fn documents_that_hold_nothing_go_through() {
    let folder = Folder::new();
    for text in ["", "# a\n# b\n", "---\n", "---\n---\n# a\n---\n", "\n\n", "null\n", "---\n...\n"] {
        let ran = folder.inject_file("nothing.yaml", text);
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, text, ""));
    }
}

#[test]
fn what_is_no_yaml_and_what_is_no_object_is_told_with_its_place() {
    let folder = Folder::new();
    let nested = |levels: usize| (0..levels).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    let laughs = |levels: u8| {
        let first = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        (b'b'..b'b' + levels).map(char::from).zip('a'..).fold(first, |text, (name, last)| {
            format!("{text}{name}: &{name} [{}]\n", vec![format!("*{last}"); 9].join(","))
        })
    };
    for (text, says) in [
        ("kind: Pod\nmetadata:\n\tname: web\n".to_owned(), "3:2: invalid YAML: tabs disallowed within this context"),
        (format!("{POD}spec: {{}}\n"), "10:1: invalid YAML: duplicate mapping key: spec"),
        (nested(200), "65:65: invalid YAML: nested more than 64 deep"),
        (format!("a: {}", "[".repeat(20_000)), "1:259: invalid YAML: recursion limit exceeded"),
        (laughs(12), "6:14: invalid YAML: more values than are read of one document, with those of aliases"),
        ("a: *b\n".to_owned(), "1:4: invalid YAML: alias references unknown anchor"),
        ("hello\n".to_owned(), "1:1: not a Kubernetes object, which is a map with apiVersion and kind"),
        ("\n42\n".to_owned(), "2:1: not a Kubernetes object"),
        ("- kind: Pod\n".to_owned(), "1:1: not a Kubernetes object"),
        ("<!DOCTYPE html>\n".to_owned(), "1:1: not a Kubernetes object"),
    ] {
        // The rest of the file goes on.
        let ran = folder.inject_file("wrong.yaml", format!("{text}\n---\n{CONFIG}"));
        assert_eq!((ran.code, ran.stdout), (2, format!("---\n{CONFIG}")), "{}", ran.stderr);
        let expected = format!("error: {}:{says}", folder.path("in/wrong.yaml"));
        assert!(ran.stderr.starts_with(&expected), "{expected}\n{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains('{'), "no Debug print: {}", ran.stderr);
    }
}

#[test]
fn an_anchor_may_be_used_often_a_line_may_be_long_and_a_document_may_hold_much() {
    let folder = Folder::new();
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: many}}\ndata:\n  a: &a b\n{}---\n{{kind: Secret, a: \"{}\"}}\n---\n\
         {{kind: Secret, a: [0{}]}}\n",
        (0..500).map(|at| format!("  a{at}: *a\n")).collect::<String>(),
        "x".repeat(5_000_000),
        ",0".repeat(300_000),
    );
    let ran = folder.inject_file("long.yaml", format!("{text}---\n{POD}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with(&text), "it is unchanged");
}

#[test]
fn lists_hold_lists_and_items_that_are_nothing() {
    let folder = Folder::new();
    let pod: Value = serde_saphyr::from_str(POD).expect("the pod is YAML");
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items});
    let text = list(json!([null, "text", [1], list(json!([list(json!([pod]))])), {"kind": "Pod"}])).to_string();
    let ran = folder.inject_file("list.json", &text);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let items = documents(&ran.stdout)[0]["items"].clone();
    let before: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(items[0], Value::Null);
    assert_eq!((&items[1], &items[2]), (&before["items"][1], &before["items"][2]));
    assert_eq!(items[3]["items"][0]["items"][0]["spec"]["shareProcessNamespace"], true);
    assert_eq!(items.get(4), None);
    assert!(ran.stderr.contains("default/pod/: spec must be a map"), "{}", ran.stderr);
    for text in [r#"{"kind": "List", "items": null}"#, r#"{"kind": "PodList", "items": {}}"#, r#"{"kind": "List"}"#] {
        let ran = folder.inject_file("list.json", text);
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, text, ""));
    }
}

#[test]
fn a_pod_that_has_not_the_shape_of_one_is_refused_with_what_is_wrong_about_it() {
    let folder = Folder::new();
    for (field, value, says) in [
        ("/metadata", json!([]), "metadata must be a map"),
        ("/metadata/labels", json!("a"), "metadata.labels must be a map"),
        ("/metadata/annotations", json!(["a"]), "metadata.annotations must be a map"),
        ("/metadata/annotations", json!({"a": 1}), "metadata.annotations[a] must be a string; quote 1"),
        ("/spec", json!(null), "spec must be a map"),
        ("/spec/containers", json!({}), "spec.containers must be a list of maps"),
        ("/spec/containers", json!([1]), "spec.containers must be a list of maps"),
    ] {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "labels": {}, "annotations": {}}, "spec": {"containers": []}});
        *pod.pointer_mut(field).expect("the field is there") = value;
        let ran = folder.inject(&["-f", "-", "--template", "shared"], &pod.to_string());
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}\n{}", ran.stderr);
    }
    // What Helm writes of an empty map.
    let ran = folder.inject(
        &["-f", "-", "--template", "shared"],
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n  annotations:\nspec: {containers: [{name: app, image: a}]}\n",
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(documents(&ran.stdout)[0]["spec"]["shareProcessNamespace"], true);
}

#[test]
fn only_objects_with_the_labels_of_a_selector_are_injected() {
    let folder = Folder::new();
    let pod = |app: &str| POD.replace("  name: web\n", &format!("  name: {app}\n  labels: {{app: {app}}}\n"));
    let input = format!("{}---\n{}", pod("web"), pod("api"));
    for (selector, injected) in [
        ("app=api", &["pod/api"][..]),
        ("app in (web, api)", &["pod/web", "pod/api"]),
        ("app notin (web)", &["pod/api"]),
        ("!app", &[]),
    ] {
        let ran = folder.inject(&["-f", "-", "-l", selector, "-o", "name"], &input);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), injected, "{selector}");
    }
    let ran = folder.inject(&["-f", "-", "-l", "app=api"], &input);
    assert!(ran.stdout.starts_with(&pod("web")), "what is not selected goes through: {}", ran.stdout);
    let ran = folder.inject(&["-f", "-", "--selector", "app=shop"], &input);
    assert_eq!((ran.code, &ran.stdout), (0, &input));
    assert_eq!(ran.stderr, "warning: --selector app=shop: no object has such labels\n");
    let ran = folder.inject(&["-f", "-", "-l", "app in web"], &input);
    assert!(ran.code == 2 && ran.stderr.contains("write key=value, key!=value, 'key in (a,b)'"), "{}", ran.stderr);
    let explained = run(Path::new(PILLION), ["explain", "-f", "-", "-l", "app=api"], &input).stdout;
    assert!(explained.contains("pod/api") && !explained.contains("pod/web"), "{explained}");
}

#[test]
fn a_review_is_read_from_a_file_and_not_from_a_folder() {
    let folder = Folder::new();
    folder.write("a.json", "{}");
    let root = folder.path("in");
    let ran = run(Path::new(PILLION), ["review", "-f", &root], "");
    assert_eq!((ran.code, ran.stderr), (2, format!("error: {root}: a folder; name one file of it\n")));
}

#[test]
fn what_lasts_is_told_on_a_terminal_and_nowhere_else() {
    let folder = Folder::new();
    // `script` gives the program a terminal; it reads from the pipe, which ends when the line has been seen.
    let command = format!("'{PILLION}' inject --templates '{}' -f /dev/fd/3 -o name", folder.path("templates"));
    let pipe = folder.path("in/pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts").success());
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &format!("{command} 3< '{pipe}'"), "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut input = fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe is read");
    let mut terminal = child.stdout.take().expect("stdout is piped");
    let mut seen = Vec::new();
    let line = "\rreading /dev/fd/3…\x1b[K";
    while !String::from_utf8_lossy(&seen).contains(line) {
        let mut some = [0; 256];
        let length = terminal.read(&mut some).expect("the terminal is read");
        assert!(length > 0, "it ended without a line: {}", String::from_utf8_lossy(&seen));
        seen.extend(&some[..length]);
    }
    input.write_all(POD.as_bytes()).expect("the pipe is read");
    drop(input);
    let mut rest = String::new();
    terminal.read_to_string(&mut rest).expect("the terminal is read");
    assert!(child.wait().expect("it ends").success());
    let seen = String::from_utf8_lossy(&seen).into_owned() + &rest;
    assert!(seen.ends_with("\r\x1b[K/dev/fd/3:1 default/pod/web: injected shared\r\npod/web\r\n"), "{seen:?}");
}
