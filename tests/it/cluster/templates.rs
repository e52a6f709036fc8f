//! Templates as objects of the cluster: what becomes of pods, and what the objects say themselves.

use super::*;

#[test]
fn a_template_that_comes_changes_and_goes_is_what_the_next_pod_gets() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    let here = cluster.namespace("comes-and-goes", &OPTED_IN);
    for (name, template) in [
        ("comes-wide", &cluster_wide as &dyn Fn(&str, &str) -> Value),
        ("comes-narrow", &|name, version| namespaced("comes-and-goes", name, version)),
    ] {
        let unknown = here.create("v1", "pods", &pod("too-early", name));
        assert_eq!(unknown.status, 403, "{}", unknown.text());
        assert!(unknown.text().contains("unknown_template") || unknown.text().contains(name), "{}", unknown.text());

        cluster.apply(&template(name, "1").to_string());
        let image = |version: u32| vec![format!("registry.example.com/{name}:{version}")];
        // The pod that came too early is why it holds for a moment that there is no such template.
        eventually("the template", || (sidecars(&here, name) == Some(image(1))).then_some(()));

        cluster.apply(&template(name, "2").to_string());
        eventually("the changed template", || (sidecars(&here, name) == Some(image(2))).then_some(()));

        cluster.kubectl(&["delete", "-f", "-"], &template(name, "2").to_string()).succeeded();
        eventually("the template to be gone", || sidecars(&here, name).is_none().then_some(()));
    }
}

#[test]
fn a_namespaces_own_template_is_for_its_own_pods() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    let here = cluster.namespace("has-its-own", &OPTED_IN);
    let elsewhere = cluster.namespace("has-none", &OPTED_IN);

    cluster.apply(&namespaced("has-its-own", "private", "1").to_string());

    assert_eq!(sidecars(&here, "private"), Some(vec!["registry.example.com/private:1".to_owned()]));
    assert_eq!(sidecars(&elsewhere, "private"), None);
}

#[test]
fn a_template_says_that_it_is_accepted() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    cluster.namespace("says-accepted", &[]);
    for template in [cluster_wide("says-wide", "1"), namespaced("says-accepted", "says-narrow", "1")] {
        cluster.apply(&template.to_string());
        let (status, reason, _) = condition(cluster, &template);
        assert_eq!((&*status, &*reason), ("True", "Accepted"));
    }

    let wide = cluster.kubectl(&["get", "cit", "says-wide"], "").succeeded();
    let narrow = cluster.kubectl(&["get", "ijt", "-n", "says-accepted"], "").succeeded();
    for table in [&wide, &narrow] {
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(rows.next().expect("a head"), ["NAME", "ACCEPTED", "REASON", "DIGEST", "AGE"]);
        let row = rows.next().expect("a row");
        assert_eq!(row[1..3], ["True", "Accepted"], "{table}");
        assert_eq!(row.len(), 5, "{table}");
    }
    let both = cluster.kubectl(&["get", "pillion", "-A", "-o", "name"], "").succeeded();
    for name in ["clusterinjectiontemplate.pillion.dev/says-wide", "injectiontemplate.pillion.dev/says-narrow"] {
        assert!(both.lines().any(|line| line == name), "{name} is missing:\n{both}");
    }
    let explained = cluster.kubectl(&["explain", "cit.spec.parameters.settableBy"], "").succeeded();
    assert!(explained.contains("Who may set it"), "{explained}");
}

#[test]
fn a_broken_template_is_refused_at_apply_with_its_place_and_the_nearest_name() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    cluster.namespace("refused-at-apply", &[]);
    for template in [cluster_wide("refused-wide", "1"), namespaced("refused-at-apply", "refused-narrow", "1")] {
        let broken = broken(template.clone()).to_string();
        for how in [
            &["apply", "-f", "-"] as &[_],
            &["apply", "--server-side", "-f", "-"],
            &["apply", "-f", "-", "--dry-run=server"],
        ] {
            let refused = cluster.kubectl(how, &broken);
            assert_eq!(refused.code, 1, "{refused:?}");
            for words in ["denied the request", "initContainers[0].startupProb", "did you mean startupProbe?"] {
                assert!(refused.stderr.contains(words), "{words:?} is missing: {}", refused.stderr);
            }
        }
        let stored = cluster.kubectl(&["get", "-o", "name", "-f", "-"], &template.to_string());
        assert!(stored.stderr.contains("NotFound"), "{stored:?}");

        // And a good one, tried, is not stored.
        cluster.kubectl(&["apply", "-f", "-", "--dry-run=server"], &template.to_string()).succeeded();
        let stored = cluster.kubectl(&["get", "-o", "name", "-f", "-"], &template.to_string());
        assert!(stored.stderr.contains("NotFound"), "{stored:?}");
    }
}

