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

/// The largest template file: as much as a ConfigMap can hold.
pub(crate) const TEMPLATE_BYTES: u64 = 1024 * 1024;
/// No platform team has more templates; a folder with more files was probably named by mistake.
pub(crate) const MAX_FILES: usize = 1000;
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

/// Reads `roots` in order, each file up to `max_bytes`; within a folder the files are sorted by path, and those with tests
/// are skipped.
pub(crate) fn read(roots: &[PathBuf], max_bytes: u64) -> Vec<SourceFile> {
    read_all(roots, max_bytes, |path| is_yaml(path) && !is_test(path))
}

/// Reads the files with tests of templates that are in a folder, or the one that is named.
pub(crate) fn read_tests(root: &Path) -> Vec<SourceFile> {
    read_all(&[root.to_owned()], TEMPLATE_BYTES, is_test)
}

fn read_all(roots: &[PathBuf], max_bytes: u64, is_wanted: fn(&Path) -> bool) -> Vec<SourceFile> {
    let mut files = Vec::new();
    for root in roots {
        if root.is_dir() {
            read_folder(root, &mut Vec::new(), max_bytes, is_wanted, &mut files);
        } else {
            let text = File::open(root).and_then(|file| read_text(file, max_bytes)).map_err(|error| error.to_string());
            files.push(SourceFile { path: root.clone(), text: text.map(Arc::from) });
        }
    }
    files
}

/// Reads UTF-8 text, up to `max_bytes` of it.
pub(crate) fn read_text(source: impl Read, max_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("larger than {max_bytes} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))
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
    max_bytes: u64,
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
    read_entries(folder, above, max_bytes, is_wanted, files);
    above.pop();
}

fn read_entries(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    max_bytes: u64,
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
            read_folder(&path, above, max_bytes, is_wanted, files);
        } else if path.is_file() && is_wanted(&path) {
            if files.len() >= MAX_FILES {
                return files.push(unreadable(format!("not read to its end: more than {MAX_FILES} files")));
            }
            match File::open(&path).and_then(|file| read_text(file, max_bytes)) {
                Ok(text) => files.push(SourceFile { path, text: Ok(text.into()) }),
                // Deleted since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => files.push(SourceFile { path, text: Err(error.to_string()) }),
            }
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
        let files = read(&[root.to_owned()], TEMPLATE_BYTES);
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
        fs::write(folder.path().join("latin.yaml"), [0xe9]).unwrap();
        let deep = folder.path().join(["d"; 17].join("/"));
        fs::create_dir_all(&deep).unwrap();
        let files = read(&[folder.path().to_owned(), folder.path().join("absent")], 10);
        let whys: Vec<&str> = files.iter().filter_map(|file| file.text.as_ref().err()).map(String::as_str).collect();
        assert!(whys.contains(&"larger than 10 bytes"), "{whys:?}");
        assert!(whys.contains(&"not UTF-8 text"), "{whys:?}");
        assert!(whys.contains(&"more than 16 folders deep"), "{whys:?}");
        assert!(whys.iter().any(|why| why.contains("No such file")), "{whys:?}");
    }
}
