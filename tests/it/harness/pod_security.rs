//! The [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/): what the engine says of
//! a pod, in the words in which an API server warns.

use std::collections::BTreeSet;

use pillion_engine::rules::security::{Breach, breaches};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

pub(crate) use pillion_engine::rules::security::Level;

/// The checks of *baseline* that others of *restricted* stand for.
const STRICTER_IN_RESTRICTED: [&str; 2] = ["hostPath volumes", "non-default capabilities"];

fn breaches_of(pod: &Value) -> Vec<Breach> {
    breaches(&to_raw_value(pod).expect("JSON"))
}

/// The highest level that a pod passes.
pub(crate) fn level(pod: &Value) -> Level {
    Level::kept(breaches_of(pod).iter().map(|breach| breach.level))
}

/// The reasons for which a pod does not pass a level.
pub(crate) fn violations(level: Level, pod: &Value) -> BTreeSet<String> {
    let breaches = breaches_of(pod).into_iter().filter(|breach| breach.level <= level);
    let checks = breaches.map(|breach| breach.check);
    checks.filter(|it| level == Level::Baseline || !STRICTER_IN_RESTRICTED.contains(it)).map(str::to_owned).collect()
}

/// The reasons that a warning of the API server names; nothing if it is about something else.
pub(crate) fn reasons(warning: &str) -> Option<BTreeSet<String>> {
    // would violate PodSecurity "LEVEL:VERSION": REASON (DETAIL), REASON (DETAIL)
    let (_, reasons) = warning.strip_prefix("would violate PodSecurity ")?.split_once(": ")?;
    let reasons = reasons.split(['(', ')']).step_by(2).map(|reason| reason.trim_matches([',', ' ']));
    // The only one that depends on how many there are.
    let reasons = reasons.map(|reason| reason.replace("AppArmor profiles", "AppArmor profile"));
    Some(reasons.filter(|reason| !reason.is_empty()).collect())
}

/// A container that passes *restricted*, whatever its pod says.
pub(crate) fn restricted_container(name: &str) -> Value {
    json!({
        "name": name,
        "image": "example.com/app:1",
        "securityContext": {
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}
