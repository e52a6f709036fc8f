//! The templates of the template files, and the last known good version of each since the process began.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pillion_engine::catalog::Catalog;
use pillion_engine::load::{self, Refused};
use pillion_engine::template::{Template, TemplateName};

use crate::files::SourceFile;

/// The last known good templates of files. Lives as long as the process.
#[derive(Default)]
pub(crate) struct Library {
    good: BTreeMap<Key, Good>,
    /// The documents of each file as it was last read, so that only a changed file is compiled again.
    parsed: HashMap<PathBuf, Parsed>,
}

/// A file's text and the documents in it.
struct Parsed {
    text: Arc<str>,
    documents: Vec<Result<Arc<Template>, Refused>>,
}

impl Parsed {
    fn read(path: &Path, text: &Arc<str>) -> Parsed {
        let documents = load::read(text, &path.display().to_string());
        Parsed { text: Arc::clone(text), documents: documents.into_iter().map(|it| it.map(Arc::new)).collect() }
    }
}

/// A name, and the namespace if the template is for one.
type Key = (TemplateName, Option<String>);

#[derive(Clone)]
struct Good {
    template: Arc<Template>,
    path: PathBuf,
}

/// The templates of a set of files.
pub(crate) struct Loaded {
    templates: Vec<Arc<Template>>,
    /// Those that are broken, with the first thing that is wrong. Their last known good versions are among `templates`.
    broken: Vec<(Key, String)>,
    /// What is wrong with the files, in their order, one line each.
    pub(crate) problems: Vec<String>,
    /// What should be better about templates that are new or have changed.
    pub(crate) warnings: Vec<String>,
    /// How many documents and files are refused.
    pub(crate) refused: usize,
}

impl Loaded {
    /// Whether a file has a template of this name, good or broken, for every namespace or for this one.
    pub(crate) fn has(&self, name: &str, namespace: Option<&str>) -> bool {
        let in_force = self.templates.iter().map(|it| (&it.name, it.namespace.as_deref()));
        let broken = self.broken.iter().map(|((name, namespace), _)| (name, namespace.as_deref()));
        in_force.chain(broken).any(|it| (it.0.as_str(), it.1) == (name, namespace))
    }

    /// The good templates.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter().map(Arc::as_ref)
    }

    /// Name, and namespace if there is one, of each broken template.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &(TemplateName, Option<String>)> {
        self.broken.iter().map(|(key, _)| key)
    }

    /// Inserts the templates into a catalog, in place of others of their names; of those without a good version, what is
    /// wrong.
    pub(crate) fn insert_into(&self, catalog: &mut Catalog) {
        for ((name, namespace), why) in &self.broken {
            catalog.refuse(name.clone(), namespace.as_deref(), why.clone());
        }
        for template in &self.templates {
            catalog.insert(Arc::clone(template));
        }
    }
}

impl Library {
    /// Reads `files`, which are all the files there are, and remembers the good templates in them.
    pub(crate) fn load(&mut self, files: &[SourceFile]) -> Loaded {
        let mut parsed = HashMap::with_capacity(files.len());
        for SourceFile { path, text } in files {
            let Ok(text) = text else { continue };
            let known = self.parsed.remove(path).filter(|known| known.text == *text);
            parsed.insert(path.clone(), known.unwrap_or_else(|| Parsed::read(path, text)));
        }
        self.parsed = parsed;
        let mut reading = Reading::of(&self.good);
        for SourceFile { path, text } in files {
            match text {
                Ok(_) => reading.file(path, self.parsed.get(path).map_or(&[], |parsed| &parsed.documents)),
                Err(why) => reading.unreadable(path, why),
            }
        }
        let Reading { mut good, broken, problems, refused, .. } = reading;
        let changed = good
            .iter()
            .filter(|(key, it)| self.good.get(*key).is_none_or(|last| last.template.digest != it.template.digest));
        let warnings = changed.flat_map(|(_, it)| &it.template.warnings).map(ToString::to_string).collect();

        for (key, _) in &broken {
            // Its good version may come from another file, if it was moved and broken in one step.
            if let Some(last) = self.good.get(key) {
                good.entry(key.clone()).or_insert_with(|| last.clone());
            }
        }
        let templates = good.values().map(|good| Arc::clone(&good.template)).collect();
        self.good = good;
        Loaded { templates, broken, problems, warnings, refused }
    }
}

/// One pass over the files. Of two templates of one name the first is used.
struct Reading<'a> {
    last: &'a BTreeMap<Key, Good>,
    good: BTreeMap<Key, Good>,
    /// Each with the first thing that is wrong.
    broken: Vec<(Key, String)>,
    problems: Vec<String>,
    refused: usize,
}

