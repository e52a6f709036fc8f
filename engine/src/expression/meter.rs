//! Counts what an evaluation does, and stops it: neither a pod nor a template can keep the server busy or take its memory.

use std::cell::Cell;

use super::functions::Fault;

/// The bytes of texts that one evaluation may build.
const MAX_BYTES: usize = 4 << 20;
/// The items of lists and entries of objects that it may build. One takes up to a hundred bytes.
const MAX_ITEMS: usize = 1 << 19;
/// Its steps. One takes a few dozen nanoseconds.
const MAX_STEPS: usize = 1 << 22;
const TOO_LONG: Fault = Fault::Limit("it builds more than 4 MiB of text");
const TOO_MANY: Fault = Fault::Limit("it builds more than 524,288 items");
/// What the expressions of one review may work on: bytes of input and of results, and steps.
pub(crate) const MAX_WORK: usize = 16 << 20;

/// What an evaluation may still do.
pub(super) struct Meter {
    bytes: Cell<usize>,
    items: Cell<usize>,
    steps: Cell<usize>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { bytes: Cell::new(MAX_BYTES), items: Cell::new(MAX_ITEMS), steps: Cell::new(MAX_STEPS) }
    }
}

impl Meter {
    /// Counts steps.
    pub(super) fn step(&self, steps: usize) -> Result<(), Fault> {
        take(&self.steps, steps, Fault::Limit("it takes too many steps"))
    }

    /// Counts bytes of a text that is built.
    pub(super) fn bytes(&self, bytes: usize) -> Result<(), Fault> {
        take(&self.bytes, bytes, TOO_LONG)
    }

    /// Counts items of a list, or entries of an object, that are built.
    pub(super) fn items(&self, items: usize) -> Result<(), Fault> {
        take(&self.items, items, TOO_MANY)
    }

    /// Fails if a text of so many bytes must not be built.
    pub(super) fn has_room(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.bytes.get() { Err(TOO_LONG) } else { Ok(()) }
    }

    /// Fails if a list of so many items must not be built.
    pub(super) fn has_room_for_items(&self, items: usize) -> Result<(), Fault> {
        if items > self.items.get() { Err(TOO_MANY) } else { Ok(()) }
    }

    /// All that was counted, to be charged to the review.
    pub(super) fn spent(&self) -> usize {
        MAX_BYTES - self.bytes.get() + MAX_STEPS - self.steps.get()
    }
}

fn take(left: &Cell<usize>, amount: usize, limit: Fault) -> Result<(), Fault> {
    left.set(left.get().checked_sub(amount).ok_or(limit)?);
    Ok(())
}
