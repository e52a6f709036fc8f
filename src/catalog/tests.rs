use std::fs;

use pillion_engine::template::OnError;
use serde_json::{Value, json};

use super::*;
use crate::cluster::status::Acceptance;
use crate::cluster::templates::{Identity, TemplateResource, TemplateStatus};

/// A resource of this kind, in its first generation. It breaks by `pood`.
fn resource(kind: TemplateKind, name: &str, spec: Value) -> TemplateResource {
    let namespace = (kind == TemplateKind::Namespaced).then(|| "shop".to_owned());
    let document = json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    let identity = Identity { kind, namespace, name: name.into() };
    TemplateResource { identity, uid: "1".into(), generation: 1, document, status: None }
}

fn good(description: &str) -> Value {
    json!({"description": description, "pod": {"metadata": {"labels": {"a": "b"}}}})
}

fn broken() -> Value {
    json!({"pood": {}, "descripton": ""})
}

fn wide(spec: Value) -> TemplateResource {
    resource(TemplateKind::ClusterWide, "meter", spec)
}

fn own(spec: Value) -> TemplateResource {
    resource(TemplateKind::Namespaced, "meter", spec)
}

fn shadowable(description: &str) -> Value {
    let mut spec = good(description);
    spec["allowShadowing"] = true.into();
    spec
}

impl TemplateResource {
    fn changed(self, generation: i64) -> TemplateResource {
        TemplateResource { generation, ..self }
    }
}

impl Reloader {
    /// A reloader of resources alone, which has seen that there are these.
    fn of(resources: impl IntoIterator<Item = TemplateResource>) -> Reloader {
        Reloader::with(Source::Nowhere, true, resources)
    }

    fn with(
        source: Source,
        namespaced_templates: bool,
        resources: impl IntoIterator<Item = TemplateResource>,
    ) -> Reloader {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut reloader = Reloader::start(source, Catalog::new(OnError::Deny), namespaced_templates, metrics);
        reloader.list(resources);
        reloader
    }

    fn list(&mut self, resources: impl IntoIterator<Item = TemplateResource>) {
        let of_kind = |resource: &TemplateResource| resource.identity.kind == TemplateKind::ClusterWide;
        let (wide, own) = resources.into_iter().partition(of_kind);
        self.apply([
            TemplateChange::Listed(TemplateKind::ClusterWide, wide),
            TemplateChange::Listed(TemplateKind::Namespaced, own),
        ]);
    }

    /// What pods of the namespace get for the name.
    fn gives(&self, namespace: &str) -> String {
        let in_force = self.catalog().snapshot();
        in_force.catalog.template("meter", namespace).map_or("nothing", |it| &it.description).to_owned()
    }

    /// The status that each resource should have.
    fn statuses(&self) -> Vec<DesiredStatus> {
        self.desired_statuses().borrow().clone()
    }

    fn acceptances(&self) -> Vec<Acceptance> {
        self.statuses().iter().map(|status| status.acceptance).collect()
    }
}

/// A folder with one template file.
fn folder(text: &str) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("meter.yaml"), text).unwrap();
    let source = Source::Files(vec![folder.path().to_owned()]);
    (folder, source)
}

fn file(resource: TemplateResource) -> String {
    resource.document.to_string()
}

#[test]
fn a_resource_that_a_change_breaks_keeps_its_last_known_good_version_and_says_so_in_its_status() {
    let mut reloader = Reloader::of([wide(good("first"))]);
    let digest = reloader.statuses()[0].digest.clone().unwrap();
    reloader.apply([TemplateChange::Applied(wide(broken()).changed(2))]);
    assert_eq!(reloader.gives("shop"), "first");
    let status = &reloader.statuses()[0];
    assert_eq!(
        (status.acceptance, status.generation, &status.digest),
        (Acceptance::InvalidTemplate, 2, &Some(digest.clone()))
    );
    assert!(status.message.contains("did you mean pod?"), "{}", status.message);
    assert!(status.message.ends_with(&format!("; the last known good version, {digest}, is kept")));

    reloader.apply([TemplateChange::Applied(wide(good("mended")).changed(3))]);
    assert_eq!((reloader.gives("shop"), reloader.acceptances()), ("mended".into(), vec![Acceptance::Accepted]));
}

