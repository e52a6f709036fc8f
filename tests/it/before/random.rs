//! Chance that is the same in every run.

use serde_json::Value;

/// Numbers by SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn from(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Whether something happens that does so in so many of a hundred cases.
    pub(super) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// One of the values of a list that is written as JSON.
    pub(super) fn json(&mut self, list: &str) -> Value {
        let values: Vec<Value> = serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"));
        self.pick(&values)
    }
}
