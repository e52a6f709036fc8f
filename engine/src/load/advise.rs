//! What should be better about a template, and does not keep it from being used.

use super::fill::Source;
use super::levels::Judged;
use crate::expression::{Expression, Key, Root};
use crate::json::View;
use crate::rules::Violation;
use crate::rules::references::{late_references, lateness};
use crate::rules::report::{Place, Report};
use crate::rules::security::Level;
use crate::template::Template;
use crate::yaml::{Node, Position};

/// Names the keys that expressions read without asking whether they are there: a pod without them cannot get the template.
/// What a condition around them asks for is there.
pub(super) fn advise_keys(template: &Template, spec: &Node) -> Vec<Violation> {
    let entries = spec.get("app").map(Node::items).unwrap_or_default();
    let position =
        |node: Option<&Node>| node.and_then(|node| node.get("when")).map(|when| when.position).unwrap_or_default();
    let mut keys = Keys { template, around: Vec::new(), found: Vec::new() };
    if let Some(when) = &template.when {
        keys.advise(when, "spec.when", position(Some(spec)));
        keys.around.push(when);
    }
    for hole in &template.pod.holes {
        hole.expressions().for_each(|it| keys.advise(it, &format!("spec.pod.{}", hole.place()), hole.position));
    }
    for (at, entry) in template.app.iter().enumerate() {
        if let Some(when) = &entry.when {
            keys.advise(when, &format!("spec.app[{at}].when"), position(entries.get(at)));
            keys.around.push(when);
        }
        for hole in &entry.holes {
            hole.expressions().for_each(|it| keys.advise(it, hole.place(), hole.position));
        }
        if entry.when.is_some() {
            keys.around.pop();
        }
    }
    keys.found
}

struct Keys<'t> {
    template: &'t Template,
    /// The conditions that hold where an expression stands.
    around: Vec<&'t Expression>,
    found: Vec<Violation>,
}

impl Keys<'_> {
    fn advise(&mut self, expression: &Expression, place: &str, position: Position) {
        for key in expression.keys() {
            let is_selected = key.root == Root::NamespaceObject
                && matches!(&*key.path, [_, labels, label] if labels == "labels"
                    && self.template.namespace_selector.as_ref().is_some_and(|selector| selector.asks_for(label)));
            let is_asked = expression.asks_for(&key) || self.around.iter().any(|it| it.asks_for(&key));
            if !is_selected && !is_asked {
                self.found.push(Violation {
                    position,
                    place: place.to_owned(),
                    message: fails_without(&key),
                    rule: None,
                });
            }
        }
    }
}

fn fails_without(key: &Key) -> String {
    let written = key.to_string();
    let who =
        if key.root == Root::NamespaceObject { "in every namespace without it" } else { "for every pod without it" };
    let (ask, optional) = (key.asking(), key.optional());
    match (key.root, &*key.path) {
        (Root::Pod, [_, name]) if name == "name" => format!(
            "reads {written}, which the pods of workloads do not have yet: write {ask} && …, or {optional}.orValue(…)"
        ),
        _ => format!("reads {written} and fails {who}: write {ask} && …, or {optional}.orValue(…)"),
    }
}

/// Looks at a template that is filled in, of which it is known what the levels of Pod Security do not allow.
pub(super) fn advise(source: &Source, judged: &Judged) -> Vec<Violation> {
    let mut report = Report::default();
    let (pod, root) = (View::written(&source.pod), Place::root("spec.pod.spec"));
    for list in ["initContainers", "containers"] {
        let items = pod.get("spec").into_iter().flat_map(|spec| spec.list(list));
        for (at, container) in items.enumerate() {
            advise_container(&mut report, container, list, &root.member(list).index(at));
        }
    }
    let above = judged.breaches.iter().filter(|breach| breach.level == Level::Baseline).map(|breach| Violation {
        message: format!("{}, as the baseline Pod Security level asks", breach.violation.message),
        ..breach.violation.clone()
    });
    judged.newer.iter().cloned().chain(report.into_violations()).chain(above).collect()
}

