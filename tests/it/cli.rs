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
fn a_command_that_is_offered_is_one_that_a_shell_takes_as_it_is_meant() {
    let workload = |name: &str, templates: &str, spec: Value| {
        json!({"apiVersion": "example.com/v1", "kind": "Work", "spec": spec,
            "metadata": {"name": name, "annotations": {"pillion.dev/templates": templates}}})
    };
    let template = json!({"spec": asking(&json!({}))["spec"]});
    let (_, said) = explain(&workload("web; reboot", "a'; reboot #", json!({"template": template})).to_string(), &[]);
    let command = r#"kubectl patch work web??reboot -n default --type=merge -p '{"spec":"#;
    assert!(said.contains(command) && said.contains(r"a'\''; reboot #"), "{said}");
    let (_, said) = explain(&workload("web", "\u{1b}[2Jü\u{202e}", json!({"template": template})).to_string(), &[]);
    assert!(said.contains(r#"{"pillion.dev/templates":"\u001b[2J\u00fc\u202e"}"#), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    // A merge patch reaches no item of a list.
    let (_, said) = explain(&workload("web", "mtls", json!({"jobs": [{"template": template}]})).to_string(), &[]);
    assert!(
        said.contains(
            "fix: standard input:1: add pillion.dev/templates: mtls to spec.jobs[0].template.metadata.annotations"
        ),
        "{said}"
    );
}

#[test]
fn each_place_is_explained_by_its_rule() {
    let mut pod = asking(&json!({"pillion.dev/templates": "fluent-bit"}));
    pod["spec"]["terminationGracePeriodSeconds"] = json!(3600);
    let (code, said) = explain(&pod.to_string(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("+ initContainers[fluent-bit]"), "{said}");
    assert!(said.ends_with("\nINJECTED  default/pod/web  fluent-bit\n"), "{said}");
    let once = pillion(&["inject", "-f", "-"], &pod.to_string()).stdout;
    let (code, said) = explain(&once, &[]);
    assert_eq!(code, 0, "{said}");
    let line = said.lines().find(|line| line.contains("= initContainers[fluent-bit] "));
    assert!(line.is_some_and(|line| line.ends_with("  already there")), "{said}");
    assert!(said.ends_with("\nNOT INJECTED  default/pod/web  skipped: already_injected\n"), "{said}");

    let mut pod = asking(&json!({"pillion.dev/templates": "shared-processes"}));
    pod["spec"]["shareProcessNamespace"] = json!(false);
    let explained: Value = serde_json::from_str(&explain(&pod.to_string(), &["-o", "json"]).1).expect("JSON");
    let places = explained[0]["templates"][0]["places"].as_array().expect("a list of places");
    let kept = places.iter().find(|place| place["place"] == "shareProcessNamespace").expect("it is a place");
    assert_eq!((&kept["effect"], &kept["rule"]), (&json!("not applied"), &json!("The pod's value wins, whole")));
}

#[test]
fn each_pod_of_an_object_and_of_a_list_is_explained_under_its_own_name() {
    let template = |templates: &str| json!({"metadata": {"annotations": {"pillion.dev/templates": templates}}, "spec": asking(&json!({}))["spec"]});
    let set = json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "train"}, "spec": {
        "replicatedJobs": [
            {"name": "a", "template": {"spec": {"template": template("shared-processes")}}},
            {"name": "b", "template": {"spec": {"template": template("shared-proceses")}}},
        ]
    }});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [set, asking(&json!({"pillion.dev/templates": "envoy"}))]});
    let text = serde_saphyr::to_string(&list).expect("it is plain data");
    let (code, said) = explain(&text, &[]);
    assert_eq!(code, 1, "{said}");
    let heads: Vec<_> = said.lines().filter(|line| line.starts_with("standard input:")).collect();
    assert_eq!(heads.len(), 3, "{said}");
    let line = |of: &str| 1 + text.lines().position(|line| line.contains(of)).expect(of);
    assert_eq!(heads[0], "standard input:4 default/jobset/train at spec.replicatedJobs[0].template.spec.template");
    assert_eq!(heads[1], "standard input:4 default/jobset/train at spec.replicatedJobs[1].template.spec.template");
    assert!(heads[2].ends_with(" default/pod/web"), "{said}");
    let fix =
        format!("fix: standard input:{}: write pillion.dev/templates: shared-processes\n", line("shared-proceses"));
    assert!(said.contains(&fix), "{said}");
    let verdicts: Vec<_> = said.lines().filter(|line| line.contains("INJECTED  ")).collect();
    assert_eq!(
        verdicts,
        [
            "INJECTED  default/jobset/train at spec.replicatedJobs[0].template.spec.template  shared-processes",
            "NOT INJECTED  default/jobset/train at spec.replicatedJobs[1].template.spec.template  denied: unknown_template",
            "NOT INJECTED  default/pod/web  denied: missing_parameter",
        ]
    );
}

