//! `format()`: `'%s=%d'.format([name, port])`. The clauses are those of Kubernetes without `%e`, which writes `1.5 × 10⁰³`
//! there.

use super::arguments::{Arguments, Fault};
use super::numbers::to_text;
use super::texts::escaped;
use crate::expression::meter::Meter;
use crate::expression::numbers::format_fixed;
use crate::expression::types::Type;
use crate::expression::value::Value;

/// The most digits behind the point.
const MAX_PRECISION: usize = 20;
/// A part of a format.
enum Part<'f> {
    Literal(&'f str),
    Clause(Clause),
}

/// How a value is written.
#[derive(Clone, Copy)]
enum Clause {
    Text,
    Decimal,
    Fixed { precision: usize },
    Binary,
    Octal,
    Hex { upper: bool },
}

/// Says what is wrong with a format and the types of the values that are written out for it.
pub(in crate::expression) fn check(format: &str, types: &[Type]) -> Result<(), String> {
    let clauses: Vec<(&str, Clause)> = parse(format)?
        .into_iter()
        .filter_map(|(source, part)| if let Part::Clause(clause) = part { Some((source, clause)) } else { None })
        .collect();
    if clauses.len() != types.len() {
        return Err(format!("format() has {} clauses for {} values", clauses.len(), types.len()));
    }
    for ((source, clause), kind) in clauses.iter().zip(types) {
        let takes = match (clause, kind.without_null()) {
            (_, Type::Dyn | Type::Variable(_)) => true,
            (Clause::Text, kind) => is_text(kind),
            (Clause::Decimal | Clause::Octal, kind) => matches!(kind, Type::Int),
            (Clause::Fixed { .. }, kind) => matches!(kind, Type::Double),
            (Clause::Binary, kind) => matches!(kind, Type::Int | Type::Bool),
            (Clause::Hex { .. }, kind) => matches!(kind, Type::Int | Type::String),
        };
        if !takes {
            return Err(format!("format() cannot write {} as {source}", kind.with_article()));
        }
    }
    Ok(())
}

/// Whether `%s` writes values of a type.
fn is_text(kind: &Type) -> bool {
    match kind {
        Type::Object(_) | Type::Optional(_) | Type::Quantity => false,
        Type::List(of) | Type::Map(_, of) | Type::Nullable(of) => is_text(of),
        _ => true,
    }
}

/// Formats values.
pub(super) fn format(format: &str, values: &[Value<'_>], meter: &Meter) -> Result<String, Fault> {
    let parts = parse(format).map_err(|_| Fault::Failed("format() got a wrong format"))?;
    let mut text = String::new();
    let mut values = values.iter();
    for (_, part) in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Clause(clause) => {
                let value = values.next().ok_or(Fault::Failed("format() has more clauses than values"))?;
                write(&mut text, clause, value, meter)?;
            }
        }
    }
    Ok(text)
}

fn parse(format: &str) -> Result<Vec<(&str, Part<'_>)>, String> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        parts.push((&rest[..at], Part::Literal(&rest[..at])));
        let clause = &rest[at + 1..];
        let digits = clause
            .strip_prefix('.')
            .map_or(0, |digits| 1 + digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len()));
        let letter =
            clause[digits..].chars().next().ok_or("format() ends with an unfinished %; a % itself is written %%")?;
        let end = digits + letter.len_utf8();
        let precision = match digits {
            0 => 6,
            _ => clause[1..digits]
                .parse()
                .ok()
                .filter(|precision| *precision <= MAX_PRECISION)
                .ok_or_else(|| format!("format() writes at most {MAX_PRECISION} digits behind the point"))?,
        };
        let part = match letter {
            '%' if digits == 0 => Part::Literal("%"),
            's' => Part::Clause(Clause::Text),
            'd' => Part::Clause(Clause::Decimal),
            'f' => Part::Clause(Clause::Fixed { precision }),
            'b' => Part::Clause(Clause::Binary),
            'o' => Part::Clause(Clause::Octal),
            'x' | 'X' => Part::Clause(Clause::Hex { upper: letter == 'X' }),
            _ => return Err(format!("format() does not know %{}; it knows %s %d %f %b %o %x %X", &clause[..end])),
        };
        parts.push((&rest[at..at + 1 + end], part));
        rest = &clause[end..];
    }
    parts.push((rest, Part::Literal(rest)));
    Ok(parts)
}

