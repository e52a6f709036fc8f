//! Every rule about a single part of a pod: a type, a field, and what it must hold.
//!
//! Source of every row, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

use std::sync::LazyLock;

use super::row::Must::*;
use super::row::{Must, Row, Rules, row};
use super::special;
use crate::names::{
    DNS_LABEL, NO_TOKEN, TOKEN_VOLUME, is_data_key, is_dns_label, is_dns_subdomain, is_env_name, is_header_name, is_ip,
    is_port_name, is_qualified_name, is_sysctl,
};

const OBJECT: Must =
    BeNamed(is_dns_subdomain, "must be the name of an object: lower-case letters, digits, '-' and '.'");
const DATA_KEY: Must = BeNamed(is_data_key, "must be letters, digits, '-', '_' and '.'");
const PATH: Must = BeNamed(is_inside, INSIDE);
const INSIDE: &str = "must lead to a place inside of the volume";
const PORT: Must = BeWithin(1, 65_535);
const PORT_NAME: &str = "must have at most 15 lower-case letters, digits and '-', and one letter at least";
const ENV_NAME: &str = "must be printable ASCII without =";
const IP: Must = Be(is_ip, "must be an IP address");
/// Source: apimachinery pkg/util/validation, IsValidUserID.
const ID: Must = BeWithin(0, i32::MAX as i64);

/// A path that stays inside of what it is relative to.
fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

