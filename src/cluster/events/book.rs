//! What was told and is to be written: warnings counted into series, and held to a rate for each owner and for all.
//!
//! The rate is that of client-go's spam filter: 25 events on one object, and then one every five minutes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use pillion_engine::decision::{Owner, Reason};

/// Events on one owner at once.
const BURST: u32 = 25;
/// How long it takes until one more is allowed.
const REFILL: Duration = Duration::from_secs(300);
/// Series that are kept, and owners.
const MAX_KEPT: usize = 4096;
/// As many of one namespace: its pods can name owners that do not exist, and the others need their room. That is one
/// warning about each of hundreds of Deployments, within the minutes that a series is kept.
const MAX_OF_NAMESPACE: usize = 512;
/// Events that are written at a time.
const BATCH: usize = 10;
/// How long a series grows before it is written again.
const GROWING: Duration = Duration::from_secs(10);
/// A series of which nothing was told for so long has ended; client-go has the same.
const QUIET: Duration = Duration::from_secs(360);
/// The longest note, in bytes.
/// Source: pkg/apis/core/validation/events.go of Kubernetes.
const MAX_NOTE: usize = 1024;

/// The object that an event is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Regarding {
    pub(super) namespace: String,
    pub(super) owner: Owner,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Note {
    pub(super) reason: Reason,
    pub(super) text: String,
}

impl Note {
    /// A text that is too long ends in an ellipsis.
    pub(super) fn new(reason: Reason, text: &str) -> Note {
        if text.len() <= MAX_NOTE {
            return Note { reason, text: text.to_owned() };
        }
        Note { reason, text: format!("{}…", beginning(text, MAX_NOTE - '…'.len_utf8())) }
    }
}

/// An event as it should stand in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) regarding: Regarding,
    pub(super) note: Note,
    pub(super) name: String,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: i32,
}

/// Everything that was told lately.
#[derive(Default)]
pub(super) struct Book {
    /// By the object and the text.
    series: HashMap<(Regarding, String), Series>,
    allowances: HashMap<Regarding, Allowance>,
    /// How much of both there is, by namespace. What has ended counts until the next look at what is due.
    shares: HashMap<String, Share>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    series: usize,
    owners: usize,
}

struct Series {
    /// Why, when it was first told: by the second call the same pod has another.
    reason: Reason,
    name: String,
    first: Timestamp,
    last: Timestamp,
    /// As `last`, by a clock that nobody sets.
    heard: Instant,
    count: i32,
    /// What the cluster knows of `count`.
    written: i32,
    /// Nothing is written before.
    due: Instant,
}

/// How many events may still be written on one owner.
struct Allowance {
    left: u32,
    /// When it was last full, or given one more.
    since: Instant,
}

impl Allowance {
    fn refill(&mut self, now: Instant) {
        while self.left < BURST && now.duration_since(self.since) >= REFILL {
            self.left += 1;
            self.since += REFILL;
        }
        if self.left == BURST {
            self.since = now;
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }
}

impl Book {
    /// Counts a warning; false when there is no room for it. One that the API server's second call about a pod repeats
    /// counts only if nobody has told of it.
    pub(super) fn tell(
        &mut self,
        regarding: &Regarding,
        note: Note,
        repeated: bool,
        now: Instant,
        time: Timestamp,
    ) -> bool {
        let key = (regarding.clone(), note.text);
        if let Some(series) = self.series.get_mut(&key) {
            if !repeated {
                series.count = series.count.saturating_add(1);
                (series.last, series.heard) = (time, now);
            }
            return true;
        }
        let share = self.shares.get(&regarding.namespace).copied().unwrap_or_default();
        let is_new_owner = !self.allowances.contains_key(regarding);
        let is_full = self.series.len() >= MAX_KEPT
            || share.series >= MAX_OF_NAMESPACE
            || is_new_owner && (self.allowances.len() >= MAX_KEPT || share.owners >= MAX_OF_NAMESPACE);
        if is_full || !take(&mut self.allowances, regarding, now) {
            return false;
        }
        let share = Share { series: share.series + 1, owners: share.owners + usize::from(is_new_owner) };
        self.shares.insert(regarding.namespace.clone(), share);
        let name = event_name(&regarding.owner.name, &time, self.series.len());
        let reason = note.reason;
        let series = Series { reason, name, first: time, last: time, heard: now, count: 1, written: 0, due: now };
        self.series.insert(key, series);
        true
    }

    /// What is to be written now, those that wait longest first, and how many series ended that never were.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<Write>, u64) {
        let mut forgotten = 0;
        self.series.retain(|_, series| {
            let is_kept = now.duration_since(series.heard) < QUIET;
            forgotten += u64::from(!is_kept && series.written == 0);
            is_kept
        });
        self.allowances.retain(|_, allowance| {
            allowance.refill(now);
            allowance.left < BURST
        });
        self.shares.clear();
        for (regarding, _) in self.series.keys() {
            self.shares.entry(regarding.namespace.clone()).or_default().series += 1;
        }
        for regarding in self.allowances.keys() {
            self.shares.entry(regarding.namespace.clone()).or_default().owners += 1;
        }

