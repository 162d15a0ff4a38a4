//! The repositories that `helm repo add` wrote down: their names, and passwords for them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quench_chart::yaml;
use quench_package::EngineError;
use serde::Deserialize;

/// Most bytes of the file.
const LIMIT: u64 = 16 << 20;

/// Repositories by their name.
#[derive(Default)]
pub(super) struct HelmRepositories(BTreeMap<String, Entry>);

/// One of them. Has no `Debug`, so that no log line can hold its password.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
    url: String,
    username: String,
    password: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    repositories: Vec<Entry>,
}

impl HelmRepositories {
    /// Reads helm's file; none is as good as an empty one.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub(super) fn read(path: Option<PathBuf>) -> Result<Self, EngineError> {
        let Some(path) = path.or_else(usual_path) else {
            return Ok(Self::default());
        };
        let told = |reason: String| EngineError::Input(format!("{}: {reason}", path.display()));
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > LIMIT => return Err(told("larger than 16 MiB".to_owned())),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(told(e.to_string())),
        }
        let bytes = std::fs::read(&path).map_err(|e| told(e.to_string()))?;
        let text = yaml::text(&bytes).map_err(|e| told(e.to_string()))?;
        let value = yaml::parse(text).map_err(|e| told(e.to_string()))?;
        // The error would quote what it did not expect, which may be a password.
        let file: File = serde_json::from_value(value)
            .map_err(|_| told("it is not what helm writes there".to_owned()))?;
        let named = |entry: Entry| (entry.name.clone(), entry);
        Ok(Self(file.repositories.into_iter().map(named).collect()))
    }

    /// Address by name.
    pub(super) fn addresses(&self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .map(|(name, entry)| (name.clone(), entry.url.clone()))
            .collect()
    }

    /// User and password for a repository.
    pub(super) fn password(&self, address: &str) -> Option<(&str, &str)> {
        let bare = |address: &str| address.trim_end_matches('/').to_owned();
        self.0
            .values()
            .find(|entry| bare(&entry.url) == bare(address) && !entry.username.is_empty())
            .map(|entry| (entry.username.as_str(), entry.password.as_str()))
    }
}

/// Where helm keeps the file, by its documented variables.
fn usual_path() -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(file) = folder("HELM_REPOSITORY_CONFIG") {
        return Some(file);
    }
    let helm = folder("HELM_CONFIG_HOME")
        .or_else(|| folder("XDG_CONFIG_HOME").map(|config| config.join("helm")))
        .or_else(|| Some(std::env::home_dir()?.join(".config/helm")))?;
    Some(helm.join("repositories.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_read_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repositories.yaml");
        let file = "apiVersion: \"\"\ngenerated: \"0001-01-01T00:00:00Z\"\nrepositories:\n\
                    - {name: ours, url: \"https://host/charts/\", username: u, password: s3cr3t, insecure_skip_tls_verify: false}\n\
                    - {name: open, url: \"https://other/\"}\n";
        std::fs::write(&path, file).unwrap();
        let read = HelmRepositories::read(Some(path.clone())).ok().unwrap();
        assert_eq!(read.addresses()["ours"], "https://host/charts/");
        assert_eq!(read.password("https://host/charts"), Some(("u", "s3cr3t")));
        assert_eq!(read.password("https://other"), None);
        std::fs::write(&path, "repositories: [{password: [s3cr3t]}]").unwrap();
        let error = HelmRepositories::read(Some(path))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("repositories.yaml") && !error.contains("s3cr3t"),
            "{error}"
        );
        let none = HelmRepositories::read(Some(folder.path().join("none")));
        assert!(none.ok().unwrap().addresses().is_empty());
    }
}
