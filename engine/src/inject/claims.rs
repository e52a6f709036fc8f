//! What a status says is believed of a pod whose namespace requires templates only as far as its templates bear it out:
//! whoever creates a pod can write one, and what passes for a template's is seen by no expression and gets nothing of `app`.

use std::borrow::Cow;
use std::cell::{Cell, LazyCell};
use std::collections::{HashMap, HashSet};

use super::Injection;
use super::contains::equals;
use super::pod::LISTS;
use super::render::Rendered;
use super::status::tokens;
use super::token::is_no_token;
use crate::json::{By, Fragment, Member, Node, View};
use crate::names::{NO_TOKEN, SAFE_TO_EVICT, TOKEN_PATH};
use crate::schema::{ANY, Schema, Type};

/// A place that a template is said to have brought.
struct Claim<'a> {
    place: &'a str,
    tokens: Vec<String>,
    /// What is said to have stood there before.
    was: Option<&'a Fragment>,
    holds: Cell<bool>,
}

/// The claims of a record that do not hold.
#[derive(Default, Eq, PartialEq)]
struct Wrong<'a> {
    /// What the template does not give.
    refuted: HashSet<&'a str>,
    /// What it would give if it were for this pod.
    unguarded: HashSet<&'a str>,
}

impl<'a> Injection<'a> {
    /// Marks what earlier calls brought, as far as it is not only a status that says so, and what the pod is a copy of.
    pub(super) fn mark_what_is_claimed(&mut self, tree: &mut Node<'a>) {
        // What one template gives can depend on what another one did not bring.
        const MOST_TIMES: usize = 4;
        let records = &self.context.status.templates;
        let mut wrong: Vec<Wrong<'_>> = records.iter().map(|_| Wrong::default()).collect();
        let mut is_settled = false;
        for _ in 0..MOST_TIMES {
            let now: Vec<_> = (0..records.len()).map(|number| self.judge_record(number, &wrong)).collect();
            is_settled = now == wrong;
            wrong = now;
            if is_settled {
                break;
            }
        }
        let is_wrong = |number: usize, place: &str| {
            !is_settled || wrong[number].refuted.contains(place) || wrong[number].unguarded.contains(place)
        };
        (*tree, self.copied) = self.marked_tree(is_wrong);
    }

    /// The pod with marks on what the status says, but for what is wrong, and on what nothing is recorded of.
    fn marked_tree(&self, is_wrong: impl Fn(usize, &str) -> bool) -> (Node<'a>, Vec<u16>) {
        let (mut tree, _) = self.pod.tree().expect("the pod was opened before");
        self.context.status.mark(&mut tree, is_wrong);
        let copied = self.mark_copies(&mut tree);
        (tree, copied)
    }

    /// What is wrong of a record, where this is so of the others. What its template gives is not what its own guard is about.
    fn judge_record(&self, number: usize, wrong: &[Wrong<'a>]) -> Wrong<'a> {
        let record = &self.context.status.templates[number];
        let added = record.added.iter().map(|place| (place, None));
        let replaced = record.replaced.iter().map(|(place, was)| (place, Some(was)));
        let claims: Vec<_> = added
            .chain(replaced)
            .map(|(place, was)| Claim { place, tokens: tokens(place), was, holds: Cell::new(false) })
            .collect();
        if claims.is_empty() {
            return Wrong::default();
        }
        let (tree, _) = self.marked_tree(|of, place| {
            wrong[of].refuted.contains(place) || of != number && wrong[of].unguarded.contains(place)
        });
        let by = By::Earlier(number as u16);
        let guard_holds = match self.render_regardless(&record.name, &tree) {
            Some((rendered, guard_holds)) => {
                self.judge(&claims, &rendered, by, &tree);
                guard_holds
            }
            None => false,
        };
        let (held, refuted): (Vec<_>, Vec<_>) = claims.iter().partition(|claim| claim.holds.get());
        let unguarded = held.into_iter().filter(|claim| !guard_holds && !claim.is_of_container());
        Wrong {
            refuted: refuted.into_iter().map(|claim| claim.place).collect(),
            unguarded: unguarded.map(|claim| claim.place).collect(),
        }
    }

    /// Notes which claims hold: of containers that run what the template says, and of all else that is as it says, if the pod
    /// has all of these.
    fn judge(&self, claims: &[Claim<'_>], rendered: &Rendered<'_>, by: By, tree: &Node<'a>) {
        let template = rendered.template;
        let [metadata, spec] = [rendered.metadata(By::Pod), rendered.spec(By::Pod)];
        let [metadata, spec] = [&metadata, &spec].map(|part| part.as_ref().map_or(View::NOTHING, Node::view));
        let runs = |list: &str, given: View<'_>| {
            let name = given.text("name");
            let may_be = |it: &&Node<'_>| (it.by == by || it.by == By::Pod) && it.is_named(&name);
            let mut existing = tree.opened_list(list).iter().filter(may_be);
            existing.any(|it| self.context.other_program(template, list, it.view(), given).is_none())
        };
        let given = LISTS.into_iter().flat_map(|list| spec.list(list).map(move |given| (list, given)));
        let (there, others): (Vec<_>, Vec<_>) = given.partition(|(list, given)| runs(list, *given));
        let there: HashSet<_> = there.iter().map(|(list, given)| (*list, given.text("name"))).collect();
        let kind = Schema::get().spec.item("volumes");
        let has_volume = |given: View<'_>| {
            let name = given.text("name");
            let mut there = tree.view().get("spec").into_iter().flat_map(|spec| spec.list("volumes"));
            rendered.shares(&name) || there.any(|it| it.text("name") == name && equals(it, given, kind))
        };
        if others.is_empty() && spec.list("volumes").all(has_volume) {
            judge_all(claims, rendered, [metadata, spec], tree);
        }
        for claim in claims {
            match claim.tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["spec", list, name, ..] if claim.is_of_container() => {
                    claim.holds.set(there.iter().any(|(known, given)| known == list && given == name));
                }
                ["spec", "volumes", NO_TOKEN] => {
                    let existing = tree.opened_list("volumes").iter().filter(|it| it.is_named(NO_TOKEN));
                    claim.holds.set(template.withholds_token && existing.clone().all(|it| is_no_token(it.view())));
                }
                ["metadata", "annotations", SAFE_TO_EVICT] => claim.holds.set(template.pod.safe_to_evict.is_some()),
                ["spec", "terminationGracePeriodSeconds"] => {
                    let given = spec.get("terminationGracePeriodSeconds").and_then(View::integer);
                    let was = claim.was.map(|was| View::fragment(was).integer());
                    claim.holds.set(claim.holds.get() && was.is_none_or(|was| was < given));
                }
                _ => {}
            }
        }
    }
}

