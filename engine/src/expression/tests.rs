mod conformance;
mod generated;
mod oracle;

use serde_json::json;
use std::borrow::Cow;

use super::*;

struct Values(serde_json::Value);

impl Variables for Values {
    fn lookup(&self, root: Root, path: &[String]) -> Result<Option<Cow<'_, str>>, Failure> {
        let mut value = self.0.get(root.as_str());
        for name in path {
            value = value.and_then(|value| value.get(name));
        }
        Ok(value.map(|value| Cow::Owned(value.to_string())))
    }

    fn spend(&self, _: usize) -> Result<(), Failure> {
        Ok(())
    }
}

fn scope() -> Scope<'static> {
    let parameters = [
        ("image", Type::String),
        ("port", Type::Int),
        ("hosts", Type::list(Type::Dyn)),
        ("text", Type::String),
        ("labels", Type::map(Type::Dyn)),
    ];
    Scope { parameters: parameters.into_iter().collect(), container: true }
}

fn compile(source: &str) -> Result<Expression, String> {
    Expression::compile(source, &scope())
}

fn refused(source: &str) -> String {
    compile(source).map(|_| ()).expect_err(source)
}

fn values() -> Values {
    Values(json!({
        "params": {"image": "envoy", "port": 80, "hosts": ["b", "a"], "text": "x,y", "labels": {"b": "2", "a": "1"}},
        "pod": {
            "metadata": {"labels": {"app": "web"}, "annotations": {"a/b": "c"}},
            "spec": {"containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]},
                {"name": "log", "image": "log:1"},
            ]},
        },
        "container": {"name": "web", "ports": [{"containerPort": 8080, "name": "http"}]},
    }))
}

fn evaluate(source: &str) -> Result<serde_json::Value, Failure> {
    compile(source).expect(source).evaluate(&values())
}

#[test]
fn integers_are_ints_as_in_kubernetes() {
    assert_eq!(evaluate("params.port + 1"), Ok(json!(81)));
    assert_eq!(evaluate("container.ports[0].containerPort - 8081"), Ok(json!(-1)));
}

