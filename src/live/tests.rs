use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::cluster::status::Standing;
use crate::cluster::templates::{Identity, Resource, TemplateStatus};

/// A resource of this kind, in its first generation. It breaks by `pood`.
fn resource(kind: Kind, name: &str, spec: Value) -> Resource {
    let namespace = (kind == Kind::Namespaced).then(|| "shop".to_owned());
    let document = json!({
        "apiVersion": "pillion.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    let identity = Identity { kind, namespace, name: name.into() };
    Resource { identity, uid: "1".into(), generation: 1, document, status: None }
}

fn good(description: &str) -> Value {
    json!({"description": description, "pod": {"metadata": {"labels": {"a": "b"}}}})
}

fn broken() -> Value {
    json!({"pood": {}, "descripton": ""})
}

fn wide(spec: Value) -> Resource {
    resource(Kind::ClusterWide, "meter", spec)
}

fn own(spec: Value) -> Resource {
    resource(Kind::Namespaced, "meter", spec)
}

fn shadowable(description: &str) -> Value {
    let mut spec = good(description);
    spec["allowShadowing"] = true.into();
    spec
}

impl Resource {
    fn changed(self, generation: i64) -> Resource {
        Resource { generation, ..self }
    }
}

impl Keeper {
    /// A keeper of resources alone, which has seen that there are these.
    fn of(resources: impl IntoIterator<Item = Resource>) -> Keeper {
        Keeper::with(Source::Nowhere, true, resources)
    }

    fn with(source: Source, heeds_namespaced: bool, resources: impl IntoIterator<Item = Resource>) -> Keeper {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut keeper = Keeper::start(source, OnError::Deny, heeds_namespaced, metrics);
        keeper.list(resources);
        keeper
    }

    fn list(&mut self, resources: impl IntoIterator<Item = Resource>) {
        let of_kind = |resource: &Resource| resource.identity.kind == Kind::ClusterWide;
        let (wide, own) = resources.into_iter().partition(of_kind);
        self.heed([Change::Listed(Kind::ClusterWide, wide), Change::Listed(Kind::Namespaced, own)]);
    }

    /// What pods of the namespace get for the name.
    fn gives(&self, namespace: &str) -> String {
        let in_force = self.live().in_force();
        in_force.catalog.template("meter", namespace).map_or("nothing", |it| it.description()).to_owned()
    }

    /// What each resource says of itself.
    fn said(&self) -> Vec<Report> {
        self.reports().borrow().clone()
    }

    fn standings(&self) -> Vec<Standing> {
        self.said().iter().map(|report| report.standing).collect()
    }
}

/// A folder with one template file.
fn folder(text: &str) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("meter.yaml"), text).unwrap();
    let source = Source::Files(vec![folder.path().to_owned()]);
    (folder, source)
}

fn file(resource: Resource) -> String {
    resource.document.to_string()
}

#[test]
fn a_resource_that_is_broken_by_a_change_stays_as_it_last_was_and_says_so() {
    let mut keeper = Keeper::of([wide(good("first"))]);
    let digest = keeper.said()[0].digest.clone().unwrap();
    keeper.heed([Change::Applied(wide(broken()).changed(2))]);
    assert_eq!(keeper.gives("shop"), "first");
    let said = &keeper.said()[0];
    assert_eq!((said.standing, said.generation, &said.digest), (Standing::InvalidTemplate, 2, &Some(digest.clone())));
    assert!(said.message.contains("did you mean pod?"), "{}", said.message);
    assert!(said.message.ends_with(&format!("; what was last good of it, {digest}, stays in force")));

    keeper.heed([Change::Applied(wide(good("mended")).changed(3))]);
    assert_eq!((keeper.gives("shop"), keeper.standings()), ("mended".into(), vec![Standing::Accepted]));
}

#[test]
fn a_resource_that_was_never_good_is_known_to_be_broken() {
    let keeper = Keeper::of([wide(broken())]);
    let said = &keeper.said()[0];
    assert_eq!((said.standing, &said.digest), (Standing::InvalidTemplate, &None));
    assert!(said.message.ends_with("; and 2 more"), "{}", said.message);
    assert_eq!(keeper.live().in_force().problems.len(), 3);
}

#[test]
fn a_resource_that_is_deleted_goes_at_once() {
    let mut keeper = Keeper::of([wide(good("first"))]);
    keeper.heed([Change::Deleted(wide(good("")).identity)]);
    assert_eq!((keeper.gives("shop"), keeper.said().len()), ("nothing".into(), 0));
    keeper.list([wide(good("second"))]);
    assert_eq!(keeper.gives("shop"), "second");
    keeper.list([]);
    assert_eq!((keeper.gives("shop"), keeper.said().len()), ("nothing".into(), 0));
}

#[test]
fn a_resource_that_is_made_again_has_nothing_of_the_one_before() {
    let mut keeper = Keeper::of([wide(good("first"))]);
    keeper.list([Resource { uid: "2".into(), ..wide(broken()) }]);
    assert_eq!((keeper.gives("shop"), keeper.said()[0].uid.as_str()), ("nothing".into(), "2"));
}