#[test]
fn names_that_are_wrong_together_are_corrected_together() {
    let pod =
        asking(&json!({"pillion.dev/templates": "+shared-proceses, envoi,mtls", "mtls.pillion.dev/conect": "a:1"}));
    let explained: Value = serde_json::from_str(&explain(&pod.to_string(), &["-o", "json"]).1).expect("JSON");
    let steps = explained[0]["steps"].as_array().expect("a list of steps");
    let fixes: Vec<_> = steps.iter().filter(|step| step["passed"] == false).map(|step| step["fix"].clone()).collect();
    let names = "standard input:1: write pillion.dev/templates: \"+shared-processes,envoy,mtls\"";
    assert_eq!(fixes[..2], [names, names]);
    let parameters = fixes[2].as_str().expect("a fix");
    let key = |name: &str| format!("mtls.pillion.dev/{name}");
    assert!(parameters.contains(&format!("remove {}", key("conect"))), "{parameters}");
    assert!(
        parameters.contains(&format!("add {}: \"a:1\"", key("connect"))),
        "its value is that of the other: {parameters}"
    );
    assert!(
        parameters.contains(&format!("add {}: web-tls", key("tlsSecret"))),
        "the others have examples: {parameters}"
    );
}

#[test]
fn a_pod_without_all_that_it_asks_for_is_partly_injected() {
    let pod = asking(&json!({"pillion.dev/templates": "shared-processes,envoy"})).to_string();
    let (code, said) = explain(&pod, &["--on-error", "skip"]);
    let verdict = "\nPARTLY INJECTED  default/pod/web  shared-processes; without envoy (missing_parameter)\n";
    assert!(code == 1 && said.ends_with(verdict), "{said}");
    let flags = ["--on-error", "skip", "--set", "envoy.upstreamHost=orders"];
    let (code, said) = explain(&pod, &flags);
    assert!(code == 0 && said.ends_with("\nINJECTED  default/pod/web  shared-processes, envoy\n"), "{said}");
}

#[test]
fn where_there_is_nothing_to_explain_that_is_wrong_usage() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
    for input in ["", "# nothing\n", &service.to_string()] {
        let (code, said) = explain(input, &[]);
        assert!(code == 2 && said.ends_with("error: there is no pod and no pod template in the input\n"), "{said}");
    }
    let (code, said) = explain("{", &[]);
    assert!(code == 2 && !said.contains("no pod"), "what is wrong is said already: {said}");
}

#[test]
fn what_has_no_effect_where_it_is_is_warned_of() {
    let mut pod = asking(&json!({"pillion.dev/templates": "shared-processes", "pillion.io/inject": "disabled"}));
    pod["metadata"]["labels"] = json!({"shared-processes.pillion.dev/runAsUser": "7", "pillion.dev/colour": "red"});
    let (code, said) = explain(&pod.to_string(), &[]);
    assert_eq!(code, 0, "{said}");
    let warning =
        "  ! shared-processes.pillion.dev/runAsUser is a label of the pod, and counts as an annotation alone\n";
    assert!(said.contains(warning), "{said}");
    assert!(said.contains("  ! the annotation pillion.io/inject of the pod means nothing to Pillion\n"), "{said}");
}

