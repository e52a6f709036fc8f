//! How much templates may add to one pod: counted while merging, so that no pod can make a review hold more.

use super::check::MAX_ANNOTATIONS;
use super::status::{MAX_ENTRIES, Record, Status};

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
}

impl Room {
    /// What is left beside what earlier calls recorded, and so many bytes of the pod's annotations. The status has no room
    /// for more than its reader takes.
    pub(super) fn beside(earlier: &Status, annotations: usize) -> Room {
        // The outcome, with a word for each template, and the keys of both.
        const OUTCOME: usize = 4096;
        Room {
            entries: MAX_ENTRIES.saturating_sub(earlier.entries()),
            bytes: MAX_ADDED,
            annotations: MAX_ANNOTATIONS.saturating_sub(OUTCOME + annotations + earlier.bytes()),
        }
    }

    /// What is left beside the names in a record that is new.
    pub(super) fn without_names_of(self, record: &Record) -> Room {
        Room { annotations: self.annotations.saturating_sub(record.bytes_of_names()), ..self }
    }

    /// What is left beside a value of so many bytes; nothing if there is not enough.
    pub(super) fn without_value(self, value: usize) -> Option<Room> {
        Some(Room { bytes: self.bytes.checked_sub(value)?, ..self })
    }

    /// What is left beside an entry and the value of so many bytes that it stands for; nothing if there is not enough.
    pub(super) fn without(self, entry: &str, value: usize) -> Option<Room> {
        let annotated = if entry.starts_with("/metadata/annotations/") { entry.len() + value } else { 0 };
        // Between quotes, and behind a comma.
        let recorded = entry.len() + 3;
        Some(Room {
            entries: self.entries.checked_sub(1)?,
            annotations: self.annotations.checked_sub(recorded + annotated)?,
            ..self.without_value(value)?
        })
    }

    /// The same for an entry that is recorded already.
    pub(super) fn without_recorded(self, entry: &str, value: usize) -> Option<Room> {
        let one_more = Room { entries: self.entries + 1, annotations: self.annotations + entry.len() + 3, ..self };
        one_more.without(entry, value)
    }
}