fn advise_container(report: &mut Report, container: View<'_>, list: &str, place: &Place<'_>) {
    let is_sidecar = list == "initContainers" && container.text("restartPolicy") == "Always";
    let resources = container.get("resources");
    let amount = |kind: &str, name: &str| resources.and_then(|it| it.get(kind)?.get(name));
    let is_missing = |name: &&str| amount("requests", name).or(amount("limits", name)).is_none();
    let missing: Vec<_> = ["cpu", "memory"].into_iter().filter(is_missing).collect();
    if !missing.is_empty() && !resources.is_some_and(View::is_unknown) {
        // Of init containers that end the autoscaler asks nothing. Source: kubernetes pkg/controller/podautoscaler,
        // calculatePodRequestsFromContainers.
        let autoscaler = if is_sidecar || list == "containers" {
            format!(", and an HPA on the {} utilization of its pods fails", missing.join(" or "))
        } else {
            String::new()
        };
        let missing = missing.join(" and no ");
        report.add(place, container, format!("requests no {missing}, so the scheduler reserves none{autoscaler}"));
    }
    if let Some((value, image)) = container.get("image").and_then(|image| Some((image, image.string()?))) {
        let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
        if !image.contains('@') && tag.is_none_or(|tag| tag == "latest") {
            let message = "names no version, so what runs can change from pod to pod";
            report.add(&place.member("image"), value, message);
        }
    }
    advise_restarts(report, container, list, place);
    if let Some(signal) = container.get("lifecycle").and_then(|lifecycle| lifecycle.get("stopSignal")) {
        let message = "is for pods that say their os: others are refused, and API servers without the feature gate \
                       ContainerStopSignals drop it";
        report.add(&place.member("lifecycle").member("stopSignal"), signal, message);
    }
    for (at, variable, later) in late_references(container) {
        let message = lateness(&variable.text("name"), &later);
        report.add(&place.member("env").index(at), variable, message);
    }
    let has_probe = ["startupProbe", "readinessProbe"].into_iter().any(|probe| container.get(probe).is_some());
    if is_sidecar && !has_probe {
        let message =
            "has neither startupProbe nor readinessProbe, so what starts after it does not wait until it is ready";
        report.add(place, container, message);
    }
}

/// Restart policies that mean something else than they seem to, or that older API servers refuse.
fn advise_restarts(report: &mut Report, container: View<'_>, list: &str, place: &Place<'_>) {
    let Some(policy) = container.get("restartPolicy") else {
        if let Some(ports) = container.get("ports").filter(|_| list == "initContainers") {
            let message =
                "of an init container that must end before the app starts: a native sidecar says restartPolicy: Always";
            report.add(&place.member("ports"), ports, message);
        }
        return;
    };
    let message = match (list, policy.string().as_deref()) {
        ("containers", Some("Always")) => "makes no native sidecar of a regular container: move it to initContainers",
        ("containers", _) | (_, Some("Never" | "OnFailure")) => "is refused by API servers before Kubernetes 1.35",
        _ if container.get("restartPolicyRules").is_some() => {
            "of a native sidecar with restartPolicyRules is refused by API servers before Kubernetes 1.36"
        }
        _ => return,
    };
    report.add(&place.member("restartPolicy"), policy, message);
}

#[cfg(test)]
mod tests {
    use crate::load::read;

    /// The warnings of a template with this spec.
    fn warnings(spec: &str) -> Vec<String> {
        let head = "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: a}\nspec:\n";
        let text = spec.lines().fold(head.to_owned(), |text, line| format!("{text}  {line}\n"));
        let template = read(&text, "a.yaml").remove(0).unwrap_or_else(|refused| panic!("{:?}", refused.problems));
        template.warnings.iter().map(ToString::to_string).collect()
    }

    const GOOD: &str = r#"
pod:
  spec:
    initContainers:
      - name: a
        image: a:1
        restartPolicy: Always
        startupProbe: {tcpSocket: {port: 80}}
        resources: {requests: {cpu: 10m, memory: 16Mi}}
        securityContext:
          runAsNonRoot: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
"#;

    #[test]
    fn a_good_template_is_warned_of_nothing() {
        assert_eq!(warnings(GOOD), [""; 0]);
    }

    #[test]
    fn restart_policies_that_mislead_or_need_a_newer_kubernetes_are_said() {
        let restart = |list: &str, fields: &str| {
            let resources = "resources: {requests: {cpu: 10m, memory: 16Mi}}";
            let probe = if list == "containers" || fields.contains("Always") {
                "startupProbe: {tcpSocket: {port: 80}}"
            } else {
                "workingDir: /"
            };
            warnings(&format!("pod: {{spec: {{{list}: [{{name: a, image: 'a:1', {resources}, {probe}, {fields}}}]}}}}"))
        };
        let rules = "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]";
        for (list, fields, said) in [
            ("containers", "restartPolicy: Always", "makes no native sidecar of a regular container"),
            ("containers", "restartPolicy: Never", "is refused by API servers before Kubernetes 1.35"),
            ("initContainers", "restartPolicy: OnFailure", "is refused by API servers before Kubernetes 1.35"),
            (
                "initContainers",
                &format!("restartPolicy: Always, {rules}"),
                "is refused by API servers before Kubernetes 1.36",
            ),
        ] {
            let warnings = restart(list, fields);
            assert!(matches!(&*warnings, [warning] if warning.contains(said)), "{warnings:?}");
        }
        assert_eq!(restart("initContainers", "restartPolicy: Always"), [""; 0]);
    }

