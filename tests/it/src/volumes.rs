//! The volumes of a pod, as the kubelet makes them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::pod::{Objects, list, string};

/// Mode of files from ConfigMaps and Secrets where the volume says none.
const DEFAULT_MODE: u32 = 0o644;

/// Claims of persistent volumes: they outlive the pods that use them.
#[derive(Debug)]
pub struct Claims {
    folder: TempDir,
    /// Volumes that a StatefulSet's `volumeClaimTemplates` add to its pods.
    templates: Vec<String>,
}

impl Claims {
    /// Claims of a workload: those its pods name, and those a StatefulSet makes for them.
    pub fn of(workload: &Value) -> Result<Self> {
        let spec = workload.get("spec").unwrap_or(&Value::Null);
        let templates = list(spec, "volumeClaimTemplates")
            .iter()
            .map(|claim| string(claim, "/metadata/name").context("a claim template has no name"))
            .collect::<Result<_>>()?;
        Ok(Self {
            folder: tempfile::Builder::new()
                .prefix("quench-claims-")
                .tempdir()?,
            templates,
        })
    }

    /// The folder of a claim. A fresh one is root's, as most provisioners make it.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        if !path.exists() {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        }
        Ok(path)
    }
}

/// A prepared volume.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    /// Its folder on this host.
    pub(crate) path: PathBuf,
    /// Whether the kubelet mounts it read-only, whatever the mount says.
    pub(crate) read_only: bool,
}

/// Makes all volumes of a pod below `folder`.
pub(crate) fn prepare(
    folder: &Path,
    pod: &Value,
    objects: &Objects,
    claims: &Claims,
) -> Result<BTreeMap<String, Volume>> {
    let group = pod
        .pointer("/securityContext/fsGroup")
        .and_then(Value::as_u64)
        .map(u32::try_from)
        .transpose()?;
    let mut volumes = BTreeMap::new();
    for name in &claims.templates {
        let path = claims.folder(name)?;
        give(&path, group)?;
        let volume = Volume {
            path,
            read_only: false,
        };
        volumes.insert(name.clone(), volume);
    }
    for volume in list(pod, "volumes") {
        let name = string(volume, "/name").context("a volume has no name")?;
        let path = folder.join(&name);
        let volume = if let Some(claim) = string(volume, "/persistentVolumeClaim/claimName") {
            let path = claims.folder(&claim)?;
            give(&path, group)?;
            Volume {
                path,
                read_only: false,
            }
        } else if volume.get("emptyDir").is_some() {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o777))?;
            give(&path, group)?;
            Volume {
                path,
                read_only: false,
            }
        } else {
            fs::create_dir_all(&path)?;
            for source in sources(volume)? {
                source.write(&path, objects)?;
            }
            Volume {
                path,
                read_only: true,
            }
        };
        volumes.insert(name, volume);
    }
    Ok(volumes)
}

/// What the kubelet does for `fsGroup`: the folder is the group's, who may write, and so is what is made in it.
fn give(folder: &Path, group: Option<u32>) -> Result<()> {
    let Some(group) = group else {
        return Ok(());
    };
    chown(folder, None, Some(group))
        .with_context(|| format!("{} cannot be given to group {group}", folder.display()))?;
    let mode = folder.metadata()?.permissions().mode();
    fs::set_permissions(folder, Permissions::from_mode(mode | 0o2070))?;
    Ok(())
}

/// A ConfigMap or Secret whose keys become files.
struct Source {
    kind: &'static str,
    name: String,
    items: Vec<(String, String)>,
    optional: bool,
    mode: u32,
}

fn sources(volume: &Value) -> Result<Vec<Source>> {
    let read = |kind: &'static str, key: &str, of: &Value| -> Option<Source> {
        let holder = of.get(if kind == "ConfigMap" {
            "configMap"
        } else {
            "secret"
        })?;
        let items = list(holder, "items")
            .iter()
            .filter_map(|item| Some((string(item, "/key")?, string(item, "/path")?)))
            .collect();
        Some(Source {
            kind,
            name: string(holder, key)?,
            items,
            optional: holder.get("optional").and_then(Value::as_bool) == Some(true),
            mode: holder
                .get("defaultMode")
                .and_then(Value::as_u64)
                .and_then(|mode| u32::try_from(mode).ok())
                .unwrap_or(DEFAULT_MODE),
        })
    };
    let direct = read("ConfigMap", "/name", volume).or(read("Secret", "/secretName", volume));
    if let Some(source) = direct {
        return Ok(vec![source]);
    }
    let projected = volume.get("projected").unwrap_or(&Value::Null);
    let mut found = Vec::new();
    for source in list(projected, "sources") {
        match read("ConfigMap", "/name", source).or(read("Secret", "/name", source)) {
            Some(source) => found.push(source),
            None => bail!("a projected source is of a kind this harness cannot make: {source}"),
        }
    }
    if found.is_empty() {
        bail!("a volume is of a kind this harness cannot make: {volume}");
    }
    Ok(found)
}

impl Source {
    fn write(&self, folder: &Path, objects: &Objects) -> Result<()> {
        let data = match objects.data(self.kind, &self.name) {
            Ok(data) => data,
            Err(_) if self.optional => return Ok(()),
            Err(error) => return Err(error),
        };
        let all = || data.keys().map(|key| (key.clone(), key.clone())).collect();
        let items: Vec<(String, String)> = if self.items.is_empty() {
            all()
        } else {
            self.items.clone()
        };
        for (key, file) in items {
            let content = data
                .get(&key)
                .with_context(|| format!("{} {} has no key {key}", self.kind, self.name))?;
            let path = folder.join(file);
            fs::write(&path, content)?;
            fs::set_permissions(&path, Permissions::from_mode(self.mode))?;
        }
        Ok(())
    }
}
