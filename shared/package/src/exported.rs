//! An exported package as it is read back.

mod contents;
mod names;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use quench_chart::Chart;
use quench_content::MANIFEST_LIMIT;
use quench_content::artefact::{Index, Manifest};
use quench_model::{Descriptor, Digest, annotation, media_type};

use self::contents::{Contents, Place};
use crate::chart_archive::archive_of;
use crate::closure::Walk;
use crate::delta::{self, Delta};
use crate::signing::{SIGNED_LIMIT, SignedDocument, is_signed};
use crate::verify::{Verified, VerifyError, check_count, check_lock, sort_referrers};
use crate::{ImageLock, Package, Request, images_lock};

/// An exported package that was found whole.
pub(crate) struct Exported {
    /// What was verified.
    pub(crate) verified: Verified,
    /// What `index.json` names.
    pub(crate) named: Vec<Descriptor>,
    /// The revision and those it was made from, newest first.
    pub(crate) lineage: Vec<Descriptor>,
    /// Everything reached from them, with the byte at which its content begins.
    pub(crate) blobs: BTreeMap<Digest, (Descriptor, u64)>,
    /// Everything attached: subject and referrer.
    pub(crate) attached: Vec<(Digest, Descriptor)>,
    /// What is reached, but taken for granted.
    pub(crate) presumed: Vec<Descriptor>,
}

impl Exported {
    /// Verifies a file and tells what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self, VerifyError> {
        open(path)
    }
}

fn open(path: &Path) -> Result<Exported, VerifyError> {
    let broken = |reason: String| VerifyError::Broken {
        package: path.display().to_string(),
        reason,
    };
    let file = File::open(path).map_err(|e| broken(format!("cannot be read: {e}")))?;
    let mut contents = Contents::read(BufReader::with_capacity(1 << 18, file)).map_err(broken)?;
    contents.verify().map_err(broken)
}

impl<R: Read + Seek> Contents<R> {
    /// Follows everything from the index: all of it must be there, and all that is there must be reached.
    fn verify(&mut self) -> Result<Exported, String> {
        let named = self.index.manifests.clone();
        let delta = self.delta(&named)?;
        let mut reached = Reached {
            granted: delta
                .as_ref()
                .map(|d| d.presumed.clone())
                .unwrap_or_default(),
            ..Reached::default()
        };
        for descriptor in &named {
            self.follow(descriptor, &mut reached)?;
        }
        let revision = named
            .iter()
            .find(|d| d.artifact_type.as_deref() == Some(media_type::PACKAGE))
            .ok_or("index.json names no package revision")?;
        let lineage = self.lineage(revision)?;
        for descriptor in &lineage {
            self.follow(descriptor, &mut reached)?;
        }
        if let Some(stray) = self
            .blobs
            .keys()
            .find(|digest| !reached.blobs.contains_key(*digest))
        {
            return Err(format!("{stray} does not belong to the package"));
        }
        // What an image that is left out lists is left out with it, and cannot be followed here.
        if let Some(digest) = reached
            .granted
            .keys()
            .find(|digest| self.blobs.contains_key(*digest))
        {
            return Err(format!(
                "{digest} is taken for granted, but not left out of the package"
            ));
        }
        let package = self.newest(revision)?;
        let attached = self.check_names(&named, &package.name, &lineage, &reached)?;
        let mut referrers = attached.clone();
        sort_referrers(&mut referrers);
        let mut signed = Vec::new();
        for (subject, referrer) in &referrers {
            self.add_signed(subject, referrer, &mut signed)?;
        }
        let mut revision = revision.clone();
        revision.annotations.clear();
        let verified = Verified {
            package: package.name,
            version: package.version,
            revision,
            revisions: lineage.len(),
            images: package.images.len(),
            attachments: attached.len(),
            blobs: self.blobs.len(),
            bytes: self.blobs.values().map(|place| place.size).sum(),
            lineage: lineage.iter().map(|d| d.digest.clone()).collect(),
            referrers,
            signed,
            delta,
        };
        Ok(Exported {
            verified,
            named,
            lineage,
            blobs: reached.blobs,
            attached,
            presumed: reached.presumed.into_values().collect(),
        })
    }

    /// The newest revision, compared with its lock and with the one in its chart. A delta may take either for granted.
    fn newest(&mut self, revision: &Descriptor) -> Result<Package, String> {
        let index: Index = self.document(revision)?;
        let package = Package::parse(revision, &index).map_err(|e| e.to_string())?;
        let lock = self.lock(&package)?;
        if let Some(files) = self.chart_files(&package)? {
            images_lock::check(&files, &package.images, lock.as_ref())?;
        }
        if let Some(lock) = &lock {
            check_lock(lock, &package)?;
        }
        Ok(package)
    }

