//! Where a pod runs: on its node's network or not, and on which system; and which templates are for that.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::outcome::{Refusal, TemplateOutcome};
use crate::decision::Reason;
use crate::json::{By, Node, View};
use crate::names::OnError;
use crate::template::Template;
use crate::text::shown;

const NODES_OS: &str = "kubernetes.io/os";
const LINUX: Cow<'static, str> = Cow::Borrowed("linux");

static HOST_NETWORK: LazyLock<[String; 2]> = LazyLock::new(|| ["spec", "hostNetwork"].map(str::to_owned));
static OS: LazyLock<[String; 3]> = LazyLock::new(|| ["spec", "os", "name"].map(str::to_owned));
static NODES: LazyLock<[String; 3]> = LazyLock::new(|| ["spec", "nodeSelector", NODES_OS].map(str::to_owned));

/// Where a pod runs.
#[derive(Eq, PartialEq)]
pub(super) struct RunsOn {
    host_network: bool,
    /// The operating system: the pod's own word, or that of the nodes that it asks for, or else Linux. `None` where nobody
    /// asks.
    os: Option<Cow<'static, str>>,
}

impl RunsOn {
    /// As its author has it: a second call sees what the first saw.
    pub(super) fn of_author(tree: &Node<'_>) -> RunsOn {
        let text = |path: &[String]| serde_json::from_str(&tree.find(path)?).ok();
        let os = text(&*OS).or_else(|| text(&*NODES)).map_or(LINUX, |os: String| os.into());
        RunsOn { host_network: tree.find(&*HOST_NETWORK).is_some_and(|value| value == "true"), os: Some(os) }
    }

    /// With what templates brought.
    pub(super) fn of(tree: &Node<'_>) -> RunsOn {
        let spec = tree.view().get("spec").unwrap_or(View::NOTHING);
        let of_nodes = || spec.get("nodeSelector")?.get(NODES_OS)?.string();
        let os = spec.get("os").and_then(|os| os.get("name")?.string()).or_else(of_nodes);
        let os = os.map_or(LINUX, |os| os.into_owned().into());
        RunsOn { host_network: spec.is_true("hostNetwork"), os: Some(os) }
    }

    /// Without what somebody brought.
    pub(super) fn without(self, tree: &Node<'_>, is_theirs: impl Fn(By) -> bool) -> RunsOn {
        let is_brought = |path: &[String]| {
            let mut node = Some(tree);
            path.iter().any(|step| {
                node = node.and_then(|node| node.child(step));
                node.is_some_and(|node| is_theirs(node.by))
            })
        };
        RunsOn {
            host_network: self.host_network && !is_brought(&*HOST_NETWORK),
            os: self.os.filter(|_| !is_brought(&*OS) && !is_brought(&*NODES)),
        }
    }

    /// Why a template is not for pods there, and whether it says so itself.
    fn why_unfit(&self, template: &Template) -> Option<(Reason, bool)> {
        let is_for =
            |os: &str| if template.os.is_empty() { os == LINUX } else { template.os.iter().any(|it| it == os) };
        if self.os.as_ref().is_some_and(|os| !is_for(os)) {
            Some((Reason::UnsupportedOs, !template.os.is_empty()))
        } else if self.host_network && template.host_network != Some(true) {
            Some((Reason::HostNetwork, template.host_network.is_some()))
        } else {
            None
        }
    }

    /// Whether a template is for pods there. One that the namespace requires skips only those that it says it is not for:
    /// else a pod's author could drop it by a field.
    pub(super) fn suits(&self, template: &Template, required: bool) -> Result<(), TemplateOutcome> {
        let Some((reason, is_written)) = self.why_unfit(template) else { return Ok(()) };
        if is_written || !required {
            return Err(TemplateOutcome::Skipped(reason));
        }
        let why = if reason == Reason::HostNetwork {
            "uses its node's network; drop hostNetwork from the pod, or let the template say hostNetwork: true, or false to \
             skip such pods"
                .to_owned()
        } else {
            format!(
                "runs on {}; let the template's os say which systems it is for",
                shown(self.os.as_deref().unwrap_or_default())
            )
        };
        let message = format!("the namespace requires template \"{}\", and the pod {why}", template.name);
        Err(TemplateOutcome::Failed(Refusal::new(reason, message), OnError::Deny))
    }

    /// Whether a template is for where other templates have put the pod.
    pub(super) fn fits(&self, template: &Template) -> Result<(), Refusal> {
        let Some((reason, _)) = self.why_unfit(template) else { return Ok(()) };
        let (place, field) = match reason {
            Reason::HostNetwork => ("on their node's network".to_owned(), "hostNetwork: true"),
            _ => (format!("of {}", shown(self.os.as_deref().unwrap_or_default())), "os"),
        };
        let message = format!(
            "template \"{}\" is not for pods {place}, and another template makes this one such a pod; drop one of the two, or \
             let the first say {field} if it is for such pods",
            template.name
        );
        Err(Refusal::new(Reason::Conflict, message))
    }
}
