//! What may be a name, in Kubernetes and in Pillion, and the keys of labels and annotations; [`TemplateName`] and [`OnError`].

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A template's name: a DNS label.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TemplateName(String);

/// What [`is_dns_label`] asks for, in words.
pub(crate) const DNS_LABEL: &str =
    "must be a DNS label: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit";

impl TemplateName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, &'static str> {
        if is_dns_label(name) { Ok(TemplateName(name.to_owned())) } else { Err(DNS_LABEL) }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TemplateName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// RFC 1123, as Kubernetes checks the names of containers and volumes.
pub(crate) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_word(name)
}

/// What stands between the dots of a DNS name, of any length.
pub(crate) fn is_dns_word(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !word.starts_with('-')
        && !word.ends_with('-')
}

/// What happens to a pod for which a template cannot be applied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnError {
    /// The pod is refused; who asked sees why, and old pods keep running.
    #[default]
    Deny,
    /// The template is skipped, with a warning.
    Skip,
}

impl FromStr for OnError {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, &'static str> {
        match word {
            "deny" => Ok(OnError::Deny),
            "skip" => Ok(OnError::Skip),
            _ => Err("must be deny or skip"),
        }
    }
}

/// RFC 6335, as Kubernetes checks the names of ports. Source: apimachinery pkg/util/validation, IsValidPortName.
pub(crate) fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && is_dns_word(name)
        && name.contains(|letter: char| letter.is_ascii_lowercase())
        && !name.contains("--")
}

/// A label's or annotation's key. Source: apimachinery pkg/util/validation, IsQualifiedName.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_dns_subdomain)
}

/// RFC 1123, as Kubernetes checks the names of most objects. Source: apimachinery pkg/util/validation,
/// IsDNS1123Subdomain.
pub(crate) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_word)
}

/// A label's value. Source: apimachinery pkg/util/validation, IsValidLabelValue.
pub(crate) fn is_label_value(value: &str) -> bool {
    const MARKS: [char; 3] = ['-', '_', '.'];
    value.len() <= 63
        && value.chars().all(|letter| letter.is_ascii_alphanumeric() || MARKS.contains(&letter))
        && !value.starts_with(MARKS)
        && !value.ends_with(MARKS)
}

/// The key of a ConfigMap or Secret. Source: apimachinery pkg/util/validation, IsConfigMapKey.
pub(crate) fn is_data_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        && key != "."
        && !key.starts_with("..")
}

/// An environment variable's name, or the beginning of one. Source: apimachinery pkg/util/validation, IsRelaxedEnvVarName.
pub(crate) fn is_env_name(name: &str) -> bool {
    name.chars().all(|letter| (' '..='~').contains(&letter) && letter != '=')
}

/// Source: apimachinery pkg/util/validation, IsHTTPHeaderName.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

/// A setting of the kernel. Source: kubernetes pkg/apis/core/validation, IsValidSysctlName.
pub(crate) fn is_sysctl(name: &str) -> bool {
    name.len() <= 253 && name.split(['.', '/']).all(|word| is_dns_word(&word.replace('_', "-")))
}

/// An address, and none of IPv4 written as one of IPv6. Source: apimachinery pkg/util/validation, IsValidIPForLegacyField.
pub(crate) fn is_ip(address: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().is_none(),
        Ok(IpAddr::V4(_)) => true,
        Err(_) => false,
    }
}

/// Labels by which controllers know their pods: another value would orphan the pod or make it another's.
#[rustfmt::skip]
const CONTROLLER_LABELS: &[&str] = &[
    "pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index",
    "controller-uid", "job-name",
];

/// The label by which a namespace opts in; on a pod, a label or annotation to opt out.
pub const INJECT: &str = "pillion.dev/inject";
/// The annotation that names the templates of a pod, or of the pods of a namespace that name none.
pub const TEMPLATES: &str = "pillion.dev/templates";
/// The annotation of a namespace with the templates that its pods cannot drop.
pub const REQUIRED: &str = "pillion.dev/required-templates";
/// The label by which the pods of a namespace wait while nobody answers.
pub const FAILURE_POLICY: &str = "pillion.dev/failure-policy";
/// The annotation that records what was added.
pub const STATUS: &str = "pillion.dev/status";
/// The annotation with the result of each template.
pub const OUTCOME: &str = "pillion.dev/outcome";

/// The names of a template and of its parameter in the key of an annotation: `TEMPLATE.pillion.dev/PARAMETER`.
pub fn parameter_of(key: &str) -> Option<(&str, &str)> {
    let (domain, parameter) = key.split_once('/')?;
    Some((domain.strip_suffix(".pillion.dev")?, parameter))
}

/// The kubelet marks the pods that it mirrors so. Source: k8s.io/api/core/v1, MirrorPodAnnotationKey.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The names of local volumes, with commas, for whose sake the Cluster Autoscaler keeps no node. Source: kubernetes/autoscaler
/// cluster-autoscaler/utils/drain.
pub(crate) const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// Where the API server mounts a container's token. Source: kubernetes plugin/pkg/admission/serviceaccount.
pub(crate) const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the volumes are called of which it does so.
pub const TOKEN_VOLUME: &str = "kube-api-access-";
/// The volume that stands there instead of a token, one for a pod.
pub const NO_TOKEN: &str = "pillion-no-token";

/// Why a template must not set a key of `labels` or `annotations`.
pub(crate) fn reserved_key(map: &str, key: &str) -> Option<&'static str> {
    let domain = key.split_once('/').map(|(domain, _)| domain);
    if domain.is_some_and(|domain| domain == "pillion.dev" || domain.ends_with(".pillion.dev")) {
        return Some("is one of Pillion's own keys");
    }
    if key == MIRROR {
        return Some("is the kubelet's own key");
    }
    (map == "labels" && CONTROLLER_LABELS.contains(&key)).then_some("is a label that controllers own")
}

/// A short hash: 12 hexadecimal digits tell the versions of one template apart.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = String::with_capacity(12);
    for byte in &hash.finalize()[..6] {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}
