//! What should be better about a template, and does not keep it from being used.

use std::collections::BTreeSet;

use super::fill::Source;
use crate::json::View;
use crate::rules::Violation;
use crate::rules::report::{Place, Report};
use crate::rules::security::BASELINE_LEVEL;
use crate::rules::walk::Walk;
use crate::schema::Schema;

/// Looks at a template that is filled in, of which it is known what is wrong.
pub(super) fn advise(source: &Source, wrong: &BTreeSet<Violation>) -> Vec<Violation> {
    let mut report = Report::default();
    let (pod, root) = (View::written(&source.pod), Place::root("spec.pod.spec"));
    for list in ["initContainers", "containers"] {
        let items = pod.get("spec").into_iter().flat_map(|spec| spec.list(list));
        for (at, container) in items.enumerate() {
            advise_container(&mut report, container, &root.member(list).index(at));
        }
    }
    let mut above = Report::default();
    let mut walk = Walk::new(&BASELINE_LEVEL, &mut above);
    walk.partial_pod(pod, &Place::root("spec.pod"));
    for (at, entry) in &source.app {
        walk.fields(View::written(entry), Schema::get().container, &Place::root("spec.app").index(*at));
    }
    // The same walk tells of types once more.
    let above = above.into_violations().into_iter().filter(|violation| !wrong.contains(violation));
    let above = above.map(|violation| Violation {
        message: format!("{}, as the baseline Pod Security level asks", violation.message),
        ..violation
    });
    report.into_violations().into_iter().chain(above).collect()
}

fn advise_container(report: &mut Report, container: View<'_>, place: &Place<'_>) {
    let resources = container.get("resources");
    let amount = |kind: &str, name: &str| resources.and_then(|it| it.get(kind)?.get(name));
    let is_missing = |name: &&str| amount("requests", name).or(amount("limits", name)).is_none();
    let missing: Vec<_> = ["cpu", "memory"].into_iter().filter(is_missing).collect();
    if !missing.is_empty() && !resources.is_some_and(View::is_unknown) {
        let missing = missing.join(" and no ");
        let message = format!("requests no {missing}, so autoscalers and the scheduler cannot reckon with it");
        report.add(place, container, message);
    }
    if let Some((value, image)) = container.get("image").and_then(|image| Some((image, image.string()?))) {
        let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
        if !image.contains('@') && tag.is_none_or(|tag| tag == "latest") {
            let message = "names no version, so what runs can change from pod to pod";
            report.add(&place.member("image"), value, message);
        }
    }
    let has_probe = ["startupProbe", "readinessProbe"].into_iter().any(|probe| container.get(probe).is_some());
    if container.text("restartPolicy") == "Always" && !has_probe {
        let message =
            "has neither startupProbe nor readinessProbe, so what starts after it does not wait until it is ready";
        report.add(place, container, message);
    }
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
    fn what_should_be_better_is_said_with_its_place() {
        for (good, better, warning) in [
            (
                "{cpu: 10m, memory: 16Mi}",
                "{cpu: 10m}",
                "a.yaml:9:11: spec.pod.spec.initContainers[0] requests no memory, so autoscalers and the scheduler cannot \
                 reckon with it",
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
                "a.yaml:17:47: spec.pod.spec.initContainers[0].securityContext.capabilities.add[0] is \"NET_ADMIN\", and must \
                 be one of AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, \
                 SETGID, SETPCAP, SETUID, SYS_CHROOT, as the baseline Pod Security level asks",
            ),
        ] {
            assert_eq!(warnings(&GOOD.replace(good, better)), [warning]);
        }
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
