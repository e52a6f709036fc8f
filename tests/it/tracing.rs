//! Traces, as a collector receives them: OTLP over HTTP, in protobuf.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::harness::authority::Authority;
use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::pillion::{LOG_SHIPPER, Pillion, Setup, pod, review_of};

/// A collector on loopback.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Export>>>,
}

/// A request that it got.
#[derive(Clone)]
struct Export {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Export {
    fn request(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("spans in protobuf")
    }
}

impl Collector {
    /// Takes what comes, until the test process ends.
    fn start() -> Collector {
        Collector::serve(None)
    }

    fn with_certificate(authority: &Authority) -> Collector {
        Collector::serve(Some(authority.issue().server_config()))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let export = match &tls {
                    None => receive(stream),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).expect("a server");
                        receive(StreamOwned::new(connection, stream))
                    }
                };
                collected.lock().expect("nobody panics with it").extend(export);
            }
        });
        Collector { address, received }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn exports(&self) -> Vec<Export> {
        self.received.lock().expect("nobody panics with it").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.exports().into_iter().flat_map(|export| export.request().resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

/// One request, answered with success.
fn receive(stream: impl Read + Write) -> Option<Export> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    stream.get_mut().flush().ok()?;
    Some(Export { path, headers, body })
}

/// Attributes, all of which are text.
fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    fn text(attribute: &KeyValue) -> (&str, &str) {
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(text)) => (&attribute.key, text),
            other => panic!("{} is {other:?}", attribute.key),
        }
    }
    attributes.iter().map(text).collect()
}

/// A server that sends its spans at once.
fn tracing_to<const N: usize>(endpoint: &str, variables: [(&str, &str); N]) -> Pillion {
    let setup = Setup::new().template("log-shipper.yaml", LOG_SHIPPER);
    let at_once = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
    setup.environment(at_once).environment(variables).start()
}

impl Pillion {
    /// Sends a review as an API server that traces does.
    #[track_caller]
    fn review_within(&self, trace: &str, uid: &str) {
        let review = review_of(uid, &pod("web", "log-shipper")).to_string();
        let headers = [("content-type", "application/json"), ("traceparent", trace)];
        let answer = self.send("POST", "/mutate?timeout=5s", &headers, review.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_review_is_a_span_in_the_trace_of_the_api_server() {
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-tests"),
        ("OTEL_SERVICE_NAME", "injector"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let pillion = tracing_to(&collector.endpoint(), variables);
    let secret = "correct-horse-battery-staple";
    let mut web = pod("web", "log-shipper");
    web["metadata"]["annotations"]["example.com/password"] = json!(secret);
    web["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": secret}]);
    let review = review_of("traced", &web).to_string();
    let trace = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("content-type", "application/json"), ("traceparent", trace.as_str())];
    assert_eq!(pillion.send("POST", "/mutate?timeout=5s", &headers, review.as_bytes()).status, 200);

    let export = eventually("a span", || collector.exports().first().cloned());
    assert_eq!(export.path, "/v1/traces");
    assert_eq!(export.headers["content-type"], "application/x-protobuf");
    assert_eq!(export.headers["authorization"], "Bearer of-the-tests");
    assert!(!String::from_utf8_lossy(&export.body).contains(secret));
    let request = export.request();
    let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
    let resource = texts(&resource.attributes);
    assert_eq!((resource["service.name"], resource["deployment.environment.name"]), ("injector", "test"));
    let [span] = &collector.spans()[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((span.name.as_str(), span.kind), ("review", 2), "2 is a server");
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    let expected = [
        ("k8s.namespace.name", "shop"),
        ("pillion.outcome", "injected"),
        ("pillion.reason", "injected"),
        ("pillion.review.uid", "traced"),
        ("pillion.templates", "log-shipper=injected"),
    ];
    assert_eq!(texts(&span.attributes), BTreeMap::from(expected));
    assert!(span.events.is_empty(), "{:?}", span.events);
}

#[test]
fn a_request_that_is_refused_is_a_failed_span() {
    let collector = Collector::start();
    let pillion = tracing_to(&collector.endpoint(), []);
    assert_eq!(pillion.post("nonsense").status, 400);

    let span = eventually("a span", || collector.spans().pop());
    let status = span.status.expect("a status");
    assert_eq!(status.code, 2, "2 is an error");
    assert_eq!(status.message, "the body is not an AdmissionReview in JSON");
    let export = &collector.exports()[0].request();
    let resource = export.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(texts(&resource.attributes)["service.name"], "pillion");
}

#[test]
fn a_question_to_the_api_server_is_a_span_below_its_review() {
    let Some(cluster) = Cluster::shared() else { return };
    cluster.apply(include_str!("../../charts/pillion/files/crds.yaml"));
    let collector = Collector::start();
    let setup = Setup::new().template("log-shipper.yaml", LOG_SHIPPER).flags(["--watch"]);
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint()),
        ("KUBECONFIG", &*cluster.admin()),
    ];
    let pillion = setup.environment(variables).start();
    // There is no namespace shop, so the caches cannot know it.
    pillion.answer(&review_of("asks", &pod("web", "log-shipper")));