#[test]
fn a_template_that_breaks_stays_as_it_last_was_and_says_so() {
    let Some(cluster) = Cluster::own() else { return };
    let installed = Install::on(&cluster).values(json!({"validation": {"enabled": false}})).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    for template in [cluster_wide("breaks-wide", "1"), namespaced("shop", "breaks-narrow", "1")] {
        let name = template["metadata"]["name"].as_str().expect("a name");
        let image = vec![format!("registry.example.com/{name}:1")];
        cluster.apply(&template.to_string());
        assert_eq!(condition(&cluster, &template).1, "Accepted");

        let mut changed = broken(template.clone());
        changed["spec"]["pod"]["spec"]["initContainers"][0]["image"] = json!("registry.example.com/broken:2");
        cluster.apply(&changed.to_string());

        let (status, reason, message) = condition(&cluster, &template);
        assert_eq!((&*status, &*reason), ("False", "InvalidTemplate"), "{message}");
        for words in ["initContainers[0].startupProb", "startupProbe?"] {
            assert!(message.contains(words), "{words:?} is missing: {message}");
        }
        assert_eq!(sidecars(&here, name), Some(image), "the last good one stays");
        let event = eventually("an event on the template", || {
            let events = cluster.api.get("/apis/events.k8s.io/v1/events").json();
            let mut events = events["items"].as_array().expect("a list").clone().into_iter();
            events.find(|event| event["regarding"]["name"] == name && event["reason"] == "InvalidTemplate")
        });
        assert!(event["note"].as_str().is_some_and(|note| note.contains("startupProb")), "{event}");
    }

    // A new process does not know the last good one.
    installed.add();
    for old in installed.replicas().iter().take(2) {
        installed.kill(old);
    }
    for name in ["breaks-wide", "breaks-narrow"] {
        let refused = here.create("v1", "pods", &pod("after-restart", name));
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("startupProb"), "{}", refused.text());
    }

    // Mended, all is well.
    cluster.apply(&cluster_wide("breaks-wide", "3").to_string());
    eventually("the mended template", || {
        (sidecars(&here, "breaks-wide")? == ["registry.example.com/breaks-wide:3"]).then_some(())
    });
    assert_eq!(condition(&cluster, &cluster_wide("breaks-wide", "3")).1, "Accepted");
}

#[test]
fn a_cluster_wide_template_goes_before_a_namespaces_own_unless_it_gives_way() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    let here = cluster.namespace("shadowed", &OPTED_IN);
    let mut wide = cluster_wide("contested", "wide");
    let narrow = namespaced("shadowed", "contested", "narrow");
    cluster.apply(&narrow.to_string());
    assert_eq!(condition(cluster, &narrow).1, "Accepted");
    let image = |which: &str| vec![format!("registry.example.com/contested:{which}")];
    let is_used = |which: &str| (sidecars(&here, "contested") == Some(image(which))).then_some(());

    cluster.apply(&wide.to_string());
    eventually("the cluster-wide template", || is_used("wide"));
    let (status, message) = eventually("the namespace's to say so", || {
        let (status, reason, message) = condition(cluster, &narrow);
        (reason == "Shadowed").then_some((status, message))
    });
    assert_eq!(status, "False");
    assert!(message.contains("allowShadowing"), "{message}");

    wide["spec"]["allowShadowing"] = json!(true);
    cluster.apply(&wide.to_string());
    eventually("the namespace's template", || is_used("narrow"));
    eventually("it to say so", || (condition(cluster, &narrow).1 == "Accepted").then_some(()));
    assert_eq!(condition(cluster, &wide).1, "Accepted");
}

#[test]
fn a_file_goes_before_a_resource() {
    let Some(cluster) = Cluster::own() else { return };
    // What Helm takes as values is no namespaced template.
    let values = json!({"templates": {"from-file": cluster_wide("from-file", "file")}});
    let _installed = Install::on(&cluster).values(values).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    let template = cluster_wide("from-file", "resource");

    cluster.apply(&template.to_string());

    let (status, reason, message) = condition(&cluster, &template);
    assert_eq!((&*status, &*reason), ("False", "FileTakesPrecedence"), "{message}");
    assert_eq!(sidecars(&here, "from-file"), Some(vec!["registry.example.com/from-file:file".to_owned()]));
}

