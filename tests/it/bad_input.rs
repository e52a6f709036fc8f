//! What people get wrong, and what others might try: values that are no values, and template files that break while
//! the others are in service. Wrong templates and clashes have golden cases.

use pillion_engine::admission::Review;
use pillion_engine::catalog::Namespace as Known;
use pillion_engine::decision::{Decision, Reason};
use pillion_engine::template::OnError;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::golden::applied;
use crate::harness::cookbook::{self, Recipe};
use crate::harness::eventually;
use crate::harness::namespace::{Calls, Namespace, Webhook};
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, names, patched, pod, review_of};

/// As much as an annotation can hold beside the others: 256 KiB are for all of them.
const LONG: usize = 200_000;

/// Values that would mean something if anybody read them as more than a value.
fn hostile() -> Vec<String> {
    let short = [
        "",
        "x\n    - name: evil\n      image: evil",
        "\"}], \"hostNetwork\": true, \"x\": [{\"a\": \"",
        "{\"securityContext\": {\"privileged\": true}}",
        "[{\"name\": \"evil\", \"image\": \"evil\"}]",
        "[\"--privileged\", \"; rm -rf /\", \"\\n- evil\"]",
        "{\"a\": {\"b\": [\"c\", 1, null]}}",
        "${{ pod.spec }}",
        "$${{ '}}' }} }}",
        "$(KUBERNETES_SERVICE_HOST) ${HOME} `id` ; id #",
        "--privileged",
        "' \" \\ \u{0} \u{7f} \u{2028} \u{202e}",
        "*evil",
        "&a [*a, *a]",
        "!!binary aGk=",
        "99999999999999999999",
        "-1",
        "1e400",
        "NaN",
        "null",
    ];
    short.map(str::to_owned).into_iter().chain(["x".repeat(LONG), "[".repeat(LONG)]).collect()
}

fn decide(catalog: &pillion_engine::catalog::Catalog, pod: &Value) -> (Decision, Value) {
    let raw = to_raw_value(pod).expect("JSON");
    let decision = pillion_engine::review(catalog, &Known::named("shop"), &Review::of_pod("shop", &raw));
    let after = applied(pod, &decision);
    (decision, after)
}

/// What no value of a parameter may touch: which containers there are, what they run, and with which rights.
fn fixed(pod: &Value) -> Value {
    let containers = |list: &str| -> Value {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.map(|it| json!([it["name"], it["command"], it["securityContext"], it["restartPolicy"]])).collect()
    };
    let mut spec = pod["spec"].clone();
    for parameter in ["containers", "initContainers", "volumes", "terminationGracePeriodSeconds"] {
        spec.as_object_mut().expect("an object").remove(parameter);
    }
    json!([containers("initContainers"), containers("containers"), spec])
}

/// The kinds of a pod's volumes.
fn sources(pod: &Value) -> impl Iterator<Item = String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten().filter_map(Value::as_object);
    volumes.flat_map(|volume| volume.keys()).filter(|field| *field != "name").cloned()
}

