//! `pillion impact`: what a change of templates means for the workloads that ask for them.
//!
//! Each pod template is evaluated twice, with the old and with the new templates, and the two results are compared. What is
//! true of many workloads is told once.

mod difference;
mod findings;
mod format;
mod git;
mod json;
mod judge;
mod markdown;
mod secrets;
mod sides;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;

use anyhow::Context as _;
use serde_json::Value;

use self::findings::{Class, OfTemplate, Tally};
use self::git::Range;
use self::judge::{Compared, Judged, judge};
use self::sides::{Key, Problem, Sides, Where};
use super::evaluate::{Candidate, NotSent};
use super::input::{self, Common, Document, Inputs};
use super::namespaces::Namespaces;
use super::output::{print, report};
use super::progress::Progress;
use super::settings::Settings;
use crate::manifest::{Kept, Object, PodTemplate, each_object};

/// Flags of `pillion impact`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion impact --git main --templates deploy/templates -f apps/
  pillion impact --git origin/main...HEAD --templates deploy/templates -f apps/ -o markdown
  pillion impact --from old/ --to new/ -f apps/")]
pub(crate) struct Args {
    /// Folder or file with the old templates; can be given several times
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "git")]
    from: Vec<PathBuf>,

    /// Folder or file with the new templates, if not what --templates names; can be given several times
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "git")]
    to: Vec<PathBuf>,

    /// Compare what --templates names at two revisions of its git repository: main..HEAD; main...HEAD for what HEAD changed
    /// since it left main, as in a pull request; or main alone, for the files as they are
    #[arg(long, value_name = "REVISIONS", value_parser = Range::from_str)]
    git: Option<Range>,

    #[command(flatten)]
    common: Common,

    /// How to write what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// An object with all that is found
    Json,
    /// For a comment on a pull request
    Markdown,
}

/// A pod template.
struct Workload {
    /// Such as `shop/deployment/web`.
    name: String,
    file: PathBuf,
    line: u64,
    class: Class,
}

/// All that is found.
struct Impact {
    labels: [String; 2],
    templates: Vec<OfTemplate>,
    problems: Vec<Problem>,
    workloads: Vec<Workload>,
    tally: Tally,
    /// How many pod templates are in namespaces that do not send their pods.
    not_sent: usize,
}

/// Compares what the old and the new templates make of all pods that were named. The exit code is 1 when a pod or a template
/// is refused that was not.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { from, to, git, common, output } = args;
    let loaded = common.load_with(|engine| {
        let at = Where::of(from, to, git, &engine.templates)?;
        Sides::load(&at, &engine)
    })?;
    let Inputs { files, catalog: sides, namespaces, settings, mut selector } = loaded;
    let progress = Progress::start("comparing", "objects");
    let mut comparison =
        Comparison { sides, namespaces, settings, of_templates: BTreeMap::new(), workloads: Vec::new(), not_sent: 0 };
    let mut is_unreadable = false;
    for file in &files {
        for document in input::documents(file) {
            match document {
                Ok(Document { node: Some(node), .. }) => {
                    each_object(&mut node.to_json(), &node, &mut |object| {
                        progress.add(1);
                        if selector.selects(object.value) {
                            comparison.object(&file.path, object)?;
                        }
                        anyhow::Ok(Kept::Yes)
                    })?;
                }
                Ok(Document { node: None, .. }) => {}
                Err(why) => {
                    report(format_args!("error: {why}"));
                    is_unreadable = true;
                }
            }
        }
    }
    let Comparison { sides, namespaces, settings, .. } = &comparison;
    drop(progress);
    settings.report_unused(&sides.catalogs[1], namespaces.name(None));
    selector.report_unused();
    let impact = comparison.finish();
    if impact.workloads.is_empty() && impact.not_sent == 0 {
        report("warning: there is no pod template in the input");
    }
    print(match output {
        Format::Text => text::write(&impact),
        Format::Json => format!("{:#}\n", json::value(&impact)),
        Format::Markdown => markdown::write(&impact),
    })?;
    Ok(ExitCode::from(if is_unreadable { 2 } else { u8::from(impact.refuses_more()) }))
}

