//! A child process that cannot outlive the tests.
//!
//! Rust runs no destructors for statics, nor at all when a test process is killed. So each child has a shell beside it
//! that reads its orders from a pipe: a signal's name a line. When the pipe closes, for whatever reason, the child dies.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::Value;

use super::{PATIENCE, eventually};

const LAUNCHER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
# Nobody may be left to read what this shell has to say, and to say it would kill it.
exec >/dev/null 2>&1
{ while read -r signal; do kill -s "$signal" "$child"; done; kill -s KILL "$child"; } <&3 &
orders=$!
exec 3<&-
code=0
wait "$child" || code=$?
kill "$orders"
exit "$code"
"#;

// The processes that write into the folder end at the same time as this reads to the end.
const REMOVER: &str = r#"cat >/dev/null; until rm -rf "$1"; do sleep 0.1; done"#;

/// A temporary folder that is removed when the tests end, however they end.
pub(crate) struct Folder {
    path: PathBuf,
    // Its standard input ends when this is dropped, or with the process.
    _remover: Child,
}

impl Folder {
    pub(crate) fn new(prefix: &str) -> Folder {
        let path = tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder").keep();
        let remover = Command::new("sh")
            .args(["-c", REMOVER, "remover"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        Folder { path, _remover: remover }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file, and gives its path as an argument of a program.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let file = self.path(name);
        fs::write(&file, text).expect("the folder is writable");
        file.display().to_string()
    }
}

pub(crate) struct Process {
    name: String,
    launcher: Child,
    orders: ChildStdin,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Process {
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Process {
        let mut launcher = Command::new("sh")
            .args(["-c", LAUNCHER, "launcher"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh starts");
        Process {
            name: program.display().to_string(),
            orders: launcher.stdin.take().expect("stdin is piped"),
            stdout: Lines::gather(launcher.stdout.take().expect("stdout is piped")),
            stderr: Lines::gather(launcher.stderr.take().expect("stderr is piped")),
            launcher,
        }
    }

    pub(crate) fn stdout(&self) -> &Arc<Lines> {
        &self.stdout
    }

    pub(crate) fn stderr(&self) -> &Arc<Lines> {
        &self.stderr
    }

    /// Sends a signal, named as `kill` names it.
    pub(crate) fn signal(&mut self, signal: &str) {
        writeln!(self.orders, "{signal}").expect("the launcher reads its orders");
    }

    /// Whether the process has ended, by itself or not.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.launcher.try_wait().expect("the launcher can be asked").is_some()
    }

    /// Panics, with the last of what it said, when the process has ended.
    pub(crate) fn must_run(&mut self) {
        assert!(!self.has_ended(), "{} ended early:\n{}", self.name, self.stderr.tail());
    }

    /// The exit code, once the process has ended.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = eventually(&format!("{} to end", self.name), || {
            self.launcher.try_wait().expect("the launcher can be asked")
        });
        status.code().expect("the launcher ends by itself")
    }
}

/// The lines that a process has written so far.
#[derive(Default)]
pub(crate) struct Lines {
    so_far: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Lines {
    fn gather(from: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let gathered = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                gathered.lock().push(line);
                gathered.grown.notify_all();
            }
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.so_far.lock().expect("no test panics while it holds the lines")
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// Reads no further line meanwhile, so that sooner or later the process can write none.
    pub(crate) fn unread<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let _lines = self.lock();
        meanwhile()
    }

    /// The first `Some` that `wanted` makes of a line, of those that are there and those to come.
    #[track_caller]
    pub(crate) fn find<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.try_find(wanted).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}; got:\n{}", self.tail()))
    }

    /// The first line, there or to come, that is JSON and whose `field` has `value`.
    #[track_caller]
    pub(crate) fn logged(&self, field: &str, value: &str) -> Value {
        self.find(&format!("a log line with {field}={value}"), |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line[field] == value).then_some(line)
        })
    }

    /// The address of a listener of Pillion, by its own word.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.find(&format!("the {listener} listener"), |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let listening = line["message"] == "listening" && line["listener"] == listener;
            listening.then(|| line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address"))
        })
    }

    fn try_find<T>(&self, mut wanted: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut lines = self.lock();
        loop {
            if let Some(found) = lines[seen..].iter().find_map(|line| wanted(line)) {
                return Some(found);
            }
            seen = lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = self.grown.wait_timeout(lines, left).expect("no test panics while it holds the lines").0;
        }
    }

    pub(crate) fn tail(&self) -> String {
        let lines = self.lock();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
