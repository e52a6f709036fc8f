//! The real parts that the tests drive: the program itself, a control plane built from source, and clients for both.
//!
//! Nothing here waits for ever, and nothing outlives the test process: see [`process`].

pub(crate) mod authority;
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod cookbook;
pub(crate) mod forward;
pub(crate) mod generated_pods;
pub(crate) mod http;
pub(crate) mod installed;
pub(crate) mod json;
pub(crate) mod kubernetes;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod namespace;
pub(crate) mod neighbour;
pub(crate) mod node;
pub(crate) mod pillion;
pub(crate) mod pod_security;
pub(crate) mod pods;
pub(crate) mod process;
pub(crate) mod proven;
pub(crate) mod replica;
pub(crate) mod site;
pub(crate) mod templates;
pub(crate) mod tls;
pub(crate) mod tools;

use std::time::{Duration, Instant};

/// How long anything may take before the test that waits for it fails. Far more than is needed on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The first `Some` that `probe` gives; a panic that says `what` was awaited when it never does.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// As `eventually`, with another patience.
#[track_caller]
pub(crate) fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
