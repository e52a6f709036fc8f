//! Pages that are written by the program itself. `make docs` (`UPDATE_DOCS=1`) writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use pillion_engine::MERGE_RULES;
use pillion_engine::decision::Reason;
use pillion_engine::rules::{self, Group};
use pillion_engine::yaml::{self, Node};

use crate::golden::Case;
use crate::harness::tools::run;

const REASONS: &str = "\
# Reason codes

Whatever Pillion does with a pod, and with each template that the pod asks for, has an *outcome* and a *reason*.

| Outcome | Means |
|---|---|
| `injected` | Something was added |
| `skipped` | Nothing was to be done; the pod goes on |
| `denied` | The pod is refused |
| `error` | Something went wrong, and the pod, or the rest of its templates, goes on without it |

Where a template cannot be applied, its `onError` decides between `denied` (`Deny`) and `error` (`Skip`), or else the
server's `--on-error`.

## Where to look

| Where | What it shows |
|---|---|
| Annotation `pillion.dev/outcome` of the pod | The reason of each template: `fluent-bit=injected,envoy=guard_false`. What an earlier call injected stays `injected` |
| The message of a refusal | What, where and what to do, then the code with a link to its row below. `kubectl` shows it, or the events of the ReplicaSet, StatefulSet or Job that wanted the pod |
| Warnings | The same for templates that were skipped (`skipped: …`), keys of Pillion's that mean nothing, and a Guaranteed pod that [became Burstable](workloads.md#quality-of-service). `kubectl` shows them to whoever creates the pod |
| Events of the ReplicaSet, StatefulSet or Job | Every warning, as controllers do not pass them on; the code is the reason, as in `UnknownTemplate`. With `--watch` |
| The server's log | One line a review: `outcome` and `reason` of the pod, `templates` with the reason of each, the message as `why` |
| Metric `pillion_admission_requests_total` | Reviews by `operation`, `result` (the outcome) and `reason` |
| The API server's audit log | The annotations `outcome` and `reason`, behind the webhook's name, of pods that were injected or refused |
| `pillion inject` | Outcome, reason and message of each pod, on standard error, with the place in the file |
| `pillion explain` | The step of the decision at which a pod ends, without a cluster; with `--reason CODE` what is in the table below |

What to do by what you see is in [not-injected.md](not-injected.md).

The pod's own reason is that of its first template that refuses it; else `injected`, if anything was; else that of the
first template that went wrong, or else of the first.

## The codes

| Code | Outcome | What it means | What to do |
|---|---|---|---|
";

#[test]
fn the_page_of_reasons_is_that_of_the_engine() {
    let mut page = REASONS.to_owned();
    for reason in Reason::ALL {
        let outcomes: Vec<_> = reason.outcomes().iter().map(|outcome| format!("`{outcome}`")).collect();
        let (sentence, fix) = (in_a_table(reason.sentence()), in_a_table(reason.fix()));
        // The place to which its page leads.
        assert!(reason.page().ends_with(&format!("/docs/reasons.md#{reason}")), "{}", reason.page());
        let anchor = format!("<a name=\"{reason}\"></a>");
        writeln!(page, "| {anchor}`{reason}` | {} | {sentence} | {fix} |", outcomes.join(", "))
            .expect("a string takes it");
    }
    assert_is_written("docs/reasons.md", &page);
}

const RULES: &str = "\
# Rules

What the API server would refuse in a pod because of a template, Pillion refuses first, with the template's name and the
place: when the template is loaded, as far as that can be known without a pod, and otherwise at review. Only what templates
brought is judged, and each thing once; the pod's own is left to the API server.

Types, required fields and enumerations are those of Kubernetes' OpenAPI document, and a list or field that is `null` counts
as not there. A warning only is a port that two containers of one pod have, as they may listen on different addresses; a
regular container in a pod that is to end, as it may end by itself; and a variable that refers to one which is only defined
behind it, as `envFrom` or a Service may define that, too.

What happens where a pod and a template disagree is in [merge.md](merge.md).

## Of what the API server makes of a field

A field that Pillion does not know is taken for a misspelt one if a known one is near. Otherwise it may be of a newer
Kubernetes, and it is passed on, with a warning when the template is loaded: an API server that does not know it either drops
it. Of what feature gates switch, the API servers of 1.35 and 1.36 as they come

- drop `stopSignal`, `schedulingGroup`, and the sources `clusterTrustBundle` and `podCertificate` of a projected volume;
- refuse `seLinuxChangePolicy: MountOption`, the operators `Gt` and `Lt` of a toleration, and before 1.36 the
  `restartPolicyRules` of a native sidecar. Pillion leaves these to them.
";

/// What is refused and stands in no row.
const BESIDE: &str = "\
On purpose, though an API server would take it. `app` gives the fields that are [listed](templates.md#fields-of-spec) and no other, what a
template and a pod give each [in its own way](merge.md) can be a conflict, and `pod.spec.hostNetwork` needs
`spec.hostNetwork: true`.

";

#[test]
fn the_page_of_rules_is_that_of_the_engine() {
    let mut page = RULES.to_owned();
    let described = rules::descriptions();
    for (group, title) in [
        (Group::Parts, "Of single parts"),
        (Group::Across, "Of parts together"),
        (Group::Template, "What Pillion refuses beside that"),
        (
            Group::Baseline,
            "Of the *baseline* level of Pod Security, where a template is warned of what it needs beyond",
        ),
        (Group::Restricted, "Of the *restricted* level, beside that, which `pillion lint` tells"),
    ] {
        let of_group = || described.iter().filter(|rule| rule.group == group);
        write!(page, "\n## {title}\n\n").expect("a string takes it");
        if group == Group::Template {
            page.push_str(BESIDE);
        }
        if group != Group::Across {
            page.push_str("| Part | Rule |\n|---|---|\n");
        }
        for rule in of_group() {
            let must = in_a_table(&rule.must);
            let line = match group {
                Group::Across => format!("- {must}\n"),
                _ => format!("| `{}` | {must} |\n", rule.of.replace(", ", "`, `")),
            };
            page.push_str(&line);
        }
    }
    assert_is_written("docs/rules.md", &page);
}

