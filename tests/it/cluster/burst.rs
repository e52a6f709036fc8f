//! Hundreds of pods at once in a namespace that nobody knew a moment ago.

use std::fs;
use std::thread::scope;
use std::time::Duration;

use super::*;
use crate::harness::connection::post_head;
use crate::harness::forward::Forward;
use crate::harness::pillion::{Pillion, Setup, patched, review_of};
use crate::harness::process::Folder;

/// A server that watches `cluster`, and what leads it there.
fn watching(cluster: &Cluster) -> (Pillion, Forward, Folder) {
    cluster.apply(include_str!("../../../charts/pillion/files/crds.yaml"));
    let api_server = cluster.address();
    let link = Forward::start(move || Some(api_server));
    let folder = Folder::new("pillion-afar-");
    let admin = fs::read_to_string(cluster.admin()).expect("the admin has a kubeconfig");
    let kubeconfig = admin.replace(&cluster.server(), &format!("https://{}", link.address));
    let kubeconfig = folder.write("kubeconfig.json", &kubeconfig);
    let pillion = Setup::new().flags(["--watch"]).environment([("KUBECONFIG", &kubeconfig)]).start();
    (pillion, link, folder)
}

/// Lets `create` make what the server cannot know yet, and asks it about five hundred pods at once. Gives them as they
/// would be stored.
fn burst(pillion: &Pillion, templates: &str, create: impl FnOnce()) -> Vec<Value> {
    let mut connections: Vec<_> = (0..500).map(|_| pillion.connect()).collect();
    let pod = pod("web", templates);
    let mut review = review_of("burst", &pod);
    review["request"]["namespace"] = json!("burst");
    let review = review.to_string();
    create();
    for connection in &mut connections {
        connection.send(post_head(review.len()) + &review).expect("the review is taken");
    }
    connections.iter_mut().map(|connection| patched(&pod, &connection.answer().json()["response"])).collect()
}

#[track_caller]
fn create(cluster: &Cluster, template: &Value) {
    let path = path(template);
    let (collection, _) = path.rsplit_once('/').expect("a path has parts");
    let created = cluster.api.create(collection, template);
    assert_eq!(created.status, 201, "{}", created.text());
}

/// That the server asked for some, but not for each pod.
#[track_caller]
fn assert_asked(pillion: &Pillion, resource: &str) {
    let found = [&*format!("resource=\"{resource}\""), "result=\"found\""];
    let asked = pillion.metric("pillion_lookups_total", &found);
    assert!((1.0..10.0).contains(&asked), "{resource} were asked for {asked} times");
}

#[test]
fn five_hundred_reviews_of_a_new_namespace_or_of_new_templates_wait_for_few_questions() {
    let Some(cluster) = Cluster::shared() else { return };
    let (pillion, link, _folder) = watching(cluster);
    // The first of a kind takes the API server a second or two.
    for template in [cluster_wide("burst-first", "1"), namespaced("default", "burst-first", "1")] {
        create(cluster, &template);
    }
    eventually("the first", || (pillion.metric("pillion_templates_loaded", &[]) >= 2.0).then_some(()));
    link.slow_down(Duration::from_millis(500));

    // Pods that name none get it all the same.
    let pods = burst(&pillion, "", || {
        let annotations = json!({"pillion.dev/required-templates": "burst-first"});
        let namespace = json!({"metadata": {"name": "burst", "annotations": annotations}});
        assert_eq!(cluster.api.create("/api/v1/namespaces", &namespace).status, 201);
    });
    for pod in &pods {
        assert_eq!(names(pod, "initContainers"), ["burst-first"]);
    }
    assert_asked(&pillion, "namespaces");

    let pods = burst(&pillion, "burst-wide,burst-own", || {
        create(cluster, &cluster_wide("burst-wide", "1"));
        create(cluster, &namespaced("burst", "burst-own", "1"));
    });
    for pod in &pods {
        assert_eq!(names(pod, "initContainers"), ["burst-first", "burst-wide", "burst-own"]);
    }
    assert_asked(&pillion, "clusterinjectiontemplates");
    assert_asked(&pillion, "injectiontemplates");
}

#[test]
fn five_hundred_pods_created_at_once_in_a_new_namespace_are_injected() {
    let Some(cluster) = Cluster::own() else { return };
    // On a busy machine it takes a while until all of them have their connection.
    let installed = Install::on(&cluster).values(json!({"webhook": {"timeoutSeconds": 30}})).start();
    let before = cluster.namespace("before", &OPTED_IN);
    cluster.apply(&cluster_wide("shipper", "1").to_string());
    eventually("the template", || sidecars(&before, "shipper"));
    installed.slow_down(Duration::from_millis(300));

    let labels = json!({"pillion.dev/inject": "enabled"});
    let account = json!({"metadata": {"name": "web"}});
    for (path, object) in [
        ("/api/v1/namespaces", json!({"metadata": {"name": "new", "labels": labels}})),
        ("/api/v1/namespaces/new/serviceaccounts", account),
    ] {
        let created = cluster.api.create(path, &object);
        assert_eq!(created.status, 201, "{}", created.text());
    }
    let new = Namespace::of(&cluster.api, "new");
    scope(|scope| {
        for _ in 0..500 {
            scope.spawn(|| {
                let mut web = pod("web", "shipper");
                web["spec"]["serviceAccountName"] = json!("web");
                let created = new.create("v1", "pods?dryRun=All", &web);
                assert_eq!(created.status, 201, "{}", created.text());
                assert_eq!(names(&created.json(), "initContainers"), ["shipper"]);
            });
        }
    });
}
