//! Whether the cluster can run what Pillion injects.

use std::time::Duration;

use kube::Client;
use tokio::time::sleep;

use super::client::Unusable;
use super::watch::describe;

/// The first minor version of Kubernetes 1 that runs native sidecars by default. An older API server silently removes
/// `restartPolicy` from the patch; the sidecar then blocks its pod as an init container that never ends.
const MIN_MINOR: u32 = 29;

/// Reads the cluster's version, trying again until the API server answers.
///
/// # Errors
///
/// When the cluster is too old.
pub(crate) async fn check_version(client: &Client) -> Result<(), Unusable> {
    const PAUSE: Duration = Duration::from_secs(2);
    loop {
        match client.apiserver_version().await {
            Ok(version) => return check_minimum_version(&version.major, &version.minor, &version.git_version),
            Err(error) => {
                tracing::warn!(why = describe(&error), "cannot read the version of the API server; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

fn check_minimum_version(major: &str, minor: &str, full: &str) -> Result<(), Unusable> {
    // Some vendors write `29+`.
    let number = |text: &str| text.trim_end_matches(|it: char| !it.is_ascii_digit()).parse::<u32>();
    match (number(major), number(minor)) {
        (Ok(1), Ok(minor)) if minor < MIN_MINOR => Err(Unusable::TooOld(full.to_owned())),
        (Ok(_), Ok(_)) => {
            tracing::info!(version = full, "cluster");
            Ok(())
        }
        _ => {
            tracing::warn!(version = full, "the API server's version cannot be parsed; assuming that it is new enough");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_sidecars_need_1_29() {
        assert!(check_minimum_version("1", "28", "v1.28.15").is_err());
        assert!(check_minimum_version("1", "28+", "v1.28.3-gke.1").is_err());
        for (major, minor) in [("1", "29"), ("1", "29+"), ("1", "36"), ("2", "0"), ("", "")] {
            assert!(check_minimum_version(major, minor, "v").is_ok(), "{major}.{minor}");
        }
    }
}
