//! A template is a pod with holes: what it adds, to which containers, under which conditions.
//!
//! [`read`] takes a file to [`Template`]s. There is one path for files and for custom resources, and no way to have a
//! template that was not checked: every field and every expression is known to be right for some pod, and only what a
//! single pod can tell is left for the review.

pub(crate) mod check;
pub mod expression;
pub(crate) mod fragment;
pub(crate) mod parameter;
mod reader;
mod selector;
mod trial;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use self::expression::{Expression, Scope};
use self::fragment::{Compiler, Fragment, Hole, View, fill};
pub(crate) use self::parameter::{Parameter, Parameters, SettableBy};
pub use self::reader::Problem;
use self::reader::{Fields, Reader};
pub(crate) use self::selector::Selector;
use crate::schema::Schema;
use crate::security::PodSecurity;
use crate::shown;
use crate::yaml::{self, Key, Node, Value};

const API_VERSION: &str = "pillion.dev/v1alpha1";

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
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && alphanumeric(bytes.first())
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
    pub(crate) fn allows_shadowing(&self) -> bool {
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
            all.then(|| fill(holes, &parameters, &parameters).ok()).flatten()
        };
        let pod = resolve(&self.pod.holes).map(|values| {
            let resolved = |fragment: &Option<Fragment>| fragment.as_ref().map(|it| View::new(it, &values).resolve());
            PodPart {
                metadata: resolved(&self.pod.metadata),
                spec: resolved(&self.pod.spec),
                shares: resolved(&self.pod.shares),
                holes: Vec::new(),
            }
        });
        let entry =
            |entry: &AppEntry| resolve(&entry.holes).map(|values| View::new(&entry.container, &values).resolve());
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
                Err(Refused { name: None, problems: reader.into_problems() })
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
    let name = node.get("metadata").and_then(|node| node.get("name")).and_then(Node::as_str);
    let name = name.and_then(|name| name.parse().ok());
    match parse_document(&mut reader, node) {
        Some(template) if reader.is_clean() => Ok(template),
        _ => Err(Refused { name, problems: reader.into_problems() }),
    }
}

fn parse_document(reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
    let fields = Fields::of(reader, node, "", "a template", &["apiVersion", "kind", "metadata", "spec", "status"])?;
    if fields.required_string(reader, "apiVersion").is_some_and(|version| version != API_VERSION) {
        fields.problem(reader, "apiVersion", &format!("must be {API_VERSION}"));
    }
    fields.required_string(reader, "kind");
    let namespaced = fields.choice(reader, "kind", &[("ClusterInjectionTemplate", false), ("InjectionTemplate", true)]);
    let (name, namespace) = parse_metadata(reader, &fields, namespaced.flatten().unwrap_or_default())?;
    let Some(spec) = fields.get("spec") else {
        reader.problem(node.position, "", "lacks spec");
        return None;
    };
    parse_spec(reader, spec, name, namespace)
}

fn parse_metadata(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    namespaced: bool,
) -> Option<(TemplateName, Option<String>)> {
    const KNOWN: &[&str] = &[
        "name",
        "namespace",
        "labels",
        "annotations",
        "creationTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "uid",
    ];
    let Some(node) = fields.get("metadata") else {
        fields.problem(reader, "metadata", "is missing: a template needs metadata.name");
        return None;
    };
    let fields = Fields::of(reader, node, "metadata", "a template's metadata", KNOWN)?;
    let name = fields.required_string(reader, "name")?;
    let namespace = fields.string(reader, "namespace").filter(|_| namespaced).map(str::to_owned);
    if namespaced && namespace.is_none() {
        reader.problem(node.position, "metadata", "lacks namespace: an InjectionTemplate is for one namespace");
    }
    match name.parse() {
        Ok(name) => Some((name, namespace)),
        Err(NotADnsLabel) => {
            fields.problem(reader, "name", &NotADnsLabel.to_string());
            None
        }
    }
}

