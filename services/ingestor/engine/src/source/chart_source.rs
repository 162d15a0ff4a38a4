//! Names of what a package is made of.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use quench_model::ImageReference;
use url::Url;

use super::ImageSource;

/// What a package is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartSource {
    /// A chart folder.
    Folder(PathBuf),
    /// A chart archive (`.tgz`).
    Archive(PathBuf),
    /// A chart in an OCI registry: `host[:port]/path`, `…:tag` or `…@digest`.
    Registry(String),
    /// A chart in a classic repository.
    Repository {
        /// Where its `index.yaml` lies, or `@name` of a repository that helm knows.
        repository: String,
        /// Name of the chart.
        name: String,
        /// Version or range; the newest that is no pre-release when not given.
        version: Option<String>,
    },
    /// A chart archive on a web server.
    Web(Url),
    /// Kubernetes manifests: a YAML or JSON file, or a folder of them at any depth.
    Manifests(PathBuf),
    /// Kubernetes manifests as text, such as what a pipe brought.
    ManifestText(Vec<u8>),
    /// An image in a registry, without a chart.
    Image(ImageReference),
    /// Images on this machine, without a chart.
    Images(ImageSource),
}

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {sort}; expected {expected}")]
pub struct SourceError {
    text: String,
    sort: &'static str,
    expected: &'static str,
}

impl SourceError {
    pub(super) fn new(text: &str, sort: &'static str, expected: &'static str) -> Self {
        // A password in an address is nobody else's business.
        let text = match (text.find("://"), text.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                let (scheme, rest) = (text.get(..scheme + 3), text.get(at + 1..));
                format!(
                    "{}…@{}",
                    scheme.unwrap_or_default(),
                    rest.unwrap_or_default()
                )
            }
            _ => text.to_owned(),
        };
        Self {
            text: text.chars().take(200).collect(),
            sort,
            expected,
        }
    }
}

impl ChartSource {
    /// The chart `name`, with `:version` where one is wanted, of a classic repository or of a path in an OCI registry.
    ///
    /// # Errors
    /// The repository is no address, or the name is empty or a path.
    pub fn in_repository(repository: &str, name: &str) -> Result<Self, SourceError> {
        let error = || {
            SourceError::new(
                &format!("{repository} {name}"),
                "chart of a repository",
                "https://host/path or oci://host/path or @name, and the chart's name",
            )
        };
        let (bare, version) = match name.split_once(':') {
            Some((bare, version)) if !version.is_empty() => (bare, Some(version.to_owned())),
            Some(_) => return Err(error()),
            None => (name, None),
        };
        if bare.is_empty() || bare.contains('/') || matches!(bare, "." | "..") {
            return Err(error());
        }
        if let Some(place) = repository.strip_prefix("oci://") {
            return Ok(Self::Registry(format!(
                "{}/{name}",
                place.trim_end_matches('/')
            )));
        }
        let is_address = ["https://", "http://"]
            .iter()
            .any(|scheme| repository.starts_with(scheme));
        if !is_address && !repository.starts_with('@') {
            return Err(error());
        }
        // Passwords are looked up, never spelled out where shells and logs keep them.
        if is_address && repository.contains('@') {
            return Err(error());
        }
        Ok(Self::Repository {
            repository: repository.to_owned(),
            name: bare.to_owned(),
            version,
        })
    }

    /// `https://host/charts/NAME[:VERSION]`, or the address of an archive.
    fn on_the_web(text: &str) -> Result<Self, SourceError> {
        let error = || {
            SourceError::new(
                text,
                "chart source",
                "https://host/path/NAME[:VERSION] or the address of a .tgz file",
            )
        };
        let url = Url::parse(text).map_err(|_| error())?;
        if url.path().ends_with(".tgz") {
            return Ok(Self::Web(url));
        }
        let text = text.trim_end_matches('/');
        let (repository, name) = text.rsplit_once('/').ok_or_else(error)?;
        if url.query().is_some() || repository.ends_with('/') {
            return Err(error());
        }
        Self::in_repository(repository, name).map_err(|_| error())
    }
}

impl FromStr for ChartSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            SourceError::new(
                text,
                "source",
                "a chart folder, a .tgz file, oci://host/path:version, https://host/path/NAME[:VERSION], a folder or \
                 file of manifests, or an image",
            )
        };
        if let Some(reference) = text.strip_prefix("oci://") {
            return if reference.is_empty() {
                Err(error())
            } else {
                Ok(Self::Registry(reference.to_owned()))
            };
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Self::on_the_web(text);
        }
        if text.is_empty() || text.contains("://") {
            return Err(error());
        }
        if let Ok(images) = text.parse() {
            return Ok(Self::Images(images));
        }
        if let Some(reference) = text.strip_prefix("image:") {
            return reference.parse().map(Self::Image).map_err(|_| error());
        }
        let path = PathBuf::from(text);
        Ok(if path.is_file() {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("yaml" | "yml" | "json") => Self::Manifests(path),
                _ => Self::Archive(path),
            }
        } else if path.is_dir() {
            if path.join("Chart.yaml").exists() || !super::manifests::are_in(&path) {
                Self::Folder(path)
            } else {
                Self::Manifests(path)
            }
        } else {
            match image_of_a_host(text) {
                Some(reference) => Self::Image(reference),
                None => Self::Folder(path),
            }
        })
    }
}