#[test]
fn a_status_that_comes_back_changes_nothing_but_what_is_known_of_it() {
    let mut keeper = Keeper::of([wide(good("first"))]);
    let before = keeper.live().in_force();
    let status = TemplateStatus { observed_generation: Some(1), ..TemplateStatus::default() };
    keeper.heed([Change::Applied(Resource { status: Some(status.clone()), ..wide(good("first")) })]);
    assert!(Arc::ptr_eq(&before, &keeper.live().in_force()));
    assert_eq!(keeper.said()[0].written, Some(status));
}

#[test]
fn a_namespaces_own_template_is_shadowed_unless_the_cluster_wide_one_allows_it() {
    let mut keeper = Keeper::of([wide(good("wide")), own(good("own"))]);
    assert_eq!((keeper.gives("shop"), keeper.gives("bank")), ("wide".into(), "wide".into()));
    assert_eq!(keeper.standings(), [Standing::Accepted, Standing::Shadowed]);
    assert_eq!(keeper.said()[1].digest, None);

    keeper.heed([Change::Applied(wide(shadowable("wide")).changed(2))]);
    assert_eq!((keeper.gives("shop"), keeper.gives("bank")), ("own".into(), "wide".into()));
    assert_eq!(keeper.standings(), [Standing::Accepted, Standing::Accepted]);
    assert_eq!(keeper.said()[0].message, "in force, except where a namespace has its own (shop)");

    keeper.heed([Change::Deleted(wide(good("")).identity)]);
    assert_eq!((keeper.gives("shop"), keeper.gives("bank")), ("own".into(), "nothing".into()));
}

#[test]
fn a_broken_cluster_wide_template_shadows_too() {
    let keeper = Keeper::of([wide(broken()), own(good("own"))]);
    assert_eq!(keeper.gives("shop"), "nothing");
    assert_eq!(keeper.standings(), [Standing::InvalidTemplate, Standing::Shadowed]);
}

#[test]
fn what_was_last_good_of_a_shadowed_template_is_not_said_to_be_in_force() {
    let mut keeper = Keeper::of([wide(good("wide")), own(good("own"))]);
    keeper.heed([Change::Applied(own(broken()).changed(2))]);
    let said = &keeper.said()[1];
    assert_eq!((said.standing, &said.digest), (Standing::InvalidTemplate, &None));
    assert!(!said.message.contains("stays in force"), "{}", said.message);
}

#[test]
fn a_file_goes_before_a_resource_of_its_name_and_namespace() {
    let (_folder, source) = folder(&file(wide(good("file"))));
    let keeper = Keeper::with(source, true, [wide(good("resource"))]);
    assert_eq!((keeper.gives("shop"), keeper.standings()), ("file".into(), vec![Standing::FileTakesPrecedence]));

    let (_folder, source) = folder(&file(own(good("file"))));
    let keeper = Keeper::with(source, true, [own(good("resource"))]);
    assert_eq!((keeper.gives("shop"), keeper.standings()), ("file".into(), vec![Standing::FileTakesPrecedence]));
}

#[test]
fn a_file_goes_before_a_resource_even_while_it_is_broken() {
    let (_folder, source) = folder(&file(own(broken())));
    let keeper = Keeper::with(source, true, [own(good("resource"))]);
    assert_eq!((keeper.gives("shop"), keeper.standings()), ("nothing".into(), vec![Standing::FileTakesPrecedence]));
}

#[test]
fn a_resource_takes_over_when_the_file_of_its_name_is_gone() {
    let (folder, source) = folder(&file(wide(good("file"))));
    let mut keeper = Keeper::with(source, true, [wide(good("resource"))]);
    fs::remove_file(folder.path().join("meter.yaml")).unwrap();
    keeper.poll();
    assert_eq!((keeper.gives("shop"), keeper.standings()), ("resource".into(), vec![Standing::Accepted]));
}

#[test]
fn templates_of_namespaces_can_be_switched_off() {
    let keeper = Keeper::with(Source::Nowhere, false, [own(good("own")), wide(shadowable("wide"))]);
    assert_eq!(keeper.gives("shop"), "wide");
    assert_eq!(keeper.standings(), [Standing::Accepted, Standing::NamespacedTemplatesDisabled]);
    assert_eq!(keeper.said()[0].message, "in force");

    let keeper = Keeper::with(Source::Nowhere, false, [own(broken())]);
    assert_eq!(keeper.live().in_force().problems, [""; 0]);
}

#[test]
fn nothing_is_said_until_both_kinds_have_been_listed() {
    let mut keeper = Keeper::start(Source::Nowhere, OnError::Deny, true, Arc::new(Metrics::new().unwrap()));
    keeper.heed([Change::Listed(Kind::Namespaced, vec![own(good("own"))])]);
    assert_eq!((keeper.gives("shop"), keeper.said().len()), ("own".into(), 0));
    keeper.heed([Change::Listed(Kind::ClusterWide, vec![])]);
    assert_eq!(keeper.standings(), [Standing::Accepted]);
}

#[test]
fn a_review_can_have_resources_that_the_catalog_lacks() {
    let keeper = Keeper::of([]);
    let in_force = keeper.live().in_force();
    let catalog = in_force.with([wide(good("wide")), own(good("own"))].map(MissingTemplate::read).into());
    assert_eq!(catalog.template("meter", "shop").map(|it| it.description()), Some("wide"));
    let catalog = in_force.with([wide(broken()), own(good("own"))].map(MissingTemplate::read).into());
    assert_eq!(catalog.template("meter", "shop").map(|it| it.name()), None);
    assert_eq!(keeper.gives("shop"), "nothing");
}
