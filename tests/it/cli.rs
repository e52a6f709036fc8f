//! The commands that ask nothing of a cluster, but for `pillion inject`, which has tests of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::pillion::{pod, review_of};
use crate::harness::tools::{Ran, run};

const PILLION: &str = env!("CARGO_BIN_EXE_pillion");

fn pillion(arguments: &[&str], stdin: &str) -> Ran {
    run(Path::new(PILLION), arguments, stdin)
}

#[test]
fn a_stored_review_is_answered_as_the_webhook_would() {
    let review = |templates: &str| review_of("a1", &pod("web", templates)).to_string();
    let ran = pillion(&["review", "-f", "-"], &review("shared-processes"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("a1"), &json!(true)));
    assert!(answer["response"]["patch"].is_string(), "{answer}");
    assert_eq!(ran.stderr, "injected: injected\n");

    let ran = pillion(&["review", "-f", "-"], &review("shared-proceses"));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("denied: unknown_template: "), "{}", ran.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["response"]["allowed"], false);

    for (text, says) in [("{}", "has no request"), ("kind: AdmissionReview", "not an AdmissionReview in JSON")] {
        let ran = pillion(&["review", "-f", "-"], text);
        assert_eq!((ran.code, &*ran.stdout), (2, ""));
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn the_version_comes_as_text_or_json() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(pillion(&["version"], "").stdout.starts_with(&format!("pillion {version} (")));
    let json: Value = serde_json::from_str(&pillion(&["version", "-o", "json"], "").stdout).expect("JSON");
    assert_eq!(json["version"], version);
}

#[test]
fn completion_and_manual_are_printed() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = pillion(&["completion", shell], "").stdout;
        assert!(script.contains("pillion") && script.contains("inject"), "{shell}: {script}");
    }
    assert!(pillion(&["man"], "").stdout.starts_with(".ie"), "roff");
}

#[test]
fn every_command_has_a_manual_page_and_an_example() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("share/man1");
    let ran = pillion(&["man", "--out", &out.display().to_string()], "");
    assert_eq!((ran.code, &*ran.stdout), (0, ""), "{}", ran.stderr);
    let pages = fs::read_dir(&out).expect("the folder is made").map(|entry| entry.expect("an entry").file_name());
    let mut pages: Vec<_> = pages.map(|name| name.into_string().expect("a text")).collect();
    pages.sort();
    for page in ["pillion.1", "pillion-inject.1", "pillion-serve.1", "pillion-templates.1", "pillion-templates-show.1"]
    {
        assert!(pages.iter().any(|it| it == page), "{page}: {pages:?}");
    }
    assert!(!pages.iter().any(|it| it.contains("help") || it.contains("complete")), "{pages:?}");
    for page in &pages {
        let command = page.strip_suffix(".1").expect("section 1").replace('-', " ");
        let words: Vec<_> = command.split(' ').skip(1).collect();
        let text = fs::read_to_string(out.join(page)).expect("the page is there");
        assert_eq!(pillion(&[&["man"], &words[..]].concat(), "").stdout, text, "{page}");
        // A command that only has others leaves examples to them.
        let has_commands = text.contains(".SH SUBCOMMANDS") && page != "pillion.1";
        assert!(has_commands || text.contains(".SH EXAMPLES\n.nf\n  "), "{page}:\n{text}");
        let help = pillion(&[&words[..], &["--help"]].concat(), "").stdout;
        assert!(has_commands || help.contains("\nExamples:\n  "), "{help}");
    }
    for (arguments, says) in [
        (&["man", "injct"][..], "there is no command injct; there are serve, inject, "),
        (&["man", "templates", "lst"], "there is no command lst; there are list, show"),
        (&["man", "lint", "x"], "pillion lint has no commands"),
        (&["man", "lint", "--out", "x"], "cannot be used with"),
        (&["man", "--out", "/proc/nowhere"], "--out /proc/nowhere: "),
    ] {
        let ran = pillion(arguments, "");
        assert!(ran.code == 2 && ran.stderr.contains(says), "{says}\n{}", ran.stderr);
    }
}