impl Claim<'_> {
    /// Whether it is about a container of the template, or the token that Pillion mounts into it.
    fn is_of_container(&self) -> bool {
        match self.tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["spec", list, _] | ["spec", list, _, "volumeMounts", TOKEN_PATH] => LISTS.contains(list),
            _ => false,
        }
    }
}

/// Notes which claims hold of what a template gives beside containers.
fn judge_all(claims: &[Claim<'_>], rendered: &Rendered<'_>, given: [View<'_>; 2], tree: &Node<'_>) {
    let schema = Schema::get();
    for (part, given) in ["metadata", "spec"].into_iter().zip(given) {
        let below: Vec<_> = claims.iter().filter(|claim| claim.tokens.first().is_some_and(|it| it == part)).collect();
        if let (Some(existing), Some(kind)) = (tree.view().get(part), schema.pod.child(part)) {
            judge_part(existing, given, kind, 1, &below);
        }
    }
    let mut of_containers: HashMap<[&str; 2], Vec<&Claim<'_>>> = HashMap::new();
    for claim in claims {
        if let [_, list, name, _, ..] = claim.tokens.as_slice() {
            of_containers.entry([list, name]).or_default().push(claim);
        }
    }
    for part in &rendered.app {
        let Some(claims) = of_containers.get(&[part.list, &*part.name]) else { continue };
        let container = tree.opened_list(part.list).iter().find(|item| item.is_named(&part.name));
        let kind = schema.spec.item(part.list);
        if let (Some(container), Some(given)) = (container, part.render(By::Pod)) {
            judge_part(container.view(), given.view(), kind, 3, claims);
        }
    }
}

/// Notes which claims, so many steps from the pod, hold of a part of it. Each list and object on the way is gone through
/// once.
fn judge_part(existing: View<'_>, given: View<'_>, kind: &Type, depth: usize, claims: &[&Claim<'_>]) {
    let mut below: HashMap<&str, Vec<&Claim<'_>>> = HashMap::new();
    let is_there = LazyCell::new(|| equals(existing, given, kind));
    for claim in claims {
        match claim.tokens.get(depth) {
            Some(token) => below.entry(token).or_default().push(claim),
            None => claim.holds.set(claim.holds.get() || *is_there),
        }
    }
    if below.is_empty() {
        return;
    }
    if let Type::List { item, keys } = kind {
        let (there, given) = (by_key(existing, keys), by_key(given, keys));
        for (key, given) in given {
            match (below.get(&*key), there.get(&key).map(Vec::as_slice), given.as_slice()) {
                (Some(claims), Some([existing]), [given]) => judge_part(*existing, *given, item, depth + 1, claims),
                // Of a name that is there more than once all are the template's, or none is.
                (Some(claims), Some(existing), given) if existing.len() == given.len() => {
                    let is_there = existing.iter().zip(given).all(|(existing, given)| equals(*existing, *given, item));
                    claims.iter().for_each(|claim| claim.holds.set(claim.holds.get() || is_there));
                }
                _ => {}
            }
        }
    } else {
        for Member { name, value: given, .. } in given.members() {
            if let (Some(claims), Some(existing)) = (below.get(&*name), existing.get(&name)) {
                judge_part(existing, given, kind.child(&name).unwrap_or(&ANY), depth + 1, claims);
            }
        }
    }
}

fn by_key<'v>(list: View<'v>, keys: &[String]) -> HashMap<Cow<'v, str>, Vec<View<'v>>> {
    let mut items: HashMap<_, Vec<_>> = HashMap::new();
    list.items().for_each(|item| items.entry(item.key(keys)).or_default().push(item));
    items
}
