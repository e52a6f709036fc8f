//! What Helm renders, and what it refuses to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{CHART, Chart, arguments, ci, list, of_kind, only};
use crate::harness::cookbook::recipes;
use crate::harness::tools;

#[test]
fn helm_has_nothing_to_say_against_the_chart() {
    let Some(chart) = Chart::open() else { return };
    for values in ci() {
        let version = format!("--kube-version={}", tools::kubernetes_version());
        let said = chart.helm(&["lint", "--strict", CHART, &values.file, &version]).succeeded();
        assert!(said.contains("0 chart(s) failed"), "{}: {said}", values.name);
    }
}

#[test]
fn the_program_knows_the_arguments_that_it_is_given() {
    let Some(chart) = Chart::open() else { return };
    for values in ci() {
        let objects = chart.render(&[&values.file]);
        // Help comes only when there was nothing to complain of before it.
        let given = arguments(&objects).into_iter().chain(["--help"]);
        let said = tools::run(Path::new(env!("CARGO_BIN_EXE_pillion")), given, "");
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{}", values.name);
    }
}

#[test]
fn nothing_is_rendered_that_is_written_at_run_time() {
    let Some(chart) = Chart::open() else { return };
    for values in ci() {
        for object in chart.render(&[&values.file]) {
            let name = &object["metadata"]["name"];
            assert!(object.get("status").is_none(), "{}: {name}", values.name);
            for webhook in list(&object["webhooks"]) {
                assert!(webhook["clientConfig"].get("caBundle").is_none(), "{}: {name}", values.name);
            }
        }
    }
}

#[test]
fn a_ca_of_ones_own_is_given_to_all_webhooks() {
    let Some(chart) = Chart::open() else { return };
    let secret = "certs.mode=existingSecret,certs.existingSecret.name=tls,certs.existingSecret.caBundle=Q0E=";
    let objects = chart.render(&["--set", secret]);
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for webhook in list(&only(&objects, kind)["webhooks"]) {
            assert_eq!(webhook["clientConfig"]["caBundle"], "Q0E=", "{}", webhook["name"]);
        }
    }
}

#[test]
fn cert_manager_is_told_whose_ca_the_webhooks_need() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&["--set=certs.mode=certManager,webhook.url=https://192.0.2.1:8443"]);
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let annotations = &only(&objects, kind)["metadata"]["annotations"];
        assert_eq!(annotations["cert-manager.io/inject-ca-from"], "pillion/pillion", "{kind}");
    }
    let certificates = of_kind(&objects, "Certificate");
    let leaf = certificates.iter().find(|it| it["metadata"]["name"] == "pillion").expect("it is asked for");
    assert_eq!(leaf["spec"]["dnsNames"], json!(["pillion.pillion.svc"]));
    assert_eq!(leaf["spec"]["ipAddresses"], json!(["192.0.2.1"]));
    assert!(arguments(&objects).contains(&"--tls-cert=/etc/pillion/tls/tls.crt"));
}

#[test]
fn a_url_is_where_the_api_server_calls_and_a_name_in_the_certificate() {
    let Some(chart) = Chart::open() else { return };
    for (url, host) in [
        ("https://pillion.example.com:8443", "pillion.example.com"),
        ("https://pillion.example.com/", "pillion.example.com"),
        ("https://127.0.0.1:31234", "127.0.0.1"),
        ("https://[2001:db8::1]:443", "2001:db8::1"),
    ] {
        let objects = chart.render(&["--set", &format!("webhook.url={url}")]);
        for (kind, path) in [("MutatingWebhookConfiguration", "mutate"), ("ValidatingWebhookConfiguration", "validate")]
        {
            for webhook in list(&only(&objects, kind)["webhooks"]) {
                let client = json!({"url": format!("{}/{path}", url.trim_end_matches('/'))});
                assert_eq!(webhook["clientConfig"], client, "{}", webhook["name"]);
            }
        }
        assert!(arguments(&objects).contains(&format!("--certs-name={host}").as_str()), "{url}");
    }
}

