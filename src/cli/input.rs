//! What is read: files, folders and standard input, each document with its place.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pillion_engine::catalog::Catalog;
use pillion_engine::template::TemplateName;
use pillion_engine::yaml::{Node, SyntaxError};
use serde_json::Value;

use super::engine::EngineArgs;
use super::namespaces::{NamespaceArgs, Namespaces};
use super::settings::{Setting, Settings};
use crate::files::{self, SourceFile};
use crate::manifest::{self, Kept, each_object};

/// Far more than any rendered chart.
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// The flags of every command that goes over manifests.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Manifest, folder of manifests, or - for standard input; can be given several times
    #[arg(short, long = "filename", value_name = "FILE")]
    filename: Vec<PathBuf>,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    /// Template for each pod, beside those that it asks for; can be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = TemplateName::from_str)]
    template: Vec<TemplateName>,

    /// A parameter for each pod that asks for the template; can be given several times
    #[arg(long, value_name = "TEMPLATE.PARAMETER=VALUE")]
    set: Vec<Setting>,
}

/// What the flags name, read.
pub(super) struct Inputs {
    pub(super) files: Vec<SourceFile>,
    pub(super) catalog: Catalog,
    pub(super) namespaces: Namespaces,
    pub(super) settings: Settings,
}

impl Common {
    /// Where templates are, if not the built-in ones.
    pub(super) fn templates(&self) -> &[PathBuf] {
        self.engine.templates()
    }

    /// Reads the templates, the files, and the Namespaces in these: they count for all files, as they will in the cluster.
    pub(super) fn load(self) -> anyhow::Result<Inputs> {
        let Common { filename, namespaces, engine, template, set } = self;
        ensure!(
            !filename.is_empty(),
            "name a manifest, a folder of manifests, or - for standard input, with --filename"
        );
        let catalog = engine.load()?;
        let files = read(&filename);
        let mut namespaces = Namespaces::new(namespaces);
        files.iter().for_each(|file| find_namespaces(file, &mut namespaces));
        Ok(Inputs { files, catalog, namespaces, settings: Settings::new(template, set) })
    }
}

fn find_namespaces(file: &SourceFile, namespaces: &mut Namespaces) {
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
        let text = files::read_text(io::stdin().lock(), MANIFEST_BYTES).map_err(|error| error.to_string());
        return vec![SourceFile { path: "standard input".into(), text: text.map(Arc::from) }];
    }
    let files = files::read(&[name.to_owned()], MANIFEST_BYTES);
    if files.is_empty() {
        let why = "no .yaml, .yml or .json file in there".to_owned();
        return vec![SourceFile { path: name.to_owned(), text: Err(why) }];
    }
    files
}

/// Reads one file, or standard input.
pub(super) fn read_file(name: &Path) -> anyhow::Result<Arc<str>> {
    let file = read_one(name).into_iter().next().context("nothing was read")?;
    file.text.map_err(anyhow::Error::msg).with_context(|| file.path.display().to_string())
}

/// A document of a file.
pub(super) struct Document<'t> {
    /// What was written, with the comments.
    pub(super) text: &'t str,
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
        Ok(Document { text, node })
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

/// Labels and annotations must be strings. An API server would refuse the pod, and `inject: false` must not be ignored.
pub(super) fn check_strings(pod: &Value) -> Result<(), String> {
    for map in ["labels", "annotations"] {
        let members = pod.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        if let Some((key, value)) = members.into_iter().flatten().find(|(_, value)| !value.is_string()) {
            return Err(format!("metadata.{map}[{key}] must be a string; quote {value}"));
        }
    }
    Ok(())
}
