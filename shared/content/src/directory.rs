//! A store in a folder, in the form of an OCI image layout (image-spec 1.1, "Image Layout").
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/<hex>    the layout that skopeo and others read
//! refs/<kind>/<rest>                            names that Quench keeps for itself, one file each
//! staging/                                      bytes on their way in; renamed when complete
//! cache/                                        derived data, may be deleted at any time
//! .lock                                         taken while names change
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quench_model::{Descriptor, Digest, Hasher};
use tempfile::NamedTempFile;

use crate::artefact::Index;
use crate::names::Names;
use crate::{BlobWriter, RefName, StoreError, staging};

/// Most bytes of an index of referrers that are read: about 250,000 referrers of one manifest.
const REFERRERS_LIMIT: u64 = 128 << 20;

/// A store in a folder. Cheap to clone; safe to use from several processes at once.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Arc<PathBuf>,
    names: Arc<Names>,
}

impl DirectoryStore {
    /// Opens the store at `root`, making it if there is none.
    ///
    /// # Errors
    /// When the folder cannot be made or holds something that is not an OCI layout.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        for folder in ["blobs/sha256", "staging", "cache"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(StoreError::io("create folder", path))?;
        }
        let store = Self {
            names: Arc::new(Names::new(&root)),
            root: Arc::new(root),
        };
        let marker = store.root.join("oci-layout");
        match fs::read(&marker) {
            Ok(bytes) => {
                let version = serde_json::from_slice::<serde_json::Value>(&bytes)
                    .ok()
                    .and_then(|v| v.get("imageLayoutVersion")?.as_str().map(str::to_owned));
                if version.as_deref() != Some("1.0.0") {
                    return Err(StoreError::Malformed {
                        what: marker.display().to_string(),
                        reason: "imageLayoutVersion is not \"1.0.0\"; choose another store folder"
                            .to_owned(),
                    });
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                store.names.create()?;
                store.names.replace(&marker, |file| {
                    file.write_all(b"{\"imageLayoutVersion\":\"1.0.0\"}")
                })?;
            }
            Err(e) => return Err(StoreError::io("read", marker)(e)),
        }
        staging::sweep(&store.root.join("staging"));
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder for derived data that may be deleted at any time.
    pub fn cache_dir(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Where the blob with this digest is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Whether the store holds the bytes, with the size the descriptor says.
    pub fn contains(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.blob_path(&descriptor.digest))
            .is_ok_and(|meta| meta.is_file() && meta.len() == descriptor.size)
    }

    /// Reads a document whole and verifies it.
    pub fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(StoreError::not_found(descriptor, self.place()));
            }
            Err(e) => return Err(StoreError::io("read", path)(e)),
        };
        let size = file
            .metadata()
            .map_err(StoreError::io("read", &path))?
            .len();
        if size > limit {
            return Err(StoreError::TooLarge {
                digest: descriptor.digest.clone(),
                media_type: descriptor.media_type.clone(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read", &path))?;
        let actual = Digest::of(&bytes);
        if actual == descriptor.digest {
            Ok(bytes)
        } else {
            Err(StoreError::WrongDigest {
                expected: descriptor.digest.clone(),
                actual,
                place: self.place(),
            })
        }
    }

    /// Reads a blob through from its beginning to its end and verifies digest and size.
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), StoreError> {
        let path = self.blob_path(&descriptor.digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(StoreError::not_found(descriptor, self.place()));
            }
            Err(e) => return Err(StoreError::io("read", path)(e)),
        };
        let mut hasher = Hasher::new();
        let mut actual_size = 0_u64;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(StoreError::io("read", &path))?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
            actual_size += count as u64;
        }
        if actual_size != descriptor.size {
            return Err(StoreError::WrongSize {
                digest: descriptor.digest.clone(),
                expected: descriptor.size,
                actual: actual_size,
                place: self.place(),
            });
        }
        let actual = hasher.finish();
        if actual == descriptor.digest {
            Ok(())
        } else {
            Err(StoreError::WrongDigest {
                expected: descriptor.digest.clone(),
                actual,
                place: self.place(),
            })
        }
    }

    /// A writer for bytes whose digest is not known yet.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        let staging = self.root.join("staging");
        Ok(BlobWriter::new(staging::create(&staging)?))
    }

    /// A writer for a blob that is being downloaded, with what an earlier process got of it.
    pub fn resume(&self, descriptor: &Descriptor) -> Result<BlobWriter, StoreError> {
        match staging::partial(&self.root.join("staging"), descriptor)? {
            Some(partial) => Ok(BlobWriter::resumed(
                partial.file,
                partial.hasher,
                partial.written,
            )),
            None => self.writer(),
        }
    }

    /// Makes what was written a blob.
    pub fn commit(&self, writer: BlobWriter, media_type: &str) -> Result<Descriptor, StoreError> {
        let (file, descriptor) = writer.into_parts(media_type);
        self.persist(file, &descriptor)?;
        Ok(descriptor)
    }

    /// Makes what was written a blob if it is what `expected` says; otherwise nothing is kept.
    pub fn commit_expected(
        &self,
        writer: BlobWriter,
        expected: &Descriptor,
        place: &str,
    ) -> Result<(), StoreError> {
        let (file, actual) = writer.into_parts(&expected.media_type);
        if actual.size != expected.size {
            return Err(StoreError::WrongSize {
                digest: expected.digest.clone(),
                expected: expected.size,
                actual: actual.size,
                place: place.to_owned(),
            });
        }
        if actual.digest != expected.digest {
            return Err(StoreError::WrongDigest {
                expected: expected.digest.clone(),
                actual: actual.digest,
                place: place.to_owned(),
            });
        }
        self.persist(file, expected)
    }

    /// Makes a file a blob if it is what `expected` says; the file itself stays as it is.
    pub fn adopt(&self, path: &Path, expected: &Descriptor, place: &str) -> Result<(), StoreError> {
        if self.contains(expected) {
            return Ok(());
        }
        let mut writer = self.writer()?;
        let file = File::open(path).map_err(StoreError::io("read", path))?;
        // One byte more than expected tells a file that is too long without copying all of it.
        let mut file = file.take(expected.size.saturating_add(1));
        std::io::copy(
            &mut file,
            &mut std::io::BufWriter::with_capacity(1 << 18, &mut writer),
        )
        .map_err(StoreError::io("copy", path))?;
        self.commit_expected(writer, expected, place)
    }

    /// Removes a blob's bytes, for a cache whose copy is damaged.
    pub(crate) fn forget(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
            _ => Ok(()),
        }
    }

    /// Takes a lock that other processes with the same folder respect; held until the file is dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<File, StoreError> {
        self.lock_file(&format!(".{name}.lock"))
    }

    fn lock_file(&self, name: &str) -> Result<File, StoreError> {
        let path = self.root.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        Ok(file)
    }

    fn persist(&self, file: NamedTempFile, descriptor: &Descriptor) -> Result<(), StoreError> {
        if self.contains(descriptor) {
            return Ok(());
        }
        let path = self.blob_path(&descriptor.digest);
        // Data must be on disk before the name is: a name is a promise that the bytes are whole.
        file.as_file()
            .sync_data()
            .map_err(StoreError::io("write", &path))?;
        file.persist(&path)
            .map_err(|e| StoreError::io("write", &path)(e.error))?;
        Ok(())
    }

    /// Points `name` to a manifest.
    pub fn tag(&self, name: &RefName, descriptor: &Descriptor) -> Result<(), StoreError> {
        let _held = self.lock_file(".lock")?;
        self.names.set(name, descriptor)
    }

    /// What `name` points to.
    pub fn resolve(&self, name: &RefName) -> Result<Option<Descriptor>, StoreError> {
        self.names.get(name)
    }

    /// All names that begin so, sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<RefName>, StoreError> {
        Ok(self.names.starting_with(prefix)?.into_iter().collect())
    }

    /// Adds a referrer to the index of a manifest's referrers.
    pub fn add_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), StoreError> {
        let name = RefName::referrers(subject);
        let _held = self.lock_file(".lock")?;
        let mut list = match self.names.get(&name)? {
            Some(found) => self.read_index(&found)?,
            None => Index::of(Vec::new()),
        };
        if list.manifests.iter().any(|d| d.digest == referrer.digest) {
            return Ok(());
        }
        list.manifests.push(referrer.clone());
        list.manifests.sort_by(|a, b| a.digest.cmp(&b.digest));
        let bytes = encode(&list)?;
        let mut writer = self.writer()?;
        let place = self.root.join("staging");
        writer
            .write_all(&bytes)
            .map_err(StoreError::io("write", place))?;
        let descriptor = self.commit(writer, quench_model::media_type::INDEX)?;
        self.names.set(&name, &descriptor)
    }

    /// The referrers of a manifest, sorted by digest.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        match self.names.get(&RefName::referrers(subject))? {
            Some(found) => Ok(self.read_index(&found)?.manifests),
            None => Ok(Vec::new()),
        }
    }

    /// Where the store is, for messages.
    pub fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn read_index(&self, descriptor: &Descriptor) -> Result<Index, StoreError> {
        let bytes = self.read(descriptor, REFERRERS_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
            what: format!("index {}", descriptor.digest),
            reason: e.to_string(),
        })
    }
}

fn encode(index: &Index) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(index).map_err(|e| StoreError::Malformed {
        what: "index of referrers".to_owned(),
        reason: e.to_string(),
    })
}
