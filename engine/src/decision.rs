//! What was decided, and why.
//!
//! Every reason has one sentence and one fix, kept here and nowhere else: log, metric, warning, event and the
//! troubleshooting page all take them from this place.

use std::fmt;

use crate::names::TemplateName;

/// The result for a pod, or for one template.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Something was added.
    Injected,
    /// Nothing was to be done.
    Skipped,
    /// The pod is refused.
    Denied,
    /// Something went wrong, and the pod was let through without it.
    Error,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [Outcome::Injected, Outcome::Skipped, Outcome::Denied, Outcome::Error];

    /// The word that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Injected => "injected",
            Outcome::Skipped => "skipped",
            Outcome::Denied => "denied",
            Outcome::Error => "error",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The page that explains every reason, each at a place of its own.
const PAGE: &str = "https://github.com/pillion-dev/pillion/blob/main/docs/reasons.md";

macro_rules! reasons {
    ($($variant:ident $code:literal [$($outcome:ident),*] $sentence:literal $fix:literal;)*) => {
        /// Why a pod, or one template, has its outcome. Users see it in `snake_case`.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $(#[doc = $sentence] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$variant),*];

            /// The reason in `snake_case`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $code,)* }
            }

            /// The reason as Kubernetes writes the reason of an event.
            pub fn camel_case(self) -> &'static str {
                match self { $(Reason::$variant => stringify!($variant),)* }
            }

            /// Where it is explained.
            pub fn page(self) -> String {
                format!("{PAGE}#{self}")
            }

            /// The outcomes that can have it.
            pub fn outcomes(self) -> &'static [Outcome] {
                match self { $(Reason::$variant => &[$(Outcome::$outcome),*],)* }
            }

            /// What it means, in one sentence.
            pub fn sentence(self) -> &'static str {
                match self { $(Reason::$variant => $sentence,)* }
            }

            /// What to do about it.
            pub fn fix(self) -> &'static str {
                match self { $(Reason::$variant => $fix,)* }
            }
        }
    };
}

reasons! {
    Injected "injected" [Injected]
        "What the template holds was added to the pod." "Nothing to do.";
    AlreadyInjected "already_injected" [Skipped]
        "The pod has the template's containers from an earlier injection, or was injected by an earlier version of the template." "Nothing to do; to take up a changed template or parameter, create the pod anew, e.g. with kubectl rollout restart.";
    NothingToAdd "nothing_to_add" [Skipped]
        "The pod has all that the template would add, or something of its own in its place." "Nothing to do; where the template's value is wanted, remove the pod's own, or let the template's entry say override: true.";
    PodOptedOut "pod_opted_out" [Skipped]
        "The pod has the label or annotation pillion.dev/inject: disabled (or \"false\")." "Remove it from the pod template, unless it is meant.";
    MirrorPod "mirror_pod" [Skipped]
        "The pod mirrors a static pod of a node, which cannot be changed through the API." "Put the sidecar into the static pod's manifest on the node, e.g. with pillion inject.";
    HostNetwork "host_network" [Skipped, Denied]
        "The pod uses the network of its node, where a sidecar's ports would collide." "Use a template that says hostNetwork: true, or drop hostNetwork from the pod. Where the namespace requires the template the pod is refused, unless the template says hostNetwork: false.";
    UnsupportedOs "unsupported_os" [Skipped, Denied]
        "The pod runs on an operating system that the template is not made for." "Use a template whose os lists the pod's; a pod counts as linux that names no other in spec.os or as kubernetes.io/os in its nodeSelector. Where the namespace requires the template the pod is refused, unless the template writes its os.";
    NoTemplatesRequested "no_templates_requested" [Skipped]
        "Neither the pod nor its namespace names a template, or the pod's list of them is empty." "Set the annotation pillion.dev/templates on the pod template, not on the Deployment around it.";
    TooLarge "too_large" [Denied, Error]
        "The templates would add more than 4096 labels, containers, variables, mounts and so on, or more than 3 MiB; or the pod asks for more than 32 templates; or it asks for any and has more than 256 containers, 131072 fields and list items, 128 levels, or 256 KiB of annotations." "Ask for fewer templates in pillion.dev/templates or for none, let the template's app entries name fewer containers, or make the pod smaller.";
    UnknownTemplate "unknown_template" [Denied, Error]
        "There is no template of that name." "Correct the name in pillion.dev/templates (of the pod or its namespace) or in the namespace's pillion.dev/required-templates, or add the template.";
    UnknownNamespace "unknown_namespace" [Denied, Error]
        "Something depends on the pod's namespace, and this server knows no more than its name." "Look at /readyz?verbose and the server's rights; a server without --watch can only serve templates without namespaceSelector that read no more than namespaceObject.metadata.name.";
    InvalidTemplate "invalid_template" [Denied, Error]
        "The template was refused when it was loaded." "Mend the template; message and log name file, line and field.";
    TemplateNotAllowed "template_not_allowed" [Denied, Error]
        "The template's namespaceSelector leaves this namespace out." "Ask the template's owner to admit the namespace, or use another template.";
    MissingParameter "missing_parameter" [Denied, Error]
        "A parameter that has no default was not given." "Set the annotation <template>.pillion.dev/<parameter> on the pod template or, for all pods, on the namespace.";
    InvalidParameter "invalid_parameter" [Denied, Error]
        "A parameter's value breaks the parameter's rule." "Correct the annotation that the message names.";
    UnknownParameter "unknown_parameter" [Denied, Error]
        "The template has no parameter of that name." "Correct the annotation's name; if one comes near it, the message has it.";
    ParameterNotSettable "parameter_not_settable" [Denied, Error]
        "The template does not let this parameter be set from here." "Remove the annotation, or ask the template's owner (settableBy).";
    GuardFalse "guard_false" [Skipped]
        "The template's own condition, or that of each of its app entries (when), does not hold for this pod." "Nothing to do, or change what the condition asks for.";
    ExpressionFailed "expression_failed" [Denied, Error]
        "An expression of the template could not be evaluated for this pod." "Ask in the expression whether the field is there, with has() or .?.";
    ExpressionLimit "expression_limit" [Denied, Error]
        "An expression of the template would cost too much for this pod, or all of its templates together would." "Let the expression name less of the pod, let app entries name fewer containers, or make the value smaller.";
    Conflict "conflict" [Denied, Error]
        "The pod or another template has something else of the same name, or at the same path." "Rename or move one of the two, list a volume in the template's shares, or drop the template from pillion.dev/templates.";
    InvalidResult "invalid_result" [Denied, Error]
        "The API server would not accept the pod with what the template adds." "Correct the field that the message names, in the template or through its parameter.";
    NotAPod "not_a_pod" [Skipped]
        "The review is about something other than a Pod." "Restrict the webhook's rules to pods.";
    NotACreate "not_a_create" [Skipped]
        "Only pods that are being created can be changed." "Restrict the webhook's rules to the operation CREATE.";
    Subresource "subresource" [Skipped]
        "The review is about a subresource of a pod." "Restrict the webhook's rules to the resource pods.";
    UnsupportedVersion "unsupported_version" [Skipped]
        "The review is not of the version admission.k8s.io/v1." "Set admissionReviewVersions: [v1] in the webhook's configuration.";
    InternalError "internal_error" [Error]
        "Pillion failed on this review, for a fault of its own." "Report it; the server's log says where in the code.";
    MalformedReview "malformed_review" [Error]
        "The request is not an AdmissionReview with a pod in it." "Send what an API server sends.";
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What happens to a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The pod's outcome.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// What, where and what to do, when the pod is refused or something went wrong.
    pub message: Option<String>,
    /// Each template, in the order in which they were asked for.
    pub templates: Vec<TemplateDecision>,
    /// What would have to change for those that could not be applied, as far as that is known.
    pub edits: Vec<Edit>,
    /// For the person who creates the pod: kubectl shows them.
    pub warnings: Vec<Warning>,
    /// The changes, with the annotations that record them.
    pub patch: Patch,
}

