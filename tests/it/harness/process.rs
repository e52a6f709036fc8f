//! A child process that cannot outlive the tests.
//!
//! Rust runs no destructors for statics, nor at all when a test process is killed. So each child has a shell beside it
//! that reads its orders from a pipe: a signal's name a line. When the pipe closes, for whatever reason, the child dies.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::{PATIENCE, eventually};

// `$1` is a folder to remove when the child is gone, or empty; the rest is the command.
const LAUNCHER: &str = r#"
exec 3<&0
leftover=$1
shift
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
[ -z "$leftover" ] || rm -rf "$leftover"
exit "$code"
"#;

pub(crate) struct Process {
    name: String,
    launcher: Child,
    orders: ChildStdin,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Process {
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Process {
        Process::start_and_remove("".as_ref(), program, arguments)
    }

    /// As `start`; `leftover`, a folder, is removed when the process has ended.
    pub(crate) fn start_and_remove<A: AsRef<OsStr>>(
        leftover: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Process {
        let mut launcher = Command::new("sh")
            .args(["-c", LAUNCHER, "launcher"])
            .arg(leftover)
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

    pub(crate) fn stdout(&self) -> &Lines {
        &self.stdout
    }

    pub(crate) fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// Sends a signal, named as `kill` names it.
    pub(crate) fn signal(&mut self, signal: &str) {
        writeln!(self.orders, "{signal}").expect("the launcher reads its orders");
    }

    /// Panics, with the last of what it said, when the process has ended by itself.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.launcher.try_wait().expect("the launcher can be asked") {
            panic!("{} ended early, {status}:\n{}", self.name, self.stderr.tail());
        }
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

    /// The first `Some` that `wanted` makes of a line, of those that are there and those to come.
    #[track_caller]
    pub(crate) fn find<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.try_find(wanted).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}; got:\n{}", self.tail()))
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

    fn tail(&self) -> String {
        let lines = self.lock();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
