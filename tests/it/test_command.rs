//! `pillion test`: tests of people's own templates.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::tools::{Ran, run};

const PAGE: &str = include_str!("../../docs/testing-templates.md");

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a temporary folder"));
        files.iter().for_each(|(path, text)| folder.write(path, text));
        folder
    }

    /// The template and the test file of the page.
    fn of_page() -> Folder {
        let blocks: Vec<_> = PAGE.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
        let [template, tests] = blocks[..] else { panic!("a template and a test file") };
        Folder::new(&[("templates/redis.yaml", template), ("templates/redis_test.yaml", tests)])
    }

    /// A template that adds a label, and this test file.
    fn of_label(tests: &str) -> Folder {
        Folder::new(&[("label.yaml", LABEL), ("label_test.yaml", tests)])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is writable");
        fs::write(path, text).expect("the folder is writable");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Runs `pillion test` in the folder.
    fn test(&self, arguments: &[&str]) -> Ran {
        let command = r#"cd "$0" && exec "$@""#;
        let folder = self.0.path().to_str().expect("a name that is text");
        let words = ["-c", command, folder, env!("CARGO_BIN_EXE_pillion"), "test"];
        run(Path::new("/bin/sh"), words.iter().chain(arguments), "")
    }
}

const LABEL: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: label}
spec:
  parameters: [{name: value, type: string, default: "yes", pattern: "^[a-z]+$"}]
  when: "!('bare' in pod.metadata.labels)"
  pod: {metadata: {labels: {added: "${{ params.value }}"}}}
"#;

/// The tests of one pod that asks for `label`; each is the rest of a test behind its name.
fn tests(of: &[&str]) -> String {
    let pod =
        "{metadata: {annotations: {pillion.dev/templates: label}}, spec: {containers: [{name: app, image: app}]}}";
    let tests = of.iter().enumerate().map(|(number, test)| format!("  - {{name: test {number}, {test}}}\n"));
    format!("pod: {pod}\ntests:\n{}", tests.collect::<String>())
}

#[test]
fn the_page_about_it_does_what_it_says() {
    let folder = Folder::of_page();
    let console = PAGE.split("```console,ignore\n$ pillion test ").nth(1).and_then(|block| block.split("```").next());
    let (arguments, says) = console.and_then(|block| block.split_once('\n')).expect("a command and its output");
    let ran = folder.test(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!((ran.code, ran.stdout + &ran.stderr), (0, says.to_owned()));
    let golden: Value = serde_saphyr::from_str(&folder.read("templates/golden/redis.yaml")).expect("YAML");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": {"pillion.dev/templates": "redis", "pillion.dev/outcome": "redis=injected"}},
        "spec": {
            "containers": [{
                "name": "app",
                "image": "registry.example.com/app:1",
                "env": [{"name": "REDIS_URL", "value": "redis://127.0.0.1:6379"}],
            }],
            "initContainers": [{
                "name": "redis",
                "image": "docker.io/library/redis:8",
                "restartPolicy": "Always",
                "resources": {"limits": {"memory": "64Mi"}},
            }],
        },
    });
    assert_eq!(golden, expected);

    let ran = folder.test(&["templates"]);
    assert_eq!((ran.code, &*ran.stderr), (0, "3 tests, 0 failed\n"));
    // Comments and order of a golden file are its author's.
    let commented = format!("# Seen and found right.\n{}", folder.read("templates/golden/redis.yaml"));
    folder.write("templates/golden/redis.yaml", &commented);
    assert_eq!(folder.test(&["templates", "--update"]).stderr, "3 tests, 0 failed\n");
    assert_eq!(folder.read("templates/golden/redis.yaml"), commented);
}