#[test]
fn strings_lists_and_quantities_have_kubernetes_functions() {
    assert_eq!(evaluate(r#"strings.quote('a "b" c')"#), Ok(json!(r#""a \"b\" c""#)));
    assert_eq!(evaluate("params.image + ':' + string(params.port)"), Ok(json!("envoy:80")));
    assert_eq!(evaluate("params.text.split(',').join(';')"), Ok(json!("x;y")));
    assert_eq!(evaluate("params.image.upperAscii().replace('EN', 'C')"), Ok(json!("CVOY")));
    assert_eq!(evaluate("params.hosts.map(h, h + '.svc')"), Ok(json!(["b.svc", "a.svc"])));
    assert_eq!(evaluate("params.image.matches('^env')"), Ok(json!(true)));
    assert_eq!(evaluate("quantity('500m').isLessThan(quantity('1'))"), Ok(json!(true)));
}

#[test]
fn what_is_missing_can_be_asked_for() {
    assert_eq!(evaluate("has(pod.spec.hostNetwork)"), Ok(json!(false)));
    assert_eq!(evaluate("has(pod.spec.containers) && !has(pod.spec.os)"), Ok(json!(true)));
    assert_eq!(evaluate("pod.spec.?os.?name.orValue('linux')"), Ok(json!("linux")));
    assert_eq!(evaluate("pod.metadata.?labels.app.orValue('none')"), Ok(json!("web")));
    assert_eq!(evaluate("pod.spec.containers.exists(c, c.?ports.orValue([]).size() == 0)"), Ok(json!(true)));
    assert_eq!(evaluate("pod.spec.?os"), Ok(json!(null)));
    let error = evaluate("pod.spec.os.name").expect_err("there is no os");
    assert_eq!(error.to_string(), "pod.spec.os.name is not set; ask with has() or use .?");
}

#[test]
fn labels_and_annotations_are_reached_by_their_keys() {
    assert_eq!(evaluate("pod.metadata.annotations['a/b']"), Ok(json!("c")));
    assert_eq!(evaluate("'app' in pod.metadata.labels"), Ok(json!(true)));
    assert_eq!(evaluate("pod.metadata.labels.exists(k, k.startsWith('ap'))"), Ok(json!(true)));
    assert_eq!(evaluate("params.labels.map(k, k)"), Ok(json!(["a", "b"])));
    assert_eq!(evaluate("params.labels.map(k, k) == ['a', 'b'] && params.labels.a == '1'"), Ok(json!(true)));
}

#[test]
fn objects_come_out_sorted() {
    assert_eq!(evaluate("params.labels").expect("an object").to_string(), r#"{"a":"1","b":"2"}"#);
}

#[test]
fn values_from_outside_a_comprehension_can_be_compared() {
    assert_eq!(evaluate("pod.spec.containers.exists(c, c.name == container.name)"), Ok(json!(true)));
    assert_eq!(evaluate("pod.spec.containers.filter(c, c.image != params.image).size()"), Ok(json!(2)));
    assert_eq!(
        evaluate("pod.spec.containers.exists(c, has(c.ports) && c.ports.exists(p, p.containerPort > 80))"),
        Ok(json!(true))
    );
}

#[test]
fn a_mistake_is_named_with_the_nearest_right_name() {
    assert_eq!(refused("params.imag"), "parameter imag is not declared; did you mean image?");
    assert_eq!(refused("pods.spec"), "pods is not a variable; did you mean pod?");
    assert_eq!(refused("namespace.metadata.name"), "namespace is a reserved word of CEL and no variable; did you mean namespaceObject?");
    assert_eq!(refused("pod.spec.contaners"), "pod.spec has no field contaners; did you mean containers?");
    assert_eq!(
        refused("params.image.startWith('a')"),
        "startWith() is not a function that templates can use; did you mean startsWith?"
    );
    assert_eq!(refused("params"), "name a parameter: params.NAME");
    assert_eq!(refused("params.image +"), "it ends too early");
    assert_eq!(refused(" "), "it is empty");
    assert_eq!(refused("params.image params.image"), "syntax error: mismatched input 'params'");
    assert!(refused("params.image.matches('(')").starts_with("matches(): "));
    let outside = Expression::compile("container.name", &Scope { parameters: Default::default(), container: false });
    assert_eq!(outside.expect_err("no container"), "container is only known inside app");
}

#[test]
fn what_could_cost_more_than_its_input_is_refused() {
    for source in [
        "pod.spec.containers.all(c, pod.spec.containers.all(d, c != d))",
        "pod.spec.containers.map(c, c.name + params.text)",
        "pod.spec.containers.map(c, params.hosts)",
        "pod.spec.containers.all(c, params.text.contains(c.name))",
        "pod.spec.containers.all(c, c.name in params.hosts)",
        "lists.range(1000000000)",
        "'%.1000000000f'.format([1.0])",
        "Foo{a: 1}",
        "params.image.matches(params.text)",
        "params.image.matches('(a{1000}){1000}')",
        "params.image.replace('', params.text)",
    ] {
        assert!(!refused(source).starts_with("syntax error"), "{source}");
    }
}

#[test]
fn text_that_would_abort_the_parser_is_refused() {
    for source in [
        format!("1{}", "+1".repeat(5_000)),
        format!("1{}", "+1".repeat(500)),
        format!("pod{}", ".a".repeat(500)),
        format!("{}1{}", "(".repeat(400), ")".repeat(400)),
        format!("{}1{}", "[".repeat(400), "]".repeat(400)),
        format!("{}1", "true?1:".repeat(140)),
        format!("{}1{}", "{1:".repeat(200), "}".repeat(200)),
        "(".repeat(1_000),
        "'".into(),
        "\u{0}".into(),
    ] {
        assert!(!refused(&source).is_empty());
    }
    // The parser folds these.
    assert!(compile(&format!("{}true", "!".repeat(1_000))).is_ok());
    assert!(compile(&format!("{}1", "-".repeat(1_000))).is_ok());
}

#[test]
fn a_chain_that_doubles_its_result_is_stopped_before_it_runs() {
    let source = format!("params.hosts{}", ".map(x, x + x)".repeat(30));
    assert!(matches!(evaluate(&source), Err(Failure::Limit(_))));
    let source = format!("params.text{}", ".split('').join('0123456789')".repeat(12));
    assert!(matches!(evaluate(&source), Err(Failure::Limit(_))));
}

#[test]
fn a_giant_input_is_a_limit_and_not_a_hang() {
    let hosts: Vec<_> = (0..6_000).map(|host| host.to_string()).collect();
    let many = Values(json!({"params": {"hosts": hosts, "text": "x".repeat(2 << 20)}}));
    let evaluate = |source: &str| compile(source).expect(source).evaluate(&many);
    assert_eq!(evaluate("params.hosts.exists(h, h == '4999')"), Ok(json!(true)));
    assert_eq!(evaluate("params.hosts.map(h, h).size()"), Ok(json!(6000)));
    assert!(matches!(evaluate(&format!("params.hosts.map(h, [h{}]).size()", ", h".repeat(200))), Err(Failure::Limit(_))));
    assert!(matches!(evaluate("params.hosts.exists(h, h.matches('x'))"), Err(Failure::Limit(_))));
    assert!(matches!(evaluate("params.text.size()"), Err(Failure::Limit(_))));
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    struct Deep(String);
    impl Variables for Deep {
        fn lookup(&self, _: Root, _: &[String]) -> Result<Option<Cow<'_, str>>, Failure> {
            Ok(Some(Cow::Borrowed(&self.0)))
        }

        fn spend(&self, _: usize) -> Result<(), Failure> {
            Ok(())
        }
    }
    let size = compile("size(params.text)").expect("valid");
    assert!(matches!(size.evaluate(&Deep(deep)), Err(Failure::Limit(_))));
}

#[test]
fn it_is_known_when_a_value_is_never_true_or_false() {
    for source in [
        "'true'",
        "1",
        "null",
        "[true]",
        "{'a': true}",
        "params.port + 1",
        "params.hosts",
        "params.hosts.map(h, true)",
        "container.name",
        "pod.metadata.labels",
        "pod.spec.containers[0].image",
        "pod.spec.?os.?name",
        "size(container.ports)",
        "params.text.lowerAscii()",
        "params.text.split(',')",
        "has(pod.spec.os) ? container.name : ''",
    ] {
        assert!(!compile(source).expect(source).kind.can_be_boolean(), "{source}");
    }
    for source in [
        "true",
        "params.text == 'a'",
        "params.hosts[0]",
        "has(pod.spec.os)",
        "pod.spec.hostNetwork",
        "pod.spec.?hostNetwork.orValue(false)",
        "container.livenessProbe.httpGet.port",
        "container.ports.exists(p, p.containerPort == 80)",
        "'a' in params.hosts",
        "params.text.startsWith('a')",
        "params.text.matches('a')",
        "{'a': true}.a",
        "[true][0]",
    ] {
        assert!(compile(source).expect(source).kind.can_be_boolean(), "{source}");
    }
}

#[test]
fn an_error_never_shows_a_value() {
    let error = evaluate("params.hosts[0] + 1").expect_err("a string and a number");
    assert_eq!(error.to_string(), "+ got a value of the wrong type; string(), int() and quantity() convert");
}
