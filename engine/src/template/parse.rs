//! From a document to a template: each part to its own reader.

use super::diagnostics::{Diagnostics, Fields};
use super::part::{Compiler, WRITTEN_OUT};
use super::{AppEntry, Glob, Parameter, Placement, PodPart, Selector, Template, parameter, token};
use crate::expression::{Expression, Scope, pieces};
use crate::names::{NotADnsLabel, OnError, TemplateName, digest, is_dns_label};
use crate::rules::report::Place;
use crate::schema::{Schema, Type};
use crate::text::shown;
use crate::yaml::{Node, Value};

const API_VERSION: &str = "pillion.dev/v1alpha1";
/// The most parameters, app entries, containers and volumes that a template may have, of each.
const MAX_ITEMS: usize = 64;
/// The most values that may stand in a template, objects and lists included.
const MAX_VALUES: usize = 10_000;

/// What a pod's own containers can receive.
const APP_FIELDS: &[&str] = &[
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "lifecycle",
    "resources",
];

/// A template and what it was read from.
pub(crate) struct Parsed {
    pub(crate) template: Template,
    /// Its `spec`, with what follows from other fields written out.
    pub(crate) spec: Node,
    /// What each entry of `app` gives to its containers.
    pub(crate) app: Vec<Node>,
}

/// A whole document. Whatever is wrong with it goes to the diagnostics.
pub(crate) fn document(diagnostics: &mut Diagnostics<'_>, node: &Node) -> Option<Parsed> {
    let fields =
        Fields::of(diagnostics, node, "", "a template", &["apiVersion", "kind", "metadata", "spec", "status"])?;
    if fields.required_string(diagnostics, "apiVersion").is_some_and(|version| version != API_VERSION) {
        fields.wrong(diagnostics, "apiVersion", &format!("must be {API_VERSION}"));
    }
    fields.required_string(diagnostics, "kind");
    let namespaced =
        fields.choice(diagnostics, "kind", &[("ClusterInjectionTemplate", false), ("InjectionTemplate", true)]);
    let (name, namespace) = parse_metadata(diagnostics, &fields, namespaced.flatten().unwrap_or_default())?;
    let Some(spec) = fields.get("spec") else {
        diagnostics.add(node.position, "", "lacks spec");
        return None;
    };
    is_bounded(diagnostics, spec).then(|| parse_spec(diagnostics, spec, name, namespace))?
}

/// Whether a template is small enough to be read at all: whoever may write one for his namespace must not be able to keep
/// a server of all namespaces busy.
fn is_bounded(diagnostics: &mut Diagnostics<'_>, spec: &Node) -> bool {
    let list = |node: Option<&Node>, name: &str| node.and_then(|node| node.get(name)).map_or(0, |it| it.items().len());
    let pod = spec.get("pod").and_then(|pod| pod.get("spec"));
    let bounds = [
        ("parameters", list(Some(spec), "parameters"), MAX_ITEMS),
        ("entries of app", list(Some(spec), "app"), MAX_ITEMS),
        ("containers", list(pod, "initContainers") + list(pod, "containers"), MAX_ITEMS),
        ("volumes", list(pod, "volumes"), MAX_ITEMS),
        ("values", spec.size(), MAX_VALUES),
    ];
    for (what, number, most) in bounds {
        if number > most {
            diagnostics.add(spec.position, "spec", format!("has {number} {what}, and {most} are allowed"));
        }
    }
    diagnostics.is_clean()
}

fn parse_metadata(
    diagnostics: &mut Diagnostics<'_>,
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
        fields.wrong(diagnostics, "metadata", "is missing: a template needs metadata.name");
        return None;
    };
    let fields = Fields::of(diagnostics, node, "metadata", "a template's metadata", KNOWN)?;
    let name = fields.required_string(diagnostics, "name")?;
    let namespace = fields.string(diagnostics, "namespace").filter(|_| namespaced).map(str::to_owned);
    if namespaced && namespace.is_none() {
        diagnostics.add(node.position, "metadata", "lacks namespace: an InjectionTemplate is for one namespace");
    }
    match name.parse() {
        Ok(name) => Some((name, namespace)),
        Err(NotADnsLabel) => {
            fields.wrong(diagnostics, "name", &NotADnsLabel.to_string());
            None
        }
    }
}

