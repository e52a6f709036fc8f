mod conformance;
mod generated;
mod oracle;
mod writer;

use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeSet;

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
        ("ratio", Type::Double),
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
    assert_eq!(
        refused("namespace.metadata.name"),
        "namespace is a reserved word of CEL and no variable; did you mean namespaceObject?"
    );
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
        format!("r'\\'{}1{}'", "+(".repeat(200), ")".repeat(200)),
        format!("'''\"'''{}1{}\"", "+(".repeat(200), ")".repeat(200)),
        format!("// '\n{}1{}", "(".repeat(400), ")".repeat(400)),
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
    assert!(matches!(
        evaluate(&format!("params.hosts.map(h, [h{}]).size()", ", h".repeat(200))),
        Err(Failure::Limit(_))
    ));
    assert_eq!(evaluate("params.hosts.exists(h, h.matches('x'))"), Ok(json!(false)));
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

#[test]
fn the_documented_functions_are_those_that_exist() {
    let docs = include_str!("../../../docs/templates.md");
    let (_, docs) = docs.split_once("Besides the operators of CEL").expect("the section is there");
    let (docs, _) = docs.split_once("| Wanted |").expect("a table follows");
    let named: BTreeSet<&str> = docs.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches("()")).collect();
    let named: BTreeSet<_> =
        named.into_iter().filter(|name| name.starts_with(|it: char| it.is_alphabetic()) && *name != "in").collect();
    let exist = functions::names()
        .chain(source::MACROS.iter().copied())
        .filter(|name| name.starts_with(|it: char| it.is_alphabetic()));
    assert_eq!(named, exist.collect());
    assert_eq!(named, generated::FUNCTIONS.iter().copied().collect());
}

#[test]
fn the_recipes_of_the_documentation_give_what_they_are_for() {
    let docs = include_str!("../../../docs/templates.md");
    let recipe = |wanted: &str| {
        let line = docs.lines().find(|line| line.starts_with(&format!("| {wanted}"))).expect(wanted);
        line.split('`').nth(1).expect("an expression").to_owned()
    };
    let cpu = recipe("A tenth of the app's CPU");
    for (requested, given) in
        [("350m", "50m"), ("1", "100m"), ("1.5", "150m"), ("1540m", "150m"), ("1560m", "160m"), ("7", "700m")]
    {
        let container = json!({"container": {"resources": {"requests": {"cpu": requested}}}});
        assert_eq!(compile(&cpu).expect(&cpu).evaluate(&Values(container)), Ok(json!(given)), "{requested}");
    }
    assert_eq!(compile(&cpu).expect(&cpu).evaluate(&Values(json!({"container": {}}))), Ok(json!("50m")));
    assert_eq!(evaluate(&recipe("The ports of all containers")), Ok(json!("8080")));
    assert_eq!(evaluate(&recipe("A label, if it is there")), Ok(json!("none")));
}

#[test]
fn types_are_checked_when_it_is_loaded() {
    for (source, problem) in [
        ("pod.metadata.name + 1", "+ does not take string and int; string(), int() and double() convert"),
        ("container.name * 2", "* does not take string and int; string(), int() and double() convert"),
        ("namespaceObject.metadata.name - 1", "- does not take string and int; string(), int() and double() convert"),
        (
            "[8080, 9090].join(',')",
            "join() takes a list of strings, and not list(int); write .map(item, string(item)).join(…)",
        ),
        (
            "container.ports.map(p, p.containerPort).join()",
            "join() takes a list of strings, and not list(int); write .map(item, string(item)).join(…)",
        ),
        (
            "params.ratio == 1",
            "== compares values of one type, and not double and int; write 1.0 for 1, or convert with double() or int()",
        ),
        ("[1, 2.0]", "a list holds values of one type, and not int and double; string() and double() convert"),
        (
            "pod.metadata.labels.team == 1",
            "== compares values of one type, and not string and int; string() and int() convert",
        ),
        (
            "has(pod.spec.os) ? 1 : 'a'",
            "both sides of ?: give values of one type or null, and not int and string; string() and double() convert",
        ),
        ("pod.spec.containers.filter(c, c.name)", "filter() needs true or false, and not a string"),
        ("pod['spec']", "a Pod has fields and no keys; write .field or .?field"),
        (
            "container.name.all(c, true)",
            "all() needs a list, or an object whose keys it goes through, and not a string",
        ),
        ("container.?ports.map(p, p)", "map() needs a list, and not an optional one; write .orValue([])"),
        ("pod.spec.containers.map(c, c.nam)", "c has no field nam; did you mean name?"),
        ("duration('90')", "duration() got no duration such as 90s or 1h30m"),
        ("'%d'.format(['a'])", "format() cannot write a string as %d"),
        ("1u + 1u", "a pod knows no unsigned numbers; write 1"),
        ("timestamp('2020-01-01T00:00:00Z')", "timestamp() is not a function that templates can use"),
        ("uint(1)", "uint() is not a function that templates can use; did you mean int?"),
        ("params.hosts.all(i, h, true)", "all() goes through a list with one name for the item: list.all(item, …)"),
        (
            "pod.spec.containers.map(c, c.name + params.text)",
            "inside a comprehension params.text comes from outside of it and can only be compared, as in item.name == \
             params.text; use it before or behind the comprehension",
        ),
        (
            "pod.spec.containers.map(c, params.hosts.map(h, h))",
            "a comprehension inside another can only go through the item at hand and what is in it, and not through \
             params.hosts",
        ),
    ] {
        assert_eq!(refused(source), problem, "{source}");
    }
}