#[test]
fn kubectl_is_told_how_the_words_of_the_plugin_can_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("kubectl_complete-pillion");
    symlink(PILLION, &program).expect("the folder is writable");
    let complete = |words: &[&str]| {
        let ran = run(&program, words, "");
        assert_eq!((ran.code, &*ran.stderr), (0, ""));
        assert_eq!(pillion(&[&["__complete"], words].concat(), "").stdout, ran.stdout, "as other programs are asked");
        let lines = ran.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(complete(&["in"]), ["inject", ":4"]);
    assert_eq!(complete(&["inject", "--templ"]), ["--templates", "--template", ":4"]);
    assert_eq!(complete(&["inject", "--template", "fluent"]), ["fluent-bit", "fluentd", ":4"]);
    assert_eq!(complete(&["templates", "show", "mt"]), ["mtls", ":4"]);
    assert_eq!(complete(&["version", "-o", ""]), ["text", "json", ":4"]);
    assert_eq!(complete(&["inject", "-f", ""]), [":0"], "files are the shell's own work");
    assert_eq!(complete(&["inject", "-f", "/pro"]), ["/proc/", ":6"], "a folder's name goes on");
    assert_eq!(complete(&[]), [":0"]);
    let all = complete(&[""]);
    assert!(all.len() > 10 && !all.iter().any(|it| it.starts_with('-') || it.contains("complete")), "{all:?}");
}

#[test]
fn serve_says_where_templates_can_come_from_and_which_variables_it_ignores() {
    let ran = pillion(&["serve"], "");
    assert_eq!((ran.code, &*ran.stdout), (2, ""));
    let says = "error: no source of templates: name files or folders with --templates, read the resources of the cluster with \
                --watch, or try it out with the built-in templates and --dev\n";
    assert_eq!(ran.stderr, says);
    if cfg!(not(feature = "otlp")) {
        // It ends at once, for want of a certificate.
        let arguments = ["OTEL_EXPORTER_OTLP_HEADERS=secret", PILLION, "serve", "--templates=/dev/null"];
        let ran = run(Path::new("/usr/bin/env"), arguments, "");
        assert!(ran.stderr.contains(r#""ignored":"OTEL_EXPORTER_OTLP_HEADERS""#), "{}", ran.stderr);
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_names_itself_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugin = folder.path().join("kubectl-pillion");
    symlink(PILLION, &plugin).expect("the folder is writable");
    let help = run(&plugin, ["inject", "--help"], "").stdout;
    assert!(help.contains("Usage: kubectl pillion inject"), "{help}");
    assert!(help.contains("\n  kubectl pillion inject -f web.yaml | kubectl apply"), "{help}");
    assert!(help.contains("| kubectl pillion inject -f - ") && !help.contains("  pillion"), "{help}");
    assert!(pillion(&["inject", "--help"], "").stdout.contains("Usage: pillion inject"));
}

#[test]
fn the_nearest_command_is_suggested() {
    let ran = pillion(&["injct"], "");
    assert_eq!(ran.code, 2);
    let near = ran.stderr.lines().find(|line| line.contains("some similar subcommands exist: ")).unwrap_or_default();
    assert!(near.contains("'inject'"), "{}", ran.stderr);
    for (arguments, says) in [
        (&["templates", "lst"][..], "a similar subcommand exists: 'list'"),
        (&["inject", "--filenam", "x"], "a similar argument exists: '--filename'"),
        (&["explain", "--resaon", "x"], "a similar argument exists: '--reason'"),
        (&["serve", "--wacth"], "a similar argument exists: '--watch'"),
        (&["inject", "-o", "jsn"], "[possible values: yaml, json, diff, patch, name]"),
        (&["lint", "-o", "xml"], "[possible values: text, json, github]"),
        (&["version", "-o", "yaml"], "[possible values: text, json]"),
    ] {
        let ran = pillion(arguments, "");
        assert!(ran.code == 2 && ran.stderr.contains(says), "{says}\n{}", ran.stderr);
    }
}

/// What `explain` says of the pods of a manifest, and its exit code.
fn explain(manifest: &str, arguments: &[&str]) -> (i32, String) {
    let ran = pillion(&[&["explain", "-f", "-"], arguments].concat(), manifest);
    (ran.code, ran.stdout + &ran.stderr)
}

/// A pod with these annotations.
fn asking(annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
}

#[test]
fn each_step_up_to_the_first_that_fails_is_explained_with_its_fix() {
    let pod = |annotations: Value| asking(&annotations);
    let deployment = |on_itself: Value, on_template: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "annotations": on_itself},
            "spec": {"template": {"metadata": {"annotations": on_template}, "spec": pod(json!({}))["spec"]}}})
    };
    let templates = "pillion.dev/templates";
    let mut opted_out = pod(json!({templates: "fluent-bit"}));
    opted_out["metadata"]["labels"] = json!({"pillion.dev/inject": "disabled"});
    let mut host_network = pod(json!({templates: "mtls", "mtls.pillion.dev/connect": "ledger:1"}));
    host_network["spec"]["hostNetwork"] = json!(true);
    let mut taken = pod(json!({templates: "shared-processes"}));
    taken["spec"]["containers"][0]["name"] = json!("shared-processes");

    for (manifest, finding, fix) in [
        (
            deployment(json!({templates: "fluent-bit"}), json!({})),
            "pillion.dev/templates is on the deployment, where the webhook does not see it",
            "fix: kubectl patch deployment web -n shop --type=merge -p \
             '{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"pillion.dev/templates\":\"fluent-bit\"}}}}}'",
        ),
        (
            pod(json!({})),
            "✗ the pod asks for templates",
            "fix: Set the annotation pillion.dev/templates on the pod template",
        ),
        (opted_out, "has the label or annotation pillion.dev/inject: disabled", "fix: Remove it from the pod template"),
        (pod(json!({templates: "fluentbit"})), "did you mean fluent-bit?", "fix: Correct the name"),
        (pod(json!({templates: "wait-for"})), "✗ its parameters are right", "has no default; set the annotation"),
        (
            pod(json!({templates: "shared-processes", "shared-processes.pillion.dev/runAsUser": "root"})),
            "✗ its parameters are right",
            "fix: Correct the annotation that the message names",
        ),
        (
            pod(json!({templates: "shared-processes", "shared-processes.pillion.dev/user": "1"})),
            "there is no parameter user",
            "fix: Correct the annotation's name",
        ),
        (host_network, "✗ it is for the network and the operating system of the pod", "fix: Use a template that says"),
        (taken, "✗ its parts go into the pod", "fix: Rename or move one of the two"),
    ] {
        let (code, said) = explain(&manifest.to_string(), &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(finding) && said.contains(fix), "{finding}\n{fix}\n{said}");
        let failed = said.find('✗').expect("a step failed");
        assert!(!said[failed..].contains('✓'), "it stops there: {said}");
    }
}

