//! Signatures, as Kubernetes' documentation writes them: `string.split(string, int) list(string)`.

use super::{MAX_PARAMETERS, Overload, Run};
use crate::expression::types::Type;

/// The types that have an order, as Kubernetes tries them: `O` in a signature stands for each of them.
const ORDERED: [&str; 5] = ["int", "double", "bool", "duration", "string"];

pub(super) fn parse(signature: &'static str, run: Run) -> (&'static str, Vec<Overload>) {
    let bracket = argument_bracket(signature);
    let end = signature.rfind(") ").expect("a signature has a result") + 1;
    let (head, arguments, result) = (&signature[..bracket], &signature[bracket + 1..end - 1], &signature[end + 1..]);
    // A name such as `optional.of` has a dot, too; a receiver is a type.
    let (receiver, name) = match head.rsplit_once('.') {
        Some((receiver, name)) if receiver != "strings" && receiver != "optional" => (Some(receiver), name),
        _ => (None, head),
    };
    let words: Vec<&str> = receiver.into_iter().chain(split_arguments(arguments)).collect();
    let make = |ordered: &[&str]| {
        let mut ordered = ordered.iter().copied().cycle();
        let mut parse = |word: &str| parse_type(word, &mut ordered);
        let parameters: Vec<Type> = words.iter().map(|word| parse(word)).collect();
        let result = parse(result);
        // `A` is the first variable, `B` the second.
        let variables = if signature.contains('B') { 2 } else { usize::from(signature.contains('A')) };
        assert!(parameters.len() <= MAX_PARAMETERS, "{signature} has too many parameters");
        Overload { signature, is_member: receiver.is_some(), parameters, result, variables, run }
    };
    let holds_order = |word: &&str| word.contains('O');
    let overloads = if !words.iter().any(holds_order) {
        vec![make(&["dyn"])]
    } else {
        let mut all: Vec<_> = ORDERED.iter().map(|kind| make(&[kind])).collect();
        // Numbers are compared as numbers.
        if words.len() == 2 && receiver.is_none() {
            all.extend([make(&["int", "double"]), make(&["double", "int"])]);
        }
        all
    };
    (name, overloads)
}

/// Where the arguments begin: behind the name, and not in a receiver such as `list(A)`.
fn argument_bracket(signature: &str) -> usize {
    let mut depth = 0;
    let mut last = 0;
    for (at, letter) in signature.char_indices() {
        match letter {
            ' ' if depth == 0 => break,
            '(' => {
                if depth == 0 {
                    last = at;
                }
                depth += 1;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    last
}

/// The words between commas that stand in no brackets.
fn split_arguments(text: &str) -> Vec<&str> {
    let (mut words, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                words.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        words.push(text[begin..].trim());
    }
    words
}

fn parse_type<'o>(word: &str, ordered: &mut impl Iterator<Item = &'o str>) -> Type {
    match word {
        "A" => Type::Variable(0),
        "B" => Type::Variable(1),
        "O" => parse_type(ordered.next().expect("the ordered types repeat"), &mut std::iter::empty()),
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "double" => Type::Double,
        "string" => Type::String,
        "duration" => Type::Duration,
        "quantity" => Type::Quantity,
        _ => {
            let (outer, inner) = word.split_once('(').expect("a type of the table");
            let mut inner =
                split_arguments(&inner[..inner.len() - 1]).into_iter().map(|word| Box::new(parse_type(word, ordered)));
            let mut next = || inner.next().expect("a type of the table has its parameters");
            match outer {
                "list" => Type::List(next()),
                "optional" => Type::Optional(next()),
                _ => Type::Map(next(), next()),
            }
        }
    }
}