fn parse_spec(reader: &mut Reader<'_>, node: &Node, name: TemplateName, namespace: Option<String>) -> Option<Template> {
    const KNOWN: &[&str] = &[
        "description",
        "parameters",
        "when",
        "namespaceSelector",
        "onError",
        "placement",
        "serviceAccountToken",
        "shares",
        "os",
        "hostNetwork",
        "allowShadowing",
        "pod",
        "app",
    ];
    let fields = Fields::of(reader, node, "spec", "a template's spec", KNOWN)?;
    let mut parameters: Vec<Parameter> = Vec::new();
    for (at, node) in fields.list(reader, "parameters").iter().enumerate() {
        let path = format!("spec.parameters[{at}]");
        if let Some(parameter) = Parameter::parse(reader, node, &path) {
            if parameters.iter().any(|other| other.name == parameter.name) {
                reader.problem(node.position, &format!("{path}.name"), format!("is {} a second time", parameter.name));
            }
            parameters.push(parameter);
        }
    }
    let declared =
        || parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.kind == parameter::Kind::List));
    let scope = Scope { parameters: declared().collect(), container: false };
    let when = parse_when(reader, &fields, &scope);
    let selector = fields.get("namespaceSelector");
    let namespace_selector = selector.and_then(|node| Selector::parse(reader, node, "spec.namespaceSelector"));
    let on_error = fields.choice(reader, "onError", &[("Deny", OnError::Deny), ("Skip", OnError::Skip)]).flatten();
    let placement = parse_placement(reader, &fields).unwrap_or_default();
    let token = fields.boolean(reader, "serviceAccountToken").unwrap_or(true);
    let os: Vec<_> = fields.strings(reader, "os").into_iter().map(str::to_owned).collect();
    if os.iter().any(|os| os != "linux" && os != "windows") {
        fields.problem(reader, "os", "must hold linux, windows or both");
    }
    let body = (!token).then(|| check::without_token(node, name.as_str()));
    if body.is_some() {
        check::check_mounts_are_lists(reader, node);
    }
    let body = body.as_ref().unwrap_or(node);
    check::check(reader, body);
    let pod = parse_pod(reader, body, &scope);
    let scope = Scope { container: true, ..scope };
    let entries = fields.list(reader, "app").iter().enumerate();
    let app =
        entries.filter_map(|(at, node)| parse_app_entry(reader, node, &format!("spec.app[{at}]"), &scope)).collect();
    let gives = |part: &str| node.get("pod").is_some_and(|pod| pod.get(part).is_some());
    if fields.get("app").is_none() && !gives("metadata") && !gives("spec") {
        reader.problem(node.position, "spec", "gives a pod nothing: write pod.metadata, pod.spec or app");
    }
    let on_host = body.get("pod").and_then(|pod| pod.get("spec")?.get("hostNetwork"));
    let host_network = fields.boolean(reader, "hostNetwork").unwrap_or_default();
    if let Some(node) = on_host.filter(|node| node.value == Value::Bool(true) && !host_network) {
        reader.problem(node.position, "spec.pod.spec.hostNetwork", "needs spec.hostNetwork: true as well");
    }
    let template = Template {
        description: fields.string(reader, "description").unwrap_or_default().trim().to_owned(),
        digest: digest(&[node.to_json().to_string().as_bytes()]),
        host_network,
        os: if os.is_empty() { vec!["linux".into()] } else { os },
        allows_shadowing: fields.boolean(reader, "allowShadowing").unwrap_or_default(),
        pod,
        parameters,
        name,
        namespace,
        when,
        namespace_selector,
        on_error,
        placement,
        app,
        defaults: None,
        warnings: Vec::new(),
        pod_security: None,
    };
    let mut template = template.with_defaults();
    if reader.is_clean() {
        trial::run(reader, body, &mut template);
    }
    Some(template)
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

fn parse_when(reader: &mut Reader<'_>, fields: &Fields<'_>, scope: &Scope<'_>) -> Option<Expression> {
    let source = fields.string(reader, "when")?;
    match Expression::compile(source, scope) {
        Ok(expression) => Some(expression),
        Err(_) if source.contains("${{") => {
            fields.problem(reader, "when", "is an expression itself: leave ${{ and }} out");
            None
        }
        Err(error) => {
            fields.problem(reader, "when", &format!("has a wrong expression: {error}"));
            None
        }
    }
}