#[test]
fn a_namespace_that_does_not_send_its_pods_is_explained() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let pod = asking(&json!({"pillion.dev/templates": "shared-processes"}));
    let (code, said) = explain(&format!("{pod}\n---\n{namespace}\n"), &[]);
    assert_eq!(code, 1);
    assert!(said.contains("✗ the namespace sends its pods to Pillion"), "{said}");
    assert!(said.contains("kubectl label namespace default pillion.dev/inject=enabled"), "{said}");
    let (code, said) = explain(&pod.to_string(), &["-n", "kube-system"]);
    assert!(code == 1 && said.contains("the webhook leaves kube-system alone"), "{said}");
}

#[test]
fn a_command_that_is_offered_is_one_that_a_shell_takes_as_it_is_meant() {
    let workload = |name: &str, templates: &str, spec: Value| {
        json!({"apiVersion": "example.com/v1", "kind": "Work", "spec": spec,
            "metadata": {"name": name, "annotations": {"pillion.dev/templates": templates}}})
    };
    let template = json!({"spec": asking(&json!({}))["spec"]});
    let (_, said) = explain(&workload("web; reboot", "a'; reboot #", json!({"template": template})).to_string(), &[]);
    let command = r#"kubectl patch work web??reboot -n default --type=merge -p '{"spec":"#;
    assert!(said.contains(command) && said.contains(r"a'\''; reboot #"), "{said}");
    let (_, said) = explain(&workload("web", "mtls", json!({"jobs": [{"template": template}]})).to_string(), &[]);
    assert!(said.contains("fix: move it to the annotations in spec.jobs[0].template.metadata"), "{said}");
}

