//! What is read: files, folders, URLs and standard input, each document with its place.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap_complete::engine::ArgValueCandidates;
use pillion_engine::catalog::Catalog;
use pillion_engine::template::TemplateName;
use pillion_engine::yaml::{self, Node, SyntaxError};
use serde_json::Value;

use super::complete::template_names;
use super::engine::EngineArgs;
use super::fetch::{self, fetch, is_url};
use super::namespaces::{NamespaceArgs, Namespaces};
use super::progress::Progress;
use super::selector::LabelSelector;
use super::settings::{Setting, Settings};
use crate::files::{self, MANIFESTS, SourceFile};
use crate::manifest::{self, Kept, each_object};

/// `-f`, as kubectl has it.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// File, folder, URL, or - for standard input; can be given several times
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<PathBuf>,

    /// Without effect, for those who are used to kubectl: folders are always read with the folders in them
    #[arg(short = 'R', long = "recursive")]
    _recursive: bool,
}

impl FileArgs {
    /// Reads all that was named, in order.
    pub(super) fn read(&self) -> anyhow::Result<Vec<SourceFile>> {
        ensure!(!self.filename.is_empty(), "name a file, a folder, a URL, or - for standard input, with --filename");
        Ok(read(&self.filename))
    }
}

/// Flags about the objects that are meant.
#[derive(Debug, clap::Args)]
pub(super) struct ObjectArgs {
    #[command(flatten)]
    pub(super) files: FileArgs,

    /// Only objects with these labels, such as app=web or 'tier in (web,api)'; the others are left as they are
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(super) selector: LabelSelector,
}

/// The flags of every command that goes over manifests.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    objects: ObjectArgs,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// Template for each pod, beside those that it asks for; can be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = TemplateName::from_str, add = ArgValueCandidates::new(template_names))]
    template: Vec<TemplateName>,

    /// A parameter for each pod that asks for the template; can be given several times
    #[arg(long, value_name = "TEMPLATE.PARAMETER=VALUE")]
    set: Vec<Setting>,
}

/// What the flags name, read; `C` is what is made of the flags about templates.
pub(super) struct Inputs<C = Catalog> {
    pub(super) files: Vec<SourceFile>,
    pub(super) catalog: C,
    pub(super) namespaces: Namespaces,
    pub(super) settings: Settings,
    pub(super) selector: LabelSelector,
}

impl Common {
    /// Where templates are, if not the built-in ones.
    pub(super) fn templates(&self) -> &[PathBuf] {
        &self.engine.templates
    }

    /// Reads the templates, the files, and the Namespaces in these: they count for all files, as they will in the cluster.
    pub(super) fn load(self) -> anyhow::Result<Inputs> {
        self.load_with(EngineArgs::load)
    }

    /// The same, where the templates are loaded otherwise.
    pub(super) fn load_with<C>(self, load: impl FnOnce(EngineArgs) -> anyhow::Result<C>) -> anyhow::Result<Inputs<C>> {
        let Common { objects: ObjectArgs { files, selector }, namespaces, engine, template, set } = self;
        let files = files.read()?;
        let catalog = load(engine)?;
        let mut namespaces = Namespaces::new(namespaces);
        let progress = Progress::start("looking for Namespaces", "files");
        for file in &files {
            find_namespaces(file, &mut namespaces);
            progress.add(1);
        }
        Ok(Inputs { files, catalog, namespaces, settings: Settings::new(template, set), selector })
    }
}

/// Remembers the Namespaces of a file.
pub(super) fn find_namespaces(file: &SourceFile, namespaces: &mut Namespaces) {
    // What cannot be read is reported when its pods are looked for.
    let documents = documents_with(file, |text| text.contains("Namespace")).flatten();
    for node in documents.filter_map(|document| document.node) {
        let visited: Result<Kept, Infallible> = each_object(&mut node.to_json(), &node, &mut |object| {
            if object.is_core("Namespace") {
                namespaces.insert(&file.path, object.node, object.value.clone());
            }
            Ok(Kept::Yes)
        });
        let Ok(_) = visited;
    }
}

/// Reads all that was named, in order.
pub(super) fn read(names: &[PathBuf]) -> Vec<SourceFile> {
    names.iter().flat_map(|name| read_one(name)).collect()
}