#[test]
fn numbers_are_doubles_whatever_their_text() {
    for written in [json!(1), json!(1.0)] {
        let values = Values(json!({"params": {"ratio": written}}));
        let evaluate = |source: &str| compile(source).expect(source).evaluate(&values);
        assert_eq!(evaluate("params.ratio == 1.0 && params.ratio > 0.5 && params.ratio < 2"), Ok(json!(true)));
        assert_eq!(evaluate("string(params.ratio)"), Ok(json!("1")));
        assert_eq!(evaluate("params.ratio"), Ok(json!(1)));
    }
    let large = Values(json!({"params": {"ratio": 18_446_744_073_709_551_615_u64}}));
    assert_eq!(compile("params.ratio > 1.8e19").expect("valid").evaluate(&large), Ok(json!(true)));
}

#[test]
fn lists_of_lists_can_be_gone_through() {
    assert_eq!(evaluate("container.?env.orValue([]).filter(e, e.name == 'A').size()"), Ok(json!(0)));
    let ports = "pod.spec.containers.map(c, c.?ports.orValue([]).map(p, string(p.containerPort)).join('+')).join(',')";
    assert_eq!(evaluate(ports), Ok(json!("8080,")));
}

#[test]
fn what_is_missing_is_named_with_the_item_at_hand() {
    let failed = |source: &str| evaluate(source).expect_err(source).to_string();
    assert_eq!(
        failed("pod.spec.containers.map(c, c.ports[0].containerPort)"),
        "c.ports is not there; ask with has() or use .?, in pod.spec.containers[1], log"
    );
    assert_eq!(
        failed("pod.metadata.name"),
        "pod.metadata.name is not set: the pods of workloads have no name yet when they are injected; read generateName, or \
         give the container a variable with valueFrom.fieldRef.fieldPath metadata.name"
    );
    assert_eq!(failed("params.labels.c"), "params.labels.c is not there; ask with has() or use .?");
    assert_eq!(
        failed("pod.metadata.annotations['x/y']"),
        "pod.metadata.annotations['x/y'] is not set; ask with has() or use .?"
    );
    assert_eq!(
        failed("container.ports[3].name"),
        "container.ports[3] is not there: the list has 1 item; ask with size() or [?…]"
    );
    // What is in a parameter may be secret.
    assert!(!failed("params.hosts.map(h, h.name)").contains("in params"));
}

#[test]
fn whatever_a_source_holds_it_is_refused_or_right() {
    for source in [
        "x".repeat(64 << 10),
        format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        "\u{0}".into(),
        r"'\ud800'".into(),
        r"'\udfff' + '\ud83d'".into(),
        "9223372036854775808".into(),
        "-9223372036854775809".into(),
        "0x8000000000000000".into(),
        "'a'.matches('((((a*)*)*)*)*b{1000}{1000}')".into(),
        "'a'.matches('(((a{30}){30}){30}){30}')".into(),
        "'a'.matches('[a')".into(),
        "`a`".into(),
        "'a' 'b'".into(),
        "{}{}".into(),
        "?a".into(),
    ] {
        assert!(!refused(&source).is_empty());
    }
    assert_eq!(evaluate(r"'\u0000\x41\101\U0001f600'"), Ok(json!("\u{0}AA\u{1f600}")));
    assert_eq!(evaluate("-9223372036854775808"), Ok(json!(i64::MIN)));
    assert_eq!(evaluate("'''a\nb''' + r'\\' + \"'\""), Ok(json!("a\nb\\'")));
}

