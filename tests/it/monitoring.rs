//! Alerts and dashboard: Prometheus' own tool tries them, and every series that they name is really there, on a running
//! Pillion and on a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::installed::Install;
use crate::harness::metrics::Metrics;
use crate::harness::pillion::pod;
use crate::harness::process::Folder;
use crate::harness::tools;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What Helm makes of one of the chart's templates.
#[track_caller]
fn render(release: &str, template: &str, values: &Value) -> Option<Vec<Value>> {
    let helm = tools::helm()?;
    let folder = Folder::new("pillion-monitoring-");
    let values = folder.write("values.json", &values.to_string());
    let chart = repository("charts/pillion").display().to_string();
    let version = format!("--kube-version={}", tools::kubernetes_version());
    let show = format!("--show-only=templates/{template}.yaml");
    let arguments = ["template", release, &chart, "--namespace=monitored", &version, &show, "--values", &values];
    let rendered = tools::run(&helm, arguments, "").succeeded();
    Some(serde_saphyr::from_multiple(&rendered).expect("what Helm renders is YAML"))
}

const RULES: &str = "charts/pillion/rules/pillion.yaml";

fn alerts(groups: &Value) -> Vec<Value> {
    let groups = groups["groups"].as_array().expect("a list of groups");
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().expect("a list of rules")).collect();
    assert!(!rules.is_empty());
    rules.into_iter().cloned().collect()
}

