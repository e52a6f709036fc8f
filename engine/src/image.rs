//! Images, and which reference may stand for another: webhooks rewrite them to a mirror of a registry, or pin them.

use std::borrow::Cow;
use std::str::FromStr;

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
    host: &'i str,
    /// As it is written.
    path: &'i str,
    tag: Option<&'i str>,
    digest: Option<&'i str>,
}

impl<'i> Reference<'i> {
    fn parse(image: &'i str) -> Reference<'i> {
        let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
        // A colon before the last slash is that of a port.
        let last = image.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match image[last..].find(':') {
            Some(colon) => (&image[..last + colon], Some(&image[last + colon + 1..])),
            None => (image, None),
        };
        let (host, path) = name.split_once('/').filter(|(host, _)| is_host(host)).unwrap_or(("docker.io", name));
        Reference { host: registry(host), path, tag, digest }
    }

    /// The path in the registry.
    fn full_path(&self) -> Cow<'i, str> {
        match self.path {
            path if self.host == "docker.io" && !path.contains('/') => format!("library/{path}").into(),
            path => path.into(),
        }
    }

    /// Whether another is of the same version, or of one that somebody pinned. What a digest says counts more than a tag.
    fn has_version_of(&self, asked: &Reference<'_>) -> bool {
        let is_tag = || self.tag.unwrap_or("latest") == asked.tag.unwrap_or("latest");
        match (asked.digest, self.digest) {
            (Some(asked), digest) => digest == Some(asked),
            (None, Some(_)) => self.tag.is_none() || is_tag(),
            (None, None) => is_tag(),
        }
    }

    /// Whether it is of the same name, or a mirror's copy of that.
    fn is_copy_of<'m>(&self, asked: &Reference<'_>, mut mirrors: impl Iterator<Item = &'m ImageMirror>) -> bool {
        let (name, path) = (format!("{}/{}", self.host, self.full_path()), asked.full_path());
        let in_mirror = |ImageMirror(mirror): &ImageMirror| {
            let copy = name.strip_prefix(mirror.as_str()).and_then(|rest| rest.strip_prefix('/'));
            copy.is_some_and(|copy| {
                let copy = copy.strip_prefix(asked.host).and_then(|rest| rest.strip_prefix('/')).unwrap_or(copy);
                copy == path || copy == asked.path
            })
        };
        self.host == asked.host && self.full_path() == path || mirrors.any(in_mirror)
    }
}

/// Whether a container that is to run the image `asked` may have the other: the same path in the same registry or in a mirror,
/// there with or without the registry in front, and the same version.
pub(crate) fn may_stand_for<'m>(image: &str, asked: &str, mirrors: impl Iterator<Item = &'m ImageMirror>) -> bool {
    if image == asked {
        return true;
    }
    let (image, asked) = (Reference::parse(image), Reference::parse(asked));
    image.has_version_of(&asked) && image.is_copy_of(&asked, mirrors)
}

/// The same where only the start of what is asked for is known. Of what says no more than a part of a name nothing is known.
pub(crate) fn may_start_with<'m>(image: &str, start: &str, mirrors: impl Iterator<Item = &'m ImageMirror>) -> bool {
    let path = start.rfind('/').map_or(start, |slash| &start[slash..]);
    !path.contains([':', '@']) || Reference::parse(image).is_copy_of(&Reference::parse(start), mirrors)
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
    fn of_an_image_whose_version_is_not_known_the_name_counts() {
        let mirrors = ["mirror.example.com".parse::<ImageMirror>().expect("a mirror")];
        for (start, images, others) in [
            (
                "nginx:",
                &["nginx:2", "nginx", "docker.io/library/nginx@sha256:a", "mirror.example.com/nginx:2"][..],
                &["evil:2", "evil/nginx:2", "nginx:5000/evil", "evil.example.com/nginx:2"][..],
            ),
            ("ghcr.io/team/app:1-", &["ghcr.io/team/app:1-2", "mirror.example.com/team/app:x"], &["app:1-2"]),
            ("ghcr.io/team/app@sha256:", &["ghcr.io/team/app:1"], &["ghcr.io/team/app2@sha256:a"]),
            // The name is not known either.
            ("localhost:5000/team/", &["any:1"], &[]),
            ("ng", &["any:1"], &[]),
        ] {
            let may = |image: &str| may_start_with(image, start, mirrors.iter());
            images.iter().for_each(|image| assert!(may(image), "{image} for {start}"));
            others.iter().for_each(|image| assert!(!may(image), "{image} for {start}"));
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
