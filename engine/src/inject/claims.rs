//! What a status says is believed of a pod whose namespace requires templates only as far as its templates bear it out:
//! whoever creates a pod can write one, and what passes for a template's is seen by no expression and gets nothing of `app`.

use std::cell::{Cell, LazyCell};
use std::collections::{HashMap, HashSet};
use std::mem;

use super::Injection;
use super::contains::equals;
use super::pod::LISTS;
use super::render::Rendered;
use super::status::{Record, tokens};
use crate::json::{By, Member, Node, View};
use crate::names::{NO_TOKEN, SAFE_TO_EVICT, TOKEN_PATH};
use crate::schema::{ANY, Schema, Type};

/// A place that a template is said to have brought.
struct Claim<'a> {
    place: &'a str,
    tokens: Vec<String>,
    holds: Cell<bool>,
}

impl<'a> Claim<'a> {
    fn new(place: &'a str) -> Claim<'a> {
        Claim { place, tokens: tokens(place), holds: Cell::new(false) }
    }
}

impl<'a> Injection<'a> {
    /// Passes to the pod what only a status calls a template's.
    pub(super) fn mark_what_is_claimed(&mut self, tree: &mut Node<'a>) {
        // What one template gives can depend on what another one did not bring.
        const MOST_TIMES: usize = 4;
        // It is as if this was never evaluated.
        let budget = mem::take(&mut self.budget);
        let status = self.context.status;
        let mut wrong: HashSet<(u16, &str)> = HashSet::new();
        for _ in 0..MOST_TIMES {
            let mut now = HashSet::new();
            for (record, number) in status.templates.iter().zip(0..) {
                // What it added itself is not what its guard is about.
                let of_others = wrong.iter().filter(|(of, _)| *of != number).copied().collect();
                if !wrong.is_empty() {
                    status.mark(tree, &of_others);
                }
                let places = self.wrong_claims(record, By::Earlier(number), tree);
                now.extend(places.into_iter().map(|place| (number, place)));
            }
            if now == wrong {
                break;
            }
            wrong = now;
        }
        status.mark(tree, &wrong);
        self.budget = budget;
    }

    /// What a record claims and its template does not give.
    fn wrong_claims(&self, record: &'a Record<'a>, by: By, tree: &Node<'a>) -> Vec<&'a str> {
        let places = record.added.iter().chain(record.replaced.iter().map(|(place, _)| place));
        let claims: Vec<_> = places.map(|place| Claim::new(place)).collect();
        if !claims.is_empty()
            && let Some((rendered, guard_holds)) = self.render_regardless(&record.name, tree)
        {
            self.judge(&claims, &rendered, guard_holds, by, tree);
        }
        claims.iter().filter(|claim| !claim.holds.get()).map(|claim| claim.place).collect()
    }

    /// Notes which claims hold: of containers that run what the template says, and of all else that is as it says, if the pod
    /// is one for the template and has all of these.
    fn judge(&self, claims: &[Claim<'_>], rendered: &Rendered<'_>, guard_holds: bool, by: By, tree: &Node<'a>) {
        let template = rendered.template;
        let [metadata, spec] = [rendered.metadata(By::Pod), rendered.spec(By::Pod)];
        let [metadata, spec] = [&metadata, &spec].map(|part| part.as_ref().map_or(View::NOTHING, Node::view));
        let runs = |list: &str, given: View<'_>| {
            let name = given.text("name");
            let may_be = |it: &&Node<'_>| (it.by == by || it.by == By::Pod) && it.is_named(&name);
            tree.opened_list(list)
                .iter()
                .filter(may_be)
                .any(|it| self.context.other_program(template, list, it.view(), given).is_none())
        };
        let given = LISTS.into_iter().flat_map(|list| spec.list(list).map(move |given| (list, given)));
        let (there, others): (Vec<_>, Vec<_>) = given.partition(|(list, given)| runs(list, *given));
        let there: HashSet<_> = there.iter().map(|(list, given)| (*list, given.text("name"))).collect();
        if guard_holds {
            // Without its containers nothing but volumes may be left of it.
            let is_volume = |claim: &&Claim<'_>| matches!(claim.tokens.as_slice(), [_, list, _] if list == "volumes");
            let claims: Vec<_> = claims.iter().filter(|claim| others.is_empty() || is_volume(claim)).collect();
            judge_all(&claims, rendered, [metadata, spec], tree);
        }
        for claim in claims {
            match claim.tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["spec", list, name] | ["spec", list, name, "volumeMounts", TOKEN_PATH] if LISTS.contains(list) => {
                    claim.holds.set(there.iter().any(|(known, given)| known == list && given == name));
                }
                ["spec", "volumes", NO_TOKEN] => claim.holds.set(template.withholds_token),
                ["metadata", "annotations", SAFE_TO_EVICT] => claim.holds.set(template.pod.safe_to_evict.is_some()),
                _ => {}
            }
        }
    }
}

/// Notes which claims hold of what a template gives beside containers.
fn judge_all(claims: &[&Claim<'_>], rendered: &Rendered<'_>, given: [View<'_>; 2], tree: &Node<'_>) {
    let schema = Schema::get();
    for (part, given) in ["metadata", "spec"].into_iter().zip(given) {
        let of_part = claims.iter().filter(|claim| claim.tokens.first().is_some_and(|it| it == part));
        let below: Vec<_> = of_part.copied().collect();
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
        let there: HashMap<_, _> = existing.items().map(|item| (item.key(keys), item)).collect();
        for given in given.items() {
            let key = given.key(keys);
            if let (Some(claims), Some(existing)) = (below.get(&*key), there.get(&key)) {
                judge_part(*existing, given, item, depth + 1, claims);
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
