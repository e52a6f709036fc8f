//! A template is a pod with holes: what it adds, to which containers, under which conditions.
//!
//! [`read`] takes a file to [`Template`]s. There is one path for files and for custom resources, and no way to have a
//! template that was not checked: every field and every expression is known to be right for some pod, and only what a
//! single pod can tell is left for the review.

pub(crate) mod diagnostics;
mod normalize;
pub(crate) mod parameter;
pub(crate) mod parse;
pub(crate) mod part;
mod selector;
pub(crate) mod token;

use std::collections::BTreeSet;

pub use self::diagnostics::Diagnostic;
pub(crate) use self::parameter::{Parameter, Parameters};
use self::part::{Hole, fill};
pub(crate) use self::selector::Selector;
use crate::expression::Expression;
use crate::fragment::{Fragment, View, write_json};
use crate::names::digest;
pub use crate::names::{NotADnsLabel, OnError, TemplateName};

/// A template that was accepted.
#[derive(Debug)]
pub struct Template {
    pub(crate) name: TemplateName,
    pub(crate) description: String,
    pub(crate) digest: String,
    /// The only namespace of an `InjectionTemplate`.
    pub(crate) namespace: Option<String>,
    pub(crate) allows_shadowing: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) when: Option<Expression>,
    pub(crate) namespace_selector: Option<Selector>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) placement: Placement,
    /// The operating systems of pods that it is for.
    pub(crate) os: Vec<String>,
    pub(crate) host_network: bool,
    /// How many values and expressions stand in its `spec`.
    pub(crate) weight: usize,
    /// How many of the expressions read more than parameters.
    pub(crate) reads: usize,
    /// Whether an expression goes through the items of something.
    pub(crate) loops: bool,
    pub(crate) pod: PodPart,
    pub(crate) app: Vec<AppEntry>,
    /// How it looks for a pod that sets no parameter, if every parameter can be left out.
    pub(crate) defaults: Option<Defaults>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A template with the defaults of its parameters filled in, so that a pod that sets none need not wait for it.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) parameters: Parameters,
    pub(crate) digest: String,
    /// Without holes; nothing if a hole reads more than parameters.
    pub(crate) pod: Option<PodPart>,
    /// The same for each entry of `app`.
    pub(crate) app: Vec<Option<Fragment>>,
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
    pub(crate) holes: Vec<Hole>,
}

impl PodPart {
    /// Whether an expression makes a field of a container of something else than parameters.
    pub(crate) fn varies_with_pod(&self, list: &str, name: &str, field: &str) -> bool {
        let holes = self.spec.iter().flat_map(|spec| spec.holes_of(list, name, field));
        holes.into_iter().any(|at| !self.holes[at].reads_only_parameters())
    }
}

/// What the pod's own containers receive.
#[derive(Debug)]
pub(crate) struct AppEntry {
    containers: Vec<Glob>,
    init_containers: Vec<Glob>,
    pub(crate) when: Option<Expression>,
    /// Whether the template's values win over the pod's.
    pub(crate) overrides: bool,
    pub(crate) container: Fragment,
    pub(crate) holes: Vec<Hole>,
}

impl AppEntry {
    /// Whether it is for a container of that list and name.
    pub(crate) fn names(&self, list: &str, container: &str) -> bool {
        let globs = if list == "containers" { &self.containers } else { &self.init_containers };
        globs.iter().any(|glob| glob.matches(container))
    }
}

/// A container's name, in which `*` stands for any text.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Glob(String);

impl Glob {
    fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut inner) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else { return false };
        middle.split('*').all(|part| match inner.find(part) {
            Some(at) => {
                inner = &inner[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

impl Template {
    /// Its name.
    pub fn name(&self) -> &TemplateName {
        &self.name
    }

    /// What it is for, in its author's words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What changes whenever the template does: a short hash of all of it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The only namespace that it is for, if it is an `InjectionTemplate`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// What should be better about it, and does not keep it from being used.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Whether a namespace may have its own template of this name.
    pub fn allows_shadowing(&self) -> bool {
        self.allows_shadowing
    }

    /// What tells this template with these parameters from any other.
    pub(crate) fn digest_with(&self, parameters: &Parameters) -> String {
        let mut values = Vec::new();
        for (name, value) in &parameters.0 {
            values.extend_from_slice(name.as_bytes());
            values.push(b'=');
            write_json(&mut values, value);
            values.push(b'\n');
        }
        digest(&[self.digest.as_bytes(), &values])
    }

    fn with_defaults(mut self) -> Template {
        let value = |parameter: &Parameter| match &parameter.default {
            Some(default) => Some((parameter.name.clone(), default.clone())),
            None => parameter.optional.then(|| (parameter.name.clone(), serde_json::Value::Null)),
        };
        let Some(parameters) = self.parameters.iter().map(value).collect::<Option<_>>().map(Parameters) else {
            return self;
        };
        let resolve = |holes: &[Hole]| {
            let all = holes.iter().all(Hole::reads_only_parameters);
            // What cannot be rendered is reported to the pod that asks for it.
            all.then(|| fill(holes, |_| true, &parameters, &parameters).ok()).flatten()
        };
        let pod = resolve(&self.pod.holes).map(|values| {
            let resolved =
                |fragment: &Option<Fragment>| fragment.as_ref().map(|it| View::new(it, &[], &values).resolve());
            PodPart {
                metadata: resolved(&self.pod.metadata),
                spec: resolved(&self.pod.spec),
                shares: resolved(&self.pod.shares),
                holes: Vec::new(),
            }
        });
        let entry =
            |entry: &AppEntry| resolve(&entry.holes).map(|values| View::new(&entry.container, &[], &values).resolve());
        let app = self.app.iter().map(entry).collect();
        self.defaults = Some(Defaults { digest: self.digest_with(&parameters), parameters, pod, app });
        self
    }

    /// Containers that entries of `app` are for: the list and a name of each.
    pub(crate) fn sample_containers(&self) -> BTreeSet<(&'static str, String)> {
        let names = |list: &'static str, globs: &[Glob]| -> Vec<_> {
            globs.iter().map(|glob| (list, glob.0.replace('*', "app"))).collect()
        };
        let of_entry = |entry: &AppEntry| {
            [names("containers", &entry.containers), names("initContainers", &entry.init_containers)].concat()
        };
        self.app.iter().flat_map(of_entry).collect()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}
