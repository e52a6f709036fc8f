//! The API server and etcd go away and come back; Pillion stays.

use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::harness::cluster::Component;
use crate::harness::pillion::{patched, review_of};
use crate::harness::replica::Replica;

/// Two replicas that know a template, and a namespace that may ask for it.
fn shop(cluster: &Cluster) -> (Installed<'_>, Namespace) {
    let installed = Install::on(cluster).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the template", || sidecars(&here, "shipper"));
    installed.leader();
    (installed, here)
}

/// What a replica would do with a pod that asks for the template, whether or not there is an API server to ask it.
fn serves(installed: &Installed<'_>, replica: &Replica, authority: &str) {
    let asked = review_of("outage", &pod("web", "shipper"));
    let response = installed.review(replica, authority, &asked);
    assert_eq!(names(&patched(&asked["request"]["object"], &response), "initContainers"), ["shipper"]);
}

fn is_ready(replica: &Replica) {
    let readyz = replica.ask_admin("/readyz?verbose");
    assert_eq!(readyz.status, 200, "{}", readyz.text());
}

/// All is as before: who leads, what is watched, and what a template's change does.
fn is_well(installed: &Installed<'_>, here: &Namespace, version: &str) {
    let changed = cluster_wide("shipper", version);
    eventually("the API server to take a template", || {
        let applied = installed.cluster.kubectl(&["apply", "--server-side", "-f", "-"], &changed.to_string());
        (applied.code == 0).then_some(())
    });
    let image = vec![format!("registry.example.com/shipper:{version}")];
    eventually("the changed template", || (sidecars(here, "shipper") == Some(image.clone())).then_some(()));
    let leader = installed.leader();
    assert_eq!(condition(installed.cluster, &changed).1, "Accepted", "{} writes", leader.name);
    for replica in installed.replicas() {
        eventually("the watches", || (replica.metric("pillion_watch_up", &[]) == 3.0).then_some(()));
        is_ready(&replica);
    }
}

#[test]
fn it_serves_on_while_the_api_server_restarts() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster);
    let authority = installed.ca_bundle();

    cluster.stop(Component::ApiServer);
    for replica in installed.replicas() {
        eventually("the watches to be missed", || (replica.metric("pillion_watch_up", &[]) < 3.0).then_some(()));
        is_ready(&replica);
        serves(&installed, &replica, &authority);
    }

    cluster.start(Component::ApiServer);
    is_well(&installed, &here, "2");
}

#[test]
fn it_serves_on_while_etcd_is_away_for_twenty_seconds() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster);
    let authority = installed.ca_bundle();

    cluster.stop(Component::Etcd);
    for _ in 0..20 {
        sleep(Duration::from_secs(1));
        for replica in installed.replicas() {
            is_ready(&replica);
            serves(&installed, &replica, &authority);
        }
    }

    cluster.start(Component::Etcd);
    is_well(&installed, &here, "2");
}

#[test]
fn a_replica_that_starts_without_an_api_server_is_ready_as_soon_as_there_is_one() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster);
    for replica in installed.replicas() {
        installed.kill(&replica);
    }
    cluster.stop(Component::ApiServer);

    let late = installed.begin();
    late.logged("message", "cannot read the version of the API server; trying again");
    assert!(!late.has_ended(), "{}", late.log().join("\n"));
    assert!(!late.is_ready());

    cluster.start(Component::ApiServer);
    installed.await_ready(&late);
    is_well(&installed, &here, "2");
}

#[test]
fn without_any_replica_pods_are_created_bare() {
    let Some(cluster) = Cluster::own() else { return };
    let (installed, here) = shop(&cluster);
    for replica in installed.replicas() {
        installed.kill(&replica);
    }

    let created = here.create_pod(&pod("web", "shipper"));

    assert_eq!(created["spec"].get("initContainers"), None);
    assert_eq!(installed.calls().failed_open, 1.0);
    // And templates can be written, good or not: their status will tell.
    cluster.apply(&broken(cluster_wide("other", "1")).to_string());
    installed.add();
    assert_eq!(condition(&cluster, &cluster_wide("other", "1")).1, "InvalidTemplate");
}
