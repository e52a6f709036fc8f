//! The console blocks of the README and of docs/ are run: below each command stands what it prints, and a line such as
//! `? 1` its exit code. `make docs` writes what they print now. A block that needs a cluster says `console,ignore`.

use std::path::Path;

use crate::docs::{blocks, pages};

#[test]
fn console_blocks_show_what_the_program_prints() {
    trycmd::TestCases::new()
        .register_bin("pillion", Path::new(env!("CARGO_BIN_EXE_pillion")))
        .case("README.md")
        .case("docs/*.md");
}

#[test]
fn console_blocks_run_no_other_program() {
    let mut commands = 0;
    for page in pages() {
        for (line, block) in blocks(&page, "console") {
            for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                assert!(command.starts_with("pillion "), "{}:{line}: {command} is not run", page.display());
                commands += 1;
            }
        }
    }
    assert!(commands > 0, "no page has a console block");
}
