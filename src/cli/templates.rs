//! `pillion templates`: which templates there are, what they take, and how a new one begins.

mod new;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::engine::ArgValueCandidates;
use pillion_engine::load;
use pillion_engine::yaml::{self, Node};
use serde_json::Value;

use super::complete::template_names;
use super::output::print;
use crate::catalog::Source;
use crate::manifest;

/// Subcommands of `pillion templates`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the templates, with what each is for
    #[command(after_help = "\
Examples:
  pillion templates list
  pillion templates list --templates templates/")]
    List(From),
    /// Show a template's parameters, with their rules, and how to ask for it
    #[command(after_help = "\
Examples:
  pillion templates show envoy
  pillion templates show envoy -o yaml > templates/envoy.yaml")]
    Show {
        /// The template
        #[arg(add = ArgValueCandidates::new(template_names))]
        name: String,

        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,

        #[command(flatten)]
        from: From,
    },
    /// Write the beginning of a template: of a container in a workload, or an empty one
    New(new::Args),
}

/// Where templates come from.
#[derive(Debug, clap::Args)]
pub(crate) struct From {
    /// Folder or file with templates, instead of the built-in ones; can be given several times
    #[arg(long, env = "PILLION_TEMPLATES", value_name = "DIR", value_delimiter = ',')]
    templates: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// The template itself, to copy and to change
    Yaml,
}

/// A template as it was written.
struct Written {
    name: String,
    text: String,
    value: Value,
}

/// Runs a subcommand.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New(args) => return new::run(args),
        Command::List(from) => list(&from.read()?)?,
        Command::Show { name, output, from } => {
            let templates = from.read()?;
            let found = templates.iter().find(|template| template.name == name);
            let template = found.with_context(|| {
                let names: Vec<_> = templates.iter().map(|template| template.name.as_str()).collect();
                format!("there is no template {name}; there are {}", names.join(", "))
            })?;
            match output {
                Format::Text => print(template.describe())?,
                Format::Yaml => print(&template.text)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(templates: &[Written]) -> anyhow::Result<()> {
    let width = templates.iter().map(|template| template.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for template in templates {
        let description = template.description();
        let sentence = description.split_once(". ").map_or(description.as_str(), |(first, _)| first);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", template.name, sentence.trim_end_matches('.'));
    }
    print(text)
}

impl From {
    fn read(self) -> anyhow::Result<Vec<Written>> {
        let mut templates = Vec::new();
        for file in Source::of(self.templates, Source::Cookbook)?.read() {
            let path = file.path.display().to_string();
            let text = file.text.map_err(anyhow::Error::msg).context(path)?;
            for document in manifest::documents(&text) {
                // What is no template is for `pillion lint` to say.
                let Ok(Some(node)) = yaml::read_document(document, 0) else { continue };
                let value = node.to_json();
                let is_template = value["apiVersion"].as_str().is_some_and(|it| it.starts_with("pillion.dev/"));
                if let Some(name) = value["metadata"]["name"].as_str().filter(|_| is_template).map(str::to_owned) {
                    templates.push(Written { name, text: document.to_owned(), value });
                }
            }
        }
        Ok(templates)
    }
}

impl Written {
    /// On one line.
    fn description(&self) -> String {
        self.value["spec"]["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn describe(&self) -> String {
        let spec = &self.value["spec"];
        let mut text = format!("{}\n", self.name);
        if let Some(description) = spec["description"].as_str() {
            text += &format!("\n{}\n", description.trim());
        }
        let parameters: Vec<_> = spec["parameters"].as_array().into_iter().flatten().collect();
        if !parameters.is_empty() {
            text += "\nParameters:\n";
            parameters.iter().for_each(|parameter| text += &describe_parameter(parameter));
        }
        // What a namespace alone may set is no pod's to say.
        let needed = parameters.iter().filter(|parameter| is_needed(parameter));
        let (of_namespace, of_pod): (Vec<&Value>, Vec<&Value>) =
            needed.partition(|parameter| parameter["settableBy"] == "Namespace");
        let flags: String = of_pod.iter().map(|parameter| format!(" --set {}", self.argument(parameter))).collect();
        let annotations = |needed: &[&Value]| -> String {
            let line = |parameter: &&Value| {
                let value = Value::from(example(parameter));
                format!("  {}.pillion.dev/{}: {value}\n", self.name, parameter["name"].as_str().unwrap_or_default())
            };
            needed.iter().map(line).collect()
        };
        text += &match load::parse(&Node::from(self.value.clone()), "") {
            Ok(template) => format!("\nPod Security: {}\n", template.pod_security.level),
            Err(_) => "\nIt is broken: pillion lint says where.\n".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\nTry it:\n  pillion inject -f FILE --template {0}{flags}\n\nAsk for it, in the annotations of a pod \
             template:\n  pillion.dev/templates: {0}\n{1}",
            self.name,
            annotations(&of_pod)
        );
        if !of_namespace.is_empty() {
            let _ = write!(text, "and in those of its namespace:\n{}", annotations(&of_namespace));
        }
        text
    }

    /// A parameter with its example as a shell takes it for one word, whatever the example is.
    fn argument(&self, parameter: &Value) -> String {
        let value = example(parameter).replace('\'', r"'\''");
        format!("'{}.{}={value}'", self.name, parameter["name"].as_str().unwrap_or_default())
    }
}

/// A value that the template shows for a parameter that must be set.
fn example(parameter: &Value) -> String {
    shown(&parameter["example"]).or_else(|| shown(&parameter["enum"][0])).unwrap_or_else(|| "…".to_owned())
}

fn is_needed(parameter: &Value) -> bool {
    parameter["default"].is_null() && parameter["optional"] != true
}

/// A parameter, what it takes, and what it is for.
fn describe_parameter(parameter: &Value) -> String {
    let mut rules = vec![shown(&parameter["type"]).unwrap_or_default()];
    rules.push(match shown(&parameter["default"]) {
        _ if is_needed(parameter) => "must be set".to_owned(),
        Some(_) => format!("default {}", parameter["default"]),
        None => "optional".to_owned(),
    });
    for (field, before, after) in [
        ("minimum", "at least ", ""),
        ("maximum", "at most ", ""),
        ("maxLength", "at most ", " characters"),
        ("pattern", "must match ", ""),
    ] {
        rules.extend(shown(&parameter[field]).map(|value| format!("{before}{value}{after}")));
    }
    rules.extend(match parameter["settableBy"].as_str() {
        Some("Namespace") => Some("set by the namespace alone".to_owned()),
        Some("Nobody") => Some("set by nobody".to_owned()),
        _ => None,
    });
    if parameter["sensitive"] == true {
        rules.push("never shown in messages".to_owned());
    }
    if let Some(values) = parameter["enum"].as_array() {
        rules.push(format!("one of {}", values.iter().filter_map(shown).collect::<Vec<_>>().join(", ")));
    }
    // One that must be set has its example in the command below.
    if !is_needed(parameter) && parameter["default"].is_null() {
        rules.extend(shown(&parameter["example"]).map(|value| format!("for example {value}")));
    }
    let name = shown(&parameter["name"]).unwrap_or_default();
    let description = shown(&parameter["description"]).unwrap_or_default();
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = if description.is_empty() { String::new() } else { format!("      {description}\n") };
    format!("  {name} ({})\n{line}", rules.join("; "))
}

/// A value as it is written in an annotation; `None` for null.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}
