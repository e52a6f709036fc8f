//! `serviceAccountToken: false`: the added containers get no API token.

use super::diagnostics::Diagnostics;
use crate::names::TOKEN_PATH;
use crate::yaml::Node;

/// Refuses what the template itself puts where its containers would find the token.
pub(super) fn check(diagnostics: &Diagnostics<'_>, pod_spec: &Node) {
    for list in ["initContainers", "containers"] {
        let containers = pod_spec.get(list).map(Node::items).unwrap_or_default();
        for (at, mounts) in containers.iter().enumerate().filter_map(|(at, it)| Some((at, it.get("volumeMounts")?))) {
            let path = format!("spec.pod.spec.{list}[{at}].volumeMounts");
            // An expression for all of them could give such a mount.
            if mounts.as_str().is_some() {
                diagnostics.add(mounts.position, path, "must be written out with serviceAccountToken: false");
                continue;
            }
            let mut paths = mounts.items().iter().filter_map(|it| it.get("mountPath"));
            let is_token = |path: &&Node| path.as_str().is_some_and(|it| it.trim_end_matches('/') == TOKEN_PATH);
            if let Some(taken) = paths.find(is_token) {
                let message = "mounts the API token's path, which serviceAccountToken: false covers";
                diagnostics.add(taken.position, path, message);
            }
        }
    }
}
