use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::*;

/// A cluster of which nothing is cached. Its API server has these objects by path, and answers for all others that they
/// are not there, unless their path contains `broken`.
fn cluster<const N: usize>(objects: [(&'static str, Value); N]) -> Arc<Cluster> {
    let app = Router::new().fallback(async move |request: Request| {
        let path = request.uri().path();
        match objects.iter().find(|(known, _)| *known == path) {
            Some((_, Value::Null)) => std::future::pending().await,
            Some((_, object)) => (StatusCode::OK, object.to_string()).into_response(),
            None => {
                let (code, reason) = if path.contains("broken") { (500, "InternalError") } else { (404, "NotFound") };
                let status = json!({"status": "Failure", "code": code, "message": "it is so", "reason": reason});
                (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
            }
        }
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    Arc::new(Cluster {
        client: Client::new(app, "default"),
        namespaces: Namespaces::default(),
        watches: Vec::new(),
        namespace_lookups: Lookups::new("namespaces", Arc::clone(&metrics)),
        template_lookups: TemplateKind::ALL.map(|kind| Lookups::new(kind.plural(), Arc::clone(&metrics))),
        metrics,
    })
}

fn template(kind: TemplateKind, namespace: Option<&str>) -> Value {
    json!({"apiVersion": "pillion.dev/v1alpha1", "kind": kind.as_str(),
           "metadata": {"name": "meter", "namespace": namespace, "uid": "1", "generation": 1}, "spec": {}})
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(2)
}

const WIDE: &str = "/apis/pillion.dev/v1alpha1/clusterinjectiontemplates/meter";
const OWN: &str = "/apis/pillion.dev/v1alpha1/namespaces/shop/injectiontemplates/meter";

/// What is found of the templates `meter` and `timer` for pods of `shop`.
async fn found(cluster: &Cluster, kinds: &[TemplateKind]) -> Vec<String> {
    let names = ["meter", "timer"].map(|name| name.parse().unwrap());
    let found = cluster.templates(kinds, &names, "shop", soon()).await;
    found.iter().map(|resource| resource.identity.to_string()).collect()
}

#[tokio::test]
async fn a_template_that_the_caches_lack_is_looked_up_in_each_kind_that_is_in_use() {
    let wide = template(TemplateKind::ClusterWide, None);
    let cluster = cluster([(WIDE, wide), (OWN, template(TemplateKind::Namespaced, Some("shop")))]);
    assert_eq!(
        found(&cluster, &TemplateKind::ALL).await,
        ["ClusterInjectionTemplate meter", "InjectionTemplate shop/meter"]
    );
    assert_eq!(found(&cluster, &[TemplateKind::ClusterWide]).await, ["ClusterInjectionTemplate meter"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespaces_own_template_is_not_used_while_it_is_unknown_whether_another_takes_precedence() {
    let cluster = cluster([(WIDE, Value::Null), (OWN, template(TemplateKind::Namespaced, Some("shop")))]);
    assert_eq!(found(&cluster, &TemplateKind::ALL).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_the_cache_lacks_is_looked_up_within_bounds() {
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}});
    let cluster = cluster([("/api/v1/namespaces/shop", shop), ("/api/v1/namespaces/silent", Value::Null)]);
    for (name, what) in [
        ("shop", "Known("),
        ("absent", "Unavailable(\"namespace absent was not found"),
        ("broken", "could not be looked up: it is so"),
        ("silent", "could not be looked up: the API server did not answer in time"),
    ] {
        let namespace = format!("{:?}", cluster.namespace(name, soon()).await);
        assert!(namespace.contains(what), "{namespace}");
    }
    // A lookup is given up a moment after the last review that waits for it.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let metrics = cluster.metrics.text().unwrap();
    assert!(metrics.contains("pillion_lookups_total{resource=\"namespaces\",result=\"failed\"} 2\n"), "{metrics}");
}
