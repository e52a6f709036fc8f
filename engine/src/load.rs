//! How a file becomes a template: it is parsed, what can be filled in without a pod is filled in, and the rules go over both.

mod advise;
mod fill;
mod levels;
mod prove;

use crate::names::TemplateName;
use crate::template::diagnostics::{Diagnostic, Diagnostics};
use crate::template::{Template, parse as document};
use crate::yaml::{self, Node};

/// A template that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its name, if that much could be read.
    pub name: Option<TemplateName>,
    /// Its namespace, if it is an `InjectionTemplate` and that much could be read.
    pub namespace: Option<String>,
    /// Everything that is wrong with it, in the order of the file.
    pub problems: Vec<Diagnostic>,
}

/// Reads every document of a YAML or JSON file. Each stands alone: a broken one does not touch the others.
pub fn read(text: &str, file: &str) -> Vec<Result<Template, Refused>> {
    yaml::read(text)
        .into_iter()
        .map(|document| match document {
            Ok(node) => parse(&node, file),
            Err(error) => {
                let diagnostics = Diagnostics::new(file);
                diagnostics.add(error.position, "", error.message);
                Err(Refused { name: None, namespace: None, problems: diagnostics.into_sorted() })
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
    let diagnostics = Diagnostics::new(file);
    let template = document::document(&diagnostics, node).map(|parsed| prove::prove(&diagnostics, parsed));
    match template {
        Some(template) if diagnostics.is_clean() => Ok(template),
        _ => {
            let metadata = |field| node.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Node::as_str);
            let is_namespaced = node.get("kind").and_then(Node::as_str) == Some("InjectionTemplate");
            Err(Refused {
                name: metadata("name").and_then(|name| name.parse().ok()),
                namespace: metadata("namespace").filter(|_| is_namespaced).map(str::to_owned),
                problems: diagnostics.into_sorted(),
            })
        }
    }
}
