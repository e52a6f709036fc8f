//! The commands, one file each.

mod complete;
mod durations;
mod engine;
mod evaluate;
mod explain;
mod fetch;
mod fix;
mod impact;
mod inject;
mod input;
mod lint;
mod man;
mod namespaces;
mod output;
mod progress;
mod render;
mod review;
mod schema;
mod selector;
mod serve;
mod settings;
mod site;
mod templates;
mod test;
mod uninject;
mod version;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use clap_complete::Shell;

use self::output::{print, report};
use crate::cluster::client::Unusable;

/// Adds native sidecars, probes and shared volumes to Kubernetes pods.
#[derive(Debug, Parser)]
#[command(
    name = "pillion",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  pillion inject -f web.yaml | kubectl apply -f -
  pillion explain -f web.yaml
  pillion serve --dev

Exit codes: 0 as asked; 1 something differs, is wrong, or is not injected; 2 wrong usage, or input that cannot be read; 3 a \
cluster that cannot be used."
)]
pub(crate) enum Command {
    /// Serve the webhook
    Serve(Box<serve::Args>),
    /// Inject into manifests: they come out on standard output, the report on standard error
    Inject(inject::Args),
    /// Take out of manifests what was injected
    Uninject(uninject::Args),
    /// Show what inject would change; the exit code is 1 when anything does
    #[command(after_help = "\
Examples:
  pillion diff -f web.yaml
  helm template charts/web | pillion diff -f - --template fluent-bit")]
    Diff(input::Common),
    /// Say step by step why a pod is injected, or is not, and what to do
    Explain(explain::Args),
    /// Show whom a change of templates hits, and how; the exit code is 1 when something is newly refused
    Impact(Box<impact::Args>),
    /// Check templates; the exit code is 1 when one is refused
    Lint(lint::Args),
    /// Show what a template adds to a pod, as the template says it but without holes
    Render(render::Args),
    /// Print the JSON Schema of templates, for editors
    #[command(after_help = "\
Examples:
  pillion schema > template.schema.json")]
    Schema,
    /// Answer an AdmissionReview from a file as the webhook would
    Review(review::Args),
    /// List, show and begin templates
    #[command(subcommand)]
    Templates(templates::Command),
    /// Run tests of templates: what becomes of pods, beside what is expected
    Test(test::Args),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  source <(pillion completion bash)
  pillion completion zsh > \"${fpath[1]}/_pillion\"
  pillion completion fish > ~/.config/fish/completions/pillion.fish

For the plugin of kubectl, link the program under the name by which kubectl asks for its completion:
  ln -s kubectl-pillion \"$(dirname \"$(command -v kubectl-pillion)\")/kubectl_complete-pillion\"")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print or write manual pages
    Man(man::Args),
    /// Print version and revision
    Version(version::Args),
    /// What the last of these words can become. It is asked for by another name of the program, or as programs made with
    /// cobra are asked, and no completion script should offer it.
    #[command(skip)]
    Complete(Vec<OsString>),
}

/// The arguments, under the name by which the program was called: `kubectl pillion` finds it as `kubectl-pillion`, and asks
/// `kubectl_complete-pillion` for completion.
pub(crate) fn parse() -> Command {
    let mut words = env::args_os().skip(1);
    if is_called("kubectl_complete-pillion") || words.by_ref().next().is_some_and(|first| first == "__complete") {
        return Command::Complete(words.collect());
    }
    Command::from_arg_matches(&usage().get_matches()).unwrap_or_else(|error| error.exit())
}

fn is_called(name: &str) -> bool {
    env::args_os().next().is_some_and(|called| Path::new(&called).file_stem().is_some_and(|stem| stem == name))
}

fn usage() -> clap::Command {
    let usage = Command::command();
    if is_called("kubectl-pillion") { as_plugin(usage.bin_name("kubectl pillion")) } else { usage }
}

/// Has the examples call the program as a plugin of kubectl.
fn as_plugin(command: clap::Command) -> clap::Command {
    let examples = command.get_after_help().map(ToString::to_string);
    let examples = examples.map(|it| {
        ["  ", "| ", "<("]
            .iter()
            .fold(it, |text, before| text.replace(&format!("{before}pillion "), &format!("{before}kubectl pillion ")))
    });
    let command = examples.into_iter().fold(command, clap::Command::after_help);
    command.mut_subcommands(as_plugin)
}

/// Runs a command. The exit code is 1 when a pod is not injected as asked, 2 for wrong usage or input or a failure of the
/// command itself, 3 for a cluster that cannot be used.
pub(crate) fn run(command: Command) -> ExitCode {
    let ended = match command {
        Command::Serve(args) => serve::run(*args).map(|()| ExitCode::SUCCESS),
        Command::Inject(args) => inject::run(args),
        Command::Uninject(args) => uninject::run(args),
        Command::Diff(args) => inject::diff(args),
        Command::Explain(args) => explain::run(args),
        Command::Impact(args) => impact::run(*args),
        Command::Lint(args) => lint::run(&args),
        Command::Render(args) => render::run(args),
        Command::Schema => schema::run().map(|()| ExitCode::SUCCESS),
        Command::Review(args) => review::run(args),
        Command::Templates(command) => templates::run(command),
        Command::Test(args) => test::run(&args),
        Command::Completion { shell } => completion(shell).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(usage(), &args).map(|()| ExitCode::SUCCESS),
        Command::Version(args) => version::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Complete(words) => complete::run(&mut usage(), words).map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        report(format_args!("error: {error:#}"));
        ExitCode::from(if error.is::<Unusable>() { 3 } else { 2 })
    })
}

fn completion(shell: Shell) -> anyhow::Result<()> {
    let mut usage = usage();
    let name = usage.get_bin_name().unwrap_or("pillion").replace(' ', "-");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut usage, name, &mut script);
    print(String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_make_sense() {
        Command::command().debug_assert();
    }
}
