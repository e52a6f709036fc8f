//! What a single review can cost, whoever wrote the pod: memory, additions, evaluations.
//!
//! Memory is counted, allocation by allocation, and not read off the process: so it is the same on every machine.

use allocation_counter::measure;
use pillion_engine::admission::Review;
use pillion_engine::catalog::{Catalog, Namespace};
use pillion_engine::decision::{Decision, Outcome, Reason};
use pillion_engine::load;
use pillion_engine::response;
use pillion_engine::template::OnError;
use serde_json::{Value, json};

/// The largest body that a server takes by default.
const MAX_BODY: usize = 4 << 20;
/// What a review may hold at a time, its body and its answer included.
const MAX_HEAP: u64 = 64 << 20;
/// What all templates together may add to a pod.
const MAX_ADDITIONS: usize = 4096;

#[test]
fn no_pod_that_asks_for_a_lot_holds_64_mib() {
    let variables = |number: usize| -> Value {
        (0..number).map(|at| json!({"name": format!("VARIABLE_{at}"), "value": "x"})).collect()
    };
    let long = "x".repeat(250_000);
    let with_list =
        |list: &Value| asking("listed", containers(256), &[("listed.pillion.dev/values", &list.to_string())]);
    let has_ports: Vec<String> = (0..3200).map(|at| variable(at, "${{ has(container.ports) ? 'a' : '' }}")).collect();
    let has_ports = template("log", &[to_all(&format!("env: [{}]", has_ports.join(", ")))]);
    let words = |words: &str| {
        let command = format!("lifecycle: {{preStop: {{exec: {{command: \"${{{{ {words} }}}}\"}}}}}}");
        with_parameter("listed", &vec![to_all(&command); 16]).replace("{name: A, value: a}", "a")
    };
    let one_variable: Vec<String> = (0..64).map(|at| to_all(&format!("env: [{}]", variable(at, "x")))).collect();
    let crowd: Vec<String> = (0..32).map(|at| template(&format!("t{at}"), &one_variable)).collect();
    let names: Vec<String> = (0..32).map(|at| format!("t{at}")).collect();

    let list_to_env = with_parameter("listed", &[to_all("env: \"${{ params.values }}\"")]);
    check(
        "a list of 1,000 variables for 256 containers",
        Reason::TooLarge,
        &[&list_to_env],
        &with_list(&variables(1000)),
    );
    check(
        "one variable with a long name",
        Reason::TooLarge,
        &[&list_to_env],
        &with_list(&json!([{"name": long, "value": "x"}])),
    );
    check(
        "one variable with a long value",
        Reason::TooLarge,
        &[&list_to_env],
        &with_list(&json!([{"name": "A", "value": long}])),
    );
    let forged: Vec<String> = (0..256).map(|at| format!("/spec/containers/c{at}/env/A")).collect();
    let forged = json!({"templates": [{"name": "listed", "digest": "0", "added": forged}]}).to_string();
    let long_list = json!([{"name": "A", "value": "x".repeat(200_000)}]).to_string();
    let annotations = [("listed.pillion.dev/values", long_list.as_str()), ("pillion.dev/status", forged.as_str())];
    let recorded = asking("listed", containers(256), &annotations);
    check("a long value that a forged status names", Reason::TooLarge, &[&list_to_env], &recorded);
    let replacing: Vec<String> =
        (0..64).map(|at| to_all(&format!("override: true, env: [{{name: A, value: \"{at}\"}}]"))).collect();
    let replacing = template("listed", &replacing);
    let recorded = asking("listed", containers(256), &[("pillion.dev/status", &forged)]);
    check("entries that replace what a forged status names", Reason::TooLarge, &[&replacing], &recorded);
    check(
        "a list of nothing but lists",
        Reason::InvalidResult,
        &[&list_to_env],
        &with_list(&vec![json!([]); 80_000].into()),
    );
    let (first, second) = (giving("a", 3200), giving("b", 3200));
    check("3,200 variables for 256 containers", Reason::TooLarge, &[&first], &asking("a", containers(256), &[]));
    check("twice as many", Reason::TooLarge, &[&first, &second], &asking("a,b", containers(256), &[]));
    check(
        "3,200 expressions for 256 containers",
        Reason::ExpressionLimit,
        &[&has_ports],
        &asking("log", containers(256), &[]),
    );
    let empty_words = vec![json!(""); 1000].into();
    check("lists of empty words", Reason::TooLarge, &[&words("params.values")], &with_list(&empty_words));
    let differing_words = "container.name == 'x' ? [] : params.values";
    check("one list for each container", Reason::ExpressionLimit, &[&words(differing_words)], &with_list(&empty_words));
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    check("32 templates of 64 entries", Reason::TooLarge, &crowd, &asking(&names.join(","), containers(256), &[]));
}

