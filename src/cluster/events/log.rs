//! The warnings that are to be written as events: counted into series, and held to a rate for each owner and for all.
//!
//! The rate is that of client-go's spam filter: 25 events on one object, and then one every five minutes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use pillion_engine::admission::Owner;
use pillion_engine::decision::Reason;

/// Events on one owner at once.
const BURST: u32 = 25;
/// How long it takes until one more is allowed.
const REFILL: Duration = Duration::from_secs(300);
/// Series that are kept, and owners.
const MAX_KEPT: usize = 4096;
/// The same for one namespace: its pods can name owners that do not exist, and the others need room. It is enough for one
/// warning about each of hundreds of Deployments, within the minutes that a series is kept.
const MAX_OF_NAMESPACE: usize = 512;
/// Events that are written at a time.
const BATCH: usize = 10;
/// How long a series is only counted before it is written again.
const REWRITE: Duration = Duration::from_secs(10);
/// A series to which no warning was added for so long has ended, as in client-go.
const SERIES_END: Duration = Duration::from_secs(360);
/// The longest note, in bytes.
/// Source: pkg/apis/core/validation/events.go of Kubernetes.
const MAX_NOTE: usize = 1024;

/// The object that an event is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Regarding {
    pub(super) namespace: String,
    pub(super) owner: Owner<'static>,
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

/// An event as it should be in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PendingEvent {
    pub(super) regarding: Regarding,
    pub(super) note: Note,
    pub(super) name: String,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: i32,
}

/// The warnings of the last minutes.
#[derive(Default)]
pub(super) struct EventLog {
    /// By the object and the text.
    series: HashMap<(Regarding, String), Series>,
    allowances: HashMap<Regarding, Allowance>,
    /// How many of both there are, by namespace. A series that has ended counts until the next call of [`EventLog::due`].
    shares: HashMap<String, Share>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    series: usize,
    owners: usize,
}

struct Series {
    /// The reason of the first warning: on the second call about a pod the decision may have another one.
    reason: Reason,
    name: String,
    first: Timestamp,
    last: Timestamp,
    /// As `last`, by the monotonic clock.
    last_recorded: Instant,
    count: i32,
    /// The `count` that was last written.
    written: i32,
    /// It is not written before this time.
    due: Instant,
}

/// How many events may still be written on one owner.
struct Allowance {
    left: u32,
    /// When it was last full, or refilled by one.
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

impl EventLog {
    /// Counts a warning; false when there is no room for it. When the API server calls a second time about a pod, a warning
    /// that is `repeated` counts only if it has not been recorded.
    pub(super) fn record(
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
                (series.last, series.last_recorded) = (time, now);
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
        let series =
            Series { reason, name, first: time, last: time, last_recorded: now, count: 1, written: 0, due: now };
        self.series.insert(key, series);
        true
    }

    /// The events to write now, those that wait longest first, and how many series have ended unwritten.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<PendingEvent>, u64) {
        let mut expired = 0;
        self.series.retain(|_, series| {
            let is_kept = now.duration_since(series.last_recorded) < SERIES_END;
            expired += u64::from(!is_kept && series.written == 0);
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

        let due = self.series.iter_mut().filter(|(_, series)| series.count > series.written && series.due <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, series)| series.due);
        let mut events = Vec::with_capacity(due.len().min(BATCH));
        for ((regarding, text), series) in due {
            if events.len() == BATCH {
                break;
            }
            // The first event of a series was taken from the allowance when it was recorded.
            if series.written > 0 && !take(&mut self.allowances, regarding, now) {
                series.due = now + REFILL;
                continue;
            }
            let Series { reason, name, first, last, count, .. } = series;
            let note = Note { reason: *reason, text: text.clone() };
            let (regarding, name) = (regarding.clone(), name.clone());
            events.push(PendingEvent { regarding, note, name, first: *first, last: *last, count: *count });
        }
        (events, expired)
    }

    /// Notes that an event was written.
    pub(super) fn written(&mut self, event: &PendingEvent, now: Instant) {
        if let Some(series) = self.series.get_mut(&(event.regarding.clone(), event.note.text.clone())) {
            series.written = event.count;
            series.due = now + REWRITE;
        }
    }

