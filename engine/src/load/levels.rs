//! Which level of Pod Security a namespace can enforce for pods that get a template, as far as that can be known without a
//! pod: with the defaults and examples of the parameters, in a pod that keeps the level by itself.

use super::fill::Source;
use crate::json::View;
use crate::rules::Violation;
use crate::rules::report::{Place, Report};
use crate::rules::security::{Breach, LEVELS, Level, of_violations};
use crate::rules::walk::Walk;
use crate::schema::Schema;
use crate::template::diagnostics::Diagnostics;
use crate::template::{LevelBreach, PodSecurity};
use crate::yaml::{Key, Node, Value};

/// What the levels do not allow in a template that is filled in.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) breaches: Vec<Breach>,
    /// Where only a pod shows what an expression gives.
    unknown: Vec<Violation>,
    /// Fields that may be of a newer Kubernetes, which the walk finds by the way.
    pub(super) newer: Vec<Violation>,
}

/// Judges a template that is filled in, for pods of these operating systems.
pub(super) fn judge(source: &Source, os: &[String]) -> Judged {
    let mut report = Report::with_unknown();
    let mut walk = Walk::new(&LEVELS, &mut report);
    let for_windows = (os == ["windows"]).then(|| with_os(&source.pod));
    walk.partial_pod(View::written(for_windows.as_ref().unwrap_or(&source.pod)), &Place::root("spec.pod"));
    for (at, entry) in &source.app {
        walk.fields(View::written(entry), Schema::get().container, &Place::root("spec.app").index(*at));
    }
    let (unknown, newer) = (report.take_unknown(), report.take_newer());
    Judged { breaches: of_violations(report.into_violations()), unknown, newer }
}

/// The pods of a template for Windows say so, and less is asked of them.
fn with_os(pod: &Node) -> Node {
    let mut pod = pod.clone();
    if let Value::Object(members) = &mut pod.value
        && let Some((_, Node { value: Value::Object(spec), position, .. })) =
            members.iter_mut().find(|(key, _)| key.name == "spec")
    {
        let os = Node::written_at(serde_json::json!({"name": "windows"}), *position);
        spec.push((Key { name: "os".to_owned(), position: *position }, os));
    }
    pod
}

/// The level of a template of which each way to fill it in was judged: what one of them breaches, the template does.
pub(super) fn of_all(diagnostics: &Diagnostics<'_>, judged: Vec<Judged>) -> PodSecurity {
    let unknown = judged.first().map(|first| first.unknown.clone()).unwrap_or_default();
    let mut breaches: Vec<_> = judged.into_iter().flat_map(|it| it.breaches).collect();
    let level = Level::kept(breaches.iter().map(|breach| breach.level));
    let place = |Breach { violation, .. }: &Breach| (violation.position, violation.place.clone());
    breaches.sort_by_cached_key(|breach| (place(breach), breach.level, breach.check));
    // What one level does not allow at a place, a stricter one does not allow either.
    breaches
        .dedup_by(|next, kept| place(next) == place(kept) && (next.check == kept.check || next.level != kept.level));
    let diagnostic = |it: Violation| diagnostics.diagnostic(it.position, it.place, it.message);
    let breaches = breaches.into_iter().map(|Breach { level, check, violation }| LevelBreach {
        level,
        check,
        diagnostic: diagnostic(violation),
    });
    PodSecurity { level, breaches: breaches.collect(), unknown: unknown.into_iter().map(diagnostic).collect() }
}
