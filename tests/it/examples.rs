//! Every example of `examples/`, with what it needs, on a real API server: its pod is taken, and gets all that it asks for.

use serde_json::Value;

use crate::harness::controlplane::ControlPlane;
use crate::harness::cookbook::{self, Example, examples};
use crate::harness::namespace::{Calls, Namespace, Webhook};
use crate::harness::pillion::Setup;

impl Example {
    /// Whether the *restricted* Pod Security level is out of reach, by what the templates say of themselves.
    fn is_unrestricted(&self) -> bool {
        self.templates().iter().any(|template| {
            let description = &cookbook::recipe(template).spec["description"];
            description.as_str().is_some_and(|text| text.contains("Not restricted:"))
        })
    }
}

/// Creates something that is no pod.
#[track_caller]
fn create(here: &Namespace, object: &Value) {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let (version, kind) = version.zip(kind).expect("an object has apiVersion and kind");
    let resource = format!("{}s", kind.to_lowercase());
    let created = if kind.starts_with("Cluster") {
        let cluster = ControlPlane::shared().expect("the namespace is in it");
        cluster.api.create(&format!("/apis/{version}/{resource}"), object)
    } else {
        here.create(version, &resource, object)
    };
    // Some examples need the same thing.
    assert!([201, 409].contains(&created.status), "{kind}: {}", created.text());
}

#[test]
fn every_template_has_an_example() {
    let examples = examples();
    let lacks =
        |name: &str| !examples.iter().any(|example| example.name == name && example.templates().contains(&name));
    let without: Vec<_> = cookbook::recipes().iter().map(|recipe| &*recipe.name).filter(|name| lacks(name)).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn every_example_is_taken_and_gets_all_that_it_asks_for() {
    let pillion = Setup::new().whole_cookbook().start();
    // The level only warns here, so that each pod is seen whether it passes or not.
    let labels = [("pillion.dev/inject", "enabled"), ("pod-security.kubernetes.io/warn", "restricted")];
    let Some(here) = Namespace::new("examples", &labels) else { return };
    examples().iter().flat_map(|example| &example.needs).for_each(|object| create(&here, object));
    let (url, authority) = (pillion.url(), pillion.authority.pem());
    here.call(&[Webhook { name: "pillion", url: &url, authority: &authority, failure_policy: "Fail" }]);

    let mut wrong = Vec::new();
    for example in examples() {
        let name = &example.name;
        let answer = here.create("v1", "pods?dryRun=All", &example.pod);
        if answer.status != 201 {
            wrong.push(format!("{name}: {}", answer.text()));
            continue;
        }
        let outcome = answer.json()["metadata"]["annotations"]["pillion.dev/outcome"].take();
        let wanted: Vec<_> = example.templates().iter().map(|template| format!("{template}=injected")).collect();
        if outcome != wanted.join(",") {
            wrong.push(format!("{name}: {outcome}"));
        }
        let (levels, others): (Vec<_>, Vec<_>) =
            answer.warnings().into_iter().partition(|warning| warning.contains("would violate PodSecurity"));
        if levels.is_empty() == example.is_unrestricted() {
            let says = if example.is_unrestricted() { "says it does not" } else { "says it does" };
            wrong.push(format!(
                "{name}: whether it passes restricted: a template {says}, but the warnings are {levels:?}"
            ));
        }
        if !others.is_empty() {
            wrong.push(format!("{name}: {others:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let Calls { denied, failed, failed_open, .. } = here.calls("pillion");
    assert_eq!((denied, failed, failed_open), (0.0, 0.0, 0.0));
}