#[test]
fn each_place_is_explained_by_its_rule() {
    let mut pod = asking(&json!({"pillion.dev/templates": "fluent-bit"}));
    pod["spec"]["terminationGracePeriodSeconds"] = json!(3600);
    let (code, said) = explain(&pod.to_string(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("+ initContainers[fluent-bit]"), "{said}");
    assert!(said.ends_with("  injected: fluent-bit\n"), "{said}");
    let once = pillion(&["inject", "-f", "-"], &pod.to_string()).stdout;
    let (code, said) = explain(&once, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("= initContainers[fluent-bit]: already there"), "{said}");
}

#[test]
fn a_reason_is_explained_by_its_code() {
    for reason in pillion_engine::decision::Reason::ALL {
        let ran = pillion(&["explain", "--reason", reason.as_str()], "");
        assert_eq!(
            (ran.code, ran.stdout),
            (0, format!("{reason}: {}\nWhat to do: {}\n", reason.sentence(), reason.fix()))
        );
    }
    let ran = pillion(&["explain", "--reason", "unknown-template"], "");
    assert!(ran.code == 2 && ran.stderr.contains("unknown_template"), "{}", ran.stderr);
}

#[test]
fn lint_shows_what_is_wrong_with_templates_and_where() {
    let template = |field: &str| {
        format!(
            "# A sidecar.\napiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: side}}\nspec:\n  \
             pod:\n    spec:\n      initContainers:\n        - name: side\n          {field}: side:1\n          \
             restartPolicy: Always\n"
        )
    };
    let lint = |text: &str, flags: &[&str]| pillion(&[&["lint", "-f", "-"], flags].concat(), text);
    let wrong = lint(&template("imgae"), &[]);
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    let shown = "error: spec.pod.spec.initContainers[0].imgae is not a field of a Container; did you mean image?\n  \
                 --> standard input:10:11\n   |\n10 |           imgae: side:1\n   |           ^^^^^^\n";
    assert!(wrong.stdout.contains(shown), "{}", wrong.stdout);
    assert!(wrong.stderr.starts_with("1 templates, "), "{}", wrong.stderr);

    let json: Value = serde_json::from_str(&lint(&template("imgae"), &["-o", "json"]).stdout).expect("JSON");
    let first = &json[1];
    assert_eq!((&first["line"], &first["column"], &first["severity"]), (&json!(10), &json!(11), &json!("error")));
    let github = lint(&template("imgae"), &["-o", "github"]).stdout;
    let annotation =
        "\n::error file=standard input,line=10,col=11::spec.pod.spec.initContainers[0].imgae is not a field";
    assert!(github.contains(annotation), "{github}");

    let right = lint(&template("image"), &[]);
    assert_eq!(right.code, 0, "{}{}", right.stdout, right.stderr);
    assert!(right.stderr.contains(", 0 errors, "), "{}", right.stderr);
    let cookbook = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/templates");
    let ran = pillion(&["lint", "-f", cookbook], "");
    assert!(ran.code == 0 && ran.stderr.contains(" 0 errors"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_templates_are_listed_and_shown_and_what_is_shown_works() {
    let list = pillion(&["templates", "list"], "").stdout;
    let names: Vec<_> = list.lines().map(|line| line.split_whitespace().next().expect("a name")).collect();
    assert_eq!(names.len(), 33, "{list}");
    let plain = asking(&json!({})).to_string();
    for name in names {
        let shown = pillion(&["templates", "show", name], "").stdout;
        let command = shown.lines().find(|line| line.contains("pillion inject -f FILE")).expect("how to try it");
        let flags = command.split_once(" --template ").expect("it names the template").1;
        let flags: Vec<_> = flags.split(" --set ").skip(1).flat_map(|set| ["--set", set.trim_matches('\'')]).collect();
        let ran = pillion(&[&["inject", "-f", "-", "--template", name], &flags[..]].concat(), &plain);
        let needs_more = ran.stderr.contains("conflict") || ran.stderr.contains("invalid_result");
        assert!(ran.code == 0 || needs_more, "{shown}{}", ran.stderr);

        let yaml = pillion(&["templates", "show", name, "-o", "yaml"], "").stdout;
        assert_eq!(pillion(&["lint", "-f", "-"], &yaml).code, 0, "{name}");
    }
    let ran = pillion(&["templates", "show", "envoi"], "");
    assert!(ran.code == 2 && ran.stderr.contains("there are cache, "), "{}", ran.stderr);
}
