//! Every rule about a single part of a pod: a type, a field, and what it must hold.
//!
//! Source of every row, where nothing else is said: kubernetes pkg/apis/core/validation/validation.go.

use std::sync::LazyLock;

use super::row::Must::*;
use super::row::{Must, Row, Rules, row};
use super::volumes::{has_no_backsteps, is_file_inside, is_inside};
use super::{amounts, scheduling, special, volumes, windows};
use crate::names::{
    DNS_LABEL, NO_TOKEN, TOKEN_VOLUME, is_data_key, is_dns_label, is_dns_subdomain, is_dns_word, is_env_name,
    is_header_name, is_ip, is_port_name, is_qualified_name, is_sysctl,
};

const OBJECT_NAME: &str = "must be the name of an object: lower-case letters, digits, '-' and '.'";
const OBJECT: Must = BeNamed(is_dns_subdomain, OBJECT_NAME);
const BE_A_LABEL: Must = Be(is_qualified_name, "must be a label's key");
const ISCSI: &str = "must be a name of iSCSI such as iqn.2001-04.com.example:storage";
const DATA_KEY: Must = BeNamed(is_data_key, "must be letters, digits, '-', '_' and '.'");
const INSIDE: &str = "must lead to a place inside of the volume";
const PORT: Must = BeWithin(1, 65_535);
const PORT_NAME: &str = "must have at most 15 lower-case letters, digits and '-', and one letter at least";
const ENV_NAME: &str = "must be printable ASCII without =";
const IP: Must = Be(is_ip, "must be an IP address");
/// Source: apimachinery pkg/util/validation, IsValidUserID.
const ID: Must = BeWithin(0, i32::MAX as i64);

/// A name of DNS that is searched. Source: validatePodDNSConfig.
fn is_search(name: &str) -> bool {
    let is_word = |word: &str| is_dns_word(&word.strip_prefix('_').unwrap_or(word).replace('_', "-"));
    let searched = name.strip_suffix('.').unwrap_or(name);
    name == "." || searched.len() <= 253 && searched.split('.').all(is_word)
}

/// The name of an object, or the beginning of one. Source: apimachinery pkg/api/validation, maskTrailingDash.
fn is_beginning_of_a_name(name: &str) -> bool {
    is_dns_subdomain(name) || name.strip_suffix('-').is_some_and(|name| is_dns_subdomain(&format!("{name}a")))
}

