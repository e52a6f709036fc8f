//! The chart, as Helm installs it.

use super::{all_ready, exclusive_release, helm, install, nothing_is_installed, replicas, warnings};

#[test]
#[ignore = "needs a node: make e2e"]
fn the_chart_installs_with_its_own_values_is_upgraded_and_passes_its_own_test() {
    let _release = exclusive_release();
    nothing_is_installed();
    install(&[]);
    assert_eq!(replicas().len(), 2);
    for replica in replicas() {
        let status = &replica["status"]["containerStatuses"][0];
        assert_eq!((&status["ready"], &status["restartCount"]), (&true.into(), &0.into()), "{replica}");
    }
    helm(&["test", "pillion"]);
    assert_eq!(warnings(), [""; 0]);

    install(&["--set=config.logLevel=debug"]);
    helm(&["test", "pillion"]);
    helm(&["rollback", "pillion", "--wait"]);
    helm(&["test", "pillion"]);
    all_ready();
}
