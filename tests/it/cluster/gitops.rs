//! The chart is applied again and again, by Helm and by others, and taken away: nothing is fought over, nothing is left.

use super::*;

/// What Pillion wrote: the authorities in each webhook of both configurations.
fn written(cluster: &Cluster) -> Vec<Value> {
    let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    let configurations =
        kinds.map(|kind| cluster.api.get(&format!("/apis/admissionregistration.k8s.io/v1/{kind}/pillion")).json());
    let webhooks = configurations.iter().flat_map(|it| it["webhooks"].as_array().expect("it has webhooks"));
    webhooks.map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect()
}

#[test]
fn applying_the_chart_again_changes_nothing_and_meets_no_conflict() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).start();
    installed.leader();
    let before = eventually("the authorities to be published", || {
        let written = written(&cluster);
        written.iter().all(Value::is_string).then_some(written)
    });
    let rendered = installed.render(&json!({}));
    for manager in ["kubectl", "argocd-controller"] {
        let manager = format!("--field-manager={manager}");
        let how = ["--server-side", &manager, "--force-conflicts=false", "-f", "-"];
        for again in ["the first time", "again"] {
            let difference = cluster.kubectl(&[&["diff"], &how[..]].concat(), &rendered);
            assert_eq!((difference.code, &*difference.stdout), (0, ""), "{manager} {again}: {}", difference.stderr);
            cluster.kubectl(&[&["apply"], &how[..]].concat(), &rendered).succeeded();
            assert_eq!(written(&cluster), before, "{manager} {again}");
        }
    }

    // Nor does an apply of the older kind take away what it does not know.
    cluster.kubectl(&["apply", "-f", "-"], &rendered).succeeded();
    assert_eq!(written(&cluster), before);
    let replicas = installed.replicas();
    let repairs: f64 = replicas.iter().map(|replica| replica.metric("pillion_certificate_repairs_total", &[])).sum();
    assert_eq!(repairs, 0.0, "nothing had to be healed");
}

#[test]
fn helm_installs_upgrades_and_uninstalls_it() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).with_helm().start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("a pod to be injected", || sidecars(&here, "shipper").filter(|sidecars| !sidecars.is_empty()));
    let before = written(&cluster);

    installed.helm(&["upgrade", "--set", "webhook.timeoutSeconds=7"]);
    assert_eq!(written(&cluster), before);
    assert_eq!(sidecars(&here, "shipper").map(|sidecars| sidecars.len()), Some(1));
    let [path, _] = installed.configurations();
    let annotations = &cluster.api.get(&path).json()["metadata"]["annotations"];
    assert_eq!(annotations.get("pillion.dev/strict-ca-bundle"), None, "Helm has written no caBundle");

    // Helm deletes the Deployment and, while its pods drain, what gave them their rights.
    for replica in installed.replicas() {
        replica.signal("TERM");
        replica.logged("message", "draining");
    }
    installed.helm(&["uninstall"]);
    for replica in installed.replicas() {
        assert_eq!(replica.exit_code(), 0);
        let mut log = replica.log();
        let draining = log.iter().position(|line| line.contains("\"draining\"")).expect("it was logged");
        log.drain(..draining);
        let is_quiet = |line: &String| line.contains("\"INFO\"");
        assert!(log.iter().all(is_quiet), "{} says more than it has to:\n{}", replica.name, log.join("\n"));
    }
    assert_nothing_blocks(&cluster, &here);
    // What people wrote stays until they remove the definitions themselves.
    let kept = cluster.kubectl(&["get", "cit", "-o", "name"], "").succeeded();
    assert_eq!(kept.trim(), "clusterinjectiontemplate.pillion.dev/shipper");
}

#[test]
fn what_was_applied_can_be_deleted() {
    let Some(cluster) = Cluster::own() else { return };
    // The strictest that there is.
    let values =
        json!({"webhook": {"failurePolicy": "Fail"}, "validation": {"failurePolicy": "Fail"}, "crds": {"keep": false}});
    let installed = Install::on(&cluster).values(values).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("a pod to be injected", || sidecars(&here, "shipper"));

    // The replicas go first: nobody answers while the rest is deleted.
    for replica in installed.replicas() {
        installed.kill(&replica);
    }
    cluster.kubectl(&["delete", "-f", "-"], &installed.render(&json!({}))).succeeded();

    assert_nothing_blocks(&cluster, &here);
    let kinds = cluster.kubectl(&["api-resources", "--api-group=pillion.dev", "-o", "name"], "").succeeded();
    assert_eq!(kinds, "");
}

/// Pods are created as if Pillion had never been there, and no object of the cluster is left that belongs to it.
#[track_caller]
fn assert_nothing_blocks(cluster: &Cluster, here: &Namespace) {
    eventually("the API server to forget the webhooks", || {
        (here.create("v1", "pods?dryRun=All", &pod("try", "shipper")).status == 201).then_some(())
    });
    let created = here.create_pod(&pod("left-alone", "shipper"));
    assert_eq!(created["spec"].get("initContainers"), None);
    let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,\
                 validatingadmissionpolicybindings,clusterroles,clusterrolebindings";
    let left = cluster.kubectl(&["get", kinds, "-l", "app.kubernetes.io/instance=pillion", "-o", "name"], "");
    assert_eq!(left.succeeded(), "");
    let left = cluster.kubectl(&["get", "deployments,services,configmaps,pdb", "-n", "pillion", "-o", "name"], "");
    assert_eq!(left.succeeded().trim(), "configmap/kube-root-ca.crt");
}
