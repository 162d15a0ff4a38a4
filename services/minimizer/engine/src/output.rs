//! Writing the minimised image: one layer, the package database of what is left, configuration and manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError, blocking};
use quench_image::{Entry, Image, LayerEntry, LayerWriter, Tree};
use quench_model::{Descriptor, media_type};

use crate::keep::Keep;
use crate::packages::Packages;
use crate::tiers;

/// What made the layer, in the image's history.
const CREATED_BY: &str = "quench: minimized";

/// One thing to write.
enum Item {
    /// From the original, by its number.
    Original(u32),
    Folder(u32),
    File(Vec<u8>),
}

/// An image that was written, and what it says about its packages.
pub(crate) struct Written {
    pub manifest: Descriptor,
    pub packages: BTreeSet<u32>,
}

/// Writes the image that keeps `keep`.
pub(crate) async fn write(
    store: &Store,
    image: &Arc<Image>,
    packages: &Arc<Packages>,
    keep: &Arc<Keep>,
) -> Result<Written, StoreError> {
    let writer = store.writer()?;
    let (tree_of, database, kept) = (image.clone(), packages.clone(), keep.clone());
    let place = store.place();
    let (layer, left) = blocking(move || {
        let left = tiers::with_files(tree_of.tree(), &database, &kept);
        match write_layer(tree_of.tree(), &database, &kept, &left, writer) {
            Ok(written) => Ok((written, left)),
            Err(source) => Err(StoreError::Io {
                action: "write a layer to",
                path: place.into(),
                source,
            }),
        }
    })
    .await?;
    let blob = store.commit(layer.out, media_type::LAYER_GZIP).await?;
    let config = image.config.with_layers(&[layer.diff_id], CREATED_BY);
    let config = store.put_json(media_type::CONFIG, &config).await?;
    let mut manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config,
        layers: vec![blob],
        subject: None,
        annotations: image.manifest.annotations.clone(),
    };
    // The base they name is no longer what the layers begin with.
    manifest
        .annotations
        .retain(|key, _| !key.starts_with("org.opencontainers.image.base."));
    let mut descriptor = store.put_manifest(&manifest).await?;
    descriptor.platform.clone_from(&image.descriptor.platform);
    Ok(Written {
        manifest: descriptor,
        packages: left,
    })
}

fn write_layer<W: Write>(
    tree: &Tree,
    packages: &Packages,
    keep: &Keep,
    left: &BTreeSet<u32>,
    out: W,
) -> std::io::Result<quench_image::WrittenLayer<W>> {
    let mut writer = LayerWriter::new(out);
    // Where each content was written first: its other names become hard links.
    let mut written: BTreeMap<(usize, u64), Vec<u8>> = BTreeMap::new();
    for (path, item) in items(tree, packages, keep, left) {
        match item {
            Item::Folder(mode) => {
                writer.push(&LayerEntry::folder(path, mode, 0, 0), &mut std::io::empty())?;
            }
            Item::File(bytes) => {
                let entry = LayerEntry::file(path, 0o644, bytes.len() as u64);
                writer.push(&entry, &mut bytes.as_slice())?;
            }
            Item::Original(number) => {
                let Some(original) = tree.entry_at(number) else {
                    continue;
                };
                // Times stay those of the original, which the input's digest covers: web servers make ETags of
                // them, and Python compares them with the times noted in compiled files.
                let mut entry = LayerEntry::of(original);
                if original.is_file() && !keep.named.contains(&number) {
                    entry.mode &= 0o1777;
                    entry.capability = None;
                }
                let first = original.content_id().and_then(|id| written.get(&id));
                if let Some(first) = first {
                    entry.hard_link = true;
                    entry.target.clone_from(first);
                    writer.push(&entry, &mut std::io::empty())?;
                    continue;
                }
                if let Some(id) = original.content_id() {
                    written.insert(id, original.path_bytes());
                }
                if original.is_file() {
                    let mut file = tree.open(original).map_err(std::io::Error::other)?;
                    writer.push(&entry, &mut file as &mut dyn Read)?;
                } else {
                    writer.push(&entry, &mut std::io::empty())?;
                }
            }
        }
    }
    writer.finish()
}

/// Everything to write by path, each folder before what is in it.
fn items(
    tree: &Tree,
    packages: &Packages,
    keep: &Keep,
    left: &BTreeSet<u32>,
) -> Vec<(Vec<u8>, Item)> {
    let mut items: BTreeMap<Vec<u8>, Item> = BTreeMap::new();
    for number in keep.entries.keys() {
        let mut at = tree.entry_at(*number);
        while let Some(entry) = at.filter(|entry| entry.parent() != *entry) {
            let key = key(&entry.path_bytes());
            if items.insert(key, Item::Original(entry.number())).is_some() {
                break;
            }
            at = Some(entry.parent());
        }
    }
    if tree.lookup("/tmp").is_none() {
        items.insert(key(b"/tmp"), Item::Folder(0o1777));
    }
    let mut put = |path: String, item: Item| {
        let item = match tree.lookup(&path).filter(Entry::is_folder) {
            Some(folder) => Item::Original(folder.number()),
            None => item,
        };
        items.insert(key(path.as_bytes()), item);
    };
    if !left.is_empty() {
        for folder in [
            "/var",
            "/var/lib",
            "/var/lib/dpkg",
            "/var/lib/dpkg/status.d",
        ] {
            put(folder.to_owned(), Item::Folder(0o755));
        }
    }
    let mut names = BTreeSet::new();
    for package in left.iter().filter_map(|number| packages.get(*number)) {
        // Names that came from the image go into a path: what is no package name stays out.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !package.name.chars().all(plain) || package.name.starts_with('.') {
            continue;
        }
        let name = if names.insert(&package.name) {
            package.name.clone()
        } else {
            format!("{}:{}", package.name, package.architecture)
        };
        let folder = "/var/lib/dpkg/status.d";
        let paragraph = format!("{}\n", package.paragraph).into_bytes();
        put(format!("{folder}/{name}"), Item::File(paragraph));
        let mut sums = String::new();
        for (sum, path) in &package.checksums {
            let here = tree
                .locate(path)
                .is_ok_and(|found| keep.contains(found.entry));
            if here {
                sums.push_str(&format!("{sum}  {path}\n"));
            }
        }
        let sums = Item::File(sums.into_bytes());
        put(format!("{folder}/{name}.md5sums"), sums);
    }
    items
        .into_iter()
        .map(|(key, item)| (path_of(key), item))
        .collect()
}

/// A path as a key that sorts a folder right before what is in it: no byte of a name is 0.
fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|b| if *b == b'/' { 0 } else { *b })
        .collect()
}

fn path_of(mut key: Vec<u8>) -> Vec<u8> {
    for byte in &mut key {
        if *byte == 0 {
            *byte = b'/';
        }
    }
    key
}
