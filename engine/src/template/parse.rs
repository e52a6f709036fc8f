//! From a document to a template: each part to its own reader.

use super::diagnostics::{Diagnostics, Fields};
use super::part::{Compiler, WRITTEN_OUT};
use super::{AppEntry, Glob, Parameter, Placement, PodPart, PodSecurity, Selector, Template, token};
use super::{parameter, selector};
use crate::expression::{Expression, Scope, pieces};
use crate::image::ImageMirror;
use crate::names::{OnError, TemplateName, digest, is_dns_label};
use crate::rules::report::Place;
use crate::rules::security::Level;
use crate::schema::{Schema, Type};
use crate::text::{did_you_mean, nearest, shown};
use crate::yaml::{Key, Node, Value};

const API_VERSION: &str = "pillion.dev/v1alpha1";
/// The most parameters, app entries, containers, volumes and shares that a template may have, of each.
const MAX_ITEMS: usize = 64;
/// The most names of containers in all entries of `app`.
const MAX_NAMES: usize = 256;
/// The most values that may stand in a template, objects and lists included.
const MAX_VALUES: usize = 10_000;

const TEMPLATE: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
const PARTIAL_POD: [&str; 2] = ["metadata", "spec"];
const PLACEMENT: &[&str] = &["position", "before", "after"];
#[rustfmt::skip]
const METADATA: &[&str] = &[
    "name", "namespace", "labels", "annotations", "creationTimestamp", "finalizers", "generation", "managedFields",
    "ownerReferences", "resourceVersion", "uid",
];
#[rustfmt::skip]
const SPEC: &[&str] = &[
    "description", "parameters", "when", "namespaceSelector", "onError", "placement", "serviceAccountToken", "shares",
    "safeToEvictVolumes", "os", "hostNetwork", "imageMirrors", "allowShadowing", "pod", "app",
];
const APP_ENTRY: &[&str] = &["containers", "initContainers", "when", "override"];
/// What a pod's own containers can receive.
#[rustfmt::skip]
const APP_FIELDS: &[&str] = &[
    "env", "envFrom", "volumeMounts", "volumeDevices", "ports", "startupProbe", "livenessProbe", "readinessProbe",
    "lifecycle", "resources",
];

/// The fields of each object of the format, by its place in a template: for those who describe it.
pub fn fields() -> [(&'static str, Vec<&'static str>); 9] {
    [
        ("", TEMPLATE.to_vec()),
        ("metadata", METADATA.to_vec()),
        ("spec", SPEC.to_vec()),
        ("spec.parameters[]", parameter::FIELDS.to_vec()),
        ("spec.namespaceSelector", selector::FIELDS.to_vec()),
        ("spec.namespaceSelector.matchExpressions[]", selector::REQUIREMENT.to_vec()),
        ("spec.placement", PLACEMENT.to_vec()),
        ("spec.pod", PARTIAL_POD.to_vec()),
        ("spec.app[]", [APP_ENTRY, APP_FIELDS].concat()),
    ]
}

/// A template and what it was read from.
pub(crate) struct Parsed {
    pub(crate) template: Template,
    /// Its `spec`, with what follows from other fields written out.
    pub(crate) spec: Node,
    /// What each entry of `app` gives to its containers.
    pub(crate) app: Vec<Node>,
}

/// A whole document. Whatever is wrong with it goes to the diagnostics.
pub(crate) fn document(diagnostics: &Diagnostics<'_>, node: &Node) -> Option<Parsed> {
    let fields = Fields::of(diagnostics, node, String::new(), "a template", TEMPLATE)?;
    if fields.required_string("apiVersion").is_some_and(|version| version != API_VERSION) {
        fields.wrong_field("apiVersion", format!("must be {API_VERSION}"));
    }
    fields.require("kind");
    let is_namespaced = fields.choice("kind", &[("ClusterInjectionTemplate", false), ("InjectionTemplate", true)]);
    let (name, namespace) = parse_metadata(&fields, is_namespaced.unwrap_or_default())?;
    report_size(diagnostics, fields.require("spec")?);
    if !diagnostics.is_clean() {
        return None;
    }
    let spec = fields.object("spec", "a template's spec", SPEC)?;
    Some(parse_spec(&spec, name, namespace))
}