/// An image reference that names its registry: anything else that is not there is a path with a slip in it.
fn image_of_a_host(text: &str) -> Option<ImageReference> {
    let (host, rest) = text.split_once('/')?;
    let named = host == "localhost" || host.contains(':') || host.trim_matches('.').contains('.');
    if !named || rest.is_empty() || Path::new(text).exists() {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Archive(path) | Self::Manifests(path) => {
                path.display().fmt(f)
            }
            Self::Registry(reference) => write!(f, "oci://{reference}"),
            Self::Repository {
                repository,
                name,
                version,
            } => match version {
                Some(version) => write!(f, "{name} {version} of {repository}"),
                None => write!(f, "{name} of {repository}"),
            },
            // The query may hold a secret.
            Self::Web(url) => write!(f, "{}", url.as_str().split('?').next().unwrap_or_default()),
            Self::ManifestText(_) => f.write_str("the manifests"),
            Self::Image(reference) => reference.fmt(f),
            Self::Images(images) => images.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ChartSource {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_is_told_apart_by_its_form() {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("chart");
        let manifests = folder.path().join("manifests");
        std::fs::create_dir_all(manifests.join("deep")).unwrap();
        std::fs::create_dir(&chart).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "").unwrap();
        std::fs::write(chart.join("values.yaml"), "").unwrap();
        std::fs::write(manifests.join("deep/web.yml"), "").unwrap();
        std::fs::write(folder.path().join("chart.tgz"), "").unwrap();
        std::fs::write(folder.path().join("all.yaml"), "").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(read(&at("chart")), ChartSource::Folder(chart));
        assert_eq!(read(&at("manifests")), ChartSource::Manifests(manifests));
        assert!(matches!(read(&at("chart.tgz")), ChartSource::Archive(_)));
        assert!(matches!(read(&at("all.yaml")), ChartSource::Manifests(_)));
        assert!(matches!(read("./no/such.folder"), ChartSource::Folder(_)));
        assert!(matches!(
            read("../registry.example"),
            ChartSource::Folder(_)
        ));
        assert!(matches!(
            read("registry.example.org/app:1"),
            ChartSource::Image(_)
        ));
        assert!(matches!(read("127.0.0.1:5000/app"), ChartSource::Image(_)));
        assert!(matches!(read("image:nginx"), ChartSource::Image(_)));
        assert!(matches!(read("oci:./images"), ChartSource::Images(_)));
        assert!(matches!(
            read("docker-archive:a.tar"),
            ChartSource::Images(_)
        ));
        assert!(matches!(
            read("oci://host/charts/a:1"),
            ChartSource::Registry(_)
        ));
        assert!(matches!(
            read("https://host/a/b-1.0.0.tgz"),
            ChartSource::Web(_)
        ));
        for text in [
            "",
            "ftp://host/chart",
            "oci://",
            "https://host",
            "https://host/a?b=c",
            "image:UPPER",
        ] {
            assert!(text.parse::<ChartSource>().is_err(), "{text}");
        }
    }

    #[test]
    fn charts_of_repositories_are_named_in_either_way() {
        let expected = |version: Option<&str>| ChartSource::Repository {
            repository: "https://host:8443/charts".to_owned(),
            name: "demo".to_owned(),
            version: version.map(str::to_owned),
        };
        assert_eq!(read("https://host:8443/charts/demo"), expected(None));
        assert_eq!(
            read("https://host:8443/charts/demo:^1.2"),
            expected(Some("^1.2"))
        );
        let named = |repository: &str, name: &str| ChartSource::in_repository(repository, name);
        assert_eq!(
            named("https://host:8443/charts", "demo").unwrap(),
            expected(None)
        );
        assert_eq!(
            named("oci://host/charts/", "demo:1.0.0").unwrap(),
            ChartSource::Registry("host/charts/demo:1.0.0".to_owned())
        );
        for (repository, name) in [
            ("host", "demo"),
            ("https://host", "a/b"),
            ("https://host", "a:"),
            ("https://u:s3cr3t@host", "a"),
        ] {
            let error = named(repository, name).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }
}
