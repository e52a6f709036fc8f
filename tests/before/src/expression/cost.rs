//! What an evaluation can cost at the most, as a multiple of its input: how large values grow, and how many steps
//! comprehensions take.

use kube_cel::cel::parser::Expression as Tree;

use super::convert::Weight;
use super::path::literal;
use super::typing::Shape;
use crate::names;
use crate::text::{did_you_mean, nearest, one_line};

/// What an evaluation may build: its input times what the expression can make of it.
const MAX_GROWN: u64 = 4 << 20;
/// Steps of comprehensions in one evaluation. One takes about a quarter of a microsecond.
const MAX_STEPS: u64 = 1 << 20;
/// A step counts as so many bytes of what one review may work on, so that all its evaluations take half a second.
pub(crate) const STEP: u64 = 8;
/// What the expressions of one review may work on, in bytes of input and of results.
pub(crate) const MAX_WORK: usize = 16 << 20;
/// The steps that one use of a regular expression counts as.
const REGEX_STEPS: u64 = 200;

/// All functions, by the shape of their result and whether it can be as large as the operands.
#[rustfmt::skip]
const FUNCTIONS: [(Shape, bool, &[&str]); 5] = [
    (Shape::Unknown, false, &[
        "startsWith", "endsWith", "contains", "matches", "isQuantity", "isInteger", "isGreaterThan", "isLessThan",
        "isSorted", "hasValue", "sum",
    ]),
    (Shape::Other, false, &[
        "size", "int", "double", "asInteger", "asApproximateFloat", "sign", "compareTo", "indexOf", "lastIndexOf",
        "quantity", "add", "sub",
    ]),
    (Shape::Unknown, true, &["min", "max", "first", "last", "value", "or", "orValue", "optional.of", "optional.none"]),
    (Shape::Other, true, &[
        "string", "lowerAscii", "upperAscii", "trim", "substring", "charAt", "find", "join", "replace", "strings.quote",
    ]),
    (Shape::List, true, &["sort", "reverse", "slice", "flatten", "findAll", "split"]),
];

/// What an evaluation can cost, as a multiple of its input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// The size of the largest value.
    pub(super) growth: u64,
    /// Steps for each item of the input; zero without comprehensions.
    pub(super) steps: u64,
    /// Whether a list is built item by item, which takes the crate the square of its length.
    pub(super) gathers: bool,
    /// The items and members of all list and object literals, and of the one-item lists in `map` and `filter`: so much
    /// can be gathered of an item.
    pub(super) built: u64,
    /// Whether each character of a string can become an item.
    pub(super) splits: bool,
}

impl Cost {
    /// The growth and the shape of a function's result, from the growth of its operands.
    pub(super) fn of_function(
        &mut self,
        name: &str,
        arguments: &[Tree],
        growth: u64,
        in_comprehension: bool,
    ) -> Result<(u64, Shape), String> {
        let Some((shape, grows, _)) = FUNCTIONS.iter().find(|(.., names)| names.contains(&name)) else {
            let near = did_you_mean(nearest(name, FUNCTIONS.iter().flat_map(|(.., names)| *names).copied()));
            return Err(format!("{name}() is not a function that templates can use{near}"));
        };
        let written = |at: usize, what: &str| {
            arguments.get(at).and_then(literal).ok_or_else(|| format!("{name}() needs {what} written out"))
        };
        let factor = match name {
            "matches" | "find" | "findAll" => {
                names::regex(written(arguments.len().saturating_sub(1), "its regular expression")?)
                    .map_err(|error| format!("{name}(): {}", one_line(&error.to_string())))?;
                if in_comprehension {
                    self.steps = self.steps.max(REGEX_STEPS);
                }
                1
            }
            "split" => written(0, "its separator").map(|_| 1)?,
            "join" if !arguments.is_empty() => 1 + written(0, "its separator")?.len(),
            "replace" => {
                let from = written(0, "both of its texts")?.len();
                let to = written(1, "both of its texts")?.len();
                1 + to.checked_div(from).unwrap_or(to)
            }
            // Each character may need one more before it.
            "strings.quote" => 2,
            _ => 1,
        };
        self.splits |= name == "findAll" || name == "split";
        Ok((if *grows { growth.saturating_mul(factor as u64) } else { 1 }, *shape))
    }

    /// The most steps that an evaluation takes, or why it is not allowed.
    pub(super) fn steps(&self, Weight { bytes, items }: &Weight) -> Result<u64, String> {
        let grown = bytes.saturating_mul(self.growth);
        if grown > MAX_GROWN {
            return Err(format!("it could make {grown} bytes of {bytes}, and {MAX_GROWN} are allowed"));
        }
        let items = if self.splits { *bytes } else { *items };
        // For each item all that was gathered before is copied, which takes half as long as a step.
        let copied = items.saturating_mul(items).saturating_mul(self.built.div_ceil(2)) / 4;
        let steps = items.saturating_mul(self.steps).saturating_add(if self.gathers { copied } else { 0 });
        if steps > MAX_STEPS {
            return Err(format!("it goes through {items} items, which is too many"));
        }
        Ok(steps)
    }
}