/// Whoever may write templates for one namespace must not be able to keep a server of all namespaces busy.
fn report_size(diagnostics: &Diagnostics<'_>, spec: &Node) {
    let count = |node: Option<&Node>, list: &str| node.and_then(|node| node.get(list)).map_or(0, |it| it.items().len());
    let pod = spec.get("pod").and_then(|pod| pod.get("spec"));
    let entries = spec.get("app").map(Node::items).unwrap_or_default().iter();
    let names = entries.map(|entry| count(Some(entry), "containers") + count(Some(entry), "initContainers")).sum();
    for (what, number, most) in [
        ("parameters", count(Some(spec), "parameters"), MAX_ITEMS),
        ("entries of app", count(Some(spec), "app"), MAX_ITEMS),
        ("names of containers in app", names, MAX_NAMES),
        ("shares", count(Some(spec), "shares"), MAX_ITEMS),
        ("image mirrors", count(Some(spec), "imageMirrors"), MAX_ITEMS),
        ("safeToEvictVolumes", count(Some(spec), "safeToEvictVolumes"), MAX_ITEMS),
        ("containers", count(pod, "initContainers") + count(pod, "containers"), MAX_ITEMS),
        ("volumes", count(pod, "volumes"), MAX_ITEMS),
        ("values", spec.size(), MAX_VALUES),
    ] {
        if number > most {
            diagnostics.add(spec.position, "spec", format!("has {number} {what}, and {most} are allowed"));
        }
    }
}

fn parse_metadata(template: &Fields<'_>, is_namespaced: bool) -> Option<(TemplateName, Option<String>)> {
    if template.get("metadata").is_none() {
        template.wrong_field("metadata", "is missing: a template needs metadata.name");
    }
    let fields = template.object("metadata", "a template's metadata", METADATA)?;
    let name = fields.required_string("name")?;
    let namespace = fields.string("namespace").filter(|_| is_namespaced).map(str::to_owned);
    if is_namespaced && namespace.is_none() {
        fields.wrong("lacks namespace: an InjectionTemplate is for one namespace");
    }
    let name = name.parse().map_err(|error| fields.wrong_field("name", error)).ok()?;
    Some((name, namespace))
}

fn parse_spec(fields: &Fields<'_>, name: TemplateName, namespace: Option<String>) -> Parsed {
    let Fields { diagnostics, node, .. } = *fields;
    let mut parameters: Vec<Parameter> = Vec::new();
    for entry in fields.objects("parameters", "a parameter", parameter::FIELDS) {
        let Some(parameter) = Parameter::parse(&entry) else { continue };
        if parameters.iter().any(|other| other.name == parameter.name) {
            let path = format!("{}.name", entry.path);
            diagnostics.add(entry.node.position, path, format!("is {} a second time", parameter.name));
        }
        parameters.push(parameter);
    }
    parameters.shrink_to_fit();
    let declared = parameters.iter().map(|it| (it.name.as_str(), it.value_type())).collect();
    let mut scope = Scope { parameters: declared, container: false };
    let when = parse_when(fields, &scope);
    let os = fields.strings("os");
    if os.iter().any(|os| os != "linux" && os != "windows") {
        fields.wrong_field("os", "must hold linux, windows or both");
    }
    let mut body = node.clone();
    let token = fields.boolean("serviceAccountToken");
    let withholds_token = token == Some(false);
    if withholds_token {
        token::withhold(diagnostics, &mut body);
    }
    let pod = body.get("pod");
    let part = parse_pod(fields, pod, &scope);
    judge_safe_to_evict(fields);
    scope.container = true;
    let known = [APP_ENTRY, APP_FIELDS].concat();
    let entries = fields.objects("app", "an app entry", &known);
    let (app, app_nodes): (Vec<_>, Vec<_>) = entries.map(|entry| parse_app_entry(&entry, &scope)).unzip();
    let gives = |part: &str| pod.is_some_and(|pod| pod.get(part).is_some());
    if fields.get("app").is_none() && !gives("metadata") && !gives("spec") {
        fields.wrong("gives a pod nothing: write pod.metadata, pod.spec or app");
    }
    let host_network = fields.boolean("hostNetwork");
    let on_host = pod.and_then(|pod| pod.get("spec")?.get("hostNetwork"));
    if let Some(node) = on_host.filter(|node| node.value == Value::Bool(true) && host_network != Some(true)) {
        diagnostics.add(node.position, "spec.pod.spec.hostNetwork", "needs spec.hostNetwork: true as well");
    }
    let holes = part.holes.iter().chain(app.iter().flat_map(|entry| &entry.holes));
    let conditions = when.iter().chain(app.iter().filter_map(|entry| entry.when.as_ref()));
    let expressions: Vec<&Expression> = holes.flat_map(|hole| hole.expressions()).chain(conditions).collect();
    // Files and API servers give the same digest, though API servers sort keys.
    let mut json = node.to_json();
    json.sort_all_objects();
    let template = Template {
        description: fields.string("description").unwrap_or_default().trim().to_owned(),
        digest: digest(&[json.to_string().as_bytes()]),
        host_network,
        image_mirrors: parse_image_mirrors(fields),
        withholds_token,
        needs_token: token == Some(true),
        weight: node.size() + expressions.len(),
        reads: expressions.iter().filter(|expression| !expression.reads_only_parameters()).count(),
        loops: expressions.iter().any(|expression| expression.loops),
        os,
        allows_shadowing: fields.boolean("allowShadowing").unwrap_or_default(),
        namespace_selector: Selector::parse(fields),
        on_error: fields.choice("onError", &[("Deny", OnError::Deny), ("Skip", OnError::Skip)]),
        placement: parse_placement(fields).unwrap_or_default(),
        pod: part,
        parameters,
        name,
        namespace,
        when,
        app,
        default_digest: None,
        warnings: Vec::new(),
        // It is judged once all of it was read.
        pod_security: PodSecurity { level: Level::Restricted, breaches: Vec::new(), unknown: Vec::new() },
    };
    Parsed { template: template.with_presets(), spec: body, app: app_nodes }
}