#[test]
fn a_resource_that_was_never_good_is_known_to_be_broken() {
    let reloader = Reloader::of([wide(broken())]);
    let status = &reloader.statuses()[0];
    assert_eq!((status.acceptance, &status.digest), (Acceptance::InvalidTemplate, &None));
    assert!(status.message.ends_with("; and 2 more"), "{}", status.message);
    assert_eq!(reloader.catalog().snapshot().problems.len(), 3);
}

#[test]
fn a_resource_that_is_deleted_goes_at_once() {
    let mut reloader = Reloader::of([wide(good("first"))]);
    reloader.apply([TemplateChange::Deleted(wide(good("")).identity)]);
    assert_eq!((reloader.gives("shop"), reloader.statuses().len()), ("nothing".into(), 0));
    reloader.list([wide(good("second"))]);
    assert_eq!(reloader.gives("shop"), "second");
    reloader.list([]);
    assert_eq!((reloader.gives("shop"), reloader.statuses().len()), ("nothing".into(), 0));
}

#[test]
fn a_resource_that_is_deleted_and_created_again_has_nothing_of_the_one_before() {
    let mut reloader = Reloader::of([wide(good("first"))]);
    reloader.list([TemplateResource { uid: "2".into(), ..wide(broken()) }]);
    assert_eq!((reloader.gives("shop"), reloader.statuses()[0].uid.as_str()), ("nothing".into(), "2"));
}

#[test]
fn a_status_that_comes_back_changes_no_template() {
    let mut reloader = Reloader::of([wide(good("first"))]);
    let before = reloader.catalog().snapshot();
    let status = TemplateStatus { observed_generation: Some(1), ..TemplateStatus::default() };
    reloader.apply([TemplateChange::Applied(TemplateResource { status: Some(status.clone()), ..wide(good("first")) })]);
    assert!(Arc::ptr_eq(&before, &reloader.catalog().snapshot()));
    assert_eq!(reloader.statuses()[0].written, Some(status));
}

#[test]
fn a_namespaces_own_template_is_shadowed_unless_the_cluster_wide_one_allows_it() {
    let mut reloader = Reloader::of([wide(good("wide")), own(good("own"))]);
    assert_eq!((reloader.gives("shop"), reloader.gives("bank")), ("wide".into(), "wide".into()));
    assert_eq!(reloader.acceptances(), [Acceptance::Accepted, Acceptance::Shadowed]);
    assert_eq!(reloader.statuses()[1].digest, None);

    reloader.apply([TemplateChange::Applied(wide(shadowable("wide")).changed(2))]);
    assert_eq!((reloader.gives("shop"), reloader.gives("bank")), ("own".into(), "wide".into()));
    assert_eq!(reloader.acceptances(), [Acceptance::Accepted, Acceptance::Accepted]);
    assert_eq!(reloader.statuses()[0].message, "in force, except where a namespace has its own (shop)");

    reloader.apply([TemplateChange::Deleted(wide(good("")).identity)]);
    assert_eq!((reloader.gives("shop"), reloader.gives("bank")), ("own".into(), "nothing".into()));
}

#[test]
fn a_broken_cluster_wide_template_shadows_too() {
    let reloader = Reloader::of([wide(broken()), own(good("own"))]);
    assert_eq!(reloader.gives("shop"), "nothing");
    assert_eq!(reloader.acceptances(), [Acceptance::InvalidTemplate, Acceptance::Shadowed]);
}

