//! The parts of a pod that rules compare: its containers, and the names of its volumes.

use std::borrow::Cow;
use std::collections::HashSet;

use super::report::Place;
use super::tree::Tree;

/// The fields of a container that hold a probe.
pub(super) const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
/// The fields of a container's `lifecycle` that hold what is run when it starts or stops.
pub(super) const HOOKS: [&str; 2] = ["postStart", "preStop"];

/// A pod's `spec`, taken apart.
pub(super) struct Parts<'t> {
    pub(super) spec: Tree<'t>,
    /// Of both lists, in the order in which they start.
    pub(super) containers: Vec<Container<'t>>,
    pub(super) volumes: &'t Volumes,
}

/// A container, or another item of a list with a name.
#[derive(Clone)]
pub(super) struct Container<'t> {
    pub(super) list: &'static str,
    at: usize,
    pub(super) name: Cow<'t, str>,
    pub(super) tree: Tree<'t>,
}

/// The names that a mount can give.
pub(crate) struct Volumes {
    pub(super) names: HashSet<String>,
    /// Whether an expression gives one of them, so that no name can be called wrong.
    pub(super) is_open: bool,
}

impl<'t> Parts<'t> {
    pub(super) fn of(spec: Tree<'t>, volumes: &'t Volumes) -> Parts<'t> {
        Parts { spec, containers: containers(spec), volumes }
    }

    /// The containers in which something is judged.
    pub(super) fn touched(&self) -> impl Iterator<Item = &Container<'t>> {
        self.containers.iter().filter(|container| container.tree.is_touched())
    }
}

/// The containers of both lists, in the order in which they start.
pub(super) fn containers(spec: Tree<'_>) -> Vec<Container<'_>> {
    ["initContainers", "containers"].into_iter().flat_map(|list| named(spec, list)).collect()
}

/// The items of a list of the spec.
pub(super) fn named<'t>(spec: Tree<'t>, list: &'static str) -> impl Iterator<Item = Container<'t>> {
    let items = spec.list(list).into_iter().enumerate();
    items.map(move |(at, tree)| Container { list, at, name: tree.text("name"), tree })
}

impl<'t> Container<'t> {
    /// Whether it is an init container that ends before the next one starts.
    pub(super) fn ends(&self) -> bool {
        let policy = self.tree.get("restartPolicy");
        self.list == "initContainers"
            && !policy.is_some_and(|it| it.is_unknown() || it.string().as_deref() == Some("Always"))
    }

    /// What is run when it starts or stops, by field.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (&'static str, Tree<'t>)> {
        let lifecycle = self.tree.get("lifecycle");
        HOOKS.into_iter().filter_map(move |hook| Some((hook, lifecycle?.get(hook)?)))
    }

    /// Goes on with its place.
    pub(super) fn at(&self, place: &Place<'_>, judge: impl FnOnce(&Place<'_>)) {
        judge(&place.member(self.list).item(self.at, self.tree, &["name".to_owned()]));
    }
}

impl Volumes {
    /// The volumes of a pod.
    pub(crate) fn of(spec: Tree<'_>) -> Volumes {
        let volumes = spec.list("volumes");
        let is_open =
            spec.is_unknown_at("volumes") || volumes.iter().any(|it| it.is_unknown() || it.is_unknown_at("name"));
        Volumes { names: volumes.iter().map(|volume| volume.text("name").into_owned()).collect(), is_open }
    }

    /// Those of this list of names as well.
    pub(crate) fn and(mut self, names: Tree<'_>) -> Volumes {
        self.is_open |= names.is_unknown() || names.items().into_iter().any(Tree::is_unknown);
        self.names.extend(names.items().into_iter().filter_map(Tree::string).map(Cow::into_owned));
        self
    }

    /// Without these, which count as not there.
    pub(crate) fn without(mut self, hidden: &HashSet<String>) -> Volumes {
        self.names.retain(|name| !hidden.contains(name));
        self
    }
}