fn parse_placement(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Placement> {
    let node = fields.get("placement")?;
    let fields = Fields::of(reader, node, "spec.placement", "a placement", &["position", "before", "after"])?;
    let is_clean = reader.is_clean();
    let position = [("BeforeInit", Placement::BeforeInit), ("AfterInit", Placement::AfterInit)];
    let names: Vec<_> = position.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let chosen = fields.choice(reader, "position", &names).flatten().map(|at| position[at].1.clone());
    let before = fields.string(reader, "before").map(|name| Placement::Before(name.to_owned()));
    let after = fields.string(reader, "after").map(|name| Placement::After(name.to_owned()));
    for name in ["before", "after"] {
        if fields.string(reader, name).is_some_and(|name| !is_dns_label(name)) {
            fields.problem(reader, name, "must be the name of a container");
        }
    }
    let mut given = [chosen, before, after].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(placement), None) => Some(placement),
        // It was told what is wrong with the one that is there.
        (None, None) if is_clean && !reader.is_clean() => None,
        _ => {
            reader.problem(node.position, "spec.placement", "must hold one of position, before and after");
            None
        }
    }
}

/// What the pod as a whole receives. Whatever is wrong with it goes to the reader.
fn parse_pod(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> PodPart {
    let mut known = vec!["metadata", "spec"];
    if let Some(Value::Object(members)) = node.get("pod").map(|pod| &pod.value) {
        let of_spec = |key: &&Key| Schema::get().object("PodSpec").fields.contains_key(&key.name);
        for key in members.iter().map(|(key, _)| key).filter(of_spec) {
            let message = format!("belongs one level down: spec.pod.spec.{}", key.name);
            reader.problem(key.position, &format!("spec.pod.{}", key.name), message);
            known.push(&key.name);
        }
    }
    let pod = node.get("pod").and_then(|node| Fields::of(reader, node, "spec.pod", "a partial pod", &known));
    let mut compiler = Compiler { reader, scope, holes: Vec::new() };
    let mut object = |name, kind, path| {
        let node = pod.as_ref().and_then(|fields| fields.get(name))?;
        compiler.object(node, kind, path, false)
    };
    let metadata = object("metadata", "ObjectMeta", "spec.pod.metadata");
    let spec = object("spec", "PodSpec", "spec.pod.spec");
    // A list of strings, as `args` of a container is.
    let names = Schema::get().field("Container", "args");
    let shares = match node.get("shares") {
        Some(node) if matches!(node.value, Value::List(_)) => compiler.compile(node, names, "spec.shares"),
        None | Some(Node { value: Value::Null, .. }) => None,
        Some(node) => {
            compiler.reader.problem(node.position, "spec.shares", "must be a list; each name can be an expression");
            None
        }
    };
    PodPart { metadata, spec, shares, holes: compiler.holes }
}

fn parse_app_entry(reader: &mut Reader<'_>, node: &Node, path: &str, scope: &Scope<'_>) -> Option<AppEntry> {
    const OWN: &[&str] = &["containers", "initContainers", "when", "override"];
    let known: Vec<_> = OWN.iter().chain(check::APP_FIELDS).copied().collect();
    let fields = Fields::of(reader, node, path, "an app entry", &known)?;
    let globs = |reader: &mut Reader<'_>, name: &str| -> Vec<Glob> {
        fields.strings(reader, name).into_iter().map(|glob| Glob(glob.to_owned())).collect()
    };
    let (containers, init_containers) = (globs(reader, "containers"), globs(reader, "initContainers"));
    for glob in containers.iter().chain(&init_containers) {
        if !glob.0.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '*') {
            let message =
                format!("names {}, and a name has small letters, digits and '-', with * for any text", shown(&glob.0));
            reader.problem(node.position, path, message);
        }
    }
    if fields.get("containers").is_none() && fields.get("initContainers").is_none() {
        reader.problem(node.position, path, "names no containers: add containers: [\"*\"] for all of them");
    }
    let when = parse_when(reader, &fields, scope);
    let overrides = fields.boolean(reader, "override").unwrap_or_default();
    let Value::Object(members) = &node.value else { return None };
    let received = members.iter().filter(|(key, _)| check::APP_FIELDS.contains(&key.name.as_str())).cloned().collect();
    let received = Node { value: Value::Object(received), position: node.position };
    if received.value == Value::Object(Vec::new()) {
        let fields = check::APP_FIELDS.join(", ");
        reader.problem(node.position, path, format!("gives its containers nothing: write one of {fields}"));
    }
    let mut compiler = Compiler { reader, scope, holes: Vec::new() };
    let container = compiler.object(&received, "Container", path, false)?;
    Some(AppEntry { containers, init_containers, when, overrides, container, holes: compiler.holes })
}

#[cfg(test)]
mod tests;
