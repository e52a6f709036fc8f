//! How a file becomes a template.

mod advise;

use crate::names::TemplateName;
use crate::template::reader::{Problem, Reader};
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
    let mut template = document::document(&mut reader, node);
    if let Some((template, spec)) = template.as_mut().filter(|_| reader.is_clean()) {
        advise::run(&mut reader, spec, template);
    }
    match template {
        Some((template, _)) if reader.is_clean() => Ok(template),
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
