//! What `--dev` prints at its start: a command that sends a review.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use pillion_engine::template::TemplateName;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::catalog::CatalogHandle;
use crate::cli::output::print;

/// Prints a command that sends a review, and keeps the certificate that it needs in a file.
pub(super) fn invite(authority: &str, webhook: SocketAddr, catalog: &CatalogHandle) -> anyhow::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("pillion-dev-ca-").suffix(".crt").tempfile()?;
    file.write_all(authority.as_bytes()).with_context(|| format!("cannot write {}", file.path().display()))?;

    let snapshot = catalog.snapshot();
    let names = || snapshot.catalog.names().map(TemplateName::as_str);
    let template = names().find(|name| *name == "fluent-bit").or_else(|| names().min()).unwrap_or_default();
    let host =
        if webhook.ip().is_unspecified() { format!("localhost:{}", webhook.port()) } else { webhook.to_string() };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "try-it-out",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "default",
            "operation": "CREATE",
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "annotations": {"pillion.dev/templates": template}},
                "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]},
            },
        },
    });
    print(format_args!(
        "curl -sS --cacert '{}' -H 'Content-Type: application/json' https://{host}/mutate -d '{review}'\n",
        file.path().display(),
    ))?;
    Ok(file)
}
