//! `pillion impact`: what a change of templates means for workloads.

mod git;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::pillion::LOG_SHIPPER;
use crate::harness::tools::{Ran, run};

const PILLION: &str = env!("CARGO_BIN_EXE_pillion");

/// Two folders with templates, old and new.
struct Change(TempDir);

impl Change {
    /// Each file with its old and its new text; an empty one is not there.
    fn of(files: &[(&str, &str, &str)]) -> Change {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, old, new) in files {
            for (side, text) in [("old", old), ("new", new)] {
                fs::create_dir_all(folder.path().join(side)).expect("the folder is writable");
                if !text.is_empty() {
                    fs::write(folder.path().join(side).join(name), text).expect("the folder is writable");
                }
            }
        }
        Change(folder)
    }

    /// The template `log-shipper`, with one text of it replaced by another.
    fn of_log_shipper(from: &str, to: &str) -> Change {
        let new = LOG_SHIPPER.replace(from, to);
        assert_ne!(new, LOG_SHIPPER, "{from} is in the template");
        Change::of(&[("log-shipper.yaml", LOG_SHIPPER, &new)])
    }

    fn side(&self, side: &str) -> String {
        self.0.path().join(side).display().to_string()
    }

    fn impact(&self, flags: &[&str], manifests: &str) -> Ran {
        let (old, new) = (self.side("old"), self.side("new"));
        let arguments = [&["impact", "--from", &old, "--to", &new, "-f", "-"], flags].concat();
        run(Path::new(PILLION), arguments, manifests)
    }

    #[track_caller]
    fn json(&self, manifests: &str) -> Value {
        let ran = self.impact(&["-o", "json"], manifests);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
    }
}

/// A Deployment in the namespace `shop` whose pods have these annotations.
fn deployment(name: &str, annotations: &Value, spec: &Value) -> String {
    let mut containers = json!({"containers": [{"name": name, "image": format!("registry.example.com/{name}:1")}]});
    for (field, value) in spec.as_object().expect("fields") {
        containers[field] = value.clone();
    }
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": containers}}});
    format!("---\n{object}\n")
}

/// Deployments that ask for a template.
fn asking(template: &str, names: &[&str]) -> String {
    names.iter().map(|name| deployment(name, &json!({"pillion.dev/templates": template}), &json!({}))).collect()
}

/// A template that puts this into pods.
fn template(name: &str, more: &str) -> String {
    format!(
        "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  \
         description: It.\n{more}"
    )
}

/// What is found about a template.
#[track_caller]
fn findings<'r>(report: &'r Value, template: &str) -> &'r Vec<Value> {
    let templates = report["templates"].as_array().expect("a list");
    let found = templates.iter().find(|it| it["name"] == template);
    found.unwrap_or_else(|| panic!("no {template} in {report:#}"))["findings"].as_array().expect("a list")
}

