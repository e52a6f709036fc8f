//! Holes in place of what a template gives, with expressions that give the same, something else or nothing.

use serde_json::{Value, json};

use super::random::Random;

/// Makes a hole of so many of a hundred values of a template's `spec`, with the parameters that it takes.
pub(super) fn make(random: &mut Random, spec: &mut Value, share: usize) {
    if share == 0 {
        return;
    }
    let mut parameters = spec["parameters"].as_array().cloned().unwrap_or_default();
    let mut driller = Driller { random, share, parameters: &mut parameters, in_app: false };
    if let Some(pod) = spec.get_mut("pod") {
        for part in ["metadata", "spec"] {
            pod.get_mut(part).into_iter().for_each(|part| driller.members(part));
        }
    }
    if let Some(shares) = spec.get_mut("shares") {
        driller.members(shares);
    }
    driller.in_app = true;
    for entry in spec.get_mut("app").and_then(Value::as_array_mut).into_iter().flatten() {
        let members = entry.as_object_mut().into_iter().flatten();
        for (_, field) in
            members.filter(|(name, _)| !["containers", "initContainers", "override", "when"].contains(&name.as_str()))
        {
            driller.visit(field);
        }
    }
    spec["parameters"] = parameters.into();
}

struct Driller<'r> {
    random: &'r mut Random,
    share: usize,
    parameters: &'r mut Vec<Value>,
    /// Whether `container` is known.
    in_app: bool,
}

impl Driller<'_> {
    fn visit(&mut self, value: &mut Value) {
        if self.random.percent(self.share) {
            *value = self.hole(value);
        } else {
            self.members(value);
        }
    }

    fn members(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.visit(item)),
            // An expression for whole containers is refused, and a name that varies lets no rule apply.
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| match name.as_str() {
                "initContainers" | "containers" if !self.random.percent(2) => {
                    value.as_array_mut().into_iter().flatten().for_each(|item| self.members(item));
                }
                "name" if !self.random.percent(30) => {}
                _ => self.visit(value),
            }),
            _ => {}
        }
    }

    fn hole(&mut self, value: &Value) -> Value {
        let literal = cel(value);
        let source = match self.random.below(14) {
            0..=4 => format!("params.{}", self.parameter(value)),
            5 => literal,
            6 => format!("params.{} ? {literal} : null", self.parameter(&json!(true))),
            7 => {
                let name = format!("left{}", self.parameters.len());
                let example = self.random.json(r#"[{"example": "x"}, {}, {"default": "d"}]"#);
                self.parameters.push(json!({"name": name, "type": "string", "optional": true}));
                let parameter = self.parameters.last_mut().and_then(Value::as_object_mut).expect("it was pushed");
                parameter.extend(example.as_object().cloned().unwrap_or_default());
                format!("params.{name} == null ? null : {literal}")
            }
            8 => {
                let other = self.random.json(r#"[null, "x", 0, 70000, -1, [], {}, "", true, 1.5, "Bad Name", 8081]"#);
                let condition = self.random.json(
                    r#"["pod.spec.containers.size() > 1", "has(pod.spec.volumes)", "pod.metadata.labels[?'app'].hasValue()"]"#,
                );
                format!("{} ? {literal} : {}", condition.as_str().unwrap_or_default(), cel(&other))
            }
            9 if self.in_app => self.text(
                r#"["container.name", "has(container.ports) ? container.ports[0].containerPort : 8080", "container.image",
                    "container.?workingDir.orValue('/srv')", "container.?env.orValue([]).size()",
                    "container.?volumeMounts.orValue([]).size()", "container.?lifecycle.orValue({}).size()",
                    "container.?resources.?limits.orValue({}).size()", "container.?ports.orValue([]).size()",
                    "container.?readinessProbe.?periodSeconds.orValue(0)"]"#,
            ),
            9 | 10 => self.text(
                r#"["pod.metadata.name", "pod.metadata.labels[?'app'].orValue('none')", "pod.spec.containers.size()",
                    "pod.spec.containers.map(c, c.name)", "namespaceObject.metadata.name", "pod.metadata.labels",
                    "pod.spec.?volumes.orValue([]).size() > 0", "pod.metadata.annotations[?'example.com/note'].orValue('')",
                    "pod.metadata.annotations.size()", "pod.spec.?initContainers.orValue([]).size()",
                    "pod.spec.?terminationGracePeriodSeconds.orValue(30)", "pod.spec.?dnsPolicy.orValue('none')",
                    "pod.spec.?tolerations.orValue([]).size()", "pod.spec.?securityContext.orValue({}).size()",
                    "pod.spec.?securityContext.?fsGroup.orValue(1)", "pod.metadata.labels.size()",
                    "pod.metadata.?annotations.orValue({}).size()", "pod.spec.containers[0].?env.orValue([]).size()",
                    "has(pod.spec.initContainers)", "pod.spec.?nodeSelector.orValue({}).size()",
                    "pod.spec.?enableServiceLinks.orValue(true)", "pod.metadata.size()", "pod.spec.size()"]"#,
            ),
            11 => {
                if let Some(text) = value.as_str().filter(|text| text.len() > 1 && text.is_ascii()) {
                    let (first, rest) = text.split_at(1 + self.random.below(text.len() - 1));
                    let name = self.parameter(&rest.into());
                    return format!("{first}${{{{ params.{name} }}}}").into();
                }
                literal
            }
            12 => match self.random.percent(50) {
                true if !self.parameters.is_empty() => {
                    let parameters = self.parameters.clone();
                    let name = self.random.pick(&parameters)["name"].clone();
                    format!("params.{}", name.as_str().unwrap_or_default())
                }
                _ => format!("[{literal}][0]"),
            },
            _ => {
                if self.random.percent(75) {
                    literal
                } else {
                    self.text(
                        r#"["'text'", "1.5", "null", "1 / 0", "params.nope", "pod.spec.contaners", "", "true", "[]", "{}",
                            "[1, 'a']", "{'a': 1}", "pod.spec.volumes[0].name", "int('x')", "container.name", "80.0"]"#,
                    )
                }
            }
        };
        format!("${{{{ {source} }}}}").into()
    }

    fn text(&mut self, list: &str) -> String {
        self.random.json(list).as_str().unwrap_or_default().to_owned()
    }

    /// The name of a new parameter that can be this value.
    fn parameter(&mut self, value: &Value) -> String {
        let name = format!("made{}", self.parameters.len());
        let kind = match value {
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_i64() => "integer",
            Value::Number(_) => "number",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
            _ => "string",
        };
        let is_quantity = ["1Gi", "500m", "64Mi", "100m", "10m"].iter().any(|text| value == text);
        let kind = if is_quantity && self.random.percent(70) { "quantity" } else { kind };
        let mut parameter = json!({"name": name, "type": kind});
        match self.random.below(10) {
            0..=4 => parameter["default"] = value.clone(),
            5 => parameter["example"] = value.clone(),
            6 => {
                parameter["optional"] = true.into();
                parameter["example"] = value.clone();
            }
            7 => parameter["enum"] = json!([value, value]),
            8 => parameter["optional"] = true.into(),
            _ => {}
        }
        self.parameters.push(parameter);
        name
    }
}

/// A value as an expression writes it.
pub(super) fn cel(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        Value::Array(items) => format!("[{}]", items.iter().map(cel).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{}: {}", cel(&name.as_str().into()), cel(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        scalar => scalar.to_string(),
    }
}
