//! Writes expressions and what they read, from a seed.

use serde_json::{Map, Value, json};

pub(super) const PARAMETERS: &[(&str, &str)] = &[
    ("text", "string"),
    ("port", "integer"),
    ("ratio", "number"),
    ("flag", "boolean"),
    ("size", "quantity"),
    ("wait", "duration"),
    ("hosts", "list"),
    ("extra", "object"),
    ("maybe", "string?"),
    ("count", "integer?"),
];

/// The same sequence of choices for the same seed (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.below(choices.len())]
    }
}

/// What the variables of an expression are for one evaluation, as a webhook receives them.
pub(super) fn variables(random: &mut Random) -> Value {
    let mut pod = json!({
        "metadata": {"labels": {}, "annotations": {}, "namespace": "shop"},
        "spec": {"containers": [], "restartPolicy": random.pick(&["Always", "Never"])},
    });
    for (key, values) in [("app", &["web", "", "ä"][..]), ("team", &["a", "b"]), ("a/b", &["c"])] {
        if !random.one_in(3) {
            pod["metadata"]["labels"][key] = random.pick(values).into();
        }
    }
    if random.one_in(2) {
        pod["metadata"]["annotations"]["note"] = random.pick(&["1", "x,y", "90s", "é\u{1f600}"]).into();
    }
    match random.below(3) {
        0 => pod["metadata"]["name"] = "web-1".into(),
        1 => pod["metadata"]["generateName"] = "web-".into(),
        _ => {}
    }
    for (field, value) in [
        ("hostNetwork", json!(true)),
        ("os", json!({"name": "linux"})),
        ("terminationGracePeriodSeconds", json!(30)),
        ("nodeSelector", json!({"zone": "a"})),
        ("initContainers", json!([{"name": "setup", "image": "setup:1"}])),
        (
            "volumes",
            json!([{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c", "defaultMode": 420}}]),
        ),
        ("securityContext", json!({})),
        ("tolerations", json!([{"key": "k", "operator": "Exists"}])),
    ] {
        if random.one_in(2) {
            pod["spec"][field] = value;
        }
    }
    let containers: Vec<_> = (0..1 + random.below(3)).map(|at| container(random, at)).collect();
    let chosen = containers[random.below(containers.len())].clone();
    pod["spec"]["containers"] = containers.into();
    let namespace =
        json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}, "annotations": {}}});
    let mut parameters = Map::new();
    for (name, kind) in PARAMETERS {
        let value = match *kind {
            "string" => json!(random.pick(&["", "a", "web", "x,y,z", "Ünï", " pad ", "90s", "12", "true", "500m"])),
            "integer" => json!([0, 1, -3, 80, 8080, i64::MAX][random.below(6)]),
            // Whole numbers come as integers.
            "number" => [json!(1), json!(0.5), json!(2.0), json!(-1.25), json!(1e21)][random.below(5)].clone(),
            "boolean" => json!(random.one_in(2)),
            "quantity" => json!(random.pick(&["64Mi", "500m", "1", "1.5Gi", "0", "1000m", "12e3", "-2k"])),
            "duration" => json!(random.pick(&["90s", "1h30m", "250ms", "0", "-1.5s", "1h0m0.000000001s"])),
            "list" => {
                [json!([]), json!(["b", "a"]), json!([1, 2, 3]), json!(["a", 1, true, null, 2.5]), json!([[1], ["x"]])]
                    [random.below(5)]
                .clone()
            }
            "object" => {
                [json!({}), json!({"a": 1, "b": {"c": true}, "list": [1, 2]}), json!({"a": "x", "list": ["p"]})]
                    [random.below(3)]
                .clone()
            }
            "string?" => [json!(null), json!("m")][random.below(2)].clone(),
            _ => [json!(null), json!(7)][random.below(2)].clone(),
        };
        parameters.insert((*name).to_owned(), value);
    }
    json!({"pod": pod, "container": chosen, "namespaceObject": namespace, "params": parameters})
}

