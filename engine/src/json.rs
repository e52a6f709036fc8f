//! JSON as it is reviewed: text until someone asks for it, and then a tree that knows who brought each part of it.
//!
//! A review is gone over once, to note where each value stands. What it says is only ever read where a question leads, so
//! numbers, order, and fields that nobody here has heard of are untouched by construction.

pub(crate) mod fragment;
pub(crate) mod node;
pub(crate) mod patch;
pub(crate) mod tape;
pub(crate) mod view;

pub(crate) use self::fragment::Fragment;
pub(crate) use self::node::{By, Node};
pub(crate) use self::tape::{Tape, Text};
pub(crate) use self::view::{Kind, Member, View};
