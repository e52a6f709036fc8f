//! What replaces Pillion's pods does not cost a call.

use super::{all_ready, calls, exclusive_release, helm, install, kubectl};
use crate::harness::load::{Load, assert_all_injected};
use crate::harness::node::node;
use crate::harness::templates::namespaced;

#[test]
#[ignore = "needs a node: make e2e"]
fn nothing_is_lost_while_pillion_is_rolled_over() {
    let _release = exclusive_release();
    install(&["--set=webhook.failurePolicy=Fail"]);
    let namespace = node().namespace("rollout");
    namespace.apply(&namespaced(namespace.name(), "shipper", "1").to_string());
    let before = calls();

    let load = Load::begin(&namespace.api, 20, 100);
    kubectl(&["rollout", "restart", "deployment/pillion"]);
    kubectl(&["rollout", "status", "deployment/pillion", "--timeout=2m"]);
    helm(&["upgrade", "pillion", super::CHART, "--reuse-values", "--set=config.logLevel=debug", "--wait"]);
    all_ready();
    let asked = load.end();

    assert!(asked.len() > 50, "only {} pods", asked.len());
    assert_all_injected(asked.iter().map(|asked| &asked.outcome));
    let after = calls();
    assert_eq!((after.failed, after.failed_open), (before.failed, before.failed_open));
}
