//! Package URLs (ECMA-427, <https://github.com/package-url/purl-spec>): the one name every tool knows a package by.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Longest text that is parsed; the longest seen in published SBOMs have some 400 bytes.
const MAX_LENGTH: usize = 4096;

/// A package URL in its canonical form: equal packages have equal texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageUrl {
    kind: String,
    namespace: Option<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Option<String>,
}

/// Why something is not a package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a package URL: {reason}")]
pub struct PurlError {
    text: String,
    reason: &'static str,
}

/// Whether a type's package URLs have a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Required,
    Optional,
    Prohibited,
}

/// What a type demands of its parts, from the type definitions of the specification.
struct TypeRules {
    namespace: Namespace,
    lower_namespace: bool,
    lower_name: bool,
}

impl TypeRules {
    fn of(kind: &str) -> Self {
        let (namespace, lower_namespace, lower_name) = match kind {
            "alpm" | "apk" | "deb" | "github" | "bitbucket" => (Namespace::Optional, true, true),
            "composer" => (Namespace::Optional, true, true),
            "brew" | "hex" | "golang" | "gitlab" => (Namespace::Optional, true, true),
            "otp" => (Namespace::Prohibited, true, true),
            "git" => (Namespace::Required, true, true),
            "npm" | "pub" | "pypi" | "oci" | "luarocks" | "yocto" => {
                (Namespace::Optional, true, true)
            }
            "rpm" | "qpkg" => (Namespace::Optional, true, false),
            "bitnami" | "opam" => (Namespace::Prohibited, false, false),
            "bazel" | "cargo" | "chrome-extension" | "cocoapods" | "conda" | "cran" | "gem"
            | "hackage" | "julia" | "mlflow" | "nuget" | "vcpkg" => {
                (Namespace::Prohibited, false, false)
            }
            "swift" | "vscode-extension" | "maven" => (Namespace::Required, false, false),
            _ => (Namespace::Optional, false, false),
        };
        Self {
            namespace,
            lower_namespace,
            lower_name,
        }
    }
}

