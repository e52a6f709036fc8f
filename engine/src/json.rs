//! JSON as it is reviewed: text until someone asks for it, and then a tree that knows who brought each part of it.
//!
//! A pod is only ever looked into where a question leads, so numbers, order, and fields that nobody here has heard of
//! are untouched by construction, and most of a large pod is never parsed.

pub(crate) mod fragment;
pub(crate) mod node;
pub(crate) mod patch;
pub(crate) mod tape;
pub(crate) mod view;

pub(crate) use self::fragment::Fragment;
pub(crate) use self::node::{By, Node};
pub(crate) use self::tape::{Tape, Text};
pub(crate) use self::view::{Kind, Member, View};