impl Impact {
    fn refuses_more(&self) -> bool {
        self.tally.of(Class::NewlyRefused) > 0 || self.problems.iter().any(|problem| problem.at == [false, true])
    }
}

/// The comparison of all pods, one after the other.
struct Comparison {
    sides: Sides,
    namespaces: Namespaces,
    settings: Settings,
    of_templates: BTreeMap<Option<Key>, OfTemplate>,
    workloads: Vec<Workload>,
    not_sent: usize,
}

impl Comparison {
    /// Compares the pods of an object.
    fn object(&mut self, file: &Path, mut object: Object<'_>) -> anyhow::Result<()> {
        let namespace = self.namespaces.name(object.namespace.as_deref()).to_owned();
        let (name, line) = (object.name_in(&namespace), object.line);
        let (group, kind) = (object.group.clone(), object.kind.clone());
        object.each_pod(&mut |template| {
            let name = template.subject(&name);
            let class = self.pod(&template, &namespace, (&group, &kind));
            match class.with_context(|| format!("{}:{line} {name}: the patch does not apply", file.display()))? {
                Ok(class) => self.workloads.push(Workload { name, file: file.to_owned(), line, class }),
                Err(NotSent::ByNamespace(_)) => self.not_sent += 1,
                Err(NotSent::Malformed(why)) => {
                    report(format_args!("{}:{line} {name}: {why}", file.display()));
                    self.workloads.push(Workload { name, file: file.to_owned(), line, class: Class::StillRefused });
                }
            }
            anyhow::Ok(())
        })
    }

    /// Compares the results for a pod, and notes what is found.
    fn pod(
        &mut self,
        template: &PodTemplate<'_>,
        namespace: &str,
        (group, kind): (&str, &str),
    ) -> anyhow::Result<Result<Class, NotSent>> {
        let candidate = match Candidate::new(template, namespace, &self.namespaces, &mut self.settings)? {
            Ok(candidate) => candidate,
            Err(why) => return Ok(Err(why)),
        };
        let [old, new] = self.sides.catalogs.each_ref().map(|catalog| candidate.evaluate(catalog, group, kind));
        let of_namespace = self.namespaces.object(namespace).map_or(&Value::Null, |it| &it["metadata"]["annotations"]);
        let compared = Compared { namespace, pod: &candidate.pod, evaluations: [old?, new?], of_namespace };
        let Judged { templates, findings, class } = judge(&compared, &self.sides);
        let workload = self.workloads.len();
        for (key, class) in templates {
            self.of_template(Some(key)).tally.add(class);
        }
        for (key, finding, container) in findings {
            self.of_template(key).note(finding, workload, container);
        }
        Ok(Ok(class))
    }

    fn of_template(&mut self, key: Option<Key>) -> &mut OfTemplate {
        let status = key.as_ref().map_or(sides::Status::Changed, |key| self.sides.status(key));
        self.of_templates.entry(key.clone()).or_insert_with(|| OfTemplate::new(key, status))
    }

    fn finish(mut self) -> Impact {
        for key in self.sides.statuses.keys().cloned().collect::<Vec<_>>() {
            self.of_template(Some(key));
        }
        let mut templates: Vec<_> = self.of_templates.into_values().filter(OfTemplate::is_of_interest).collect();
        templates.sort_by_key(format::order);
        let mut tally = Tally::default();
        self.workloads.iter().for_each(|workload| tally.add(workload.class));
        tell_apart(&mut self.workloads);
        let Sides { labels, problems, .. } = self.sides;
        Impact { labels, templates, problems, workloads: self.workloads, tally, not_sent: self.not_sent }
    }
}

/// Adds the place to the names of workloads that have the name of another one.
fn tell_apart(workloads: &mut [Workload]) {
    let mut known: HashMap<String, usize> = HashMap::new();
    for workload in &*workloads {
        *known.entry(workload.name.clone()).or_default() += 1;
    }
    for workload in workloads.iter_mut().filter(|workload| known[&workload.name] > 1) {
        workload.name += &format!(" ({}:{})", workload.file.display(), workload.line);
    }
}