#[test]
fn unknown_values_are_refused_at_every_depth() {
    let Some(chart) = Chart::open() else { return };
    for (value, place, unknown) in [
        ("replicas=3", "''", "replicas"),
        ("webhook.prot=9443", "/webhook", "prot"),
        ("certs.auto.durations=1h", "/certs/auto", "durations"),
        ("metrics.serviceMonitor.label.a=b", "/metrics/serviceMonitor", "label"),
        ("webhook.namespaceSelector.matchLabel.a=b", "/webhook/namespaceSelector", "matchLabel"),
        ("tolerations[0].efect=NoSchedule", "/tolerations/0", "efect"),
        (
            "webhook.matchConditions[0].name=a,webhook.matchConditions[0].expr=true",
            "/webhook/matchConditions/0",
            "expr",
        ),
        ("strategy.rollingUpdate.maxUnavailble=1", "/strategy/rollingUpdate", "maxUnavailble"),
    ] {
        let refusal = chart.refusal(&["--set", value]);
        assert!(refusal.contains(place) && refusal.contains(&format!("'{unknown}' not allowed")), "{value}: {refusal}");
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    let Some(chart) = Chart::open() else { return };
    for (value, place) in [
        ("webhook.failurePolicy=fail", "/webhook/failurePolicy"),
        ("webhook.timeoutSeconds=31", "/webhook/timeoutSeconds"),
        ("certs.mode=helm", "/certs/mode"),
        ("certs.auto.duration=1y", "/certs/auto/duration"),
        ("config.onError=Skip", "/config/onError"),
        ("image.digest=latest", "/image/digest"),
        ("finalCheck.validationActions={warn}", "/finalCheck/validationActions/0"),
        ("imageMirrors={mirror.example.com,https://mirror.example.com}", "/imageMirrors/1"),
        ("imageMirrors={mirror.example.com/}", "/imageMirrors/0"),
        ("imageMirrors={mirror}", "/imageMirrors/0"),
    ] {
        let refusal = chart.refusal(&["--set", value]);
        assert!(refusal.contains(&format!("at '{place}'")), "{value}: {refusal}");
    }
}

#[test]
fn a_chart_that_depends_on_this_one_may_set_what_helm_passes_on() {
    let Some(chart) = Chart::open() else { return };
    chart.template(&["--set=global.region=eu,enabled=true"]).succeeded();
}

#[test]
fn values_that_contradict_each_other_are_refused_with_a_reason() {
    let Some(chart) = Chart::open() else { return };
    for (values, reason) in [
        ("certs.mode=existingSecret", "needs certs.existingSecret.name"),
        ("certs.existingSecret.name=tls", "is not used with certs.mode auto"),
        ("webhook.url=http://pillion.example.com", "webhook.url must be https://HOST"),
        ("webhook.url=https://pillion.example.com/mutate", "webhook.url must be https://HOST"),
        ("webhook.url=pillion.example.com", "webhook.url must be https://HOST"),
        ("webhook.port=9402", "webhook.port and metrics.port are both 9402"),
        ("hostNetwork=true", "webhook.port cannot be 10250"),
        ("watch.enabled=false", "there are no templates"),
        ("cookbook.enabled={fluentbit}", "there is no fluentbit; there are cache, cloud-sql-proxy"),
        ("cookbook.enabled={envoy},templates.envoy=own", "envoy is in both templates and cookbook.enabled"),
        ("autoscaling.enabled=true,autoscaling.minReplicas=7", "minReplicas is more than autoscaling.maxReplicas"),
        ("autoscaling.enabled=true,resources.requests=null", "autoscaling needs resources.requests.cpu"),
        ("podDisruptionBudget.maxUnavailable=0", "lets no node be drained"),
        ("podDisruptionBudget.maxUnavailable=0%", "lets no node be drained"),
        ("config.drainSeconds=20", "terminationGracePeriodSeconds must be more than"),
        ("metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true", "enable one"),
        ("metrics.podMonitor.enabled=true,networkPolicy.enabled=true", "networkPolicy.metricsFrom"),
        ("serviceAccount.create=false", "name a ServiceAccount"),
    ] {
        let refusal = chart.refusal(&["--set", values]);
        assert!(refusal.contains(reason), "{values}: {refusal}");
    }
    let refusal = chart.helm(&["template", CHART, "--kube-version=1.29.0", "--set=finalCheck.enabled=true"]).stderr;
    assert!(refusal.contains("need Kubernetes 1.30 or later"), "{refusal}");
    let refusal = chart.helm(&["template", CHART, "--kube-version=1.28.9"]).stderr;
    assert!(refusal.contains("kubeVersion: >=1.29.0-0"), "{refusal}");
}

#[test]
fn all_contradictions_are_told_at_once() {
    let Some(chart) = Chart::open() else { return };
    let refusal = chart.refusal(&["--set=certs.mode=existingSecret,hostNetwork=true"]);
    assert!(refusal.contains("certs.existingSecret.name") && refusal.contains("10250"), "{refusal}");
}

#[test]
fn selectors_hold_nothing_that_could_change() {
    let Some(chart) = Chart::open() else { return };
    for values in ci() {
        let objects = chart.render(&[&values.file]);
        let deployment = only(&objects, "Deployment");
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        let keys: Vec<_> = selector.as_object().expect("labels").keys().collect();
        let component = "app.kubernetes.io/component";
        assert_eq!(keys, ["app.kubernetes.io/name", "app.kubernetes.io/instance", component], "{}", values.name);
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (key, value) in selector.as_object().expect("labels") {
            assert_eq!(labels[key], *value, "{}: the Deployment selects its own pods by {key}", values.name);
        }

        assert_eq!(only(&objects, "Service")["spec"]["selector"], *selector, "{}", values.name);
        for kind in ["PodDisruptionBudget", "ServiceMonitor", "PodMonitor"] {
            let others = of_kind(&objects, kind);
            others.iter().for_each(|it| assert_eq!(it["spec"]["selector"]["matchLabels"], *selector, "{kind}"));
        }
        for constraint in list(&deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]) {
            assert_eq!(constraint["labelSelector"]["matchLabels"], *selector, "{}", values.name);
        }
    }
}

