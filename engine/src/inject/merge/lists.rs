//! Lists are merged item by item. Items are the same when their keys are; where the order says something, each new one has
//! its place.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::Merge;
use crate::inject::contains::contains;
use crate::inject::path::Path;
use crate::json::node::Change;
use crate::json::{By, Node, View};
use crate::rules::references::references;
use crate::schema::Type;
use crate::text::shown;

/// So few are looked for one by one.
const FEW: usize = 4;

impl<'a> Merge<'_, 'a> {
    pub(super) fn list(
        &mut self,
        target: &mut Node<'a>,
        kind: &Type,
        keys: &[String],
        given: Node<'a>,
        path: &Path<'_>,
    ) {
        let Some(items) = target.items() else { return self.malformed(path) };
        let given = given.into_items();
        match path.steps_back().next() {
            Some("env") => self.variables(items, kind, keys, given, path),
            // Of one key the last source wins.
            Some("envFrom") if !self.overrides => {
                let own = items.len();
                self.items(items, kind, keys, given, path);
                items.rotate_left(own);
            }
            _ => self.items(items, kind, keys, given, path),
        }
    }

    /// Adds behind the others what is not there.
    fn items(
        &mut self,
        items: &mut Vec<Node<'a>>,
        kind: &Type,
        keys: &[String],
        given: Vec<Node<'a>>,
        path: &Path<'_>,
    ) {
        let mut known = Known::of(items, keys, given.len());
        let own = items.len();
        for given in given {
            if self.room.is_exceeded {
                return;
            }
            let key = given.key(keys);
            let here = &path.at(&key);
            match known.find(items, &key) {
                None => {
                    items.push(self.add(given, here));
                    known.insert(key, items.len() - 1);
                }
                Some(at) => {
                    let existing = &mut items[at];
                    if !self.is_other_mount(existing, &given, at >= own, here) {
                        self.resolve(existing, given, kind, keys, here);
                    }
                }
            }
        }
    }

    /// Adds variables behind the others, where they can refer to them. One name can be given twice, as in `OPTS: -a` and
    /// `OPTS: $(OPTS) -b`.
    fn variables(
        &mut self,
        items: &mut Vec<Node<'a>>,
        kind: &Type,
        keys: &[String],
        given: Vec<Node<'a>>,
        path: &Path<'_>,
    ) {
        let mut known = Known::of(items, keys, given.len());
        let count = given.len();
        let mut repeated = if self.overrides { repeated_and_there(items, kind, keys, &given) } else { HashMap::new() };
        let (mut brought, mut kept) = (HashSet::new(), Vec::new());
        // By name, its number among those.
        let mut numbers = HashMap::new();
        for given in given {
            if self.room.is_exceeded {
                return;
            }
            let name = given.key(keys);
            let here = &path.at(&name);
            if let Some(left) = repeated.get_mut(&name) {
                *left -= 1;
                // The last stands for all.
                if *left > 0 {
                    continue;
                }
            }
            match known.find(items, &name) {
                // Both are recorded as one.
                Some(_) if brought.contains(&name) => {
                    if self.room.take_value(given.size()) {
                        items.push(given.added());
                    }
                }
                Some(at) if self.overrides => {
                    self.resolve(&mut items[at], given, kind, keys, here);
                    if self.bring_forward(items, at) {
                        known = Known::of(items, keys, count);
                    }
                    brought.insert(name);
                }
                Some(at) => {
                    // Of two variables of one name Kubernetes takes the last.
                    let number = *numbers.entry(name.clone()).or_insert(kept.len());
                    match kept.get_mut(number) {
                        Some(earlier) => *earlier = (name, at, given),
                        None => kept.push((name, at, given)),
                    }
                }
                None => {
                    items.push(self.add(given, here));
                    known.insert(name.clone(), items.len() - 1);
                    brought.insert(name);
                }
            }
        }
        for (name, at, given) in kept {
            self.resolve(&mut items[at], given, kind, keys, &path.at(&name));
        }
    }

    /// Puts in front of a variable what it refers to, as far as templates bring that in this call. Whether anything has
    /// another place now.
    fn bring_forward(&mut self, items: &mut [Node<'a>], at: usize) -> bool {
        let refers_to = |variable: &Node<'_>| -> Vec<String> {
            references(&variable.view().text("value")).map(str::to_owned).collect()
        };
        let mut wanted: HashSet<_> = refers_to(&items[at]).into_iter().collect();
        // Looking takes as long as adding.
        if wanted.is_empty() || !self.room.take_value(items.len()) {
            return false;
        }
        let is_replaced = |node: &Node<'_>| node.by == self.by && matches!(node.change, Change::Replaced(_));
        let (mut added, mut replaced) = (Vec::new(), Vec::new());
        for (behind, variable) in items.iter().enumerate().skip(at + 1).rev() {
            let is_added = matches!((variable.by, &variable.change), (By::Now(_), Change::Added));
            let is_swapped = is_replaced(variable) && is_replaced(&items[at]);
            if (is_added || is_swapped) && variable.name().is_some_and(|name| wanted.contains(&*name)) {
                wanted.extend(refers_to(variable));
                if is_added { &mut added } else { &mut replaced }.push(behind);
            }
        }
        // What the pod has keeps its place, and so does what stood there before.
        let mut last = at;
        for behind in replaced.iter().rev().copied() {
            items.swap(last, behind);
            let (front, back) = items.split_at_mut(behind);
            std::mem::swap(&mut front[last].change, &mut back[0].change);
            last = behind;
        }
        for (number, behind) in added.iter().rev().copied().enumerate() {
            items[at + number..=behind].rotate_right(1);
        }
        !added.is_empty() || !replaced.is_empty()
    }

    /// Whether another volume is mounted at this path, or the template gives two mounts there. That is a conflict.
    fn is_other_mount(&mut self, existing: &Node<'a>, given: &Node<'a>, is_repeated: bool, path: &Path<'_>) -> bool {
        let mut steps = path.steps_back();
        let (Some(at), Some("volumeMounts" | "volumeDevices"), Some(container)) =
            (steps.next(), steps.next(), steps.next())
        else {
            return false;
        };
        let name = |mount: &Node<'a>| mount.view().get("name").map(View::shown).unwrap_or_default().into_owned();
        let [wanted, volume] = [given, existing].map(|mount| mount.view().text("name"));
        let difference = match volume == wanted {
            true if is_repeated => String::new(),
            true => return false,
            false => format!(", of the volumes {} and {}", name(given), name(existing)),
        };
        let what = format!("the mount at {} in container {}", shown(at), shown(container));
        self.conflict(existing.by, Some(path), &what, &difference, "mount one elsewhere");
        true
    }
}

