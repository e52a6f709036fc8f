//! `--set`: parameters, as the pod's author would have annotated them.

use std::str::FromStr;

use pillion_engine::template::TemplateName;
use serde_json::Value;

use super::output::report;

/// The annotation by which a pod asks for templates.
pub(super) const TEMPLATES: &str = "pillion.dev/templates";

/// A parameter and its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    template: TemplateName,
    parameter: String,
    value: String,
    /// Whether a pod asked for the template.
    is_used: bool,
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

/// Gives a pod the parameters of the templates that it asks for.
pub(super) fn apply(settings: &mut [Setting], pod: &mut Value) {
    let annotations = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let Some(annotations) = annotations else { return };
    let asked: Vec<String> = annotations
        .get(TEMPLATES)
        .and_then(Value::as_str)
        .map(|names| names.split(',').map(|name| name.trim().trim_start_matches('+').to_owned()).collect())
        .unwrap_or_default();
    for Setting { template, parameter, value, is_used } in settings {
        if asked.iter().any(|name| name == template.as_str()) {
            *is_used = true;
            annotations.insert(format!("{template}.pillion.dev/{parameter}"), value.as_str().into());
        }
    }
}

/// Warns of parameters for templates that no pod asked for.
pub(super) fn report_unused(settings: &[Setting]) {
    for Setting { template, parameter, .. } in settings.iter().filter(|setting| !setting.is_used) {
        report(format_args!("warning: --set {template}.{parameter}: no pod asks for {template}"));
    }
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
