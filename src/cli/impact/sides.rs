//! The old and the new templates: where they are, which of them are new, changed or gone, and which cannot be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use pillion_engine::catalog::Catalog;
use pillion_engine::template::TemplateName;

use super::git::{self, Range};
use super::secrets::Secrets;
use crate::catalog::{Loaded, Source};
use crate::cli::engine::EngineArgs;
use crate::cli::output::report;
use crate::files::SourceFile;

/// A template: its name, and its namespace if it is for one.
pub(super) type Key = (TemplateName, Option<String>);

/// Where the old and the new templates are.
pub(super) enum Where {
    /// In two sets of files and folders.
    Folders { from: Vec<PathBuf>, to: Vec<PathBuf> },
    /// In these files and folders of a git repository, at two revisions.
    Git { roots: Vec<PathBuf>, range: Range },
}

/// What has happened to a template.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    Added,
    Removed,
    Changed,
    Unchanged,
    /// It can be loaded no more, or is new and cannot be loaded.
    Broken,
    /// It could not be loaded, and now it can.
    Mended,
    /// It can be loaded neither before nor now.
    StillBroken,
    /// There is no such template, and there was none.
    Unknown,
}

/// Something that is wrong with the files.
pub(super) struct Problem {
    /// The ends at which it is: old, new.
    pub(super) at: [bool; 2],
    pub(super) message: String,
}

/// Old and new templates.
pub(super) struct Sides {
    /// What people call the two ends.
    pub(super) labels: [String; 2],
    pub(super) catalogs: [Catalog; 2],
    pub(super) statuses: BTreeMap<Key, Status>,
    pub(super) problems: Vec<Problem>,
    pub(super) secrets: Secrets,
}

impl Where {
    /// Where the flags say that the templates are.
    pub(super) fn of(
        from: Vec<PathBuf>,
        to: Vec<PathBuf>,
        git: Option<Range>,
        templates: &[PathBuf],
    ) -> anyhow::Result<Where> {
        if let Some(range) = git {
            ensure!(
                !templates.is_empty(),
                "--git: name the folder or file in the repository that has the templates, with --templates"
            );
            return Ok(Where::Git { roots: templates.to_vec(), range });
        }
        ensure!(
            !from.is_empty(),
            "name the old templates with --from and the new ones with --to; or the folder of both with --templates, and the old \
             revision with --git"
        );
        let to = if to.is_empty() { templates.to_vec() } else { to };
        ensure!(!to.is_empty(), "name the new templates, with --to");
        for (flag, root) in from.iter().map(|root| ("--from", root)).chain(to.iter().map(|root| ("--to", root))) {
            root.metadata().with_context(|| format!("{flag} {}: cannot be read", root.display()))?;
        }
        Ok(Where::Folders { from, to })
    }

    /// The old and the new files.
    fn read(&self) -> anyhow::Result<[Vec<SourceFile>; 2]> {
        let (roots, range) = match self {
            Where::Folders { from, to } => return Ok([from, to].map(|roots| Source::Files(roots.clone()).read())),
            Where::Git { roots, range } => (roots, range),
        };
        let mut files = [Vec::new(), Vec::new()];
        for root in roots {
            let [from, to] = git::read(root, range)?;
            let as_it_is = || root.symlink_metadata().is_ok().then(|| Source::Files(vec![root.clone()]).read());
            let ends = [from, if range.to.is_some() { to } else { as_it_is() }];
            if ends.iter().all(Option::is_none) {
                let [from, to] = self.labels();
                bail!("--templates {}: neither in {from} nor in {to}", root.display());
            }
            files.iter_mut().zip(ends).for_each(|(files, end)| files.extend(end.into_iter().flatten()));
        }
        Ok(files)
    }

    fn labels(&self) -> [String; 2] {
        let list = |roots: &[PathBuf]| roots.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ");
        match self {
            Where::Folders { from, to } => [list(from), list(to)],
            Where::Git { range, .. } => {
                [range.from.clone(), range.to.clone().unwrap_or_else(|| "the working tree".into())]
            }
        }
    }

    /// What files are named by at each end, and what differs for no other reason.
    fn roots(&self) -> [&[PathBuf]; 2] {
        match self {
            Where::Folders { from, to } => [from, to],
            Where::Git { roots, .. } => [roots, roots],
        }
    }
}

