//! The only user of the cluster's API: what is watched, what is written, and who may write.

pub(crate) mod events;
pub(crate) mod lease;
