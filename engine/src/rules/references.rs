//! References to variables, `$(NAME)`: the kubelet resolves one only if the variable is defined before it.

use std::collections::HashMap;
use std::iter::from_fn;

use super::parts::containers;
use crate::json::View;
use crate::text::shown;

/// The names that a value refers to. Source: kubernetes third_party/forked/golang/expansion, Expand.
pub(crate) fn references(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    from_fn(move || {
        loop {
            let (_, behind) = rest.split_once('$')?;
            rest = match behind.strip_prefix('(').and_then(|behind| behind.split_once(')')) {
                Some((name, behind)) => {
                    rest = behind;
                    return Some(name);
                }
                // `$$` stands for `$`.
                None => behind.strip_prefix('$').unwrap_or(behind),
            };
        }
    })
}

/// The variables of a container that are judged and refer to one which is not defined before them but later, or to
/// themselves: the number of each, and the name of the first such. The reference stays as it is written, or has the value that `envFrom` or a Service gives it.
pub(crate) fn late_references(container: View<'_>) -> Vec<(usize, View<'_>, String)> {
    let variables = || container.list("env").enumerate();
    let judged = variables().filter(|(_, variable)| variable.is_new());
    let referring: Vec<_> = judged.filter(|(_, variable)| variable.text("value").contains("$(")).collect();
    if referring.is_empty() {
        return Vec::new();
    }
    let mut first = HashMap::new();
    for (at, variable) in variables() {
        first.entry(variable.text("name")).or_insert(at);
    }
    let late = referring.into_iter().filter_map(|(at, variable)| {
        let value = variable.text("value");
        let later = references(&value).find(|name| first.get(*name).is_some_and(|first| *first >= at))?;
        Some((at, variable, later.to_owned()))
    });
    late.collect()
}

/// What is wrong with such a reference.
pub(crate) fn lateness(variable: &str, later: &str) -> String {
    match variable == later {
        true => format!("refers to itself, $({}), and that is not defined before it", shown(later)),
        false => format!("refers to $({}), which is only defined after it", shown(later)),
    }
}

/// What to say of such variables that templates brought into the pod's own containers. What a template's own container
/// holds was judged when it was loaded.
pub(super) fn late_references_of_pod(spec: View<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    for container in containers(spec).filter(|container| container.tree.is_touched() && !container.tree.is_new()) {
        for (_, variable, later) in late_references(container.tree) {
            let (name, variable) = (container.name(), variable.text("name"));
            let (place, what) = (
                format!("{}[{}].env[{}]", container.list, shown(&name), shown(&variable)),
                lateness(&variable, &later),
            );
            sentences.push(format!("{place} {what}; give {} first", shown(&later)));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::references;

    #[test]
    fn a_reference_is_what_the_kubelet_resolves() {
        for (value, names) in [
            ("http://$(HOST):$(PORT)", &["HOST", "PORT"][..]),
            ("$$(HOST) $$$(PORT)", &["PORT"]),
            ("$(HOST", &[]),
            ("$HOST ${HOST} $x$(PORT)$", &["PORT"]),
            ("$()", &[""]),
            ("", &[]),
        ] {
            assert_eq!(references(value).collect::<Vec<_>>(), names, "{value}");
        }
    }
}