fn parse_spec(
    diagnostics: &mut Diagnostics<'_>,
    node: &Node,
    name: TemplateName,
    namespace: Option<String>,
) -> Option<Parsed> {
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
    let fields = Fields::of(diagnostics, node, "spec", "a template's spec", KNOWN)?;
    let mut parameters: Vec<Parameter> = Vec::new();
    for (at, node) in fields.list(diagnostics, "parameters").iter().enumerate() {
        let path = format!("spec.parameters[{at}]");
        if let Some(parameter) = Parameter::parse(diagnostics, node, &path) {
            if parameters.iter().any(|other| other.name == parameter.name) {
                diagnostics.add(node.position, &format!("{path}.name"), format!("is {} a second time", parameter.name));
            }
            parameters.push(parameter);
        }
    }
    let declared =
        || parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.kind == parameter::Kind::List));
    let scope = Scope { parameters: declared().collect(), container: false };
    let when = parse_when(diagnostics, &fields, &scope);
    let selector = fields.get("namespaceSelector");
    let namespace_selector = selector.and_then(|node| Selector::parse(diagnostics, node, "spec.namespaceSelector"));
    let on_error = fields.choice(diagnostics, "onError", &[("Deny", OnError::Deny), ("Skip", OnError::Skip)]).flatten();
    let placement = parse_placement(diagnostics, &fields).unwrap_or_default();
    let token = fields.boolean(diagnostics, "serviceAccountToken").unwrap_or(true);
    let os: Vec<_> = fields.strings(diagnostics, "os").into_iter().map(str::to_owned).collect();
    if os.iter().any(|os| os != "linux" && os != "windows") {
        fields.wrong(diagnostics, "os", "must hold linux, windows or both");
    }
    let body = if token || !token::has_place_for_mounts(diagnostics, node) {
        node.clone()
    } else {
        token::without_token(node, name.as_str())
    };
    let (pod, shares) = (body.get("pod"), body.get("shares"));
    let part = parse_pod(diagnostics, pod, shares, &scope);
    let scope = Scope { container: true, ..scope };
    let entries = fields.list(diagnostics, "app").iter().enumerate();
    let entries =
        entries.filter_map(|(at, node)| parse_app_entry(diagnostics, node, &format!("spec.app[{at}]"), &scope));
    let (app, app_nodes): (Vec<_>, Vec<_>) = entries.unzip();
    let gives = |part: &str| pod.is_some_and(|pod| pod.get(part).is_some());
    if fields.get("app").is_none() && !gives("metadata") && !gives("spec") {
        diagnostics.add(node.position, "spec", "gives a pod nothing: write pod.metadata, pod.spec or app");
    }
    let on_host = pod.and_then(|pod| pod.get("spec")?.get("hostNetwork"));
    let host_network = fields.boolean(diagnostics, "hostNetwork").unwrap_or_default();
    if let Some(node) = on_host.filter(|node| node.value == Value::Bool(true) && !host_network) {
        diagnostics.add(node.position, "spec.pod.spec.hostNetwork", "needs spec.hostNetwork: true as well");
    }
    let holes = part.holes.iter().chain(app.iter().flat_map(|entry| &entry.holes));
    let conditions = when.iter().chain(app.iter().filter_map(|entry| entry.when.as_ref()));
    let expressions: Vec<&Expression> = holes.flat_map(|hole| hole.expressions()).chain(conditions).collect();
    let template = Template {
        description: fields.string(diagnostics, "description").unwrap_or_default().trim().to_owned(),
        digest: digest(&[canonical(node).as_bytes()]),
        host_network,
        weight: node.size() + expressions.len(),
        reads: expressions.iter().filter(|expression| !expression.reads_only_parameters()).count(),
        loops: expressions.iter().any(|expression| expression.loops()),
        os: if os.is_empty() { vec!["linux".into()] } else { os },
        allows_shadowing: fields.boolean(diagnostics, "allowShadowing").unwrap_or_default(),
        pod: part,
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
    };
    Some(Parsed { template: template.with_defaults(), spec: body, app: app_nodes })
}