fn parse_when(fields: &Fields<'_>, scope: &Scope<'_>) -> Option<Expression> {
    let source = fields.string("when")?;
    let compiled = Expression::compile(source, scope);
    if let Err(error) = &compiled {
        let message = if source.contains("${{") {
            "is an expression itself: leave ${{ and }} out".to_owned()
        } else {
            format!("has a wrong expression: {error}")
        };
        fields.wrong_field("when", message);
    }
    compiled.ok()
}

fn parse_image_mirrors(fields: &Fields<'_>) -> Vec<ImageMirror> {
    let parse = |text: String| {
        let mirror = text.parse();
        mirror.map_err(|must| fields.wrong_field("imageMirrors", format!("holds {}, which {must}", shown(&text)))).ok()
    };
    fields.strings("imageMirrors").into_iter().filter_map(parse).collect()
}

fn parse_placement(spec: &Fields<'_>) -> Option<Placement> {
    let fields = spec.object("placement", "a placement", PLACEMENT)?;
    let position = [("BeforeInit", Placement::BeforeInit), ("AfterInit", Placement::AfterInit)];
    let position = fields.choice("position", &position);
    let container = |field: &str| {
        let name = fields.string(field)?;
        if !is_dns_label(name) {
            fields.wrong_field(field, "must be the name of a container");
        }
        Some(name.to_owned())
    };
    let (before, after) = (container("before").map(Placement::Before), container("after").map(Placement::After));
    if PLACEMENT.iter().filter(|field| fields.get(field).is_some()).count() != 1 {
        fields.wrong("must hold one of position, before and after");
    }
    position.or(before).or(after)
}

/// What may be lost with a node is a volume of the template's own that is on the node. Its name is compared as it was
/// written, so that an expression may give it.
fn judge_safe_to_evict(spec: &Fields<'_>) {
    const FIELD: &str = "safeToEvictVolumes";
    let volumes = spec.get("pod").and_then(|pod| pod.get("spec")?.get("volumes")).map(Node::items).unwrap_or_default();
    fn name(volume: &Node) -> Option<&str> {
        volume.get("name")?.as_str()
    }
    let is_on_disk = |(key, source): &(Key, Node)| match key.name.as_str() {
        "name" | "hostPath" => true,
        "emptyDir" => source.get("medium").and_then(Node::as_str) != Some("Memory"),
        _ => source.value == Value::Null,
    };
    let is_local = |volume: &Node| volume.members().iter().all(is_on_disk);
    for (at, item) in spec.list(FIELD).iter().enumerate() {
        let written = item.as_str().unwrap_or_default();
        let message = match volumes.iter().find(|volume| name(volume) == Some(written)) {
            Some(volume) if is_local(volume) => continue,
            Some(_) => {
                "must be a hostPath, or an emptyDir that is not in memory: the Cluster Autoscaler keeps no node for another volume".to_owned()
            }
            None => {
                let hint = did_you_mean(nearest(written, volumes.iter().filter_map(name)));
                format!("must be the name of one of spec.pod.spec.volumes, as it is written there{hint}")
            }
        };
        spec.diagnostics.add(item.position, format!("spec.{FIELD}[{at}]"), message);
    }
}