#[rustfmt::skip]
pub(super) static API: &[Row] = &[
    row(&["ObjectMeta"], &["labels"], Pass(special::labels, "must have keys and values that Kubernetes takes")),
    row(&["ObjectMeta"], &["annotations"], Pass(special::annotations, "must have keys that Kubernetes takes")),

    row(&["PodSpec"], &["containers"], BeFilled),
    row(&["PodSpec"], &["nodeSelector"], Pass(special::node_selector, "must be labels that a node can have")),
    row(&["PodSpec"], &["hostname", "subdomain"], Be(|it| it.is_empty() || is_dns_label(it), "must be a DNS label")),
    row(&["PodSpec"], &["hostnameOverride"], Be(|it| it.len() <= 64 && is_dns_subdomain(it), "must be a name of DNS with at most 64 characters")),
    row(&["PodSpec"], &["nodeName"], Be(|it| it.is_empty() || is_dns_subdomain(it), "must be the name of a node")),
    row(&["PodSpec"], &["activeDeadlineSeconds"], BeWithin(1, i32::MAX as i64)),
    row(&["PodSpec"], &["resources"], Pass(amounts::of_pod, "must be of cpu, memory and huge pages, request no more than it limits, and have no claims")),
    row(&["PodSpec"], &["schedulingGates", "resourceClaims"], DifferIn(&["name"])),
    row(&["PodSpec"], &["topologySpreadConstraints"], DifferIn(&["topologyKey", "whenUnsatisfiable"])),
    row(&["PodOS"], &["name"], BeOneOf(&["linux", "windows"])),
    row(&["PodReadinessGate"], &["conditionType"], Be(is_qualified_name, "must be a name such as example.com/ready")),
    row(&["PodSchedulingGate"], &["name"], Be(is_qualified_name, "must be a name such as example.com/ready")),
    row(&["PodResourceClaim"], &["name"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["PodResourceClaim"], &[""], HaveOneOf(&["resourceClaimName", "resourceClaimTemplateName"])),
    row(&["PodResourceClaim"], &["resourceClaimName", "resourceClaimTemplateName"], Be(is_dns_subdomain, OBJECT_NAME)),
    row(&["HostAlias"], &["ip"], IP),
    row(&["HostAlias"], &["hostnames"], Be(is_dns_subdomain, "must be names of DNS")),
    row(&["PodDNSConfig"], &["nameservers"], IP),
    row(&["PodDNSConfig"], &["nameservers"], HaveAtMost(3)),
    row(&["PodDNSConfig"], &["searches"], HaveAtMost(32)),
    row(&["PodDNSConfig"], &["searches"], Be(is_search, "must be names of DNS")),
    row(&["PodDNSConfig"], &[""], Fit(special::searches, "must have searches of at most 2048 characters together")),
    row(&["PodDNSConfigOption"], &["name"], BeFilled),

    row(&["NodeSelector"], &["nodeSelectorTerms"], BeFilled),
    row(&["NodeSelector"], &[""], Fit(scheduling::node_values, "must have values that a label can have")),
    row(&["NodeSelectorTerm"], &[""], Pass(scheduling::node_term, "must have operators with the values that they need, of labels, or of metadata.name")),
    row(&["PreferredSchedulingTerm", "WeightedPodAffinityTerm"], &["weight"], BeWithin(1, 100)),
    row(&["LabelSelector"], &["matchLabels"], Pass(special::labels, "must have keys and values that Kubernetes takes")),
    row(&["LabelSelectorRequirement"], &["key"], BE_A_LABEL),
    row(&["LabelSelectorRequirement"], &["operator"], BeOneOf(&["In", "NotIn", "Exists", "DoesNotExist"])),
    row(&["LabelSelectorRequirement"], &[""], Fit(scheduling::label_requirement, "must have values for In and NotIn, and none for other operators")),
    row(&["PodAffinityTerm"], &["topologyKey"], BE_A_LABEL),
    row(&["PodAffinityTerm"], &["namespaces"], Be(is_dns_label, "must be names of namespaces")),
    row(&["PodAffinityTerm", "TopologySpreadConstraint"], &["matchLabelKeys", "mismatchLabelKeys"], BE_A_LABEL),
    row(&["PodAffinityTerm", "TopologySpreadConstraint"], &[""], Fit(scheduling::label_keys, "must have labelSelector with matchLabelKeys and mismatchLabelKeys, and no key in both")),
    row(&["TopologySpreadConstraint"], &["maxSkew", "minDomains"], BeWithin(1, i64::MAX)),
    row(&["TopologySpreadConstraint"], &["topologyKey"], BeFilled),
    row(&["TopologySpreadConstraint"], &[""], Fit(scheduling::spread, "must have whenUnsatisfiable: DoNotSchedule with minDomains")),
    row(&["TopologySpreadConstraint"], &["nodeAffinityPolicy", "nodeTaintsPolicy"], NotBeEmpty),
    row(&["Toleration"], &[""], Fit(scheduling::toleration, "must have a key and value that a taint can have, and an operator that fits them")),

    row(&["Container"], &["name"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["Container"], &["image"], BeNamed(|it| it.trim() == it, "must not begin or end with whitespace")),
    row(&["Container"], &["ports"], DifferIn(&["name"])),
    row(&["Container"], &["volumeMounts"], DifferIn(&["mountPath"])),
    row(&["Container"], &["volumeDevices"], DifferIn(&["devicePath"])),
    row(&["Container"], &["volumeDevices"], DifferIn(&["name"])),
    row(&["Container"], &["resizePolicy"], DifferIn(&["resourceName"])),
    row(&["Container"], &["resources"], Pass(amounts::of_container, "must name resources that exist, request no more than it limits, and share out nothing that is had in whole")),
    row(&["Container"], &["restartPolicy"], BeOneOf(&["Always", "Never", "OnFailure"])),
    row(&["Container"], &["restartPolicyRules"], HaveAtMost(20)),
    row(&["Container"], &[""], Pass(special::restart_rules, "must have restartPolicy with restartPolicyRules")),
    row(&["Container"], &[""], Pass(special::mount_propagation, "must be privileged for mountPropagation: Bidirectional")),
    row(&["Container"], &["startupProbe", "livenessProbe"], Pass(special::one_success, "must have successThreshold: 1")),
    row(&["Container"], &["readinessProbe"], Pass(special::no_grace_period, "must have no terminationGracePeriodSeconds")),
    row(&["ContainerPort"], &["containerPort"], PORT),
    row(&["ContainerPort"], &["hostPort"], BeWithin(0, 65_535)),
    row(&["ContainerPort"], &["name"], Be(|it| it.is_empty() || is_port_name(it), PORT_NAME)),
    row(&["ContainerResizePolicy"], &["resourceName"], BeOneOf(&["cpu", "memory"])),
    row(&["ContainerResizePolicy"], &["restartPolicy"], BeOneOf(&["NotRequired", "RestartContainer"])),
    row(&["ContainerRestartRule"], &["action"], BeOneOf(&["Restart", "RestartAllContainers"])),
    row(&["ContainerRestartRule"], &["exitCodes"], BeFilled),
    row(&["ContainerRestartRuleOnExitCodes"], &["operator"], BeOneOf(&["In", "NotIn"])),
    row(&["ContainerRestartRuleOnExitCodes"], &["values"], HaveAtMost(255)),

    row(&["EnvVar"], &["name"], Be(|it| !it.is_empty() && is_env_name(it), ENV_NAME)),
    row(&["EnvVar"], &[""], Pass(special::one_value, "must have value or valueFrom, not both")),
    row(&["EnvVarSource"], &[""], HaveOneOf(&["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"])),
    row(&["EnvVarSource"], &["fieldRef"], Pass(special::field_of_variable, "must name a field that a variable can show")),
    row(&["EnvFromSource"], &[""], HaveOneOf(&["configMapRef", "secretRef"])),
    row(&["EnvFromSource"], &["prefix"], Be(is_env_name, ENV_NAME)),
    row(&["ObjectFieldSelector"], &["apiVersion"], BeOneOf(&["", "v1"])),
    row(&["ConfigMapKeySelector", "SecretKeySelector"], &["name"], OBJECT),
    row(&["ConfigMapKeySelector", "SecretKeySelector"], &["key"], DATA_KEY),
    row(&["ConfigMapEnvSource", "SecretEnvSource"], &["name"], BeNamed(is_beginning_of_a_name, OBJECT_NAME)),
    row(&["FileKeySelector"], &["key"], BeNamed(is_env_name, ENV_NAME)),
    row(&["FileKeySelector"], &["volumeName"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["FileKeySelector"], &["path"], BeNamed(has_no_backsteps, "must be a path without ..")),
    row(&["ResourceFieldSelector"], &["resource"], BeNamed(amounts::is_shown, "must be such as limits.memory or requests.cpu")),
    row(&["ResourceFieldSelector"], &[""], Fit(volumes::divisor, "must have a divisor such as 1m or 1Mi that fits the resource")),

    row(&["VolumeMount"], &["mountPath"], BeFilled),
    row(&["VolumeDevice"], &["devicePath"], BeNamed(has_no_backsteps, "must be a path without ..")),
    row(&["VolumeMount"], &["mountPropagation"], NotBeEmpty),
    row(&["VolumeMount"], &["recursiveReadOnly"], BeOneOf(&["Disabled", "Enabled", "IfPossible"])),
    row(&["VolumeMount"], &[""], Fit(special::recursive_read_only, "must have readOnly: true and no mountPropagation for recursiveReadOnly")),
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
    row(&["SecurityContext"], &["procMount"], NotBeEmpty),
    row(&["SecurityContext", "PodSecurityContext"], &["runAsUser", "runAsGroup"], ID),
    row(&["PodSecurityContext"], &["fsGroup", "supplementalGroups"], ID),
    row(&["PodSecurityContext"], &["fsGroupChangePolicy", "supplementalGroupsPolicy"], NotBeEmpty),
    row(&["PodSecurityContext"], &["seLinuxChangePolicy"], BeOneOf(&["MountOption", "Recursive"])),
    row(&["PodSecurityContext"], &["sysctls"], DifferIn(&["name"])),
    row(&["Sysctl"], &["name"], Be(is_sysctl, "must be the name of a sysctl")),
    row(&["SeccompProfile"], &[""], Fit(special::seccomp, "must have localhostProfile with type: Localhost, and with no other")),
    row(&["AppArmorProfile"], &[""], Fit(special::app_armor, "must have localhostProfile with type: Localhost, and with no other")),
    row(&["WindowsSecurityContextOptions"], &["gmsaCredentialSpecName"], Be(is_dns_subdomain, OBJECT_NAME)),
    row(&["WindowsSecurityContextOptions"], &["gmsaCredentialSpec"], Be(|it| (1..=65_536).contains(&it.len()), "must have 1 to 65536 characters")),
    row(&["WindowsSecurityContextOptions"], &["runAsUserName"], Be(windows::is_user, "must be a user of Windows, such as ContainerUser or DOMAIN\\USER")),

    row(&["Volume"], &["name"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["Volume"], &[""], Fit(volumes::source, "must have at most one source")),
    row(&["Volume"], &[""], Fit(volumes::iscsi_portal, "must have a name that fits its iscsi.targetPortal")),
    row(&["ConfigMapVolumeSource", "ConfigMapProjection", "SecretProjection"], &["name"], BeFilled),
    row(&["SecretVolumeSource"], &["secretName"], BeFilled),
    row(&["ConfigMapVolumeSource", "SecretVolumeSource", "DownwardAPIVolumeSource", "ProjectedVolumeSource"], &["defaultMode"], BeWithin(0, 0o777)),
    row(&["KeyToPath", "DownwardAPIVolumeFile"], &["mode"], BeWithin(0, 0o777)),
    row(&["KeyToPath"], &["key"], BeFilled),
    row(&["KeyToPath", "DownwardAPIVolumeFile", "ServiceAccountTokenProjection"], &["path"], BeNamed(is_file_inside, INSIDE)),
    row(&["ServiceAccountTokenProjection"], &["expirationSeconds"], BeWithin(600, 1 << 32)),
    row(&["DownwardAPIVolumeFile"], &[""], HaveOneOf(&["fieldRef", "resourceFieldRef"])),
    row(&["DownwardAPIVolumeFile"], &["fieldRef"], Pass(special::field_of_file, "must name a field that a file can show")),
    row(&["DownwardAPIVolumeFile"], &["resourceFieldRef"], Pass(special::container_of_file, "must have containerName")),
    row(&["ProjectedVolumeSource"], &["sources"], Pass(volumes::projected_paths, "must give no two files one path")),
    row(&["VolumeProjection"], &[""], HaveAtMostOneOf(&["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"])),
    row(&["HostPathVolumeSource"], &["path"], BeNamed(has_no_backsteps, "must be a path without ..")),
    row(&["EmptyDirVolumeSource"], &["sizeLimit"], NotBeNegative),
    row(&["CSIVolumeSource"], &["driver"], BeNamed(volumes::is_csi_driver, "must be the name of a CSI driver")),
    row(&["CSIVolumeSource"], &[""], Fit(volumes::csi_secret, "must name the Secret of nodePublishSecretRef")),
    row(&["PersistentVolumeClaimVolumeSource"], &["claimName"], BeFilled),
    row(&["ImageVolumeSource"], &["reference"], BeFilled),
    row(&["EphemeralVolumeSource"], &["volumeClaimTemplate"], BeFilled),
    row(&["PersistentVolumeClaimTemplate"], &["metadata"], Fit(volumes::claim_metadata, "must have labels and annotations only")),
    row(&["PersistentVolumeClaimSpec"], &["accessModes"], BeFilled),
    row(&["PersistentVolumeClaimSpec"], &[""], Fit(volumes::claim, "must request storage, and have access modes and sources of data that go together")),
    row(&["PersistentVolumeClaimSpec"], &["storageClassName", "volumeAttributesClassName"], Be(|it| it.is_empty() || is_dns_subdomain(it), OBJECT_NAME)),
    row(&["PersistentVolumeClaimSpec"], &["accessModes", "volumeMode"], NotBeEmpty),
    row(&["TypedLocalObjectReference", "TypedObjectReference"], &["kind", "name"], BeFilled),
    row(&["TypedLocalObjectReference", "TypedObjectReference"], &[""], Fit(volumes::data_source, "must be a PersistentVolumeClaim, or of an apiGroup")),

    row(&["AWSElasticBlockStoreVolumeSource", "CinderVolumeSource", "PortworxVolumeSource"], &["volumeID"], BeFilled),
    row(&["AWSElasticBlockStoreVolumeSource", "GCEPersistentDiskVolumeSource"], &["partition"], BeWithin(0, 255)),
    row(&["GCEPersistentDiskVolumeSource"], &["pdName"], BeFilled),
    row(&["AzureDiskVolumeSource"], &["diskName", "diskURI"], BeFilled),
    row(&["AzureDiskVolumeSource"], &["cachingMode", "kind"], NotBeEmpty),
    row(&["AzureDiskVolumeSource"], &[""], Fit(volumes::azure_disk, "must have a diskURI of its kind")),
    row(&["AzureFileVolumeSource"], &["secretName", "shareName"], BeFilled),
    row(&["CephFSVolumeSource", "RBDVolumeSource"], &["monitors"], BeFilled),
    row(&["RBDVolumeSource"], &["image"], BeFilled),
    row(&["CinderVolumeSource", "StorageOSVolumeSource"], &[""], Fit(volumes::secret_is_named, "must name the Secret of secretRef")),
    row(&["FCVolumeSource"], &[""], Fit(volumes::fibre_channel, "must have targetWWNs and lun, or wwids")),
    row(&["FlexVolumeSource"], &["driver"], BeFilled),
    row(&["FlexVolumeSource"], &[""], Fit(volumes::flex_options, "must have no options of kubernetes.io or k8s.io")),
    row(&["FlockerVolumeSource"], &[""], Fit(volumes::flocker, "must have one of datasetName, datasetUUID")),
    row(&["FlockerVolumeSource"], &["datasetName"], Be(|it| !it.contains('/'), "must not have a /")),
    row(&["GitRepoVolumeSource"], &["repository"], BeFilled),
    row(&["GitRepoVolumeSource"], &["directory"], Be(is_inside, INSIDE)),
    row(&["GlusterfsVolumeSource"], &["endpoints", "path"], BeFilled),
    row(&["ISCSIVolumeSource"], &["targetPortal"], BeFilled),
    row(&["ISCSIVolumeSource"], &["iqn"], BeNamed(volumes::is_iscsi_name, ISCSI)),
    row(&["ISCSIVolumeSource"], &["initiatorName"], Be(volumes::is_iscsi_name, ISCSI)),
    row(&["ISCSIVolumeSource"], &["lun"], BeWithin(0, 255)),
    row(&["ISCSIVolumeSource"], &[""], Fit(volumes::iscsi, "must have secretRef for CHAP")),
    row(&["NFSVolumeSource"], &["server"], BeFilled),
    row(&["NFSVolumeSource"], &["path"], BeNamed(|it| it.starts_with('/'), "must be an absolute path")),
    row(&["PhotonPersistentDiskVolumeSource"], &["pdID"], BeFilled),
    row(&["QuobyteVolumeSource"], &["registry", "volume"], BeFilled),
    row(&["QuobyteVolumeSource"], &[""], Fit(volumes::quobyte, "must have a registry of HOST:PORT, and a tenant of at most 64 characters")),
    row(&["ScaleIOVolumeSource"], &["gateway", "system", "volumeName"], BeFilled),
    row(&["StorageOSVolumeSource"], &["volumeName"], BeNamed(is_dns_label, DNS_LABEL)),
    row(&["StorageOSVolumeSource"], &["volumeNamespace"], Be(|it| it.is_empty() || is_dns_label(it), DNS_LABEL)),
    row(&["VsphereVirtualDiskVolumeSource"], &["volumePath"], BeFilled),
];

const DECIDED: &str = "must not be set in a template: the pod's author or the cluster decides it";

#[rustfmt::skip]
pub(super) static TEMPLATE: &[Row] = &[
    row(&["Pod"], &["metadata"], Pass(special::template_metadata, "must have labels and annotations only, and none that Pillion, the kubelet or a controller owns")),
    row(&["PodSpec"], &["ephemeralContainers", "nodeName", "os", "priority", "priorityClassName", "preemptionPolicy", "runtimeClassName", "overhead", "serviceAccount", "serviceAccountName", "automountServiceAccountToken"], NotBeSet(DECIDED)),
    // The API server does not ask, and the probe never succeeds.
    row(&["Container"], &[""], Pass(special::named_ports, "must have the ports that its probes name")),
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
