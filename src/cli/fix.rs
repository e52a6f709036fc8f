//! What to do about a pod that is not injected as asked: a command to paste, and the place in the manifest to edit.

use pillion_engine::decision::{Change, Edit, Reason, Target, TemplateDecision};
use pillion_engine::names::parameter_of;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::namespaces::Namespaces;
use super::output::quoted;
use super::site::Site;

/// A label or annotation and its value; `None` to remove it.
pub(super) type Setting = (String, Option<String>);

/// Changes of a pod and its namespace.
#[derive(Clone, Default)]
pub(super) struct Edits {
    /// Annotations of the pod.
    pub(super) annotations: Vec<Setting>,
    /// Labels of the pod.
    pub(super) labels: Vec<Setting>,
    /// Annotations of the namespace.
    pub(super) namespace_annotations: Vec<Setting>,
    /// Labels of the namespace.
    pub(super) namespace_labels: Vec<Setting>,
    /// Names in lists of templates that are to be others.
    names: Vec<OtherName>,
    /// Places in the pod, each with what is to happen there: `rename`.
    pub(super) places: Vec<(&'static str, String)>,
    /// Whether values only show how one looks.
    pub(super) has_examples: bool,
}

/// Another name in place of one in a list of templates.
#[derive(Clone)]
struct OtherName {
    target: Target,
    key: &'static str,
    name: String,
    instead: String,
}

/// What to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Fix {
    /// A command that does it in the cluster.
    pub(super) command: Option<String>,
    /// The same in the files, each with file and line; or other advice.
    pub(super) edits: Vec<String>,
    /// Whether values in it only show how one looks.
    pub(super) has_examples: bool,
}

/// As `fix`, which is the command if there is one, and `edits`.
impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let edits = Some(self.edits.join("; ")).filter(|edits| !edits.is_empty());
        let mut fields = serializer.serialize_struct("Fix", 2)?;
        fields.serialize_field("fix", &self.command.as_ref().or(edits.as_ref()))?;
        fields.serialize_field("edits", &self.edits)?;
        fields.end()
    }
}

impl Fix {
    /// A command alone.
    pub(super) fn command(command: String) -> Fix {
        Fix { command: Some(command), ..Fix::default() }
    }

    /// A change of a file alone, or another piece of advice.
    pub(super) fn edit(edit: String) -> Fix {
        Fix { edits: vec![edit], ..Fix::default() }
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.command.is_none() && self.edits.is_empty()
    }
}