#[test]
fn no_pod_of_the_largest_size_makes_a_review_hold_64_mib() {
    let one = giving("log", 1);
    let guarded = |when: &str| template("log", &[]).replace("spec:", &format!("spec:\n  when: \"{when}\""));
    let app = containers(1).to_string();
    let bare = |metadata: &str, spec: &str| {
        let metadata = format!(r#"{{"annotations": {{"pillion.dev/templates": "log"}}{metadata}}}"#);
        body(&format!(r#"{{"metadata": {metadata}, "spec": {{{spec}}}}}"#))
    };
    let of_metadata = |metadata: &str| bare(metadata, &format!(r#""containers": {app}"#));
    let of_spec = |spec: &str| bare("", &format!(r#""containers": {app}, {spec}"#));
    let of_containers = |containers: &str| bare("", &format!(r#""containers": [{containers}]"#));
    let of_app = |field: &str| of_containers(&format!(r#"{{"name": "c0", "image": "app:1", {field}}}"#));

    check("members of a pod", Reason::TooLarge, &[&one], &body(&format!("{{{}}}", full_of(r#""":1"#))));
    check("members of metadata", Reason::TooLarge, &[&one], &of_metadata(&format!(", {}", full_of(r#""":1"#))));
    check("labels", Reason::TooLarge, &[&one], &of_metadata(&format!(r#", "labels": {{{}}}"#, full_of(r#""":"""#))));
    check("owners", Reason::TooLarge, &[&one], &of_metadata(&format!(r#", "ownerReferences": [{}]"#, full_of("{}"))));
    let annotations = format!(r#"{{"annotations": {{"pillion.dev/templates": "log", {}}}}}"#, full_of(r#""":"""#));
    check(
        "annotations",
        Reason::TooLarge,
        &[&one],
        &body(&format!(r#"{{"metadata": {annotations}, "spec": {{"containers": {app}}}}}"#)),
    );
    check("members of spec", Reason::TooLarge, &[&one], &of_spec(&full_of(r#""":1"#)));
    check("containers", Reason::TooLarge, &[&one], &of_containers(&full_of(r#"{"name":"a"}"#)));
    check("containers without a name", Reason::TooLarge, &[&one], &of_containers(&full_of("{}")));
    check("variables", Reason::TooLarge, &[&one], &of_app(&format!(r#""env": [{}]"#, full_of(r#"{"name":""}"#))));
    check("as many variables as are allowed", Reason::Injected, &[&one, &giving("b", 1), &giving("c", 1)], &crowded());
    let mounting = template("log", &[to_all("volumeMounts: [{name: data, mountPath: /data}]")])
        + "  shares: [data]\n  pod: {spec: {volumes: [{name: data, emptyDir: {}}]}}\n";
    check(
        "volumes",
        Reason::TooLarge,
        &[&mounting],
        &of_spec(&format!(r#""volumes": [{}]"#, full_of(r#"{"name":""}"#))),
    );
    let side =
        template("log", &[]) + "  pod: {spec: {initContainers: [{name: c0, image: 'a:1', restartPolicy: Always}]}}\n";
    check("a container of the template's name", Reason::TooLarge, &[&side], &of_app(&full_of(r#""":1"#)));
    let forged = |added: &str| {
        let status = json!({"templates": [{"name": "log", "digest": "0", "added": [added]}]}).to_string();
        asking("log", containers(1), &[("pillion.dev/status", &status)])
    };
    let long_status = format!("{{\"templates\":[{}]}}", full_of("{}"));
    check(
        "a long status",
        Reason::Injected,
        &[&one],
        &asking("log", containers(1), &[("pillion.dev/status", &long_status)]),
    );
    check(
        "a forged status",
        Reason::Injected,
        &[&one],
        &forged("/spec/a").replace(r#"\"/spec/a\""#, &full_of(r#"\"/spec/a\""#)),
    );
    let reads_volumes = guarded("size(pod.spec.volumes) > 0");
    let hidden = forged("/spec/volumes/a")
        .replace(r#""spec":{"#, &format!(r#""spec":{{"volumes":[{}],"#, vec![r#"{"name":""}"#; 60_000].join(",")));
    check("a forged status that hides a volume", Reason::ExpressionLimit, &[&reads_volumes], &hidden);
    check("a pod that an expression reads whole", Reason::ExpressionLimit, &[&guarded("[pod].size() > 0")], &crowded());
    let builds = format!("pod.spec.tolerations.map(t, [{}]).size() > 0", vec!["[]"; 150].join(","));
    let tolerations = |number: usize| of_spec(&format!(r#""tolerations": [{}]"#, vec!["{}"; number].join(",")));
    check(
        "an expression that reads all",
        Reason::GuardFalse,
        &[&guarded("pod.spec.tolerations.exists(t, has(t.key))")],
        &tolerations(60_000),
    );
    check("as many lists as an expression builds", Reason::GuardFalse, &[&guarded(&builds)], &tolerations(3_400));
    check("an expression that builds more", Reason::ExpressionLimit, &[&guarded(&builds)], &tolerations(3_600));
    let long_uid = body("{}").replace(r#""uid": "1""#, &format!(r#""uid": "\n{}""#, "x".repeat(MAX_BODY - 1024)));
    check("a long uid", Reason::MalformedReview, &[&one], &long_uid);
}

#[test]
fn templates_add_so_much_and_not_one_thing_more() {
    for [number, variables] in [[2, 2048], [64, 64], [256, 16]] {
        let pod = pod("a", containers(number), &[]);
        let exact = decide(&catalog(&[&giving("a", variables)], OnError::Deny), &body(&pod.to_string()));
        assert_eq!((exact.outcome, recorded(&applied(&pod, &exact))), (Outcome::Injected, MAX_ADDITIONS));
        let over = decide(&catalog(&[&giving("a", variables + 1)], OnError::Deny), &body(&pod.to_string()));
        assert_eq!((over.outcome, over.reason), (Outcome::Denied, Reason::TooLarge));
        let message = over.message.expect("a refusal says why");
        assert!(message.starts_with("template \"a\" adds too much to this pod"), "{message}");
    }
}

#[test]
fn a_template_for_which_there_is_no_room_follows_its_policy_and_leaves_room_for_others() {
    let templates = [giving("a", 10), giving("b", 7), giving("c", 6)];
    let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
    let pod = pod("a,b,c", containers(256), &[]);
    let skipped = decide(&catalog(&templates, OnError::Skip), &body(&pod.to_string()));
    let outcomes: Vec<_> = skipped.templates.iter().map(|template| (template.outcome, template.reason)).collect();
    assert_eq!(
        outcomes,
        [
            (Outcome::Injected, Reason::Injected),
            (Outcome::Error, Reason::TooLarge),
            (Outcome::Injected, Reason::Injected)
        ]
    );
    assert_eq!(recorded(&applied(&pod, &skipped)), MAX_ADDITIONS);
    let refused = decide(&catalog(&templates, OnError::Deny), &body(&pod.to_string()));
    assert_eq!((refused.outcome, refused.reason), (Outcome::Denied, Reason::TooLarge));
}

#[test]
fn up_to_the_bound_and_beyond_a_second_call_finds_nothing_to_do() {
    for number in [2, 3, 64, 256] {
        let most = MAX_ADDITIONS / number;
        for (first, second) in
            [(most, 0), (most - 1, 1), (most - 1, 2), (most / 2, most / 2), (most / 2, most), (most + 1, 1)]
        {
            for overrides in [false, true] {
                let mut templates = vec![giving("a", first), giving("b", second)];
                if overrides {
                    templates = templates.iter().map(|text| text.replace("\"*\"]", "\"*\"], override: true")).collect();
                }
                let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
                let catalog = catalog(&templates, OnError::Skip);
                let mut own = containers(number);
                // What stands in the first container is replaced, where templates override.
                own[0]["env"] = (0..10).map(|at| json!({"name": format!("V{at}"), "value": "of the pod"})).collect();
                let before = pod("a,b", own, &[]);
                let once = decide(&catalog, &body(&before.to_string()));
                let after = applied(&before, &once);
                let case = format!("{number} containers, {first} and {second} variables, override: {overrides}");
                let twice = decide(&catalog, &body(&after.to_string()));
                assert!(recorded(&after) <= MAX_ADDITIONS, "{case}");
                assert_eq!(twice.patch.json, "[]", "{case}");
            }
        }
    }
}

#[test]
fn what_was_taken_out_of_a_pod_at_the_bound_comes_back() {
    let catalog = catalog(&[&giving("a", 64)], OnError::Deny);
    let before = pod("a", containers(64), &[]);
    let mut after = applied(&before, &decide(&catalog, &body(&before.to_string())));
    after["spec"]["containers"][5]["env"].as_array_mut().expect("a list").remove(7);
    let again = decide(&catalog, &body(&after.to_string()));
    assert_eq!(again.reason, Reason::Injected, "{:?}", again.message);
    let restored = applied(&after, &again);
    assert_eq!(restored["spec"]["containers"][5]["env"].as_array().map(Vec::len), Some(64));
    assert_eq!(recorded(&restored), MAX_ADDITIONS);
}

#[test]
fn what_an_earlier_call_had_no_room_for_is_not_injected_by_a_later_one() {
    let expressions = "${{ has(container.ports) ? 'a' : 'b' }}".repeat(150);
    let bytes = "x".repeat(8_000);
    let items = "${{ pod.spec.tolerations.filter(t, has(t.key)).size() }}";
    for (value, reason) in
        [(&*expressions, Reason::ExpressionLimit), (&*bytes, Reason::TooLarge), (items, Reason::ExpressionLimit)]
    {
        let template = |name: &str| {
            template(name, &[to_all(&format!("env: [{{name: {}, value: \"{value}\"}}]", name.to_uppercase()))])
        };
        let catalog = catalog(&[&template("a"), &template("b")], OnError::Skip);
        let mut before = pod("a,b", containers(256), &[]);
        before["spec"]["tolerations"] = vec![json!({}); 4_500].into();
        let once = decide(&catalog, &body(&before.to_string()));
        let reasons: Vec<_> = once.templates.iter().map(|template| template.reason).collect();
        assert_eq!(reasons, [Reason::Injected, reason]);
        let twice = decide(&catalog, &body(&applied(&before, &once).to_string()));
        assert_eq!(twice.patch.json, "[]");
    }
}

#[test]
fn a_status_that_has_no_room_in_the_annotations_is_no_reason_to_refuse_who_may_be_skipped() {
    let long = "x".repeat(200);
    let named = |template: &str| template.replace("name: V", &format!("name: {long}"));
    let templates = [named(&giving("a", 3)), named(&giving("b", 3)).replace("name: b", &format!("name: {long}b"))];
    let templates = templates.map(|text| text.replace(&format!("metadata: {{name: {long}b}}"), "metadata: {name: b}"));
    let catalog = catalog(&[&templates[0], &templates[1]], OnError::Skip);
    let decision = decide(&catalog, &asking("a,b", containers(256), &[]));
    let reasons: Vec<_> = decision.templates.iter().map(|template| template.reason).collect();
    assert_eq!(reasons, [Reason::Injected, Reason::TooLarge], "{:?}", decision.message);
}

#[test]
fn a_pod_is_answered_however_deep_it_is() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = nested(110);
    let gives = "{pod: {metadata: {labels: {a: b}}, spec: {dnsPolicy: Default, tolerations: [{key: a, operator: Exists}], \
                 containers: [{name: own, image: \"own:1\", command: [a]}], volumes: [{name: v, emptyDir: {}}]}}, \
                 app: [{containers: [app], env: [{name: A, value: b}], readinessProbe: {tcpSocket: {port: 1}}}]}";
    let text = format!(
        "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: a}}\nspec: {gives}"
    );
    let catalog = catalog(&[&text], OnError::Deny);
    for spec in [
        r#""containers": [{"name": "app"}], "tolerations": DEEP"#,
        r#""containers": [{"name": "app"}], "dnsPolicy": DEEP"#,
        r#""containers": [{"name": "app"}], "volumes": [{"name": "v", "emptyDir": DEEP}]"#,
        r#""containers": [{"name": "app", "env": [{"name": "A", "value": DEEP}]}]"#,
        r#""containers": [{"name": "app", "readinessProbe": DEEP}]"#,
        r#""containers": [{"name": "app"}, {"name": "own", "image": DEEP, "command": DEEP}]"#,
    ] {
        let annotations = r#"{"pillion.dev/templates": "a"}"#;
        let pod =
            format!(r#"{{"metadata": {{"labels": {{"a": DEEP}}, "annotations": {annotations}}}, "spec": {{{spec}}}}}"#);
        assert_eq!(decide(&catalog, &body(&pod.replace("DEEP", &deep))).templates.len(), 1, "{spec}");
        let decision = decide(&catalog, &body(&pod.replace("DEEP", &nested(40_000))));
        assert_eq!((decision.outcome, decision.reason), (Outcome::Denied, Reason::TooLarge), "{spec}");
    }
    // What nobody reads may be as deep as the API server takes it.
    let annotations = r#"{"pillion.dev/templates": "a"}"#;
    let pod = format!(
        r#"{{"metadata": {{"managedFields": {}, "annotations": {annotations}}}, "spec": {{"containers": [{{"name": "app"}}]}}}}"#,
        nested(40_000)
    );
    assert_eq!(decide(&catalog, &body(&pod)).outcome, Outcome::Injected);
}

#[test]
fn values_that_are_not_noted_are_not_allocated_for() {
    let items = vec!["[1]"; 400_000].join(",");
    let review = body(&format!(r#"{{"metadata": {{}}, "spec": {{"containers": [{items}]}}}}"#));
    let counted = measure(|| drop(Review::parse(review.as_bytes()))).count_total;
    assert!(counted < 10, "{counted} allocations");
}

#[test]
fn what_a_status_escapes_counts() {
    let quotes = "\"".repeat(58_000);
    let text = with_parameter("listed", &[to_all(&format!("env: [{}]", variable(0, "x")))])
        .replace("name: V0", "name: \"${{ params.values[0].name }}\"");
    let catalog = catalog(&[&text], OnError::Skip);
    let values = json!([{"name": quotes}]).to_string();
    let pod = pod("listed", containers(3), &[("listed.pillion.dev/values", values.as_str())]);
    let decision = decide(&catalog, &body(&pod.to_string()));
    assert_eq!((decision.outcome, decision.reason), (Outcome::Error, Reason::TooLarge), "{:?}", decision.message);
}

#[test]
fn a_review_evaluates_so_many_expressions_and_entries_of_app_and_not_one_more() {
    let catalog = |expressions: usize| {
        let value = "${{ has(container.ports) ? 'a' : 'b' }}".repeat(expressions);
        catalog(&[&template("log", &[to_all(&format!("env: [{}]", variable(0, &value)))])], OnError::Deny)
    };
    let pod = asking("log", containers(256), &[]);
    // With the entry of app itself, 256 for each of the 256 containers.
    assert_eq!(decide(&catalog(255), &pod).reason, Reason::Injected);
    let refused = decide(&catalog(256), &pod);
    assert_eq!((refused.outcome, refused.reason), (Outcome::Denied, Reason::ExpressionLimit));
    let message = refused.message.expect("a refusal says why");
    assert!(message.contains("more than 65536 expressions"), "{message}");
}

#[test]
fn what_reads_nothing_but_parameters_is_evaluated_once_for_all_containers() {
    let value = "${{ params.values[0].name + '!' }}".repeat(300);
    let mixed = format!("env: [{}, {}]", variable(0, &value), variable(1, "${{ container.name }}"));
    let catalog = catalog(&[&with_parameter("listed", &[to_all(&mixed)])], OnError::Deny);
    let pod = pod("listed", containers(256), &[("listed.pillion.dev/values", r#"[{"name": "a"}]"#)]);
    let decision = decide(&catalog, &body(&pod.to_string()));
    assert_eq!(decision.reason, Reason::Injected, "{:?}", decision.message);
    let after = applied(&pod, &decision);
    for at in [0, 255] {
        let env = &after["spec"]["containers"][at]["env"];
        assert_eq!(env[0]["value"], "a!".repeat(300));
        assert_eq!(env[1]["value"], format!("c{at}"));
    }
}

#[test]
fn all_expressions_of_a_review_together_go_through_so_many_items() {
    let value = "${{ pod.spec.tolerations.filter(t, has(t.key)).size() }}";
    let catalog = catalog(&[&template("log", &[to_all(&format!("env: [{}]", variable(0, value)))])], OnError::Deny);
    let decide = |tolerations: usize| {
        let mut pod = pod("log", containers(256), &[]);
        pod["spec"]["tolerations"] = vec![json!({}); tolerations].into();
        decide(&catalog, &body(&pod.to_string()))
    };
    assert_eq!(decide(100).reason, Reason::Injected);
    // One container alone could go through them.
    let refused = decide(12_000);
    assert_eq!(refused.reason, Reason::ExpressionLimit, "{:?}", refused.message);
}

#[test]
fn the_nearest_name_is_looked_for_three_times() {
    let catalog = catalog(&[&giving("fluent-bit", 1)], OnError::Deny);
    let names = ["fluent-bat", "fluent-but", "fluent-bot", "fluent-bet", "fluent-bib"];
    let decision = decide(&catalog, &asking(&names.join(","), containers(1), &[]));
    assert_eq!(decision.reason, Reason::UnknownTemplate);
    let message = decision.message.expect("a refusal says why");
    assert_eq!(message.matches("did you mean fluent-bit?").count(), 3, "{message}");
    assert_eq!(message.matches("there is no such template").count(), 5, "{message}");
}

#[test]
fn many_errors_of_a_template_are_told_in_time_that_grows_with_their_number() {
    type Item = fn(usize) -> String;
    let kinds: [(&str, Item); 3] = [
        ("pod: {metadata: {labels: {LIST}}}", |at| format!("l{at}: 'a b'")),
        ("pod: {spec: {tolerations: [LIST]}}", |at| format!("'t{at}'")),
        ("pod: {spec: {volumes: [{name: v, LIST}]}}", |at| format!("name{at}: x")),
    ];
    for (spec, item) in kinds {
        let told = |number: usize| {
            let list = (0..number).map(item).collect::<Vec<_>>().join(", ");
            let text = format!(
                "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: many}}\nspec: {{{}}}\n",
                spec.replace("LIST", &list)
            );
            let mut problems = 0;
            let measured =
                measure(|| problems = load::read(&text, "many.yaml").remove(0).expect_err(spec).problems.len());
            assert!(problems >= number, "{spec}: {problems} of {number}");
            measured.count_total
        };
        let (some, many) = (told(2000), told(9000));
        assert!(many < 5 * some, "{spec}: {some} allocations for 2,000 errors, {many} for 9,000");
    }
}

#[test]
fn a_pod_with_more_labels_than_are_read_is_refused_and_not_let_through() {
    let labels: Value = (0..140_000).map(|at| (format!("l{at}"), json!(""))).collect::<serde_json::Map<_, _>>().into();
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": containers(1)}});
    let decision = decide(&catalog(&[], OnError::Skip), &body(&pod.to_string()));
    assert_eq!((decision.outcome, decision.reason), (Outcome::Denied, Reason::TooLarge));
}

/// A review comes out so, and holds less than the bound.
#[track_caller]
#[expect(clippy::print_stdout, reason = "with --nocapture the test gives the figures")]
fn check(case: &str, reason: Reason, templates: &[&str], body: &str) {
    assert!(body.len() <= MAX_BODY, "{case}: the body has {} bytes", body.len());
    let catalog = catalog(templates, OnError::Deny);
    let mut decided = None;
    let used = measure(|| {
        let body = body.as_bytes().to_vec();
        let review = Review::parse(&body).expect("a review");
        let decision = pillion_engine::review(&catalog, &namespace(), &review);
        drop(response::response(&review, &decision));
        decided = Some(decision.reason);
    });
    println!("{:>5.1} MB  {case}", used.bytes_max as f64 / 1e6);
    assert_eq!(decided, Some(reason), "{case}");
    assert!(used.bytes_max < MAX_HEAP, "{case}: {} bytes", used.bytes_max);
}

fn decide(catalog: &Catalog, body: &str) -> Decision {
    pillion_engine::review(catalog, &namespace(), &Review::parse(body.as_bytes()).expect("a review"))
}

fn namespace() -> Namespace {
    Namespace::from_object(&json!({"metadata": {"name": "shop"}}))
}

fn applied(pod: &Value, decision: &Decision) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_str(&decision.patch.json).expect("a patch");
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}

/// How many entries a pod's status has.
fn recorded(pod: &Value) -> usize {
    let status = pod["metadata"]["annotations"]["pillion.dev/status"].as_str().unwrap_or("{}");
    let status: Value = serde_json::from_str(status).expect("a status is JSON");
    let entries = |record: &Value, list: &str| record[list].as_array().map_or(0, Vec::len);
    let records = status["templates"].as_array().into_iter().flatten();
    records.map(|it| entries(it, "added") + entries(it, "replaced") + entries(it, "overridden")).sum()
}

fn catalog(templates: &[&str], on_error: OnError) -> Catalog {
    let mut catalog = Catalog::new(on_error);
    for template in templates.iter().flat_map(|text| load::read(text, "bounds.yaml")) {
        catalog.insert(template.unwrap_or_else(|refused| panic!("{}", refused.problems[0])).into());
    }
    catalog
}

/// A template with these entries of `app`.
fn template(name: &str, app: &[String]) -> String {
    format!(
        "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  app: [{}]\n",
        app.join(", ")
    )
}

/// The same with a parameter `values`, a list.
fn with_parameter(name: &str, app: &[String]) -> String {
    template(name, app)
        + "  parameters: [{name: values, description: Values., type: list, example: [{name: A, value: a}]}]\n"
}

/// A template that gives so many variables to all containers.
fn giving(name: &str, variables: usize) -> String {
    let variables: Vec<String> =
        (0..variables).map(|at| format!("{{name: {}{at}, value: x}}", if name == "a" { "V" } else { name })).collect();
    template(name, &[to_all(&format!("env: [{}]", variables.join(", ")))])
}

/// An entry of `app` for all containers.
fn to_all(fields: &str) -> String {
    format!("{{containers: [\"*\"], {fields}}}")
}

fn variable(at: usize, value: &str) -> String {
    format!("{{name: V{at}, value: \"{value}\"}}")
}

fn containers(number: usize) -> Value {
    (0..number).map(|at| json!({"name": format!("c{at}"), "image": "app:1"})).collect()
}

fn pod(templates: &str, containers: Value, annotations: &[(&str, &str)]) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "annotations": {"pillion.dev/templates": templates}},
        "spec": {"containers": containers},
    });
    for (key, value) in annotations {
        pod["metadata"]["annotations"][*key] = (*value).into();
    }
    pod
}

fn asking(templates: &str, containers: Value, annotations: &[(&str, &str)]) -> String {
    body(&pod(templates, containers, annotations).to_string())
}

/// A review of a pod that has almost as many values as are allowed.
fn crowded() -> String {
    let mut containers = containers(256);
    for container in containers.as_array_mut().expect("a list") {
        container["env"] = vec![json!({"name": "a"}); 160].into();
    }
    asking("log,b,c", containers, &[])
}

/// Something so often that it fills a body.
fn full_of(item: &str) -> String {
    vec![item; (MAX_BODY - 2048) / (item.len() + 1)].join(",")
}

fn body(object: &str) -> String {
    format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "1",
            "kind": {{"group": "", "version": "v1", "kind": "Pod"}},
            "namespace": "shop", "operation": "CREATE", "object": {object}}}}}"#
    )
}
