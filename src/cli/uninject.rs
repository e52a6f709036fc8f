//! `pillion uninject`: out of manifests comes what was injected into them, and no more.
//!
//! What that is says the annotation `pillion.dev/status`. What a pod asks for is left: injected again, it is as it was.

use std::process::ExitCode;

use pillion_engine::{Recorded, Uninjected};
use serde_json::value::to_raw_value;

use super::inject::{Format, Rewritten, Step, rewrite};
use super::input::ObjectArgs;
use super::namespaces::Namespaces;
use super::output::report;
use crate::manifest::PodTemplate;

/// Flags of `pillion uninject`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion uninject -f injected.yaml | kubectl apply -f -
  pillion uninject -f manifests/ -l app=web -o diff")]
pub(crate) struct Args {
    #[command(flatten)]
    objects: ObjectArgs,

    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,

    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Takes out what was injected into all that was named. The exit code is 1 when something could not be taken back.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { objects: ObjectArgs { files, selector }, namespace, output } = args;
    let (step, namespaces) = (Step::Uninject(Uninjection::default()), Namespaces::with_default(namespace));
    Ok(rewrite(&files.read()?, step, namespaces, selector, output)?.exit_code())
}

/// Uninjecting, as far as all pods have it in common.
#[derive(Default)]
pub(super) struct Uninjection {
    /// Whether something could not be taken back.
    pub(super) failed: bool,
}

impl Uninjection {
    /// Takes out what was injected into one pod, and reports.
    pub(super) fn pod(
        &mut self,
        subject: &str,
        namespace: &str,
        mut template: PodTemplate<'_>,
    ) -> anyhow::Result<Rewritten> {
        let say = |text: &str| report(format_args!("{subject}: {text}"));
        let Uninjected { pod, templates } = match pillion_engine::uninject(&to_raw_value(&template.pod(namespace))?) {
            Ok(Some(uninjected)) => uninjected,
            Ok(None) => return Ok(Rewritten::No),
            Err(why) => {
                say(&format!("left as it is: {why}"));
                self.failed = true;
                return Ok(Rewritten::No);
            }
        };
        let names: Vec<_> = templates.iter().map(|template| template.name.as_str()).collect();
        say(&if names.is_empty() {
            "nothing was injected".to_owned()
        } else {
            format!("uninjected {}", names.join(", "))
        });
        for Recorded { name, missing, overridden, unknown } in &templates {
            for (places, what) in [
                (missing, "recorded as added, and not there"),
                (overridden, "replaced, and what was there before is not recorded; correct it by hand"),
                (unknown, "recorded, and nothing that this version can have added; left as it is"),
            ] {
                if !places.is_empty() {
                    say(&format!("warning: template \"{name}\": {}: {what}", places.join(", ")));
                }
            }
            self.failed |= !overridden.is_empty() || !unknown.is_empty();
        }
        template.put_back(pod);
        Ok(Rewritten::Yes)
    }
}