fn write(text: &mut String, clause: Clause, value: &Value<'_>, meter: &Meter) -> Result<(), Fault> {
    // A negative number is written as a sign and its digits.
    let radix = |number: i64, digits: String| if number < 0 { format!("-{digits}") } else { digits };
    let written = match (clause, value) {
        (Clause::Text, value) => return write_text(text, value, meter),
        (Clause::Decimal, Value::Int(number)) => number.to_string(),
        (Clause::Fixed { precision }, Value::Double(number)) => format_fixed(*number, precision),
        (Clause::Fixed { precision }, Value::String(name)) => match &**name {
            "NaN" => format_fixed(f64::NAN, precision),
            "Infinity" => format_fixed(f64::INFINITY, precision),
            "-Infinity" => format_fixed(f64::NEG_INFINITY, precision),
            _ => return Err(Fault::Type),
        },
        (Clause::Binary, Value::Bool(value)) => u8::from(*value).to_string(),
        (Clause::Binary, Value::Int(number)) => radix(*number, format!("{:b}", number.unsigned_abs())),
        (Clause::Octal, Value::Int(number)) => radix(*number, format!("{:o}", number.unsigned_abs())),
        (Clause::Hex { upper: false }, Value::Int(number)) => radix(*number, format!("{:x}", number.unsigned_abs())),
        (Clause::Hex { upper: true }, Value::Int(number)) => radix(*number, format!("{:X}", number.unsigned_abs())),
        (Clause::Hex { upper: false }, Value::String(bytes)) => {
            bytes.bytes().map(|byte| format!("{byte:02x}")).collect()
        }
        (Clause::Hex { upper: true }, Value::String(bytes)) => {
            bytes.bytes().map(|byte| format!("{byte:02X}")).collect()
        }
        _ => return Err(Fault::Type),
    };
    text.push_str(&written);
    Ok(())
}

/// A value as `%s`: what stands in a list or map is written as in an expression.
fn write_text(text: &mut String, value: &Value<'_>, meter: &Meter) -> Result<(), Fault> {
    meter.step(1 + value.length() / 16)?;
    meter.has_room(text.len() + value.length())?;
    match value {
        Value::Null => text.push_str("null"),
        Value::List(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at > 0 { ", " } else { "" });
                write_inner(text, item, meter)?;
            }
            text.push(']');
        }
        Value::Map(map) => {
            let entries = map.entries().iter().map(|(key, value)| {
                let mut entry = String::new();
                write_inner(&mut entry, key, meter)?;
                let key = entry.len();
                entry.push(':');
                write_inner(&mut entry, value, meter)?;
                Ok((key, entry))
            });
            let mut entries = entries.collect::<Result<Vec<_>, Fault>>()?;
            entries.sort_by(|(key, entry), (other_key, other)| entry[..*key].cmp(&other[..*other_key]));
            let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
            text.push_str(&format!("{{{}}}", entries.join(", ")));
        }
        value => match to_text(Arguments { values: std::slice::from_ref(value), meter })? {
            Value::String(written) => text.push_str(&written),
            _ => return Err(Fault::Type),
        },
    }
    Ok(())
}

fn write_inner(text: &mut String, value: &Value<'_>, meter: &Meter) -> Result<(), Fault> {
    match value {
        Value::String(inner) => quote(text, inner),
        Value::Double(number) if number.is_finite() => text.push_str(&format!("{number:.6}")),
        Value::Double(_) | Value::Duration(_) => {
            let mut inner = String::new();
            write_text(&mut inner, value, meter)?;
            if let Value::Double(_) = value {
                quote(text, &inner);
            } else {
                text.push_str(&format!("duration(\"{inner}\")"));
            }
        }
        value => write_text(text, value, meter)?,
    }
    Ok(())
}

/// A text in quotes, as Go's `%q` writes it.
fn quote(text: &mut String, inner: &str) {
    text.push('"');
    for letter in inner.chars() {
        match letter {
            letter if escaped(letter).is_some() => text.push_str(escaped(letter).unwrap_or_default()),
            letter if letter.is_ascii_control() => text.push_str(&format!("\\x{:02x}", letter as u32)),
            letter if letter.is_ascii() || is_printable(letter) => text.push(letter),
            letter if letter <= '\u{ffff}' => text.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => text.push_str(&format!("\\U{:08x}", letter as u32)),
        }
    }
    text.push('"');
}

/// Letters, marks, numbers, punctuation, symbols and the space. Marks are escaped only at the beginning of a text.
fn is_printable(letter: char) -> bool {
    format!("a{letter}").escape_debug().nth(1) != Some('\\')
}