#[rustfmt::skip]
pub(super) const API: &[Row] = &[
    row(&["ObjectMeta"], &["labels"], Pass(special::labels, "must have keys and values that Kubernetes takes")),
    row(&["ObjectMeta"], &["annotations"], Pass(special::annotations, "must have keys that Kubernetes takes")),

    row(&["PodSpec"], &["nodeSelector"], Pass(special::node_selector, "must be labels that a node can have")),
    row(&["PodSpec"], &["hostname", "subdomain"], Be(|it| it.is_empty() || is_dns_label(it), "must be a DNS label")),
    row(&["PodSpec"], &["activeDeadlineSeconds"], BeWithin(1, i32::MAX as i64)),
    row(&["PodSpec"], &["terminationGracePeriodSeconds"], NotBeNegative),
    row(&["PodReadinessGate"], &["conditionType"], Be(is_qualified_name, "must be a name such as example.com/ready")),
    row(&["HostAlias"], &["ip"], IP),
    row(&["PodDNSConfig"], &["nameservers"], IP),
    row(&["PodDNSConfig"], &["nameservers"], HaveAtMost(3)),
    row(&["PodDNSConfig"], &["searches"], HaveAtMost(32)),
    row(&["Toleration"], &[""], Pass(special::toleration, "must have a key and value that a taint can have, and an operator that fits them")),
    row(&["TopologySpreadConstraint"], &["maxSkew"], BeWithin(1, i64::MAX)),
    row(&["TopologySpreadConstraint"], &["topologyKey"], BeFilled),

    row(&["Container"], &["name"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["Container"], &["image"], BeNamed(|it| it.trim() == it, "must not begin or end with whitespace")),
    row(&["Container"], &["ports"], DifferIn("name")),
    row(&["Container"], &["volumeMounts"], DifferIn("mountPath")),
    row(&["Container"], &["volumeDevices"], DifferIn("devicePath")),
    row(&["Container"], &[""], Pass(special::mount_propagation, "must be privileged for mountPropagation: Bidirectional")),
    row(&["Container"], &[""], Pass(special::named_ports, "must have the ports that its probes name")),
    row(&["Container"], &["startupProbe", "livenessProbe"], Pass(special::one_success, "must have successThreshold: 1")),
    row(&["Container"], &["readinessProbe"], Pass(special::no_grace_period, "must have no terminationGracePeriodSeconds")),
    row(&["ContainerPort"], &["containerPort"], PORT),
    row(&["ContainerPort"], &["hostPort"], BeWithin(0, 65_535)),
    row(&["ContainerPort"], &["name"], Be(|it| it.is_empty() || is_port_name(it), PORT_NAME)),
    row(&["ContainerResizePolicy"], &["resourceName"], BeOneOf(&["cpu", "memory"])),
    row(&["ResourceRequirements"], &[""], Pass(special::resources, "must name resources that exist, request no more than it limits, and share out nothing that is had in whole")),

    row(&["EnvVar"], &["name"], Be(|it| !it.is_empty() && is_env_name(it), ENV_NAME)),
    row(&["EnvVar"], &[""], Pass(special::one_value, "must have value or valueFrom, not both")),
    row(&["EnvVarSource"], &[""], HaveOneOf(&["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"])),
    row(&["EnvVarSource"], &["fieldRef"], Pass(special::field_of_variable, "must name a field that a variable can show")),
    row(&["EnvFromSource"], &[""], HaveOneOf(&["configMapRef", "secretRef"])),
    row(&["EnvFromSource"], &["prefix"], Be(is_env_name, ENV_NAME)),
    row(&["ConfigMapKeySelector", "SecretKeySelector"], &["name"], OBJECT),
    row(&["ConfigMapKeySelector", "SecretKeySelector"], &["key"], DATA_KEY),
    row(&["ConfigMapEnvSource", "SecretEnvSource"], &["name"], OBJECT),
    row(&["ResourceFieldSelector"], &["resource"], Pass(special::resource, "must be such as limits.memory or requests.cpu")),

    row(&["VolumeMount"], &["mountPath"], BeFilled),
    row(&["VolumeDevice"], &["devicePath"], BeFilled),
    row(&["VolumeMount"], &["recursiveReadOnly"], BeOneOf(&["", "Disabled", "Enabled", "IfPossible"])),
    row(&["VolumeMount"], &[""], Pass(special::recursive_read_only, "must have readOnly: true for recursiveReadOnly: Enabled")),
    row(&["VolumeMount"], &["subPath", "subPathExpr"], Be(is_inside, INSIDE)),
    row(&["VolumeMount"], &[""], NotHaveBoth("subPath", "subPathExpr")),

    row(&["Probe"], &[""], HaveOneOf(&["exec", "httpGet", "tcpSocket", "grpc"])),
    row(&["Probe"], &["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"], NotBeNegative),
    row(&["Probe"], &["terminationGracePeriodSeconds"], BeWithin(1, i64::MAX)),
    row(&["LifecycleHandler"], &[""], HaveOneOf(&["exec", "httpGet", "tcpSocket", "sleep"])),
    row(&["SleepAction"], &["seconds"], NotBeNegative),
    row(&["ExecAction"], &["command"], BeFilled),
    row(&["HTTPGetAction", "TCPSocketAction", "GRPCAction"], &["port"], PORT),
    row(&["HTTPGetAction", "TCPSocketAction"], &["port"], Be(is_port_name, PORT_NAME)),
    row(&["HTTPHeader"], &["name"], Be(is_header_name, "must be letters, digits and '-'")),

    row(&["SecurityContext"], &[""], Pass(special::escalation, "must not have allowPrivilegeEscalation: false if it is privileged or adds CAP_SYS_ADMIN")),
    row(&["SecurityContext", "PodSecurityContext"], &["runAsUser", "runAsGroup"], ID),
    row(&["PodSecurityContext"], &["fsGroup", "supplementalGroups"], ID),
    row(&["Sysctl"], &["name"], Be(is_sysctl, "must be the name of a sysctl")),
    row(&["SeccompProfile", "AppArmorProfile"], &[""], Pass(special::profile, "must have localhostProfile with type: Localhost, and with no other")),

    row(&["Volume"], &["name"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["Volume"], &[""], Pass(special::volume_source, "must have at most one source")),
    row(&["ConfigMapVolumeSource", "ConfigMapProjection", "SecretProjection"], &["name"], OBJECT),
    row(&["SecretVolumeSource"], &["secretName"], OBJECT),
    row(&["ConfigMapVolumeSource", "SecretVolumeSource", "DownwardAPIVolumeSource", "ProjectedVolumeSource"], &["defaultMode"], BeWithin(0, 0o777)),
    row(&["KeyToPath", "DownwardAPIVolumeFile"], &["mode"], BeWithin(0, 0o777)),
    row(&["KeyToPath"], &["key"], BeFilled),
    row(&["KeyToPath", "DownwardAPIVolumeFile", "ServiceAccountTokenProjection"], &["path"], PATH),
    row(&["ServiceAccountTokenProjection"], &["expirationSeconds"], BeWithin(600, 1 << 32)),
    row(&["DownwardAPIVolumeFile"], &[""], HaveOneOf(&["fieldRef", "resourceFieldRef"])),
    row(&["DownwardAPIVolumeFile"], &["fieldRef"], Pass(special::field_of_file, "must name a field that a file can show")),
    row(&["DownwardAPIVolumeFile"], &["resourceFieldRef"], Pass(special::container_of_file, "must have containerName")),
    row(&["VolumeProjection"], &[""], HaveOneOf(&["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"])),
    row(&["HostPathVolumeSource"], &["path"], BeNamed(|it| !it.split('/').any(|part| part == ".."), "must be a path without ..")),
    row(&["EmptyDirVolumeSource"], &["sizeLimit"], NotBeNegative),
    row(&["CSIVolumeSource"], &["driver"], OBJECT),
    row(&["PersistentVolumeClaimVolumeSource"], &["claimName"], OBJECT),
    row(&["ImageVolumeSource"], &["reference"], BeFilled),
];

const DECIDED: &str = "must not be set in a template: the pod's author or the cluster decides it";

#[rustfmt::skip]
pub(super) const TEMPLATE: &[Row] = &[
    row(&["Pod"], &["metadata"], Pass(special::template_metadata, "must have labels and annotations only, and none that Pillion, the kubelet or a controller owns")),
    row(&["PodSpec"], &["ephemeralContainers", "nodeName", "os", "priority", "priorityClassName", "preemptionPolicy", "runtimeClassName", "overhead", "serviceAccount", "serviceAccountName", "automountServiceAccountToken"], NotBeSet(DECIDED)),
    // Source: kubernetes plugin/pkg/admission/serviceaccount.
    row(&["Volume"], &["name"], Be(|it| !it.starts_with(TOKEN_VOLUME), "must not begin with kube-api-access-, which the API server keeps for itself")),
    row(&["Volume"], &["name"], Be(|it| it != NO_TOKEN, "must not be pillion-no-token, which serviceAccountToken: false brings")),
];

/// What an API server asks of each part of a pod.
pub(crate) static OF_PODS: LazyLock<Rules> = LazyLock::new(|| Rules::link(&[API]));

/// The same, and what Pillion asks of a template beside it.
pub(crate) static OF_TEMPLATES: LazyLock<Rules> = LazyLock::new(|| Rules::link(&[API, TEMPLATE]));

/// Types, enumerations and required fields alone.
pub(crate) static NO_RULES: LazyLock<Rules> = LazyLock::new(|| Rules::link(&[]));
