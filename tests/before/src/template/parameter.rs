//! Parameters: what a template lets others choose, and the rules for it.
//!
//! A value comes from an annotation, so it is text that somebody else wrote. It becomes a typed value here, or is
//! refused with the rule that it breaks.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Number, Value};

use super::expression::{Failure, Root, Variables};
use super::reader::{Fields, Reader};
use crate::quantity::{parse_duration, parse_quantity};
use crate::yaml::Node;

/// What a parameter is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Text.
    String,
    /// A 64-bit integer.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A quantity such as `64Mi`.
    Quantity,
    /// A duration such as `90s`.
    Duration,
    /// An object, in JSON.
    Object,
    /// A list, in JSON.
    List,
}

/// Who may set a parameter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SettableBy {
    /// The pod's author, and the namespace's owner for all pods of it.
    #[default]
    Pod,
    /// The namespace's owner alone.
    Namespace,
    /// Nobody but the template's author.
    Nobody,
}

/// A parameter that was accepted: its default keeps its own rules.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its name: usable in expressions and annotation keys.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The value when nobody gives one.
    pub(crate) default: Option<Value>,
    /// Whether it may be left out without a default; it is `null` then.
    pub(crate) optional: bool,
    /// Whether its value must never be shown.
    pub(crate) sensitive: bool,
    /// Who may set it.
    pub(crate) settable_by: SettableBy,
    example: Option<Value>,
    rules: Rules,
}

/// A template's parameters with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(pub(crate) Vec<(String, Value)>);

impl Parameters {
    /// The value of a parameter; `null` for one that was left out.
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.iter().find(|(parameter, _)| parameter == name).map_or(&Value::Null, |(_, value)| value)
    }

    /// What an expression finds at a path: `null` for a parameter that was left out.
    pub(crate) fn find(&self, path: &[String]) -> Option<Cow<'static, RawValue>> {
        self.at(path).map(|value| Cow::Owned(to_raw_value(value).expect("a JSON value is JSON")))
    }

    /// Whether there is something at a path: a parameter that was left out is not there.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        path.is_empty() || self.at(path).is_some_and(|value| !value.is_null())
    }

    fn at(&self, path: &[String]) -> Option<&Value> {
        let (name, path) = path.split_first()?;
        path.iter().try_fold(self.get(name), |value, name| value.get(name))
    }
}

/// Expressions that read nothing else can be evaluated without a pod.
impl Variables for Parameters {
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, RawValue>>, Failure> {
        Ok(if root == Root::Params { self.find(path) } else { None })
    }

    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        Ok(root == Root::Params && Parameters::has(self, path))
    }

    fn spend(&self, _: usize) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Rules {
    allowed: Vec<Value>,
    pattern: Option<Pattern>,
    /// The bound as it was written, and as a number.
    minimum: Option<(String, f64)>,
    maximum: Option<(String, f64)>,
    max_length: Option<usize>,
}

/// A regular expression that is known to be one. It takes memory only once a value is compared with it: a namespace may
/// have many templates that no pod asks for.
#[derive(Debug)]
struct Pattern {
    source: String,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    fn parse(source: &str) -> Result<Pattern, regex::Error> {
        super::regex(source)?;
        Ok(Pattern { source: source.to_owned(), compiled: OnceLock::new() })
    }

    fn is_match(&self, text: &str) -> bool {
        let compile = || super::regex(&self.source).expect("it was compiled before");
        self.compiled.get_or_init(compile).is_match(text)
    }
}

impl Kind {
    const ALL: [(&'static str, Kind); 8] = [
        ("string", Kind::String),
        ("integer", Kind::Integer),
        ("number", Kind::Number),
        ("boolean", Kind::Boolean),
        ("quantity", Kind::Quantity),
        ("duration", Kind::Duration),
        ("object", Kind::Object),
        ("list", Kind::List),
    ];

    fn rule(self) -> &'static str {
        match self {
            Kind::String => "must be a string",
            Kind::Integer => "must be an integer",
            Kind::Number => "must be a number",
            Kind::Boolean => "must be true or false",
            Kind::Quantity => "must be a quantity such as 500m or 64Mi",
            Kind::Duration => "must be a duration such as 90s or 1h30m",
            Kind::Object => "must be an object in JSON",
            Kind::List => "must be a list in JSON",
        }
    }

    /// Something to render with when nothing else is known.
    fn sample(self) -> Value {
        match self {
            Kind::String => "example".into(),
            Kind::Integer | Kind::Number => 1.into(),
            Kind::Boolean => true.into(),
            Kind::Quantity => "1".into(),
            Kind::Duration => "1s".into(),
            Kind::Object => Value::Object(Default::default()),
            Kind::List => Value::Array(Vec::new()),
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Kind::Quantity, Value::String(text)) => parse_quantity(text).is_some(),
            (Kind::Duration, Value::String(text)) => parse_duration(text).is_some(),
            (Kind::Integer, Value::Number(number)) => number.is_i64(),
            (Kind::String, Value::String(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Boolean, Value::Bool(_))
            | (Kind::Object, Value::Object(_))
            | (Kind::List, Value::Array(_)) => true,
            _ => false,
        }
    }

