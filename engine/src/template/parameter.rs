//! Parameters: what a template lets others choose, and the rules for it.
//!
//! A value comes from an annotation, so it is text that somebody else wrote. It becomes a typed value here, or is
//! refused with the rule that it breaks.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Number, Value};

use super::diagnostics::Fields;
use crate::expression::{Failure, MAX_WORK, Root, Type, Variables};
use crate::json::fragment::{Numbers, write_json};
use crate::names::digest;
use crate::pattern::Pattern;
use crate::quantity::{parse_duration, parse_quantity};
use crate::yaml::Node;

/// What a parameter is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    String,
    /// A 64-bit integer.
    Integer,
    Number,
    Boolean,
    Quantity,
    Duration,
    Object,
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
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The value when nobody gives one.
    pub(crate) default: Option<Value>,
    /// Whether it can do without a value; it is `null` then.
    pub(crate) optional: bool,
    /// Whether its value must never be shown.
    pub(crate) sensitive: bool,
    pub(crate) settable_by: SettableBy,
    example: Option<Value>,
    rules: Rules,
}

/// The fields of a parameter.
#[rustfmt::skip]
pub(super) const FIELDS: &[&str] = &[
    "name", "description", "type", "default", "optional", "example", "enum", "pattern", "minimum", "maximum",
    "maxLength", "sensitive", "settableBy",
];

/// A template's parameters with their values, in the order of the template; an omitted one is `null`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parameters<'t> {
    values: Vec<(&'t str, Cow<'t, Value>)>,
    /// Those that somebody has set.
    pub(crate) set: Numbers,
}

impl<'t> Parameters<'t> {
    pub(crate) fn with_capacity(number: usize) -> Parameters<'t> {
        Parameters { values: Vec::with_capacity(number), set: Numbers::default() }
    }

    /// Adds the next one, and whether somebody has set it.
    pub(crate) fn push(&mut self, name: &'t str, value: Cow<'t, Value>, is_set: bool) {
        if is_set {
            self.set.insert(self.values.len());
        }
        self.values.push((name, value));
    }

    /// What tells them from any other values.
    pub(crate) fn digest(&self) -> String {
        digest(&[&self.to_bytes()])
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 * self.values.len());
        for (name, value) in &self.values {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            write_json(&mut bytes, value);
            bytes.push(b'\n');
        }
        bytes
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.values.iter().find(|(parameter, _)| *parameter == name).map_or(&Value::Null, |(_, value)| value)
    }

    fn at(&self, path: &[String]) -> Option<&Value> {
        let (name, path) = path.split_first()?;
        path.iter().try_fold(self.get(name), |value, name| value.get(name))
    }

    pub(crate) fn lookup(&self, path: &[String]) -> Option<Cow<'_, str>> {
        self.at(path).map(|value| Cow::Owned(value.to_string()))
    }

    pub(crate) fn has(&self, path: &[String]) -> bool {
        // An omitted parameter is not there, though its value is `null`.
        path.is_empty() || self.at(path).is_some_and(|value| !value.is_null())
    }
}

impl<'t> FromIterator<(&'t str, Cow<'t, Value>)> for Parameters<'t> {
    fn from_iter<I: IntoIterator<Item = (&'t str, Cow<'t, Value>)>>(values: I) -> Parameters<'t> {
        Parameters { values: values.into_iter().collect(), set: Numbers::default() }
    }
}

/// Parameters alone: what reads nothing else can be evaluated without a pod, as far as it does not keep a server busy.
pub(crate) struct WithoutPod<'p> {
    pub(crate) parameters: &'p Parameters<'p>,
    work: Cell<usize>,
}

impl<'p> WithoutPod<'p> {
    pub(crate) fn new(parameters: &'p Parameters<'p>) -> WithoutPod<'p> {
        WithoutPod { parameters, work: Cell::new(MAX_WORK) }
    }
}

impl Variables for WithoutPod<'_> {
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, str>>, Failure> {
        Ok(if root == Root::Params { self.parameters.lookup(path) } else { None })
    }

    fn has(&self, root: Root, path: &[String]) -> Result<bool, Failure> {
        Ok(root == Root::Params && self.parameters.has(path))
    }

    fn spend(&self, bytes: usize) -> Result<(), Failure> {
        let limit =
            || Failure::Limit(format!("the template's expressions work on more than {MAX_WORK} bytes altogether"));
        self.work.set(self.work.get().checked_sub(bytes).ok_or_else(limit)?);
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

    /// The value that stands in a template. `default: 64` is a quantity, too: YAML makes it a number, and expressions see
    /// quantities as strings.
    fn value(self, node: &Node) -> Value {
        match (self, node.to_json()) {
            (Kind::Quantity | Kind::Duration, Value::Number(number)) => number.to_string().into(),
            (_, value) => value,
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Quantity | Kind::Duration => self.magnitude(value).is_some(),
            Kind::Object => value.is_object(),
            Kind::List => value.is_array(),
        }
    }

    /// The number that bounds are compared with.
    fn magnitude(self, value: &Value) -> Option<f64> {
        match self {
            Kind::Quantity => parse_quantity(value.as_str()?),
            Kind::Duration => parse_duration(value.as_str()?),
            Kind::Integer | Kind::Number => value.as_f64(),
            _ => None,
        }
    }
}

