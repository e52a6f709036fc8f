//! What replaces Pillion's pods does not cost a call.

use super::{all_ready, alone, calls, helm, install};
use crate::harness::load::{Load, Outcome};
use crate::harness::node::node;
use crate::harness::templates::namespaced;

#[test]
#[ignore = "needs a node: make e2e"]
fn nothing_is_lost_while_pillion_is_rolled_over() {
    let _alone = alone();
    install(&["--set=webhook.failurePolicy=Fail"]);
    let here = node().namespace("rollout");
    here.apply(&namespaced(&here.name, "shipper", "1").to_string());
    let before = calls();

    let load = Load::begin(&here.namespace, 20, 100);
    node().kubectl(&["--namespace=pillion", "rollout", "restart", "deployment/pillion"], "").succeeded();
    node().kubectl(&["--namespace=pillion", "rollout", "status", "deployment/pillion", "--timeout=2m"], "").succeeded();
    helm(&["upgrade", "pillion", super::CHART, "--reuse-values", "--set=config.logLevel=debug", "--wait"]);
    all_ready();
    let asked = load.end();

    assert!(asked.len() > 50, "only {} pods", asked.len());
    let lost: Vec<_> = asked.iter().filter(|asked| asked.outcome != Outcome::Injected).collect();
    assert!(lost.is_empty(), "{} of {}: {:?}", lost.len(), asked.len(), lost[0]);
    let after = calls();
    assert_eq!((after.failed, after.failed_open), (before.failed, before.failed_open));
}
