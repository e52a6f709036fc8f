//! From a document to a template: each part to its own reader, and then all of it to the trial.

use super::expression::{Expression, Scope};
use super::fragment::Compiler;
use super::reader::{Fields, Reader};
use super::{AppEntry, Glob, NotADnsLabel, OnError, Parameter, Placement, PodPart, Selector, Template, TemplateName};
use super::{check, digest, is_dns_label, parameter, trial};
use crate::schema::Schema;
use crate::shown;
use crate::yaml::{Key, Node, Value};

const API_VERSION: &str = "pillion.dev/v1alpha1";
/// The most parameters, app entries, containers and volumes that a template may have, of each.
const MAX_ITEMS: usize = 64;
/// The most values that may stand in a template, objects and lists included.
const MAX_VALUES: usize = 10_000;

/// A whole document. Whatever is wrong with it goes to the reader.
pub(super) fn document(reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
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
    is_bounded(reader, spec).then(|| parse_spec(reader, spec, name, namespace))?
}

/// Whether a template is small enough to be read at all: whoever may write one for his namespace must not be able to keep
/// a server of all namespaces busy.
fn is_bounded(reader: &mut Reader<'_>, spec: &Node) -> bool {
    let list = |node: Option<&Node>, name: &str| node.and_then(|node| node.get(name)).map_or(0, |it| it.items().len());
    let pod = spec.get("pod").and_then(|pod| pod.get("spec"));
    let bounds = [
        ("parameters", list(Some(spec), "parameters"), MAX_ITEMS),
        ("entries of app", list(Some(spec), "app"), MAX_ITEMS),
        ("containers", list(pod, "initContainers") + list(pod, "containers"), MAX_ITEMS),
        ("volumes", list(pod, "volumes"), MAX_ITEMS),
        ("values", spec.values(), MAX_VALUES),
    ];
    for (what, number, most) in bounds {
        if number > most {
            reader.problem(spec.position, "spec", format!("has {number} {what}, and {most} are allowed"));
        }
    }
    reader.is_clean()
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
    let app: Vec<_> =
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
    let holes = pod.holes.iter().chain(app.iter().flat_map(|entry| &entry.holes));
    let conditions = when.iter().chain(app.iter().filter_map(|entry| entry.when.as_ref()));
    let expressions: Vec<&Expression> = holes.flat_map(|hole| hole.expressions()).chain(conditions).collect();
    let template = Template {
        description: fields.string(reader, "description").unwrap_or_default().trim().to_owned(),
        digest: digest(&[canonical(node).as_bytes()]),
        host_network,
        weight: node.values() + expressions.len(),
        reads: expressions.iter().filter(|expression| !expression.reads_only_parameters()).count(),
        loops: expressions.iter().any(|expression| expression.loops()),
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

/// The same text for the same template, whether it comes from a file or from an API server, which sorts keys.
fn canonical(node: &Node) -> String {
    let mut json = node.to_json();
    json.sort_all_objects();
    json.to_string()
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
mod tests {
    use crate::template::read;

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
