//! What the images of two packages differ in: files and packages.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::{Context as _, Result};
use quench_content::Store;
use quench_image::{Entry, Image, Kind, platforms};
use quench_inventory::{Inventory, catalogue};
use quench_model::{Descriptor, Digest, media_type};
use quench_package::{Context, Package, PackageImage, attachments, closure};
use serde::Serialize;

/// Most bytes of an inventory.
const INVENTORY_LIMIT: u64 = 512 << 20;
/// Most files of an image that are listed; more are counted.
const MOST_FILES: usize = 10_000;

/// What an image differs in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDifference {
    /// As the chart names it.
    pub reference: String,
    /// Digest before; nothing where there was no such image.
    pub before: Option<Digest>,
    /// Digest after; nothing where there is none.
    pub after: Option<Digest>,
    /// Bytes as stored, before.
    pub bytes_before: u64,
    /// Bytes as stored, after.
    pub bytes_after: u64,
    /// Files that differ, of the platform compared.
    pub files: Vec<FileChange>,
    /// How many files came.
    pub files_added: usize,
    /// How many went.
    pub files_removed: usize,
    /// How many have another content, owner, mode or target.
    pub files_changed: usize,
    /// Packages that differ.
    pub packages: Vec<PackageChange>,
    /// Platform that was compared, where there are several.
    pub platform: Option<String>,
}

/// A file that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// `added`, `removed`, or what changed: `content`, `mode`, `owner`, `kind`, `target`.
    pub change: &'static str,
}

/// A package of the distribution that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// Version before.
    pub before: Option<String>,
    /// Version after.
    pub after: Option<String>,
}

pub(super) async fn compare(
    context: &Context,
    before: &Package,
    after: &Package,
) -> Result<Vec<ImageDifference>> {
    let find = |package: &Package, reference: &str| {
        package
            .images
            .iter()
            .find(|image| image.reference.to_string() == reference)
            .cloned()
    };
    let references: BTreeSet<String> = before
        .images
        .iter()
        .chain(&after.images)
        .map(|image| image.reference.to_string())
        .collect();
    context
        .progress
        .start("compare images", references.len() as u64);
    let mut differences = Vec::new();
    for reference in references {
        context.check_cancelled()?;
        let (old, new) = (find(before, &reference), find(after, &reference));
        let digest = |image: &Option<PackageImage>| {
            image.as_ref().map(|image| image.descriptor.digest.clone())
        };
        if digest(&old) != digest(&new) {
            let (old, new) = ((before, old), (after, new));
            differences.push(one(context, reference, old, new).await?);
        }
        context.progress.advance(1);
    }
    context.progress.finish();
    Ok(differences)
}

async fn one(
    context: &Context,
    reference: String,
    (before, old): (&Package, Option<PackageImage>),
    (after, new): (&Package, Option<PackageImage>),
) -> Result<ImageDifference> {
    let store = &context.store;
    let mut difference = ImageDifference {
        reference,
        before: old.as_ref().map(|image| image.descriptor.digest.clone()),
        after: new.as_ref().map(|image| image.descriptor.digest.clone()),
        bytes_before: size(store, old.as_ref()).await?,
        bytes_after: size(store, new.as_ref()).await?,
        files: Vec::new(),
        files_added: 0,
        files_removed: 0,
        files_changed: 0,
        packages: Vec::new(),
        platform: None,
    };
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(difference);
    };
    let Some((old, new)) = same_platform(store, &old, &new, &mut difference).await? else {
        return Ok(difference);
    };
    let (left, right) = (
        Image::open(store, &old).await?,
        Image::open(store, &new).await?,
    );
    difference = tokio::task::spawn_blocking(move || files(&left, &right, difference))
        .await
        .context("comparing files ended early")??;
    let (left, right) = (
        packages(store, before, &old).await?,
        packages(store, after, &new).await?,
    );
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        let (old, new) = (left.get(name), right.get(name));
        if old != new {
            difference.packages.push(PackageChange {
                name: name.clone(),
                before: old.cloned(),
                after: new.cloned(),
            });
        }
    }
    Ok(difference)
}

