//! Which build this is.

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit of this build, when whoever built it said so.
pub(crate) const REVISION: &str = match option_env!("PILLION_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