fn our_alerts() -> Vec<Value> {
    alerts(&serde_saphyr::from_str(&read(RULES)).expect("the rules are YAML"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    let Some(promtool) = tools::promtool() else { return };

    let rules = repository(RULES).display().to_string();
    tools::run(&promtool, ["check", "rules", "--lint=all", "--lint-fatal", &rules], "").succeeded();
    let cases = repository("tests/fixtures/monitoring/rules.test.yaml").display().to_string();
    tools::run(&promtool, ["test", "rules", &cases], "").succeeded();
}

#[test]
fn each_alert_is_tried_and_says_what_to_do() {
    let cases = read("tests/fixtures/monitoring/rules.test.yaml");
    let guide = read("docs/monitoring.md");
    let headings: Vec<_> = guide.lines().filter_map(|line| line.strip_prefix("### ")).collect();

    let alerts = our_alerts();
    for alert in &alerts {
        let name = text(alert, "alert");
        let tried = cases.contains(&format!("alertname=\"{name}\"")) || cases.contains(&format!("alertname: {name}\n"));
        assert!(tried, "{name} fires in no case");
        assert!(["critical", "warning"].contains(&text(&alert["labels"], "severity")), "{name}");
        for annotation in ["summary", "description"] {
            assert!(text(&alert["annotations"], annotation).ends_with('.'), "{name}: {annotation}");
        }
        let (_, heading) =
            text(&alert["annotations"], "runbook_url").split_once("/docs/monitoring.md#").expect("a link");
        assert_eq!(heading, name.to_lowercase());
        assert!(headings.contains(&name), "docs/monitoring.md says nothing of {name}");
    }
    for heading in headings {
        assert!(alerts.iter().any(|alert| alert["alert"] == heading), "docs/monitoring.md tells of {heading}");
    }
}

#[test]
fn the_chart_names_in_the_alerts_what_it_installs() {
    let values = json!({
        "fullnameOverride": "sidecars",
        "finalCheck": {"enabled": true},
        "metrics": {"prometheusRule": {
            "enabled": true,
            "labels": {"release": "prometheus"},
            "annotations": {"team": "platform"},
            "runbookUrl": "https://wiki.example.com/pillion",
            "disabled": ["PillionSlow", "PillionCallsSlow"]
        }}
    });
    let Some(rendered) = render("other", "prometheusrule", &values) else { return };
    let rule = &rendered[0];

    assert_eq!(rule["kind"], "PrometheusRule");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(rule["metadata"]["labels"]["app.kubernetes.io/instance"], "other");
    assert_eq!(rule["metadata"]["annotations"], json!({"team": "platform"}));
    let folder = Folder::new("pillion-monitoring-");
    let file = folder.write("rules.json", &rule["spec"].to_string());
    let promtool = tools::promtool().expect("where there is Helm there is promtool");
    tools::run(&promtool, ["check", "rules", "--lint=all", "--lint-fatal", &file], "").succeeded();

    let webhooks = render("other", "mutatingwebhook", &values).expect("Helm is there");
    let policies = render("other", "final-check", &values).expect("Helm is there");
    let webhooks = webhooks[0]["webhooks"].as_array().expect("a list").iter().map(|webhook| text(webhook, "name"));
    assert_eq!(webhooks.collect::<Vec<_>>(), ["pods.pillion.dev", "strict-pods.pillion.dev"]);
    let policy = text(&policies[0]["metadata"], "name");
    let alerts = alerts(&rule["spec"]);
    for alert in &alerts {
        let name = text(alert, "alert");
        for (series, labels) in selectors(text(alert, "expr")) {
            let value = |key: &str| labels.iter().find(|(label, _)| label == key).map(|(_, value)| value.as_str());
            if series.starts_with("apiserver_validating_admission_policy_") {
                assert_eq!(value("policy"), Some(policy), "{name}");
            } else if series.starts_with("apiserver_") {
                assert_eq!(value("name"), Some("(strict-)?pods[.]pillion[.]dev"), "{name}");
            }
        }
        let link = text(&alert["annotations"], "runbook_url");
        assert_eq!(link, format!("https://wiki.example.com/pillion#{}", name.to_lowercase()));
    }
    assert_eq!(alerts.len() + 2, our_alerts().len(), "two are disabled");
}

/// The dashboard as Grafana's sidecar finds it.
fn dashboard() -> Option<Value> {
    let annotations = json!({"grafana_folder": "Platform"});
    let values = json!({
        "metrics": {"grafanaDashboard": {"enabled": true, "namespace": "grafana", "annotations": annotations}}
    });
    let rendered = render("pillion", "dashboard", &values)?;
    let metadata = &rendered[0]["metadata"];
    assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
    assert_eq!(metadata["namespace"], "grafana");
    assert_eq!(metadata["annotations"], annotations);
    let dashboard = serde_json::from_str(text(&rendered[0]["data"], "pillion.json")).expect("the dashboard is JSON");
    let file: Value =
        serde_json::from_str(&read("charts/pillion/dashboards/pillion.json")).expect("the dashboard is JSON");
    assert_eq!(dashboard, file);
    Some(dashboard)
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("a list of panels")
}

/// The queries of all panels, with the dashboard's variables as Grafana would fill them in.
fn queries(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let filled = |expr: &str| expr.replace("$__rate_interval", "5m").replace("$namespace", ".*");
    targets.map(|target| filled(text(target, "expr"))).collect()
}

#[test]
fn prometheus_understands_each_query_of_the_dashboard() {
    let Some(dashboard) = dashboard() else { return };
    let queries = queries(&dashboard);
    assert!(queries.iter().all(|query| !query.contains('$')), "{queries:?}");

    let rules: Vec<_> =
        queries.iter().enumerate().map(|(at, query)| json!({"record": format!("query_{at}"), "expr": query})).collect();
    let folder = Folder::new("pillion-monitoring-");
    let file = folder.write("queries.json", &json!({"groups": [{"name": "queries", "rules": rules}]}).to_string());
    let promtool = tools::promtool().expect("where there is Helm there is promtool");
    tools::run(&promtool, ["check", "rules", "--lint=all", "--lint-fatal", &file], "").succeeded();
}

#[test]
fn the_dashboard_fits_any_grafana() {
    let Some(dashboard) = dashboard() else { return };

    for identity in ["id", "uid"] {
        assert_eq!(dashboard.get(identity), None, "Grafana gives it one");
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title} has another's id");
        let at = |field: &str| panel["gridPos"][field].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{title} is on the grid");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} covers another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(text(panel, "description").ends_with('.'), "{title}");
        let targets = panel["targets"].as_array().expect("a list of queries");
        for source in targets.iter().chain([panel]) {
            assert_eq!(source["datasource"], json!({"type": "prometheus", "uid": "${datasource}"}), "{title}");
        }
    }
}

/// The series that an expression selects, each with its labels.
fn selectors(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = expression;
    while let Some(start) = rest.find(is_of_name) {
        let name = &rest[start..];
        let (name, after) = name.split_at(name.find(|letter| !is_of_name(letter)).unwrap_or(name.len()));
        rest = after;
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some((_, after)) = inside {
            rest = after;
        }
        if ["pillion_", "apiserver_", "process_"].iter().any(|prefix| name.starts_with(prefix)) {
            let labels = inside.map_or("", |(labels, _)| labels).split("\",").filter(|label| !label.is_empty());
            let label = |label: &str| {
                let end = label.find(|letter| !is_of_name(letter)).expect("an operator");
                let (key, value) = label.split_at(end);
                (key.to_owned(), value.trim_start_matches(['=', '~', '!', '"']).trim_end_matches('"').to_owned())
            };
            found.push((name.to_owned(), labels.map(label).collect()));
        }
    }
    found
}

/// The labels that Prometheus gives to what it scrapes.
const TARGET_LABELS: [&str; 3] = ["instance", "job", "namespace"];

#[test]
fn each_series_in_alerts_and_dashboard_is_really_there() {
    let Some(cluster) = Cluster::own() else { return };
    let condition = json!({"name": "fails", "expression": "object.metadata.labels['always'] != 'there'"});
    let template = json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "shipper"},
        "spec": {"pod": {"metadata": {"labels": {"logs": "shipped"}}}}
    });
    let installed = Install::on(&cluster)
        .values(json!({
            "replicaCount": 1,
            "config": {"drainSeconds": 0},
            "webhook": {"matchConditions": [condition]},
            "templates": {"shipper": template},
            "finalCheck": {"enabled": true}
        }))
        .start();
    let here = cluster.namespace("shop", &[("pillion.dev/inject", "enabled")]);
    let mut asks = pod("asks", "shipper");
    asks["metadata"]["labels"] = json!({"always": "here"});

    // A pod that is injected, one that is refused after its template was looked for, and one with a warning for its owner.
    let injected = eventually("the API server to call Pillion", || {
        let made = here.create("v1", "pods?dryRun=All", &asks).json();
        (made["metadata"]["labels"]["logs"] == "shipped").then_some(made)
    });
    assert_eq!(injected["metadata"]["annotations"]["pillion.dev/outcome"], "shipper=injected");
    let mut refused = pod("web", "nobody-knows");
    refused["metadata"]["labels"] = asks["metadata"]["labels"].clone();
    assert_eq!(here.create("v1", "pods", &refused).status, 403);
    let mut warned = asks.clone();
    warned["metadata"]["annotations"]["other.pillion.dev/mode"] = json!("on");
    warned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true}]);
    here.create_pod(&warned);
    let replica = installed.replicas().remove(0);
    eventually("the event to be counted", || (replica.metric("pillion_events_total", &[]) > 0.0).then_some(()));
    let page = replica.ask_admin("/metrics").text();
    let of_pillion = Metrics::parse(&page);
    let guide = read("docs/monitoring.md");
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let is_told = family.starts_with("process_") || guide.contains(&format!("`{family}`"));
        assert!(is_told, "docs/monitoring.md does not tell of {family}");
    }

    // Pods for which the API server finds nobody, and one for which it cannot evaluate the condition.
    installed.stop(&replica);
    eventually("the final check to be heeded", || {
        let answer = here.create("v1", "pods?dryRun=All", &asks);
        (!answer.warnings().is_empty()).then_some(())
    });
    assert_eq!(here.create("v1", "pods?dryRun=All", &pod("api", "shipper")).status, 201);
    // A policy that cannot be evaluated.
    let policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/pillion-final-check";
    let broken = json!({"spec": {"validations": [{"expression": "1 / (size(object.metadata.name) - 4) == 1"}]}});
    assert_eq!(cluster.api.merge(policy, &broken).status, 200);
    eventually("the API server to apply the policy", || {
        let answer = here.create("v1", "pods?dryRun=All", &asks);
        answer.warnings().is_empty().then_some(())
    });
    // And a pod that is refused because nobody answers.
    Install::on(&cluster).values(json!({"webhook": {"failurePolicy": "Fail"}})).apply();
    eventually("the API server to refuse pods", || {
        (here.create("v1", "pods?dryRun=All", &asks).status == 500).then_some(())
    });
    let of_api_server = cluster.metrics();

    let Some(dashboard) = dashboard() else { return };
    let expressions = our_alerts().iter().map(|alert| text(alert, "expr").to_owned()).collect::<Vec<_>>();
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (series, labels) in expressions.iter().chain(&queries(&dashboard)).flat_map(|expression| selectors(expression))
    {
        wanted.entry(series).or_default().extend(labels.into_iter().map(|(label, _)| label));
    }
    assert!(wanted.len() > 20, "{wanted:?}");
    for (series, labels) in wanted {
        let page: &Metrics = if series.starts_with("apiserver_") { &of_api_server } else { &of_pillion };
        let (sample, _) = page.series(&series).next().unwrap_or_else(|| panic!("nobody has {series}"));
        for label in labels.iter().filter(|label| !TARGET_LABELS.contains(&label.as_str())) {
            assert!(sample.contains(&format!("{label}=\"")), "{sample} has no {label}");
        }
    }
    // What the alerts look for by value.
    let present =
        |series: &str, labels: &[&str]| assert!(of_api_server.sum(series, labels) > 0.0, "{series} {labels:?}");
    let webhook = "name=\"pods.pillion.dev\"";
    present("apiserver_admission_webhook_fail_open_count", &[webhook]);
    present("apiserver_admission_webhook_rejection_count", &[webhook, "error_type=\"no_error\""]);
    present("apiserver_admission_webhook_rejection_count", &[webhook, "error_type=\"calling_webhook_error\""]);
    present("apiserver_admission_webhook_admission_duration_seconds_bucket", &[webhook, "type=\"admit\""]);
    present("apiserver_admission_match_condition_evaluation_errors_total", &[webhook]);
    let check = "policy=\"pillion-final-check\"";
    for action in ["warn", "audit", "allow"] {
        let action = format!("enforcement_action=\"{action}\"");
        present("apiserver_validating_admission_policy_check_total", &[check, &action]);
    }
}
