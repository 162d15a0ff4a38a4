//! Image references.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// A reference to an image: registry, repository, and a tag, a digest or both.
///
/// Follows the grammar of the distribution project (`reference/regexp.go`): `[host[:port]/]path[:tag][@digest]`,
/// with the familiar defaults filled in (`nginx` is `docker.io/library/nginx:latest`). Equal
/// references compare equal however they were written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an [`ImageReference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

impl ImageReference {
    /// Registry host, with port where one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Repository path within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag, if one was written or nothing else was (`latest`).
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Digest, if one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

fn is_registry_host(first: &str) -> bool {
    first.contains('.') || first.contains(':') || first == "localhost"
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    port.is_none_or(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()))
        && name.split('.').all(label)
}

fn valid_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    // Separators within a component are one dot, one or two underscores, or any number of dashes.
    let separators_fit = component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
    alphanumeric(*first) && alphanumeric(*last) && separators_fit
}

fn valid_tag(tag: &str) -> bool {
    tag.len() <= 128
        && tag.bytes().enumerate().all(|(i, b)| {
            b.is_ascii_alphanumeric() || b == b'_' || (i > 0 && matches!(b, b'.' | b'-'))
        })
        && !tag.is_empty()
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ReferenceError {
            text: text.chars().take(300).collect(),
            reason,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse::<Digest>().map_err(|_| {
                    error("the part after @ must be sha256: and 64 hexadecimal digits")
                })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(error(
                "the tag may hold only letters, digits, '_', '.' and '-', up to 128",
            ));
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if is_registry_host(first) => (first.to_owned(), rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY.to_owned(), path.to_owned()),
            None => (DEFAULT_REGISTRY.to_owned(), format!("library/{path}")),
        };
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
            _ => registry,
        };
        let repository = match repository.as_str() {
            name if registry == DEFAULT_REGISTRY && !name.contains('/') => {
                format!("library/{name}")
            }
            _ => repository,
        };
        if !valid_host(&registry) {
            return Err(error(
                "the registry host is not a host name with an optional port",
            ));
        }
        if repository.len() > 255 || !repository.split('/').all(valid_path_component) {
            return Err(error(
                "the repository must be lower-case letters and digits, separated by '/', '.', '_' or '-'",
            ));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for ImageReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<ImageReference>().unwrap().to_string()
    }

    #[test]
    fn familiar_names_get_their_defaults() {
        assert_eq!(canonical("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(canonical("nginx:1.27"), "docker.io/library/nginx:1.27");
        assert_eq!(canonical("bitnami/nginx"), "docker.io/bitnami/nginx:latest");
        assert_eq!(
            canonical("docker.io/nginx"),
            "docker.io/library/nginx:latest"
        );
        assert_eq!(canonical("index.docker.io/a/b:1"), "docker.io/a/b:1");
    }

    #[test]
    fn ports_numeric_tags_and_digests_are_told_apart() {
        let digest = Digest::of(b"x");
        assert_eq!(canonical("localhost:5000/app"), "localhost:5000/app:latest");
        assert_eq!(
            canonical("registry.example.org:5000/a/b:7"),
            "registry.example.org:5000/a/b:7"
        );
        assert_eq!(canonical("app:5000"), "docker.io/library/app:5000");
        assert_eq!(
            canonical(&format!("quay.io/a/b@{digest}")),
            format!("quay.io/a/b@{digest}")
        );
        assert_eq!(
            canonical(&format!("quay.io/a/b:v1@{digest}")),
            format!("quay.io/a/b:v1@{digest}")
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            ":",
            "@",
            "Nginx",
            "a//b",
            "a/",
            "/a",
            "a:",
            "a b",
            "a@sha256:12",
            "a:tag:tag",
            "http://a/b",
            "a..b/c",
            "a___b",
            "-a/b",
            "a:.b",
            "exa_mple.org/a\u{e9}",
            "host:port/a",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
    }
}