fn container(random: &mut Random, at: usize) -> Value {
    let mut container = json!({"name": (["web", "log", "proxy"][at]), "image": random.pick(&["web:1", "reg.example.com/a/b:2.3", "x"])});
    for (field, value) in [
        (
            "ports",
            json!([{"containerPort": 8080, "name": "http", "protocol": "TCP"}, {"containerPort": 9090, "protocol": "TCP"}]),
        ),
        (
            "env",
            json!([{"name": "A", "value": "1"}, {"name": "B"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]),
        ),
        ("args", json!(["--a", "b=1"])),
        ("livenessProbe", json!({"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 10})),
        ("volumeMounts", json!([{"name": "data", "mountPath": "/data", "readOnly": true}])),
        ("resources", json!({"requests": {"cpu": "350m", "memory": "1Gi"}})),
        ("tty", json!(true)),
    ] {
        if random.one_in(2) {
            container[field] = value;
        }
    }
    container
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int,
    Double,
    String,
    Duration,
    Quantity,
    Dyn,
    Strings,
    Ints,
    Doubles,
    Containers,
    Ports,
    Variables,
}

/// Writes an expression.
pub(super) struct Writer<'r> {
    pub(super) random: &'r mut Random,
    /// The items of the comprehensions around it.
    pub(super) items: Vec<(String, Kind)>,
}

impl Writer<'_> {
    /// An expression of a kind; one in thirty is of another.
    fn write(&mut self, kind: Kind, depth: usize) -> String {
        use Kind::*;
        let kind = if self.random.one_in(30) {
            [Bool, Int, Double, String, Duration, Quantity, Dyn, Strings, Ints][self.random.below(9)]
        } else {
            kind
        };
        let items: Vec<_> = self.items.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.clone()).collect();
        if !items.is_empty() && self.random.one_in(2) {
            return items[self.random.below(items.len())].clone();
        }
        if depth == 0 { self.leaf(kind) } else { self.branch(kind, depth - 1) }
    }

    fn item_field(&mut self, of: Kind, fields: &[&str]) -> Option<std::string::String> {
        let items: Vec<_> = self.items.iter().filter(|(_, kind)| *kind == of).map(|(name, _)| name.clone()).collect();
        let item = items.get(self.random.below(items.len().max(1)))?;
        Some(format!("{item}{}", self.random.pick(fields)))
    }

    fn leaf(&mut self, kind: Kind) -> std::string::String {
        // The item of a container, of a port or of a variable goes by its fields.
        if self.random.one_in(2) {
            let found = match kind {
                Kind::String => self
                    .item_field(Kind::Containers, &[".name", ".image", ".workingDir"])
                    .or_else(|| self.item_field(Kind::Ports, &[".name", ".protocol"]))
                    .or_else(|| self.item_field(Kind::Variables, &[".name", ".value", ".?value.orValue('')"])),
                Kind::Int => self.item_field(Kind::Ports, &[".containerPort", ".hostPort", ".?hostPort.orValue(0)"]),
                Kind::Bool => self.item_field(Kind::Containers, &[".tty", ".?tty.orValue(false)"]),
                Kind::Ports => self.item_field(Kind::Containers, &[".ports", ".?ports.orValue([])"]),
                Kind::Variables => self.item_field(Kind::Containers, &[".env", ".?env.orValue([])"]),
                Kind::Strings => self.item_field(Kind::Containers, &[".args", ".?args.orValue([])"]),
                _ => None,
            };
            if let Some(found) = found {
                return found;
            }
        }
        let choices: &[&str] = match kind {
            Kind::Bool => &[
                "true",
                "false",
                "params.flag",
                "has(pod.spec.os)",
                "has(pod.metadata.labels.app)",
                "pod.spec.hostNetwork",
                "has(container.ports)",
                "'app' in pod.metadata.labels",
                "has(params.extra.b)",
                "container.tty",
                "container.?ports.hasValue()",
                "bool('true')",
                "bool(params.text)",
                "has(pod.spec.os.name)",
                "params.maybe == null",
                "params.count != null",
                "pod.spec.?hostNetwork.orValue(false)",
            ],
            Kind::Int => &[
                "0",
                "1",
                "-1",
                "42",
                "9223372036854775807",
                "params.port",
                "params.count",
                "pod.spec.terminationGracePeriodSeconds",
                "container.ports[0].containerPort",
                "size(pod.spec.containers)",
                "size(params.text)",
                "container.?ports.orValue([]).size()",
                "pod.spec.initContainers.size()",
                "pod.spec.?terminationGracePeriodSeconds.orValue(10)",
                "0x1F",
                "params.hosts.size()",
                "int('12')",
                "int(params.ratio)",
                "int('-7') + int(2.9)",
            ],
            Kind::Double => &["0.0", "1.5", "-2.25", "1e300", "params.ratio", "double(params.port)", "3.0"],
            Kind::String => &[
                "''",
                "'a'",
                "'web'",
                "\"é\"",
                "'x,y'",
                "params.text",
                "pod.metadata.labels.app",
                "container.name",
                "container.image",
                "pod.metadata.labels['a/b']",
                "pod.metadata.labels[?'team'].orValue('none')",
                "namespaceObject.metadata.name",
                "pod.metadata.name",
                "pod.metadata.annotations.note",
                "pod.spec.restartPolicy",
                "pod.spec.os.name",
                "params.maybe",
                "pod.spec.?os.?name.orValue('linux')",
                "container.args[0]",
                "pod.spec.nodeSelector.zone",
                "params.size",
                "params.wait",
                "'90s'",
                "'12'",
                "'\\u00e9\\n'",
                "r'\\d'",
                "pod.metadata.?generateName.orValue('')",
                "container.resources.requests.cpu",
                "container.?resources.?requests['cpu'].orValue('100m')",
                "pod.metadata.namespace",
            ],
            Kind::Duration => {
                &["duration('90s')", "duration(params.wait)", "duration('1h1m1.5s')", "duration(params.text)"]
            }
            Kind::Quantity => &[
                "quantity('500m')",
                "quantity(params.size)",
                "quantity('1Gi')",
                "quantity(params.text)",
                "quantity('1000m')",
            ],
            Kind::Dyn => &[
                "params.extra",
                "params.extra.a",
                "params.extra.b",
                "params.extra.b.c",
                "params.hosts[0]",
                "params.extra.?a.orValue(1)",
                "dyn(1)",
                "dyn('a')",
                "params.extra.list",
                "params.hosts[1]",
                "container.livenessProbe.httpGet.port",
                "dyn(2.5)",
                "params.extra.?nope",
                "params.extra['a']",
                "params.hosts[?3].orValue(null)",
                "dyn(null)",
            ],
            Kind::Strings => &[
                "['a', 'b']",
                "[]",
                "container.args",
                "params.text.split(',')",
                "pod.spec.containers.map(c, c.name)",
                "['b', 'a', 'b']",
                "pod.metadata.labels.map(k, k).sort()",
                "pod.spec.?initContainers.orValue([]).map(c, c.name)",
                "container.?args.orValue([])",
                "'a-b-c'.split('-', 2)",
                "params.text.findAll('[a-z]')",
            ],
            Kind::Ints => &[
                "[1, 2, 3]",
                "[]",
                "[3, 1, 2]",
                "container.ports.map(p, p.containerPort)",
                "[params.port]",
                "[-1, 0]",
                "container.?ports.orValue([]).map(p, p.containerPort)",
            ],
            Kind::Doubles => &["[1.5, 2.5]", "[params.ratio]", "[0.1, 0.2, 0.3]"],
            // The containers and the init containers are of different types there.
            Kind::Containers => &["pod.spec.containers", "pod.spec.?containers.orValue([])", "[container]"],
            Kind::Ports => &["container.ports", "container.?ports.orValue([])"],
            Kind::Variables => &["container.env", "container.?env.orValue([])"],
        };
        self.random.pick(choices).to_owned()
    }

    pub(super) fn any(&mut self, depth: usize) -> std::string::String {
        use Kind::*;
        let kind = [Bool, Int, Double, String, Duration, Quantity, Dyn, Strings, Ints][self.random.below(9)];
        self.write(kind, depth)
    }

    /// A list and what its items are.
    fn list(&mut self, depth: usize) -> (std::string::String, Kind) {
        let (kind, item) = [
            (Kind::Strings, Kind::String),
            (Kind::Ints, Kind::Int),
            (Kind::Doubles, Kind::Double),
            (Kind::Containers, Kind::Containers),
            (Kind::Ports, Kind::Ports),
            (Kind::Variables, Kind::Variables),
        ][self.random.below(6)];
        (self.write(kind, depth), item)
    }

    /// Something said of each item.
    fn of_items(&mut self, item: Kind, body: Kind, depth: usize) -> (std::string::String, std::string::String) {
        let name = ["c", "p", "x", "y", "it"][self.items.len().min(4)].to_owned();
        self.items.push((name.clone(), item));
        let body = self.write(body, depth);
        self.items.pop();
        (name, body)
    }

    fn branch(&mut self, kind: Kind, depth: usize) -> std::string::String {
        let random = self.random.below(12);
        match random {
            0 => return self.leaf(kind),
            1 => {
                let (condition, then, otherwise) =
                    (self.write(Kind::Bool, depth), self.write(kind, depth), self.write(kind, depth));
                return format!("({condition} ? {then} : {otherwise})");
            }
            2 => {
                let value = self.write(kind, depth);
                let other = self.write(kind, depth);
                return match self.random.below(6) {
                    0 => format!("optional.of({value}).value()"),
                    1 => format!("optional.none().or(optional.of({value})).orValue({other})"),
                    2 => format!("optional.of({value}).or(optional.none()).value()"),
                    3 => format!("optional.of({value}).optMap(v, v).orValue({other})"),
                    4 => format!("container.?args.optFlatMap(a, a.last()).optMap(a, {value}).orValue({other})"),
                    _ => format!("optional.of({value}).orValue({other})"),
                };
            }
            3 => return format!("[{}][{}]", self.write(kind, depth), self.write(Kind::Int, 0)),
            4 => return format!("{{'k': {}}}.k", self.write(kind, depth)),
            _ => {}
        }
        match kind {
            Kind::Bool => self.boolean(depth),
            Kind::Int => self.int(depth),
            Kind::Double => match self.random.below(8) {
                0 => format!(
                    "({} {} {})",
                    self.write(kind, depth),
                    self.random.pick(&["+", "-", "*", "/"]),
                    self.write(kind, depth)
                ),
                1 => format!("double({})", self.any(depth)),
                2 => format!("{}.asApproximateFloat()", self.write(Kind::Quantity, depth)),
                3 => format!("{}.{}()", self.write(Kind::Doubles, depth), self.random.pick(&["sum", "min", "max"])),
                4 => format!("-{}", self.write(kind, depth)),
                _ => self.leaf(kind),
            },
            Kind::String => self.text(depth),
            Kind::Duration => match self.random.below(5) {
                0 => format!(
                    "({} {} {})",
                    self.write(kind, depth),
                    self.random.pick(&["+", "-"]),
                    self.write(kind, depth)
                ),
                1 => format!("duration({})", self.write(Kind::String, depth)),
                2 => format!(
                    "[{}, {}].{}()",
                    self.write(kind, depth),
                    self.write(kind, 0),
                    self.random.pick(&["sum", "min", "max"])
                ),
                _ => self.leaf(kind),
            },
            Kind::Quantity => match self.random.below(5) {
                0 => format!(
                    "{}.{}({})",
                    self.write(kind, depth),
                    self.random.pick(&["add", "sub"]),
                    self.write(kind, depth)
                ),
                1 => format!(
                    "{}.{}({})",
                    self.write(kind, depth),
                    self.random.pick(&["add", "sub"]),
                    self.write(Kind::Int, depth)
                ),
                2 => format!("quantity({})", self.write(Kind::String, depth)),
                _ => self.leaf(kind),
            },
            Kind::Dyn => match self.random.below(4) {
                0 => format!("dyn({})", self.any(depth)),
                1 => format!(
                    "({} {} {})",
                    self.leaf(kind),
                    self.random.pick(&["+", "-", "*", "/", "%"]),
                    self.any(depth)
                ),
                2 => format!("{}[{}]", self.leaf(kind), self.write(Kind::Int, depth)),
                _ => self.leaf(kind),
            },
            Kind::Strings => match self.random.below(9) {
                0 => format!("({} + {})", self.write(kind, depth), self.write(kind, depth)),
                1 => {
                    let (list, item) = self.list(depth);
                    let (name, body) = self.of_items(item, Kind::String, depth);
                    format!("{list}.map({name}, {body})")
                }
                2 => {
                    let list = self.write(kind, depth);
                    let (name, body) = self.of_items(Kind::String, Kind::Bool, depth);
                    format!("{list}.filter({name}, {body})")
                }
                3 => format!("{}.split({})", self.write(Kind::String, depth), self.random.pick(&["','", "''", "'-'"])),
                4 => format!("{}.{}()", self.write(kind, depth), self.random.pick(&["sort", "reverse"])),
                5 => format!(
                    "{}.slice({}, {})",
                    self.write(kind, depth),
                    self.write(Kind::Int, 0),
                    self.write(Kind::Int, 0)
                ),
                6 => format!("[{}, {}].flatten()", self.write(kind, depth), self.write(kind, depth)),
                7 => format!(
                    "{}.findAll({}, {})",
                    self.write(Kind::String, depth),
                    self.regex(),
                    self.write(Kind::Int, 0)
                ),
                _ => format!("[{}, {}]", self.write(Kind::String, depth), self.write(Kind::String, depth)),
            },
            Kind::Ints => match self.random.below(5) {
                0 => format!("({} + {})", self.write(kind, depth), self.write(kind, depth)),
                1 => {
                    let (list, item) = self.list(depth);
                    let (name, body) = self.of_items(item, Kind::Int, depth);
                    format!("{list}.map({name}, {body})")
                }
                2 => {
                    let list = self.write(kind, depth);
                    let (name, body) = self.of_items(Kind::Int, Kind::Bool, depth);
                    format!("{list}.filter({name}, {body})")
                }
                3 => format!("{}.{}()", self.write(kind, depth), self.random.pick(&["sort", "reverse"])),
                _ => format!("[{}, {}]", self.write(Kind::Int, depth), self.write(Kind::Int, depth)),
            },
            Kind::Containers => {
                let list = self.leaf(kind);
                let (name, body) = self.of_items(kind, Kind::Bool, depth);
                format!("{list}.filter({name}, {body})")
            }
            Kind::Doubles | Kind::Ports | Kind::Variables => self.leaf(kind),
        }
    }

    fn regex(&mut self) -> std::string::String {
        self.random
            .pick(&[
                "'^a'",
                "'[a-z]+'",
                "'\\\\d+'",
                "'\\\\w'",
                "'(?i)WEB'",
                "'.'",
                "'a|b'",
                "'^$'",
                "'\\\\s'",
                "'[^,]*'",
                "'\\\\bweb\\\\b'",
                "'[\\\\w.-]+'",
                "'(a'",
                "'\\\\p{L}'",
                "'x*'",
            ])
            .to_owned()
    }

    fn boolean(&mut self, depth: usize) -> std::string::String {
        match self.random.below(14) {
            0 => format!("({} && {})", self.write(Kind::Bool, depth), self.write(Kind::Bool, depth)),
            1 => format!("({} || {})", self.write(Kind::Bool, depth), self.write(Kind::Bool, depth)),
            2 => format!("!{}", self.write(Kind::Bool, depth)),
            3 => {
                let kind = [Kind::Int, Kind::Double, Kind::String, Kind::Duration][self.random.below(4)];
                let operator = self.random.pick(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.write(kind, depth), self.write(kind, depth))
            }
            4 => format!("({} {} {})", self.any(depth), self.random.pick(&["==", "!=", "<", ">="]), self.any(depth)),
            5 => {
                let name = self.random.pick(&["contains", "startsWith", "endsWith"]);
                format!("{}.{name}({})", self.write(Kind::String, depth), self.write(Kind::String, depth))
            }
            6 => format!("{}.matches({})", self.write(Kind::String, depth), self.regex()),
            7 | 8 => {
                let (list, item) = self.list(depth);
                let (name, body) = self.of_items(item, Kind::Bool, depth);
                format!("{list}.{}({name}, {body})", self.random.pick(&["all", "exists", "exists_one"]))
            }
            9 => format!("({} in {})", self.write(Kind::String, depth), self.write(Kind::Strings, depth)),
            10 => format!("isQuantity({})", self.write(Kind::String, depth)),
            11 => {
                let name = self.random.pick(&["isGreaterThan", "isLessThan"]);
                format!("{}.{name}({})", self.write(Kind::Quantity, depth), self.write(Kind::Quantity, depth))
            }
            12 => format!(
                "{}.isSorted()",
                if self.random.one_in(2) { self.write(Kind::Ints, depth) } else { self.write(Kind::Strings, depth) }
            ),
            _ => match self.random.below(3) {
                0 => format!("bool({})", self.any(depth)),
                1 => format!("{}.isInteger()", self.write(Kind::Quantity, depth)),
                _ => format!("optional.of({}).hasValue()", self.any(depth)),
            },
        }
    }

    fn int(&mut self, depth: usize) -> std::string::String {
        match self.random.below(13) {
            0 | 1 => {
                let operator = self.random.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.write(Kind::Int, depth), self.write(Kind::Int, depth))
            }
            2 => format!(
                "size({})",
                if self.random.one_in(2) { self.write(Kind::String, depth) } else { self.list(depth).0 }
            ),
            3 => format!("int({})", self.any(depth)),
            4 => format!("{}.{}()", self.write(Kind::Ints, depth), self.random.pick(&["sum", "min", "max"])),
            5 => {
                let name = self.random.pick(&["indexOf", "lastIndexOf"]);
                format!("{}.{name}({})", self.write(Kind::String, depth), self.write(Kind::String, depth))
            }
            6 => {
                let name = self.random.pick(&["indexOf", "lastIndexOf"]);
                format!(
                    "{}.{name}({}, {})",
                    self.write(Kind::String, depth),
                    self.write(Kind::String, depth),
                    self.write(Kind::Int, 0)
                )
            }
            7 => format!(
                "{}.{}({})",
                self.write(Kind::Ints, depth),
                self.random.pick(&["indexOf", "lastIndexOf"]),
                self.write(Kind::Int, depth)
            ),
            8 => {
                let name = self.random.pick(&["getSeconds", "getMinutes", "getHours", "getMilliseconds"]);
                format!("{}.{name}()", self.write(Kind::Duration, depth))
            }
            9 => format!("{}.asInteger()", self.write(Kind::Quantity, depth)),
            10 => format!("{}.compareTo({})", self.write(Kind::Quantity, depth), self.write(Kind::Quantity, depth)),
            11 => format!("sign({})", self.write(Kind::Quantity, depth)),
            _ => format!("-{}", self.write(Kind::Int, depth)),
        }
    }

    fn text(&mut self, depth: usize) -> std::string::String {
        match self.random.below(15) {
            0 | 1 => format!("({} + {})", self.write(Kind::String, depth), self.write(Kind::String, depth)),
            2 => format!("string({})", self.any(depth)),
            3 => format!("{}.join({})", self.write(Kind::Strings, depth), self.random.pick(&["','", "''", "' - '"])),
            4 => format!(
                "{}.{}()",
                self.write(Kind::String, depth),
                self.random.pick(&["trim", "lowerAscii", "upperAscii"])
            ),
            5 => format!("{}.substring({})", self.write(Kind::String, depth), self.write(Kind::Int, 0)),
            6 => format!(
                "{}.substring({}, {})",
                self.write(Kind::String, depth),
                self.write(Kind::Int, 0),
                self.write(Kind::Int, 0)
            ),
            7 => format!("{}.charAt({})", self.write(Kind::String, depth), self.write(Kind::Int, 0)),
            8 => format!(
                "{}.replace({}, {})",
                self.write(Kind::String, depth),
                self.random.pick(&["'a'", "''", "','"]),
                self.random.pick(&["''", "'bb'", "'é'"])
            ),
            9 => format!("{}.replace('a', 'b', {})", self.write(Kind::String, depth), self.write(Kind::Int, 0)),
            10 => format!("{}.find({})", self.write(Kind::String, depth), self.regex()),
            11 => format!("strings.quote({})", self.write(Kind::String, depth)),
            12 => {
                let clause = self.random.pick(&["%s", "%d", "%x", "%X", "%b", "%o", "%f", "%.2f", "%.0f"]);
                let value = match clause {
                    "%s" => self.any(depth),
                    "%f" | "%.2f" | "%.0f" => self.write(Kind::Double, depth),
                    _ => self.write(Kind::Int, depth),
                };
                format!("'<{clause}%%>'.format([{value}])")
            }
            13 => format!("{}.join()", self.write(Kind::Strings, depth)),
            _ => {
                let name = self.random.pick(&["first", "last"]);
                format!("{}.{name}().orValue({})", self.write(Kind::Strings, depth), self.write(Kind::String, 0))
            }
        }
    }
}

/// The text with up to three edits.
pub(super) fn mutated(source: &str, random: &mut Random) -> String {
    #[rustfmt::skip]
    const TOKENS: &[&str] = &[
        "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "-", "+", "*", "/", "%", "<", "<=", "==", "!=", "&&", "||", " in ", ".?", "[?",
        "'", "\"", "'''", "r'", "\\", "\\u00e9", "\\x41", "\\101", "\\ud800", "\\U0001f600", "0", "1u", "0x", "1e", "1.", ".5", "1e5",
        "9223372036854775808", "null", "true", "as", "namespace", "//", "\n", " ", "\u{0}", "é", "`a`", "pod", "params", "container", "c", "x",
        "dyn(", "size(", ".size()", ".map(x, x)", ".all(x, true)", "has(", "optional.none()", ".orValue(1)", "[0]", ".name", "b'a'", "'a'", "1", "2.5",
    ];
    let mut letters: Vec<char> = source.chars().collect();
    for _ in 0..1 + random.below(3) {
        let at = random.below(letters.len() + 1);
        let end = (at + random.below(4)).min(letters.len());
        let token = if random.one_in(3) { "" } else { random.pick(TOKENS) };
        letters.splice(at..end, token.chars());
    }
    letters.into_iter().collect()
}
