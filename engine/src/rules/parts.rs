//! The parts of a pod that rules compare: its containers, and the names of its volumes.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use super::report::Place;
use crate::json::View;
use crate::schema::Schema;

/// The fields of a container that hold a probe.
pub(super) const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
/// The fields of a container's `lifecycle` that hold what is run when it starts or stops.
pub(super) const HOOKS: [&str; 2] = ["postStart", "preStop"];

/// A pod, taken apart as far as a rule asks for it.
pub(crate) struct Parts<'t> {
    pub(super) metadata: View<'t>,
    pub(super) spec: View<'t>,
    /// The containers in which something is judged.
    pub(super) touched: Vec<Container<'t>>,
    /// Names of volumes that count as there.
    shares: View<'t>,
    /// Names of volumes that count as not there.
    hidden: Option<&'t HashSet<String>>,
    volumes: OnceCell<HashSet<Cow<'t, str>>>,
    /// Where each volume comes from.
    sources: OnceCell<HashMap<Cow<'t, str>, Cow<'t, str>>>,
    /// Whether an expression may give a volume, or the name of one.
    is_open: OnceCell<bool>,
}

/// The field that says where a volume comes from, if it is known.
fn source_of(volume: View<'_>) -> Option<Cow<'_, str>> {
    let mut sources = volume.members().filter(|member| member.name != "name" && !member.value.is_null());
    match (sources.next(), sources.next()) {
        (None, _) => Some("emptyDir".into()),
        (Some(source), None) if !source.value.is_unknown() => Some(source.name),
        _ => None,
    }
}

/// A container, or another item of a list with a name.
pub(super) struct Container<'t> {
    pub(super) list: &'static str,
    at: usize,
    pub(super) tree: View<'t>,
}

impl<'t> Parts<'t> {
    /// The parts of a pod beside volumes that count as there, without those that count as not there.
    pub(crate) fn of(pod: View<'t>, shares: View<'t>, hidden: Option<&'t HashSet<String>>) -> Parts<'t> {
        let [metadata, spec] = ["metadata", "spec"].map(|part| pod.get(part).unwrap_or(View::NOTHING));
        let touched = containers(spec).filter(|container| container.tree.is_touched()).collect();
        Parts {
            metadata,
            spec,
            touched,
            shares,
            hidden,
            volumes: OnceCell::new(),
            sources: OnceCell::new(),
            is_open: OnceCell::new(),
        }
    }

    /// Those of which not everything was judged when a template was loaded.
    pub(super) fn varying(&self) -> impl Iterator<Item = &Container<'t>> {
        self.touched.iter().filter(|container| !container.tree.is_fixed())
    }

    /// The names that a mount can give.
    pub(super) fn volume_names(&self) -> impl Iterator<Item = Cow<'t, str>> {
        let names = self.spec.list("volumes").map(|volume| volume.text("name"));
        let is_hidden = |name: &str| self.hidden.is_some_and(|hidden| hidden.contains(name));
        names.chain(self.shares.items().filter_map(View::string)).filter(move |name| !is_hidden(name))
    }

    /// Whether there is a volume of that name, or may be one, as an expression gives a name.
    pub(super) fn may_have_volume(&self, name: &str) -> bool {
        let names = self.volumes.get_or_init(|| {
            // Most pods have no more.
            let mut names = HashSet::with_capacity(16);
            names.extend(self.volume_names());
            names
        });
        names.contains(name) || *self.is_open.get_or_init(|| self.has_open_volumes())
    }

    /// Where a volume of the pod comes from, as far as that is known: the name of the field.
    pub(super) fn source_of(&self, name: &str) -> Option<&str> {
        let sources = self.sources.get_or_init(|| {
            let volumes = self.spec.list("volumes");
            volumes.filter_map(|volume| Some((volume.text("name"), source_of(volume)?))).collect()
        });
        sources.get(name).map(|source| &**source)
    }

    fn has_open_volumes(&self) -> bool {
        self.spec.is_unknown_at("volumes")
            || self.spec.list("volumes").any(|volume| volume.is_unknown() || volume.is_unknown_at("name"))
            || self.shares.items().any(View::is_unknown)
    }
}

/// The containers of both lists, in the order in which they start.
pub(super) fn containers(spec: View<'_>) -> impl Iterator<Item = Container<'_>> {
    ["initContainers", "containers"].into_iter().flat_map(move |list| named(spec, list))
}

/// The items of a list of the spec.
pub(super) fn named<'t>(spec: View<'t>, list: &'static str) -> impl Iterator<Item = Container<'t>> {
    spec.list(list).enumerate().map(move |(at, tree)| Container { list, at, tree })
}

impl<'t> Container<'t> {
    pub(super) fn name(&self) -> Cow<'t, str> {
        self.tree.text("name")
    }

    /// Whether it is an init container that ends before the next one starts.
    pub(super) fn ends(&self) -> bool {
        let policy = if self.list == "initContainers" { self.tree.get("restartPolicy") } else { return false };
        !policy.is_some_and(|it| it.is_unknown() || it.string().as_deref() == Some("Always"))
    }

    /// What is run when it starts or stops, by field.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (&'static str, View<'t>)> {
        let lifecycle = self.tree.touched("lifecycle");
        HOOKS.into_iter().filter_map(move |hook| Some((hook, lifecycle?.get(hook)?)))
    }

    /// Goes on with its place.
    pub(super) fn at(&self, place: &Place<'_>, judge: impl FnOnce(&Place<'_>)) {
        judge(&place.member(self.list).item(self.at, self.tree, Schema::get().spec.keys(self.list)));
    }
}
