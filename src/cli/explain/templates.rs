//! Where the template files have their templates, for what is said of how to change one.

use std::path::PathBuf;

use pillion_engine::yaml::{self, Node};

use crate::cli::input::Common;
use crate::files;
use crate::manifest;

/// The files and folders with templates; none for the built-in ones.
pub(super) struct TemplateFiles(Vec<PathBuf>);

/// A template in a file.
pub(super) struct TemplatePlace {
    /// The namespace that an `InjectionTemplate` is for.
    pub(super) namespace: Option<String>,
    pub(super) file: String,
    /// The line of its name.
    pub(super) line: u64,
    /// The line of its namespace.
    pub(super) namespace_line: u64,
}

impl TemplateFiles {
    /// Those that the flags name.
    pub(super) fn of(common: &Common) -> TemplateFiles {
        TemplateFiles(common.templates().to_vec())
    }

    /// Where the templates of a name are. The files are read again: it is asked only when something is wrong with one.
    pub(super) fn find(&self, name: &str) -> Vec<TemplatePlace> {
        let mut places = Vec::new();
        for file in files::read(&self.0, files::TEMPLATES) {
            let path = file.path.display().to_string();
            let Ok(text) = file.text else { continue };
            let mut lines = 0;
            for document in manifest::documents(&text) {
                if let Ok(Some(node)) = yaml::read_document(document, lines) {
                    places.extend(place(&node, name, &path));
                }
                lines += document.matches('\n').count() as u64;
            }
        }
        places
    }
}

fn place(node: &Node, name: &str, file: &str) -> Option<TemplatePlace> {
    let is_template = node.get("apiVersion")?.as_str()?.starts_with("pillion.dev/");
    let metadata = node.get("metadata").filter(|_| is_template)?;
    let (found, namespace) = (metadata.get("name")?, metadata.get("namespace"));
    (found.as_str() == Some(name)).then(|| TemplatePlace {
        namespace: namespace.and_then(Node::as_str).map(str::to_owned),
        file: file.to_owned(),
        line: found.position.line,
        namespace_line: namespace.unwrap_or(found).position.line,
    })
}