impl Parameter {
    /// The type of its value in expressions.
    pub(super) fn value_type(&self) -> Type {
        let kind = match self.kind {
            Kind::String | Kind::Quantity | Kind::Duration => Type::String,
            Kind::Integer => Type::Int,
            Kind::Number => Type::Double,
            Kind::Boolean => Type::Bool,
            Kind::Object => Type::map(Type::Dyn),
            Kind::List => Type::list(Type::Dyn),
        };
        if self.optional && self.default.is_none() { kind.nullable() } else { kind }
    }

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
            Kind::Number => {
                let whole = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
                whole.ok().or_else(|| text.parse().ok().and_then(Number::from_f64).map(Value::Number))
            }
            Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
            Kind::Object | Kind::List => serde_json::from_str(text).ok(),
        };
        let value = value.ok_or(self.kind.rule())?;
        self.validate(&value)?;
        Ok(value)
    }

    fn validate(&self, value: &Value) -> Result<(), String> {
        let rules = &self.rules;
        if !self.kind.accepts(value) {
            return Err(self.kind.rule().into());
        }
        let magnitude = self.kind.magnitude(value);
        // `60s` is `1m`.
        let is_value = |allowed: &Value| match (self.kind.magnitude(allowed), magnitude) {
            (Some(allowed), Some(magnitude)) => allowed == magnitude,
            _ => allowed == value,
        };
        if !rules.allowed.is_empty() && !rules.allowed.iter().any(is_value) {
            let allowed: Vec<_> = rules.allowed.iter().map(display).collect();
            return Err(format!("must be one of {}", allowed.join(", ")));
        }
        if let (Some(pattern), Some(text)) = (&rules.pattern, value.as_str())
            && !pattern.regex().is_match(text)
        {
            return Err(format!("must match {}", pattern.source()));
        }
        if let (Some(length), Some(text)) = (rules.max_length, value.as_str())
            && text.chars().count() > length
        {
            return Err(format!("must have at most {length} characters"));
        }
        match (magnitude, &rules.minimum, &rules.maximum) {
            (Some(magnitude), Some((bound, minimum)), _) if magnitude < *minimum => {
                Err(format!("must be at least {bound}"))
            }
            (Some(magnitude), _, Some((bound, maximum))) if magnitude > *maximum => {
                Err(format!("must be at most {bound}"))
            }
            _ => Ok(()),
        }
    }

    /// The value when nobody gives one; nothing if somebody must.
    pub(crate) fn fallback(&self) -> Option<Cow<'_, Value>> {
        static NULL: Value = Value::Null;
        self.default.as_ref().or(self.optional.then_some(&NULL)).map(Cow::Borrowed)
    }

    /// A value for a trial: what the template shows, else nothing if it is optional, else anything of its type.
    pub(crate) fn sample(&self) -> Value {
        if self.optional && self.shown().is_none() { Value::Null } else { self.some_sample() }
    }

    /// What the template shows, else anything of its type.
    pub(crate) fn some_sample(&self) -> Value {
        self.shown().cloned().unwrap_or_else(|| self.kind.sample())
    }

    /// What the template shows as a value: the default, else the example, else one of `enum`.
    fn shown(&self) -> Option<&Value> {
        self.default.as_ref().or(self.example.as_ref()).or(self.rules.allowed.first())
    }

    /// A value that its rules allow, for people to see how one looks.
    pub(crate) fn written_example(&self) -> String {
        self.shown().filter(|_| !self.sensitive).map_or_else(|| "VALUE".into(), display)
    }

    /// Whether a trial with its sample proves something.
    pub(crate) fn has_sample(&self) -> bool {
        self.shown().is_some() || self.optional || self.kind == Kind::Boolean
    }

    /// Whether a value that is tried is one that the template shows, and not made up.
    pub(crate) fn shows(&self, tried: &Value) -> bool {
        self.shown().is_some() || self.kind == Kind::Boolean || tried.is_null()
    }

    /// Whether its sample shows at least of what type a value is.
    pub(crate) fn shows_its_type(&self) -> bool {
        self.has_sample() || !matches!(self.kind, Kind::String | Kind::Object | Kind::List)
    }

    /// Reads an entry of `parameters`. What is wrong goes to the diagnostics.
    pub(super) fn parse(fields: &Fields<'_>) -> Option<Parameter> {
        let name = fields.required_string("name")?.to_owned();
        if !is_lower_camel_case(&name) {
            fields.wrong_field("name", "must be lowerCamelCase letters and digits, such as logDir");
        }
        fields.string("description");
        fields.require("type");
        let declared = fields.choice("type", &Kind::ALL);
        // A parameter of a wrong type is declared all the same.
        let kind = declared.unwrap_or(Kind::String);
        let settable = [("Pod", SettableBy::Pod), ("Namespace", SettableBy::Namespace), ("Nobody", SettableBy::Nobody)];
        let mut parameter = Parameter {
            default: fields.get("default").map(|node| kind.value(node)),
            example: fields.get("example").map(|node| kind.value(node)),
            optional: fields.boolean("optional").unwrap_or_default(),
            sensitive: fields.boolean("sensitive").unwrap_or_default(),
            settable_by: fields.choice("settableBy", &settable).unwrap_or_default(),
            rules: Rules::parse(fields, kind),
            name,
            kind,
        };
        // `minimum: 1` with `default: 0` would refuse every pod that sets nothing.
        for (field, value) in [("default", &parameter.default), ("example", &parameter.example)] {
            if let (Some(_), Some(value)) = (declared, value)
                && let Err(rule) = parameter.validate(value)
            {
                let is = if parameter.sensitive { String::new() } else { format!("is {value}, and ") };
                fields.wrong_field(field, format!("{is}{rule}"));
            }
        }
        let mut allowed = parameter.rules.allowed.iter().filter(|value| kind.accepts(value));
        if let Some((value, rule)) = allowed.find_map(|value| Some((value, parameter.validate(value).err()?))) {
            let message = format!("holds {}, which breaks another rule: it {rule}", display(value));
            fields.wrong_field("enum", message);
        }
        if parameter.settable_by == SettableBy::Nobody && parameter.default.is_none() && !parameter.optional {
            fields.wrong_field("settableBy", "is Nobody, so the parameter needs a default");
        }
        // A compiled pattern takes more memory than all else, and most are never asked for again.
        if let Some(pattern) = &mut parameter.rules.pattern {
            pattern.forget();
        }
        Some(parameter)
    }
}