#[test]
fn the_status_of_a_broken_shadowed_template_does_not_name_a_last_known_good_version() {
    let mut reloader = Reloader::of([wide(good("wide")), own(good("own"))]);
    reloader.apply([TemplateChange::Applied(own(broken()).changed(2))]);
    let status = &reloader.statuses()[1];
    assert_eq!((status.acceptance, &status.digest), (Acceptance::InvalidTemplate, &None));
    assert!(!status.message.contains("last known good"), "{}", status.message);
}

#[test]
fn a_file_takes_precedence_over_a_resource_of_its_name_and_namespace() {
    let (_folder, source) = folder(&file(wide(good("file"))));
    let reloader = Reloader::with(source, true, [wide(good("resource"))]);
    assert_eq!(
        (reloader.gives("shop"), reloader.acceptances()),
        ("file".into(), vec![Acceptance::FileTakesPrecedence])
    );

    let (_folder, source) = folder(&file(own(good("file"))));
    let reloader = Reloader::with(source, true, [own(good("resource"))]);
    assert_eq!(
        (reloader.gives("shop"), reloader.acceptances()),
        ("file".into(), vec![Acceptance::FileTakesPrecedence])
    );
}

#[test]
fn a_file_takes_precedence_over_a_resource_even_while_it_is_broken() {
    let (_folder, source) = folder(&file(own(broken())));
    let reloader = Reloader::with(source, true, [own(good("resource"))]);
    assert_eq!(
        (reloader.gives("shop"), reloader.acceptances()),
        ("nothing".into(), vec![Acceptance::FileTakesPrecedence])
    );
}

#[test]
fn a_resource_takes_over_when_the_file_of_its_name_is_gone() {
    let (folder, source) = folder(&file(wide(good("file"))));
    let mut reloader = Reloader::with(source, true, [wide(good("resource"))]);
    fs::remove_file(folder.path().join("meter.yaml")).unwrap();
    reloader.poll();
    assert_eq!((reloader.gives("shop"), reloader.acceptances()), ("resource".into(), vec![Acceptance::Accepted]));
}

#[test]
fn templates_of_namespaces_can_be_switched_off() {
    let reloader = Reloader::with(Source::Nowhere, false, [own(good("own")), wide(shadowable("wide"))]);
    assert_eq!(reloader.gives("shop"), "wide");
    assert_eq!(reloader.acceptances(), [Acceptance::Accepted, Acceptance::NamespacedTemplatesDisabled]);
    assert_eq!(reloader.statuses()[0].message, "in force");

    let reloader = Reloader::with(Source::Nowhere, false, [own(broken())]);
    assert_eq!(reloader.catalog().snapshot().problems, [""; 0]);
}

#[test]
fn there_is_no_status_until_both_kinds_have_been_listed() {
    let mut reloader =
        Reloader::start(Source::Nowhere, Catalog::new(OnError::Deny), true, Arc::new(Metrics::new().unwrap()));
    reloader.apply([TemplateChange::Listed(TemplateKind::Namespaced, vec![own(good("own"))])]);
    assert_eq!((reloader.gives("shop"), reloader.statuses().len()), ("own".into(), 0));
    reloader.apply([TemplateChange::Listed(TemplateKind::ClusterWide, vec![])]);
    assert_eq!(reloader.acceptances(), [Acceptance::Accepted]);
}

#[test]
fn a_review_can_have_resources_that_the_catalog_lacks() {
    let reloader = Reloader::of([]);
    let in_force = reloader.catalog().snapshot();
    let catalog = in_force.with([wide(good("wide")), own(good("own"))].map(MissingTemplate::read).into());
    assert_eq!(catalog.template("meter", "shop").map(|it| it.description.as_str()), Some("wide"));
    let catalog = in_force.with([wide(broken()), own(good("own"))].map(MissingTemplate::read).into());
    assert_eq!(catalog.template("meter", "shop").map(|it| &it.name), None);
    assert_eq!(reloader.gives("shop"), "nothing");
}