/// The same text for the same template, whether it comes from a file or from an API server, which sorts keys.
fn canonical(node: &Node) -> String {
    let mut json = node.to_json();
    json.sort_all_objects();
    json.to_string()
}

fn parse_when(diagnostics: &mut Diagnostics<'_>, fields: &Fields<'_>, scope: &Scope<'_>) -> Option<Expression> {
    let source = fields.string(diagnostics, "when")?;
    match Expression::compile(source, scope) {
        Ok(expression) => Some(expression),
        Err(_) if source.contains("${{") => {
            fields.wrong(diagnostics, "when", "is an expression itself: leave ${{ and }} out");
            None
        }
        Err(error) => {
            fields.wrong(diagnostics, "when", &format!("has a wrong expression: {error}"));
            None
        }
    }
}

fn parse_placement(diagnostics: &mut Diagnostics<'_>, fields: &Fields<'_>) -> Option<Placement> {
    let node = fields.get("placement")?;
    let fields = Fields::of(diagnostics, node, "spec.placement", "a placement", &["position", "before", "after"])?;
    let is_clean = diagnostics.is_clean();
    let position = [("BeforeInit", Placement::BeforeInit), ("AfterInit", Placement::AfterInit)];
    let names: Vec<_> = position.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let chosen = fields.choice(diagnostics, "position", &names).flatten().map(|at| position[at].1.clone());
    let before = fields.string(diagnostics, "before").map(|name| Placement::Before(name.to_owned()));
    let after = fields.string(diagnostics, "after").map(|name| Placement::After(name.to_owned()));
    for name in ["before", "after"] {
        if fields.string(diagnostics, name).is_some_and(|name| !is_dns_label(name)) {
            fields.wrong(diagnostics, name, "must be the name of a container");
        }
    }
    let mut given = [chosen, before, after].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(placement), None) => Some(placement),
        // It was told what is wrong with the one that is there.
        (None, None) if is_clean && !diagnostics.is_clean() => None,
        _ => {
            diagnostics.add(node.position, "spec.placement", "must hold one of position, before and after");
            None
        }
    }
}

/// What the pod as a whole receives.
fn parse_pod(
    diagnostics: &mut Diagnostics<'_>,
    pod: Option<&Node>,
    shares: Option<&Node>,
    scope: &Scope<'_>,
) -> PodPart {
    let schema = Schema::get();
    let mut known = vec!["metadata", "spec"];
    if let Some(Value::Object(members)) = pod.map(|pod| &pod.value) {
        let of_spec = members.iter().map(|(key, _)| key).filter(|key| schema.spec.fields.contains_key(&key.name));
        for key in of_spec {
            let message = format!("belongs one level down: spec.pod.spec.{}", key.name);
            diagnostics.add(key.position, &format!("spec.pod.{}", key.name), message);
            known.push(&key.name);
        }
    }
    let pod = pod.and_then(|node| Fields::of(diagnostics, node, "spec.pod", "a partial pod", &known));
    let mut compiler = Compiler { diagnostics, scope, holes: Vec::new() };
    let place = Place::root("spec.pod");
    let mut part = |name| {
        let node = pod.as_ref().and_then(|fields| fields.get(name))?;
        if is_hole(node) {
            compiler.diagnostics.add(node.position, &place.member(name).to_string(), WRITTEN_OUT);
            return None;
        }
        Some(compiler.compile(node, schema.pod().field(name), &place.member(name)))
    };
    let (metadata, spec) = (part("metadata"), part("spec"));
    let shares = shares.filter(|node| node.value != Value::Null).and_then(|node| {
        if is_hole(node) {
            compiler.diagnostics.add(node.position, "spec.shares", WRITTEN_OUT);
            return None;
        }
        Some(compiler.compile(node, shares_type(), &Place::root("spec.shares")))
    });
    PodPart { metadata, spec, shares, holes: compiler.holes }
}

