//! The walk over a value and its type: types, enumerations, required fields, and the rows of a table.

use serde_json::Number;

use super::report::{Place, Report};
use super::row::{Must, Row, Rules, but_is, hint};
use crate::json::{Kind, Member, View};
use crate::quantity::parse_quantity;
use crate::schema::{Object, Scalar, ScalarKind, Schema, Type};
use crate::text::{article, did_you_mean};
use crate::yaml::Position;

/// Goes through values and judges what is new in them.
pub(crate) struct Walk<'r> {
    rules: &'r Rules,
    report: &'r mut Report,
}

impl<'r> Walk<'r> {
    pub(crate) fn new(rules: &'r Rules, report: &'r mut Report) -> Walk<'r> {
        Walk { rules, report }
    }

    /// Judges a value of a type.
    pub(crate) fn value(&mut self, value: View<'_>, kind: &Type, place: &Place<'_>) {
        if value.is_fixed() {
            return;
        }
        match (kind, value.kind()) {
            (_, Kind::Null) => {}
            (kind, Kind::Unknown) if self.rules.concern(kind) => self.report.note_unknown(place, value),
            (_, Kind::Unknown) => {}
            (Type::Object(object), Kind::Object) => self.object(value, object, place),
            (Type::Map(kind), Kind::Object) => {
                for member in value.touched_members() {
                    let place = place.key(&member);
                    self.is_expression(&member.name, member.position, &place);
                    self.value(member.value, kind, &place);
                }
            }
            (Type::List { item, keys }, Kind::List) => {
                for (at, value) in value.touched_items() {
                    self.value(value, item, &place.item(at, value, keys));
                }
            }
            (Type::Scalar(scalar), kind) => {
                if let Some(message) = mismatch(value, &kind, scalar) {
                    self.report.add(place, value, message);
                }
            }
            (kind, other) => self.report.add(place, value, format!("must be {}, not {}", expected(kind), other.name())),
        }
    }

    /// Judges all of an object.
    pub(crate) fn object(&mut self, value: View<'_>, object: &Object, place: &Place<'_>) {
        self.fields(value, object, place);
        let rules = self.rules.of(object);
        if value.is_new() {
            for field in rules.required.iter().filter(|field| value.get(field).is_none()) {
                self.report.add(place, value, format!("lacks {field}"));
            }
            for (field, row) in rules.filled.iter().filter(|(field, _)| value.get(field).is_none_or(View::is_empty)) {
                let before = self.report.len();
                self.report.add(place, value, format!("lacks {field}"));
                self.report.attribute(before, || super::number_of(row));
            }
        }
        self.rows(&rules.whole, &[], value, place);
    }

    /// Judges a part of a pod that is to be merged into others: it need not have what a whole one must have.
    pub(crate) fn partial_pod(&mut self, pod: View<'_>, place: &Place<'_>) {
        let whole = Schema::get().pod();
        for name in ["metadata", "spec"] {
            let (Some(part), Some((at, kind))) = (pod.get(name), whole.fields.find(name)) else { continue };
            let place = place.member(name);
            match (kind, part.kind()) {
                (Type::Object(object), Kind::Object) => self.fields(part, object, &place),
                _ => self.value(part, kind, &place),
            }
            self.rows(&self.rules.of(whole).fields[at], kind.keys(), part, &place);
        }
    }

    /// Judges the fields that an object has, each by itself.
    pub(crate) fn fields(&mut self, value: View<'_>, object: &Object, place: &Place<'_>) {
        for member in value.touched_members().filter(|member| !member.value.is_fixed()) {
            let (name, value) = (&*member.name, member.value);
            let field = object.fields.find(name);
            let place = &if field.is_some() { place.member(name) } else { place.key(&member) };
            let Some((at, kind)) = field else {
                if !self.is_expression(name, member.position, place) {
                    self.unknown(object, name, &member, place);
                }
                continue;
            };
            if matches!(value.kind(), Kind::Null) {
                continue;
            }
            let before = self.report.len();
            self.value(value, kind, place);
            // Of a value of the wrong type nothing more can be said.
            if matches!(kind, Type::Scalar(_)) && self.report.len() > before {
                continue;
            }
            let is_choice = matches!(kind, Type::Scalar(scalar) if !scalar.allowed.is_empty());
            if is_choice && value.is_empty() && object.required.iter().any(|required| required == name) {
                self.report.add(place, value, "must not be empty");
            }
            self.rows(&self.rules.of(object).fields[at], kind.keys(), value, place);
        }
    }

    /// Judges a member that is no field: a misspelt one, or, in a template, one of a newer Kubernetes.
    fn unknown(&mut self, object: &Object, name: &str, member: &Member<'_>, place: &Place<'_>) {
        let near = object.nearest(name);
        if near.is_none() && member.value.is_written() {
            self.report.note_newer(place, member.position, &object.name);
        } else {
            let message = format!("is not a field of {}{}", article(&object.name), did_you_mean(near.as_deref()));
            self.report.add_at(place, member.position, message);
        }
    }

    /// Judges a value, or a list whose items these keys tell apart, by rows.
    fn rows(&mut self, rows: &[&Row], keys: &[String], value: View<'_>, place: &Place<'_>) {
        for row @ Row { must, .. } in rows {
            // Lists are merged by their keys, so that no two items of one have the same.
            let is_merged = |by: &[&str]| !value.is_new() && by.iter().all(|field| keys.iter().any(|key| key == field));
            if !matches!(must, Must::DifferIn(by) if is_merged(by)) {
                let before = self.report.len();
                must.judge(self.report, value, place);
                self.report.attribute(before, || super::number_of(row));
            }
        }
    }

    /// Says that a key holds an expression, if it does.
    fn is_expression(&mut self, key: &str, position: Position, place: &Place<'_>) -> bool {
        let is_expression = key.contains("${{");
        if is_expression {
            self.report.add_at(place, position, "is a key, and a key cannot hold an expression");
        }
        is_expression
    }
}

