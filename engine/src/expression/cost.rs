//! What an evaluation can cost at the most, as a multiple of its input: how large values grow, and how many steps
//! comprehensions take.

use super::value::Weight;

/// What an evaluation may build: its input times what the expression can make of it.
const MAX_GROWN: u64 = 4 << 20;
/// The items of lists and entries of objects that it may build. One takes up to a hundred bytes.
const MAX_ITEMS: u64 = 1 << 19;
/// Steps of comprehensions in one evaluation. One takes about a quarter of a microsecond.
const MAX_STEPS: u64 = 1 << 20;
/// A step counts as so many bytes of what one review may work on, so that all its evaluations take half a second.
pub(crate) const STEP: u64 = 8;
/// What the expressions of one review may work on, in bytes of input and of results.
pub(crate) const MAX_WORK: usize = 16 << 20;
/// The steps that one use of a regular expression counts as.
pub(super) const REGEX_STEPS: u64 = 200;

/// How large a value can be, as multiples of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// The text of it.
    pub(super) bytes: u64,
    /// The items of its lists and the entries of its objects.
    pub(super) items: u64,
}

impl Growth {
    /// Of a value that does not depend on the input.
    pub(super) const SMALL: Growth = Growth { bytes: 1, items: 0 };
    /// Of a value that is a part of the input.
    pub(super) const INPUT: Growth = Growth { bytes: 1, items: 1 };

    pub(super) fn plus(self, other: Growth) -> Growth {
        Growth { bytes: self.bytes.saturating_add(other.bytes), items: self.items.saturating_add(other.items) }
    }

    pub(super) fn times(self, other: Growth) -> Growth {
        Growth { bytes: self.bytes.saturating_mul(other.bytes), items: self.items.saturating_mul(other.items) }
    }

    /// Of a list or object that holds this.
    pub(super) fn held(self) -> Growth {
        Growth { items: self.items.saturating_add(1), ..self }
    }

    pub(super) fn or(self, other: Growth) -> Growth {
        Growth { bytes: self.bytes.max(other.bytes), items: self.items.max(other.items) }
    }
}

/// What an evaluation can cost, as a multiple of its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// The size of the largest value.
    pub(super) growth: Growth,
    /// Steps for each item of the input; zero without comprehensions.
    pub(super) steps: u64,
    /// Whether each character of a string can become an item.
    pub(super) splits: bool,
}

impl Default for Cost {
    fn default() -> Cost {
        Cost { growth: Growth::SMALL, steps: 0, splits: false }
    }
}

impl Cost {
    /// The most steps that an evaluation takes, or why it is not allowed.
    pub(super) fn steps(&self, Weight { bytes, items }: &Weight) -> Result<u64, String> {
        let grown = bytes.saturating_mul(self.growth.bytes);
        if grown > MAX_GROWN {
            return Err(format!("it could make {grown} bytes of {bytes}, and {MAX_GROWN} are allowed"));
        }
        let items = if self.splits { *bytes } else { *items };
        let grown = items.saturating_mul(self.growth.items);
        if grown > MAX_ITEMS {
            return Err(format!("it could make {grown} items of {items}, and {MAX_ITEMS} are allowed"));
        }
        let steps = items.max(grown).saturating_mul(self.steps);
        if steps > MAX_STEPS {
            return Err(format!("it goes through {items} items, which is too many"));
        }
        Ok(steps)
    }
}
