//! Label selectors, as Kubernetes has them.

use std::collections::BTreeMap;

use super::reader::{Fields, Reader};
use crate::yaml::{Node, Value};

/// Which labels an object must have. An empty selector matches everything.
#[derive(Debug, Default)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
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

impl Requirement {
    fn parse(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Requirement> {
        const OPERATORS: &[(&str, Operator)] = &[
            ("In", Operator::In),
            ("NotIn", Operator::NotIn),
            ("Exists", Operator::Exists),
            ("DoesNotExist", Operator::DoesNotExist),
        ];
        let fields = Fields::of(reader, node, path, "a label selector's expression", &["key", "operator", "values"])?;
        fields.required_string(reader, "operator");
        let key = fields.required_string(reader, "key");
        let operator = fields.choice(reader, "operator", OPERATORS)??;
        let values: Vec<_> = fields.strings(reader, "values").into_iter().map(str::to_owned).collect();
        match (operator, values.is_empty()) {
            (Operator::In | Operator::NotIn, true) => fields.problem(reader, "values", "must have at least one value"),
            (Operator::Exists | Operator::DoesNotExist, false) => {
                fields.problem(reader, "values", "must be empty for this operator");
            }
            _ => {}
        }
        Some(Requirement { key: key?.to_owned(), operator, values })
    }
}

impl Selector {
    pub(super) fn parse(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Selector> {
        let fields = Fields::of(reader, node, path, "a label selector", &["matchLabels", "matchExpressions"])?;
        let mut requirements = Vec::new();
        match fields.get("matchLabels").map(|node| &node.value) {
            None => {}
            Some(Value::Object(labels)) => {
                for (key, value) in labels {
                    match value.as_str() {
                        Some(value) => requirements.push(Requirement {
                            key: key.name.clone(),
                            operator: Operator::In,
                            values: vec![value.to_owned()],
                        }),
                        None => fields.problem(reader, "matchLabels", "must hold strings; quote them"),
                    }
                }
            }
            Some(_) => fields.problem(reader, "matchLabels", "must be an object"),
        }
        for (at, node) in fields.list(reader, "matchExpressions").iter().enumerate() {
            requirements.extend(Requirement::parse(reader, node, &format!("{path}.matchExpressions[{at}]")));
        }
        Some(Selector(requirements))
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator {
                Operator::In => value.is_some_and(|value| requirement.values.contains(value)),
                Operator::NotIn => value.is_none_or(|value| !requirement.values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}
