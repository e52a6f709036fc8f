//! The rights of the chart's ServiceAccount: with all of them everything works, and without any one of them something
//! does not.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread::scope;
use std::time::{Duration, Instant};

use super::*;
use crate::harness::http::Answer;

/// A verb that a rule of a role allows on a resource.
#[derive(Debug, PartialEq)]
struct Right {
    /// Where the API server has the role.
    role: &'static str,
    rule: usize,
    group: String,
    resource: String,
    verb: String,
}

/// Every right that the chart renders for its ServiceAccount.
fn rights(installed: &Installed<'_>) -> Vec<Right> {
    let mut rights = Vec::new();
    for role in installed.manifests.iter().filter(|object| object["metadata"]["name"] == "pillion") {
        let path = match role["kind"].as_str() {
            Some("ClusterRole") => CLUSTER_ROLE,
            Some("Role") => ROLE,
            _ => continue,
        };
        for (rule, allowed) in role["rules"].as_array().expect("a role has rules").iter().enumerate() {
            for resource in texts(&allowed["resources"]) {
                for verb in texts(&allowed["verbs"]) {
                    let group = allowed["apiGroups"][0].as_str().expect("a group is text").to_owned();
                    let (role, resource, verb) = (path, resource.to_owned(), verb.to_owned());
                    rights.push(Right { role, rule, group, resource, verb });
                }
            }
        }
    }
    rights
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[test]
fn each_right_of_the_chart_is_needed_and_all_together_are_enough() {
    let Some(cluster) = Cluster::own() else { return };
    let queue = {
        let installed = Install::on(&cluster).values(one_replica()).apply();
        let mut queue: VecDeque<_> = rights(&installed).into_iter().map(Some).collect();
        assert!(queue.len() > 15, "{queue:?}");
        queue.push_front(None);
        Mutex::new(queue)
    };
    let superfluous = Mutex::new(Vec::new());
    let work = |cluster: &Cluster| {
        let installed = Install::on(cluster).values(one_replica()).apply();
        let next = || queue.lock().expect("nobody panics in between").pop_front();
        for number in 0.. {
            let Some(without) = next() else { return };
            let round = Round::begin(&installed, without.as_ref(), number);
            match (round.run(), &without) {
                (Ok(()), Some(right)) => {
                    superfluous.lock().expect("nobody panics in between").push(format!("{right:?}"));
                }
                (Err(what), Some(right)) => assert!(round.was_refused(), "{right:?} was never asked for, but {what}"),
                (Err(what), None) => panic!("with all rights: {what}"),
                (Ok(()), None) => {}
            }
        }
    };
    scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| work(&Cluster::own().expect("there was one before")));
        }
        work(&cluster);
    });
    let superfluous = superfluous.into_inner().expect("nobody panics in between");
    assert!(superfluous.is_empty(), "all works without {superfluous:#?}");
}

fn one_replica() -> Value {
    json!({"replicaCount": 1, "config": {"drainSeconds": 0}})
}

/// All of Pillion's work, from the first start on, with one right less.
struct Round<'a> {
    installed: &'a Installed<'a>,
    without: Option<&'a Right>,
    /// For names that were never there before.
    number: usize,
    begun: usize,
}

const WEBHOOKS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