/// The first platform that both images are for.
async fn same_platform(
    store: &Store,
    old: &PackageImage,
    new: &PackageImage,
    difference: &mut ImageDifference,
) -> Result<Option<(Descriptor, Descriptor)>> {
    let left = platforms(store, &old.descriptor).await?;
    let right = platforms(store, &new.descriptor).await?;
    if let ([one], [two]) = (left.as_slice(), right.as_slice()) {
        return Ok(Some((one.clone(), two.clone())));
    }
    for one in &left {
        if let Some(platform) = &one.platform
            && let Some(two) = right
                .iter()
                .find(|two| two.platform.as_ref() == Some(platform))
        {
            difference.platform = Some(platform.to_string());
            return Ok(Some((one.clone(), two.clone())));
        }
    }
    Ok(None)
}

async fn size(store: &Store, image: Option<&PackageImage>) -> Result<u64> {
    match image {
        Some(image) => {
            let parts = closure(store, &image.descriptor).await?;
            Ok(parts.iter().map(|part| part.size).sum())
        }
        None => Ok(0),
    }
}

/// Packages by name, with their versions: as the level that looked last found them, else as they are found now.
async fn packages(
    store: &Store,
    package: &Package,
    image: &Descriptor,
) -> Result<BTreeMap<String, String>> {
    let kind = Some(media_type::PACKAGE_INDEX);
    let mut inventory: Option<Inventory> = None;
    'found: for revision in package.lineage(store).await? {
        for attachment in attachments(store, &revision.revision.digest, kind).await? {
            if attachment.image.as_ref() == Some(&image.digest) {
                inventory = Some(
                    store
                        .read_json(&attachment.document, INVENTORY_LIMIT)
                        .await?,
                );
                break 'found;
            }
        }
    }
    let inventory = match inventory {
        Some(inventory) => inventory,
        None => catalogue(store, image).await?,
    };
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for package in inventory.packages {
        versions
            .entry(package.name)
            .and_modify(|versions| {
                versions.push_str(", ");
                versions.push_str(&package.version);
            })
            .or_insert(package.version);
    }
    Ok(versions)
}

fn files(left: &Image, right: &Image, mut difference: ImageDifference) -> Result<ImageDifference> {
    let all = |image: &Image| -> BTreeSet<String> {
        image
            .tree()
            .iter()
            .filter(|entry| !entry.is_folder())
            .map(|entry| entry.path())
            .collect()
    };
    let (old, new) = (all(left), all(right));
    for path in old.union(&new) {
        let change = match (old.contains(path), new.contains(path)) {
            (false, _) => {
                difference.files_added += 1;
                "added"
            }
            (_, false) => {
                difference.files_removed += 1;
                "removed"
            }
            _ => match changed(left, right, path)? {
                Some(change) => {
                    difference.files_changed += 1;
                    change
                }
                None => continue,
            },
        };
        if difference.files.len() < MOST_FILES {
            difference.files.push(FileChange {
                path: path.clone(),
                change,
            });
        }
    }
    Ok(difference)
}

/// What an entry that both images have differs in.
fn changed(left: &Image, right: &Image, path: &str) -> Result<Option<&'static str>> {
    let (Some(one), Some(two)) = (left.tree().lookup(path), right.tree().lookup(path)) else {
        return Ok(Some("kind"));
    };
    Ok(if one.kind() != two.kind() {
        Some("kind")
    } else if one.kind() == Kind::File && !same_content(left, one, right, two)? {
        Some("content")
    } else if one.target_bytes() != two.target_bytes() || one.device() != two.device() {
        Some("target")
    } else if (one.uid(), one.gid()) != (two.uid(), two.gid()) {
        Some("owner")
    } else if one.mode() != two.mode() || one.capability() != two.capability() {
        Some("mode")
    } else {
        None
    })
}

fn same_content(left: &Image, one: Entry<'_>, right: &Image, two: Entry<'_>) -> Result<bool> {
    if one.size() != two.size() {
        return Ok(false);
    }
    let (first, second) = (left.tree().open(one)?, right.tree().open(two)?);
    let mut buffers = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = 0;
    while at < first.length() {
        let count = usize::try_from((first.length() - at).min(1 << 16)).unwrap_or(1 << 16);
        let read = |reader: &quench_image::FileReader, buffer: &mut [u8]| -> io::Result<()> {
            reader.read_exact_at(buffer, at)
        };
        let one = buffers.0.get_mut(..count).unwrap_or_default();
        read(&first, one).context("cannot read a layer")?;
        let two = buffers.1.get_mut(..count).unwrap_or_default();
        read(&second, two).context("cannot read a layer")?;
        if one != two {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}
