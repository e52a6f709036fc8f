//! Text as an expression; what is accepted is evaluated for a pod, as a hole and as a condition.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(
    // The engine catches what the expression crate panics about; the hook of libFuzzer would end the process before.
    init: drop(std::panic::take_hook()),
    |source: &str| {
        let variable = json!({"name": "RESULT", "value": format!("${{{{ {source} }}}}")});
        let hole = template("hole", json!({"app": [{"containers": ["*"], "env": [variable]}]}));
        let condition = template("condition", json!({"when": source, "pod": {"metadata": {"labels": {"a": "b"}}}}));
        let templates = [hole, condition].map(|template| pillion_fuzz::accepted(&template.to_string()));
        let catalog = pillion_fuzz::catalog(templates.into_iter().flatten());
        if !catalog.is_empty() {
            pillion_fuzz::decide(&catalog, &pillion_fuzz::pod(&[("pillion.dev/templates", "hole,condition")]));
        }
    }
);

fn template(name: &str, mut spec: Value) -> Value {
    spec["parameters"] = json!([
        {"name": "text", "type": "string", "default": "a,b,ü"},
        {"name": "number", "type": "integer", "default": 7},
        {"name": "list", "type": "list", "default": ["a", "b", "c"]},
        {"name": "object", "type": "object", "default": {"a": 1, "b": {"c": true}}},
        {"name": "amount", "type": "quantity", "default": "64Mi"},
        {"name": "absent", "type": "string", "optional": true},
    ]);
    json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": name},
        "spec": spec,
    })
}
