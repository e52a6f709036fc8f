//! The two kinds of template resources, as the API server has them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube::core::{ApiResource, DynamicObject};
use pillion_engine::load;
use pillion_engine::template::Template;
use pillion_engine::yaml::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A kind of template resource.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum TemplateKind {
    /// `ClusterInjectionTemplate`: in every namespace.
    ClusterWide,
    /// `InjectionTemplate`: in its own namespace.
    Namespaced,
}

impl TemplateKind {
    /// Both.
    pub(crate) const ALL: [TemplateKind; 2] = [TemplateKind::ClusterWide, TemplateKind::Namespaced];

    /// Its name, as in a manifest.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TemplateKind::ClusterWide => "ClusterInjectionTemplate",
            TemplateKind::Namespaced => "InjectionTemplate",
        }
    }

    /// Its name in a URL.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            TemplateKind::ClusterWide => "clusterinjectiontemplates",
            TemplateKind::Namespaced => "injectiontemplates",
        }
    }

    /// How the API server serves it.
    pub(crate) fn resource(self) -> ApiResource {
        ApiResource {
            group: "pillion.dev".into(),
            version: "v1alpha1".into(),
            api_version: "pillion.dev/v1alpha1".into(),
            kind: self.as_str().into(),
            plural: self.plural().into(),
        }
    }
}

/// Which template resource it is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Identity {
    pub(crate) kind: TemplateKind,
    /// Nothing for a cluster-wide one.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Identity { kind, namespace, name } = self;
        match namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{name}", kind.as_str()),
            None => write!(formatter, "{} {name}", kind.as_str()),
        }
    }
}

/// A template resource at one moment.
#[derive(Clone, Debug)]
pub(crate) struct TemplateResource {
    pub(crate) identity: Identity,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// The document as it would be in a file, without what the API server added to it.
    pub(crate) document: Value,
    /// Its status, if that can be read.
    pub(crate) status: Option<TemplateStatus>,
}

impl TemplateResource {
    /// Reads what the API server sent. The engine reads what `spec` holds.
    pub(crate) fn of(kind: TemplateKind, mut object: DynamicObject) -> TemplateResource {
        let metadata = object.metadata;
        let (name, namespace) = (metadata.name.unwrap_or_default(), metadata.namespace);
        let document = json!({
            "apiVersion": kind.resource().api_version,
            "kind": kind.as_str(),
            "metadata": {"name": name, "namespace": namespace},
            "spec": object.data["spec"].take(),
        });
        TemplateResource {
            identity: Identity { kind, namespace, name },
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            document,
            status: serde_json::from_value(object.data["status"].take()).ok(),
        }
    }
}

/// The status of a template.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateStatus {
    /// The generation that this is about.
    pub(crate) observed_generation: Option<i64>,
    /// What changes whenever the template in force does; pods that were injected carry it, joined with their parameters.
    pub(crate) digest: Option<String>,
    /// One condition, Accepted: whether the template is in force as it stands here.
    #[cfg_attr(test, schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])))]
    pub(crate) conditions: Option<Vec<Condition>>,
}

/// A condition, as Kubernetes' conventions have it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// The type of the condition.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// True or False.
    pub(crate) status: String,
    /// Accepted, InvalidTemplate, Shadowed, FileTakesPrecedence or NamespacedTemplatesDisabled.
    pub(crate) reason: String,
    /// What is wrong first, where and what to do, for people.
    pub(crate) message: String,
    /// The generation that this is about.
    pub(crate) observed_generation: Option<i64>,
    /// When status last changed.
    pub(crate) last_transition_time: Option<String>,
}

/// Reads a template resource, in the same way as a file.
///
/// # Errors
///
/// With everything that is wrong with it.
pub(crate) fn read(identity: &Identity, document: Value) -> Result<Arc<Template>, Vec<String>> {
    let parse = || load::parse(&Node::from(document), &identity.to_string());
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(template)) => Ok(Arc::new(template)),
        Ok(Err(refused)) => Err(refused.problems.iter().map(ToString::to_string).collect()),
        // The other templates must not suffer from it. The place is in the log.
        Err(_) => Err(vec![format!("{identity}: reading it failed, which is a bug in pillion; please report it")]),
    }
}

/// A template that the API server has, and the catalog in force lacks.
#[derive(Clone, Debug)]
pub(crate) struct MissingTemplate {
    pub(crate) identity: Identity,
    /// The template, or the first thing that is wrong with it.
    pub(crate) template: Result<Arc<Template>, String>,
}

impl MissingTemplate {
    /// Reads what the API server has.
    pub(crate) fn read(resource: TemplateResource) -> MissingTemplate {
        let TemplateResource { identity, document, .. } = resource;
        let template = read(&identity, document).map_err(|problems| problems.into_iter().next().unwrap_or_default());
        MissingTemplate { identity, template }
    }
}

/// A change of the template resources.
pub(crate) enum TemplateChange {
    /// These are all there are.
    Listed(TemplateKind, Vec<TemplateResource>),
    /// This one is new, or was changed.
    Applied(TemplateResource),
    /// This one is gone.
    Deleted(Identity),
}
