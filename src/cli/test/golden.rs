//! Golden files: whole results, as they were read and found right once.
//!
//! They lack `pillion.dev/status`, which is for tools, and has digests and a version that change without the pod.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use similar::TextDiff;

use crate::files::{self, TEMPLATES};
use crate::manifest;

/// Where a golden file really is. A link must not lead out of the folder with the tests: what is there may be written over.
pub(super) fn real_path(test_file: &Path, path: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    let path = test_file.parent().unwrap_or(Path::new("")).join(path);
    // Of what is not there the folder counts that will hold it; a link that leads nowhere is there.
    let mut known = path.as_path();
    while known.symlink_metadata().is_err() {
        known = known.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    }
    let real = known.canonicalize().with_context(|| known.display().to_string())?;
    ensure!(real.starts_with(root), "{} is outside of {}", path.display(), root.display());
    let rest = path.strip_prefix(known).unwrap_or(&path);
    Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
}

/// What a golden file holds, if it is there.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    ensure!(path.is_file(), "{} is no file", path.display());
    let file = files::read(&[path.to_owned()], TEMPLATES).into_iter().next().context("nothing was read")?;
    let text = file.text.map_err(anyhow::Error::msg).with_context(|| path.display().to_string())?;
    let node = manifest::parse(&text, 0).with_context(|| path.display().to_string())?;
    let value = node.map(|node| node.to_json()).unwrap_or_default();
    // It would be written over.
    let is_template = value["apiVersion"].as_str().is_some_and(|it| it.starts_with("pillion.dev/"));
    ensure!(!is_template, "{} is a template, and no result", path.display());
    Ok(Some(value))
}

/// Writes a golden file.
pub(super) fn write(path: &Path, result: &Value) -> anyhow::Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all);
    let text = manifest::write(result)?;
    written.and_then(|()| fs::write(path, text)).with_context(|| format!("cannot write {}", path.display()))
}

/// How a result differs from what is expected, if it does.
pub(super) fn difference(name: &str, expected: &Value, result: &Value) -> anyhow::Result<Option<String>> {
    if expected == result {
        return Ok(None);
    }
    let [expected, result] = [manifest::write(expected)?, manifest::write(result)?];
    let diff = TextDiff::from_lines(&expected, &result);
    Ok(Some(format!("{name} differs\n{}", diff.unified_diff().header("expected", "got"))))
}
