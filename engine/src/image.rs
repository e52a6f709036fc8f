//! Images, and which reference may stand for another: webhooks rewrite them to a mirror of a registry, or pin them.

use std::borrow::Cow;
use std::str::FromStr;

use crate::text::stand_in;

/// A registry, or a part of one, that has copies of the images of others: `mirror.example.com/docker-hub`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageMirror(String);

impl FromStr for ImageMirror {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ImageMirror, &'static str> {
        let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
        let is_part =
            |part: &str| !part.is_empty() && part.chars().all(|it| it.is_ascii_alphanumeric() || "._-".contains(it));
        let is_path = |path: &str| path.split('/').all(is_part);
        if is_host(host) && host.splitn(2, ':').all(is_part) && path.is_none_or(is_path) {
            let host = registry(host);
            Ok(ImageMirror(path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))))
        } else {
            Err("must be a registry with its domain, and perhaps a path in it, such as mirror.example.com/docker-hub")
        }
    }
}

/// Whether what stands before the first slash is a registry. Source: github.com/distribution/reference, splitDockerDomain.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

/// The registry at a host: Docker Hub has two.
fn registry(host: &str) -> &str {
    if host == "index.docker.io" { "docker.io" } else { host }
}

/// A reference, taken apart.
struct Reference<'i> {
    without_digest: &'i str,
    host: &'i str,
    /// As it is written.
    path: &'i str,
    tag: Option<&'i str>,
    digest: Option<&'i str>,
}

impl<'i> Reference<'i> {
    fn parse(image: &'i str) -> Reference<'i> {
        let (without_digest, digest) =
            image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
        let image = without_digest;
        // A colon before the last slash is that of a port.
        let last = image.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match image[last..].find(':') {
            Some(colon) => (&image[..last + colon], Some(&image[last + colon + 1..])),
            None => (image, None),
        };
        let (host, path) = name.split_once('/').filter(|(host, _)| is_host(host)).unwrap_or(("docker.io", name));
        Reference { without_digest, host: registry(host), path, tag, digest }
    }

    /// The path in the registry.
    fn full_path(&self) -> Cow<'i, str> {
        match self.path {
            path if self.host == "docker.io" && !path.contains('/') => format!("library/{path}").into(),
            path => path.into(),
        }
    }

    /// Whether it is of the version that is asked for, or of one that somebody pinned. What a digest says counts more than a
    /// tag.
    fn has_version_of(&self, asked: &Reference<'_>, is_same: impl Fn(&str, &str) -> bool) -> bool {
        match (asked.digest, self.digest) {
            (Some(asked), digest) => digest.is_some_and(|digest| is_same(digest, asked)),
            (None, Some(_)) if self.tag.is_none() => true,
            _ => is_same(self.tag.unwrap_or("latest"), asked.tag.unwrap_or("latest")),
        }
    }

    /// Whether its path in this registry, or in a mirror with or without the registry in front, is a right one.
    fn is_in<'m>(
        &self,
        host: &str,
        is_path: impl Fn(&str) -> bool,
        mut mirrors: impl Iterator<Item = &'m ImageMirror>,
    ) -> bool {
        fn below<'n>(name: &'n str, folder: &str) -> Option<&'n str> {
            name.strip_prefix(folder)?.strip_prefix('/')
        }
        let path = self.full_path();
        let name = format!("{}/{path}", self.host);
        self.host == host && is_path(&path)
            || mirrors.any(|ImageMirror(mirror)| {
                below(&name, mirror).is_some_and(|copy| is_path(below(copy, host).unwrap_or(copy)))
            })
    }
}

/// Whether a container that is to run the image `asked` may have the other: the same path in the same registry or in a mirror,
/// there with or without the registry in front, and the same version.
pub(crate) fn may_stand_for<'m>(image: &str, asked: &str, mirrors: impl Iterator<Item = &'m ImageMirror>) -> bool {
    if image == asked {
        return true;
    }
    let (image, asked) = (Reference::parse(image), Reference::parse(asked));
    let path = asked.full_path();
    image.has_version_of(&asked, str::eq) && image.is_in(asked.host, |it| it == path || it == asked.path, mirrors)
}

