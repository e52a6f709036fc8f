//! A template is a pod with holes: what it adds, to which containers, under which conditions.
//!
//! There is one path for files and for custom resources, and no way to have a [`Template`] that was not checked: every
//! field and every expression is known to be right for some pod, and only what a single pod can tell is left for the
//! review.

pub(crate) mod diagnostics;
mod normalize;
pub(crate) mod parameter;
pub(crate) mod parse;
pub(crate) mod part;
mod selector;
mod token;

use std::collections::BTreeSet;

pub use self::diagnostics::{Diagnostic, Diagnostics, Fields};
pub(crate) use self::parameter::{Parameter, Parameters, WithoutPod};
pub use self::parse::fields;
use self::part::Hole;
pub(crate) use self::selector::Selector;
use crate::expression::Expression;
use crate::image::ImageMirror;
use crate::json::Fragment;
use crate::names::digest;
pub use crate::names::{NO_TOKEN, OnError, TOKEN_VOLUME, TemplateName};
use crate::rules::security::Level;
use crate::text::stand_around;

/// A template that was accepted.
#[derive(Debug)]
pub struct Template {
    /// Its name.
    pub name: TemplateName,
    /// What it is for, in its author's words.
    pub description: String,
    /// A short hash of all of it.
    pub digest: String,
    /// The only namespace of an `InjectionTemplate`.
    pub namespace: Option<String>,
    /// Whether a namespace may have its own template of this name.
    pub allows_shadowing: bool,
    /// What should be better about it, and does not keep it from being used.
    pub warnings: Vec<Diagnostic>,
    /// Which level of Pod Security its pods can keep.
    pub pod_security: PodSecurity,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) when: Option<Expression>,
    pub(crate) namespace_selector: Option<Selector>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) placement: Placement,
    /// The operating systems of pods that it is for, as far as it says so; without any it is Linux.
    pub(crate) os: Vec<String>,
    /// Whether it is for pods on their node's network, if it says so.
    pub(crate) host_network: Option<bool>,
    /// Where its containers may have their images from, beside the mirrors of all templates.
    pub(crate) image_mirrors: Vec<ImageMirror>,
    /// Whether its containers get no API token.
    pub(crate) withholds_token: bool,
    /// Whether it is written that they need one.
    pub(crate) needs_token: bool,
    /// How many values and expressions stand in its `spec`.
    pub(crate) weight: usize,
    /// How many of the expressions read more than parameters.
    pub(crate) reads: usize,
    /// Whether an expression goes through the items of something.
    pub(crate) loops: bool,
    pub(crate) pod: PodPart,
    pub(crate) app: Vec<AppEntry>,
    /// The digest of the parameters of a pod that sets none, if every parameter is optional or has a default.
    pub(crate) default_digest: Option<String>,
}

/// The level of Pod Security that a namespace can enforce for pods which keep it without the template: of what a template
/// brings with the defaults and examples of its parameters.
#[derive(Clone, Debug)]
pub struct PodSecurity {
    /// The strictest level.
    pub level: Level,
    /// What stricter ones do not allow, in the order of the file.
    pub breaches: Vec<LevelBreach>,
    /// Where only a pod shows what an expression gives.
    pub unknown: Vec<Diagnostic>,
}

/// What a level does not allow in a template.
#[derive(Clone, Debug)]
pub struct LevelBreach {
    /// The least strict level that does not allow it.
    pub level: Level,
    /// The check, as warnings of the API server call it.
    pub check: &'static str,
    /// What it is, and where.
    pub diagnostic: Diagnostic,
}

/// Where added init containers go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Placement {
    /// Before the pod's own, so that these can use them.
    #[default]
    BeforeInit,
    AfterInit,
    Before(String),
    After(String),
}

/// What the pod as a whole receives.
#[derive(Debug, Default)]
pub(crate) struct PodPart {
    pub(crate) metadata: Option<Fragment>,
    pub(crate) spec: Option<Fragment>,
    /// The names of volumes that may be there already, from the pod or from another template.
    pub(crate) shares: Option<Fragment>,
    /// The names of those of its volumes that may be lost with a node.
    pub(crate) safe_to_evict: Option<Fragment>,
    pub(crate) holes: Box<[Hole]>,
    /// Whether presets stand for what they are of: they are known to keep the rules, and are not judged again.
    pub(crate) uses_presets: bool,
}

impl PodPart {
    /// Its containers or volumes that have this name, or may have it.
    pub(crate) fn called(&self, list: &str, name: &str) -> impl Iterator<Item = &Fragment> {
        self.spec.iter().flat_map(move |spec| spec.called(list, name))
    }