    #[test]
    fn what_should_be_better_is_said_with_its_place() {
        for (good, better, warning) in [
            (
                "{cpu: 10m, memory: 16Mi}",
                "{cpu: 10m}",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] requests no memory, so the scheduler reserves none, and an \
                 HPA on the memory utilization of its pods fails",
            ),
            // An init container that ends is nothing to an HPA.
            (
                "restartPolicy: Always\n        startupProbe: {tcpSocket: {port: 80}}\n        resources: {requests: \
                 {cpu: 10m, memory: 16Mi}}",
                "resources: {limits: {memory: 16Mi}}",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] requests no cpu, so the scheduler reserves none",
            ),
            (
                "a:1",
                "registry:5000/a",
                "a.yaml:10:18: spec.pod.spec.initContainers[0].image names no version, so what runs can change from pod to \
                 pod",
            ),
            (
                "startupProbe",
                "livenessProbe",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] has neither startupProbe nor readinessProbe, so what starts \
                 after it does not wait until it is ready",
            ),
            (
                "{drop: [ALL]}",
                "{drop: [ALL], add: [NET_ADMIN]}",
                "a.yaml:17:47: spec.pod.spec.initContainers[0].securityContext.capabilities.add[0] must be one of AUDIT_WRITE, \
                 CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, \
                 SETGID, SETPCAP, SETUID, SYS_CHROOT, not \"NET_ADMIN\", as the baseline Pod Security level asks",
            ),
        ] {
            assert_eq!(warnings(&GOOD.replace(good, better)), [warning]);
        }
    }

    #[test]
    fn a_key_that_is_read_without_asking_is_named_with_both_ways_to_ask() {
        let when = |when: &str| format!("when: \"{when}\"{GOOD}");
        let labels = "pod.metadata.labels.team";
        let warning = "a.yaml:5:9: spec.when reads pod.metadata.labels.team and fails for every pod without it: write \
                       has(pod.metadata.labels.team) && …, or pod.metadata.labels.?team.orValue(…)";
        assert_eq!(warnings(&when(&format!("{labels} == 'a'"))), [warning]);
        let annotation = "pod.metadata.annotations['a/b'] == 'c'";
        let warning = "a.yaml:5:9: spec.when reads pod.metadata.annotations['a/b'] and fails for every pod without it: write \
                       'a/b' in pod.metadata.annotations && …, or pod.metadata.annotations[?'a/b'].orValue(…)";
        assert_eq!(warnings(&when(annotation)), [warning]);
        let warning = "a.yaml:5:9: spec.when reads pod.metadata.name, which the pods of workloads do not have yet: write \
                       has(pod.metadata.name) && …, or pod.metadata.?name.orValue(…)";
        assert_eq!(warnings(&when("pod.metadata.name == 'a'")), [warning]);
        for asks in [
            format!("has({labels}) && {labels} == 'a'"),
            format!("'team' in pod.metadata.labels && {labels} == 'a'"),
            "pod.metadata.labels.?team.orValue('') == 'a'".into(),
            "pod.metadata.labels[?'team'] == optional.of('a')".into(),
        ] {
            assert_eq!(warnings(&when(&asks)), [""; 0], "{asks}");
        }
        let hole = GOOD.replace("a:1", &format!("\"a:${{{{ {labels} }}}}\""));
        assert_eq!(warnings(&hole).len(), 1, "{:?}", warnings(&hole));
        let guarded = format!("when: has({labels})\n{}", hole.trim());
        assert_eq!(warnings(&guarded), [""; 0]);
        let namespace = format!(
            "when: namespaceObject.metadata.labels.team == 'a'\nnamespaceSelector: {{matchLabels: {{team: a}}}}{GOOD}"
        );
        assert_eq!(warnings(&namespace), [""; 0]);
    }

    #[test]
    fn a_variable_that_refers_to_one_behind_it_is_named_with_it() {
        let env =
            "image: a:1\n        env: [{name: A, value: \"$(B) $(C) $(A) $$(D)\"}, {name: C}, {name: B}, {name: D}]";
        let warning =
            "a.yaml:11:17: spec.pod.spec.initContainers[0].env[0] refers to $(B), which is only defined after it";
        assert_eq!(warnings(&GOOD.replace("image: a:1", env)), [warning]);
    }

    #[test]
    fn what_is_wrong_only_with_some_optional_parameters_is_a_warning() {
        let spec = r#"
parameters:
  - {name: map, type: string, optional: true, example: m}
  - {name: secret, type: string, optional: true, example: s}
pod:
  spec:
    volumes:
      - name: conf
        configMap: "${{ params.map == null ? null : {'name': params.map} }}"
        secret: "${{ params.secret == null ? null : {'secretName': params.secret} }}"
"#;
        let warning = "a.yaml:12:11: spec.pod.spec.volumes[0] has configMap and secret, and only one of them may be there, \
                       for some values of the optional parameters";
        assert_eq!(warnings(spec), [warning]);
    }
}