impl Edits {
    /// What the engine knows. `templates` are those of the decision.
    pub(super) fn of<'e>(all: impl IntoIterator<Item = &'e Edit>, templates: &[TemplateDecision]) -> Edits {
        let mut edits = Edits::default();
        for Edit { template: name, change } in all {
            match change {
                Change::Rename(target, key, instead) => {
                    let (name, instead) = (name.clone(), instead.clone());
                    edits.names.push(OtherName { target: *target, key, name, instead });
                }
                Change::Remove(target, key) => edits.annotations_of(*target).push((key.clone(), None)),
                Change::Set(target, key, value) => {
                    edits.annotations_of(*target).push((key.clone(), Some(value.clone())));
                }
                Change::SetLike(target, key, value) => {
                    let annotations = edits.annotations_of(*target);
                    // It may be set under another key, which is corrected.
                    if annotations.iter().all(|(known, _)| known != key) {
                        annotations.push((key.clone(), Some(value.clone())));
                        edits.has_examples = true;
                    }
                }
                Change::NamespaceLabel(key, value) => {
                    edits.namespace_labels.push((key.clone(), Some(value.clone())));
                }
                Change::Place(place) => {
                    let template = templates.iter().find(|template| template.name.as_str() == name);
                    let is_conflict = template.is_some_and(|template| template.reason == Reason::Conflict);
                    let is_mount = place.contains("].volumeMounts[") || place.contains("].volumeDevices[");
                    let verb = match (is_conflict, is_mount) {
                        (true, true) => "move",
                        (true, false) => "rename",
                        (false, _) => "correct",
                    };
                    edits.places.push((verb, place.clone()));
                }
            }
        }
        edits
    }

    /// The one that sets an annotation of the pod.
    pub(super) fn annotate(key: &str, value: &str, is_example: bool) -> Edits {
        let annotations = vec![(key.to_owned(), Some(value.to_owned()))];
        Edits { annotations, has_examples: is_example, ..Edits::default() }
    }

    fn annotations_of(&mut self, target: Target) -> &mut Vec<Setting> {
        match target {
            Target::Pod => &mut self.annotations,
            Target::Namespace => &mut self.namespace_annotations,
        }
    }

    /// The flags of `pillion inject` with which a pod that lacks nothing else is injected.
    pub(super) fn flags(&self) -> Option<String> {
        let flag = |(key, value): &Setting| {
            let (template, parameter) = parameter_of(key)?;
            Some(format!("--set {}", quoted(&format!("{template}.{parameter}={}", value.as_ref()?))))
        };
        let set = self.annotations.iter().filter(|(_, value)| value.is_some());
        let flags: Option<Vec<_>> = set.map(flag).collect();
        flags.filter(|flags| !flags.is_empty()).map(|flags| flags.join(" "))
    }

    /// What to do, in the cluster and in the files.
    pub(super) fn fix(&self, site: &Site<'_>, namespaces: &Namespaces) -> Fix {
        let mut resolved = self.clone();
        resolved.use_other_names(site, namespaces);
        resolved.resolved_fix(site, namespaces)
    }

    /// Corrects the lists of templates.
    fn use_other_names(&mut self, site: &Site<'_>, namespaces: &Namespaces) {
        for OtherName { target, key, name, instead } in std::mem::take(&mut self.names) {
            let written = match target {
                Target::Pod => site.annotation(key),
                Target::Namespace => namespaces.annotation(site.namespace(), key),
            };
            let settings = self.annotations_of(target);
            let corrected = settings.iter_mut().find(|(known, _)| known == key);
            let list = corrected.as_ref().and_then(|(_, list)| list.clone()).or(written);
            // It was asked for on the command line.
            let Some(list) = list else { continue };
            let items = list.split(',').map(|item| {
                let (plus, rest) = item.trim().split_at(item.trim().len() - item.trim().trim_start_matches('+').len());
                if rest.trim() == name { format!("{plus}{instead}") } else { item.trim().to_owned() }
            });
            let list = Some(items.collect::<Vec<_>>().join(","));
            match corrected {
                Some((_, value)) => *value = list,
                None => settings.push((key.to_owned(), list)),
            }
        }
    }

    fn resolved_fix(&self, site: &Site<'_>, namespaces: &Namespaces) -> Fix {
        let namespace = site.namespace();
        let commands = [
            site.patch(&self.annotations, &self.labels),
            namespaces.command("label", namespace, &self.namespace_labels),
            namespaces.command("annotate", namespace, &self.namespace_annotations),
        ];
        let commands: Vec<_> = commands.into_iter().flatten().collect();
        let mut edits = site.edits("annotations", &self.annotations);
        edits.extend(site.edits("labels", &self.labels));
        edits.extend(namespaces.edits("labels", namespace, &self.namespace_labels));
        edits.extend(namespaces.edits("annotations", namespace, &self.namespace_annotations));
        edits.extend(self.places.iter().filter_map(|(verb, place)| {
            let (line, is_there) = site.line_of(place);
            is_there.then(|| format!("{}:{line}: {verb} {place}", site.file()))
        }));
        let has_more = !self.places.is_empty();
        Fix {
            command: Some(commands.join(" && ")).filter(|command| !command.is_empty() && !has_more),
            edits,
            has_examples: self.has_examples,
        }
    }
}

/// JSON that a terminal shows as it is.
pub(super) fn in_ascii(json: &serde_json::Value) -> String {
    let mut text = String::new();
    for letter in json.to_string().chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text += &format!("\\u{unit:04x}"));
        }
    }
    text
}