#[test]
fn labels_of_ones_own_cannot_break_a_selector() {
    let Some(chart) = Chart::open() else { return };
    let own = r#"--set=commonLabels.app\.kubernetes\.io/name=x,podLabels.app\.kubernetes\.io/name=y"#;
    let objects = chart.render(&[own]);
    let deployment = only(&objects, "Deployment");
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"], "pillion");
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/name"], "pillion");
}

/// The rules of the roles that Pillion's ServiceAccount is bound to.
fn rules(objects: &[Value], role: &str, binding: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for binding in of_kind(objects, binding) {
        let name = &binding["roleRef"]["name"];
        let role = of_kind(objects, role).into_iter().find(|role| role["metadata"]["name"] == *name);
        rules.extend(list(&role.unwrap_or_else(|| panic!("no {name}"))["rules"]).iter().cloned());
    }
    rules
}

#[test]
fn it_has_the_rights_that_it_needs_and_no_others() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&[]);
    let everywhere = json!([
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["pillion.dev"], "resources": ["clusterinjectiontemplates", "injectiontemplates"],
         "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["pillion.dev"],
         "resources": ["clusterinjectiontemplates/status", "injectiontemplates/status"], "verbs": ["patch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["admissionregistration.k8s.io"],
         "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
         "resourceNames": ["pillion"], "verbs": ["get", "patch"]},
    ]);
    assert_eq!(json!(rules(&objects, "ClusterRole", "ClusterRoleBinding")), everywhere);
    let here = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["pillion"],
         "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pillion-certs"], "verbs": ["get", "update"]},
    ]);
    assert_eq!(json!(rules(&objects, "Role", "RoleBinding")), here);
}

#[test]
fn no_values_give_it_more_rights() {
    let Some(chart) = Chart::open() else { return };
    for values in ci() {
        let objects = chart.render(&[&values.file]);
        for rule in rules(&objects, "ClusterRole", "ClusterRoleBinding") {
            let (resources, verbs) = (list(&rule["resources"]), list(&rule["verbs"]));
            let forbidden = ["secrets", "pods", "*"];
            assert!(forbidden.iter().all(|it| !resources.contains(&json!(it))), "{}: {rule}", values.name);
            assert!(!verbs.contains(&json!("*")), "{}: {rule}", values.name);
        }
    }
}

