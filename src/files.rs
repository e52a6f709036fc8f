//! Template files and manifests: single files, and folders that are read with all that is in them.
//!
//! A folder is polled for its contents rather than watched, because a mounted ConfigMap is swapped as a whole by a link
//! that no watch on its files would see. Names that begin with a dot are skipped: such a mount has its real files in
//! `..data`, and editors keep their own files under such names.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The largest file.
    pub(crate) bytes: u64,
    /// The most files, those of all folders together.
    pub(crate) files: usize,
}

/// A template file is no larger than what a ConfigMap can hold. And no platform team has more of them; a folder with more
/// files was probably named by mistake.
pub(crate) const TEMPLATES: Bounds = Bounds { bytes: 1024 * 1024, files: 1000 };
/// Far more than any rendered chart, and than any repository of manifests.
pub(crate) const MANIFESTS: Bounds = Bounds { bytes: 64 * 1024 * 1024, files: 100_000 };
/// Nobody nests them deeper on purpose.
const MAX_DEPTH: usize = 16;
/// What kustomize reads, and no API server.
const KUSTOMIZATION: [&str; 2] = ["kustomization.yaml", "kustomization.yml"];

/// A file that was read, or a file or folder that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SourceFile {
    /// Where it is; when `text` is an error, this can be a folder.
    pub(crate) path: PathBuf,
    /// Its text, or why it could not be read.
    pub(crate) text: Result<Arc<str>, String>,
}

/// Reads `roots` in order; within a folder the files are sorted by path, and those with tests are skipped.
pub(crate) fn read(roots: &[PathBuf], bounds: Bounds) -> Vec<SourceFile> {
    read_all(roots, bounds, |path| is_yaml(path) && !is_test(path))
}

/// Reads the files with tests of templates that are in a folder, or the one that is named.
pub(crate) fn read_tests(root: &Path) -> Vec<SourceFile> {
    read_all(&[root.to_owned()], TEMPLATES, is_test)
}

fn read_all(roots: &[PathBuf], bounds: Bounds, is_wanted: fn(&Path) -> bool) -> Vec<SourceFile> {
    let mut files = Vec::new();
    for root in roots {
        if root.is_dir() {
            read_folder(root, &mut Vec::new(), bounds, is_wanted, &mut files);
        } else {
            let text =
                File::open(root).and_then(|file| read_text(file, bounds.bytes)).map_err(|error| error.to_string());
            files.push(SourceFile { path: root.clone(), text: text.map(Arc::from) });
        }
    }
    files
}

/// Reads text, up to `max_bytes` of it: UTF-8, or UTF-16 that begins with the mark of its byte order, as PowerShell writes
/// it. Like kubectl, it drops such a mark.
pub(crate) fn read_text(source: impl Read, max_bytes: u64) -> io::Result<String> {
    const MIB: u64 = 1024 * 1024;
    let mut bytes = Vec::new();
    source.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let (number, unit) =
            if max_bytes.is_multiple_of(MIB) { (max_bytes / MIB, "MiB") } else { (max_bytes, "bytes") };
        return Err(io::Error::other(format!("larger than {number} {unit}")));
    }
    match *bytes {
        [0xff, 0xfe, ref text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, ref text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, ..] => utf8(bytes.split_off(3)),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        io::Error::other(format!("line {line} is not UTF-8 text; save the file as UTF-8"))
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> io::Result<String> {
    let (pairs, rest) = bytes.as_chunks();
    let units: Vec<_> = pairs.iter().copied().map(unit).collect();
    let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
    text.ok_or_else(|| io::Error::other("begins like UTF-16 text, but is none; save the file as UTF-8"))
}

/// The built-in cookbook, as files.
pub(crate) fn cookbook() -> Vec<SourceFile> {
    COOKBOOK.iter().map(|(name, text)| SourceFile { path: name.into(), text: Ok((*text).into()) }).collect()
}

macro_rules! built_in {
    ($($name:literal)*) => {
        &[$((concat!($name, ".yaml"), include_str!(concat!("../manifests/templates/", $name, ".yaml")))),*]
    };
}

/// The name and text of each file of `manifests/templates/`.
#[rustfmt::skip]
const COOKBOOK: &[(&str, &str)] = built_in![
    "cache" "cloud-sql-proxy" "config-reload-signal" "config-reload" "config-sync" "db-migrate" "envoy-gateway" "envoy"
    "fetch-config" "fluent-bit" "fluentd" "git-sync-init" "git-sync" "grpc-json" "jmx-exporter" "kube-rbac-proxy"
    "log-normalizer" "mesh-proxy" "mtls" "nginx-exporter" "oauth2-proxy" "otel-collector" "otel-java-agent"
    "postgres-exporter" "ratelimit" "redis-exporter" "result-uploader" "secret-tmpfs" "shared-processes" "unix-socket"
    "vault-agent" "vector" "wait-for"
];

/// `above` are the folders that this one is in, without links.
fn read_folder(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    bounds: Bounds,
    is_wanted: fn(&Path) -> bool,
    files: &mut Vec<SourceFile>,
) {
    let unreadable = |why: String| SourceFile { path: folder.to_owned(), text: Err(why) };
    if above.len() > MAX_DEPTH {
        return files.push(unreadable(format!("more than {MAX_DEPTH} folders deep")));
    }
    match folder.canonicalize() {
        // A link that leads back up: its files are read already.
        Ok(real) if above.contains(&real) => return,
        Ok(real) => above.push(real),
        Err(error) => return files.push(unreadable(error.to_string())),
    }
    read_entries(folder, above, bounds, is_wanted, files);
    above.pop();
}

fn read_entries(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    bounds: Bounds,
    is_wanted: fn(&Path) -> bool,
    files: &mut Vec<SourceFile>,
) {
    let unreadable = |why: String| SourceFile { path: folder.to_owned(), text: Err(why) };
    let mut entries: Vec<DirEntry> = match fs::read_dir(folder).and_then(Iterator::collect) {
        Ok(entries) => entries,
        Err(error) => return files.push(unreadable(error.to_string())),
    };
    entries.retain(|entry| !is_skipped(&entry.file_name()));
    entries.sort_by_key(DirEntry::path);
    for path in entries.iter().map(DirEntry::path) {
        if path.is_dir() {
            read_folder(&path, above, bounds, is_wanted, files);
        } else if is_wanted(&path) && path.is_file() {
            if files.len() >= bounds.files {
                return files.push(unreadable(format!("not read to its end: more than {} files", bounds.files)));
            }
            match File::open(&path).and_then(|file| read_text(file, bounds.bytes)) {
                Ok(text) => files.push(SourceFile { path, text: Ok(text.into()) }),
                // Deleted since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => files.push(SourceFile { path, text: Err(error.to_string()) }),
            }
        } else if is_wanted(&path)
            && let Some(target) = lost_target(&path)
        {
            let why = format!("a link to {} that leads nowhere", target.display());
            files.push(SourceFile { path, text: Err(why) });
        }
    }
}

/// Whether a file is read with the folder from which `path` leads to it.
pub(crate) fn is_read(path: &Path) -> bool {
    is_yaml(path) && !is_test(path) && !path.iter().any(is_skipped)
}

/// Whether a file holds tests of templates, which lie beside these.
pub(crate) fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b"_test.yaml") || name.ends_with(b"_test.yml")
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

