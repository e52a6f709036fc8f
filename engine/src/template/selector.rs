//! Label selectors, as Kubernetes has them.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostics::Fields;
use crate::yaml::{Node, Value};

/// The fields of a selector.
pub(super) const FIELDS: &[&str] = &["matchLabels", "matchExpressions"];
/// The fields of an item of `matchExpressions`.
pub(super) const REQUIREMENT: &[&str] = &["key", "operator", "values"];

/// Which labels an object must have. An empty selector matches everything.
#[derive(Debug, Default)]
pub(crate) struct Selector(Vec<Requirement>);

/// What a label must be.
#[derive(Debug)]
pub(crate) struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// As kubectl takes it: `team in (payments,shop)`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(formatter, "{key}={values}"),
            Operator::In => write!(formatter, "{key} in ({values})"),
            Operator::NotIn => write!(formatter, "{key} notin ({values})"),
            Operator::Exists => formatter.write_str(key),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
        }
    }
}

impl Requirement {
    /// A label that meets it, where one is known.
    pub(crate) fn label(&self) -> Option<(&str, &str)> {
        Some((&*self.key, self.values.first().filter(|_| matches!(self.operator, Operator::In))?))
    }

    fn parse(fields: &Fields<'_>) -> Option<Requirement> {
        const OPERATORS: &[(&str, Operator)] = &[
            ("In", Operator::In),
            ("NotIn", Operator::NotIn),
            ("Exists", Operator::Exists),
            ("DoesNotExist", Operator::DoesNotExist),
        ];
        fields.require("operator");
        let key = fields.required_string("key");
        let operator = fields.choice("operator", OPERATORS)?;
        let values = fields.strings("values");
        let compares = matches!(operator, Operator::In | Operator::NotIn);
        if compares && values.is_empty() {
            fields.wrong_field("values", "must have at least one value");
        } else if !compares && !values.is_empty() {
            fields.wrong_field("values", "must be empty for this operator");
        }
        Some(Requirement { key: key?.to_owned(), operator, values })
    }
}

impl Selector {
    /// Reads the `namespaceSelector` of a template's spec.
    pub(super) fn parse(spec: &Fields<'_>) -> Option<Selector> {
        let fields = spec.object("namespaceSelector", "a label selector", FIELDS)?;
        let mut requirements = Vec::new();
        let labels = fields.get("matchLabels");
        if labels.is_some_and(|node| !matches!(node.value, Value::Object(_))) {
            fields.wrong_field("matchLabels", "must be an object");
        }
        for (key, value) in labels.map(Node::members).unwrap_or_default() {
            match value.as_str() {
                Some(value) => requirements.push(Requirement {
                    key: key.name.clone(),
                    operator: Operator::In,
                    values: vec![value.to_owned()],
                }),
                None => fields.wrong_field("matchLabels", "must hold strings; quote them"),
            }
        }
        let expressions = fields.objects("matchExpressions", "a label selector's expression", REQUIREMENT);
        requirements.extend(expressions.filter_map(|fields| Requirement::parse(&fields)));
        Some(Selector(requirements))
    }

    /// Whether it asks for a label, so that every namespace that it matches has it.
    pub(crate) fn asks_for(&self, label: &str) -> bool {
        self.0.iter().any(|it| it.key == label && matches!(it.operator, Operator::In | Operator::Exists))
    }

    /// The first requirement that labels do not meet.
    pub(crate) fn unmet(&self, labels: &BTreeMap<String, String>) -> Option<&Requirement> {
        self.0.iter().find(|requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator {
                Operator::In => value.is_none_or(|value| !requirement.values.contains(value)),
                Operator::NotIn => value.is_some_and(|value| requirement.values.contains(value)),
                Operator::Exists => value.is_none(),
                Operator::DoesNotExist => value.is_some(),
            }
        })
    }
}