/// The same where only a part of what is asked for is known: the texts around its expressions, in order; `None` where the
/// first does not tell the registry.
pub(crate) fn is_made_of<'m>(
    image: &str,
    written: &[&str],
    mirrors: impl Iterator<Item = &'m ImageMirror>,
) -> Option<bool> {
    let [start, middle @ .., end] = written else { return None };
    let (start, end) = (*start, *end);
    let (folder, last) = start.rsplit_once('/').map_or((None, start), |(folder, last)| (Some(folder), last));
    let name = last.split([':', '@']).next().unwrap_or_default();
    let has_name = name.len() < last.len();
    // It may be the beginning of a registry, or that of its port.
    if folder.is_none() && (!has_name || is_host(name)) {
        return None;
    }
    let (image, asked) = (Reference::parse(image), Reference::parse(start));
    let path = asked.full_path();
    let is_start = if has_name {
        image.has_version_of(&asked, |it, start| it.starts_with(start))
            && image.is_in(asked.host, |it| it == path || it == asked.path, mirrors)
    } else {
        image.is_in(asked.host, |it| it.starts_with(&*path) || it.starts_with(asked.path), mirrors)
    };
    let (end, digest) = end.split_once('@').map_or((end, None), |(end, digest)| (end, Some(digest)));
    let mut rest: Vec<_> = middle.iter().copied().chain([end]).collect();
    // A digest can stand in the place of a tag.
    if image.digest.is_some() && image.tag.is_none() {
        let with_tag = if has_name { Some(0) } else { rest.iter().position(|text| text.contains(':')) };
        let name = with_tag.and_then(|at| rest[at].split(':').next().filter(|_| !has_name));
        rest.truncate(with_tag.unwrap_or(rest.len()));
        rest.extend(name);
    }
    let end = rest.pop().unwrap_or_default();
    let is_end = image.without_digest.strip_suffix(end).is_some_and(|name| stand_in(name, rest));
    let is_end = is_end && digest.is_none_or(|digest| image.digest == Some(digest));
    Some(is_start && is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_come_from_its_own_registry_or_a_mirror_in_its_own_version() {
        let mirrors = ["mirror.example.com/hub", "cache:5000", "index.docker.io/copies"];
        let mirrors = mirrors.map(|it| it.parse::<ImageMirror>().expect("a mirror"));
        for (asked, images, others) in [
            (
                "nginx:1",
                &[
                    "docker.io/nginx:1",
                    "docker.io/library/nginx:1",
                    "index.docker.io/library/nginx:1",
                    "nginx:1@sha256:a",
                    "nginx@sha256:a",
                    "mirror.example.com/hub/nginx:1",
                    "mirror.example.com/hub/library/nginx:1",
                    "mirror.example.com/hub/docker.io/library/nginx:1@sha256:a",
                    "cache:5000/nginx:1",
                ][..],
                &[
                    "nginx",
                    "nginx:2",
                    "nginx:2@sha256:a",
                    "evil/nginx:1",
                    "evil.example.com/nginx:1",
                    "evil.example.com/library/nginx:1",
                    "mirror.example.com/nginx:1",
                    "mirror.example.com/hub/evil/nginx:1",
                    "mirror.example.com/hub/quay.io/library/nginx:1",
                    "mirror.example.com/hubs/nginx:1",
                    "mirror.example.com.evil.example.com/hub/nginx:1",
                    "",
                ][..],
            ),
            (
                "ghcr.io/team/app:1@sha256:a",
                &[
                    "ghcr.io/team/app@sha256:a",
                    "mirror.example.com/hub/team/app:1@sha256:a",
                    "cache:5000/ghcr.io/team/app:1@sha256:a",
                    "copies/team/app@sha256:a",
                ],
                &[
                    "ghcr.io/team/app:1",
                    "ghcr.io/team/app:1@sha256:b",
                    "team/app:1@sha256:a",
                    "cache:5000/app:1@sha256:a",
                ],
            ),
            ("localhost/app", &["localhost/app:latest"], &["localhost/app:1", "app", "localhost:5000/app"]),
        ] {
            let may = |image: &str| may_stand_for(image, asked, mirrors.iter());
            images.iter().for_each(|image| assert!(may(image), "{image} for {asked}"));
            others.iter().for_each(|image| assert!(!may(image), "{image} for {asked}"));
        }
    }

    #[test]
    fn of_an_image_that_is_not_known_to_its_end_what_is_known_counts() {
        let mirrors = ["mirror.example.com".parse::<ImageMirror>().expect("a mirror")];
        for ([start, end], images, others) in [
            (
                ["nginx:", ""],
                &["nginx:2", "docker.io/library/nginx@sha256:a", "mirror.example.com/nginx:2"][..],
                &["evil:2", "evil/nginx:2", "nginx:5000/evil", "evil.example.com/nginx:2"][..],
            ),
            (
                ["ghcr.io/team/app:1-", ""],
                &["ghcr.io/team/app:1-2", "mirror.example.com/team/app:1-x", "ghcr.io/team/app@sha256:a"],
                &["ghcr.io/team/app:2-1", "ghcr.io/team/app", "ghcr.io/team/app:2@sha256:a", "app:1-2"],
            ),
            (
                ["ghcr.io/team/app@sha256:a", ""],
                &["ghcr.io/team/app@sha256:ab", "ghcr.io/team/app:1@sha256:a"],
                &["ghcr.io/team/app2@sha256:a", "ghcr.io/team/app@sha256:b", "ghcr.io/team/app:1"],
            ),
            (
                ["ghcr.io:443/team/ap", ""],
                &["ghcr.io:443/team/app:1", "mirror.example.com/ghcr.io:443/team/app:1"],
                &["ghcr.io:443/team2/app:1", "ghcr.io/team/app:1", "team/app:1"],
            ),
            (
                ["ghcr.io/", "/app:1"],
                &[
                    "ghcr.io/a/app:1",
                    "ghcr.io/a/app:1@sha256:a",
                    "ghcr.io/a/app@sha256:a",
                    "mirror.example.com/a/app:1",
                ],
                &["ghcr.io/a/evil:1", "ghcr.io/a/app:2", "ghcr.io/a/evil@sha256:a"],
            ),
            (
                ["ghcr.io/app:", "-alpine@sha256:a"],
                &["ghcr.io/app:1-alpine@sha256:a", "ghcr.io/app@sha256:a"],
                &["ghcr.io/app:1-alpine", "ghcr.io/app:1-alpine@sha256:b", "ghcr.io/app:1@sha256:a"],
            ),
            (["team/", ""], &["team/app", "docker.io/team/app:1"], &["app", "team.example.com/app", "evil/team/app"]),
        ] {
            let may = |image: &str| is_made_of(image, &[start, end], mirrors.iter()).expect("it tells the registry");
            images.iter().for_each(|image| assert!(may(image), "{image} for {start}…{end}"));
            others.iter().for_each(|image| assert!(!may(image), "{image} for {start}…{end}"));
        }
        for start in ["ng", "registry.example.com:", "localhost:50", ""] {
            assert_eq!(is_made_of("any:1", &[start, ""], mirrors.iter()), None, "{start}");
        }
    }

    #[test]
    fn a_mirror_has_a_domain() {
        for mirror in ["mirror.example.com", "localhost", "cache:5000/a/b", "10.0.0.1/a_b"] {
            assert!(mirror.parse::<ImageMirror>().is_ok(), "{mirror}");
        }
        for wrong in [
            "",
            "mirror",
            "mirror/hub",
            "https://a.b",
            "a.b/",
            "a.b//c",
            "/a.b",
            "a.b/c:1",
            "a.b/c@d",
            "a.b:",
            "a.b/ c",
        ] {
            assert!(wrong.parse::<ImageMirror>().is_err(), "{wrong}");
        }
    }
}