    fn has_order(self) -> bool {
        matches!(self, Kind::Integer | Kind::Number | Kind::Quantity | Kind::Duration)
    }

    /// The number that bounds are compared with.
    fn magnitude(self, value: &Value) -> Option<f64> {
        match (self, value) {
            (Kind::Quantity, Value::String(text)) => parse_quantity(text),
            (Kind::Duration, Value::String(text)) => parse_duration(text),
            (Kind::Integer | Kind::Number, Value::Number(number)) => number.as_f64(),
            _ => None,
        }
    }
}

impl Parameter {
    /// The value that an annotation's text stands for.
    ///
    /// # Errors
    ///
    /// With the rule that it breaks: `must match ^/`.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            Kind::String | Kind::Quantity | Kind::Duration => Some(text.into()),
            Kind::Integer => text.parse::<i64>().ok().map(Value::from),
            // A whole number is one wherever it comes from.
            Kind::Number => match text.parse::<i64>() {
                Ok(whole) => Some(whole.into()),
                Err(_) => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
            },
            Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
            Kind::Object | Kind::List => serde_json::from_str(text).ok(),
        };
        let value = value.ok_or(self.kind.rule())?;
        self.check(&value)?;
        Ok(value)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        if !self.kind.accepts(value) {
            return Err(self.kind.rule().into());
        }
        let rules = &self.rules;
        // `60s` is `1m`.
        let is = |allowed: &Value| match (self.kind.magnitude(allowed), self.kind.magnitude(value)) {
            (Some(allowed), Some(value)) => allowed == value,
            _ => allowed == value,
        };
        if !rules.allowed.is_empty() && !rules.allowed.iter().any(is) {
            let allowed: Vec<_> = rules.allowed.iter().map(display).collect();
            return Err(format!("must be one of {}", allowed.join(", ")));
        }
        if let (Some(pattern), Some(text)) = (&rules.pattern, value.as_str())
            && !pattern.is_match(text)
        {
            return Err(format!("must match {}", pattern.source));
        }
        if let (Some(length), Some(text)) = (rules.max_length, value.as_str())
            && text.chars().count() > length
        {
            return Err(format!("must have at most {length} characters"));
        }
        if let Some(magnitude) = self.kind.magnitude(value) {
            if let Some((bound, _)) = rules.minimum.as_ref().filter(|(_, minimum)| magnitude < *minimum) {
                return Err(format!("must be at least {bound}"));
            }
            if let Some((bound, _)) = rules.maximum.as_ref().filter(|(_, maximum)| magnitude > *maximum) {
                return Err(format!("must be at most {bound}"));
            }
        }
        Ok(())
    }

    /// A value for a trial: the default, else the example, else one that the rules allow, else nothing if it can be left
    /// out.
    pub(crate) fn sample(&self) -> Value {
        if self.optional && !self.is_told() { Value::Null } else { self.some_sample() }
    }

    /// The same, and something of its type if nobody wrote down what it looks like.
    pub(crate) fn some_sample(&self) -> Value {
        let told = self.default.as_ref().or(self.example.as_ref()).or(self.rules.allowed.first());
        told.cloned().unwrap_or_else(|| self.kind.sample())
    }

    fn is_told(&self) -> bool {
        self.default.is_some() || self.example.is_some() || !self.rules.allowed.is_empty()
    }

    /// Whether somebody wrote down what a value looks like: then a trial proves something.
    pub(crate) fn has_sample(&self) -> bool {
        self.is_told() || self.optional || self.kind == Kind::Boolean
    }

    /// Whether a value that nobody wrote down shows at least what type it is of.
    pub(crate) fn shows_its_type(&self) -> bool {
        self.has_sample() || !matches!(self.kind, Kind::String | Kind::Object | Kind::List)
    }

    /// Reads an entry of `parameters`. What is wrong goes to the reader.
    pub(super) fn parse(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Parameter> {
        const KNOWN: &[&str] = &[
            "name",
            "description",
            "type",
            "default",
            "optional",
            "example",
            "enum",
            "pattern",
            "minimum",
            "maximum",
            "maxLength",
            "sensitive",
            "settableBy",
        ];
        let fields = Fields::of(reader, node, path, "a parameter", KNOWN)?;
        let name = fields.required_string(reader, "name")?.to_owned();
        if !is_lower_camel_case(&name) {
            fields.problem(reader, "name", "must be lowerCamelCase letters and digits, such as logDir");
        }
        fields.string(reader, "description");
        if fields.get("type").is_none() {
            reader.problem(node.position, path, "lacks type");
        }
        // A parameter of a wrong type is declared all the same.
        let kind = fields.choice(reader, "type", &Kind::ALL).flatten();
        let is_typed = kind.is_some();
        let kind = kind.unwrap_or(Kind::String);
        let settable = [("Pod", SettableBy::Pod), ("Namespace", SettableBy::Namespace), ("Nobody", SettableBy::Nobody)];
        let mut parameter = Parameter {
            default: fields.get("default").map(Node::to_json).filter(|value| !value.is_null()),
            example: fields.get("example").map(Node::to_json),
            optional: fields.boolean(reader, "optional").unwrap_or_default(),
            sensitive: fields.boolean(reader, "sensitive").unwrap_or_default(),
            settable_by: fields.choice(reader, "settableBy", &settable).flatten().unwrap_or_default(),
            rules: Rules::parse(reader, &fields, kind),
            name,
            kind,
        };
        // `minimum: 1` with `default: 0` would refuse every pod that sets nothing.
        for field in ["default", "example"].into_iter().filter(|_| is_typed) {
            let value = if field == "default" { &mut parameter.default } else { &mut parameter.example };
            if let Some(value) = value {
                normalize(kind, value);
            }
            let value = if field == "default" { &parameter.default } else { &parameter.example };
            if let Some(Err(rule)) = value.as_ref().map(|value| parameter.check(value)) {
                let value = value.as_ref().filter(|_| !parameter.sensitive).map(Value::to_string);
                let is = value.map(|value| format!("is {value}, and ")).unwrap_or_default();
                fields.problem(reader, field, &format!("{is}{rule}"));
            }
        }
        let breaks = parameter.rules.allowed.iter().filter(|value| kind.accepts(value));
        if let Some((value, rule)) = breaks.filter_map(|value| Some((value, parameter.check(value).err()?))).next() {
            fields.problem(reader, "enum", &format!("holds {}, which breaks another rule: it {rule}", display(value)));
        }
        if parameter.settable_by == SettableBy::Nobody && parameter.default.is_none() && !parameter.optional {
            fields.problem(reader, "settableBy", "is Nobody, so the parameter needs a default");
        }
        Some(parameter)
    }
}

