//! `make demo`: a real AdmissionReview goes through the webhook, and the pod comes back with its sidecars.
//!
//! The review is what an API server sent for a pod of a Deployment. All that happens to it here happens in a cluster.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const REVIEW: &str = include_str!("../tests/fixtures/review.json");
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<ExitCode> {
    let here = std::env::current_exe()?;
    let program = here.ancestors().nth(2).context("the demo is in the target folder")?.join("pillion");
    let arguments = "serve --dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format json --drain-seconds 0";
    let mut server = Server(
        Command::new(&program)
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}; run cargo build first", program.display()))?,
    );
    let stdout = lines(server.0.stdout.take().context("stdout is piped")?);
    let stderr = lines(server.0.stderr.take().context("stderr is piped")?);
    demonstrate(&stdout, &stderr)?;
    let code = server.stop()?;
    ensure!(code == Some(0), "the server ended with {code:?}");
    Ok(ExitCode::SUCCESS)
}

fn demonstrate(stdout: &Receiver<String>, stderr: &Receiver<String>) -> anyhow::Result<()> {
    let admin = find_log(stderr, |line| line["message"] == "listening" && line["listener"] == "admin")?;
    let metrics_url = format!("http://{}/metrics", admin["address"].as_str().context("an address")?);
    // What a reader would copy from the terminal: curl -sS --cacert '/tmp/…' … https://127.0.0.1:…/mutate -d …
    let curl = stdout.recv_timeout(PATIENCE).context("pillion serve --dev prints a curl line")?;
    let authority = curl.split('\'').nth(1).context("the curl line names a certificate")?;
    let url = curl.split(' ').find(|word| word.starts_with("https://")).context("the curl line names a URL")?;
    let agent = agent(Path::new(authority))?;

    let before = metrics(&agent, &metrics_url)?;
    let answer: Value =
        agent.post(url).content_type("application/json").send(REVIEW)?.body_mut().read_json().context("an answer")?;
    let after = metrics(&agent, &metrics_url)?;
    let decision = find_log(stderr, |line| line["message"] == "decided")?;

    let review: Value = serde_json::from_str(REVIEW)?;
    let pod = &review["request"]["object"];
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().context("the answer has a patch")?)?;
    let mut injected = pod.clone();
    json_patch::patch(&mut injected, &serde_json::from_slice::<json_patch::Patch>(&patch)?)?;

    let mut out = io::stdout().lock();
    heading(&mut out, "The pod, before and after")?;
    print_diff(&mut out, &serde_saphyr::to_string(pod)?, &serde_saphyr::to_string(&injected)?)?;
    heading(&mut out, "The decision, as logged")?;
    for (key, value) in decision.as_object().context("a log line is an object")? {
        writeln!(out, "  {key}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
    }
    heading(&mut out, "The metrics that moved")?;
    let moved = after.iter().filter(|line| line.starts_with("pillion_") && !before.contains(line));
    for line in moved.filter(|line| !line.contains("_bucket{")) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// The changed lines, each with a few around it.
fn print_diff(out: &mut impl Write, before: &str, after: &str) -> io::Result<()> {
    let diff = TextDiff::from_lines(before, after);
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            writeln!(out, "{}", paint("36", "  ⋮"))?;
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let line = change.value().trim_end_matches('\n');
            match change.tag() {
                ChangeTag::Delete => writeln!(out, "{}", paint("31", &format!("- {line}")))?,
                ChangeTag::Insert => writeln!(out, "{}", paint("32", &format!("+ {line}")))?,
                ChangeTag::Equal => writeln!(out, "  {line}")?,
            }
        }
    }
    Ok(())
}

fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}\n", paint("1", text))
}

/// In colour, unless `NO_COLOR` is set (<https://no-color.org>).
fn paint(colour: &str, text: &str) -> String {
    match std::env::var_os("NO_COLOR") {
        Some(no) if !no.is_empty() => text.to_owned(),
        _ => format!("\x1b[{colour}m{text}\x1b[0m"),
    }
}

fn agent(authority: &Path) -> anyhow::Result<Agent> {
    let pem = std::fs::read(authority).with_context(|| authority.display().to_string())?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(&pem)?]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Ok(Agent::config_builder().tls_config(tls).timeout_global(Some(PATIENCE)).build().new_agent())
}

fn metrics(agent: &Agent, url: &str) -> anyhow::Result<Vec<String>> {
    let page = agent.get(url).call()?.body_mut().read_to_string()?;
    Ok(page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

/// The next log line that is wanted.
fn find_log(stderr: &Receiver<String>, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    loop {
        let line = stderr.recv_timeout(PATIENCE).context("the server says no more")?;
        match serde_json::from_str(&line) {
            Ok(line) if wanted(&line) => return Ok(line),
            Ok(_) => {}
            Err(_) => anyhow::bail!("the server says: {line}"),
        }
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| _ = sender.send(line));
    });
    receiver
}

/// A running server, which ends with the demo however that goes.
struct Server(Child);

impl Server {
    /// Asks it to end, as the kubelet does, and gives its exit code.
    fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().context("kill")?;
        ensure!(asked.success(), "kill: {asked}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.code());
            }
            ensure!(Instant::now() < deadline, "the server did not end within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
