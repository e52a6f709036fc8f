//! What a cluster says of its version.

use std::path::Path;

use super::*;
use crate::harness::process::{Folder, Process};
use crate::harness::tls;

#[test]
fn it_does_not_start_in_a_cluster_that_would_make_sidecars_block() {
    let old = tls::serve(|_| json!({"major": "1", "minor": "28+", "gitVersion": "v1.28.15-gke.1"}));
    let folder = Folder::new("pillion-version-");
    folder.write("ca.crt", &old.authority.pem());
    let cluster = json!({"server": format!("https://{}", old.address), "certificate-authority": folder.path("ca.crt")});
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "old", "cluster": cluster}],
        "users": [{"name": "nobody", "user": {"token": "of-no-use"}}],
        "contexts": [{"name": "old", "context": {"cluster": "old", "user": "nobody"}}],
        "current-context": "old"
    });
    let kubeconfig = folder.write("kubeconfig.json", &kubeconfig.to_string());

    let pillion = env!("CARGO_BIN_EXE_pillion");
    let flags = "serve --watch --certs auto --certs-name localhost --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format json";
    let mut process = Process::start(
        Path::new("/usr/bin/env"),
        [&format!("KUBECONFIG={kubeconfig}"), pillion].into_iter().map(AsRef::as_ref).chain(flags.split(' ')),
    );

    let code = process.exit_code();
    let complaint = process.stderr().all().join("\n");
    assert_eq!(code, 3, "{complaint}");
    for word in ["v1.28.15", "1.29", "sidecar"] {
        assert!(complaint.contains(word), "{word:?} is missing: {complaint}");
    }
}