/// What is wrong with a value that stands where a scalar belongs.
fn mismatch(value: View<'_>, kind: &Kind<'_>, scalar: &Scalar) -> Option<String> {
    let is_int32 = |number: &Number| number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
    let is_right = match (scalar.kind, kind) {
        // For nothing the API server fills in its default.
        (ScalarKind::String, Kind::String(text)) => {
            text.is_empty() || scalar.allowed.is_empty() || scalar.allowed.iter().any(|allowed| allowed == text)
        }
        (ScalarKind::Int32 | ScalarKind::IntOrString, Kind::Number(number)) => is_int32(number),
        (ScalarKind::Int64, Kind::Number(number)) => number.is_i64(),
        (ScalarKind::Quantity, Kind::String(text)) => parse_quantity(text).is_some(),
        (ScalarKind::Boolean, Kind::Bool(_))
        | (ScalarKind::Quantity, Kind::Number(_))
        | (ScalarKind::IntOrString, Kind::String(_))
        | (ScalarKind::Any, _) => true,
        _ => false,
    };
    if is_right {
        return None;
    }
    let wanted = expected_scalar(scalar.kind);
    let is_private = value.is_private() || scalar.is_private;
    Some(match kind {
        Kind::String(_) if !scalar.allowed.is_empty() => {
            let allowed = || scalar.allowed.iter().map(String::as_str).filter(|word| !word.is_empty());
            format!("must be {}{}{}", one_of_words(allowed()), but_is(value), hint(value, allowed()))
        }
        Kind::Number(_) | Kind::Bool(_) if scalar.kind == ScalarKind::String && !is_private => {
            format!("must be a string, not {value}; quote it")
        }
        Kind::Number(_) | Kind::Bool(_) if scalar.kind == ScalarKind::String => "must be a string; quote it".into(),
        Kind::Number(_) if matches!(scalar.kind, ScalarKind::Int32 | ScalarKind::IntOrString) => {
            format!("must be an integer of 32 bits{}", but_is(value))
        }
        Kind::String(text) if !is_private => {
            let is_expression = value.is_written() && text.contains('{');
            let hint = if is_expression { "; an expression is written ${{ }}" } else { "" };
            format!("must be {wanted}, not {value}{hint}")
        }
        other => format!("must be {wanted}, not {}", other.name()),
    })
}

/// The values that are allowed, or how many they are.
pub(super) fn one_of_words<'w>(words: impl Iterator<Item = &'w str>) -> String {
    const MOST: usize = 8;
    let words: Vec<_> = words.collect();
    match words.get(..MOST) {
        Some(first) if words.len() > MOST => format!("one of {} and {} more", first.join(", "), words.len() - MOST),
        _ => format!("one of {}", words.join(", ")),
    }
}

/// What a type is called in messages.
pub(crate) fn expected(kind: &Type) -> &'static str {
    match kind {
        Type::Scalar(scalar) => expected_scalar(scalar.kind),
        Type::Object(_) | Type::Map(_) => "an object",
        Type::List { .. } => "a list",
    }
}

fn expected_scalar(kind: ScalarKind) -> &'static str {
    match kind {
        ScalarKind::String => "a string",
        ScalarKind::Int32 | ScalarKind::Int64 => "an integer",
        ScalarKind::Boolean => "true or false",
        ScalarKind::Quantity => "a quantity such as 500m or 64Mi",
        ScalarKind::IntOrString => "an integer or a string",
        ScalarKind::Any => "a value",
    }
}