fn is_hole(node: &Node) -> bool {
    node.as_str().is_some_and(|text| pieces::plain(text).is_none())
}

/// A list of strings, as `args` of a container is.
pub(crate) fn shares_type() -> &'static Type {
    Schema::get().container.field("args")
}

/// An entry of `app`, and those of its fields that its containers receive.
fn parse_app_entry(
    diagnostics: &mut Diagnostics<'_>,
    node: &Node,
    path: &str,
    scope: &Scope<'_>,
) -> Option<(AppEntry, Node)> {
    const OWN: &[&str] = &["containers", "initContainers", "when", "override"];
    let known: Vec<_> = OWN.iter().chain(APP_FIELDS).copied().collect();
    let fields = Fields::of(diagnostics, node, path, "an app entry", &known)?;
    let mut globs = |name: &str| -> Vec<Glob> {
        fields.strings(diagnostics, name).into_iter().map(|glob| Glob(glob.to_owned())).collect()
    };
    let (containers, init_containers) = (globs("containers"), globs("initContainers"));
    for glob in containers.iter().chain(&init_containers) {
        if !glob.0.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '*') {
            let message =
                format!("names {}, and a name has small letters, digits and '-', with * for any text", shown(&glob.0));
            diagnostics.add(node.position, path, message);
        }
    }
    if fields.get("containers").is_none() && fields.get("initContainers").is_none() {
        diagnostics.add(node.position, path, "names no containers: add containers: [\"*\"] for all of them");
    }
    let when = parse_when(diagnostics, &fields, scope);
    let overrides = fields.boolean(diagnostics, "override").unwrap_or_default();
    let Value::Object(members) = &node.value else { return None };
    let given: Vec<_> = members.iter().filter(|(key, _)| APP_FIELDS.contains(&key.name.as_str())).cloned().collect();
    if given.is_empty() {
        let fields = APP_FIELDS.join(", ");
        diagnostics.add(node.position, path, format!("gives its containers nothing: write one of {fields}"));
    }
    let given = Node { value: Value::Object(given), position: node.position };
    let mut compiler = Compiler { diagnostics, scope, holes: Vec::new() };
    let container = compiler.compile(&given, Schema::get().spec.item("containers"), &Place::root(path));
    let holes = compiler.holes;
    Some((AppEntry { containers, init_containers, when, overrides, container, holes }, given))
}

#[cfg(test)]
mod tests {
    use crate::load::read;

    /// What is wrong with a template of this spec, one problem a line.
    fn problems(spec: &str) -> String {
        let text = format!(
            "apiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: large}}\nspec: {spec}\n"
        );
        let refused = read(&text, "large.yaml").remove(0).expect_err("it is refused");
        refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn many(number: usize, item: impl Fn(usize) -> String) -> String {
        (0..number).map(item).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_template_that_would_take_long_to_read_is_not_read() {
        let parameters = many(65, |at| format!("{{name: p{at}, type: string, default: x}}"));
        let containers = many(3000, |at| format!("{{name: c{at}, image: i}}"));
        let labels = many(10_000, |at| format!("l{at}: x"));
        for (spec, problem) in [
            (format!("{{parameters: [{parameters}]}}"), "has 65 parameters, and 64 are allowed"),
            (format!("{{pod: {{spec: {{containers: [{containers}]}}}}}}"), "has 3000 containers, and 64 are allowed"),
            (format!("{{pod: {{metadata: {{labels: {{{labels}}}}}}}}}"), "values, and 10000 are allowed"),
        ] {
            assert!(problems(&spec).contains(problem), "{}", problems(&spec));
        }
    }

    #[test]
    fn a_regular_expression_that_would_take_much_memory_is_refused() {
        let large = "{parameters: [{name: p, type: string, default: x, pattern: '^\\w{1,180}$'}], pod: {metadata: {labels: {a: b}}}}";
        assert!(problems(large).contains("exceeds size limit"), "{}", problems(large));
    }
}