#[test]
fn a_change_of_the_template_fails_with_the_difference_and_update_takes_it() {
    let folder = Folder::of_page();
    folder.test(&[".", "--update"]);
    let template = folder.read("templates/redis.yaml").replace("redis:8", "redis:9");
    folder.write("templates/redis.yaml", &template);
    let ran = folder.test(&["templates/redis_test.yaml"]);
    assert_eq!((ran.code, &*ran.stderr), (1, "3 tests, 1 failed\n"));
    let shown = "\
FAIL  templates/redis_test.yaml:6: an app gets Redis and is told where it is
      result: injected
      golden/redis.yaml differs
      --- expected
      +++ got
      @@ -13,7 +13,7 @@
             value: redis://127.0.0.1:6379
         initContainers:
         - name: redis
      -    image: docker.io/library/redis:8
      +    image: docker.io/library/redis:9
           restartPolicy: Always
           resources:
             limits:
ok    templates/redis_test.yaml:11: nobody takes more than a gibibyte
";
    assert!(ran.stdout.starts_with(shown), "{}", ran.stdout);
    let ran = folder.test(&[".", "--update"]);
    assert_eq!((ran.code, &*ran.stderr), (0, "3 tests, 0 failed, 1 golden file written\n"));
    assert!(folder.read("templates/golden/redis.yaml").contains("redis:9"));
    assert_eq!(folder.test(&["."]).code, 0);
}