#[test]
fn whatever_it_would_build_or_do_is_counted() {
    let ones = format!("[1{}]", ",1".repeat(28));
    let nested = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .rev()
        .fold("true".to_owned(), |body, item| format!("{ones}.all({item}, {body})"));
    for source in [
        format!("'aaaaaaaa'{}.size()", ".replace('a', 'aaaaaaaa')".repeat(10)),
        format!("optional.of(1){}", ".optMap(x, [x, x])".repeat(40)),
        format!("[1]{}", ".map(x, [1, 1, 1, 1, 1, 1, 1, 1]).flatten()".repeat(8)),
        format!("'ab'{}.size()", ".split('').map(x, string(1.0 / 3.0)).join()".repeat(15)),
        format!(
            "[optional.of(container.name){0}] == [optional.of(container.name){0}]",
            ".optMap(x, [x, x])".repeat(22)
        ),
        format!("[params.text{}].map(t, t + t).size()", ", params.text".repeat(60)),
        format!("'%s'.format([optional.of(1){}.value()])", ".optMap(x, [x, x])".repeat(30)),
        format!("optional.of([[1]]){}.value().flatten(40).size()", ".optMap(x, [x, x])".repeat(30)),
        "params.text.findAll('.*[^A-Z]|[A-Z]').size()".into(),
        "params.text.replace('A', params.text).size()".into(),
        "[params.text, params.text, params.text, params.text, params.text, params.text].join(params.text).size()"
            .into(),
        nested,
    ] {
        let values = Values(json!({"params": {"text": "A".repeat(512 << 10)}, "container": {"name": "c"}}));
        let outcome = compile(&source).expect(&source).evaluate(&values);
        assert!(matches!(outcome, Err(Failure::Limit(_))), "{source} gives {:.100}", format!("{outcome:?}"));
    }
    let letters = vec!["nan"; 30].join(",");
    let values = Values(json!({"params": {"text": letters}}));
    let sorted = compile("params.text.split(',').map(x, double(x)).sort()").expect("valid").evaluate(&values);
    assert_eq!(sorted, Err(Failure::Failed("sort() got what is not a number".into())));
}

#[test]
fn a_condition_that_is_optional_is_no_condition() {
    assert!(!compile("pod.spec.?hostNetwork").expect("valid").kind.can_be_boolean());
}

#[test]
fn corners_are_those_of_kubernetes() {
    let values = Values(json!({
        "params": {"labels": {"a": 1, "n": null, "s": "x", "list": [1]}, "hosts": [1, 2]},
        "container": {"name": "c"},
    }));
    let evaluate = |source: &str| compile(source).expect(source).evaluate(&values);
    for (source, value) in [
        (r#"'%s'.format([["it's"]])"#, json!(r#"["it's"]"#)),
        ("has(params.labels.a.b)", json!(false)),
        ("has(params.labels.n.b)", json!(false)),
        ("params.hosts.filter(h, has(h.name)).size()", json!(0)),
        ("params.labels.s[?'c'].orValue(1)", json!(1)),
        ("params.hosts.map(h, h[?'x'].orValue(1))", json!([1, 1])),
        ("{'a': 1, ?'a': params.labels.?zz}", json!({})),
        ("params.labels.a.orValue(2)", json!(1)),
        ("quantity('1').add(1) == quantity('2')", json!(true)),
        ("duration('-9223372036854775808ns').getHours()", json!(-2_562_047)),
        ("[].first().?a.hasValue()", json!(false)),
        ("string(-dyn(duration('1s')))", json!("-1s")),
    ] {
        assert_eq!(evaluate(source), Ok(value), "{source}");
    }
    for source in ["quantity('2') == quantity('1').add(1)", "params.labels.?list.?c", "params.labels[?params.labels.n]"]
    {
        assert!(matches!(evaluate(source), Err(Failure::Failed(_))), "{source}");
    }
    for source in
        ["[1].existsOne(x, x == 1)", "'%s'.format([?params.labels.?a])", "'%s'.format([[quantity('1')]])", "[?dyn(1)]"]
    {
        assert!(!refused(source).is_empty());
    }
}