impl PackageUrl {
    /// A package URL of its parts. They are brought into the form their type demands; empty parts are no parts.
    ///
    /// # Errors
    /// When a part is missing or not what its type allows.
    pub fn new(
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Self, PurlError> {
        Self::of_parts(kind, namespace, name, version, BTreeMap::new(), None)
    }

    /// The same with a qualifier more; an empty value is no qualifier.
    ///
    /// # Errors
    /// When the key is not one.
    pub fn with_qualifier(mut self, key: &str, value: &str) -> Result<Self, PurlError> {
        let key = qualifier_key(key).map_err(|reason| error(key, reason))?;
        if !value.is_empty() {
            self.qualifiers.insert(key, value.to_owned());
        }
        Ok(self)
    }

    /// A package URL of all its parts.
    ///
    /// # Errors
    /// When a part is missing or not what its type allows.
    pub fn of_parts(
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        version: Option<&str>,
        qualifiers: BTreeMap<String, String>,
        subpath: Option<&str>,
    ) -> Result<Self, PurlError> {
        let fail = |reason| error(name, reason);
        if !valid_type(kind) {
            return Err(fail(
                "the type must be letters, digits, '.' and '-', starting with a letter",
            ));
        }
        let kind = kind.to_ascii_lowercase();
        let rules = TypeRules::of(&kind);
        // Git hosts nest groups: all but the host belongs to the name (type definition of git).
        let joined;
        let (namespace, name) = match (kind.as_str(), namespace) {
            ("git", Some(namespace)) => match namespace.trim_matches('/').split_once('/') {
                Some((host, groups)) => {
                    joined = format!("{groups}/{name}");
                    (Some(host), joined.as_str())
                }
                None => (Some(namespace), name),
            },
            _ => (namespace, name),
        };
        let namespace: Option<String> = namespace
            .map(|text| {
                text.split('/')
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("/")
            })
            .filter(|text| !text.is_empty())
            .map(|text| {
                if rules.lower_namespace {
                    text.to_lowercase()
                } else {
                    text
                }
            });
        match (rules.namespace, &namespace) {
            (Namespace::Required, None) => return Err(fail("its type needs a namespace")),
            (Namespace::Prohibited, Some(_)) => return Err(fail("its type has no namespace")),
            _ => {}
        }
        let name = name.trim_matches('/');
        if name.is_empty() {
            return Err(fail("the name is missing"));
        }
        // Databricks compares model names without case, other MLflow servers with it (type definition of mlflow).
        let databricks = kind == "mlflow"
            && qualifiers
                .get("repository_url")
                .is_some_and(|url| url.contains("databricks"));
        let mut name = if rules.lower_name || databricks {
            name.to_lowercase()
        } else {
            name.to_owned()
        };
        if kind == "pypi" {
            name = name.replace('_', "-");
        }
        let version = version.filter(|text| !text.is_empty()).map(|version| {
            // PEP 440 versions are compared without case.
            if matches!(kind.as_str(), "pypi" | "huggingface" | "oci") {
                version.to_lowercase()
            } else {
                version.to_owned()
            }
        });
        let mut named = BTreeMap::new();
        for (key, value) in qualifiers {
            let key = qualifier_key(&key).map_err(fail)?;
            if !value.is_empty() {
                named.insert(key, value);
            }
        }
        let subpath = subpath
            .map(|text| {
                text.split('/')
                    .filter(|part| !matches!(*part, "" | "." | ".."))
                    .collect::<Vec<_>>()
                    .join("/")
            })
            .filter(|text| !text.is_empty());
        let url = Self {
            kind,
            namespace,
            name,
            version,
            qualifiers: named,
            subpath,
        };
        url.check_type()
            .map_err(|reason| error(&url.name, reason))?;
        Ok(url)
    }

    /// What single types demand beyond [`TypeRules`].
    fn check_type(&self) -> Result<(), &'static str> {
        let has = |key: &str| self.qualifiers.contains_key(key);
        match self.kind.as_str() {
            "conan" if self.namespace.is_none() && has("channel") => {
                Err("a conan package with the qualifier channel needs a namespace")
            }
            "cpan" if self.name.contains("::") => {
                Err("cpan names distributions, which have no '::'")
            }
            "cran" if self.version.is_none() => Err("a cran package needs a version"),
            "swift" if self.version.is_none() => Err("a swift package needs a version"),
            "julia" if !has("uuid") => Err("a julia package needs the qualifier uuid"),
            "chrome-extension" => {
                let id = self.name.len() == 32 && self.name.bytes().all(|b| b.is_ascii_lowercase());
                let version = self.version.as_deref().is_none_or(|version| {
                    version.split('.').count() <= 4
                        && version.split('.').all(|part| part.parse::<u32>().is_ok())
                });
                match (id, version) {
                    (false, _) => Err("the name is no extension id"),
                    (_, false) => Err("the version is no extension version"),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Type: `deb`, `apk`, `npm`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Namespace: the distribution, group or scope.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Name of the package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Value of a qualifier.
    pub fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }

    /// All qualifiers, sorted by key.
    pub fn qualifiers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.qualifiers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Path inside the package.
    pub fn subpath(&self) -> Option<&str> {
        self.subpath.as_deref()
    }
}

fn error(text: &str, reason: &'static str) -> PurlError {
    PurlError {
        text: text.chars().take(200).collect(),
        reason,
    }
}

fn valid_type(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

fn qualifier_key(key: &str) -> Result<String, &'static str> {
    let valid = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if valid {
        Ok(key.to_ascii_lowercase())
    } else {
        Err("a qualifier's key must be letters, digits, '.', '-' and '_', starting with a letter")
    }
}

/// Percent-encodes all but the unreserved characters and the colon, as the specification's "Character encoding" says.
fn encode(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
            out.write_char(char::from(byte))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

fn encode_path(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for (position, part) in text.split('/').enumerate() {
        if position > 0 {
            out.write_char('/')?;
        }
        encode(out, part)?;
    }
    Ok(())
}

fn encode_name(out: &mut impl fmt::Write, kind: &str, name: &str) -> fmt::Result {
    if kind == "git" {
        encode_path(out, name)
    } else {
        encode(out, name)
    }
}

fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("a '%' is not followed by two hexadecimal digits");
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| "it does not decode to UTF-8")
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        if let Some(namespace) = &self.namespace {
            encode_path(f, namespace)?;
            f.write_str("/")?;
        }
        encode_name(f, &self.kind, &self.name)?;
        if let Some(version) = &self.version {
            f.write_str("@")?;
            encode(f, version)?;
        }
        for (position, (key, value)) in self.qualifiers.iter().enumerate() {
            f.write_str(if position == 0 { "?" } else { "&" })?;
            f.write_str(key)?;
            f.write_str("=")?;
            encode(f, value)?;
        }
        if let Some(subpath) = &self.subpath {
            f.write_str("#")?;
            encode_path(f, subpath)?;
        }
        Ok(())
    }
}

impl FromStr for PackageUrl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| error(text, reason);
        if text.len() > MAX_LENGTH {
            return Err(fail("it is too long"));
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| fail("it does not start with pkg:"))?;
        if !scheme.eq_ignore_ascii_case("pkg") {
            return Err(fail("it does not start with pkg:"));
        }
        let (rest, subpath) = match rest.rsplit_once('#') {
            Some((rest, subpath)) => (rest, Some(subpath)),
            None => (rest, None),
        };
        let (rest, qualifiers) = match rest.rsplit_once('?') {
            Some((rest, qualifiers)) => (rest, Some(qualifiers)),
            None => (rest, None),
        };
        let (kind, rest) = rest
            .trim_start_matches('/')
            .split_once('/')
            .ok_or_else(|| fail("the type or the name is missing"))?;
        // A '/' after the '@' belongs to an npm scope written without encoding, not to a version.
        let (rest, version) = match rest.rsplit_once('@') {
            Some((rest, version)) if !version.contains('/') => {
                if rest.is_empty() || rest.ends_with('/') {
                    return Err(fail("the name is missing"));
                }
                (rest, Some(version))
            }
            _ => (rest, None),
        };
        let rest = rest.trim_matches('/');
        let (namespace, name) = match rest.rsplit_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        };
        let decoded = |part: Option<&str>| part.map(decode).transpose().map_err(fail);
        let mut named = BTreeMap::new();
        for pair in qualifiers.unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| fail("a qualifier has no '='"))?;
            let key = qualifier_key(key).map_err(fail)?;
            if named.insert(key, decode(value).map_err(fail)?).is_some() {
                return Err(fail("a qualifier is there twice"));
            }
        }
        Self::of_parts(
            kind,
            decoded(namespace)?.as_deref(),
            &decode(name).map_err(fail)?,
            decoded(version)?.as_deref(),
            named,
            decoded(subpath)?.as_deref(),
        )
        .map_err(|e| fail(e.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn debian_versions_keep_epoch_and_plus_apart_from_the_syntax() {
        let url = PackageUrl::new(
            "deb",
            Some("debian"),
            "libstdc++6",
            Some("1:12.2.0-14+deb12u1~x"),
        )
        .unwrap()
        .with_qualifier("distro", "debian-12")
        .unwrap()
        .with_qualifier("arch", "amd64")
        .unwrap();
        assert_eq!(
            url.to_string(),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=debian-12"
        );
        assert_eq!(url.to_string().parse::<PackageUrl>().unwrap(), url);
    }

    proptest! {
        #[test]
        fn whatever_can_be_built_reads_back(
            name in "\\PC{1,12}", version in proptest::option::of("\\PC{1,12}"), value in "\\PC{0,12}"
        ) {
            if let Ok(url) = PackageUrl::new("generic", Some("a/b"), &name, version.as_deref()) {
                let url = url.with_qualifier("k", &value).unwrap();
                prop_assert_eq!(url.to_string().parse::<PackageUrl>().unwrap(), url);
            }
        }

        #[test]
        fn hostile_text_never_panics(text in "\\PC{0,60}") {
            let _ = format!("pkg:{text}").parse::<PackageUrl>();
        }
    }
}
