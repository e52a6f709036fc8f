use serde_json::Value;

use super::*;
use crate::json::Tape;

const POD: &str = r#"{
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "future": 1.50}, {"name": "worker"}], "dnsPolicy": "Default", "os": null}
}"#;

fn pod(json: &'static str) -> Node<'static> {
    let tape = Tape::scan(json).expect("JSON");
    Node::text(Box::leak(Box::new(tape)).root())
}

/// What a template gives.
fn given(template: u16, json: &str) -> Node<'static> {
    let fragment = Fragment::filled(serde_json::from_str(json).expect("JSON"), false);
    Node::render(Box::leak(Box::new(fragment)), &[], Numbers::default(), By::Now(template)).expect("something is given")
}

/// The value that names of members lead to.
fn at<'n>(node: &'n mut Node<'static>, path: &str) -> &'n mut Node<'static> {
    path.split('.').fold(node, |node, name| node.member(name).expect("the member is there"))
}

fn containers<'n>(pod: &'n mut Node<'static>) -> &'n mut Vec<Node<'static>> {
    at(pod, "spec.containers").items().expect("a list")
}

fn add(node: &mut Node<'static>, name: &'static str, value: Node<'static>) {
    node.push(name.into(), value.added());
}

/// What an expression sees.
fn found(node: &Node<'_>, path: &str) -> Option<String> {
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    node.find(&path).map(|json| json.into_owned())
}

fn value(node: &Node<'_>) -> Value {
    let mut json = Vec::new();
    node.write(&mut json);
    serde_json::from_slice(&json).expect("a tree is JSON")
}

/// The operations and places of the patch, which makes the tree of the pod.
fn patch(node: &Node<'_>, of: &str) -> Vec<String> {
    let json = node.patch().json;
    let (mut patched, patch): (_, json_patch::Patch) =
        (serde_json::from_str(of).expect("JSON"), serde_json::from_str(&json).expect("a patch"));
    json_patch::patch(&mut patched, &patch).expect("the patch applies");
    assert_eq!(patched, value(node));
    let operations: Vec<Value> = serde_json::from_str(&json).expect("a list");
    operations.iter().map(|it| format!("{} {}", it["op"], it["path"]).replace('"', "")).collect()
}