fn is_skipped(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || KUSTOMIZATION.iter().any(|skipped| name == *skipped)
}

/// Where a link leads that leads nowhere. Those of a mounted ConfigMap are not meant: when a file is deleted, its link is
/// removed a moment later.
fn lost_target(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    (!path.exists() && !target.starts_with("..data")).then_some(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_cookbook_is_the_folder_of_templates() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/templates");
        let built_in: Vec<_> = COOKBOOK.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&folder), built_in);
    }

    fn names(root: &Path) -> Vec<String> {
        let files = read(&[root.to_owned()], TEMPLATES);
        files.iter().map(|file| file.path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_folder_is_read_with_its_folders_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("more")).unwrap();
        let names_of_files = [
            "b.yaml",
            "a.yml",
            "c.json",
            "notes.txt",
            ".hidden.yaml",
            "more/d.yaml",
            "kustomization.yaml",
            "more/d_test.yaml",
        ];
        for name in names_of_files {
            fs::write(folder.path().join(name), name).unwrap();
        }
        symlink("..", folder.path().join("more/up")).unwrap();
        assert_eq!(names(folder.path()), ["a.yml", "b.yaml", "c.json", "more/d.yaml"]);
        let tests: Vec<_> = read_tests(folder.path()).into_iter().map(|file| file.path).collect();
        assert_eq!(tests, [folder.path().join("more/d_test.yaml")]);
    }

    #[test]
    fn a_mounted_config_map_is_read_once_through_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_01");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("envoy.yaml"), "envoy").unwrap();
        symlink("..2026_01", folder.path().join("..data")).unwrap();
        symlink("..data/envoy.yaml", folder.path().join("envoy.yaml")).unwrap();
        symlink("..data/removed.yaml", folder.path().join("removed.yaml")).unwrap();
        assert_eq!(names(folder.path()), ["envoy.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("big.yaml"), "x".repeat(11)).unwrap();
        fs::write(folder.path().join("latin.yaml"), b"a: b\nc: \xe9").unwrap();
        let deep = folder.path().join(["d"; 17].join("/"));
        fs::create_dir_all(&deep).unwrap();
        symlink("gone.yaml", folder.path().join("lost.yaml")).unwrap();
        let bounds = Bounds { bytes: 10, files: 10 };
        let files = read(&[folder.path().to_owned(), folder.path().join("absent")], bounds);
        let whys: Vec<&str> = files.iter().filter_map(|file| file.text.as_ref().err()).map(String::as_str).collect();
        assert!(whys.contains(&"larger than 10 bytes"), "{whys:?}");
        assert!(whys.contains(&"line 2 is not UTF-8 text; save the file as UTF-8"), "{whys:?}");
        assert!(whys.contains(&"a link to gone.yaml that leads nowhere"), "{whys:?}");
        assert!(whys.contains(&"more than 16 folders deep"), "{whys:?}");
        assert!(whys.iter().any(|why| why.contains("No such file")), "{whys:?}");
    }

    #[test]
    fn text_may_begin_with_a_mark_of_its_byte_order() {
        let read = |bytes: &[u8]| read_text(bytes, 100).map_err(|error| error.to_string());
        assert_eq!(read(b"\xef\xbb\xbfa: \xc3\xa9"), Ok("a: \u{e9}".to_owned()));
        assert_eq!(read(b"\xff\xfea\0:\0 \0\x3d\xd8\x00\xde"), Ok("a: \u{1f600}".to_owned()));
        assert_eq!(read(b"\xfe\xff\0a\0:\0 \0\xe9"), Ok("a: \u{e9}".to_owned()));
        for wrong in [&b"\xff\xfea"[..], b"\xff\xfe\x3d\xd8"] {
            let why = read(wrong).unwrap_err();
            assert_eq!(why, "begins like UTF-16 text, but is none; save the file as UTF-8");
        }
    }
}