/// The most problems of one template that are told, in the log and in `/readyz`.
pub(super) const MAX_PROBLEMS: usize = 8;

impl<'a> Reading<'a> {
    fn of(last: &'a BTreeMap<Key, Good>) -> Reading<'a> {
        Reading { last, good: BTreeMap::new(), broken: Vec::new(), problems: Vec::new(), refused: 0 }
    }

    fn unreadable(&mut self, path: &Path, why: &str) {
        self.refuse(format!("{}: {why}", path.display()));
        self.keep(|_, last| last.path.starts_with(path));
    }

    fn file(&mut self, path: &Path, documents: &[Result<Arc<Template>, Refused>]) {
        let mut named = 0;
        let mut unnamed = None;
        for document in documents {
            match document {
                Ok(template) => {
                    named += 1;
                    self.accept(template, path);
                }
                Err(Refused { name, namespace, problems }) => {
                    self.refused += 1;
                    let mut problems = problems.iter().map(ToString::to_string);
                    let why = problems.next().unwrap_or_default();
                    self.problems.push(why.clone());
                    self.problems.extend(problems.by_ref().take(MAX_PROBLEMS - 1));
                    match problems.count() {
                        0 => {}
                        more => self.problems.push(format!("{}: and {more} more", path.display())),
                    }
                    let Some(name) = name else {
                        unnamed.get_or_insert(why);
                        continue;
                    };
                    named += 1;
                    let key = (name.clone(), namespace.clone());
                    self.keep(|last, good| *last == key && good.path == *path);
                    self.broken.push((key, why));
                }
            }
        }
        let Some(why) = unnamed else { return };
        // A document whose name cannot be read may be any of the templates that were good in this file.
        let kept = self.keep(|_, last| last.path == *path);
        if named == 0
            && !kept
            && let Some(name) = stem(path)
        {
            // Most files have the name of the one template in them.
            self.broken.push(((name, None), why));
        }
    }

    fn accept(&mut self, template: &Arc<Template>, path: &Path) {
        let key = (template.name.clone(), template.namespace.clone());
        match self.good.get(&key) {
            None => {
                self.good.insert(key, Good { template: Arc::clone(template), path: path.to_owned() });
            }
            Some(first) => {
                let (path, first, name) = (path.display(), first.path.display(), key.0);
                self.refuse(format!("{path}: template {name} is in {first} already, which wins; rename or remove one"));
            }
        }
    }

    /// Keeps the last known good templates that `is_kept` selects. Returns whether there are any.
    fn keep(&mut self, is_kept: impl Fn(&Key, &Good) -> bool) -> bool {
        let mut any = false;
        for (key, last) in self.last.iter().filter(|(key, last)| is_kept(key, last)) {
            any = true;
            self.good.entry(key.clone()).or_insert_with(|| last.clone());
        }
        any
    }

    fn refuse(&mut self, problem: String) {
        self.refused += 1;
        self.problems.push(problem);
    }
}

fn stem(path: &Path) -> Option<TemplateName> {
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use pillion_engine::admission::Review;
    use pillion_engine::catalog::Namespace;
    use pillion_engine::decision::Reason;
    use pillion_engine::template::OnError;
    use serde_json::value::to_raw_value;

    use super::*;

    const UNREADABLE: &str = "metadata: [\n";

    fn template(name: &str, description: &str) -> String {
        format!(
            "---\napiVersion: pillion.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata:\n  name: {name}\n\
             spec:\n  description: {description}\n  pod: {{metadata: {{labels: {{a: b}}}}}}\n"
        )
    }

    fn broken(name: &str) -> String {
        template(name, "broken").replace("pod:", "pood:")
    }

    impl Library {
        fn load_texts(&mut self, files: &[(&str, &str)]) -> Loaded {
            let file = |(path, text): &(&str, &str)| SourceFile { path: path.into(), text: Ok((*text).into()) };
            self.load(&files.iter().map(file).collect::<Vec<_>>())
        }

        /// Each template in force, with its description.
        fn in_force(&self) -> Vec<String> {
            self.good.values().map(|good| format!("{}: {}", good.template.name, good.template.description)).collect()
        }
    }

    impl Loaded {
        /// The reason that a pod gets which asks for `name`.
        fn reason(&self, name: &str) -> Reason {
            let pod = serde_json::json!({
                "metadata": {"name": "web", "annotations": {"pillion.dev/templates": name}},
                "spec": {"containers": [{"name": "app", "image": "app"}]},
            });
            let pod = to_raw_value(&pod).unwrap();
            let mut catalog = Catalog::new(OnError::Deny);
            self.insert_into(&mut catalog);
            pillion_engine::review(&catalog, &Namespace::named("shop"), &Review::of_pod("shop", &pod)).reason
        }
    }

    #[test]
    fn a_broken_template_keeps_its_last_known_good_version() {
        let mut library = Library::default();
        library.load_texts(&[("a.yaml", &(template("one", "first") + &template("two", "first")))]);
        let loaded = library.load_texts(&[("a.yaml", &(broken("one") + &template("two", "second")))]);
        assert_eq!(library.in_force(), ["one: first", "two: second"]);
        assert_eq!(loaded.refused, 1);
        assert_eq!(loaded.reason("one"), Reason::Injected);
        library.load_texts(&[("b.yaml", &broken("one"))]);
        assert_eq!(library.in_force(), ["one: first"]);
        library.load_texts(&[("a.yaml", &template("one", "mended"))]);
        assert_eq!(library.in_force(), ["one: mended"]);
    }

    #[test]
    fn a_file_that_did_not_change_is_not_compiled_again() {
        let mut library = Library::default();
        let compiled = |library: &Library| -> Vec<Arc<Template>> {
            library.good.values().map(|good| Arc::clone(&good.template)).collect()
        };
        library.load_texts(&[("a.yaml", &template("one", "first")), ("b.yaml", &template("two", "first"))]);
        let before = compiled(&library);
        library.load_texts(&[("a.yaml", &template("one", "first")), ("b.yaml", &template("two", "second"))]);
        let after = compiled(&library);
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert!(!Arc::ptr_eq(&before[1], &after[1]));
    }

    #[test]
    fn a_deleted_template_goes_at_once() {
        let mut library = Library::default();
        library.load_texts(&[
            ("a.yaml", &(template("one", "") + &template("two", ""))),
            ("b.yaml", &template("three", "")),
        ]);
        let loaded = library.load_texts(&[("a.yaml", &template("one", ""))]);
        assert_eq!(library.in_force(), ["one: "]);
        assert_eq!(loaded.reason("three"), Reason::UnknownTemplate);
    }

    #[test]
    fn a_file_that_cannot_be_parsed_keeps_its_last_known_good_templates() {
        let mut library = Library::default();
        library.load_texts(&[("a.yaml", &(template("one", "first") + &template("two", "first")))]);
        let loaded = library.load_texts(&[("a.yaml", UNREADABLE)]);
        assert_eq!(library.in_force(), ["one: first", "two: first"]);
        assert_eq!(loaded.refused, 1);
    }

    #[test]
    fn of_many_problems_of_a_template_the_first_are_told_and_how_many_more_there_are() {
        let fields: String = (0..20).map(|at| format!("f{at}: x\n  ")).collect();
        let many = template("one", "first").replace("pod:", &format!("{fields}pod:"));
        let loaded = Library::default().load_texts(&[("a.yaml", &many)]);
        let [told @ .., last] = loaded.problems.as_slice() else { panic!("nothing is told") };
        let named = |(at, problem): (usize, &String)| problem.contains(&format!("spec.f{at} is not a field"));
        assert!(told.len() == MAX_PROBLEMS && told.iter().enumerate().all(named), "{told:?}");
        assert_eq!(last, "a.yaml: and 12 more");
    }

    #[test]
    fn a_folder_that_cannot_be_read_keeps_its_last_known_good_templates() {
        let mut library = Library::default();
        library.load_texts(&[("templates/a.yaml", &template("one", "first"))]);
        let loaded = library.load(&[SourceFile { path: "templates".into(), text: Err("gone".into()) }]);
        assert_eq!(library.in_force(), ["one: first"]);
        assert_eq!(loaded.problems, ["templates: gone"]);
    }

    #[test]
    fn what_was_never_good_is_known_to_be_broken() {
        let mut library = Library::default();
        let loaded = library.load_texts(&[("a.yaml", &broken("one")), ("two.yaml", UNREADABLE)]);
        assert_eq!(library.in_force(), [""; 0]);
        assert_eq!(loaded.reason("one"), Reason::InvalidTemplate);
        assert_eq!(loaded.reason("two"), Reason::InvalidTemplate);
        assert_eq!(loaded.reason("three"), Reason::UnknownTemplate);
    }

    #[test]
    fn the_first_of_a_name_wins_even_while_it_is_broken() {
        let mut library = Library::default();
        let loaded = library.load_texts(&[("a.yaml", &template("one", "a")), ("b.yaml", &template("one", "b"))]);
        assert_eq!(library.in_force(), ["one: a"]);
        assert_eq!(loaded.problems, ["b.yaml: template one is in a.yaml already, which wins; rename or remove one"]);
        library.load_texts(&[("a.yaml", &broken("one")), ("b.yaml", &template("one", "b"))]);
        assert_eq!(library.in_force(), ["one: a"]);
    }
}
