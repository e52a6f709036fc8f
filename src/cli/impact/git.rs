//! Templates as they were at a revision, read by the program `git`.
//!
//! No shell is called. A revision becomes the hash of a commit first, and only that hash goes into other calls.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::files::{self, SourceFile, TEMPLATES};

const INSTEAD: &str = "or name two folders, with --from and --to";

/// What `--git` names: two revisions, or one and the files as they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Range {
    /// The old revision.
    pub(super) from: String,
    /// The new one; without it, the files as they are.
    pub(super) to: Option<String>,
    /// Whether the old one is where the two parted, as in a pull request.
    since_fork: bool,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let (from, to, since_fork) = match (text.split_once("..."), text.split_once("..")) {
            (Some((from, to)), _) => (from, Some(to), true),
            (None, Some((from, to))) => (from, Some(to), false),
            (None, None) => (text, None, false),
        };
        if text.is_empty() || [Some(from), to].into_iter().flatten().any(|revision| revision.starts_with('-')) {
            return Err(
                "name a revision, such as main, or two, such as main..HEAD or main...HEAD; none begins with -".into()
            );
        }
        // As git does.
        let or_head = |revision: &str| if revision.is_empty() { "HEAD" } else { revision }.to_owned();
        Ok(Range { from: or_head(from), to: to.map(or_head), since_fork })
    }
}

/// The templates of one root at both ends of a range; `None` for an end at which it is not there, and for the files as they
/// are.
pub(super) fn read(root: &Path, range: &Range) -> anyhow::Result<[Option<Vec<SourceFile>>; 2]> {
    let place = Place::find(root)?;
    let mut from = place.commit(&range.from)?;
    let to = range.to.as_deref().map(|revision| place.commit(revision)).transpose()?;
    if let Some(to) = to.as_deref().filter(|_| range.since_fork) {
        from = place.fork(&from, to)?.with_context(|| {
            let new = range.to.as_deref().unwrap_or_default();
            let old = &range.from;
            format!("--git: {old} and {new} have no common commit here; fetch more of the history, {INSTEAD}")
        })?;
    }
    let read = |commit: &str| place.read(commit);
    Ok([read(&from)?, to.as_deref().map(read).transpose()?.flatten()])
}

/// A root of templates in a repository.
struct Place<'r> {
    /// As it was named.
    root: &'r Path,
    /// A folder of the repository, in which git is called.
    folder: PathBuf,
    /// The root as the repository names it; empty if it is all of the repository.
    path: String,
}

impl<'r> Place<'r> {
    fn find(root: &'r Path) -> anyhow::Result<Place<'r>> {
        let named = |path: &Path| if path.as_os_str().is_empty() { ".".into() } else { path.to_owned() };
        // What is deleted by now is found by the folder that it was in.
        let there = root.ancestors().find(|path| named(path).is_dir()).unwrap_or(Path::new(""));
        let rest = root.strip_prefix(there).unwrap_or(root);
        let folder = named(there);
        let prefix = output(git(&folder).args(["rev-parse", "--show-prefix"]))?;
        if !prefix.status.success() {
            bail!(
                "--git: {}: {}; run it in a clone of the repository, {INSTEAD}",
                folder.display(),
                complaint(&prefix)
            );
        }
        let not_text = || format!("--git: the name of {} is not UTF-8", root.display());
        let prefix = String::from_utf8(prefix.stdout).with_context(not_text)?;
        let mut path = prefix.trim_end_matches('\n').trim_end_matches('/').to_owned();
        for part in rest.components().filter(|part| *part != Component::CurDir) {
            path += if path.is_empty() { "" } else { "/" };
            path += part.as_os_str().to_str().with_context(not_text)?;
        }
        Ok(Place { root, folder, path })
    }

    /// The hash of a revision's commit.
    fn commit(&self, revision: &str) -> anyhow::Result<String> {
        let found =
            output(git(&self.folder).args(["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")]))?;
        let hash = String::from_utf8(found.stdout).unwrap_or_default().trim().to_owned();
        // Nothing else may go into a command as if it were a hash.
        if !found.status.success() || hash.is_empty() || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!(
                "--git: there is no revision {revision} in the repository of {}; correct its name, or fetch it first: CI often \
                 clones the newest commit alone (of actions/checkout, fetch-depth: 0 is the whole history)",
                self.root.display()
            );
        }
        Ok(hash)
    }

    /// Where two commits parted, if they have something in common.
    fn fork(&self, from: &str, to: &str) -> anyhow::Result<Option<String>> {
        let base = output(git(&self.folder).args(["merge-base", from, to]))?;
        let hash = String::from_utf8_lossy(&base.stdout).trim().to_owned();
        Ok(Some(hash).filter(|hash| base.status.success() && !hash.is_empty()))
    }

    /// The files at a commit, in the order in which a folder is read; `None` if there is nothing.
    fn read(&self, commit: &str) -> anyhow::Result<Option<Vec<SourceFile>>> {
        let mut list = git(&self.folder);
        list.args(["ls-tree", "-r", "-z", "--full-tree", commit]);
        if !self.path.is_empty() {
            list.args(["--", &self.path]);
        }
        let listed = output(&mut list)?;
        if !listed.status.success() {
            bail!("--git: {}: {}", self.root.display(), complaint(&listed));
        }
        if listed.stdout.is_empty() {
            return Ok(None);
        }
        let entries = listed.stdout.split(|byte| *byte == 0);
        let mut entries: Vec<_> = entries.filter_map(|entry| self.entry(&String::from_utf8_lossy(entry))).collect();
        entries.sort_by(|one, other| one.below.cmp(&other.below));
        let mut blobs = Blobs::open(&self.folder)?;
        let mut files = Vec::new();
        for Entry { below, path, may_be_folder } in entries {
            let text = blobs.read(&format!("{commit}:{path}"))?;
            if may_be_folder && text != Err(FOLDER.into()) {
                continue;
            }
            if files.len() >= TEMPLATES.files {
                let why = format!("not read to its end: more than {} files", TEMPLATES.files);
                files.push(SourceFile { path: self.root.to_owned(), text: Err(why) });
                break;
            }
            let path = if below.as_os_str().is_empty() { self.root.to_owned() } else { self.root.join(below) };
            files.push(SourceFile { path, text: text.map(Arc::from) });
        }
        Ok(Some(files))
    }

    /// What is to be read of an entry of a tree: its mode, type and hash, and behind a tab its path.
    fn entry(&self, line: &str) -> Option<Entry> {
        let (about, path) = line.split_once('\t')?;
        let below = Path::new(path.strip_prefix(&self.path)?.trim_start_matches('/'));
        // The root itself is read whatever its name.
        let is_read = below.as_os_str().is_empty() || files::is_read(below);
        // Only git knows where a link leads, and in a folder there could be something to read.
        let may_be_folder = !is_read && about.starts_with("120000") && files::is_read(&below.join("any.yaml"));
        (is_read || may_be_folder).then(|| Entry { below: below.to_owned(), path: path.to_owned(), may_be_folder })
    }
}

