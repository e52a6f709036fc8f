//! Where in a pod something is. It becomes text only when somebody reads it.

use std::iter::successors;

use crate::json::patch::push_token;
use crate::schema::{Schema, Type};
use crate::text::shown;

/// A place in a pod, by names of fields and keys of items.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    above: Option<&'p Path<'p>>,
    token: &'p str,
}

impl<'p> Path<'p> {
    /// A member of the pod.
    pub(super) const fn root(token: &'p str) -> Path<'p> {
        Path { above: None, token }
    }

    /// A field, a map's key, or an item by its key.
    pub(super) fn at(&'p self, token: &'p str) -> Path<'p> {
        Path { above: Some(self), token }
    }

    /// The steps that lead here, the last one first.
    pub(super) fn steps_back(&self) -> impl Iterator<Item = &'p str> {
        successors(Some(*self), |path| path.above.copied()).map(|path| path.token)
    }

    /// The steps that lead here.
    pub(super) fn tokens(&self) -> Vec<&'p str> {
        let mut tokens: Vec<_> = self.steps_back().collect();
        tokens.reverse();
        tokens
    }

    /// As a status names it: `/spec/volumes/app-logs`.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = String::with_capacity(self.steps_back().map(|token| token.len() + 1).sum());
        self.push_to(&mut pointer);
        pointer
    }

    fn push_to(&self, pointer: &mut String) {
        if let Some(above) = self.above {
            above.push_to(pointer);
        }
        push_token(pointer, self.token);
    }

    /// As messages name it: `containers[app].env[NAME]`.
    pub(super) fn place(&self) -> String {
        place_of(&self.tokens())
    }
}

/// The place for messages to which these steps lead.
pub(super) fn place_of(tokens: &[&str]) -> String {
    let (mut place, mut kind) = (String::new(), Some(&Schema::get().pod));
    for token in tokens {
        let token = shown(token);
        match kind {
            Some(Type::List { .. } | Type::Map(_) | Type::Scalar(_)) => place += &format!("[{token}]"),
            _ if place.is_empty() => place.push_str(&token),
            _ => place += &format!(".{token}"),
        }
        kind = kind.and_then(|kind| kind.child(&token));
    }
    place.strip_prefix("spec.").map(str::to_owned).unwrap_or(place)
}
