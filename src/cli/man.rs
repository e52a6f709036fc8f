//! `pillion man`: manual pages, one for each command.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use super::output::print;
use crate::version::VERSION;

/// Flags of `pillion man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pillion man inject | man -l -
  pillion man --out /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// Command, such as inject or templates list; the page of pillion itself unless one is named
    #[arg(conflicts_with = "out")]
    command: Vec<String>,

    /// Write all pages into this folder: pillion.1, pillion-inject.1 and so on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub(super) fn run(usage: clap::Command, args: &Args) -> anyhow::Result<()> {
    let mut usage = usage.disable_help_subcommand(true);
    usage.build();
    if let Some(folder) = &args.out {
        return write_pages(&usage, folder).with_context(|| format!("--out {}", folder.display()));
    }
    let command = args.command.iter().try_fold(&usage, |command, name| {
        command.find_subcommand(name).with_context(|| {
            let names = command.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
            match names.collect::<Vec<_>>()[..] {
                [] => format!("{} has no commands", command.get_bin_name().unwrap_or_else(|| command.get_name())),
                ref names => format!("there is no command {name}; there are {}", names.join(", ")),
            }
        })
    })?;
    print(page(command)?.1)
}

fn write_pages(command: &clap::Command, folder: &PathBuf) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let (name, text) = page(command)?;
    fs::write(folder.join(name), text)?;
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|command| write_pages(command, folder))
}

/// The name of a page's file, and its text.
fn page(command: &clap::Command) -> io::Result<(String, String)> {
    let man = Man::new(command.clone()).source(format!("pillion {VERSION}"));
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    // What stands below the flags are examples, which must keep their lines.
    if let Some((before, after)) = text.split_once(".SH EXTRA\nExamples:\n") {
        let (examples, after) = after
            .split_once("\n.SH")
            .map_or((after, String::new()), |(examples, after)| (examples, format!("\n.SH{after}")));
        text = format!("{before}.SH EXAMPLES\n.nf\n{examples}\n.fi{after}");
    }
    Ok((man.get_filename(), text.trim_end().to_owned() + "\n"))
}
