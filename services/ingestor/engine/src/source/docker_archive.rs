//! Images in a file that `docker save` wrote (image-spec v1.2 of Docker: `manifest.json`, configurations, layers).

use std::io::Read;
use std::sync::Arc;

use quench_content::artefact::Manifest;
use quench_content::{MANIFEST_LIMIT, Store, blocking};
use quench_model::{Descriptor, Digest, media_type};
use quench_package::{Context, EngineError};
use serde::Deserialize;

use super::given::Given;
use super::tar_file::{TarFile, io_error};

/// Most bytes of an image configuration.
const CONFIG_LIMIT: u64 = 8 << 20;
/// Most images in one archive, and most layers of one image.
const IMAGES: usize = 1000;
const LAYERS: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Reads every image of an archive. Layers are kept as they lie there: a plain tar's digest is the one the
/// image's configuration states, so it can be verified, and nothing is gained by packing it here.
pub(super) async fn read(
    archive: TarFile,
    given: &mut Given,
    context: &Context,
) -> Result<(), EngineError> {
    let archive = Arc::new(archive);
    let bytes = archive
        .read("manifest.json", MANIFEST_LIMIT)?
        .ok_or_else(|| {
            archive.fault(
                "manifest.json",
                "it is missing, so this is no docker archive",
            )
        })?;
    let entries: Vec<Entry> = serde_json::from_slice(&bytes)
        .map_err(|e| archive.fault("manifest.json", &e.to_string()))?;
    if entries.len() > IMAGES {
        return Err(archive.fault("manifest.json", &format!("more than {IMAGES} images")));
    }
    for entry in entries {
        let descriptor = image(&archive, &entry, given.source(), context).await?;
        let tags = entry.repo_tags.unwrap_or_default();
        if tags.is_empty() {
            given.add(None, &descriptor)?;
        }
        for tag in tags {
            given.add(Some(&tag), &descriptor)?;
        }
    }
    Ok(())
}

async fn image(
    archive: &Arc<TarFile>,
    entry: &Entry,
    source: &str,
    context: &Context,
) -> Result<Descriptor, EngineError> {
    let store = &context.store;
    let bytes = archive
        .read(&entry.config, CONFIG_LIMIT)?
        .ok_or_else(|| archive.fault(&entry.config, "it is missing"))?;
    let parsed: Config =
        serde_json::from_slice(&bytes).map_err(|e| archive.fault(&entry.config, &e.to_string()))?;
    let expected = parsed.rootfs.diff_ids;
    if expected.len() != entry.layers.len() || expected.len() > LAYERS {
        return Err(archive.fault(
            &entry.config,
            &format!(
                "it lists {} layers, manifest.json {}",
                expected.len(),
                entry.layers.len()
            ),
        ));
    }
    let mut total = 0;
    for layer in &entry.layers {
        total += archive.member(layer)?.map_or(0, |(size, _)| size);
    }
    context.progress.start(&format!("read {source}"), total);
    let mut layers = Vec::with_capacity(entry.layers.len());
    for (name, diff_id) in entry.layers.iter().zip(&expected) {
        context.check_cancelled()?;
        let layer = store_layer(archive, name, diff_id, store).await?;
        context.progress.advance(layer.size);
        layers.push(layer);
    }
    context.progress.finish();
    let mut manifest = Manifest::artefact("", layers);
    manifest.artifact_type = None;
    manifest.config = store.put(media_type::CONFIG, &bytes).await?;
    Ok(store.put_manifest(&manifest).await?)
}

async fn store_layer(
    archive: &Arc<TarFile>,
    name: &str,
    diff_id: &Digest,
    store: &Store,
) -> Result<Descriptor, EngineError> {
    let (size, mut section) = archive
        .member(name)?
        .ok_or_else(|| archive.fault(name, "it is missing"))?;
    let mut magic = Vec::new();
    if let Some((_, start)) = archive.member(name)? {
        start
            .take(4)
            .read_to_end(&mut magic)
            .map_err(|e| io_error("read", archive.path(), e))?;
    }
    let media_type = match magic.as_slice() {
        [0x1f, 0x8b, ..] => media_type::LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::LAYER_ZSTD,
        _ => media_type::LAYER,
    };
    let plain = media_type == media_type::LAYER;
    // Newer archives name their files by digest, plain layers have theirs in the configuration: what is in
    // the store already need not be read again.
    let named = name
        .strip_prefix("blobs/sha256/")
        .and_then(|hex| format!("sha256:{hex}").parse().ok());
    if let Some(digest) = named.or_else(|| plain.then(|| diff_id.clone())) {
        let mut known = Descriptor::of(media_type, b"");
        known.digest = digest;
        known.size = size;
        if store.contains(&known).await? {
            return if plain && known.digest != *diff_id {
                Err(other_layer(archive, name, &known.digest, diff_id))
            } else {
                Ok(known)
            };
        }
    }
    let mut writer = store.writer()?;
    let path = archive.path().to_owned();
    let writer = blocking(move || {
        std::io::copy(&mut section, &mut writer).map_err(|e| io_error("copy", &path, e))?;
        Ok::<_, EngineError>(writer)
    })
    .await?;
    if writer.written() != size {
        return Err(archive.fault(name, "the archive ends within it"));
    }
    let actual = writer.digest();
    if plain && actual != *diff_id {
        return Err(other_layer(archive, name, &actual, diff_id));
    }
    Ok(store.commit(writer, media_type).await?)
}

fn other_layer(archive: &TarFile, name: &str, actual: &Digest, expected: &Digest) -> EngineError {
    archive.fault(
        name,
        &format!("its digest is {actual}, the image's configuration says {expected}"),
    )
}