impl Sides {
    /// Reads the templates of both ends.
    pub(super) fn load(at: &Where, engine: &EngineArgs) -> anyhow::Result<Sides> {
        let files = at.read()?;
        let labels = at.labels();
        for (_, label) in files.iter().zip(&labels).filter(|(files, _)| files.is_empty()) {
            report(format_args!("warning: there is no template in {label}"));
        }
        let secrets = Secrets::of(files.iter().flatten());
        let [(old, before), (new, after)] = files.map(|files| engine.catalog(&files));
        Ok(Sides {
            labels,
            catalogs: [old, new],
            statuses: statuses(&before, &after),
            problems: problems([&before.problems, &after.problems], at.roots()),
            secrets,
        })
    }

    /// What has happened to a template.
    pub(super) fn status(&self, key: &Key) -> Status {
        self.statuses.get(key).copied().unwrap_or(Status::Unknown)
    }

    /// The template that a name means for pods of a namespace. Where it means two, that is the one that has changed.
    pub(super) fn key(&self, name: &TemplateName, namespace: &str) -> Key {
        let of = |catalog: &Catalog| {
            let template = catalog.template(name.as_str(), namespace)?;
            Some((template.name.clone(), template.namespace.clone()))
        };
        let [own, wide] = [Some(namespace.to_owned()), None].map(|namespace| (name.clone(), namespace));
        let [old, new] = self.catalogs.each_ref().map(of);
        let is_changed = |key: &Key| !matches!(self.status(key), Status::Unchanged | Status::Unknown);
        let found = [new.clone(), old.clone(), Some(own), Some(wide.clone())].into_iter().flatten().find(is_changed);
        found.or(new).or(old).unwrap_or(wide)
    }

    /// Whether pods of a namespace get another version of a template than before, or a template of which there was none.
    pub(super) fn is_changed(&self, name: &TemplateName, namespace: &str) -> bool {
        let [old, new] = self.digests(name, namespace);
        old != new
    }

    /// The digests of what a name meant and means for pods of a namespace.
    pub(super) fn digests(&self, name: &TemplateName, namespace: &str) -> [Option<&str>; 2] {
        self.catalogs.each_ref().map(|it| Some(it.template(name.as_str(), namespace)?.digest.as_str()))
    }
}

fn statuses(before: &Loaded, after: &Loaded) -> BTreeMap<Key, Status> {
    let good = |loaded: &Loaded| -> BTreeMap<Key, String> {
        let each = loaded.templates().map(|it| ((it.name.clone(), it.namespace.clone()), it.digest.clone()));
        each.collect()
    };
    let broken = |loaded: &Loaded| -> BTreeSet<Key> { loaded.broken().cloned().collect() };
    let [(good_before, broken_before), (good_after, broken_after)] = [before, after].map(|it| (good(it), broken(it)));
    let keys: BTreeSet<&Key> =
        good_before.keys().chain(&broken_before).chain(good_after.keys()).chain(&broken_after).collect();
    let status = |key: &Key| match (good_before.get(key), good_after.get(key)) {
        (Some(before), Some(after)) if before == after => Status::Unchanged,
        (Some(_), Some(_)) => Status::Changed,
        (None, Some(_)) if broken_before.contains(key) => Status::Mended,
        (None, Some(_)) => Status::Added,
        (None, None) if broken_before.contains(key) && broken_after.contains(key) => Status::StillBroken,
        (_, None) if broken_after.contains(key) => Status::Broken,
        (_, None) => Status::Removed,
    };
    keys.into_iter().map(|key| (key.clone(), status(key))).collect()
}

/// What is wrong at either end. What is wrong at both, but for folder and line, is one problem.
fn problems([before, after]: [&[String]; 2], [old_roots, new_roots]: [&[PathBuf]; 2]) -> Vec<Problem> {
    let known: BTreeSet<_> = before.iter().map(|problem| without_place(problem, old_roots)).collect();
    let mut problems = Vec::new();
    let mut still = BTreeSet::new();
    for problem in after {
        let key = without_place(problem, new_roots);
        problems.push(Problem { at: [known.contains(&key), true], message: problem.clone() });
        still.insert(key);
    }
    let gone = before.iter().filter(|problem| !still.contains(&without_place(problem, old_roots)));
    problems.extend(gone.map(|problem| Problem { at: [true, false], message: problem.clone() }));
    problems
}

/// A problem without the folder and the lines, which differ between the ends for other reasons.
fn without_place(problem: &str, roots: &[PathBuf]) -> String {
    let mut text = problem.to_owned();
    for root in roots {
        let folder = Path::new(root).join("").display().to_string();
        text = text.replace(&folder, "");
    }
    let mut words = text.split(':');
    let first = words.next().unwrap_or_default().to_owned();
    words
        .filter(|word| word.is_empty() || !word.bytes().all(|it| it.is_ascii_digit()))
        .fold(first, |text, word| text + ":" + word)
}