#[test]
fn a_server_that_speaks_to_no_api_server_has_no_token_and_no_rights() {
    let Some(chart) = Chart::open() else { return };
    let files = ci().into_iter().find(|values| values.name == "files-only").expect("it is there");
    let objects = chart.render(&[&files.file]);
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingWebhookConfiguration"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
    let speaks = ["--watch", "--certs=auto", "--lease=pillion"];
    assert!(arguments(&objects).iter().all(|argument| !speaks.contains(argument)));

    let objects = chart.render(&[]);
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], true, "to watch needs a token");
}

#[test]
fn who_writes_templates_is_for_the_administrator_to_say() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&[]);
    for role in of_kind(&objects, "ClusterRole") {
        let labels = role["metadata"]["labels"].as_object().expect("labels");
        let writes = list(&role["rules"]).iter().any(|rule| list(&rule["verbs"]).contains(&json!("create")));
        let aggregated: Vec<_> = labels.keys().filter(|key| key.contains("aggregate-to")).collect();
        match role["metadata"]["name"].as_str() {
            Some("pillion-view") => {
                assert_eq!(aggregated, ["rbac.authorization.k8s.io/aggregate-to-view"]);
                assert!(!writes);
            }
            _ => assert_eq!(aggregated, [""; 0], "{role}"),
        }
    }
}

#[test]
fn a_single_replica_has_no_budget_that_would_block_a_drain() {
    let Some(chart) = Chart::open() else { return };
    let budgets = |values: &str| of_kind(&chart.render(&["--set", values]), "PodDisruptionBudget").len();
    assert_eq!(budgets("replicaCount=1"), 0);
    assert_eq!(budgets("replicaCount=2"), 1);
    assert_eq!(budgets("replicaCount=3,autoscaling.enabled=true,autoscaling.minReplicas=1"), 0);
    assert_eq!(budgets("replicaCount=1,autoscaling.enabled=true"), 1);
    let objects = chart.render(&[]);
    assert_eq!(only(&objects, "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
}

#[test]
fn an_autoscaler_has_the_number_of_replicas_to_itself() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&["--set=autoscaling.enabled=true"]);
    assert!(only(&objects, "Deployment")["spec"].get("replicas").is_none());
    assert_eq!(only(&objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"], "pillion");
}

#[test]
fn a_roll_out_never_has_fewer_replicas_than_asked_for() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&[]);
    let strategy = &only(&objects, "Deployment")["spec"]["strategy"];
    assert_eq!(strategy["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
}

#[test]
fn a_roll_out_in_the_nodes_network_needs_no_node_without_a_replica() {
    let Some(chart) = Chart::open() else { return };
    let strategy = |more: &str| {
        let objects = chart.render(&["--set", &format!("hostNetwork=true,webhook.port=8443{more}")]);
        only(&objects, "Deployment")["spec"]["strategy"].clone()
    };
    let one_fewer = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    assert_eq!(strategy(""), one_fewer);
    assert_eq!(strategy(",replicaCount=1"), json!({"type": "Recreate"}), "helm --wait waits for it");
    let own = json!({"rollingUpdate": {"maxUnavailable": 0}});
    assert_eq!(strategy(",strategy.rollingUpdate.maxUnavailable=0"), own, "Kubernetes' own defaults complete it");
    assert_eq!(strategy(",strategy.type=Recreate"), json!({"type": "Recreate"}));
}

/// The two webhooks for pods: the usual one, and that of namespaces whose pods wait.
fn webhooks_for_pods(objects: &[Value]) -> [Value; 2] {
    let webhooks = list(&only(objects, "MutatingWebhookConfiguration")["webhooks"]).to_vec();
    webhooks.try_into().expect("two webhooks")
}

#[test]
fn a_namespace_belongs_to_one_of_two_webhooks_that_differ_in_nothing_else() {
    let Some(chart) = Chart::open() else { return };
    let by_label = r#"--set-json=webhook.namespaceSelector={"matchLabels": {"team": "shop"}}"#.to_owned();
    let by_policy = json!([{"key": "pillion.dev/failure-policy", "operator": "Exists"}]);
    let by_policy = format!("--set-json=webhook.namespaceSelector.matchExpressions={by_policy}");
    let nobody = "--set-json=webhook={\"excludedNamespaces\": [], \"excludeReleaseNamespace\": false}".to_owned();
    for values in ci().into_iter().map(|values| values.file).chain([by_label, by_policy, nobody]) {
        let [mut usual, mut strict] = webhooks_for_pods(&chart.render(&[&values]));
        let mut take = |field: &str| [usual[field].take(), strict[field].take()];
        assert_eq!(take("name"), ["pods.pillion.dev", "strict-pods.pillion.dev"]);
        assert_eq!(take("failurePolicy")[1], "Fail");
        take("objectSelector");
        let last = |webhook: &mut Value| {
            let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array_mut();
            expressions.expect("it has expressions").pop().expect("at least one")
        };
        let of_policy =
            |operator: &str| json!({"key": "pillion.dev/failure-policy", "operator": operator, "values": ["fail"]});
        assert_eq!((last(&mut usual), last(&mut strict)), (of_policy("NotIn"), of_policy("In")), "{values}");
        assert_eq!(usual, strict, "{values}");
    }
}

#[test]
fn what_a_user_has_said_of_the_webhook_goes_on_to_mean_that() {
    let Some(chart) = Chart::open() else { return };
    let policies = |values: &str| webhooks_for_pods(&chart.render(&[values])).map(|it| it["failurePolicy"].clone());
    assert_eq!(policies("--set=webhook.failurePolicy=Ignore"), ["Ignore", "Fail"]);
    assert_eq!(policies("--set=webhook.failurePolicy=Fail"), ["Fail", "Fail"]);

    let opting_out = json!({"key": "pillion.dev/inject", "operator": "NotIn", "values": ["disabled", "false"]});
    let (asking, other) =
        (json!({"key": "pillion.dev/inject", "operator": "Exists"}), json!({"key": "tier", "operator": "Exists"}));
    let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [other, opting_out, asking]});
    let objects = chart.render(&[&format!("--set-json=webhook.objectSelector={selector}")]);
    let [usual, strict] = webhooks_for_pods(&objects).map(|it| it["objectSelector"].clone());
    assert_eq!(usual, selector);
    assert_eq!(strict, json!({"matchLabels": {"app": "web"}, "matchExpressions": [other, asking]}));

    let objects = chart.render(&["--set=webhook.objectSelector=null"]);
    assert_eq!(webhooks_for_pods(&objects).map(|it| it["objectSelector"].clone()), [Value::Null, json!({})]);
}