/// A file of a tree.
struct Entry {
    /// Its path below the root; empty if it is the root.
    below: PathBuf,
    /// Its path in the repository.
    path: String,
    /// Whether it is of interest only as a link to a folder.
    may_be_folder: bool,
}

const FOLDER: &str = "a link to a folder, which is not followed at a revision; name that folder too, with --templates";

/// A `git cat-file` that is asked for one file after the other.
struct Blobs {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    fn open(folder: &Path) -> anyhow::Result<Blobs> {
        let mut command = git(folder);
        command.args(["cat-file", "--batch", "--follow-symlinks"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(not_started)?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("git cat-file has no output")?;
        Ok(Blobs { child, requests, answers: BufReader::new(answers) })
    }

    /// The text of a file, named by commit and path, or why it cannot be had.
    fn read(&mut self, name: &str) -> anyhow::Result<Result<String, String>> {
        if name.contains('\n') {
            return Ok(Err("has a line break in its name; rename it".into()));
        }
        let mut requests = self.requests.as_ref().context("git cat-file has no input")?;
        writeln!(requests, "{name}").context("--git: git cat-file has ended")?;
        let mut header = String::new();
        self.answers.read_line(&mut header).context("--git: git cat-file has ended")?;
        let mut words = header.trim_end().rsplit(' ');
        let (size, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some(size) = size.parse::<u64>().ok() else {
            return Ok(Err(format!("git does not have it: {}", header.trim_end())));
        };
        let mut content = self.answers.by_ref().take(size);
        let text = match kind {
            "blob" => files::read_text(&mut content, TEMPLATES.bytes).map_err(|error| error.to_string()),
            "tree" => Err(FOLDER.into()),
            "symlink" => Err("a link to what is outside of the repository".into()),
            _ => Err("a link that leads nowhere".into()),
        };
        // What was not read is not wanted, and neither is the line's end behind it.
        io::copy(&mut content, &mut io::sink())?;
        self.answers.read_exact(&mut [0])?;
        Ok(text)
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        self.requests = None;
        // It ends with its input, and how does not matter any more.
        let _ = self.child.wait();
    }
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // Hooks of git set these, for their own repository and as seen from its top.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).output().map_err(not_started)
}

fn not_started(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow::anyhow!("--git: there is no program git in PATH; install it, {INSTEAD}")
        }
        _ => anyhow::anyhow!("--git: git cannot be started: {error}"),
    }
}

/// What git says is wrong.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().map(|line| line.trim().trim_start_matches("fatal: ")).collect();
    lines.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_git_reads_it() {
        let range = |from: &str, to: Option<&str>, since_fork| {
            Ok(Range { from: from.into(), to: to.map(str::to_owned), since_fork })
        };
        assert_eq!("main".parse(), range("main", None, false));
        assert_eq!("v1..HEAD~2".parse(), range("v1", Some("HEAD~2"), false));
        assert_eq!("main...topic".parse(), range("main", Some("topic"), true));
        assert_eq!("..topic".parse(), range("HEAD", Some("topic"), false));
        assert_eq!("main..".parse(), range("main", Some("HEAD"), false));
        for wrong in ["", "-x", "--output=/etc/passwd", "main..-x", "-x...main"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