#[test]
fn each_expectation_can_hold_and_can_fail() {
    for (test, failure) in [
        ("expect: {injected: [label]}", ""),
        ("expect: {injected: []}", "injected: expected [], got [label]"),
        ("expect: {outcome: injected, reason: injected}", ""),
        ("expect: {outcome: skipped}", "outcome: expected skipped, got injected"),
        ("expect: {reason: conflict}", "reason: expected conflict, got injected"),
        ("expect: {templates: {label: injected}}", ""),
        ("expect: {templates: {label: guard_false}}", "templates.label: expected guard_false, got injected"),
        ("expect: {templates: {other: injected}}", "templates.other: expected injected, got none"),
        ("expect: {containers: [app], initContainers: []}", ""),
        ("expect: {containers: [app, side]}", "containers: expected [app, side], got [app]"),
        ("expect: {initContainers: [side]}", "initContainers: expected [side], got []"),
        ("annotations: {label.pillion.dev/value: X}, expect: {message: 'must match ^[a-z]+$'}", ""),
        (
            "annotations: {label.pillion.dev/value: X}, expect: {message: at most}",
            "message: expected one with \"at most\", got \"template",
        ),
        (
            "annotations: {label.pillion.dev/value: X}, expect: {containers: [app]}",
            "containers: expected [app], got no pod",
        ),
        (
            "annotations: {label.pillion.dev/value: X}, expect: {golden: g.yaml}",
            "golden: there is no result to compare",
        ),
        ("expect: {message: any}", "message: expected one with \"any\", got none"),
        ("annotations: {pillion.dev/templates: ''}, expect: {reason: no_templates_requested, injected: []}", ""),
        ("namespace: {name: kube-system}, expect: {injected: [], message: leaves kube-system alone}", ""),
        (
            "namespace: {labels: {pillion.dev/inject: disabled}}, expect: {injected: [label]}",
            "injected: expected [label], got []",
        ),
        ("namespace: {name: kube-system}, expect: {reason: injected}", "reason: expected injected, got none"),
        ("namespace: {annotations: {label.pillion.dev/value: other}}, expect: {injected: [label]}", ""),
        ("expect: {golden: {a: b}}", "golden differs"),
        ("expect: {golden: g.yaml}", "g.yaml is not there; write it with --update"),
    ] {
        let ran = Folder::of_label(&tests(&[test])).test(&["."]);
        assert_eq!(ran.code, i32::from(!failure.is_empty()), "{test}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(failure), "{test}: {}", ran.stdout);
        let word = if failure.is_empty() {
            "ok    ./label_test.yaml:3: test 0\n"
        } else {
            "FAIL  ./label_test.yaml:3: test 0\n"
        };
        assert!(ran.stdout.starts_with(word), "{test}: {}", ran.stdout);
    }
}

#[test]
fn a_workload_of_a_file_is_tested_in_its_namespace_with_templates_from_elsewhere() {
    let workload = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  template:\n    \
                    metadata: {annotations: {pillion.dev/templates: label}}\n    \
                    spec: {containers: [{name: app, image: app}]}\n---\napiVersion: v1\nkind: Namespace\n\
                    metadata:\n  name: shop\n  labels: {pillion.dev/inject: enabled}\n  \
                    annotations: {label.pillion.dev/value: shop}\n";
    let tests = "templates: [../templates]\nfile: web.yaml\ntests:\n  - name: the label is on the pod template\n    \
                 expect: {injected: [label], golden: web.golden.yaml}\n  \
                 - name: the test has the last word\n    namespace: {annotations: {label.pillion.dev/value: test}}\n    \
                 expect:\n      golden: &result\n        apiVersion: apps/v1\n        kind: Deployment\n        \
                 metadata: {name: web, namespace: shop}\n        spec:\n          template:\n            metadata:\n              \
                 annotations: {pillion.dev/templates: label, pillion.dev/outcome: label=injected}\n              \
                 labels: {added: test}\n            spec: {containers: [{name: app, image: app}]}\n";
    let folder = Folder::new(&[
        ("templates/deep/label.yaml", LABEL),
        ("templates/deep/label_test.yaml", "no test that this run reads"),
        ("templates/pod.yaml", "{apiVersion: v1, kind: Pod}"),
        ("tests/web_test.yaml", tests),
        ("tests/web.yaml", workload),
    ]);
    let ran = folder.test(&["tests", "--update"]);
    assert_eq!((ran.code, &*ran.stderr), (0, "2 tests, 0 failed, 1 golden file written\n"), "{}", ran.stdout);
    let golden: Value = serde_saphyr::from_str(&folder.read("tests/web.golden.yaml")).expect("YAML");
    assert_eq!(golden["kind"], "Deployment");
    assert_eq!(golden["spec"]["template"]["metadata"]["labels"], json!({"added": "shop"}));
}

#[test]
fn results_come_as_json() {
    let folder = Folder::of_label(&tests(&[
        "expect: {injected: [label]}",
        "annotations: {label.pillion.dev/value: X}, expect: {injected: [label]}",
    ]));
    let ran = folder.test(&[".", "-o", "json"]);
    assert_eq!((ran.code, &*ran.stderr), (1, "2 tests, 1 failed\n"));
    let results: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let first = json!({"file": "./label_test.yaml", "line": 3, "name": "test 0", "ok": true, "failures": [],
        "outcome": "injected", "reason": "injected", "message": null, "written": null});
    assert_eq!(results[0], first);
    let second = &results[1];
    assert_eq!((&second["ok"], &second["outcome"]), (&json!(false), &json!("denied")));
    assert_eq!(second["failures"], json!(["injected: expected [label], got []"]));
    assert!(second["message"].as_str().is_some_and(|it| it.contains("must match")), "{second}");
}

#[test]
fn a_test_file_that_is_wrong_is_told_with_its_line_and_the_nearest_name() {
    let pod = "pod: {spec: {containers: [{name: a}]}}";
    for (tests, says) in [
        (format!("tests:\n  - name: one\n    {pod}\n    expect:\n      injectd: [a]\n"), "label_test.yaml:5:7: tests[0].expect.injectd is not a field of what is expected; did you mean injected?"),
        (format!("tests:\n  - name: one\n    {pod}\n    expect: {{}}\n"), "label_test.yaml:4:13: tests[0].expect expects nothing, so the test cannot fail"),
        (format!("tests:\n  - name: one\n    {pod}\n"), "label_test.yaml:2:5: tests[0] lacks expect"),
        (format!("tests: [{{name: one, {pod}, expect: {{reason: conflct}}}}]"), "; did you mean conflict?"),
        (format!("tests: [{{name: one, {pod}, expect: {{templates: {{}}}}}}]"), "expect.templates names no template"),
        (format!("tests: [{{name: one, {pod}, expect: {{message: ''}}}}]"), "is empty, which stands in every message"),
        (format!("tests: [{{nam: one, {pod}, expect: {{injected: []}}}}]"), "nam is not a field of a test; did you mean name?"),
        (format!("tests: [{{name: '', {pod}, expect: {{injected: []}}}}]"), "tests[0].name must be a line of text"),
        (format!("tests: [{{name: one, {pod}, expect: {{injected: []}}}}, {{name: one, {pod}, expect: {{injected: []}}}}]"), "tests[1].name is \"one\" a second time"),
        (format!("tests: [{{name: one, file: a, {pod}, expect: {{injected: []}}}}]"), "tests[0].file stands beside pod"),
        ("tests: [{name: one, expect: {injected: []}}]".into(), "tests[0] lacks pod, or file with the path of a manifest"),
        (format!("tests: [{{name: one, {pod}, annotations: {{a: 1}}, expect: {{injected: []}}}}]"), "annotations.a must be a string, not 1; quote it"),
        ("tests: []".into(), "label_test.yaml:1:1: there are no tests in it"),
        ("tests: [".into(), "label_test.yaml:1:8: invalid YAML"),
        ("#".repeat(1024 * 1024 + 1), "label_test.yaml: larger than 1 MiB"),
        // Wrong in what it leads to.
        ("tests: [{name: one, file: nowhere.yaml, expect: {injected: []}}]".into(), "label_test.yaml:1: test \"one\": file: there is no file ./nowhere.yaml"),
        ("tests: [{name: one, file: label.yaml, expect: {injected: []}}]".into(), "a test is about one pod or pod template, and here are 0"),
        (format!("tests: [{{name: one, {pod}, templates: [nowhere], expect: {{injected: []}}}}]"), "test \"one\": templates: ./nowhere: No such file"),
        ("tests: [{name: one, pod: {metadata: {labels: {a: 1}}, spec: {containers: [{name: a}]}}, expect: {injected: []}}]".into(), "metadata.labels[a] must be a string; quote 1"),
        ("tests: [{name: one, namespace: {name: a}, pod: {metadata: {namespace: b}, spec: {containers: [{name: a}]}}, expect: {injected: []}}]".into(), "namespace.name is a, and the pod is in b"),
    ] {
        let ran = Folder::of_label(&tests).test(&["."]);
        assert_eq!(ran.code, 2, "{says}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.starts_with("error: ./label_test.yaml:") && ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_with_one_file_or_test_keeps_no_other_from_being_run() {
    let folder = Folder::of_label(&format!(
        "{}  - {{name: wrong, file: nowhere.yaml, expect: {{injected: []}}}}\n",
        tests(&["expect: {injected: [label]}", "expect: {injected: []}"])
    ));
    folder.write("a_test.yaml", "tests: [");
    folder.write("b_test.yml", &tests(&["expect: {injected: [label]}"]));
    let ran = folder.test(&["."]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let words: Vec<_> = ran.stdout.lines().filter(|line| !line.starts_with(' ')).map(|line| &line[..26]).collect();
    assert_eq!(words, ["ok    ./b_test.yml:3: test", "ok    ./label_test.yaml:3:", "FAIL  ./label_test.yaml:4:"]);
    assert!(ran.stderr.ends_with("3 tests, 1 failed, 2 errors\n"), "{}", ran.stderr);
}

#[test]
fn where_there_is_no_test_that_is_an_error() {
    let folder = Folder::new(&[("label.yaml", LABEL)]);
    let ran = folder.test(&["."]);
    assert_eq!((ran.code, &*ran.stderr), (2, "error: .: no file called *_test.yaml in there\n"));
    let ran = folder.test(&["nowhere"]);
    assert!(ran.code == 2 && ran.stderr.contains("nowhere: No such file"), "{}", ran.stderr);
    folder.write("tests/label_test.yaml", &tests(&["expect: {injected: []}"]));
    let ran = folder.test(&["tests"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("there is no template in tests; say where they are"),
        "{}",
        ran.stderr
    );
}

#[test]
fn update_writes_nothing_outside_of_the_folder_and_nothing_that_fails_otherwise() {
    let golden = |path: &str| tests(&[&format!("expect: {{golden: {path}}}")]);
    for path in ["../out.yaml", "/tmp/out.yaml", "a/../../out.yaml", "''"] {
        let ran = Folder::of_label(&golden(path)).test(&[".", "--update"]);
        let said = "golden must be a path below the folder of the test file";
        assert!(ran.code == 2 && ran.stderr.contains(said), "{path}: {}", ran.stderr);
    }
    let outside = Folder::new(&[("there.yaml", "untouched")]);
    for (link, to) in [("link.yaml", "there.yaml"), ("link.yaml", "new.yaml"), ("link", "")] {
        let path = if to.is_empty() { "link/new.yaml" } else { link };
        let folder = Folder::new(&[("tests/label.yaml", LABEL), ("tests/label_test.yaml", &golden(path))]);
        symlink(outside.0.path().join(to), folder.0.path().join("tests").join(link)).expect("the folder is writable");
        let ran = folder.test(&["tests", "--update"]);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{link} to {to}: {}", ran.stderr);
    }
    let left: Vec<_> = fs::read_dir(outside.0.path()).expect("a folder").flatten().map(|it| it.file_name()).collect();
    assert_eq!((left, outside.read("there.yaml")), (vec!["there.yaml".into()], "untouched".to_owned()));

    for (test, says) in [
        ("expect: {injected: [], golden: new.yaml}", "new.yaml is not there"),
        ("expect: {golden: {a: b}}", "golden differs"),
    ] {
        let folder = Folder::of_label(&tests(&[test]));
        let ran = folder.test(&[".", "--update"]);
        assert!(ran.code == 1 && ran.stdout.contains(says), "{}{}", ran.stdout, ran.stderr);
        assert!(!folder.0.path().join("new.yaml").exists());
        assert_eq!(folder.read("label_test.yaml"), tests(&[test]));
    }
    for (path, says) in [("label.yaml", "is a template, and no result"), ("x_test.yaml", "is called as a test file")] {
        let folder = Folder::of_label(&golden(path));
        let ran = folder.test(&[".", "--update"]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!(folder.read("label.yaml"), LABEL);
    }
    // Two tests with one golden file must have one result.
    let folder = Folder::of_label(&tests(&[
        "expect: {golden: one.yaml}",
        "annotations: {label.pillion.dev/value: other}, expect: {golden: one.yaml}",
    ]));
    let ran = folder.test(&[".", "--update"]);
    assert!(ran.code == 1 && ran.stdout.contains("\nFAIL  ./label_test.yaml:4: test 1\n"), "{}", ran.stdout);
}

#[test]
fn tests_beside_templates_are_no_templates() {
    let folder = Folder::of_label(&tests(&["expect: {injected: [label]}"]));
    let path = folder.0.path().to_str().expect("a name that is text");
    let pillion = |arguments: &[&str]| run(Path::new(env!("CARGO_BIN_EXE_pillion")), arguments, "");
    let ran = pillion(&["lint", "-f", path]);
    assert!(ran.code == 0 && ran.stderr.starts_with("1 template, 0 errors"), "{}{}", ran.stdout, ran.stderr);
    let ran = pillion(&["render", "label", "--templates", path]);
    assert!(ran.code == 0 && !ran.stderr.contains("refused"), "{}", ran.stderr);
}
