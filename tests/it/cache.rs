//! The script of the cookbook's `cache`, run by the shell and tar of this machine, and by busybox's where that is installed.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::cookbook::recipe;
use crate::harness::eventually;
use crate::harness::process::{Folder, Process};
use crate::harness::tools::run;

/// `rclone copyto FLAGS -- FROM TO`, for local files.
const RCLONE: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do shift; done
mkdir -p "${3%/*}" && cp "$2" "$3"
"#;

const FILES: &str = r#"
mkdir -p "a b/c" .dot/.dot empty -- -folder
echo 1 >"a b/c/with space"; echo 2 >.file; echo 3 >-n; echo 4 >..two; echo 5 >.dot/.dot/deep; echo 6 >-folder/file
echo 7 >read-only; chmod 400 read-only; ln read-only hard
ln -s "a b/c" link; ln -s /nowhere dangling; touch -t 202001020304 .file
printf 8 >"two
lines"
head -c 100000 /dev/zero >large
"#;

const LIST: &str = "find . -mindepth 1 -exec stat -c '%A %N' {} + | sort
find . -type f -exec stat -c '%Y %n' {} + | sort
find . -type f -exec sha256sum {} + | sort";

/// Builds that share a store, one after the other.
struct Builds {
    folder: Folder,
    /// Where the script finds its programs.
    path: String,
    /// The program, and the arguments, that make another the build's user.
    user: &'static [&'static str],
    count: usize,
}

/// A build, and the sidecar that has restored its cache.
struct Build {
    sidecar: Process,
    cache: PathBuf,
    user: &'static [&'static str],
}

impl Builds {
    fn new(tools: &str) -> Builds {
        let folder = Folder::new("pillion-cache-");
        fs::create_dir(folder.path("bin")).expect("the folder is writable");
        folder.write("bin/rclone", RCLONE);
        let path = format!("{}:{tools}", folder.path("bin").display());
        let user: &[_] = match fs::metadata(folder.path("bin")).expect("it is there").uid() {
            0 => &["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "env"],
            _ => &["env"],
        };
        let builds = Builds { folder, path, user, count: 0 };
        builds.allow("", 0o755);
        builds.allow("bin/rclone", 0o755);
        builds.volume("store");
        builds
    }

    fn allow(&self, name: &str, mode: u32) {
        fs::set_permissions(self.folder.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// What an emptyDir is: a folder of root's that everybody may write to. Without root it is the user's own.
    fn volume(&self, name: &str) -> PathBuf {
        fs::create_dir(self.folder.path(name)).expect("the folder is writable");
        self.allow(name, 0o777);
        self.folder.path(name)
    }

    /// Starts the next build, once its cache is restored.
    fn start(&mut self) -> Build {
        self.count += 1;
        let cache = self.volume(&format!("cache-{}", self.count));
        let tmp = self.volume(&format!("tmp-{}", self.count));
        let script = &recipe("cache").spec["pod"]["spec"]["initContainers"][0]["command"][2];
        let script = script.as_str().expect("a script").replace("/tmp/", &format!("{}/", tmp.display()));
        let variables = [
            format!("PATH={}", self.path),
            format!("STORE={}", self.folder.path("store").display()),
            format!("DIRECTORY={}", cache.display()),
            "KEY=web/main".to_owned(),
            "SAVE=true".to_owned(),
        ];
        let arguments = self.user[1..].iter().copied().chain(["-"]).chain(variables.iter().map(String::as_str));
        let mut sidecar = Process::start(Path::new(self.user[0]), arguments.chain(["sh", "-uc", &script]));
        eventually("the cache to be restored", || {
            sidecar.must_run();
            tmp.join("restored").exists().then_some(())
        });
        Build { sidecar, cache, user: self.user }
    }
}

impl Build {
    /// What a script of the build's user writes.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let here = format!("cd '{}' || exit; {script}", self.cache.display());
        run(Path::new(self.user[0]), self.user[1..].iter().copied().chain(["sh", "-uc", &here]), "").succeeded()
    }

    /// Ends the build: the sidecar, which said how it `started`, says how it `ended`.
    #[track_caller]
    fn end(mut self, started: &str, ended: &str) {
        self.sidecar.signal("TERM");
        assert_eq!(self.sidecar.exit_code(), 0, "{}", self.sidecar.stderr().tail());
        self.sidecar.stdout().find(ended, |line| (line == ended).then_some(()));
        assert_eq!(self.sidecar.stdout().all(), [started, ended], "{}", self.sidecar.stderr().tail());
    }
}

// A folder that its owner may not write to could not be removed.
impl Drop for Build {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&self.cache).status();
    }
}

/// Where this machine's programs are, and busybox's if there are any.
fn tools() -> Vec<(String, Option<Folder>)> {
    let machine = env::var("PATH").expect("there are programs");
    let has_busybox = env::split_paths(&machine).any(|folder| folder.join("busybox").exists());
    let busybox = has_busybox.then(|| {
        let folder = Folder::new("pillion-busybox-");
        let path = folder.path("").display().to_string();
        run(Path::new("busybox"), ["--install", "-s", &path], "").succeeded();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        (path, Some(folder))
    });
    [(machine, None)].into_iter().chain(busybox).collect()
}

#[test]
fn a_build_finds_the_cache_that_the_build_before_it_has_left() {
    for (tools, _folder) in tools() {
        let mut builds = Builds::new(&tools);
        let archive = builds.folder.path("store/web/main.tar").display().to_string();
        let stored = format!("stored {archive}");
        let restored = format!("restored {archive}");

        let first = builds.start();
        first.run(FILES);
        let left = first.run(LIST);
        first.end("started with an empty cache", &stored);

        let second = builds.start();
        assert_eq!(second.run(LIST), left, "{tools}");
        second.end(&restored, "nothing to store");

        let third = builds.start();
        third.run("find . -mindepth 1 -delete");
        third.end(&restored, &stored);

        let fourth = builds.start();
        assert_eq!(fourth.run(LIST), "", "{tools}");
        fourth.end(&restored, "nothing to store");
    }
}

#[test]
fn a_broken_archive_is_an_empty_cache() {
    for (tools, _folder) in tools() {
        let mut builds = Builds::new(&tools);
        let archive = builds.folder.path("store/web/main.tar");
        let build = builds.start();
        build.run(FILES);
        build.run("mkdir -p locked/folder; chmod 500 locked");
        build.end("started with an empty cache", &format!("stored {}", archive.display()));
        let half = fs::metadata(&archive).expect("it is stored").len() / 2;
        fs::File::options().write(true).open(&archive).and_then(|file| file.set_len(half)).expect("it is a file");
        let build = builds.start();
        assert_eq!(build.run(LIST), "", "{tools}");
        build.end("started with an empty cache", "nothing to store");
    }
}