/// A pod to which the first template added something of every kind.
fn with_the_first() -> Node<'static> {
    let mut pod = pod(POD);
    add(at(&mut pod, "metadata.labels"), "first", given(0, r#""x""#));
    add(at(&mut pod, "spec"), "volumes", given(0, r#"[{"name": "first"}]"#));
    at(&mut pod, "spec.dnsPolicy").replace(given(0, r#""None""#));
    containers(&mut pod).insert(0, given(0, r#"{"name": "first"}"#).added());
    pod
}

#[test]
fn undo_takes_out_what_one_template_brought_and_leaves_what_others_brought() {
    let (mut pod, without) = (with_the_first(), with_the_first());
    add(at(&mut pod, "metadata.labels"), "second", given(1, r#""y""#));
    add(at(&mut pod, "metadata"), "annotations", given(1, r#"{"second": "y"}"#));
    at(&mut pod, "spec.volumes").items().expect("a list").push(given(1, r#"{"name": "second"}"#).added());
    containers(&mut pod).insert(1, given(1, r#"{"name": "second"}"#).added());
    add(&mut containers(&mut pod)[2], "env", given(1, r#"[{"name": "SECOND"}]"#));

    assert!(pod.undo(By::Now(1)));

    assert_eq!(value(&pod), value(&without));
    assert_eq!(pod.patch().json, without.patch().json, "the patch that would have been there without it");
    assert!(!given(1, "{}").undo(By::Now(1)), "nothing is left of what it brought itself");
}

#[test]
fn undo_puts_back_what_stood_there_before() {
    let (mut pod, without) = (with_the_first(), with_the_first());
    // A replacement and an addition of the first template, something of the pod, and its own replacement of that.
    at(&mut pod, "spec.dnsPolicy").replace(given(1, r#""ClusterFirst""#));
    at(&mut pod, "metadata.labels.first").replace(given(1, r#""y""#));
    at(&mut pod, "metadata.labels.app").replace(given(1, r#""y""#));
    at(&mut pod, "metadata.labels.app").replace(given(1, r#""z""#));
    let labels = ["replace /metadata/labels/app", "add /metadata/labels/first"];
    assert_eq!(patch(&pod, POD)[..2], labels, "what was added is added, whoever replaced it");

    assert!(pod.undo(By::Now(1)));

    assert_eq!(value(&pod), value(&without));
    assert_eq!(pod.patch().json, without.patch().json);
    assert!(pod.undo(By::Now(0)));
    assert_eq!(patch(&pod, POD), [""; 0]);
}

#[test]
fn operations_have_the_indices_of_the_list_as_it_is_by_then_and_parents_come_first() {
    let mut pod = pod(POD);
    add(&mut containers(&mut pod)[1], "env", given(0, r#"[{"name": "A"}]"#));
    containers(&mut pod).insert(0, given(0, r#"{"name": "front"}"#).added());
    containers(&mut pod).insert(2, given(1, r#"{"name": "middle"}"#).added());
    containers(&mut pod).push(given(0, r#"{"name": "end"}"#).added());
    let list = ["0", "2", "3/env", "4"].map(|place| format!("add /spec/containers/{place}"));
    assert_eq!(patch(&pod, POD), list);

    let mut holder = Node::holder(Json::Object(Vec::new()), By::Now(0));
    add(&mut holder, "a/b~c", given(0, r#""x""#));
    at(&mut pod, "metadata").push("annotations".into(), holder);
    add(at(&mut pod, "metadata.labels"), "a/b~c", given(0, r#""x""#));
    let metadata = ["add /metadata/labels/a~1b~0c", "add /metadata/annotations"];
    assert_eq!(patch(&pod, POD)[..2], metadata, "what is added to an addition comes with it");
}

#[test]
fn expressions_do_not_see_what_templates_brought() {
    const OWN: &str = r#"[{"name":"web","future":1.5},{"name":"worker"}]"#;
    let pod = with_the_first();
    for (path, seen) in [
        ("metadata", Some(r#"{"labels":{"app":"web"}}"#)),
        ("metadata.labels.first", None),
        ("spec.volumes", None),
        ("spec.dnsPolicy", Some(r#""Default""#)),
        ("spec.containers", Some(OWN)),
        ("spec", Some(&*format!(r#"{{"containers":{OWN},"dnsPolicy":"Default","os":null}}"#))),
    ] {
        assert_eq!(found(&pod, path).as_deref(), seen, "{path}");
    }
}

#[test]
fn what_held_only_what_an_earlier_call_added_was_not_there() {
    const INJECTED: &str = r#"{"labels": {"a": 1}, "nested": {"in": {"a": 1}}, "list": [{"a": 1}], "items": [{"a": 1}],
        "none": {}, "empty": []}"#;
    let mut pod = pod(INJECTED);
    at(&mut pod, "labels.a").by = By::Earlier(0);
    at(&mut pod, "nested.in.a").by = By::Earlier(0);
    pod.list("list")[0].by = By::Earlier(0);
    at(&mut pod.list("items")[0], "a").by = By::Earlier(0);
    assert!(at(&mut pod, "none").members().is_some() && at(&mut pod, "empty").items().is_some());

    assert_eq!(["labels", "nested", "nested.in", "list"].map(|path| found(&pod, path)), [const { None }; 4]);
    assert_eq!(found(&pod, "items").as_deref(), Some("[{}]"), "an item of a list was there, however empty");
    let whole = pod.find(&[]).expect("the pod is there");
    assert_eq!(whole, r#"{"items":[{}],"none":{},"empty":[]}"#, "what was empty before still is");
    assert_eq!(patch(&pod, INJECTED), [""; 0]);
}

#[test]
fn expressions_get_the_pods_own_text_where_nothing_was_changed() {
    let mut pod = pod(POD);
    let text = Some(r#"[{"name": "web", "future": 1.50}, {"name": "worker"}]"#);
    assert_eq!(found(&pod, "spec.containers").as_deref(), text);
    at(&mut containers(&mut pod)[0], "future");
    add(at(&mut pod, "spec"), "hostname", given(0, r#""x""#));
    assert_eq!(found(&pod, "spec.containers").as_deref(), text, "opened, but as it was");
    assert_eq!(found(&pod, "spec.dnsPolicy.of.nothing"), None);
}

#[test]
fn of_two_members_of_one_name_the_last_counts() {
    let mut pod = pod(r#"{"a": {"is": "first"}, "b": 1, "a": {"is": "last"}}"#);
    assert_eq!(found(&pod, "a.is").as_deref(), Some(r#""last""#));
    assert_eq!(value(at(&mut pod, "a.is")), "last");
    assert_eq!(found(&pod, "a.is").as_deref(), Some(r#""last""#), "opened, too");
}

#[test]
fn null_is_not_there() {
    const NULL: &str = r#"{"a": null, "b": [null]}"#;
    let mut own = pod(NULL);
    assert_eq!(found(&own, "a"), None);
    assert!(own.member("a").is_none() && own.list("a").is_empty());
    assert_eq!((found(&own, "a"), found(&own, "b").as_deref()), (None, Some("[null]")));
    own.items_or("a", By::Now(0)).expect("it is there now");
    assert_eq!(patch(&own, NULL), ["add /a"]);
    assert!(own.undo(By::Now(0)) && own.member("a").is_none());

    let mut replaced = pod("null");
    replaced.replace(given(0, "1"));
    *at(&mut own, "b") = replaced;
    assert_eq!(found(&own, "b"), None, "nor is it where something stands in its place");
}

#[test]
fn a_value_is_not_opened_by_looking_at_it() {
    let mut pod = pod(POD);
    assert!(
        pod.view().get("spec").expect("a spec").list("containers").next().expect("a container").get("name").is_some()
    );
    assert!(found(&pod, "spec.dnsPolicy").is_some() && pod.patch().is_empty() && !pod.view().is_touched());
    assert!(pod.undo(By::Now(0)) && matches!(pod.json, Json::Text(_)));
    at(&mut pod, "spec");
    for part in ["metadata", "spec"] {
        assert!(
            matches!(pod.child(part).expect("it is there").json, Json::Text(_)),
            "{part} stands in what was opened"
        );
    }
}