/// What the pod as a whole receives.
fn parse_pod(spec: &Fields<'_>, pod: Option<&Node>, scope: &Scope<'_>) -> PodPart {
    let (diagnostics, schema) = (spec.diagnostics, Schema::get());
    let mut known = PARTIAL_POD.to_vec();
    for (Key { name, position }, _) in pod.map(Node::members).unwrap_or_default() {
        if schema.spec.fields.get(name).is_some() {
            let message = format!("belongs one level down: spec.pod.spec.{name}");
            diagnostics.add(*position, format!("spec.pod.{name}"), message);
            known.push(name);
        }
    }
    let pod = pod.and_then(|node| Fields::of(diagnostics, node, "spec.pod".to_owned(), "a partial pod", &known));
    let field = |name: &str| pod.as_ref().and_then(|fields| fields.get(name));
    let mut compiler = Compiler { diagnostics, scope, holes: Vec::new() };
    let mut compile = |node: Option<&Node>, kind: &'static Type, place: &str| {
        let node = node.filter(|node| node.value != Value::Null)?;
        if node.as_str().is_some_and(|text| pieces::plain(text).is_none()) {
            diagnostics.add(node.position, place, WRITTEN_OUT);
            return None;
        }
        Some(compiler.whole(node, kind, &Place::root(place)))
    };
    PodPart {
        metadata: compile(field("metadata"), schema.pod().field("metadata"), "spec.pod.metadata"),
        spec: compile(field("spec"), schema.pod().field("spec"), "spec.pod.spec"),
        shares: compile(spec.get("shares"), names_type(), "spec.shares"),
        safe_to_evict: compile(spec.get("safeToEvictVolumes"), names_type(), "spec.safeToEvictVolumes"),
        holes: compiler.holes.into(),
        uses_presets: false,
    }
}

/// A list of strings, as `args` of a container is.
pub(crate) fn names_type() -> &'static Type {
    Schema::get().metadata.field("finalizers")
}

/// An entry of `app`, and those of its fields that its containers receive.
fn parse_app_entry(fields: &Fields<'_>, scope: &Scope<'_>) -> (AppEntry, Node) {
    let mut globs = Vec::new();
    for list in ["containers", "initContainers"] {
        globs.extend(fields.strings(list).into_iter().map(|glob| (list, Glob(glob))));
    }
    for (_, Glob(glob)) in &globs {
        if !glob.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '*') {
            fields.wrong(format!(
                "names {}, and a name has small letters, digits and '-', with * for any text",
                shown(glob)
            ));
        }
    }
    if fields.get("containers").is_none() && fields.get("initContainers").is_none() {
        fields.wrong("names no containers: add containers: [\"*\"] for all of them");
    }
    let members = fields.node.members().iter().filter(|(key, _)| APP_FIELDS.contains(&key.name.as_str()));
    let given: Vec<_> = members.cloned().collect();
    if given.is_empty() {
        fields.wrong(format!("gives its containers nothing: write one of {}", APP_FIELDS.join(", ")));
    }
    let given = Node { value: Value::Object(given), position: fields.node.position, is_private: false };
    let mut compiler = Compiler { diagnostics: fields.diagnostics, scope, holes: Vec::new() };
    let container = compiler.whole(&given, Schema::get().spec.item("containers"), &Place::root(&fields.path));
    let entry = AppEntry {
        globs,
        when: parse_when(fields, scope),
        overrides: fields.boolean("override").unwrap_or_default(),
        again: container.clone(),
        container,
        holes: compiler.holes.into(),
        uses_presets: false,
    };
    (entry, given)
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
        let words = many(257, |at| format!("w{at}"));
        for (spec, problem) in [
            (format!("{{parameters: [{parameters}]}}"), "has 65 parameters, and 64 are allowed"),
            (format!("{{pod: {{spec: {{containers: [{containers}]}}}}}}"), "has 3000 containers, and 64 are allowed"),
            (format!("{{shares: [{words}]}}"), "has 257 shares, and 64 are allowed"),
            (
                format!("{{app: [{{containers: [{words}]}}]}}"),
                "has 257 names of containers in app, and 256 are allowed",
            ),
            (format!("{{pod: {{metadata: {{labels: {{{labels}}}}}}}}}"), "values, and 10000 are allowed"),
        ] {
            assert!(problems(&spec).contains(problem), "{}", problems(&spec));
        }
    }

    #[test]
    fn a_template_whose_expressions_would_take_long_is_refused() {
        let (list, labels) = (
            many(900, |_| "'1'".to_owned()),
            many(100, |at| format!("l{at}: \"${{{{ params.list.map(x, [x{}]).size() }}}}\"", ", x".repeat(250))),
        );
        let spec = format!(
            "{{parameters: [{{name: list, type: list, default: [{list}]}}], pod: {{metadata: {{labels: {{{labels}}}}}}}}}"
        );
        assert!(problems(&spec).contains("work on more than 16777216 bytes"), "{}", problems(&spec));
    }

    #[test]
    fn a_regular_expression_that_would_take_much_memory_is_refused() {
        let large = "{parameters: [{name: p, type: string, default: x, pattern: '^.{1,1000}$'}], pod: {metadata: {labels: {a: b}}}}";
        assert!(problems(large).contains("exceeds size limit"), "{}", problems(large));
    }
}