    /// Notes that an event could not be written. The owner may be gone, or its namespace terminating, so nothing is written
    /// about it for a while.
    pub(super) fn failed(&mut self, event: &PendingEvent, now: Instant) {
        self.allowances.insert(event.regarding.clone(), Allowance { left: 0, since: now });
        for ((regarding, _), series) in &mut self.series {
            if *regarding == event.regarding {
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
    // 253 characters in all, and no dot or dash before the dot.
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
            name: name.to_owned().into(),
            uid: format!("uid of {name}").into(),
        };
        Regarding { namespace: namespace.into(), owner }
    }

    fn record(log: &mut EventLog, owner: &Regarding, text: &str, now: Instant) -> bool {
        log.record(owner, Note::new(Reason::Injected, text), false, now, Timestamp::now())
    }

    /// Everything that is due, as if the cluster took it.
    fn written(log: &mut EventLog, now: Instant) -> Vec<(String, i32)> {
        let (writes, _) = log.due(now);
        for write in &writes {
            log.written(write, now);
        }
        writes.into_iter().map(|write| (write.note.text, write.count)).collect()
    }

    #[test]
    fn the_same_warning_is_one_event_whose_count_is_written_every_ten_seconds() {
        let (mut log, web, start) = (EventLog::default(), owner("web"), Instant::now());
        for _ in 0..3 {
            assert!(record(&mut log, &web, "a", start));
        }
        let (first, _) = log.due(start);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].count, 3);
        log.written(&first[0], start);
        assert!(record(&mut log, &web, "a", start + SECOND));
        assert_eq!(written(&mut log, start + SECOND), []);
        let (second, _) = log.due(start + REWRITE);
        assert_eq!((second[0].count, &second[0].name), (4, &first[0].name));
        log.written(&second[0], start + REWRITE);
        assert_eq!(written(&mut log, start + REWRITE * 2), []);
    }

    #[test]
    fn another_warning_about_the_same_owner_is_another_event() {
        let (mut log, web, now) = (EventLog::default(), owner("web"), Instant::now());
        record(&mut log, &web, "a", now);
        record(&mut log, &web, "b", now);
        record(&mut log, &owner("api"), "a", now);
        let (writes, _) = log.due(now);
        let mut names: Vec<_> = writes.iter().map(|write| write.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 3, "{writes:?}");
    }

    #[test]
    fn what_a_second_call_repeats_counts_only_if_it_was_not_recorded() {
        let (mut log, web, now) = (EventLog::default(), owner("web"), Instant::now());
        assert!(record(&mut log, &web, "in both", now));
        let mut again = |text| log.record(&web, Note::new(Reason::AlreadyInjected, text), true, now, Timestamp::now());
        assert!(again("in both"));
        assert!(again("in the second"));
        assert!(again("in the second"));
        let mut written = written(&mut log, now);
        written.sort_unstable();
        assert_eq!(written, [("in both".to_owned(), 1), ("in the second".to_owned(), 1)]);
    }

    #[test]
    fn there_are_25_events_about_one_owner_and_then_one_every_five_minutes() {
        let (mut log, web, start) = (EventLog::default(), owner("web"), Instant::now());
        let taken = (0..30).filter(|number| record(&mut log, &web, &number.to_string(), start)).count();
        assert_eq!(taken, 25);
        assert!(record(&mut log, &owner("api"), "a", start));
        let later = start + REFILL;
        assert!(record(&mut log, &web, "one more", later));
        assert!(!record(&mut log, &web, "and another", later));
    }

    #[test]
    fn updates_of_a_series_are_held_to_the_same_rate() {
        let (mut log, web, start) = (EventLog::default(), owner("web"), Instant::now());
        let mut writes = 0;
        for second in 0..600 {
            let now = start + SECOND * second;
            assert!(record(&mut log, &web, "a", now));
            writes += written(&mut log, now).len();
        }
        // One for each 10 seconds until 25 are used up, and meanwhile one more was allowed.
        assert_eq!(writes, 26);
    }