    let named = |name: &str| collector.spans().into_iter().find(|span| span.name == name);
    let review = eventually("the review's span", || named("review"));
    let lookup = eventually("the question's span", || named("lookup"));
    assert_eq!((lookup.trace_id, lookup.parent_span_id), (review.trace_id, review.span_id));
    assert_eq!(lookup.kind, 3, "3 is a client");
    assert_eq!(texts(&lookup.attributes), BTreeMap::from([("k8s.resource.name", "namespaces")]));
}

#[test]
fn what_is_not_sent_yet_is_sent_at_the_end() {
    let collector = Collector::start();
    let pillion = tracing_to(&collector.endpoint(), [("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    pillion.answer(&review_of("late", &pod("web", "log-shipper")));
    pillion.stop();
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn the_api_server_or_the_variables_say_which_reviews_are_traced() {
    let collector = Collector::start();
    let pillion = tracing_to(&collector.endpoint(), []);
    pillion.review_within(&format!("00-{TRACE}-{PARENT}-00"), "not-sampled");
    pillion.review_within(&format!("00-{TRACE}-{PARENT}-01"), "sampled");
    pillion.stop();
    let uids: Vec<_> =
        collector.spans().iter().map(|span| texts(&span.attributes)["pillion.review.uid"].to_owned()).collect();
    assert_eq!(uids, ["sampled"]);

    for off in [("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "true")] {
        let collector = Collector::start();
        let pillion = tracing_to(&collector.endpoint(), [off]);
        pillion.review_within(&format!("00-{TRACE}-{PARENT}-01"), "sampled");
        pillion.stop();
        assert_eq!(collector.exports().len(), 0, "{off:?}");
    }
}

#[test]
fn a_collector_with_a_certificate_of_a_private_authority_is_trusted_if_a_file_says_so() {
    let authority = Authority::new();
    let collector = Collector::with_certificate(&authority);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, authority.pem()).expect("the folder is writable");
    let endpoint = format!("https://{}", collector.address);

    let file = file.display().to_string();
    let trusting = tracing_to(&endpoint, [("OTEL_EXPORTER_OTLP_CERTIFICATE", &file)]);
    trusting.answer(&review_of("encrypted", &pod("web", "log-shipper")));
    eventually("a span", || collector.spans().pop());

    let distrusting = tracing_to(&endpoint, []);
    distrusting.answer(&review_of("kept", &pod("web", "log-shipper")));
    let line = distrusting.logged("message", "traces cannot be sent, and are lost until they can");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("UnknownIssuer")), "{line}");
}

#[test]
fn a_wrong_value_is_said_once_and_harms_no_review() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ] {
        let pillion = tracing_to("http://127.0.0.1:1", [(name, value)]);
        let line = pillion.logged("message", "no traces are sent");
        assert_eq!(line["level"], "ERROR");
        assert!(line["error"].as_str().is_some_and(|error| error.contains(value)), "{name}: {line}");
        assert_eq!(pillion.answer(&review_of("fine", &pod("web", "log-shipper")))["allowed"], true);
    }
}

#[test]
fn a_collector_that_is_away_is_said_once_and_harms_no_review() {
    let pillion = tracing_to("http://127.0.0.1:1", []);
    let lost = "traces cannot be sent, and are lost until they can";
    pillion.answer(&review_of("first", &pod("web", "log-shipper")));
    pillion.logged("message", lost);
    for number in 0..20 {
        let answer = pillion.answer(&review_of(&number.to_string(), &pod("web", "log-shipper")));
        assert_eq!(answer["allowed"], true);
    }
    assert_eq!(pillion.log().iter().filter(|line| line.contains(lost)).count(), 1);
    pillion.stop();
}

#[test]
fn a_collector_that_never_answers_does_not_keep_the_server_from_ending() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    silent.set_nonblocking(true).expect("a listener can be asked without waiting");
    let endpoint = format!("http://{}", silent.local_addr().expect("a bound listener has an address"));
    let pillion = tracing_to(&endpoint, [("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")]);
    pillion.answer(&review_of("unheard", &pod("web", "log-shipper")));
    // Held open: the request has begun by then.
    let _connection = eventually("the server to connect", || silent.accept().ok());
    pillion.stop();
}