#[test]
fn no_value_of_a_parameter_is_more_than_a_value() {
    let catalog = cookbook::catalog(OnError::Deny);
    let (mut taken, mut refused) = (0, 0);
    for Recipe { name, text, spec, .. } in cookbook::recipes() {
        let example = cookbook::examples().iter().find(|example| example.name == *name);
        let usual = &example.unwrap_or_else(|| panic!("no example for {name}")).pod;
        let (decision, after) = decide(&catalog, usual);
        assert_eq!(decision.reason, Reason::Injected, "{name}: {:?}", decision.message);
        let usually = fixed(&after);
        let own: Vec<String> = sources(usual).collect();
        for parameter in spec["parameters"].as_array().into_iter().flatten() {
            let key = format!("{name}.pillion.dev/{}", parameter["name"].as_str().expect("a name"));
            for value in hostile() {
                let mut tried = usual.clone();
                tried["metadata"]["annotations"][&key] = json!(value);
                let (decision, after) = decide(&catalog, &tried);
                let shown: String = value.chars().take(40).collect();
                if decision.allowed() {
                    taken += 1;
                    assert_eq!(fixed(&after), usually, "{key} {shown:?}");
                    let is_known = |source: &String| text.contains(source) || own.contains(source);
                    let foreign = sources(&after).find(|source| !is_known(source) && source != "emptyDir");
                    assert_eq!(foreign, None, "{key} {shown:?}");
                } else {
                    refused += 1;
                    let message = decision.message.expect("a refusal has a message");
                    assert!(message.len() < 4096, "{key} {shown:?}: {message}");
                }
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} were taken and {refused} refused");
}

/// Two parameters that become environment variables: one without a rule, and one with a rule.
const NOTES: &str = "\
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: notes}
spec:
  parameters:
    - {name: free, type: string, default: ''}
    - {name: strict, type: string, default: a, pattern: '^[a-z]+$'}
  app:
    - containers: ['*']
      env: [{name: FREE, value: '${{ params.free }}'}, {name: STRICT, value: '${{ params.strict }}'}]
";

#[test]
fn a_value_of_200_kb_is_one_string_or_is_refused_by_its_rule() {
    let pillion = Setup::new().template("notes.yaml", NOTES).start();
    let long = "a\n- ${{ \"'{}".repeat(LONG / 12);
    let asks = |parameter: &str| {
        let mut web = pod("web", "notes");
        web["metadata"]["annotations"][format!("notes.pillion.dev/{parameter}")] = json!(long);
        web
    };

    let web = asks("free");
    let after = patched(&web, &pillion.answer(&review_of("free", &web)));
    let env = json!([{"name": "FREE", "value": long}, {"name": "STRICT", "value": "a"}]);
    assert_eq!(after["spec"]["containers"][0]["env"], env);

    let response = pillion.answer(&review_of("strict", &asks("strict")));
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().expect("a refusal has a message");
    assert!(message.contains("must match ^[a-z]+$") && message.len() < 500, "{message}");
    pillion.logged("uid", "strict");
    assert!(pillion.log().iter().all(|line| line.len() < 2000), "nobody logs such a value");
}

/// A template whose port comes out of a list, so that it can be of any type.
const ANY_PORT: &str = "\
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: any-port}
spec:
  parameters: [{name: ports, type: list, default: [8080]}]
  pod:
    spec:
      containers:
        - {name: any-port, image: any-port, ports: [{containerPort: '${{ params.ports[0] }}'}]}
";

#[test]
fn a_value_that_the_api_server_could_not_read_is_refused_by_us() {
    let pillion = Setup::new().template("any-port.yaml", ANY_PORT).start();
    // Under this policy the API server still answers 500 when it cannot read a pod that a webhook has patched.
    let Some(here) = Namespace::opted_in("unreadable-values") else { return };
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Ignore" }]);

    let ports =
        ["[\"8080\"]", "[8080.5]", "[8080.0]", "[99999999999]", "[1e300]", "[true]", "[[8080]]", "[{\"a\": 1}]"];
    for ports in ports {
        let mut web = pod("web", "any-port");
        web["metadata"]["annotations"]["any-port.pillion.dev/ports"] = json!(ports);
        let answer = here.create("v1", "pods?dryRun=All", &web);
        let text = answer.text();
        // A whole number is one however it is written.
        if ports == "[8080.0]" && answer.status == 201 {
            continue;
        }
        assert_eq!(answer.status, 403, "{ports}: {text}");
        assert!(text.contains("any-port") && text.contains("containerPort"), "{ports}: {text}");
    }
    let Calls { failed, failed_open, .. } = here.calls("pillion");
    assert_eq!((failed, failed_open), (0.0, 0.0));
}

#[test]
fn of_a_hundred_files_a_broken_one_is_refused_with_its_line_and_the_others_serve() {
    let template = |number: usize| LOG_SHIPPER.replace("log-shipper", &format!("shipper-{number}"));
    let setup = (0..100).fold(Setup::new(), |setup, number| {
        let text = template(number);
        let text = if number == 42 { text.replace("startupProbe:", "startupPrboe:") } else { text };
        setup.template(&format!("shipper-{number}.yaml"), &text)
    });
    let pillion = setup.start();
    let line = 1 + LOG_SHIPPER.lines().position(|line| line.contains("startupProbe:")).expect("the line is there");
    let place = format!("shipper-42.yaml:{line}:");

    let metrics = pillion.metrics();
    assert_eq!(metrics.sum("pillion_templates_loaded", &[]), 99.0);
    assert_eq!(metrics.sum("pillion_templates_refused", &[]), 1.0);
    let readyz = pillion.ask_admin("/readyz?verbose");
    assert_eq!(readyz.status, 200);
    let text = readyz.text();
    for part in ["templates 99 in force", &place, "startupPrboe", "did you mean startupProbe?"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert_eq!(text.matches(".yaml:").count(), 1, "only one is to blame: {text}");
    let problem = pillion.logged("message", "template refused")["problem"].take();
    assert!(problem.as_str().is_some_and(|problem| problem.contains(&place)), "{problem}");
    for number in 0..100 {
        let name = format!("shipper-{number}");
        let web = pod("web", &name);
        let response = pillion.answer(&review_of(&name, &web));
        if number == 42 {
            let message = response["status"]["message"].as_str().expect("a refusal has a message");
            assert!(message.contains(&place), "{message}");
        } else {
            assert_eq!(names(&patched(&web, &response), "initContainers"), [name]);
        }
    }
    pillion.logged("reason", "invalid_template");
}

/// Whether a pod gets `template`; the reason when it does not is in the log.
fn serves(pillion: &Pillion, template: &str) -> bool {
    pillion.answer(&review_of(template, &pod("web", template)))["allowed"] == true
}

fn reloads(pillion: &Pillion) -> f64 {
    pillion.metric("pillion_config_reloads_total", &[])
}

#[test]
fn a_template_that_gets_another_name_goes_by_that_one_alone() {
    let pillion = Pillion::start();
    pillion.write_template("log-shipper.yaml", &LOG_SHIPPER.replace("name: log-shipper", "name: shipper"));

    eventually("the new name", || serves(&pillion, "shipper").then_some(()));

    assert!(!serves(&pillion, "log-shipper"));
    assert_eq!(pillion.logged("reason", "unknown_template")["outcome"], "denied");
    assert_eq!(pillion.metric("pillion_templates_loaded", &[]), 1.0);
}

#[test]
fn a_file_that_gets_another_name_is_the_same_template() {
    let pillion = Pillion::start();
    let before = reloads(&pillion);
    pillion.rename_template("log-shipper.yaml", "renamed.yaml");

    eventually("the files to be looked at", || (reloads(&pillion) > before).then_some(()));

    // A look at the very moment of the renaming may have seen neither name.
    eventually("the template", || serves(&pillion, "log-shipper").then_some(()));
    assert_eq!(pillion.metric("pillion_templates_refused", &[]), 0.0);
    assert_eq!(pillion.metric("pillion_config_reloads_total", &["result=\"failure\""]), 0.0);
}

#[test]
fn a_template_that_breaks_under_a_new_name_leaves_nothing_of_the_old_one() {
    let pillion = Pillion::start();
    let renamed = LOG_SHIPPER.replace("name: log-shipper", "name: shipper");
    pillion.write_template("log-shipper.yaml", &renamed.replace("initContainers:", "initContainer:"));

    eventually("the template to be refused", || {
        (pillion.metric("pillion_templates_refused", &[]) == 1.0).then_some(())
    });

    for (template, reason) in [("shipper", "invalid_template"), ("log-shipper", "unknown_template")] {
        assert!(!serves(&pillion, template));
        assert_eq!(pillion.logged("reason", reason)["uid"], template);
    }
}

#[test]
fn a_broken_template_that_is_deleted_is_gone() {
    let pillion = Pillion::start();
    pillion.write_template("log-shipper.yaml", &LOG_SHIPPER.replace("initContainers:", "initContainer:"));
    eventually("the template to be refused", || {
        (pillion.metric("pillion_templates_refused", &[]) == 1.0).then_some(())
    });
    assert!(serves(&pillion, "log-shipper"), "the last good one serves");

    pillion.remove_template("log-shipper.yaml");

    eventually("the template to be gone", || (!serves(&pillion, "log-shipper")).then_some(()));
    assert_eq!(pillion.logged("reason", "unknown_template")["outcome"], "denied");
    assert_eq!(pillion.metric("pillion_templates_refused", &[]), 0.0);
    let text = pillion.ask_admin("/readyz?verbose").text();
    assert!(text.contains("templates 0 in force") && !text.contains("initContainer"), "{text}");
}
