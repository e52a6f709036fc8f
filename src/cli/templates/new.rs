//! `pillion templates new`: the beginning of a template, of a container in a workload if one is named.

mod scaffold;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{bail, ensure};
use pillion_engine::template::TemplateName;
use serde_json::Value;

use self::scaffold::Scaffold;
use super::super::input::{self, Document};
use super::super::output::{print, report};
use crate::manifest::{Kept, each_object};

/// The most containers that a message names.
const MAX_NAMED: usize = 20;

/// Flags of `pillion templates new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion templates new redis > templates/redis.yaml
  pillion templates new redis -f web.yaml -c redis > templates/redis.yaml")]
pub(crate) struct Args {
    /// The name of the template
    #[arg(value_parser = TemplateName::from_str)]
    name: TemplateName,

    /// Manifest with a workload that has the container, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,

    /// The container of which the template is made: an init container, or one that becomes a native sidecar
    #[arg(short, long, value_name = "CONTAINER", requires = "filename")]
    container: Option<String>,
}

/// A container of a pod in a manifest.
struct Found {
    /// File, line, namespace, kind and name of the workload.
    subject: String,
    /// The pod, as it would be sent to the API server.
    pod: Value,
    /// The volumes that the workload's controller adds to it.
    claims: Vec<String>,
    /// The list in which the container is, and its place there.
    list: &'static str,
    at: usize,
}

impl Found {
    fn container(&self) -> &Value {
        &self.pod["spec"][self.list][self.at]
    }

    fn name(&self) -> &str {
        self.container()["name"].as_str().unwrap_or_default()
    }
}

/// Prints the template. The exit code is 2 when a part of the input cannot be read.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { name, filename, container } = args;
    let Some(filename) = filename else {
        print(text::skeleton(&name)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let (all, code) = containers(&filename)?;
    // What cannot be read has been told.
    if all.is_empty() && code != ExitCode::SUCCESS {
        return Ok(code);
    }
    ensure!(!all.is_empty(), "there is no pod in what --filename names");
    let Some(container) = container else { bail!("name one with --container: {}", named(&all)) };
    let found: Vec<_> = all.iter().filter(|found| found.name() == container).collect();
    let found = match found[..] {
        [] => bail!("there is no container {container:?}; there are {}", named(&all)),
        [found] => found,
        _ => bail!("several pods have a container {container}: {}; name a file with one of them", named(found)),
    };
    let scaffold = Scaffold::of(&name, found)?;
    scaffold.notes.iter().for_each(|note| report(format_args!("{}: {note}", found.subject)));
    print(text::template(&scaffold, found)?)?;
    Ok(code)
}

/// The containers, each with its workload.
fn named<'f>(all: impl IntoIterator<Item = &'f Found>) -> String {
    let mut all = all.into_iter();
    let named = all.by_ref().take(MAX_NAMED).map(|found| format!("{} ({})", found.name(), found.subject));
    let mut named: Vec<_> = named.collect();
    match all.count() {
        0 => {}
        more => named.push(format!("and {more} more")),
    }
    named.join(", ")
}

/// All containers of the pods in a file. What cannot be read is reported.
fn containers(filename: &Path) -> anyhow::Result<(Vec<Found>, ExitCode)> {
    let (mut all, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for file in &input::read(&[filename.to_owned()]) {
        for document in input::documents(file) {
            let node = match document {
                Ok(Document { node: Some(node), .. }) => node,
                Ok(Document { node: None, .. }) => continue,
                Err(why) => {
                    report(format_args!("error: {why}"));
                    code = ExitCode::from(2);
                    continue;
                }
            };
            each_object(&mut node.to_json(), &node, &mut |mut object| {
                let namespace = object.namespace.clone().unwrap_or_else(|| "default".to_owned());
                let subject = object.subject(&file.path, &namespace);
                object.each_pod(&mut |template| {
                    let pod = template.pod(&namespace);
                    for list in ["initContainers", "containers"] {
                        let number = pod["spec"][list].as_array().map_or(0, Vec::len);
                        all.extend((0..number).map(|at| Found {
                            subject: subject.clone(),
                            pod: pod.clone(),
                            claims: template.claims().to_vec(),
                            list,
                            at,
                        }));
                    }
                    anyhow::Ok(())
                })?;
                anyhow::Ok(Kept::Yes)
            })?;
        }
    }
    Ok((all, code))
}
