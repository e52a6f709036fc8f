//! The chart, as Helm installs it.

use super::{alone, helm, install, replicas, warnings};
use crate::harness::node::until;

#[test]
#[ignore = "needs a node: make e2e"]
fn the_chart_installs_with_its_own_values_is_upgraded_and_passes_its_own_test() {
    let _alone = alone();
    install(&[]);
    assert_eq!(replicas().len(), 2);
    for replica in replicas() {
        let status = &replica["status"]["containerStatuses"][0];
        assert_eq!((&status["ready"], &status["restartCount"]), (&true.into(), &0.into()), "{replica}");
    }
    helm(&["test", "pillion"]);

    install(&["--set=config.logLevel=debug"]);
    helm(&["test", "pillion"]);
    helm(&["rollback", "pillion", "1", "--wait"]);
    helm(&["test", "pillion"]);
    until("the old replicas to have ended", || (replicas().len() == 2).then_some(()));
    assert_eq!(warnings(), [""; 0]);
}