impl Rules {
    fn parse(fields: &Fields<'_>, kind: Kind) -> Rules {
        let mut rules = Rules::default();
        if let Some(node) = fields.get("enum") {
            rules.allowed = node.items().iter().map(|item| kind.value(item)).collect();
            if rules.allowed.is_empty() {
                fields.wrong_field("enum", "must be a list of values");
            }
            if let Some(wrong) = rules.allowed.iter().find(|value| !kind.accepts(value)) {
                fields.wrong_field("enum", format!("holds {wrong}, and each value {}", kind.rule()));
            }
        }
        if let Some(source) = fields.string("pattern") {
            match Pattern::new(source) {
                Ok(pattern) if kind == Kind::String => rules.pattern = Some(pattern),
                Ok(_) => fields.wrong_field("pattern", "only applies to strings"),
                Err(error) => fields.wrong_field("pattern", format!("is no regular expression: {error}")),
            }
        }
        for (field, bound) in [("minimum", &mut rules.minimum), ("maximum", &mut rules.maximum)] {
            let Some(value) = fields.get(field).map(|node| kind.value(node)) else { continue };
            match (kind, kind.magnitude(&value)) {
                (_, Some(magnitude)) => *bound = Some((display(&value), magnitude)),
                (Kind::Integer | Kind::Number | Kind::Quantity | Kind::Duration, None) => {
                    fields.wrong_field(field, kind.rule());
                }
                _ => fields.wrong_field(field, "only applies to numbers, quantities and durations"),
            }
        }
        if let (Some((low, minimum)), Some((high, maximum))) = (&rules.minimum, &rules.maximum)
            && minimum > maximum
        {
            fields.wrong_field("minimum", format!("is {low}, which is more than the maximum, {high}"));
        }
        match fields.get("maxLength").map(|node| node.to_json().as_u64()) {
            Some(Some(length)) if kind == Kind::String => rules.max_length = usize::try_from(length).ok(),
            Some(Some(_)) => fields.wrong_field("maxLength", "only applies to strings"),
            Some(None) => fields.wrong_field("maxLength", "must be an integer, 0 or more"),
            None => {}
        }
        rules
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
