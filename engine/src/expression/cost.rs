//! What an evaluation can cost, known from the expression alone as a multiple of its input: how far each function makes
//! a value grow, and how many steps comprehensions take.

use kube_cel::cel::parser::Expression as Tree;

use super::convert::Weight;
use super::path::literal;
use super::source::{Invalid, invalid};
use super::typing::Shape;
use crate::names;
use crate::text::{did_you_mean, nearest, one_line};

/// What an evaluation may build: its input times what the expression can make of it.
const MAX_GROWN: u64 = 4 << 20;
/// Steps of comprehensions in one evaluation. One takes about a quarter of a microsecond.
const MAX_STEPS: u64 = 1 << 20;
/// As many bytes of what one review may work on does a step count for: all its evaluations together take half a second.
pub(crate) const STEP: u64 = 8;
/// Steps of a comprehension that one use of a regular expression counts for.
const REGEX_STEPS: u64 = 200;

/// The functions that there are, by what they give: its shape, and whether it can be as large as what they work on.
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
    /// How many times its input a result can become.
    pub(super) growth: u64,
    /// Steps for each item of the input; zero when nothing is iterated.
    pub(super) steps: u64,
    /// Whether a list is built item by item, which takes the crate the square of its length.
    pub(super) gathers: bool,
    /// The items and members of all lists and objects that are written out, and the one-item lists that `map` and
    /// `filter` stand for: so much can be in what is gathered of an item.
    pub(super) built: u64,
    /// Whether each character of a string can become an item.
    pub(super) splits: bool,
}

impl Cost {
    /// The growth and the shape of a function's result, from the growth of what it works on.
    pub(super) fn of_function(
        &mut self,
        name: &str,
        arguments: &[Tree],
        growth: u64,
        in_comprehension: bool,
    ) -> Result<(u64, Shape), Invalid> {
        let Some((shape, grows, _)) = FUNCTIONS.iter().find(|(.., names)| names.contains(&name)) else {
            let near = did_you_mean(nearest(name, FUNCTIONS.iter().flat_map(|(.., names)| *names).copied()));
            return invalid(format!("{name}() is not a function that templates can use{near}"));
        };
        let text = |at: usize| arguments.get(at).and_then(literal);
        let factor = match name {
            "matches" | "find" | "findAll" => {
                let Some(pattern) = arguments.last().and_then(literal) else {
                    return invalid(format!("{name}() needs its regular expression written out"));
                };
                names::regex(pattern)
                    .map_err(|error| Invalid(format!("{name}(): {}", one_line(&error.to_string()))))?;
                if in_comprehension {
                    self.steps = self.steps.max(REGEX_STEPS);
                }
                1
            }
            "split" if text(0).is_none() => return invalid("split() needs its separator written out"),
            // Each character may need one more before it.
            "strings.quote" => 2,
            "join" if !arguments.is_empty() => match text(0) {
                Some(separator) => 1 + separator.len(),
                None => return invalid("join() needs its separator written out"),
            },
            "replace" => match (text(0), text(1)) {
                (Some(from), Some(to)) => 1 + to.len().checked_div(from.len()).unwrap_or(to.len()),
                _ => return invalid("replace() needs both of its texts written out"),
            },
            _ => 1,
        };
        self.splits |= name == "findAll" || name == "split";
        Ok((if *grows { growth.saturating_mul(factor as u64) } else { 1 }, *shape))
    }

    /// The steps that an evaluation takes at the most, or what is too much of it.
    pub(super) fn steps(&self, Weight { bytes, items }: &Weight) -> Result<u64, String> {
        let grown = bytes.saturating_mul(self.growth);
        if grown > MAX_GROWN {
            return Err(format!("it could make {grown} bytes of {bytes}, and {MAX_GROWN} are allowed"));
        }
        let items = if self.splits { *bytes } else { *items };
        // For each item all that was gathered before is copied, with what was built into it: that takes half as long.
        let copied = items.saturating_mul(items).saturating_mul(self.built.div_ceil(2)) / 4;
        let steps = items.saturating_mul(self.steps).saturating_add(if self.gathers { copied } else { 0 });
        if steps > MAX_STEPS {
            return Err(format!("it goes through {items} items, which is too many"));
        }
        Ok(steps)
    }
}
