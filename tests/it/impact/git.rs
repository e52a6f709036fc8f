//! Templates at revisions of a git repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{Change, PILLION, asking, deployment, template};
use crate::docs::assert_is_written;
use crate::harness::pillion::LOG_SHIPPER;
use crate::harness::tools::Ran;

/// A git repository with templates in `deploy/templates` and a workload in `web.yaml`.
struct Repository(TempDir);

impl Repository {
    fn new() -> Repository {
        let repository = Repository(tempfile::tempdir().expect("a temporary folder"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("web.yaml", &asking("log-shipper", &["web"]));
        repository.commit_image("1");
        repository
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path());
        for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")] {
            command.env(name, value);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Tester").env(format!("GIT_{who}_EMAIL"), "tester@example.com");
        }
        command
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) {
        let output = self.command("git").args(arguments).output().expect("git is installed");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder is writable");
        fs::write(path, text).expect("the folder is writable");
    }

    /// Commits the template with an image of this tag.
    fn commit_image(&self, tag: &str) {
        self.write(
            "deploy/templates/log-shipper.yaml",
            &LOG_SHIPPER.replace("log-shipper:1", &format!("log-shipper:{tag}")),
        );
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", tag]);
    }

    fn impact(&self, flags: &[&str]) -> Ran {
        let output = self.command(PILLION).args(["impact", "-f", "web.yaml"]).args(flags).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().expect("it ends"), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The old and the new tag of the image, as the report has them.
    #[track_caller]
    fn tags(&self, range: &str) -> Vec<String> {
        let ran = self.impact(&["--git", range, "--templates", "deploy/templates"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let line = ran.stdout.lines().find(|line| line.contains("].image: ")).unwrap_or_default();
        line.split("log-shipper:").skip(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}

#[test]
fn revisions_of_a_git_repository_are_compared() {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    repository.commit_image("2");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit_image("3");
    repository.git(&["checkout", "--quiet", "topic"]);
    repository.write("deploy/templates/log-shipper.yaml", &LOG_SHIPPER.replace("log-shipper:1", "log-shipper:4"));

    assert_eq!(repository.tags("main..topic"), ["3", "2"]);
    assert_eq!(repository.tags("main...topic"), ["1", "2"], "what topic changed since it left main");
    assert_eq!(repository.tags("main"), ["3", "4"], "the files as they are");
    assert_eq!(repository.tags("main.."), ["3", "2"]);
    assert_eq!(repository.tags("HEAD..HEAD"), [""; 0]);
    let ran = repository.impact(&["--git", "main", "--templates", "deploy/templates/log-shipper.yaml"]);
    assert!(ran.stdout.starts_with("templates: main → the working tree\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("log-shipper:3 → registry.example.com/log-shipper:4"), "{}", ran.stdout);

    fs::remove_dir_all(repository.path().join("deploy")).expect("the folder is there");
    let ran = repository.impact(&["--git", "topic", "--templates", "deploy/templates"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("log-shipper: removed\n"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_folder_at_a_revision_is_read_as_a_folder_is() {
    let repository = Repository::new();
    for file in [".hidden.yaml", "kustomization.yaml", "notes.txt", "more/.git-ignored/x.yaml"] {
        repository.write(&format!("deploy/templates/{file}"), "not: [a template");
    }
    repository.write("shared/side.yaml", &template("side", "  pod: {metadata: {labels: {a: b}}}\n"));
    symlink("../../shared/side.yaml", repository.path().join("deploy/templates/side.yaml")).expect("a link");
    repository.commit_image("2");
    repository.write("shared/side.yaml", &template("side", "  pod: {metadata: {labels: {a: c}}}\n"));
    repository.write("web.yaml", &asking("side", &["web"]));
    let ran = repository.impact(&["--git", "HEAD", "--templates", "deploy/templates"]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("  changed: metadata.labels[a]: b → c\n"), "links lead where they did: {}", ran.stdout);
    assert!(!ran.stdout.contains("cannot be loaded"), "{}", ran.stdout);

    for (name, target, says) in [
        ("out.yaml", "/etc/hostname", "a link to what is outside of the repository"),
        ("gone.yaml", "gone", "a link that leads nowhere"),
        ("folder", "../../shared", "a link to a folder, which is not followed at a revision"),
    ] {
        symlink(target, repository.path().join("deploy/templates").join(name)).expect("a link");
        repository.commit_image("3");
        let ran = repository.impact(&["--git", "HEAD..HEAD", "--templates", "deploy/templates"]);
        assert!(ran.stdout.contains(&format!("as before: deploy/templates/{name}: {says}")), "{}", ran.stdout);
    }
}

#[test]
fn what_git_cannot_give_is_told_in_a_sentence() {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "--orphan", "other"]);
    repository.git(&["commit", "--quiet", "--message", "other"]);
    let templates = ["--templates", "deploy/templates"];
    for (revision, says) in [
        ("mian", "there is no revision mian in the repository of deploy/templates"),
        ("main..mian", "there is no revision mian in the repository of deploy/templates"),
        ("HEAD:deploy", "there is no revision HEAD:deploy"),
        ("main..--help", "none begins with -"),
        ("main...other", "main and other have no common commit here; fetch more of the history"),
    ] {
        let ran = repository.impact(&[&["--git", revision], &templates[..]].concat());
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{revision}");
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    let ran = repository.impact(&["--git", "main", "--templates", "deploy/templats"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("--templates deploy/templats: neither in main nor in the working tree"),
        "{}",
        ran.stderr
    );

    let outside = Change::of_log_shipper("log-shipper:1", "log-shipper:2");
    let ran = repository.impact(&["--git", "main", "--templates", &outside.side("old")]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("not a git repository") && ran.stderr.contains("--from and --to"), "{}", ran.stderr);

    let mut command = repository.command(PILLION);
    command.args(["impact", "-f", "web.yaml", "--git", "main"]).args(templates).env("PATH", "/nonexistent");
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("there is no program git in PATH"), "{stderr}");
}

#[test]
fn a_hook_of_git_can_ask_in_a_folder_below() {
    let repository = Repository::new();
    repository.write("deploy/templates/log-shipper.yaml", &LOG_SHIPPER.replace("log-shipper:1", "log-shipper:2"));
    let mut command = repository.command(PILLION);
    command.args(["impact", "-f", "web.yaml", "--git", "HEAD", "--templates", "deploy/templates"]);
    let output = command.env("GIT_DIR", ".git").env("GIT_INDEX_FILE", ".git/index").output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("log-shipper:1 → registry.example.com/log-shipper:2"), "{stdout}");
}

#[test]
fn the_example_on_its_page_is_what_the_program_writes() {
    const FENCE: &str = "```text\n";
    let redis = template("redis", "  pod: {metadata: {labels: {cache: redis}}}\n");
    let repository = Repository::new();
    repository.write("deploy/templates/redis.yaml", &redis);
    let asking_with = |name: &str, logs: &str| {
        let annotations = json!({"pillion.dev/templates": "log-shipper", "log-shipper.pillion.dev/logDir": logs});
        deployment(name, &annotations, &json!({}))
    };
    let legacy =
        deployment("legacy", &json!({"pillion.dev/templates": "log-shipper"}), &json!({"os": {"name": "linux"}}));
    let workloads = asking("log-shipper", &["web", "cart", "search", "billing", "orders"])
        + &asking_with("import", "/data/logs")
        + &legacy
        + &asking("redis", &["sessions"]);
    repository.write("web.yaml", &workloads);
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "old"]);
    let new = LOG_SHIPPER
        .replace("log-shipper:1", "log-shipper:2")
        .replace("pattern: \"^/\"", "pattern: \"^/var/\"")
        .replacen("spec:\n", "spec:\n  when: \"!has(pod.spec.os)\"\n", 1)
        .replace("      env:\n", "      env:\n        - {name: LOG_FORMAT, value: json}\n");
    repository.write("deploy/templates/log-shipper.yaml", &new);
    repository.write("deploy/templates/redis.yaml", &redis.replace("labels: {cache", "lables: {cache"));
    let ran = repository.impact(&["--git", "main", "--templates", "deploy/templates"]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/impact.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let (before, rest) = page.split_once(FENCE).expect("it has an example");
    let (_, after) = rest.split_once("```\n").expect("it ends");
    assert_is_written("docs/impact.md", &format!("{before}{FENCE}{}```\n{after}", ran.stdout));
}
