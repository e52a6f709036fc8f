//! `pillion serve --dev`: everything built in, and a command to try it with.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::http;
use crate::harness::pillion::{names, patched};
use crate::harness::process::Process;

#[test]
fn the_printed_command_reaches_the_cookbook() {
    let program = Path::new(env!("CARGO_BIN_EXE_pillion"));
    let arguments = ["serve", "--dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut process = Process::start(program, arguments);
    let command = process.stdout().find("a curl line", |line| line.starts_with("curl ").then(|| line.to_owned()));
    let (_, rest) = command.split_once("--cacert '").expect("it names a certificate");
    let (authority, rest) = rest.split_once('\'').expect("the certificate's path ends");
    let url = rest.split_whitespace().find(|word| word.starts_with("https://")).expect("it names a URL");
    let (_, review) = rest.split_once("-d '").expect("it carries a review");
    let review = review.strip_suffix('\'').expect("the review ends");

    let agent = http::agent(&fs::read_to_string(authority).expect("the certificate is there"));
    let headers = [("content-type", "application/json")];
    let answer = http::send(&agent, "POST", url, &headers, review.as_bytes());

    assert_eq!(answer.status, 200, "{}", answer.text());
    let review: Value = serde_json::from_str(review).expect("the review is JSON");
    let pod = patched(&review["request"]["object"], &answer.json()["response"]);
    assert_eq!(names(&pod, "initContainers"), ["fluent-bit"]);

    // The agent keeps its connection, and one Ctrl-C is enough.
    process.signal("INT");
    assert_eq!(process.stderr().logged("message", "draining")["seconds"], 0.0);
    assert_eq!(process.exit_code(), 0);
    assert!(!Path::new(authority).exists(), "the certificate goes with the server");
}