#[test]
fn a_reason_is_explained_by_its_code() {
    for reason in pillion_engine::decision::Reason::ALL {
        let ran = pillion(&["explain", "--reason", reason.as_str()], "");
        let (sentence, fix, page) = (reason.sentence(), reason.fix(), reason.page());
        assert_eq!((ran.code, ran.stdout), (0, format!("{reason}: {sentence}\nWhat to do: {fix}\nMore: {page}\n")));
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
    assert!(wrong.stderr.starts_with("1 template, "), "{}", wrong.stderr);

    let json: Value = serde_json::from_str(&lint(&template("imgae"), &["-o", "json"]).stdout).expect("JSON");
    let first = &json["findings"][1];
    assert_eq!(json["templates"], json!([{"file": "standard input", "name": "side", "podSecurity": null}]));
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

/// What `lint` says of Pod Security: of a template whose sidecar has this security context, with more fields of the `spec`
/// of template and pod.
fn pod_security(context: &Value, of_template: &Value, of_pod: &Value, output: &str) -> String {
    let side = json!({"name": "side", "image": "side:1", "restartPolicy": "Always", "securityContext": context,
        "startupProbe": {"tcpSocket": {"port": 1, "host": "${{ params.host }}"}}});
    let mut template = json!({"apiVersion": "pillion.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "side"}, "spec": {"parameters": [{"name": "host", "type": "string", "optional": true}],
        "pod": {"spec": {"initContainers": [side]}}}});
    for (place, more) in [("/spec", of_template), ("/spec/pod/spec", of_pod)] {
        let spec = template.pointer_mut(place).and_then(Value::as_object_mut).expect("it is there");
        spec.extend(more.as_object().expect("fields").clone());
    }
    let ran = pillion(&["lint", "-f", "-", "-o", output], &format!("{template:#}"));
    assert_eq!(ran.code, 0, "{template}{}", ran.stdout);
    ran.stdout
}

#[test]
fn lint_tells_the_level_of_pod_security_that_a_template_keeps() {
    let drops = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let hardened = |more: Value| {
        let mut context = drops.clone();
        context["runAsNonRoot"] = json!(true);
        context["seccompProfile"] = json!({"type": "RuntimeDefault"});
        context.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        context
    };
    let (none, unmasked) = (json!({}), json!({"procMount": "Unmasked"}));
    let host =
        |more: Value| json!({"parameters": [{"name": "host", "type": "string", "optional": true, "example": more}]});
    let of_pod = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    let volume = |source: &str, value: Value| json!({"volumes": [{"name": "a", source: value}]});
    for (context, of_template, of_pod, level, checks) in [
        (hardened(json!({})), none.clone(), none.clone(), "restricted", vec![]),
        // What it gives the pod counts for its containers.
        (drops.clone(), none.clone(), of_pod, "restricted", vec![]),
        (drops.clone(), none.clone(), none.clone(), "baseline", vec!["runAsNonRoot != true", "seccompProfile"]),
        (
            none.clone(),
            none.clone(),
            none.clone(),
            "baseline",
            vec![
                "allowPrivilegeEscalation != false",
                "runAsNonRoot != true",
                "seccompProfile",
                "unrestricted capabilities",
            ],
        ),
        // Less is asked of pods for Windows, and of those with a user namespace.
        (json!({"runAsNonRoot": true}), json!({"os": ["windows"]}), none.clone(), "restricted", vec![]),
        (hardened(json!({"runAsUser": 0})), none.clone(), json!({"hostUsers": false}), "restricted", vec![]),
        (hardened(json!({"runAsUser": 0})), none.clone(), none.clone(), "baseline", vec!["runAsUser=0"]),
        (hardened(unmasked), none.clone(), json!({"hostUsers": false}), "baseline", vec!["procMount"]),
        // Once with the example, once without.
        (hardened(json!({})), host(json!("node")), none.clone(), "privileged", vec!["probe or lifecycle host"]),
        (hardened(json!({})), none.clone(), volume("emptyDir", json!({})), "restricted", vec![]),
        (
            hardened(json!({})),
            none.clone(),
            volume("nfs", json!({"server": "a", "path": "/"})),
            "baseline",
            vec!["restricted volume types"],
        ),
        (
            hardened(json!({})),
            none.clone(),
            volume("hostPath", json!({"path": "/"})),
            "privileged",
            vec!["hostPath volumes"],
        ),
        (
            hardened(json!({})),
            json!({"app": [{"containers": ["*"], "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
            none,
            "privileged",
            vec!["hostPort"],
        ),
    ] {
        let said: Value = serde_json::from_str(&pod_security(&context, &of_template, &of_pod, "json")).expect("JSON");
        let said = &said["templates"][0]["podSecurity"];
        let breaches = said["breaches"].as_array().expect("a list").iter();
        let mut broken: Vec<_> = breaches.map(|breach| breach["check"].as_str().expect("a check")).collect();
        broken.sort_unstable();
        assert_eq!((said["level"].as_str(), broken), (Some(level), checks), "{context} {of_template} {of_pod}");
    }
}

#[test]
fn lint_says_where_a_template_breaks_a_level_of_pod_security_and_what_only_a_pod_shows() {
    let context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": "${{ pod.metadata.name == 'web' ? {'drop': ['ALL']} : null }}"});
    let said = pod_security(&context, &json!({}), &json!({"hostPID": true}), "text");
    let (_, said) = said.split_once("side: Pod Security privileged\n").expect("the level is there");
    let lines: Vec<_> = said.lines().map(|line| line.split_once("spec.pod").expect("a place").1).collect();
    let (escalation, unknown) = (
        ".spec.initContainers[0].securityContext lacks allowPrivilegeEscalation: false (restricted: \
         allowPrivilegeEscalation != false)",
        ".spec.initContainers[0].securityContext.capabilities is an expression whose value only a pod shows",
    );
    assert_eq!(lines, [escalation, ".spec.hostPID must not be true (baseline: host namespaces)", unknown]);
    assert!(said.contains("\n  not known: standard input:") && said.starts_with("  standard input:"), "{said}");
    assert_eq!(pod_security(&context, &json!({}), &json!({}), "github").matches("Pod Security").count(), 0);
}

#[test]
fn what_a_template_takes_is_shown_with_who_may_set_it_and_with_examples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = json!({"apiVersion": "pillion.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "side"}, "spec": {
            "parameters": [
                {"name": "a", "type": "string", "maxLength": 9, "example": "it's", "description": "One\nthing."},
                {"name": "b", "type": "integer", "settableBy": "Namespace", "example": 5, "sensitive": true},
                {"name": "c", "type": "string", "enum": ["x", "z"]},
                {"name": "d", "type": "list", "optional": true, "example": [1]},
                {"name": "e", "type": "boolean", "default": false, "settableBy": "Nobody"}],
            "pod": {"metadata": {"labels": {"a": "b"}}}}});
    std::fs::write(folder.path().join("side.yaml"), template.to_string()).expect("the folder is writable");
    let folder = folder.path().to_str().expect("text");
    let shown = pillion(&["templates", "show", "side", "--templates", folder], "").stdout;
    let expected = "side

Parameters:
  a (string; must be set; at most 9 characters)
      One thing.
  b (integer; must be set; set by the namespace alone; never shown in messages)
  c (string; must be set; one of x, z)
  d (list; optional; for example [1])
  e (boolean; default false; set by nobody)

Pod Security: restricted

Try it:
  pillion inject -f FILE --template side --set 'side.a=it'\\''s' --set 'side.c=x'

Ask for it, in the annotations of a pod template:
  pillion.dev/templates: side
  side.pillion.dev/a: \"it's\"
  side.pillion.dev/c: \"x\"
and in those of its namespace:
  side.pillion.dev/b: \"5\"
";
    assert_eq!(shown, expected);
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
