//! `safeToEvictVolumes`: volumes of a template that may be lost with a node, told to the Cluster Autoscaler by an annotation.

use super::Merge;
use crate::inject::path::Path;
use crate::json::node::Json;
use crate::json::{Fragment, Node};
use crate::names::SAFE_TO_EVICT;

impl<'a> Merge<'_, 'a> {
    /// Adds the names of those that this template brought behind what the pod says. A volume that was there is also
    /// somebody else's, who may miss it.
    pub(super) fn safe_to_evict(&mut self, pod: &mut Node<'a>) {
        if self.rendered.pod.safe_to_evict.is_none() {
            return;
        }
        let volumes = pod.opened_list("volumes");
        let is_brought =
            |name: &&str| volumes.iter().any(|it| it.is_named(name) && (it.by == self.by || self.is_ours(it.by)));
        let annotations = pod.view().get("metadata").and_then(|metadata| metadata.get("annotations"));
        let existing = annotations.and_then(|annotations| annotations.get(SAFE_TO_EVICT)?.string());
        let mut all = existing.unwrap_or_default().into_owned();
        let before = all.len();
        for name in self.rendered.safe_to_evict().filter(is_brought) {
            // The Cluster Autoscaler splits at commas, and trims nothing.
            if !all.split(',').any(|known| known == name) {
                all.extend([if all.is_empty() { "" } else { "," }, name]);
            }
        }
        if all.len() == before {
            return;
        }
        let path = Path::root("metadata");
        let path = path.at("annotations");
        let path = &path.at(SAFE_TO_EVICT);
        let given = self.rendered.annotation.get_or_init(|| Fragment::filled(all.into(), false));
        let given = Node::fragment(given, self.by);
        let empty = || Json::Object(Vec::new());
        let metadata = pod.member_or("metadata", empty, self.by);
        let Some(annotations) = metadata.and_then(|metadata| metadata.member_or("annotations", empty, self.by)) else {
            return self.malformed(path);
        };
        match annotations.member(SAFE_TO_EVICT) {
            Some(existing) => self.replace_field(existing, given, path),
            None => {
                let added = self.add(given, path);
                annotations.push(SAFE_TO_EVICT.into(), added);
            }
        }
    }
}