impl Decision {
    /// Whether the pod may be created.
    pub fn allowed(&self) -> bool {
        self.outcome != Outcome::Denied
    }
}

/// A change by which a template could be applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edit {
    /// The name by which the template was asked for.
    pub template: String,
    /// The change.
    pub change: Change,
}

/// What is to change in a pod or its namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// An annotation is to have this value.
    Set(Target, String, String),
    /// An annotation is to have a value like this one.
    SetLike(Target, String, String),
    /// An annotation is to be removed.
    Remove(Target, String),
    /// In an annotation's list of templates these are to stand in place of the one that was asked for.
    Rename(Target, &'static str, String),
    /// The namespace is to have a label.
    NamespaceLabel(String, String),
    /// What stands at this place of the pod is to be renamed, moved or corrected: `containers[app].env[MODE]`.
    Place(String),
}

/// Whose annotation is to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// That of the pod.
    Pod,
    /// That of its namespace.
    Namespace,
}

/// Something about a pod that somebody should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// What, where and what to do.
    pub text: String,
    /// Why a template was skipped, if the text is about that.
    pub skipped: Option<Reason>,
}

/// The result of one template.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateDecision {
    /// Its name.
    pub name: TemplateName,
    /// Its outcome.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// What, where and what to do, when it could not be applied.
    pub message: Option<String>,
    /// The result at each place that it speaks of; filled by [`Selection::explain`](crate::Selection::explain) alone.
    pub places: Vec<PlaceDecision>,
}

/// The result of a template at one place of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceDecision {
    /// Where: `containers[app].env[MODE]`.
    pub place: String,
    /// The result there.
    pub effect: Effect,
    /// The rule that decided it.
    pub rule: &'static MergeRule,
}

/// The result of a template at a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It was added.
    Added,
    /// The pod has it, as the template gives it.
    AlreadyThere,
    /// The pod has another value there, which wins.
    NotApplied {
        /// The template that brought that value, if it was not the pod itself.
        of: Option<String>,
    },
    /// It stands in the place of the pod's value.
    Replaced,
}

/// How a part of a pod and the same part of a template become one.
#[derive(Debug, Eq, PartialEq)]
pub struct MergeRule {
    /// Which part.
    pub part: &'static str,
    /// When what the pod has is the same as what the template gives.
    pub same: &'static str,
    /// What happens then.
    pub then: &'static str,
}

/// A JSON Patch (RFC 6902).
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// How many operations it has.
    pub operations: usize,
    /// The patch as JSON: a list of operations.
    pub json: String,
}

impl Patch {
    /// The patch that changes nothing.
    pub fn empty() -> Patch {
        Patch { operations: 0, json: "[]".into() }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_a_sentence_and_a_fix() {
        for reason in Reason::ALL {
            assert!(reason.as_str().chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{reason}");
            assert!(reason.sentence().ends_with('.') && reason.fix().ends_with('.'), "{reason}");
            assert!(!reason.outcomes().is_empty(), "{reason}");
        }
    }
}
