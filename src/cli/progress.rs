//! What a command is at, as a line on standard error: only on a terminal, and only once it lasts over a second.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long something lasts before there is a line about it.
const DELAY: Duration = Duration::from_secs(1);
/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(100);
/// A line that a terminal breaks could not be erased.
const MAX_WIDTH: usize = 79;

/// Whether there is a line at present.
static IS_SHOWN: Mutex<bool> = Mutex::new(false);

/// Erases the line, which stays away for as long as the guard lives: whoever writes something else holds it.
pub(super) fn erase() -> MutexGuard<'static, bool> {
    let mut is_shown = IS_SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *is_shown) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    is_shown
}

/// Something that may last, until this is dropped.
pub(super) struct Progress {
    done: Arc<AtomicUsize>,
    /// Its end is dropped first, so that the thread ends.
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins something of which [`Progress::add`] counts the parts: `injecting`, `objects`.
    pub(super) fn start(what: impl Into<String>, parts: &'static str) -> Progress {
        let done = Arc::new(AtomicUsize::new(0));
        let can_erase = io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        let painter = can_erase.then(|| {
            let (end, ended) = mpsc::channel();
            let (what, done) = (what.into(), Arc::clone(&done));
            let paint = move || {
                let mut delay = DELAY;
                while ended.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
                    show(&line(&what, done.load(Ordering::Relaxed), parts));
                    delay = INTERVAL;
                }
                drop(erase());
            };
            // Without a thread there is no line.
            Builder::new().spawn(paint).ok().map(|thread| (end, thread))
        });
        Progress { done, painter: painter.flatten() }
    }

    /// Counts parts that are done.
    pub(super) fn add(&self, parts: usize) {
        self.done.fetch_add(parts, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.painter.take() {
            drop(end);
            // It does not panic.
            let _ = thread.join();
        }
    }
}

fn show(line: &str) {
    let mut is_shown = IS_SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *is_shown = write!(io::stderr(), "\r{line}\x1b[K").is_ok();
}

/// `injecting… 3,000 objects`
fn line(what: &str, done: usize, parts: &str) -> String {
    let digits = done.to_string();
    let number = digits.bytes().enumerate().fold(String::new(), |mut number, (at, digit)| {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            number.push(',');
        }
        number.push(char::from(digit));
        number
    });
    let line = if done == 0 { format!("{what}…") } else { format!("{what}… {number} {parts}") };
    line.chars().filter(|letter| !letter.is_control()).take(MAX_WIDTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_how_much_is_done() {
        assert_eq!(line("reading", 0, "objects"), "reading…");
        assert_eq!(line("injecting", 12, "objects"), "injecting… 12 objects");
        assert_eq!(line("injecting", 123, "objects"), "injecting… 123 objects");
        assert_eq!(line("injecting", 1_234_567, "objects"), "injecting… 1,234,567 objects");
        assert_eq!(line(&format!("reading \u{1b}{}", "x".repeat(100)), 0, "").chars().count(), MAX_WIDTH);
    }
}
