//! What is read: files, folders and standard input, each document with its place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use pillion_engine::yaml::SyntaxError;

use crate::files::{self, SourceFile};

/// Far more than any rendered chart.
const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// Reads all that was named, in order.
pub(super) fn read(names: &[PathBuf]) -> Vec<SourceFile> {
    names.iter().flat_map(|name| read_one(name)).collect()
}

fn read_one(name: &Path) -> Vec<SourceFile> {
    if name == Path::new("-") {
        let text = files::read_text(io::stdin().lock(), MANIFEST_BYTES).map_err(|error| error.to_string());
        return vec![SourceFile { path: "standard input".into(), text: text.map(Arc::from) }];
    }
    let files = files::read(&[name.to_owned()], MANIFEST_BYTES);
    if files.is_empty() {
        let why = "no .yaml, .yml or .json file in there".to_owned();
        return vec![SourceFile { path: name.to_owned(), text: Err(why) }];
    }
    files
}

/// Reads one file, or standard input.
pub(super) fn read_file(name: &Path) -> anyhow::Result<Arc<str>> {
    let file = read_one(name).into_iter().next().context("nothing was read")?;
    file.text.map_err(anyhow::Error::msg).with_context(|| file.path.display().to_string())
}

/// Why a document of a file cannot be read, with its place.
pub(super) fn syntax_error(file: &Path, document: &str, error: &SyntaxError) -> String {
    let SyntaxError { position, message } = error;
    let place = format!("{}:{}:{}", file.display(), position.line, position.column);
    // Templates of ours have holes, ${{ … }}, in quotes.
    if document.replace("${{", "").contains("{{") {
        return format!(
            "{place}: this looks like a Helm template; render its chart first: helm template CHART | pillion inject -f -"
        );
    }
    format!("{place}: {message}")
}