impl Rules {
    fn parse(reader: &mut Reader<'_>, fields: &Fields<'_>, kind: Kind) -> Rules {
        let mut rules = Rules::default();
        if let Some(mut allowed) = fields.get("enum").map(Node::to_json) {
            match &mut allowed {
                Value::Array(values) if !values.is_empty() => {
                    values.iter_mut().for_each(|value| normalize(kind, value));
                    if let Some(wrong) = values.iter().find(|value| !kind.accepts(value)) {
                        fields.problem(reader, "enum", &format!("holds {wrong}, and each value {}", kind.rule()));
                    }
                    rules.allowed = std::mem::take(values);
                }
                _ => fields.problem(reader, "enum", "must be a list of values"),
            }
        }
        if let Some(pattern) = fields.string(reader, "pattern") {
            match Pattern::parse(pattern) {
                Ok(pattern) if kind == Kind::String => rules.pattern = Some(pattern),
                Ok(_) => fields.problem(reader, "pattern", "only applies to strings"),
                Err(error) => {
                    let error = error.to_string();
                    let reason = error.rsplit("error: ").next().unwrap_or(&error).trim();
                    fields.problem(reader, "pattern", &format!("is no regular expression: {reason}"));
                }
            }
        }
        for (field, bound) in [("minimum", &mut rules.minimum), ("maximum", &mut rules.maximum)] {
            if let Some(mut value) = fields.get(field).map(Node::to_json) {
                normalize(kind, &mut value);
                match kind.magnitude(&value) {
                    Some(magnitude) => *bound = Some((display(&value), magnitude)),
                    None if kind.has_order() => fields.problem(reader, field, kind.rule()),
                    None => fields.problem(reader, field, "only applies to numbers, quantities and durations"),
                }
            }
        }
        if let (Some((low, minimum)), Some((high, maximum))) = (&rules.minimum, &rules.maximum)
            && minimum > maximum
        {
            fields.problem(reader, "minimum", &format!("is {low}, which is more than the maximum, {high}"));
        }
        rules.max_length = fields.get("maxLength").and_then(|node| match node.to_json().as_u64() {
            Some(length) if kind == Kind::String => usize::try_from(length).ok(),
            Some(_) => {
                fields.problem(reader, "maxLength", "only applies to strings");
                None
            }
            None => {
                fields.problem(reader, "maxLength", "must be an integer, 0 or more");
                None
            }
        });
        rules
    }
}

/// `default: 64` is a quantity, too: YAML makes it a number, and expressions see quantities as strings.
fn normalize(kind: Kind, value: &mut Value) {
    if let (Kind::Quantity | Kind::Duration, Value::Number(number)) = (kind, &*value) {
        *value = number.to_string().into();
    }
}

fn display(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_lower_camel_case(name: &str) -> bool {
    // An annotation's name, behind the slash, has at most 63 characters.
    name.len() <= 63
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric())
}