/// How often names are given of which the pod's last variables are the same, of names given more than once: a copy of an
/// injected pod has them, and they would refer to themselves.
fn repeated_and_there<'a>(
    items: &[Node<'a>],
    kind: &Type,
    keys: &[String],
    given: &[Node<'a>],
) -> HashMap<Cow<'a, str>, usize> {
    let mut wanted: HashMap<_, Vec<_>> = HashMap::new();
    for variable in given {
        wanted.entry(variable.key(keys)).or_default().push(variable);
    }
    wanted.retain(|_, all| all.len() > 1);
    let mut counts: HashMap<_, _> = wanted.iter().map(|(name, all)| (name.clone(), all.len())).collect();
    // A variable in between makes them others.
    for item in items.iter().rev() {
        if wanted.is_empty() {
            break;
        }
        let name = item.key(keys);
        let Some(left) = wanted.get_mut(&name) else { continue };
        let is_same = left.pop().is_none_or(|given| contains(item.view(), given.view(), kind));
        if !is_same {
            wanted.remove(&name);
        }
    }
    counts.retain(|name, _| wanted.get(name).is_some_and(Vec::is_empty));
    counts
}

/// Where the last item of each key stands; nothing where so few are looked for that they are looked for one by one.
struct Known<'k, 'a> {
    keys: &'k [String],
    places: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<'k, 'a> Known<'k, 'a> {
    fn of(items: &[Node<'a>], keys: &'k [String], wanted: usize) -> Known<'k, 'a> {
        let places = || items.iter().enumerate().map(|(at, item)| (item.key(keys), at)).collect();
        Known { keys, places: (wanted > FEW).then(places) }
    }

    fn find(&self, items: &[Node<'a>], key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => items.iter().rposition(|item| item.key(self.keys) == key),
        }
    }

    fn insert(&mut self, key: Cow<'a, str>, at: usize) {
        if let Some(places) = &mut self.places {
            places.insert(key, at);
        }
    }
}
