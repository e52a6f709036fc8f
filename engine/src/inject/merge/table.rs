//! The rules by which a pod and a template become one, in words: `docs/merge.md` shows them, and so does [`Selection::explain`](crate::Selection::explain).

use crate::decision::MergeRule;
use crate::names;
use crate::rules::across;

macro_rules! rules {
    ($($name:ident $part:literal $same:literal $then:literal;)*) => {
        $(static $name: MergeRule = MergeRule { part: $part, same: $same, then: $then };)*

        /// Every rule.
        pub static MERGE_RULES: &[&MergeRule] = &[$(&$name),*];
    };
}

rules! {
    CONTAINERS "`containers`, `initContainers`"
        "same name, in any list of containers"
        "In the same list, of the pod itself and holding all that the template would give, it counts as there (a probe may be missing: `kubectl debug` takes them out of its copies); otherwise conflict";
    VOLUMES "`volumes`"
        "same name"
        "Used when the template lists it in `shares`, with a warning if it is of another kind or size or has other keys, or when the pod has the template's containers too and this is their volume; otherwise conflict";
    MOUNTS "`volumeMounts`, `volumeDevices`"
        "same `mountPath`, a slash at its end aside; same `devicePath`"
        "The pod's value wins; if it is of another volume: conflict";
    ENV "`env`"
        "same name"
        "The pod's value wins; new ones go behind the pod's own, so they can refer to these, and win over the same key of its `envFrom`; with `override`, what a replaced one refers to goes in front of it; of one name twice in an entry both count, as in a pod, unless with `override` the pod's last ones are these";
    ENV_FROM "`envFrom`"
        "same ConfigMap or Secret, and same `prefix`"
        "The pod's value wins; new ones go in front, because the last source of a key wins: the pod's own, or with `override` the template's";
    PORTS "`ports`" "same `containerPort` and `protocol`" "The pod's value wins";
    RESOURCES "`resources`" "each resource of `requests` and `limits`; `claims` as a whole" "The pod's value wins";
    LIFECYCLE "`lifecycle`" "`postStart`, `preStop` and `stopSignal`, each as a whole" "The pod's value wins";
    SECURITY "the pod's `securityContext`"
        "same field, also inside of `seLinuxOptions` and `windowsOptions`; lists as below"
        "The pod's value wins";
    MAPS "`labels`, `annotations`, `nodeSelector`" "same key" "The pod's value wins";
    SAFE_TO_EVICT "the annotation `cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes`"
        "each name in it"
        "Names in the template's `safeToEvictVolumes` go behind the pod's, as far as it brought these volumes; what else a template says there is an annotation like others";
    LISTS "`imagePullSecrets`, `hostAliases`, `tolerations` and other lists of the pod"
        "Kubernetes' merge key, or the whole item"
        "One list of both; of two items with one key the pod's wins";
    GRACE_PERIOD "`terminationGracePeriodSeconds`" "the field" "The longer one; it is 30 where it is not set";
    DEFAULTS "`dnsPolicy`, `restartPolicy`, `schedulerName`, `enableServiceLinks`"
        "the field"
        "The pod's value wins, unless it is the API server's own default: then the template's";
    WHOLE "probes, `affinity` and all other fields" "the field" "The pod's value wins, whole";
}

/// The rule for a place.
pub(super) fn rule_at(tokens: &[&str]) -> &'static MergeRule {
    match tokens {
        ["metadata", "annotations", names::SAFE_TO_EVICT] => &SAFE_TO_EVICT,
        ["metadata", ..] | ["spec", "nodeSelector" | "overhead", ..] => &MAPS,
        ["spec", "containers" | "initContainers", _] => &CONTAINERS,
        ["spec", "containers" | "initContainers", _, field, below @ ..] => match *field {
            "volumeMounts" | "volumeDevices" => &MOUNTS,
            "env" => &ENV,
            "envFrom" => &ENV_FROM,
            "ports" => &PORTS,
            "resources" => &RESOURCES,
            "lifecycle" => &LIFECYCLE,
            _ if below.is_empty() => &WHOLE,
            _ => &LISTS,
        },
        ["spec", "volumes", ..] => &VOLUMES,
        ["spec", "securityContext", ..] => &SECURITY,
        ["spec", "terminationGracePeriodSeconds"] => &GRACE_PERIOD,
        ["spec", field] if across::DEFAULTS.iter().any(|(name, _)| name == field) => &DEFAULTS,
        ["spec", _, _, ..] => &LISTS,
        _ => &WHOLE,
    }
}
