//! What a status says is believed of a pod whose namespace requires templates only as far as its templates bear it out:
//! whoever creates a pod can write one, and what passes for a template's is seen by no expression and gets nothing of `app`.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::{iter, mem};

use super::Injection;
use super::pod::{self, Activation, Container};
use super::render::{self, Rendered};
use super::select;
use super::status::{Status, tokens};
use crate::json::fragment::Shape;
use crate::json::{By, Fragment, Node, View};
use crate::names::{NO_TOKEN, SAFE_TO_EVICT, TOKEN_PATH};
use crate::schema::{Schema, Type};
use crate::template::Template;

impl Status<'_> {
    /// Forgets the records of templates that are not among these, and places that no template gives under its name.
    pub(super) fn keep_what_is_borne_out<'t>(&mut self, template: impl Fn(&str) -> Option<&'t Template>) {
        self.templates.retain_mut(|record| {
            let Some(template) = template(&record.name) else { return false };
            let replaced = record.replaced.iter().map(|(place, _)| place);
            let claims: Vec<_> = record.added.iter().chain(replaced).map(|place| Claim::new(place)).collect();
            judge(template, &claims.iter().collect::<Vec<_>>());
            let mut holds = claims.iter().map(|claim| claim.holds.get());
            let mut is_kept = || holds.next().unwrap_or_default();
            record.added.retain(|_| is_kept());
            record.replaced.retain(|_| is_kept());
            true
        });
    }
}

/// A place that a template is said to have brought.
struct Claim {
    tokens: Vec<String>,
    holds: Cell<bool>,
}

impl Claim {
    fn new(place: &str) -> Claim {
        Claim { tokens: tokens(place), holds: Cell::new(false) }
    }
}

/// Notes which places a template gives.
fn judge(template: &Template, claims: &[&Claim]) {
    let (pod, whole) = (&template.pod, &Schema::get().pod);
    for (name, part) in [("metadata", &pod.metadata), ("spec", &pod.spec)] {
        let below: Vec<_> =
            claims.iter().copied().filter(|it| it.tokens.first().is_some_and(|it| it == name)).collect();
        if let (Some(part), Some(kind)) = (part, whole.child(name)) {
            judge_part(part, kind, 1, &below);
        }
    }
    let mut of_containers: HashMap<(&'static str, &str), Vec<&Claim>> = HashMap::new();
    for claim in claims {
        let tokens: Vec<_> = claim.tokens.iter().map(String::as_str).collect();
        let list = pod::LISTS.into_iter().find(|list| tokens.get(1) == Some(list));
        match (tokens.as_slice(), list) {
            (["spec", "volumes", NO_TOKEN], _) => claim.holds.set(template.withholds_token),
            (["metadata", "annotations", SAFE_TO_EVICT], _) => claim.holds.set(pod.safe_to_evict.is_some()),
            // Beside its own containers, what is recorded is the mount of the token.
            (["spec", _, name, "volumeMounts", TOKEN_PATH], Some(list)) if pod.called(list, name).next().is_some() => {
                claim.holds.set(true);
            }
            (["spec", _, name, _, ..], Some(list)) => of_containers.entry((list, name)).or_default().push(claim),
            _ => {}
        }
    }
    let container = whole.child("spec").and_then(|spec| spec.child("containers")?.child(""));
    for (entry, kind) in template.app.iter().zip(iter::repeat(container).flatten()) {
        let named = of_containers.iter().filter(|((list, name), _)| entry.names(list, name));
        let claims: Vec<_> = named.flat_map(|(_, claims)| claims).copied().collect();
        judge_part(&entry.container, kind, 3, &claims);
    }
}

/// Notes which places, so many steps from the pod, a part of a template gives. Each list and object on the way is gone
/// through once.
fn judge_part(part: &Fragment, kind: &Type, depth: usize, claims: &[&Claim]) {
    let mut below: HashMap<&str, Vec<&Claim>> = HashMap::new();
    for claim in claims {
        match claim.tokens.get(depth) {
            // What is in a hole nobody knows.
            Some(_) if matches!(part.shape, Shape::Hole(_)) => claim.holds.set(true),
            Some(token) => below.entry(token).or_default().push(claim),
            None => claim.holds.set(true),
        }
    }
    let go_on = |token: &str, part: &Fragment, claims: &[&Claim]| match kind.child(token) {
        Some(kind) => judge_part(part, kind, depth + 1, claims),
        None => claims.iter().for_each(|claim| claim.holds.set(true)),
    };
    if let Type::List { keys, .. } = kind {
        for item in part.items() {
            match fixed_key(item, keys) {
                Some(key) => below.get(&*key).into_iter().for_each(|claims| go_on(&key, item, claims)),
                // It may be each of them.
                None => {
                    let open: Vec<_> = below.values().flatten().copied().filter(|claim| !claim.holds.get()).collect();
                    go_on("", item, &open);
                }
            }
        }
    } else {
        for (name, part) in part.members() {
            below.get(&**name).into_iter().for_each(|claims| go_on(name, part, claims));
        }
    }
}

/// What tells an item of a list from others, unless it varies.
fn fixed_key<'p>(item: &'p Fragment, keys: &[String]) -> Option<Cow<'p, str>> {
    let is_fixed = |key: &String| item.get(key).is_none_or(|part| part.is_fixed);
    let is_known = item.is_fixed || !keys.is_empty() && keys.iter().all(is_fixed);
    is_known.then(|| View::fragment(item).key(keys))
}