    fn lock(&mut self, package: &Package) -> Result<Option<ImageLock>, String> {
        if !self.blobs.contains_key(&package.lock.digest) {
            return Ok(None);
        }
        let manifest: Manifest = self.document(&package.lock)?;
        let layer = manifest
            .layers
            .first()
            .ok_or_else(|| format!("image lock {} lists no document", package.lock.digest))?;
        if !self.blobs.contains_key(&layer.digest) {
            return Ok(None);
        }
        let bytes = self.bytes_of(&layer.digest, Request::DOCUMENT_LIMIT)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| format!("image lock {}: {e}", layer.digest))
    }

    /// What of the chart tells of images.
    fn chart_files(
        &mut self,
        package: &Package,
    ) -> Result<Option<BTreeMap<String, Bytes>>, String> {
        let manifest = &package.chart.manifest;
        if !self.blobs.contains_key(&manifest.digest) {
            return Ok(None);
        }
        let archive =
            archive_of(self.document(manifest)?, &package.chart).map_err(|e| e.to_string())?;
        let Some(place) = self.blobs.get(&archive.digest).copied() else {
            return Ok(None);
        };
        self.reader
            .seek(SeekFrom::Start(place.offset))
            .map_err(|e| format!("cannot be read: {e}"))?;
        let content = (&mut self.reader).take(place.size);
        let name = format!("chart {}", archive.digest);
        Chart::read_files(content, &name, images_lock::concerns)
            .map(Some)
            .map_err(|e| e.to_string())
    }

    /// Reads the signatures and statements that a referrer attaches.
    fn add_signed(
        &mut self,
        subject: &Digest,
        referrer: &Descriptor,
        signed: &mut Vec<SignedDocument>,
    ) -> Result<(), String> {
        if !is_signed(referrer) {
            return Ok(());
        }
        let manifest: Manifest = self.document(referrer)?;
        for layer in &manifest.layers {
            if let Some(kind) = SignedDocument::kind(layer) {
                signed.push(SignedDocument {
                    subject: subject.clone(),
                    referrer: referrer.digest.clone(),
                    kind,
                    digest: layer.digest.clone(),
                    bytes: self.bytes_of(&layer.digest, SIGNED_LIMIT)?,
                });
                check_count(signed)?;
            }
        }
        Ok(())
    }

    /// The document that says what is taken for granted, if the file is a delta.
    fn delta(&mut self, named: &[Descriptor]) -> Result<Option<Delta>, String> {
        let Some(entry) = named
            .iter()
            .find(|d| d.annotation(annotation::REF_NAME) == Some(delta::NAME))
        else {
            return Ok(None);
        };
        let delta: Delta = self.document(entry)?;
        // Named by its digest in an index that has none, so there must be one form of it only.
        let canonical = serde_json::to_vec(&delta).unwrap_or_default();
        if Digest::of(canonical) != entry.digest {
            return Err(format!(
                "{} is not written as an export writes it",
                entry.digest
            ));
        }
        Ok(Some(delta))
    }

    /// The revision and those it was made from.
    fn lineage(&mut self, revision: &Descriptor) -> Result<Vec<Descriptor>, String> {
        let mut lineage = vec![Descriptor {
            annotations: BTreeMap::new(),
            ..revision.clone()
        }];
        loop {
            let Some(last) = lineage.last().cloned() else {
                return Ok(lineage);
            };
            let index: Index = self.document(&last)?;
            let Some(previous) = index.annotations.get(annotation::PREVIOUS) else {
                return Ok(lineage);
            };
            let digest: Digest = previous
                .parse()
                .map_err(|e| format!("revision {}: {e}", last.digest))?;
            let place = self
                .blobs
                .get(&digest)
                .ok_or_else(|| format!("revision {digest} is missing"))?;
            if lineage.len() >= 16 {
                return Err("the chain of revisions does not end".to_owned());
            }
            lineage.push(Descriptor {
                digest,
                size: place.size,
                ..last
            });
        }
    }

    fn follow(&mut self, root: &Descriptor, reached: &mut Reached) -> Result<(), String> {
        let mut walk = Walk::new(root.clone());
        self.place(root, reached)?;
        while let Some(descriptor) = walk.next() {
            let Some(place) = self.place(&descriptor, reached)? else {
                continue;
            };
            if reached.blobs.contains_key(&descriptor.digest) {
                continue;
            }
            let bytes = self.bytes(&descriptor.digest, place, MANIFEST_LIMIT)?;
            let named = walk.open(&descriptor, &bytes).map_err(|e| e.to_string())?;
            for descriptor in &named {
                self.place(descriptor, reached)?;
            }
        }
        for descriptor in walk.found {
            match self.place(&descriptor, reached)? {
                Some(Place { offset, .. }) => {
                    let digest = descriptor.digest.clone();
                    reached.blobs.entry(digest).or_insert((descriptor, offset));
                }
                None => {
                    reached
                        .presumed
                        .insert(descriptor.digest.clone(), descriptor);
                }
            }
        }
        Ok(())
    }

    /// Where something named lies; none when it is taken for granted. Every mention of it must have its size.
    fn place(&self, descriptor: &Descriptor, reached: &Reached) -> Result<Option<Place>, String> {
        let Descriptor { digest, size, .. } = descriptor;
        let found = self.blobs.get(digest).copied();
        let listed = found
            .map(|place| place.size)
            .or_else(|| reached.granted.get(digest).copied())
            .ok_or_else(|| format!("{digest} ({}) is missing", descriptor.media_type))?;
        if listed == *size {
            Ok(found)
        } else {
            Err(format!(
                "{digest} has {listed} bytes, but {size} are listed"
            ))
        }
    }
}

/// What was reached on the way through a file.
#[derive(Default)]
struct Reached {
    blobs: BTreeMap<Digest, (Descriptor, u64)>,
    presumed: BTreeMap<Digest, Descriptor>,
    /// What a delta takes for granted, with sizes.
    granted: BTreeMap<Digest, u64>,
}

impl Reached {
    fn is_manifest(&self, digest: &Digest) -> bool {
        self.blobs
            .get(digest)
            .map(|(descriptor, _)| descriptor)
            .or_else(|| self.presumed.get(digest))
            .is_some_and(Descriptor::is_manifest)
    }
}
