//! How much templates may add to one pod: counted while merging, so that no pod can make a review hold more.

use super::status::{MAX_ANNOTATIONS, MAX_ENTRIES, Record, Status};

/// The text of all that templates add to a pod, or that is compared with what it has. An API server takes objects of 3 MiB.
pub(super) const MAX_ADDED: usize = 3 << 20;

/// How much templates may still add to a pod, all together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Entries of the status.
    entries: usize,
    /// Bytes of JSON.
    bytes: usize,
    /// Bytes of annotations, where the status stands.
    annotations: usize,
    /// Whether it was not enough for something.
    pub(super) is_exceeded: bool,
}

impl Room {
    /// What is left beside what earlier calls recorded, and so many bytes of the pod's annotations. The status has no room
    /// for more than its reader takes.
    pub(super) fn beside(earlier: &Status<'_>, annotations: usize) -> Room {
        // The outcome, with a word for each template, and the keys of both.
        const OUTCOME_BYTES: usize = 4096;
        Room {
            entries: MAX_ENTRIES.saturating_sub(earlier.entries()),
            bytes: MAX_ADDED,
            annotations: MAX_ANNOTATIONS.saturating_sub(OUTCOME_BYTES + annotations + earlier.bytes()),
            is_exceeded: false,
        }
    }

    /// Takes the names in a new record.
    pub(super) fn take_names_of(&mut self, record: &Record<'_>) {
        self.annotations = self.annotations.saturating_sub(record.bytes_of_names());
    }

    /// Takes so many bytes of the status.
    pub(super) fn take_note(&mut self, bytes: usize) -> bool {
        self.take(0, 0, bytes)
    }

    /// Takes a value of so many bytes. The answer is false once there is not enough.
    pub(super) fn take_value(&mut self, value: usize) -> bool {
        self.take(0, value, 0)
    }

    /// Takes the value of so many bytes at a place, and the entry for it unless that is recorded already.
    pub(super) fn take_entry(&mut self, place: &str, value: usize, is_recorded: bool) -> bool {
        // Between quotes, and behind a comma.
        let written = 3 + place.bytes().map(|byte| if matches!(byte, b'"' | b'\\') { 2 } else { 1 }).sum::<usize>();
        let (entries, recorded) = if is_recorded { (0, 0) } else { (1, written) };
        let annotated = if place.starts_with("/metadata/annotations/") { place.len() + value } else { 0 };
        self.take(entries, value, recorded + annotated)
    }

    fn take(&mut self, entries: usize, bytes: usize, annotations: usize) -> bool {
        self.is_exceeded |= entries > self.entries || bytes > self.bytes || annotations > self.annotations;
        if !self.is_exceeded {
            self.entries -= entries;
            self.bytes -= bytes;
            self.annotations -= annotations;
        }
        !self.is_exceeded
    }
}
