//! `-l`: objects are chosen by their labels, in the words of kubectl.

use std::collections::BTreeMap;
use std::str::FromStr;

use kube::core::{Expression, Selector, SelectorExt as _};
use serde_json::Value;

use super::output::report;

/// Which objects are meant; all of them unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSelector {
    selector: Selector,
    has_selected: bool,
}

impl LabelSelector {
    /// Whether an object is meant.
    pub(super) fn selects(&mut self, object: &Value) -> bool {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let labels: BTreeMap<_, _> =
            labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        let is_selected = self.selector.matches(&labels);
        self.has_selected |= is_selected;
        is_selected
    }

    /// Warns if no object was meant.
    pub(super) fn report_unused(&self) {
        if !self.selector.selects_all() && !self.has_selected {
            report(format_args!("warning: --selector {}: no object has such labels", self.selector));
        }
    }
}

impl FromStr for LabelSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<LabelSelector, String> {
        let requirements = requirements(text).into_iter().map(str::trim);
        let expressions = requirements.filter(|it| !it.is_empty() || !text.trim().is_empty()).map(|requirement| {
            expression(requirement).ok_or_else(|| {
                format!(
                    "{requirement:?} is not a requirement; write key=value, key!=value, 'key in (a,b)', 'key notin (a,b)', \
                     key or '!key'"
                )
            })
        });
        Ok(LabelSelector { selector: expressions.collect::<Result<_, _>>()?, has_selected: false })
    }
}

/// What stands between the commas that are in no parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|letter| {
        match letter {
            '(' => is_inside = true,
            ')' => is_inside = false,
            _ => {}
        }
        letter == ',' && !is_inside
    })
    .collect()
}

fn expression(text: &str) -> Option<Expression> {
    if let Some(key) = text.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key_of(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Expression::NotEqual(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Expression::Equal(key_of(key)?, value_of(value)?));
    }
    let Some((head, values)) = text.split_once('(') else { return Some(Expression::Exists(key_of(text)?)) };
    let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
    let (key, values) = (key_of(key)?, values.strip_suffix(')')?.split(',').map(value_of).collect::<Option<_>>()?);
    match operator {
        "in" => Some(Expression::In(key, values)),
        "notin" => Some(Expression::NotIn(key, values)),
        _ => None,
    }
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    (!name.is_empty() && is_word(name) && key.chars().all(|letter| letter == '/' || is_letter(letter)))
        .then(|| key.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let value = text.trim();
    is_word(value).then(|| value.to_owned())
}

/// Whether it can be a label's value. See IsValidLabelValue in pkg/util/validation of apimachinery.
fn is_word(text: &str) -> bool {
    let is_end = |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(is_letter) && is_end(text.chars().next()) && is_end(text.chars().last())
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.".contains(letter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_chosen_as_kubectl_chooses_them() {
        let object = json!({"metadata": {"labels": {"app": "web", "example.com/tier": "front", "number": 1}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            (" app = web , example.com/tier", true),
            ("app=web,tier=back", false),
            ("app=", false),
            ("app!=web", false),
            ("stage!=test", true),
            ("app in (api, web)", true),
            ("app in (api),app", false),
            ("app notin (api,web)", false),
            ("stage notin (test),app in (web)", true),
            ("stage", false),
            ("!stage", true),
            ("! app", false),
            ("number", false),
        ] {
            let mut parsed: LabelSelector = selector.parse().unwrap();
            assert_eq!(parsed.selects(&object), expected, "{selector}");
        }
        assert!(LabelSelector::default().selects(&json!({"metadata": null})));
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for wrong in [
            ",",
            "app=web,",
            "=web",
            "app=a b",
            "app in web",
            "app in (a",
            "app in (a))",
            "app of (a)",
            "app in (a) b",
            "app > 1",
            "a=b=c",
            "a b",
            "!",
            "in (a)",
            "app=-a",
            "app=é",
            "a/b/c=d",
            "app=(a)",
        ] {
            let why = wrong.parse::<LabelSelector>().unwrap_err();
            assert!(why.contains("is not a requirement"), "{wrong}: {why}");
        }
    }
}
