//! What a build without traces must not ignore in silence: that somebody asked for them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variables that ask for traces, of all that are set. Others that begin with `OTEL_` can be those of a Service.
pub(super) fn variables(set: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<String> {
    let mut set: BTreeMap<_, _> = set.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if set.remove(OsStr::new("OTEL_SDK_DISABLED")).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    let asks = |name: &str| {
        ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"].contains(&name)
            || ["OTEL_BSP_", "OTEL_EXPORTER_OTLP_", "OTEL_SPAN_", "OTEL_TRACES_"].iter().any(|it| name.starts_with(it))
    };
    set.into_keys().filter_map(|name| name.into_string().ok()).filter(|name| asks(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_ask_for_traces_are_known_by_name() {
        let ignored = |set: &[(&str, &str)]| variables(set.iter().map(|(name, value)| (name.into(), value.into())));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(
            ignored(&[
                ("OTEL_TRACES_SAMPLER", "always_on"),
                endpoint,
                ("OTEL_EXPORTER_OTLP_HEADERS", ""),
                ("OTEL_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ]),
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"]
        );
        assert_eq!(ignored(&[("OTEL_SDK_DISABLED", "TRUE"), endpoint]), Vec::<String>::new());
        assert_eq!(ignored(&[("OTEL_SDK_DISABLED", "false"), endpoint]), ["OTEL_EXPORTER_OTLP_ENDPOINT"]);
    }
}
