//! A template tried on a pod that nobody made, so that what can never work is found when it is loaded.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::Pass;
use super::check::check;
use super::merge::{Failure, merge};
use super::pod::{Pod, Seen};
use super::room::Room;
use super::status::Record;
use crate::admission::Review;
use crate::catalog::{Catalog, Namespace};
use crate::template::expression::Expression;
use crate::template::fragment::{Fragment, Hole, Values, View, article_of};
use crate::template::{Parameters, Template};
use crate::validation::Wrong;

/// The pod that came out, and what is wrong with it.
pub(crate) struct Trial {
    pub(crate) wrong: Vec<Wrong>,
    /// `spec` of the pod with what the template gives; nothing if its expressions ask for more than a sample has.
    pub(crate) spec: Option<Value>,
}

/// Tries a template with these parameters.
pub(crate) fn trial(template: &Template, parameters: &Parameters) -> Trial {
    let pod = to_raw_value(&sample(template, parameters)).expect("a JSON value is JSON");
    let namespace = Namespace::from_object(&json!({"metadata": {"name": "sample", "labels": {}, "annotations": {}}}));
    let review = Review::of_pod("sample", &pod);
    let pod = review.request.object.0.as_ref().and_then(|opened| Pod::read(opened).ok());
    let pod = pod.expect("a sample is shaped like a pod");
    let containers = pod.containers().expect("a sample has containers with names");
    let catalog = Catalog::default();
    let pass = Pass::new(&catalog, &namespace, &pod, &containers, 0);
    let mut wrong = conditions(&pass, template, parameters);
    let Ok(prepared) = pass.render_parts(template, &Cow::Owned(parameters.clone()), Cow::Borrowed("")) else {
        return Trial { wrong, spec: None };
    };
    let mut draft = pod.draft(&containers);
    let room = Room::beside(&pass.status, 0);
    let merged = merge(&mut draft, &prepared.given(), &pass.status, &[], &mut Record::default(), room);
    let of_the_pod = |message| Wrong { place: String::new(), message };
    wrong.extend(match merged {
        Ok(_) => check(&mut draft, &HashSet::new()),
        Err(Failure::Conflicts(conflicts)) => conflicts.into_sentences().into_iter().map(of_the_pod).collect(),
        Err(Failure::TooLarge(message)) => vec![of_the_pod(message)],
    });
    Trial { wrong, spec: draft.value_of("spec") }
}

/// Conditions that give something else than true or false, or nothing whatever the pod.
fn conditions(pass: &Pass<'_>, template: &Template, parameters: &Parameters) -> Vec<Wrong> {
    let container = pass.containers.first();
    let of_app = template.app.iter().enumerate();
    let of_app = of_app.filter_map(|(at, entry)| Some((format!("app[{at}].when"), entry.when.as_ref()?, container)));
    let all = template.when.iter().map(|when| ("when".to_owned(), when, None)).chain(of_app);
    let wrong = |(place, when, container): (String, &Expression, _)| {
        let message = match when.evaluate(&Seen { container, ..pass.seen(parameters) }) {
            Ok(Value::Bool(_)) => return None,
            Ok(value) => format!("must give true or false, not {}", article_of(&value)),
            Err(failure) if when.reads_only_parameters() => format!("fails with defaults and examples: {failure}"),
            // What an expression makes of a real pod cannot be told from a sample.
            Err(_) => return None,
        };
        Some(Wrong { place, message })
    };
    all.filter_map(wrong).collect()
}

/// A pod that has a container for each entry of `app`, and the volumes that the template expects. It passes the
/// *restricted* level, so that whatever does not pass comes from the template.
fn sample(template: &Template, parameters: &Parameters) -> Value {
    let container = |name: &String| -> Value {
        json!({
            "name": name,
            "image": "example.com/app:1",
            "ports": [{"name": "http", "containerPort": 8080}],
            "securityContext": {
                "runAsNonRoot": true,
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        })
    };
    let sidecar = |name: &String| {
        let mut sidecar = container(name);
        sidecar["restartPolicy"] = "Always".into();
        sidecar
    };
    let (mut names, init_names) = template.sample_containers();
    if names.is_empty() {
        names.insert("app".into());
    }
    let containers: Vec<_> = names.iter().map(container).collect();
    let init_containers: Vec<_> = init_names.difference(&names).map(sidecar).collect();
    json!({
        "metadata": {"name": "sample", "namespace": "sample", "labels": {"app": "sample"}, "annotations": {}},
        "spec": {
            "containers": containers,
            "initContainers": init_containers,
            "volumes": expected_volumes(template, parameters),
        },
    })
}

/// The volumes that a template shares and does not bring.
fn expected_volumes(template: &Template, parameters: &Parameters) -> Vec<Value> {
    let value = |hole: &Hole| hole.fill(parameters, parameters).unwrap_or_else(|_| Fragment::nothing());
    let values: Vec<_> = template.pod.holes.iter().map(value).enumerate().collect();
    let list = |fragment: &Option<Fragment>, member: Option<&str>| -> Vec<Value> {
        let view = fragment.as_ref().map(|it| View::new(it, Values::all(&values)));
        let list = view.and_then(|view| member.map_or(Some(view), |member| view.get(member)));
        list.map(View::to_value).and_then(|list| list.as_array().cloned()).unwrap_or_default()
    };
    let brought = list(&template.pod.spec, Some("volumes"));
    let shares = list(&template.pod.shares, None);
    let expected = shares.iter().filter(|name| !brought.iter().any(|volume| volume["name"] == **name));
    expected.map(|name| json!({"name": name, "emptyDir": {}})).collect()
}