    /// Whether an expression makes something of the pod.
    pub(crate) fn varies_with_pod(&self, part: &Fragment) -> bool {
        part.holes().into_iter().any(|at| self.holes[at].varies_with_pod())
    }

    /// Whether a field of a container or volume of this name varies with the pod.
    pub(crate) fn may_vary(&self, list: &str, name: &str, field: &str) -> bool {
        self.called(list, name).any(|it| it.get(field).is_some_and(|part| self.varies_with_pod(part)))
    }

    /// What is written out of a text around its expressions; nothing where an expression makes all of it.
    pub(crate) fn written(&self, text: &Fragment) -> Option<Vec<&str>> {
        let written = text.holes().first().map(|at| self.holes[*at].written())?;
        written.iter().any(|text| !text.is_empty()).then_some(written)
    }
}

/// What the pod's own containers receive.
#[derive(Debug)]
pub(crate) struct AppEntry {
    /// The lists and names of the containers that it is for.
    globs: Vec<(&'static str, Glob)>,
    pub(crate) when: Option<Expression>,
    /// Whether the template's values win over the pod's.
    pub(crate) overrides: bool,
    pub(crate) container: Fragment,
    /// The same without what an expression makes of the pod, and so of itself when it is made again.
    pub(crate) again: Fragment,
    pub(crate) holes: Box<[Hole]>,
    /// As in [`PodPart`].
    pub(crate) uses_presets: bool,
}

impl AppEntry {
    /// Notes what can be made again.
    fn note_again(&mut self) {
        let is_left = |part: &Fragment| part.holes().into_iter().all(|at| !self.holes[at].varies_with_pod());
        self.again = self.container.keep(&is_left);
    }

    /// Whether it is for a container of that list and name.
    pub(crate) fn names(&self, list: &str, container: &str) -> bool {
        self.globs.iter().any(|(of, glob)| *of == list && glob.matches(container))
    }
}

/// A container's name, in which `*` stands for any text.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Glob(String);

impl Glob {
    fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        stand_around(name, first, middle.split('*'), last)
    }
}

impl Template {
    /// Its own condition, as it was written.
    pub fn guard(&self) -> Option<&str> {
        self.when.as_ref().map(|when| when.source.as_str())
    }

    /// What tells this template with these parameters from any other, as a status of Pillion 0.1.0 has it.
    pub(crate) fn digest_with(&self, parameters: &Parameters<'_>) -> String {
        digest(&[self.digest.as_bytes(), &parameters.to_bytes()])
    }

    /// The parameters of a pod that sets none; nothing if it must set one.
    pub(crate) fn default_parameters(&self) -> Option<Parameters<'_>> {
        self.parameters.iter().map(|it| Some((it.name.as_str(), it.fallback()?))).collect()
    }

    /// Fills in what the defaults of parameters make of it.
    fn with_presets(mut self) -> Template {
        for hole in self.pod.holes.iter_mut().chain(self.app.iter_mut().flat_map(|entry| &mut entry.holes)) {
            hole.note_parameters(&self.parameters);
        }
        self.app.iter_mut().for_each(AppEntry::note_again);
        let Some(parameters) = self.default_parameters() else { return self };
        let (digest, variables) = (parameters.digest(), WithoutPod::new(&parameters));
        let presets = |holes: &[Hole]| -> Vec<_> { holes.iter().map(|hole| hole.preset(&variables)).collect() };
        let of_pod = presets(&self.pod.holes);
        let of_app: Vec<_> = self.app.iter().map(|entry| presets(&entry.holes)).collect();
        let of_all = of_pod.iter().chain(of_app.iter().flatten());
        let holes = self.pod.holes.iter_mut().chain(self.app.iter_mut().flat_map(|entry| &mut entry.holes));
        holes.zip(of_all).for_each(|(hole, preset)| hole.has_preset = preset.is_some());
        let PodPart { metadata, spec, shares, safe_to_evict, .. } = &mut self.pod;
        for part in [metadata, spec, shares, safe_to_evict].into_iter().flatten() {
            *part = part.with_presets(&of_pod);
        }
        for (entry, presets) in self.app.iter_mut().zip(of_app) {
            entry.container = entry.container.with_presets(&presets);
            entry.note_again();
        }
        self.default_digest = Some(digest);
        self
    }

    /// Containers that entries of `app` are for: the list and a name of each.
    pub(crate) fn sample_containers(&self) -> BTreeSet<(&'static str, String)> {
        let globs = self.app.iter().flat_map(|entry| &entry.globs);
        globs.map(|(list, glob)| (*list, glob.0.replace('*', "app"))).collect()
    }
}
