//! `--template` and `--set`: templates and parameters, as the pod's author would have annotated them.

use std::str::FromStr;

use pillion_engine::catalog::Catalog;
use pillion_engine::names::TEMPLATES;
use pillion_engine::template::TemplateName;
use serde_json::{Map, Value};

use super::output::report;

/// A parameter and its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    template: TemplateName,
    parameter: String,
    value: String,
    /// Whether a pod asked for the template.
    is_used: bool,
}

impl Setting {
    /// A parameter of this template, which need not be named: no parameter has a dot in its name.
    pub(super) fn of(template: &TemplateName, text: &str) -> Result<Setting, String> {
        let key = text.split_once('=').map_or(text, |(key, _)| key);
        let setting: Setting = if key.contains('.') { text.parse() } else { format!("{template}.{text}").parse() }?;
        if setting.template == *template {
            Ok(setting)
        } else {
            Err(format!("{} is another template than {template}", setting.template))
        }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let form = "write it as template.parameter=value, such as fluent-bit.logDir=/data/logs";
        let (key, value) = text.split_once('=').ok_or(form)?;
        let (template, parameter) = key.split_once('.').ok_or(form)?;
        if parameter.is_empty() {
            return Err(form.into());
        }
        let template = template.parse().map_err(|_| format!("{template:?} cannot be a template's name; {form}"))?;
        Ok(Setting { template, parameter: parameter.into(), value: value.into(), is_used: false })
    }
}

/// What the command line says of every pod.
pub(super) struct Settings {
    /// `--template`: what each pod asks for beside its own.
    templates: Vec<TemplateName>,
    /// `--set`
    parameters: Vec<Setting>,
}

impl Settings {
    pub(super) fn new(templates: Vec<TemplateName>, parameters: Vec<Setting>) -> Settings {
        Settings { templates, parameters }
    }

    /// Gives a pod the templates, and the parameters of those that it asks for.
    pub(super) fn apply(&mut self, pod: &mut Value) {
        if !self.templates.is_empty() {
            self.ask(pod);
        }
        let annotations = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        let Some(annotations) = annotations else { return };
        let asked = annotations.get(TEMPLATES).map(names).unwrap_or_default();
        for Setting { template, parameter, value, is_used } in &mut self.parameters {
            if asked.iter().any(|name| name == template.as_str()) {
                *is_used = true;
                annotations.insert(format!("{template}.pillion.dev/{parameter}"), value.as_str().into());
            }
        }
    }

    /// Adds the templates to those that the pod asks for.
    fn ask(&self, pod: &mut Value) {
        let metadata = pod.as_object_mut().and_then(|pod| map(pod, "metadata"));
        let Some(annotations) = metadata.and_then(|metadata| map(metadata, "annotations")) else { return };
        let list = annotations.entry(TEMPLATES).or_insert_with(|| String::new().into());
        let asked = names(list);
        let new = self.templates.iter().map(TemplateName::as_str).filter(|name| !asked.iter().any(|it| it == name));
        let own = list.as_str().filter(|list| !list.is_empty()).into_iter();
        *list = own.chain(new).collect::<Vec<_>>().join(",").into();
    }

    /// Warns of parameters for templates that no pod asked for.
    pub(super) fn report_unused(&self, catalog: &Catalog, namespace: &str) {
        for Setting { template, parameter, .. } in self.parameters.iter().filter(|setting| !setting.is_used) {
            let near = if catalog.names().any(|name| name == template) {
                None
            } else {
                catalog.nearest(template.as_str(), namespace)
            };
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            report(format_args!("warning: --set {template}.{parameter}: no pod asks for {template}{hint}"));
        }
    }
}

/// A member that is a map, or is made one if there is nothing.
fn map<'a>(of: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let member = of.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = Map::new().into();
    }
    member.as_object_mut()
}

/// The names in a list of templates.
fn names(list: &Value) -> Vec<String> {
    let names = list.as_str().unwrap_or_default().split(',');
    names.map(|name| name.trim().trim_start_matches('+').to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_template_and_parameter() {
        let setting: Setting = "fluent-bit.logDir=/a=b.c".parse().unwrap();
        assert_eq!(
            (setting.template.as_str(), &*setting.parameter, &*setting.value),
            ("fluent-bit", "logDir", "/a=b.c")
        );
        for wrong in ["fluent-bit", "fluent-bit.logDir", "logDir=1", "fluent-bit.=1", "Fluent.x=1"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }
}