impl<'a> Round<'a> {
    /// As just installed.
    fn begin(installed: &'a Installed<'a>, without: Option<&'a Right>, number: usize) -> Round<'a> {
        installed.slow_down(Duration::ZERO);
        let api = &installed.cluster.api;
        for replica in installed.replicas() {
            installed.kill(&replica);
        }
        for path in ["/api/v1/namespaces/pillion/secrets/pillion-certs", LEASE] {
            let deleted = api.delete(path);
            assert!([200, 404].contains(&deleted.status), "{}", deleted.text());
        }
        for kind in WEBHOOKS {
            let collection = format!("/apis/admissionregistration.k8s.io/v1/{}s", kind.to_lowercase());
            assert_eq!(api.delete(&format!("{collection}/pillion")).status, 200);
            assert_eq!(api.create(&collection, installed.manifest(kind)).status, 201);
        }
        let round = Round { installed, without, number, begun: installed.cluster.audit_length() };
        round.grant();
        round
    }

    /// Gives the roles what the chart says, but for the one right, and waits until that holds.
    fn grant(&self) {
        let api = &self.installed.cluster.api;
        for (kind, path) in [("ClusterRole", CLUSTER_ROLE), ("Role", ROLE)] {
            let mut rules = self.installed.manifest(kind)["rules"].as_array().expect("rules").clone();
            if let Some(right) = self.without.filter(|right| right.role == path) {
                let rest = rules[right.rule].clone();
                let mut reduced = rest.clone();
                reduced["resources"] = json!([right.resource]);
                reduced["verbs"].as_array_mut().expect("verbs").retain(|verb| *verb != right.verb);
                rules[right.rule]["resources"].as_array_mut().expect("a list").retain(|it| *it != right.resource);
                rules.push(reduced);
                rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));
            }
            let changed = api.merge(path, &json!({"rules": rules}));
            assert_eq!(changed.status, 200, "{}", changed.text());
        }
        for right in rights(self.installed) {
            let is_out = self.without == Some(&right);
            let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
            let name = match resource {
                "secrets" => "pillion-certs",
                _ => "pillion",
            };
            let names_one = right.verb != "create";
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": USER, "groups": ["system:serviceaccounts"], "resourceAttributes": {
                    "namespace": if right.role == ROLE { "pillion" } else { "" },
                    "group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb,
                    "name": if names_one { name } else { "" }
                }}
            });
            eventually(&format!("the API server to apply the roles, {right:?}"), || {
                let answer = api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).json();
                (answer["status"]["allowed"] == !is_out).then_some(())
            });
        }
    }

    /// All is well, or this does not work.
    fn run(&self) -> Result<(), String> {
        let Installed { cluster, .. } = self.installed;
        let replica = self.installed.begin();
        self.holds("a replica is ready", || replica.is_ready())?;

        let shop = format!("round-{}", self.number);
        let [required, wide, narrow] = ["required", "wide", "narrow"].map(|which| format!("{shop}-{which}"));
        create(cluster, &cluster_wide(&required, "1"));
        let before = cluster.namespace(&format!("{shop}-before"), &OPTED_IN);
        self.holds("pods are sent to it", || sidecars(&before, &required).is_some_and(|sidecars| sidecars.len() == 1))?;

        let interruptions = || replica.metric("pillion_watch_failures_total", &[]);
        let before_all = interruptions();
        // From far away, what was just created is never known in time.
        self.installed.slow_down(Duration::from_millis(500));
        create(
            cluster,
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": shop,
                "labels": {"pillion.dev/inject": "enabled"},
                "annotations": {"pillion.dev/required-templates": required}
            }}),
        );
        let here = Namespace::of(&cluster.api, &shop);
        create(
            cluster,
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": shop}}),
        );
        at_once("a new namespace is asked for", sidecars(&here, "").is_some_and(|sidecars| sidecars.len() == 1))?;
        let templates = [(&wide, cluster_wide(&wide, "1")), (&narrow, namespaced(&shop, &narrow, "1"))];
        for (name, template) in &templates {
            create(cluster, template);
            let of_two = sidecars(&here, name).is_some_and(|sidecars| sidecars.len() == 2);
            at_once("a new template is asked for", of_two)?;
        }
        self.installed.slow_down(Duration::ZERO);

        for (name, template) in &templates {
            self.holds("a broken template is refused", || {
                let broken = broken(template.clone()).to_string();
                let refused = cluster.kubectl(&["apply", "-f", "-", "--dry-run=server"], &broken);
                refused.code == 1 && refused.stderr.contains("startupProb")
            })?;
            self.holds("a template says that it is accepted", || status(cluster, template) == "Accepted")?;
            let image = json!([{"op": "replace", "path": IMAGE, "value": "registry.example.com/changed:2"}]);
            assert_eq!(cluster.api.patch(&path(template), &image).status, 200);
            self.holds("a template's change is heeded", || {
                sidecars(&here, name).is_some_and(|sidecars| sidecars.iter().any(|image| image.contains("changed")))
            })?;
        }
        let nothing = json!({"metadata": {"annotations": {"pillion.dev/required-templates": null}}});
        assert_eq!(cluster.api.merge(&format!("/api/v1/namespaces/{shop}"), &nothing).status, 200);
        self.holds("a namespace's change is heeded", || {
            sidecars(&here, "").is_some_and(|sidecars| sidecars.is_empty())
        })?;

        self.events(&here)?;
        self.healing()?;
        at_once("the watches stay", interruptions() == before_all)?;

        self.installed.stop(&replica);
        let next = self.installed.begin();
        self.holds("another replica takes over", || next.is_ready() && next.leads())
    }

    /// A warning is told to the pod's owner.
    fn events(&self, here: &Namespace) -> Result<(), String> {
        let owner = here.owner("web");
        let mut warned = pod("warned", "");
        warned["metadata"]["annotations"]["pillion.dev/templats"] = json!("x");
        warned["metadata"]["ownerReferences"] = json!([owner]);
        here.create_pod(&warned);
        self.holds("the owner of a pod is told of a warning", || {
            let events = here.get("events.k8s.io/v1", "events").json();
            let mut events = events["items"].as_array().into_iter().flatten();
            events.any(|event| event["regarding"]["uid"] == owner["uid"] && event["type"] == "Warning")
        })
    }

    /// What was made is made again.
    fn healing(&self) -> Result<(), String> {
        let api = &self.installed.cluster.api;
        let path = "/api/v1/namespaces/pillion/secrets/pillion-certs";
        let is_whole = || {
            let secret = api.get(path);
            let data = if secret.status == 200 { secret.json()["data"].take() } else { Value::Null };
            let values: Vec<_> = data.as_object().into_iter().flatten().collect();
            !values.is_empty() && values.iter().all(|(_, value)| value.as_str().is_some_and(|text| text.len() > 40))
        };
        let secret = api.get(path).json();
        let data = secret["data"].as_object().expect("a Secret has data").keys();
        let nonsense: Value = data.map(|key| (key.clone(), json!("bm9uc2Vuc2U="))).collect();
        assert_eq!(api.merge(path, &json!({"data": nonsense})).status, 200);
        self.holds("a corrupted Secret is healed", is_whole)?;
        assert_eq!(api.delete(path).status, 200);
        self.holds("a deleted Secret is made again", is_whole)?;

        for kind in WEBHOOKS {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{}s/pillion", kind.to_lowercase());
            let bundle = |answer: &Answer| answer.json()["webhooks"][0]["clientConfig"]["caBundle"].is_string();
            let reset = api.merge(&path, &json!({"webhooks": self.installed.manifest(kind)["webhooks"]}));
            assert!(reset.status == 200 && !bundle(&reset), "{}", reset.text());
            self.holds("a reset caBundle is published again", || bundle(&api.get(&path)))?;
        }
        Ok(())
    }

    /// Waits for something that must come true; not for long once the API server has refused what was taken away.
    fn holds(&self, what: &str, mut probe: impl FnMut() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        let mut refused: Option<Instant> = None;
        loop {
            if probe() {
                return Ok(());
            }
            if refused.is_none() && self.was_refused() {
                refused = Some(Instant::now());
            }
            let patience = Duration::from_secs(if self.without.is_some() { 25 } else { 60 });
            let in_vain = refused.is_some_and(|since| since.elapsed() > Duration::from_secs(6));
            if in_vain || begun.elapsed() > patience {
                let logs = self.installed.replicas().iter().flat_map(|it| it.log()).collect::<Vec<_>>().join("\n");
                return Err(format!("this does not hold: {what}, after {:?}\n{logs}", begun.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether the API server has said no, in this round, to what needs the right.
    fn was_refused(&self) -> bool {
        let Some(right) = self.without else { return false };
        self.installed.cluster.audit_from(self.begun).iter().any(|event| {
            let object = &event["objectRef"];
            let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
            event["user"]["username"] == USER
                && event["responseStatus"]["code"] == 403
                && object["resource"] == resource
                && object["subresource"].as_str().unwrap_or_default() == subresource
        })
    }
}

fn at_once(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("this does not hold: {what}")) }
}

const IMAGE: &str = "/spec/pod/spec/initContainers/0/image";
const USER: &str = "system:serviceaccount:pillion:pillion";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/pillion/roles/pillion";

/// Creates something at once, with no time lost in a process of kubectl's.
fn create(cluster: &Cluster, object: &Value) {
    let namespace =
        object["metadata"]["namespace"].as_str().map_or(String::new(), |name| format!("namespaces/{name}/"));
    let path = match object["kind"].as_str() {
        Some("Namespace") => "/api/v1/namespaces".to_owned(),
        Some("ServiceAccount") => format!("/api/v1/{namespace}serviceaccounts"),
        kind => format!("/apis/pillion.dev/v1alpha1/{namespace}{}s", kind.expect("a kind").to_lowercase()),
    };
    let created = cluster.api.create(&path, object);
    // The controller manager may have been faster with an account.
    assert!([201, 409].contains(&created.status), "{}", created.text());
}

/// The reason of a template's condition, once it has one.
fn status(cluster: &Cluster, template: &Value) -> String {
    let stored = cluster.api.get(&path(template)).json();
    stored["status"]["conditions"][0]["reason"].as_str().unwrap_or_default().to_owned()
}