#[test]
fn no_webhook_is_called_for_the_system_or_for_pillion_itself() {
    let Some(chart) = Chart::open() else { return };
    let excluded = |values: &str| {
        let objects = chart.render(&["--set", values]);
        let [usual, strict] = webhooks_for_pods(&objects).map(|webhook| {
            let expressions = list(&webhook["namespaceSelector"]["matchExpressions"]).iter();
            let mut names = expressions.filter(|it| it["key"] == "kubernetes.io/metadata.name");
            names.next().map_or_else(|| json!([]), |it| it["values"].clone())
        });
        assert_eq!(usual, strict);
        usual
    };
    assert_eq!(excluded("replicaCount=2"), json!(["kube-system", "kube-node-lease", "pillion"]));
    assert_eq!(excluded("webhook.excludedNamespaces={pillion}"), json!(["pillion"]));
    assert_eq!(excluded("webhook.excludeReleaseNamespace=false,webhook.excludedNamespaces=null"), json!([]));
}

#[test]
fn its_own_pods_start_when_nobody_answers() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&["--set=webhook.excludeReleaseNamespace=false,podLabels.pillion\\.dev/inject=enabled"]);
    let labels = &only(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["pillion.dev/inject"], "disabled");
}

#[test]
fn prometheus_is_told_of_the_metrics_in_one_way_only() {
    let Some(chart) = Chart::open() else { return };
    for (values, annotated, monitors) in [
        ("replicaCount=2", true, 0),
        ("metrics.serviceMonitor.enabled=true", false, 1),
        ("metrics.podMonitor.enabled=true", false, 1),
    ] {
        let objects = chart.render(&["--set", values]);
        let annotations = &only(&objects, "Deployment")["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations.get("prometheus.io/scrape").is_some(), annotated, "{values}");
        let found = of_kind(&objects, "ServiceMonitor").len() + of_kind(&objects, "PodMonitor").len();
        assert_eq!(found, monitors, "{values}");
    }
}

#[test]
fn a_network_policy_lets_api_servers_in_and_nobody_else_to_the_metrics() {
    let Some(chart) = Chart::open() else { return };
    let objects = chart.render(&["--set=networkPolicy.enabled=true"]);
    let spec = &only(&objects, "NetworkPolicy")["spec"];
    assert_eq!(spec["ingress"], json!([{"ports": [{"protocol": "TCP", "port": "webhook"}]}]));
    assert_eq!(spec["egress"], json!([{}]), "the API server has no address that could be named");
}

#[test]
fn definitions_are_kept_when_the_release_goes_unless_said_otherwise() {
    let Some(chart) = Chart::open() else { return };
    let policies = |values: &str| -> Vec<Value> {
        let objects = chart.render(&["--set", values]);
        let definitions = of_kind(&objects, "CustomResourceDefinition");
        definitions.iter().map(|it| it["metadata"]["annotations"]["helm.sh/resource-policy"].clone()).collect()
    };
    assert_eq!(policies("crds.keep=true"), ["keep", "keep"]);
    assert_eq!(policies("crds.keep=false"), [Value::Null, Value::Null]);
    assert_eq!(policies("crds.enabled=false"), [Value::Null; 0]);
}

#[test]
fn templates_of_the_cookbook_and_of_the_values_come_as_they_were_written() {
    let Some(chart) = Chart::open() else { return };
    let names: Vec<_> = recipes().iter().map(|recipe| recipe.name.as_str()).collect();
    let text = "apiVersion: pillion.dev/v1alpha1 # as it is\nkind: ClusterInjectionTemplate";
    let objects = chart.render(&[
        &format!("--set=cookbook.enabled={{{}}}", names.join(",")),
        &format!("--set=templates.text={text}"),
        r#"--set-json=templates.tree={"spec": {"app": [{"containers": ["*"], "env": [{"name": "A", "value": "${{ pod.metadata.name }}"}]}], "weight": 10000000}}"#,
    ]);
    let data = &only(&objects, "ConfigMap")["data"];
    for recipe in recipes() {
        let mounted = data[format!("{}.yaml", recipe.name)].as_str().expect("it is mounted");
        assert_eq!(mounted.trim(), recipe.text.trim(), "{}", recipe.name);
    }
    assert_eq!(data["text.yaml"].as_str().expect("it is mounted").trim(), text);
    let tree: Value = serde_saphyr::from_str(data["tree.yaml"].as_str().expect("it is mounted")).expect("YAML");
    assert_eq!(tree["spec"]["app"][0]["env"][0]["value"], "${{ pod.metadata.name }}");
    assert_eq!(tree["spec"]["weight"], 10_000_000);
    assert!(arguments(&objects).contains(&"--templates=/etc/pillion/templates"));
}

#[test]
fn traces_go_where_they_are_told_to_and_nowhere_else() {
    let Some(chart) = Chart::open() else { return };
    let variables = |values: &str| -> BTreeSet<String> {
        let objects = chart.render(&["--set", values]);
        let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        list(&container["env"]).iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(variables("tracing.sampler=always_on"), BTreeSet::new());
    let told = variables("tracing.endpoint=http://otel:4318,tracing.sampler=always_on");
    assert_eq!(told, ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"].map(String::from).into());
}

#[test]
fn the_values_for_high_availability_are_among_those_that_are_tried() {
    let read = |file: &str| -> Value {
        let text = fs::read_to_string(format!("{CHART}/{file}")).expect("the file is there");
        serde_saphyr::from_str(&text).expect("values are YAML")
    };
    assert_eq!(read("values-ha.yaml"), read("ci/ha-values.yaml"));
}