#[test]
fn the_table_of_merging_is_that_of_the_engine() {
    const HEAD: &str = "| Part | The same when | If the pod has it |\n|---|---|---|\n";
    let page = fs::read_to_string(root().join("docs/merge.md")).expect("the page is there");
    let (before, after) = page.split_once(HEAD).expect("it has the table");
    let (_, after) = after.split_once("\n\n").expect("text follows");
    let rows = MERGE_RULES.iter().map(|rule| format!("| {} | {} | {} |\n", rule.part, rule.same, rule.then));
    assert_is_written("docs/merge.md", &format!("{before}{HEAD}{}\n{after}", rows.collect::<String>()));
}

/// Keeps `<parameter>` from being taken for HTML, and a bar for the end of a cell.
fn in_a_table(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('>', "&gt;")
}

const COMMANDS: &str = "\
# Commands

What `--help` says of each. Every command but `serve` works without a cluster. Results go to standard output and the report to
standard error; the exit code is 0 when all is as asked, 1 when something differs, is refused or fails its test, 2 for wrong
usage or input that cannot be read, and 3 for a cluster that cannot be used.
";

#[test]
fn the_page_of_commands_is_what_help_says() {
    let mut page = COMMANDS.to_owned();
    write_help(&mut page, &[]);
    assert_is_written("docs/commands.md", &page);
}

/// Writes what `--help` says of a command, and of those below it.
fn write_help(page: &mut String, command: &[&str]) {
    let ran = run(Path::new(env!("CARGO_BIN_EXE_pillion")), [command, &["--help"]].concat(), "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let help = ran.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    if !command.is_empty() {
        write!(page, "\n## pillion {}\n\n```text\n{}\n```\n", command.join(" "), help.trim_end())
            .expect("a string takes it");
    }
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
    // What is indented more goes on with the line above.
    let commands = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    for name in commands.filter(|name| *name != "help") {
        write_help(page, &[command, &[name]].concat());
    }
}

/// Compares a page with what is committed, or writes it.
pub(crate) fn assert_is_written(file: &str, page: &str) {
    let path = root().join(file);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page).expect("the file is writable");
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "{file} is stale: run make docs");
}

/// The README and every page of docs/.
pub(crate) fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("there are pages").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    [root().join("README.md")].into_iter().chain(pages).collect()
}

/// The blocks of a page in a language, each with the line on which it begins.
pub(crate) fn blocks(page: &Path, language: &str) -> Vec<(usize, String)> {
    let text = fs::read_to_string(page).expect("the page is there");
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(name) = line.strip_prefix("```").filter(|name| !name.is_empty()) {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let block = block.map(|line| format!("{line}\n")).collect();
            if name == language {
                blocks.push((number + 2, block));
            }
        }
    }
    blocks
}

#[test]
fn every_yaml_example_is_yaml_and_every_template_among_them_passes_lint() {
    let mut templates = 0;
    for page in pages() {
        for (line, block) in blocks(&page, "yaml") {
            let place = format!("{}:{line}", page.display());
            for document in yaml::read(&block) {
                let document = document.unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                let version = document.get("apiVersion").and_then(Node::as_str).unwrap_or_default();
                if version.starts_with("pillion.dev/") {
                    templates += 1;
                    let program = Path::new(env!("CARGO_BIN_EXE_pillion"));
                    let ran = run(program, ["lint", "-f", "-"], &block);
                    assert_eq!(ran.code, 0, "{place}: {}", ran.stdout);
                }
            }
        }
    }
    assert!(templates > 1, "README and docs/ show templates");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// These are about reviews of something else than a new pod, or a fault of the program: no pod can show them.
const WITHOUT_A_POD: [Reason; 5] =
    [Reason::NotAPod, Reason::NotACreate, Reason::Subresource, Reason::UnsupportedVersion, Reason::InternalError];

#[test]
fn every_reason_that_a_pod_can_meet_is_shown_by_a_golden_case() {
    let shown: BTreeSet<_> = golden_results().into_iter().map(|(_, reason)| reason).collect();
    let is_shown = |reason: &Reason| WITHOUT_A_POD.contains(reason) || shown.contains(reason.as_str());
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !is_shown(reason)).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "no case in tests/golden shows {}", missing.join(", "));
}

#[test]
fn a_reason_stands_beside_no_other_outcome_than_its_page_says() {
    for (outcome, reason) in golden_results() {
        let known = Reason::ALL.iter().find(|known| known.as_str() == reason).expect(&reason);
        assert!(known.outcomes().iter().any(|known| known.as_str() == outcome), "{outcome}: {reason}");
    }
}

/// The outcomes and reasons of all golden cases, of pods and of templates.
fn golden_results() -> BTreeSet<(String, String)> {
    let mut results = BTreeSet::new();
    for case in Case::all() {
        let result = case.parse("expected.yaml").expect("a case has a result");
        let field = |name: &str| result[name].as_str().expect(name).to_owned();
        results.insert((field("outcome"), field("reason")));
        for (outcome, reason) in result["templates"].as_object().into_iter().flatten().filter_map(|(_, said)| {
            let (outcome, reason) = said.as_str()?.split_once(": ")?;
            Some((outcome.to_owned(), reason.to_owned()))
        }) {
            results.insert((outcome, reason));
        }
    }
    results
}