        let is_due = |series: &Series| series.count > series.written && series.due <= now;
        let mut due: Vec<_> = self.series.iter_mut().filter(|(_, series)| is_due(series)).collect();
        due.sort_by_key(|(_, series)| series.due);
        let mut writes = Vec::with_capacity(due.len().min(BATCH));
        for ((regarding, text), series) in due {
            if writes.len() == BATCH {
                break;
            }
            // The first event of a series was paid for when it was told.
            if series.written > 0 && !take(&mut self.allowances, regarding, now) {
                series.due = now + REFILL;
                continue;
            }
            let Series { reason, name, first, last, count, .. } = series;
            let note = Note { reason: *reason, text: text.clone() };
            let (regarding, name) = (regarding.clone(), name.clone());
            writes.push(Write { regarding, note, name, first: *first, last: *last, count: *count });
        }
        (writes, forgotten)
    }

    /// Notes that the cluster knows it.
    pub(super) fn written(&mut self, write: &Write, now: Instant) {
        if let Some(series) = self.series.get_mut(&(write.regarding.clone(), write.note.text.clone())) {
            series.written = write.count;
            series.due = now + GROWING;
        }
    }

    /// Notes that it could not be written. The owner may be gone, or its namespace about to go: it is left alone for a while.
    pub(super) fn failed(&mut self, write: &Write, now: Instant) {
        self.allowances.insert(write.regarding.clone(), Allowance { left: 0, since: now });
        for ((regarding, _), series) in &mut self.series {
            if *regarding == write.regarding {
                series.due = now + REFILL;
            }
        }
    }
}

/// Takes one event from an owner's allowance, if there is one left.
fn take(allowances: &mut HashMap<Regarding, Allowance>, regarding: &Regarding, now: Instant) -> bool {
    allowances.entry(regarding.clone()).or_insert(Allowance { left: BURST, since: now }).take(now)
}

/// A name as client-go makes them, of the owner's name and the time, and of a number for those of one moment.
fn event_name(owner: &str, time: &Timestamp, number: usize) -> String {
    // 253 in all; what is cut off must not leave a dot or a dash before the dot.
    let owner = beginning(owner, 200).trim_end_matches(['.', '-']);
    format!("{owner}.{:x}{number:x}", time.as_nanosecond())
}