impl<'a> Injection<'a> {
    /// Passes containers to the pod that a status calls a template's and that run something else.
    pub(super) fn mark_impostors(&mut self, tree: &mut Node<'a>) {
        // It is as if this was never evaluated.
        let budget = mem::take(&mut self.budget);
        let impostors: Vec<_> = self.context.names.iter().flat_map(|name| self.impostors(name, tree)).collect();
        self.budget = budget;
        let Some(spec) = tree.member("spec") else { return };
        for (list, name) in impostors {
            spec.list(list).iter_mut().filter(|item| item.is_named(&name)).for_each(|item| item.by = By::Pod);
        }
    }

    /// The list and name of each container that only a status calls this template's.
    fn impostors(&self, name: &str, tree: &Node<'a>) -> Vec<(&'static str, Cow<'a, str>)> {
        let is_claimed = |it: &Container<'_, '_>| {
            matches!(it.node.by, By::Earlier(_)) && self.context.name(it.node.by) == Some(name)
        };
        let claimed: Vec<_> = pod::containers(tree).filter(is_claimed).collect();
        let rendered = if claimed.is_empty() { None } else { self.render_for_all(name, tree) };
        let given = rendered.as_ref().and_then(|rendered| Some((rendered.template, rendered.spec(By::Pod)?)));
        let is_brought = |it: &Container<'_, '_>| {
            given.as_ref().is_some_and(|(template, given)| {
                let mut given = given.view().list(it.list).filter(|given| given.text("name") == it.name);
                given.any(|given| self.context.other_program(template, it.list, it.node.view(), given).is_none())
            })
        };
        claimed.into_iter().filter(|it| !is_brought(it)).map(|it| (it.list, it.name)).collect()
    }

