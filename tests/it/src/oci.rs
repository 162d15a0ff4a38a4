//! OCI image layouts, read with tools that are not ours.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools::run;

/// An OCI image layout on disk.
#[derive(Debug, Clone)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The parsed blob of a digest such as `sha256:…`.
    pub fn json(&self, digest: &str) -> Result<Value> {
        let path = self.0.join("blobs").join(digest.replace(':', "/"));
        let bytes =
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Digest of the one image manifest of the layout; goes through an image index to its first entry.
    pub fn manifest_digest(&self) -> Result<String> {
        let index = std::fs::read(self.0.join("index.json"))?;
        let mut index: Value = serde_json::from_slice(&index)?;
        loop {
            let Some([entry, ..]) = index
                .pointer("/manifests")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            else {
                bail!("{} lists no image", self.0.display());
            };
            let digest = text(entry, "/digest")?;
            if !text(entry, "/mediaType")?.contains("index") {
                return Ok(digest);
            }
            index = self.json(&digest)?;
        }
    }

    /// The `config` object of the image's configuration: `User`, `Entrypoint`, `Cmd`, `Env`, …
    pub fn run_config(&self) -> Result<Value> {
        let manifest = self.json(&self.manifest_digest()?)?;
        let configuration = self.json(&text(&manifest, "/config/digest")?)?;
        Ok(configuration.get("config").cloned().unwrap_or(Value::Null))
    }

    /// Unpacks the image with umoci into `bundle`; gives the root folder. As root the owners are those of the image.
    pub fn unpack(&self, umoci: &Path, bundle: &Path) -> Result<PathBuf> {
        // umoci wants a name in the layout, and another tool may have written it without one.
        let named = tempfile::tempdir()?;
        let digest = self.manifest_digest()?;
        let copy = named.path().join("layout");
        std::fs::create_dir(&copy)?;
        std::os::unix::fs::symlink(
            std::fs::canonicalize(self.0.join("blobs"))?,
            copy.join("blobs"),
        )?;
        std::fs::write(copy.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let size = std::fs::metadata(copy.join("blobs").join(digest.replace(':', "/")))?.len();
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": size,
                "annotations": { "org.opencontainers.image.ref.name": "image" },
            }],
        });
        std::fs::write(copy.join("index.json"), serde_json::to_vec(&index)?)?;
        let mut command = Command::new(umoci);
        command.arg("unpack");
        if !crate::tools::is_root() {
            command.arg("--rootless");
        }
        run(command
            .arg("--image")
            .arg(format!("{}:image", copy.display()))
            .arg(bundle))?;
        Ok(bundle.join("rootfs"))
    }
}

/// Bytes of all regular files below `folder`, hard links counted once.
pub fn unpacked_size(folder: &Path) -> Result<u64> {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let meta = entry.path().symlink_metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.is_file() && seen.insert((meta.dev(), meta.ino())) {
                total += meta.len();
            }
        }
    }
    Ok(total)
}

/// The string at a JSON pointer.
pub fn text(value: &Value, pointer: &str) -> Result<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no string at {pointer} in {value}"))
}