/// At most so many bytes of a text.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= bytes).last();
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn owner(name: &str) -> Regarding {
        owner_in("shop", name)
    }

    fn owner_in(namespace: &str, name: &str) -> Regarding {
        let owner = Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: name.into(),
            uid: format!("uid of {name}"),
        };
        Regarding { namespace: namespace.into(), owner }
    }

    fn told(book: &mut Book, owner: &Regarding, text: &str, now: Instant) -> bool {
        book.tell(owner, Note::new(Reason::Injected, text), false, now, Timestamp::now())
    }

    /// Everything that is due, as if the cluster took it.
    fn written(book: &mut Book, now: Instant) -> Vec<(String, i32)> {
        let (writes, _) = book.due(now);
        for write in &writes {
            book.written(write, now);
        }
        writes.into_iter().map(|write| (write.note.text, write.count)).collect()
    }

    #[test]
    fn the_same_warning_is_one_event_that_grows_and_is_written_now_and_then() {
        let (mut book, web, start) = (Book::default(), owner("web"), Instant::now());
        for _ in 0..3 {
            assert!(told(&mut book, &web, "a", start));
        }
        let (first, _) = book.due(start);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].count, 3);
        book.written(&first[0], start);
        assert!(told(&mut book, &web, "a", start + SECOND));
        assert_eq!(written(&mut book, start + SECOND), []);
        let (second, _) = book.due(start + GROWING);
        assert_eq!((second[0].count, &second[0].name), (4, &first[0].name));
        book.written(&second[0], start + GROWING);
        assert_eq!(written(&mut book, start + GROWING * 2), []);
    }

    #[test]
    fn other_words_about_the_same_owner_are_another_event() {
        let (mut book, web, now) = (Book::default(), owner("web"), Instant::now());
        told(&mut book, &web, "a", now);
        told(&mut book, &web, "b", now);
        told(&mut book, &owner("api"), "a", now);
        let (writes, _) = book.due(now);
        let mut names: Vec<_> = writes.iter().map(|write| write.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 3, "{writes:?}");
    }

    #[test]
    fn what_a_second_call_repeats_counts_only_if_nobody_has_told_of_it() {
        let (mut book, web, now) = (Book::default(), owner("web"), Instant::now());
        assert!(told(&mut book, &web, "in both", now));
        let mut again = |text| book.tell(&web, Note::new(Reason::AlreadyInjected, text), true, now, Timestamp::now());
        assert!(again("in both"));
        assert!(again("in the second"));
        assert!(again("in the second"));
        let mut written = written(&mut book, now);
        written.sort_unstable();
        assert_eq!(written, [("in both".to_owned(), 1), ("in the second".to_owned(), 1)]);
    }

    #[test]
    fn one_owner_is_told_of_25_things_and_then_of_one_every_five_minutes() {
        let (mut book, web, start) = (Book::default(), owner("web"), Instant::now());
        let taken = (0..30).filter(|number| told(&mut book, &web, &number.to_string(), start)).count();
        assert_eq!(taken, 25);
        assert!(told(&mut book, &owner("api"), "a", start));
        let later = start + REFILL;
        assert!(told(&mut book, &web, "one more", later));
        assert!(!told(&mut book, &web, "and another", later));
    }

    #[test]
    fn growth_is_held_to_the_same_rate() {
        let (mut book, web, start) = (Book::default(), owner("web"), Instant::now());
        let mut writes = 0;
        for second in 0..600 {
            let now = start + SECOND * second;
            assert!(told(&mut book, &web, "a", now));
            writes += written(&mut book, now).len();
        }
        // One for each 10 seconds until 25 are used up, and meanwhile one more was allowed.
        assert_eq!(writes, 26);
    }

    #[test]
    fn few_events_are_written_at_a_time_and_those_that_wait_longest_first() {
        let (mut book, start) = (Book::default(), Instant::now());
        for number in 0..15 {
            told(&mut book, &owner(&format!("web-{number}")), &number.to_string(), start + SECOND * number);
        }
        let texts = |from: u32, to: u32| (from..to).map(|number| (number.to_string(), 1)).collect::<Vec<_>>();
        let now = start + SECOND * 20;
        assert_eq!(written(&mut book, now), texts(0, 10));
        assert_eq!(written(&mut book, now), texts(10, 15));
    }

    #[test]
    fn an_owner_whose_event_fails_is_left_alone_and_tried_again_later() {
        let (mut book, web, start) = (Book::default(), owner("web"), Instant::now());
        told(&mut book, &web, "a", start);
        told(&mut book, &web, "b", start);
        let (writes, _) = book.due(start);
        book.failed(&writes[0], start);
        assert_eq!(written(&mut book, start + SECOND), []);
        assert!(!told(&mut book, &web, "c", start + SECOND));
        assert_eq!(written(&mut book, start + REFILL).len(), 2);
    }

    #[test]
    fn what_nobody_speaks_of_any_more_is_forgotten() {
        let (mut book, web, start) = (Book::default(), owner("web"), Instant::now());
        told(&mut book, &web, "a", start);
        written(&mut book, start);
        told(&mut book, &owner("api"), "never written", start);
        let (writes, forgotten) = book.due(start + QUIET);
        assert_eq!((writes.len(), forgotten), (0, 1));
        assert!(book.series.is_empty() && book.allowances.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let (mut book, now) = (Book::default(), Instant::now());
        for number in 0..MAX_KEPT {
            let namespace = (number / MAX_OF_NAMESPACE).to_string();
            assert!(told(&mut book, &owner_in(&namespace, &number.to_string()), "a", now));
        }
        assert!(!told(&mut book, &owner("late"), "a", now));
        assert!(told(&mut book, &owner_in("0", "7"), "a", now), "what is known still counts");
        assert_eq!((book.series.len(), book.allowances.len()), (MAX_KEPT, MAX_KEPT));
    }

    #[test]
    fn one_namespace_leaves_room_for_the_others() {
        let (mut book, start) = (Book::default(), Instant::now());
        let told_of = |book: &mut Book, now| {
            (0..MAX_KEPT).filter(|number| told(book, &owner_in("noisy", &number.to_string()), "a", now)).count()
        };
        assert_eq!(told_of(&mut book, start), MAX_OF_NAMESPACE);
        assert!(told(&mut book, &owner_in("quiet", "web"), "a", start));

        // When its series have ended there is room again.
        book.due(start + QUIET);
        assert_eq!(told_of(&mut book, start + QUIET), MAX_OF_NAMESPACE);
    }

    #[test]
    fn one_namespaces_owners_of_whom_no_event_can_be_written_leave_room_for_those_of_the_others() {
        let (mut book, mut now) = (Book::default(), Instant::now());
        let mut number = 0;
        for _ in 0..20 {
            while told(&mut book, &owner_in("noisy", &number.to_string()), "a", now) {
                number += 1;
            }
            loop {
                let (writes, _) = book.due(now);
                if writes.is_empty() {
                    break;
                }
                writes.iter().for_each(|write| book.failed(write, now));
            }
            now += QUIET;
            book.due(now);
        }
        assert_eq!(book.allowances.len(), MAX_OF_NAMESPACE);
        assert!(told(&mut book, &owner_in("quiet", "web"), "a", now));
    }

    #[test]
    fn a_long_note_is_cut_between_letters() {
        let note = Note::new(Reason::Injected, &"ü".repeat(1_000));
        assert!(note.text.len() <= 1024 && note.text.len() > 1_000, "{}", note.text.len());
        assert!(note.text.ends_with("ü…"));
        let name = event_name(&format!("{}.{}", "a".repeat(199), "b".repeat(53)), &Timestamp::now(), 4095);
        assert!(name.len() < 253 && !name.contains(".."), "{name}");
    }
}