    /// What a template gives a pod, without what it has for the pod's own containers.
    fn render_for_all(&self, name: &str, tree: &Node<'a>) -> Option<Rendered<'a>> {
        let template = self.catalog.template(name, &self.namespace.name)?;
        let parameters = select::parameters(template, self.pod, self.namespace).ok()?;
        let activation = Activation {
            pod: tree,
            namespace: self.namespace,
            parameters: &parameters,
            container: None,
            budget: &self.budget,
        };
        render::render(template, &parameters, Cow::default(), false, &[], None, &activation).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::Review;
    use crate::catalog::{Catalog, Namespace};
    use crate::load::read;
    use crate::names::OnError;

    const TEMPLATE: &str = r#"
apiVersion: pillion.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: a}
spec:
  serviceAccountToken: false
  safeToEvictVolumes: [v]
  parameters: [{name: x, type: string, default: x}]
  pod:
    metadata: {labels: {l: x}, annotations: {a/b: x}}
    spec:
      hostname: web
      terminationGracePeriodSeconds: 60
      dnsPolicy: Default
      tolerations: [{key: a, operator: Exists}, {key: "${{ params.x }}"}]
      hostAliases: [{ip: 1.1.1.1, hostnames: [a]}]
      imagePullSecrets: [{name: s}]
      nodeSelector: "${{ {'disk': params.x} }}"
      securityContext: {sysctls: [{name: a.b, value: "1"}], supplementalGroups: [5], seLinuxOptions: {level: x}}
      initContainers: [{name: side, image: "s:1", restartPolicy: Always}]
      containers: [{name: "${{ params.x }}", image: "s:1"}]
      volumes: [{name: v, emptyDir: {}}]
  app:
    - containers: ["w*"]
      ports: [{containerPort: 80}]
      env: [{name: A, value: x}, {name: "${{ params.x + 'y' }}", value: x}]
      envFrom: [{configMapRef: {name: c}}, {prefix: P_, secretRef: {name: c}}]
      resources: {limits: {cpu: 3}, requests: {cpu: "${{ params.x == '' ? '1' : '2' }}"}}
      lifecycle: {preStop: {sleep: {seconds: 1}}}
      volumeMounts: [{name: v, mountPath: /v}]
      readinessProbe: {tcpSocket: {port: 80}}
"#;

    /// What is left of this of what a status says of the template.
    fn kept(added: &[&str], replaced: &[(&str, Value)]) -> Vec<String> {
        let template = read(TEMPLATE, "a.yaml").remove(0).expect("it is right");
        let status = json!({"templates": [{"name": "a", "added": added, "replaced": replaced}]});
        let mut status = Status::parse(Some(&status.to_string()), None);
        status.keep_what_is_borne_out(|name| (name == "a").then_some(&template));
        let record = status.templates.remove(0);
        record.added.into_iter().chain(record.replaced.into_iter().map(|(place, _)| place)).collect()
    }

    #[test]
    fn all_that_a_template_brought_is_borne_out() {
        let mut catalog = Catalog::new(OnError::Deny);
        catalog.insert(read(TEMPLATE, "a.yaml").remove(0).expect("it is right").into());
        let pod = json!({
            "metadata": {"name": "web", "annotations": {"pillion.dev/templates": "a"}},
            "spec": {
                "containers": [{"name": "web", "image": "web:1", "resources": {"requests": {}}}],
                "securityContext": {"seLinuxOptions": {}}, "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
            },
        });
        let pod = to_raw_value(&pod).expect("JSON");
        let decision = crate::review(&catalog, &Namespace::named("shop"), &Review::of_pod("shop", &pod));
        let patch: Vec<Value> = serde_json::from_str(&decision.patch.json).expect("a patch");
        let status =
            patch.iter().find(|it| it["path"] == "/metadata/annotations/pillion.dev~1status").expect("a status");
        let status: Value = serde_json::from_str(status["value"].as_str().expect("a text")).expect("JSON");
        let record = &status["templates"][0];
        let added: Vec<&str> = record["added"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let replaced = record["replaced"].as_array().into_iter().flatten();
        let replaced: Vec<_> = replaced.map(|it| (it[0].as_str().expect("a place"), it[1].clone())).collect();
        assert!(added.len() > 25 && replaced.len() == 2, "{record}");
        let all: Vec<_> = added.iter().copied().chain(replaced.iter().map(|(place, _)| *place)).collect();
        assert_eq!(kept(&added, &replaced), all);
    }

    #[test]
    fn nothing_else_is() {
        let places = [
            "/metadata/labels/other",
            "/metadata/annotations/a",
            "/spec/hostNetwork",
            "/spec/hostAliases/1.1.1.2",
            "/spec/imagePullSecrets/t",
            "/spec/securityContext/runAsUser",
            "/spec/securityContext/sysctls/b.c",
            "/spec/initContainers/other",
            "/spec/initContainers/side/env/A",
            "/spec/volumes/w",
            "/spec/containers/web/ports/81~1TCP",
            "/spec/containers/web/envFrom/secretRef~1c",
            "/spec/containers/web/lifecycle/postStart",
            "/spec/containers/web/livenessProbe",
            "/spec/containers/app/ports/80~1TCP",
        ];
        assert_eq!(kept(&places, &[("/spec/schedulerName", "x".into())]), [""; 0]);
    }
}
