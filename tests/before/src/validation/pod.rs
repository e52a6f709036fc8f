//! What a pod has beside containers and volumes.

use serde_json::Value;

use super::{Report, is_label_value, is_qualified_name, resources, security_context, text};
use crate::shown;
use crate::template::is_dns_label;

/// A field of a pod's `spec`, at its place; of a list or map only what is to be checked.
pub(crate) fn pod_field(report: &mut Report, name: &str, value: &Value) {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate();
    let mut each = |check: fn(&mut Report, &Value)| {
        for (at, item) in items.clone().filter(|(_, item)| !item.is_null()) {
            report.at(&format!("[{at}]"), |report| check(report, item));
        }
    };
    match name {
        "tolerations" => each(toleration),
        "topologySpreadConstraints" => each(spread),
        "hostAliases" => each(host_alias),
        "readinessGates" => each(|report, gate| {
            if !is_qualified_name(text(gate, "conditionType")) {
                report.at(".conditionType", |report| report.wrong("must be a name such as example.com/ready"));
            }
        }),
        "nodeSelector" => {
            for (key, value) in value.as_object().into_iter().flatten() {
                if !is_qualified_name(key) || !value.as_str().is_some_and(is_label_value) {
                    report.at(&format!("[{}]", shown(key)), |report| report.wrong("is no label that a node can have"));
                }
            }
        }
        "hostname" | "subdomain" if !value.as_str().is_some_and(|it| it.is_empty() || is_dns_label(it)) => {
            report.wrong("is no DNS label");
        }
        "activeDeadlineSeconds" if value.as_i64().is_some_and(|it| !(1..=i64::from(i32::MAX)).contains(&it)) => {
            report.wrong("must be at least 1");
        }
        "terminationGracePeriodSeconds" if value.as_i64().is_some_and(|seconds| seconds < 0) => {
            report.wrong("must not be negative");
        }
        "securityContext" => security_context(report, value),
        "resources" => resources(report, value),
        "dnsConfig" => {
            let count = |field: &str| value[field].as_array().map_or(0, Vec::len);
            // Source: kubernetes pkg/apis/core/validation, MaxDNSNameservers and MaxDNSSearchPaths.
            if count("nameservers") > 3 || count("searches") > 32 {
                report.wrong("has more than 3 nameservers or 32 searches");
            }
            report.each(value, "nameservers", |report, address| ip(report, address.as_str().unwrap_or_default()));
        }
        _ => {}
    }
}

fn ip(report: &mut Report, address: &str) {
    if address.parse::<std::net::IpAddr>().is_err() {
        report.wrong("must be an IP address");
    }
}

fn host_alias(report: &mut Report, alias: &Value) {
    report.at(".ip", |report| ip(report, text(alias, "ip")));
}

fn toleration(report: &mut Report, toleration: &Value) {
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    let exists = text(toleration, "operator") == "Exists";
    if key.is_empty() && !exists {
        report.wrong("without a key needs operator: Exists");
    }
    if !key.is_empty() && !is_qualified_name(key) {
        report.at(".key", |report| report.wrong("is no key that a taint can have"));
    }
    if exists && !value.is_empty() {
        report.at(".value", |report| report.wrong("must not stand beside operator: Exists"));
    } else if !is_label_value(value) {
        report.at(".value", |report| report.wrong("is no value that a taint can have"));
    }
    if toleration.get("tolerationSeconds").is_some_and(|it| !it.is_null()) && text(toleration, "effect") != "NoExecute"
    {
        report.at(".tolerationSeconds", |report| report.wrong("needs effect: NoExecute"));
    }
}

fn spread(report: &mut Report, constraint: &Value) {
    if constraint["maxSkew"].as_i64().is_some_and(|skew| skew < 1) {
        report.at(".maxSkew", |report| report.wrong("must be at least 1"));
    }
    report.required(constraint, "topologyKey");
}
