//! What an added container finds where the API server mounts its token.
//!
//! The API server mounts a token into every container that has nothing there, also into those that a webhook adds, and then
//! calls the webhook again. Where it is certain that it would, the mount is added at once, so that nothing is left to add.

use std::sync::LazyLock;

use serde_json::json;

use crate::json::{Fragment, View};
use crate::names::{NO_TOKEN, TOKEN_PATH, TOKEN_VOLUME};

/// What covers the token with `serviceAccountToken: false`. For the sake of one in memory the Cluster Autoscaler keeps no
/// node.
pub(super) static NO_TOKEN_VOLUME: LazyLock<Fragment> =
    LazyLock::new(|| Fragment::fixed(json!({"name": NO_TOKEN, "emptyDir": {"medium": "Memory"}})));

/// Whether a pod says that it wants no token.
pub(super) fn is_declined(spec: View<'_>) -> bool {
    spec.is_false("automountServiceAccountToken")
}

/// The mount that the API server would add to a container of this pod that has nothing there; nothing if it might not.
///
/// Whether the ServiceAccount mounts its token is not known here, but if it does each container of the pod has a mount
/// there by now. Source: kubernetes plugin/pkg/admission/serviceaccount, mountServiceAccountToken.
pub(super) fn mount_of_token(pod: View<'_>) -> Option<Fragment> {
    let spec = pod.get("spec")?;
    if is_declined(spec) {
        return None;
    }
    // The API server takes the first that is called so.
    let mut volumes = spec.list("volumes");
    let volume = volumes.find(|volume| volume.text("name").starts_with(TOKEN_VOLUME))?;
    let mut sources = volume.get("projected")?.list("sources");
    sources.find(|source| source.get("serviceAccountToken").is_some_and(|token| token.text("audience").is_empty()))?;
    let name = volume.text("name");
    let mounted = |container: View<'_>| {
        let mut mounts = container.list("volumeMounts");
        mounts.find(|mount| mount.text("mountPath") == TOKEN_PATH).map(|mount| mount.text("name").into_owned())
    };
    let containers = ["initContainers", "containers"].into_iter().flat_map(|list| spec.list(list));
    let mounted: Vec<_> = containers.map(mounted).collect::<Option<_>>()?;
    let mount = || Fragment::fixed(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
    mounted.iter().any(|of| **of == *name).then(mount)
}

/// Whether a volume is the one that covers the token; an older version brought one that is not in memory.
pub(super) fn is_no_token(volume: View<'_>) -> bool {
    let is_bare = |source: View<'_>| source.members().all(|it| it.name == "medium");
    volume.get("emptyDir").is_some_and(is_bare) && volume.members().count() == 2
}
