//! Images in an OCI image layout (image-spec 1.1), in a folder or in a tar file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, Store, blocking};
use quench_model::{Descriptor, Digest, annotation, media_type};
use quench_package::{Context, EngineError};

use super::given::Given;
use super::layout_attached;
use super::tar_file::{TarFile, io_error};

/// Most manifests and blobs reached from one entry of `index.json`.
const NODES: usize = 10_000;
/// Indexes within indexes deeper than this are refused.
const DEPTH: usize = 8;

/// Where a layout's files are.
#[derive(Clone)]
pub(super) enum Blobs {
    Folder(PathBuf),
    Archive(Arc<TarFile>),
}

impl Blobs {
    pub(super) fn archive(archive: TarFile) -> Self {
        Self::Archive(Arc::new(archive))
    }

    fn place(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Archive(archive) => archive.path().display().to_string(),
        }
    }

    pub(super) fn fault(&self, what: &str, reason: &str) -> EngineError {
        EngineError::Input(format!("{}: {what}: {reason}", self.place()))
    }

    /// A small file whole.
    fn document(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, EngineError> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Archive(archive) => return archive.read(name, limit),
        };
        let path = folder.join(name);
        match std::fs::metadata(&path) {
            Ok(meta) if !meta.is_file() => return Err(self.fault(name, "not a file")),
            Ok(meta) if meta.len() > limit => {
                let size = meta.len();
                let reason = format!("it has {size} bytes; at most {limit} are accepted for it");
                return Err(self.fault(name, &reason));
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path, e)),
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|e| io_error("read", &path, e))?;
        Ok(Some(bytes))
    }

    /// Reads a manifest or index and verifies it.
    pub(super) fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, EngineError> {
        let name = blob_name(&descriptor.digest);
        let bytes = self
            .document(&name, MANIFEST_LIMIT)?
            .ok_or_else(|| self.fault(&name, "it is missing"))?;
        let actual = Digest::of(&bytes);
        if actual != descriptor.digest || bytes.len() as u64 != descriptor.size {
            return Err(self.fault(
                &name,
                &format!(
                    "it has {} bytes of digest {actual}, not what its descriptor says",
                    bytes.len()
                ),
            ));
        }
        Ok(bytes)
    }

    /// Brings a blob into the store, verified, unless it is there.
    pub(super) async fn store(
        &self,
        descriptor: &Descriptor,
        store: &Store,
    ) -> Result<(), EngineError> {
        if store.contains(descriptor).await? {
            return Ok(());
        }
        let name = blob_name(&descriptor.digest);
        let missing = || self.fault(&name, "it is missing");
        match self {
            Self::Folder(folder) => {
                let path = folder.join(&name);
                match std::fs::metadata(&path) {
                    Ok(meta) if meta.is_file() => {}
                    _ => return Err(missing()),
                }
                store.adopt(&path, descriptor, &self.place()).await?;
            }
            Self::Archive(archive) => {
                let (_, mut section) = archive.member(&name)?.ok_or_else(missing)?;
                let mut writer = store.writer()?;
                let path = archive.path().to_owned();
                let writer = blocking(move || {
                    std::io::copy(&mut section, &mut writer)
                        .map_err(|e| io_error("copy", &path, e))?;
                    Ok::<_, EngineError>(writer)
                })
                .await?;
                store
                    .commit_expected(writer, descriptor, &self.place())
                    .await?;
            }
        }
        Ok(())
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads every image of a layout.
pub(super) async fn read(
    blobs: Blobs,
    given: &mut Given,
    context: &Context,
) -> Result<(), EngineError> {
    let layout = blobs.document("oci-layout", 4096)?;
    if layout.is_none() {
        return Err(blobs.fault(
            "oci-layout",
            "it is missing, so this is no OCI image layout",
        ));
    }
    let bytes = blobs
        .document("index.json", MANIFEST_LIMIT)?
        .ok_or_else(|| blobs.fault("index.json", "it is missing"))?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|e| blobs.fault("index.json", &e.to_string()))?;
    let (candidates, entries) = layout_attached::sort(&blobs, &index.manifests)?;
    let mut within = BTreeSet::new();
    for entry in entries {
        within.extend(entry_in(&blobs, entry, given, context).await?);
    }
    let alone = layout_attached::take_in(&blobs, candidates, within, given, context).await?;
    for entry in alone {
        entry_in(&blobs, entry, given, context).await?;
    }
    Ok(())
}

/// Brings in what an entry of `index.json` names, and notes it where it is an image. Gives the digests of all of it.
async fn entry_in(
    blobs: &Blobs,
    entry: &Descriptor,
    given: &mut Given,
    context: &Context,
) -> Result<BTreeSet<Digest>, EngineError> {
    let tree = Tree::read(blobs, entry)?;
    let total = tree.order.iter().map(|d| d.size).sum();
    let task = format!("read {}", given.source());
    context.progress.start(&task, total);
    for descriptor in &tree.order {
        context.check_cancelled()?;
        blobs.store(descriptor, &context.store).await?;
        context.progress.advance(descriptor.size);
    }
    context.progress.finish();
    if tree.is_image {
        let name = entry
            .annotation(annotation::IMAGE_NAME)
            .or_else(|| entry.annotation(annotation::REF_NAME))
            .filter(|name| !name.is_empty());
        given.add(name, entry)?;
    }
    Ok(tree.seen)
}

/// Everything an entry names, what is named before what names it.
pub(super) struct Tree {
    pub(super) order: Vec<Descriptor>,
    seen: BTreeSet<Digest>,
    /// Whether there is an image in it, rather than a chart or another artefact.
    is_image: bool,
}

impl Tree {
    pub(super) fn read(blobs: &Blobs, root: &Descriptor) -> Result<Self, EngineError> {
        let mut tree = Self {
            order: Vec::new(),
            seen: BTreeSet::new(),
            is_image: false,
        };
        tree.visit(blobs, root, 0)?;
        Ok(tree)
    }

    fn visit(
        &mut self,
        blobs: &Blobs,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<(), EngineError> {
        if !self.seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        if self.seen.len() > NODES || depth > DEPTH {
            let reason = format!("more than {NODES} blobs or {DEPTH} nested indexes");
            return Err(blobs.fault("index.json", &reason));
        }
        if descriptor.is_manifest() {
            let bytes = blobs.manifest(descriptor)?;
            for named in self.named(blobs, descriptor, &bytes)? {
                self.visit(blobs, &named, depth + 1)?;
            }
        }
        self.order.push(descriptor.clone());
        Ok(())
    }

    fn named(
        &mut self,
        blobs: &Blobs,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<Vec<Descriptor>, EngineError> {
        let fault = |reason: &str| blobs.fault(&blob_name(&descriptor.digest), reason);
        let (own, named) = if descriptor.is_index() {
            let index: Index = serde_json::from_slice(bytes).map_err(|e| fault(&e.to_string()))?;
            (index.media_type, index.manifests)
        } else {
            let manifest: Manifest =
                serde_json::from_slice(bytes).map_err(|e| fault(&e.to_string()))?;
            let config = manifest.config.media_type.as_str();
            self.is_image |= manifest.artifact_type.is_none()
                && matches!(config, media_type::CONFIG | media_type::DOCKER_CONFIG);
            let mut named = vec![manifest.config];
            named.extend(manifest.layers);
            (manifest.media_type, named)
        };
        match own {
            Some(own) if own != descriptor.media_type => Err(fault(&format!(
                "it calls itself {own:?}, its descriptor calls it {:?}",
                descriptor.media_type
            ))),
            _ => Ok(named),
        }
    }
}
