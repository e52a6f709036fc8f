//! A template is a pod with holes: what it adds, to which containers, under which conditions.
//!
//! [`read`] takes a file to [`Template`]s. There is one path for files and for custom resources, and no way to have a
//! template that was not checked: every field and every expression is known to be right for some pod, and only what a
//! single pod can tell is left for the review.

pub(crate) mod check;
pub mod expression;
pub(crate) mod fragment;
pub(crate) mod parameter;
mod parse;
mod reader;
mod selector;
mod trial;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use self::expression::Expression;
use self::fragment::{Fragment, Hole, Values, View, fill};
pub(crate) use self::parameter::{Parameter, Parameters, SettableBy};
pub use self::reader::Problem;
use self::reader::Reader;
pub(crate) use self::selector::Selector;
use crate::security::PodSecurity;
use crate::yaml::{self, Node};

/// A template's name: a DNS label.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TemplateName(String);

/// A text that is no DNS label.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be a DNS label: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit"
)]
pub struct NotADnsLabel;

impl TemplateName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = NotADnsLabel;

    fn from_str(name: &str) -> Result<Self, NotADnsLabel> {
        if is_dns_label(name) { Ok(TemplateName(name.to_owned())) } else { Err(NotADnsLabel) }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TemplateName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// RFC 1123, as Kubernetes checks the names of containers and volumes.
pub(crate) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_word(name)
}

/// What stands between the dots of a DNS name, of any length.
pub(crate) fn is_dns_word(word: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = word.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|byte| alphanumeric(Some(byte)) || *byte == b'-')
}

/// What happens to a pod for which a template cannot be applied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnError {
    /// The pod is refused; who asked sees why, and old pods keep running.
    #[default]
    Deny,
    /// The template is left out, and that is said.
    Skip,
}

impl FromStr for OnError {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "deny" => Ok(OnError::Deny),
            "skip" => Ok(OnError::Skip),
            _ => Err("must be deny or skip".into()),
        }
    }
}

/// A template that was accepted.
#[derive(Debug)]
pub struct Template {
    name: TemplateName,
    description: String,
    digest: String,
    /// The only namespace of an `InjectionTemplate`.
    namespace: Option<String>,
    allows_shadowing: bool,
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
    warnings: Vec<Problem>,
    pod_security: Option<PodSecurity>,
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
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The Pod Security level that an otherwise *restricted* pod passes with it, with its defaults and examples; nothing
    /// if only a real pod can tell.
    pub fn pod_security(&self) -> Option<PodSecurity> {
        self.pod_security
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
            fragment::write_json(&mut values, value);
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
                |fragment: &Option<Fragment>| fragment.as_ref().map(|it| View::new(it, Values::all(&values)).resolve());
            PodPart {
                metadata: resolved(&self.pod.metadata),
                spec: resolved(&self.pod.spec),
                shares: resolved(&self.pod.shares),
                holes: Vec::new(),
            }
        });
        let entry = |entry: &AppEntry| {
            resolve(&entry.holes).map(|values| View::new(&entry.container, Values::all(&values)).resolve())
        };
        let app = self.app.iter().map(entry).collect();
        self.defaults = Some(Defaults { digest: self.digest_with(&parameters), parameters, pod, app });
        self
    }

    /// Names that the entries of `app` are for: of regular containers, and of init containers.
    pub(crate) fn sample_containers(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let names = |globs: fn(&AppEntry) -> &Vec<Glob>, any: &str| -> BTreeSet<String> {
            self.app.iter().flat_map(globs).map(|glob| glob.0.replace('*', any)).collect()
        };
        (names(|entry| &entry.containers, "app"), names(|entry| &entry.init_containers, "init"))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

/// A template that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its name, if that much could be read.
    pub name: Option<TemplateName>,
    /// Its namespace, if it is an `InjectionTemplate` and that much could be read.
    pub namespace: Option<String>,
    /// Everything that is wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads every document of a YAML or JSON file. Each stands alone: a broken one does not touch the others.
pub fn read(text: &str, file: &str) -> Vec<Result<Template, Refused>> {
    yaml::read(text)
        .into_iter()
        .map(|document| match document {
            Ok(node) => parse(&node, file),
            Err(error) => {
                let mut reader = Reader::new(file);
                reader.problem(error.position, "", error.message);
                Err(Refused { name: None, namespace: None, problems: reader.into_problems() })
            }
        })
        .collect()
}

/// Reads one template, from a file or from a custom resource.
///
/// # Errors
///
/// With everything that is wrong with it.
pub fn parse(node: &Node, file: &str) -> Result<Template, Refused> {
    let mut reader = Reader::new(file);
    match parse::document(&mut reader, node) {
        Some(template) if reader.is_clean() => Ok(template),
        _ => {
            let metadata = |field| node.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Node::as_str);
            let is_namespaced = node.get("kind").and_then(Node::as_str) == Some("InjectionTemplate");
            Err(Refused {
                name: metadata("name").and_then(|name| name.parse().ok()),
                namespace: metadata("namespace").filter(|_| is_namespaced).map(str::to_owned),
                problems: reader.into_problems(),
            })
        }
    }
}

/// A regular expression, if it is a small one: many of them may be in force, and in an expression one is compiled at every
/// use. `\w{1,63}` is none, because it is about all scripts of the world; `[0-9a-z_]{1,63}` is.
pub(crate) fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    const MAX_BYTES: usize = 64 << 10;
    RegexBuilder::new(pattern).size_limit(MAX_BYTES).dfa_size_limit(MAX_BYTES).build()
}

/// A short hash: 12 hexadecimal digits tell the versions of one template apart.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(6).fold(String::with_capacity(12), |text, byte| text + &format!("{byte:02x}"))
}