#[test]
fn what_is_the_same_for_many_workloads_is_told_once() {
    let names: Vec<String> = (1..=12).map(|number| format!("app-{number}")).collect();
    let workloads = asking("log-shipper", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let change = Change::of_log_shipper("value: \"${{ params.logDir }}\"", "value: \"${{ params.logDir }}/app\"");

    let ran = change.impact(&[], &workloads);
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let said = "\nlog-shipper: changed\n  12 workloads ask for it: 12 changed\n  \
                changed: containers[*].env[LOG_DIR].value: /var/log/app → /var/log/app/app\n      \
                12 workloads: shop/deployment/app-1, shop/deployment/app-2, shop/deployment/app-3 and 9 more\n\n\
                12 workloads: 12 changed\n";
    assert!(ran.stdout.ends_with(said), "{}", ran.stdout);

    let report = change.json(&workloads);
    let [finding] = findings(&report, "log-shipper").as_slice() else { panic!("one finding: {report:#}") };
    let expected: Vec<_> = names.iter().map(|name| format!("shop/deployment/{name}")).collect();
    assert_eq!(finding["workloads"], json!(expected), "all of them");
    assert_eq!((&finding["kind"], &finding["place"]), (&json!("changed"), &json!("containers[*].env[LOG_DIR].value")));
    assert_eq!((&finding["from"], &finding["to"]), (&json!("/var/log/app"), &json!("/var/log/app/app")));
    assert_eq!(finding["containers"].as_array().expect("a list").len(), 12);

    let one = change.impact(&[], &asking("log-shipper", &["web"])).stdout;
    assert!(one.contains("containers[web].env[LOG_DIR].value: "), "where there is one, it is named: {one}");
}

#[test]
fn what_changes_in_no_pod_is_no_change_of_a_workload() {
    let change = Change::of_log_shipper("Ships what", "Carries what");
    let ran = change.impact(&[], &asking("log-shipper", &["web"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said = "log-shipper: changed\n  1 workload asks for it: 1 unchanged\n\n1 workload: 1 unchanged\n";
    assert!(ran.stdout.ends_with(said), "{}", ran.stdout);
    let same = Change::of(&[("log-shipper.yaml", LOG_SHIPPER, LOG_SHIPPER)]);
    let ran = same.impact(&[], &asking("log-shipper", &["web"]));
    assert!(ran.stdout.ends_with("/new\n\n1 workload: 1 unchanged\n"), "{}", ran.stdout);
}

#[test]
fn a_new_refusal_is_exit_code_1_and_says_why() {
    let taken = json!({"initContainers": [{"name": "second", "image": "second:1"}]});
    let annotations = json!({"pillion.dev/templates": "log-shipper"});
    let workloads = asking("log-shipper", &["web"]) + &deployment("taken", &annotations, &taken);
    let second = "      initContainers:\n        - {name: second, image: 'other:1', restartPolicy: Always}\n";
    let change = Change::of_log_shipper("      initContainers:\n", second);
    let ran = change.impact(&[], &workloads);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for part in [
        "  2 workloads ask for it: 1 newly refused, 1 changed\n",
        "  newly refused: conflict\n      container \"second\" comes from template \"log-shipper\" and from the pod itself",
        "\n      1 workload: shop/deployment/taken\n",
        "  added: initContainers[second]: {\"image\":\"other:1\",\"restartPolicy\":\"Always\"}\n",
        "\n2 workloads: 1 newly refused, 1 changed\n",
    ] {
        assert!(ran.stdout.contains(part), "{part}\n{}", ran.stdout);
    }
    let report = change.json(&workloads);
    let refused = &findings(&report, "log-shipper")[0];
    assert_eq!((&refused["kind"], &refused["now"]["reason"]), (&json!("newlyRefused"), &json!("conflict")));
    let affected = &report["affected"][1];
    assert_eq!(affected["workload"], "shop/deployment/taken");
    assert_eq!(
        (&affected["file"], &affected["line"], &affected["result"]),
        (&json!("standard input"), &json!(4), &json!("newlyRefused"))
    );
}

#[test]
fn workloads_that_ask_for_what_is_removed_are_refused() {
    let change = Change::of(&[
        ("log-shipper.yaml", LOG_SHIPPER, ""),
        ("new.yaml", "", &template("fresh", "  pod: {metadata: {labels: {a: b}}}\n")),
    ]);
    let ran = change.impact(&[], &asking("log-shipper", &["web", "api"]));
    assert_eq!(ran.code, 1);
    let said = "log-shipper: removed\n  2 workloads ask for it: 2 newly refused\n  newly refused: unknown_template\n";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nfresh: added\n  no workload asks for it\n"), "{}", ran.stdout);
    let skipped = change.impact(&["--on-error", "skip"], &asking("log-shipper", &["web"]));
    assert_eq!(skipped.code, 0, "{}", skipped.stdout);
    assert!(skipped.stdout.contains("  newly skipped: unknown_template\n"), "{}", skipped.stdout);
    let unused = change.impact(&[], &asking("", &["web"]));
    assert_eq!(unused.code, 0);
    assert!(unused.stdout.contains("log-shipper: removed\n  no workload asks for it\n"), "{}", unused.stdout);
}

#[test]
fn what_was_refused_before_is_no_new_refusal() {
    let wrong = |value: &str| {
        let annotations = json!({"pillion.dev/templates": "log-shipper", "log-shipper.pillion.dev/logDir": value});
        deployment("web", &annotations, &json!({}))
    };
    let change = Change::of_log_shipper("pattern: \"^/\"", "pattern: \"^/var\"");
    let ran = change.impact(&[], &wrong("var"));
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("  1 workload asks for it: 1 refused as before\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  refused as before, but now: invalid_parameter\n"), "{}", ran.stdout);
    assert_eq!(change.impact(&[], &wrong("/data")).code, 1);
    let mended = Change::of_log_shipper("      pattern: \"^/\"\n", "");
    let ran = mended.impact(&[], &wrong("var"));
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("  no longer refused: invalid_parameter\n"), "{}", ran.stdout);
}

#[test]
fn what_is_skipped_or_injected_for_the_first_time_says_why() {
    let guarded = LOG_SHIPPER.replacen("spec:\n", "spec:\n  when: \"pod.metadata.labels['logs'] == 'yes'\"\n", 1);
    let guarded = guarded
        .replace("pod.metadata.labels['logs'] ==", "has(pod.metadata.labels.logs) && pod.metadata.labels.logs ==");
    let stricter = Change::of(&[("log-shipper.yaml", LOG_SHIPPER, &guarded)]);
    let workload = asking("log-shipper", &["web"]);
    let ran = stricter.impact(&[], &workload);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("  newly skipped: guard_false\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("removed: "), "that all of it goes is told by one line: {}", ran.stdout);
    let laxer = Change::of(&[("log-shipper.yaml", &guarded, LOG_SHIPPER)]);
    let ran = laxer.impact(&[], &workload);
    assert!(ran.stdout.contains("  newly injected\n      before: skipped: guard_false\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("added: "), "{}", ran.stdout);
}

#[test]
fn of_several_templates_each_change_is_told_with_its_template() {
    let other = |image: &str| {
        template(
            "side",
            &format!(
                "  pod: {{spec: {{initContainers: [{{name: side, image: '{image}', restartPolicy: Always}}]}}}}\n"
            ),
        )
    };
    let new = LOG_SHIPPER.replace("log-shipper:1", "log-shipper:2");
    let change = Change::of(&[("a.yaml", LOG_SHIPPER, &new), ("b.yaml", &other("side:1"), &other("side:2"))]);
    let report = change.json(&asking("log-shipper,side", &["web"]));
    for (template, to) in [("log-shipper", "registry.example.com/log-shipper:2"), ("side", "side:2")] {
        let [finding] = findings(&report, template).as_slice() else { panic!("one finding: {report:#}") };
        assert_eq!(
            (&finding["place"], &finding["to"]),
            (&json!(format!("initContainers[{template}].image")), &json!(to))
        );
    }
}

#[test]
fn lists_and_long_texts_show_what_differs_in_them() {
    let side = |args: &str, script: &str| {
        let pod = format!(
            "  pod:\n    spec:\n      initContainers:\n        - name: side\n          image: side\n          restartPolicy: Always\n          \
             args: [{args}]\n          env:\n            - name: SCRIPT\n              value: |\n{script}"
        );
        template("side", &pod)
    };
    let line = |text: &str| format!("                {text}\n");
    let script = |last: &str| ["set -e", "echo one", last].map(line).concat();
    let change = Change::of(&[(
        "side.yaml",
        &side("-a, -b, -c", &script("echo two")),
        &side("-a, -c, -d", &script("echo three")),
    )]);
    let ran = change.impact(&[], &asking("side", &["web"]));
    let args = "  changed: initContainers[side].args\n      - -b\n      + -d\n";
    let script = "  changed: initContainers[side].env[SCRIPT].value\n      - echo two\n      + echo three\n";
    assert!(ran.stdout.contains(args) && ran.stdout.contains(script), "{}", ran.stdout);
}

#[test]
fn of_a_field_with_many_values_a_few_are_shown() {
    let workloads: String = (0..30)
        .map(|number| {
            let annotations =
                json!({"pillion.dev/templates": "log-shipper", "log-shipper.pillion.dev/logDir": format!("/{number}")});
            deployment(&format!("app-{number}"), &annotations, &json!({}))
        })
        .collect();
    let change = Change::of_log_shipper("value: \"${{ params.logDir }}\"", "value: \"${{ params.logDir }}/app\"");
    let ran = change.impact(&[], &workloads);
    assert_eq!(ran.stdout.matches("  changed: containers").count(), 6, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("containers[*].env[LOG_DIR].value: and 25 more in 25 workloads (-o json has all)"),
        "{}",
        ran.stdout
    );
    assert_eq!(findings(&change.json(&workloads), "log-shipper").len(), 30);
}

/// What a template makes of a parameter that is sensitive, and of one that is not.
const WITH_A_SECRET: &str = r#"
  parameters:
    - {name: token, description: A token., type: string, default: fallback-secret, sensitive: true}
    - {name: mode, description: A mode., type: string, default: plain}
  pod:
    spec:
      initContainers:
        - name: side
          image: side:1
          restartPolicy: Always
          args: [run]
          env:
            - {name: MODE, value: "${{ params.mode }}"}
            - "${{ {'name': 'LISTED', 'value': 'x-' + params.token } }}"
          volumeMounts:
            - {name: side, mountPath: "/x/${{ params.token }}"}
      volumes:
        - {name: side, emptyDir: {}}
  app:
    - containers: ["*"]
      override: true
      env:
        - {name: TOKEN, value: "${{ params.token }}"}
"#;

#[test]
fn secrets_are_not_shown() {
    let old = template("side", WITH_A_SECRET);
    let new = old
        .replace("params.token }", "params.token.upperAscii() }")
        .replace("args: [run]", "args: [run, \"--token=${{ params.token }}\"]")
        .replace("default: plain", "default: fancy");
    let change = Change::of(&[("side.yaml", &old, &new)]);
    let own =
        json!({"containers": [{"name": "own", "image": "own", "env": [{"name": "TOKEN", "value": "own-secret"}]}]});
    let annotations = json!({"pillion.dev/templates": "side", "side.pillion.dev/token": "hunter22"});
    let workloads = asking("side", &["web"])
        + &deployment("set", &annotations, &json!({}))
        + &deployment("own", &annotations, &own);
    for format in ["text", "json", "markdown"] {
        for flags in [vec![], vec!["--set", "side.token=hunter23"]] {
            let ran = change.impact(&[vec!["-o", format], flags].concat(), &workloads);
            assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
            let said = (ran.stdout.clone() + &ran.stderr).to_lowercase();
            for secret in ["fallback-secret", "hunter22", "hunter23", "own-secret"] {
                assert!(!said.contains(secret), "{secret}: {}", ran.stdout);
            }
            for place in
                ["volumemounts[(not shown)]", "env[token].value", "env[(not shown)]", "initcontainers[side].args"]
            {
                assert!(said.contains(place), "{place}: {}", ran.stdout);
            }
            assert!(said.contains("fancy"), "what is no secret is shown: {}", ran.stdout);
        }
    }
    // What the pod had is not shown where a template takes its place.
    let plain = |value: &str| {
        template(
            "side",
            &format!(
                "  app:\n    - containers: ['*']\n      override: {value}\n      env: [{{name: TOKEN, value: new}}]\n"
            ),
        )
    };
    let change = Change::of(&[("side.yaml", &plain("false"), &plain("true"))]);
    let ran = change.impact(&[], &deployment("own", &json!({"pillion.dev/templates": "side"}), &own));
    assert!(ran.stdout.contains("containers[own].env[TOKEN].value: the pod's own value → new"), "{}", ran.stdout);
}

#[test]
fn a_manifest_that_is_injected_already_keeps_its_version() {
    let change = Change::of_log_shipper("log-shipper:1", "log-shipper:2");
    let injected = |side: &str| {
        let arguments = ["inject", "-f", "-", "--templates", &change.side(side)];
        run(Path::new(PILLION), arguments, &asking("log-shipper", &["web"])).succeeded()
    };
    let ran = change.impact(&[], &injected("old"));
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout.contains("  1 workload asks for it: 1 unchanged as they are injected already\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("inject its original again to take up the change"), "{}", ran.stdout);
    let ran = change.impact(&[], &injected("new"));
    assert!(ran.stdout.contains("  1 workload asks for it: 1 unchanged\n"), "it has the new version: {}", ran.stdout);
    let mixed = injected("old") + &asking("log-shipper", &["api"]);
    let ran = change.impact(&[], &mixed);
    assert!(
        ran.stdout.contains("\n2 workloads: 1 changed, 1 unchanged as they are injected already\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn templates_that_cannot_be_loaded_are_told_on_either_side() {
    let broken = LOG_SHIPPER.replace("image:", "imgae:");
    let workload = asking("log-shipper", &["web"]);
    let newly = Change::of(&[("log-shipper.yaml", LOG_SHIPPER, &broken)]);
    let ran = newly.impact(&[], &workload);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("log-shipper: cannot be loaded any more\n  1 workload asks for it: 1 newly refused\n"),
        "{}",
        ran.stdout
    );
    let problem = "\ntemplates that cannot be loaded\n  new: ";
    assert!(ran.stdout.contains(problem) && ran.stdout.contains("did you mean image?"), "{}", ran.stdout);
    assert_eq!(newly.impact(&[], "").code, 1, "nobody has to ask for it");

    let mended = Change::of(&[("log-shipper.yaml", &broken, LOG_SHIPPER)]);
    let ran = mended.impact(&[], &workload);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("log-shipper: can be loaded again\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n  before, no more: "), "{}", ran.stdout);

    let moved = format!("# One line more.\n{broken}");
    let as_before = Change::of(&[("log-shipper.yaml", &broken, &moved)]);
    let ran = as_before.impact(&[], &workload);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(!ran.stdout.contains("refused as before, but now"), "it is told once: {}", ran.stdout);
    assert!(ran.stdout.ends_with("\n1 workload: 1 refused as before\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n  as before: "), "{}", ran.stdout);
    let report = as_before.json(&workload);
    assert_eq!(report["problems"][0]["at"], "both");
}

/// The cells of each row of the tables in a text in Markdown, as GitHub splits them.
fn rows(markdown: &str) -> Vec<Vec<String>> {
    let is_row = |line: &&str| line.starts_with("| ");
    let cells = |line: &str| {
        let marked = line.replace("\\|", "\u{1}");
        let cells: Vec<_> = marked.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        cells[1..cells.len() - 1].to_vec()
    };
    markdown.lines().filter(is_row).map(cells).collect()
}

#[test]
fn markdown_has_tables_whatever_is_in_the_values() {
    let odd = "value: \"a|b `c` <b>*d*</b> \\n@team ${{ params.logDir }}\"";
    let change = Change::of_log_shipper("value: \"${{ params.logDir }}\"", odd);
    let ran = change.impact(&["-o", "markdown"], &asking("log-shipper", &["web", "api"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("### "), "{}", ran.stdout);
    assert!(ran.stdout.contains(
        "\n#### `log-shipper`: changed\n\n2 workloads ask for it: 2 changed\n\n| | What | Workloads |\n|---|---|---|\n"
    ));
    let rows = rows(&ran.stdout);
    assert_eq!(rows.len(), 2, "{}", ran.stdout);
    assert!(rows.iter().all(|row| row.len() == 3), "{rows:?}");
    let what = &rows[1][1];
    assert!(what.contains("`containers[*].env[LOG_DIR].value`<br>"), "{what}");
    assert!(what.contains("``"), "a span with backticks has a longer fence: {what}");
    assert_eq!(rows[1][2], "2: `shop/deployment/web`, `shop/deployment/api`");

    let refused = Change::of(&[("log-shipper.yaml", LOG_SHIPPER, "")]);
    let ran = refused.impact(&["-o", "markdown"], &asking("log-shipper", &["web"]));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("| ❌ **newly refused** | `unknown_template`<br>`"), "{}", ran.stdout);
}

#[test]
fn markdown_fits_into_a_comment() {
    let templates: Vec<_> = (0..200)
        .map(|number| {
            let body = |image: &str| {
                template(&format!("side-{number}"), &format!("  pod: {{spec: {{initContainers: [{{name: side, image: '{image}:{}', restartPolicy: Always}}]}}}}\n", "x".repeat(100)))
            };
            (format!("{number}.yaml"), body("old"), body("new"))
        })
        .collect();
    let files: Vec<_> = templates.iter().map(|(name, old, new)| (name.as_str(), old.as_str(), new.as_str())).collect();
    let change = Change::of(&files);
    let workloads: String =
        (0..200).map(|number| asking(&format!("side-{number}"), &[&format!("a-{number}")])).collect();
    let ran = change.impact(&["-o", "markdown"], &workloads);
    assert!(ran.stdout.chars().count() < 65_536, "{}", ran.stdout.len());
    assert!(ran.stdout.contains("more rows have no room in a comment"), "{}", ran.stdout);
}

#[test]
fn namespaces_and_odd_workloads_count_as_in_inject() {
    let change = Change::of_log_shipper("log-shipper:1", "log-shipper:2");
    let template = json!({"metadata": {"annotations": {"pillion.dev/templates": "log-shipper"}},
        "spec": {"containers": [{"name": "app", "image": "app"}]}});
    let set = json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "train"},
        "spec": {"replicatedJobs": [{"name": "a", "template": {"spec": {"template": template}}}]}});
    let closed = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n";
    let ran = change.impact(&["-n", "lab"], &format!("{set}\n{closed}{}", asking("log-shipper", &["web"])));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let name = "1 workload: lab/jobset/train at spec.replicatedJobs[0].template.spec.template\n";
    assert!(ran.stdout.contains(name), "{}", ran.stdout);
    assert!(
        ran.stdout.ends_with("\n1 workload: 1 changed; and 1 in namespaces that do not send their pods\n"),
        "{}",
        ran.stdout
    );
    let given = change.impact(&["--template", "log-shipper"], &asking("", &["web"]));
    assert!(given.stdout.contains("1 workload asks for it: 1 changed"), "{}", given.stdout);
}

#[test]
fn what_cannot_be_read_and_wrong_usage_are_exit_code_2() {
    let change = Change::of_log_shipper("log-shipper:1", "log-shipper:2");
    let ran = change.impact(&[], &(asking("log-shipper", &["web"]) + "---\nkind: [Pod\n"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: standard input:"), "{}", ran.stderr);
    assert!(ran.stdout.contains("\n1 workload: 1 changed\n"), "the rest is told: {}", ran.stdout);
    assert!(change.impact(&[], "").stderr.contains("there is no pod template in the input"));

    let (old, nowhere) = (change.side("old"), change.side("nowhere"));
    for (arguments, says) in [
        (vec!["-f", "-"], "name the old templates with --from"),
        (vec!["-f", "-", "--from", &old], "name the new templates, with --to"),
        (vec!["-f", "-", "--from", &old, "--to", &nowhere], "nowhere: cannot be read: No such file"),
        (vec!["-f", "-", "--git", "main"], "with --templates"),
        (vec!["-f", "-", "--git", "--output=x"], "--git"),
        (vec!["-f", "-", "--git=--output=x", "--templates", &old], "none begins with -"),
        (vec!["-f", "-", "--git", "main", "--templates", &old, "--from", &old], "cannot be used with"),
        (vec!["--from", &old, "--to", &old], "--filename"),
    ] {
        let ran = run(Path::new(PILLION), [vec!["impact"], arguments.clone()].concat(), "");
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says:?} is missing: {}", ran.stderr);
    }
}

#[test]
fn the_new_templates_can_be_those_of_the_flag_that_other_commands_have() {
    let change = Change::of_log_shipper("log-shipper:1", "log-shipper:2");
    let arguments = ["impact", "--from", &change.side("old"), "--templates", &change.side("new"), "-f", "-"];
    let ran = run(Path::new(PILLION), arguments, &asking("log-shipper", &["web"]));
    assert!(ran.stdout.contains("1 workload: 1 changed"), "{}{}", ran.stdout, ran.stderr);
}