    #[test]
    fn few_events_are_written_at_a_time_and_those_that_wait_longest_first() {
        let (mut log, start) = (EventLog::default(), Instant::now());
        for number in 0..15 {
            record(&mut log, &owner(&format!("web-{number}")), &number.to_string(), start + SECOND * number);
        }
        let texts = |from: u32, to: u32| (from..to).map(|number| (number.to_string(), 1)).collect::<Vec<_>>();
        let now = start + SECOND * 20;
        assert_eq!(written(&mut log, now), texts(0, 10));
        assert_eq!(written(&mut log, now), texts(10, 15));
    }

    #[test]
    fn an_owner_whose_event_fails_is_tried_again_after_a_while() {
        let (mut log, web, start) = (EventLog::default(), owner("web"), Instant::now());
        record(&mut log, &web, "a", start);
        record(&mut log, &web, "b", start);
        let (writes, _) = log.due(start);
        log.failed(&writes[0], start);
        assert_eq!(written(&mut log, start + SECOND), []);
        assert!(!record(&mut log, &web, "c", start + SECOND));
        assert_eq!(written(&mut log, start + REFILL).len(), 2);
    }

    #[test]
    fn a_series_without_new_warnings_ends() {
        let (mut log, web, start) = (EventLog::default(), owner("web"), Instant::now());
        record(&mut log, &web, "a", start);
        written(&mut log, start);
        record(&mut log, &owner("api"), "never written", start);
        let (writes, expired) = log.due(start + SERIES_END);
        assert_eq!((writes.len(), expired), (0, 1));
        assert!(log.series.is_empty() && log.allowances.is_empty());
    }

    #[test]
    fn series_and_owners_are_bounded() {
        let (mut log, now) = (EventLog::default(), Instant::now());
        for number in 0..MAX_KEPT {
            let namespace = (number / MAX_OF_NAMESPACE).to_string();
            assert!(record(&mut log, &owner_in(&namespace, &number.to_string()), "a", now));
        }
        assert!(!record(&mut log, &owner("late"), "a", now));
        assert!(record(&mut log, &owner_in("0", "7"), "a", now), "a known series is still counted");
        assert_eq!((log.series.len(), log.allowances.len()), (MAX_KEPT, MAX_KEPT));
    }

    #[test]
    fn one_namespace_leaves_room_for_the_others() {
        let (mut log, start) = (EventLog::default(), Instant::now());
        let recorded_of = |log: &mut EventLog, now| {
            (0..MAX_KEPT).filter(|number| record(log, &owner_in("noisy", &number.to_string()), "a", now)).count()
        };
        assert_eq!(recorded_of(&mut log, start), MAX_OF_NAMESPACE);
        assert!(record(&mut log, &owner_in("quiet", "web"), "a", start));

        // When its series have ended there is room again.
        log.due(start + SERIES_END);
        assert_eq!(recorded_of(&mut log, start + SERIES_END), MAX_OF_NAMESPACE);
    }

    #[test]
    fn owners_of_one_namespace_whose_events_fail_leave_room_for_those_of_the_others() {
        let (mut log, mut now) = (EventLog::default(), Instant::now());
        let mut number = 0;
        for _ in 0..20 {
            while record(&mut log, &owner_in("noisy", &number.to_string()), "a", now) {
                number += 1;
            }
            loop {
                let (writes, _) = log.due(now);
                if writes.is_empty() {
                    break;
                }
                writes.iter().for_each(|write| log.failed(write, now));
            }
            now += SERIES_END;
            log.due(now);
        }
        assert_eq!(log.allowances.len(), MAX_OF_NAMESPACE);
        assert!(record(&mut log, &owner_in("quiet", "web"), "a", now));
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = Note::new(Reason::Injected, &"ü".repeat(1_000));
        assert!(note.text.len() <= 1024 && note.text.len() > 1_000, "{}", note.text.len());
        assert!(note.text.ends_with("ü…"));
        let name = event_name(&format!("{}.{}", "a".repeat(199), "b".repeat(53)), &Timestamp::now(), 4095);
        assert!(name.len() < 253 && !name.contains(".."), "{name}");
    }
}