#[test]
fn namespaced_templates_can_be_switched_off() {
    let Some(cluster) = Cluster::own() else { return };
    let _installed = Install::on(&cluster).values(json!({"watch": {"namespacedTemplates": false}})).start();
    let here = cluster.namespace("shop", &OPTED_IN);
    let narrow = namespaced("shop", "of-no-use", "1");

    cluster.apply(&narrow.to_string());

    let (status, reason, _) = condition(&cluster, &narrow);
    assert_eq!((&*status, &*reason), ("False", "NamespacedTemplatesDisabled"));
    assert_eq!(sidecars(&here, "of-no-use"), None);
    cluster.apply(&cluster_wide("of-no-use", "2").to_string());
    eventually("the cluster-wide one", || sidecars(&here, "of-no-use"));
}

#[test]
fn a_template_is_refused_where_it_is_not_allowed() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    let elsewhere = cluster.namespace("not-allowed", &OPTED_IN);
    let allowed = cluster.namespace("allowed", &[OPTED_IN[0], ("team", "payments")]);
    let mut template = cluster_wide("for-payments", "1");
    template["spec"]["namespaceSelector"] = json!({"matchLabels": {"team": "payments"}});

    cluster.apply(&template.to_string());

    assert_eq!(sidecars(&allowed, "for-payments").map(|sidecars| sidecars.len()), Some(1));
    let refused = elsewhere.create("v1", "pods", &pod("web", "for-payments"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    for word in ["for-payments", "not-allowed", "ask its owner"] {
        assert!(refused.text().contains(word), "{word:?} is missing: {}", refused.text());
    }
    // As soon as the namespace is, it is allowed.
    let label = json!({"metadata": {"labels": {"team": "payments"}}});
    cluster.api.merge("/api/v1/namespaces/not-allowed", &label);
    eventually("the namespace's label to be heeded", || sidecars(&elsewhere, "for-payments"));
}

#[test]
fn a_namespace_says_what_its_pods_get_and_must_have() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    let here = cluster.namespace("sets-defaults", &OPTED_IN);
    for name in ["by-default", "in-any-case"] {
        cluster.apply(&cluster_wide(name, "1").to_string());
    }
    let annotations = json!({"pillion.dev/templates": "by-default", "pillion.dev/required-templates": "in-any-case"});
    cluster.api.merge("/api/v1/namespaces/sets-defaults", &json!({"metadata": {"annotations": annotations}}));
    let mut plain = pod("plain", "");
    plain["metadata"].as_object_mut().expect("an object").remove("annotations");

    eventually("the namespace's annotations to be heeded", || {
        let made = here.create("v1", "pods?dryRun=All", &plain).json();
        (names(&made, "initContainers") == ["in-any-case", "by-default"]).then_some(())
    });
    assert_eq!(sidecars(&here, "").map(|sidecars| sidecars.len()), Some(1), "a pod can drop the one, not the other");
}

#[test]
fn who_may_edit_a_namespace_may_not_write_templates_by_that() {
    let Some(Installed { cluster, .. }) = installed() else { return };
    cluster.namespace("editors", &[]);
    let bind = |role: &str, user: &str| {
        let binding = format!("--clusterrole={role}");
        cluster.kubectl(&["create", "rolebinding", user, "-n", "editors", &binding, "--user", user], "").succeeded();
    };
    bind("edit", "an-editor");
    bind("view", "a-viewer");
    bind("pillion-template-editor", "a-template-editor");
    let may = |user: &str, verb: &str| {
        eventually("an answer", || {
            let ran = cluster.kubectl(&["auth", "can-i", verb, "ijt", "-n", "editors", "--as", user], "");
            matches!(ran.stdout.trim(), "yes" | "no").then(|| ran.stdout.trim() == "yes")
        })
    };
    // Roles are aggregated by a controller.
    eventually("the role view to be aggregated", || may("a-viewer", "get").then_some(()));
    assert!(may("an-editor", "list") && may("a-template-editor", "create"));
    for verb in ["create", "update", "patch", "delete"] {
        assert!(!may("an-editor", verb), "{verb}");
    }
}