fn read_one(name: &Path) -> Vec<SourceFile> {
    if name == Path::new("-") {
        // What is typed must not be written over.
        let _progress = (!io::stdin().is_terminal()).then(|| Progress::start("reading standard input", ""));
        let text = files::read_text(io::stdin().lock(), MANIFESTS.bytes).map_err(|error| error.to_string());
        return vec![SourceFile { path: "standard input".into(), text: text.map(Arc::from) }];
    }
    if let Some(url) = name.to_str().filter(|name| is_url(name)) {
        let shown = fetch::shown(url);
        let _progress = Progress::start(format!("reading {shown}"), "");
        return vec![SourceFile { path: shown.into(), text: fetch(url, fetch::LIMITS).map(Arc::from) }];
    }
    let _progress = Progress::start(format!("reading {}", name.display()), "");
    let files = files::read(&[name.to_owned()], MANIFESTS);
    if files.is_empty() {
        let why = "no .yaml, .yml or .json file in there".to_owned();
        return vec![SourceFile { path: name.to_owned(), text: Err(why) }];
    }
    files
}

/// Reads one file, URL or standard input.
pub(super) fn read_file(name: &Path) -> anyhow::Result<Arc<str>> {
    ensure!(!name.is_dir(), "{}: a folder; name one file of it", name.display());
    let file = read_one(name).into_iter().next().context("nothing was read")?;
    file.text.map_err(anyhow::Error::msg).with_context(|| file.path.display().to_string())
}

/// A document of a file.
pub(super) struct Document<'t> {
    /// What was written, with the comments.
    pub(super) text: &'t str,
    /// How many lines of the file come before it.
    pub(super) lines: usize,
    /// The same, read; `None` if it is empty.
    pub(super) node: Option<Node>,
}

/// The documents of a file, each with what is wrong with it, as a line with its place, if it cannot be read.
pub(super) fn documents(file: &SourceFile) -> impl Iterator<Item = Result<Document<'_>, String>> {
    documents_with(file, |_| true)
}

fn documents_with(
    file: &SourceFile,
    is_wanted: fn(&str) -> bool,
) -> impl Iterator<Item = Result<Document<'_>, String>> {
    let (text, unreadable) = match &file.text {
        Ok(text) => (&**text, None),
        Err(why) => ("", Some(Err(format!("{}: {why}", file.path.display())))),
    };
    let mut lines = 0;
    let documents = manifest::documents(text).into_iter().map(move |text| {
        let before = lines;
        lines += text.matches('\n').count();
        (text, before)
    });
    let documents = documents.filter(move |(text, _)| is_wanted(text)).map(|(text, lines)| {
        let node = manifest::parse(text, lines).map_err(|error| syntax_error(&file.path, text, &error))?;
        match &node {
            Some(Node { value, position, .. }) if !matches!(value, yaml::Value::Object(_)) => {
                let place = format!("{}:{}:{}", file.path.display(), position.line, position.column);
                Err(format!("{place}: not a Kubernetes object, which is a map with apiVersion and kind"))
            }
            _ => Ok(Document { text, lines, node }),
        }
    });
    unreadable.into_iter().chain(documents)
}

/// Why a document of a file cannot be read, with its place.
fn syntax_error(file: &Path, document: &str, error: &SyntaxError) -> String {
    let SyntaxError { position, message } = error;
    let place = format!("{}:{}:{}", file.display(), position.line, position.column);
    // Templates of ours have holes, ${{ … }}, in quotes.
    if document.replace("${{", "").contains("{{") {
        return format!(
            "{place}: this looks like a Helm template; render its chart first: helm template CHART | pillion inject -f -"
        );
    }
    format!("{place}: {message}")
}

/// A pod must have the shape of one, and its labels and annotations must be strings: an API server would refuse it, and
/// `inject: false` must not be ignored.
pub(super) fn check_shape(pod: &Value) -> Result<(), String> {
    for (place, pointer, is_needed) in [
        ("metadata", "/metadata", false),
        ("metadata.labels", "/metadata/labels", false),
        ("metadata.annotations", "/metadata/annotations", false),
        ("spec", "/spec", true),
    ] {
        match pod.pointer(pointer) {
            None | Some(Value::Null) if !is_needed => {}
            Some(Value::Object(_)) => {}
            _ => return Err(format!("{place} must be a map")),
        }
    }
    for list in ["containers", "initContainers"] {
        let items = pod["spec"].get(list).filter(|items| !items.is_null());
        if items.is_some_and(|items| !items.as_array().is_some_and(|items| items.iter().all(Value::is_object))) {
            return Err(format!("spec.{list} must be a list of maps"));
        }
    }
    for map in ["labels", "annotations"] {
        let members = pod.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        if let Some((key, value)) = members.into_iter().flatten().find(|(_, value)| !value.is_string()) {
            return Err(format!("metadata.{map}[{key}] must be a string; quote {value}"));
        }
    }
    Ok(())
}
