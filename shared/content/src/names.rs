//! The names of a folder store.
//!
//! Names that Quench keeps for itself (outcomes, findings, referrers, histories) are many: some twenty for each
//! package. Each of them is a file of its own below `refs`, so that writing or reading one costs the same
//! whatever else the store holds. All other names stand in `index.json`, where every reader of OCI layouts looks
//! for them; what was read of it is kept until the file changes.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use quench_model::{Descriptor, annotation};
use tempfile::NamedTempFile;

use crate::artefact::Index;
use crate::{RefName, StoreError, staging};

/// Most bytes of `index.json` that are read: about 250,000 names.
const INDEX_LIMIT: u64 = 128 << 20;
/// Most bytes of a file that holds one name's descriptor.
const REF_LIMIT: u64 = 64 << 10;

/// The names of a store in a folder.
#[derive(Debug)]
pub(crate) struct Names {
    root: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Listed>)>>,
}

/// What tells one state of a file from the next. A file that was replaced has another inode.
type Stamp = (u64, u64, i64, i64);

#[derive(Debug)]
struct Listed {
    index: Index,
    places: HashMap<String, usize>,
}

impl Names {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            read: Mutex::default(),
        }
    }

    /// Writes an index that names nothing.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        self.replace(&self.root.join("index.json"), |file| {
            serde_json::to_writer(file, &Index::of(Vec::new())).map_err(Into::into)
        })
    }

    /// What `name` points to.
    pub(crate) fn get(&self, name: &RefName) -> Result<Option<Descriptor>, StoreError> {
        if let Some(path) = self.own_file(name) {
            match File::open(&path) {
                Ok(file) => {
                    let mut bytes = Vec::new();
                    file.take(REF_LIMIT)
                        .read_to_end(&mut bytes)
                        .map_err(StoreError::io("read", &path))?;
                    return serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                        StoreError::Malformed {
                            what: path.display().to_string(),
                            reason: e.to_string(),
                        }
                    });
                }
                // Stores of earlier versions have all names in their index.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(StoreError::io("read", path)(e)),
            }
        }
        let listed = self.listed()?;
        let found = listed
            .places
            .get(name.as_str())
            .and_then(|place| listed.index.manifests.get(*place));
        Ok(found.map(unnamed))
    }

    /// Points `name` to a manifest. The caller holds the store's lock.
    pub(crate) fn set(&self, name: &RefName, descriptor: &Descriptor) -> Result<(), StoreError> {
        if self.get(name)?.as_ref() == Some(descriptor) {
            return Ok(());
        }
        if let Some(path) = self.own_file(name) {
            let folder = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder).map_err(StoreError::io("create folder", folder))?;
            return self.replace(&path, |file| {
                serde_json::to_writer(file, descriptor).map_err(Into::into)
            });
        }
        let mut index = self.listed()?.index.clone();
        index
            .manifests
            .retain(|d| d.annotation(annotation::REF_NAME) != Some(name.as_str()));
        index.manifests.push(
            descriptor
                .clone()
                .annotated(annotation::REF_NAME, name.as_str()),
        );
        index.manifests.sort_by(|a, b| {
            a.annotation(annotation::REF_NAME)
                .cmp(&b.annotation(annotation::REF_NAME))
        });
        self.replace(&self.root.join("index.json"), |file| {
            serde_json::to_writer(file, &index).map_err(Into::into)
        })
    }

    /// All names that begin so.
    pub(crate) fn starting_with(&self, prefix: &str) -> Result<BTreeSet<RefName>, StoreError> {
        let mut found: BTreeSet<RefName> = self
            .listed()?
            .places
            .keys()
            .filter(|name| name.starts_with(prefix))
            .filter_map(|name| name.parse().ok())
            .collect();
        for kind in KINDS {
            if kind.starts_with(prefix) || prefix.starts_with(kind) {
                let mut own = self.own_names(kind, prefix)?;
                own.retain(|name| name.as_str().starts_with(prefix));
                found.extend(own);
            }
        }
        Ok(found)
    }

    fn own_names(&self, kind: &str, prefix: &str) -> Result<Vec<RefName>, StoreError> {
        let folder = self.root.join("refs").join(kind.trim_end_matches('-'));
        let mut names = Vec::new();
        if kind != HISTORY {
            for rest in entries(&folder)? {
                names.extend(format!("{kind}{rest}").parse());
            }
            return Ok(names);
        }
        let one = prefix
            .strip_prefix(HISTORY)
            .and_then(|rest| rest.rsplit_once(".q"));
        let packages = match one {
            Some((package, _)) => vec![package.to_owned()],
            None => entries(&folder)?,
        };
        for package in packages {
            for entry in entries(&folder.join(&package))? {
                names.extend(format!("{HISTORY}{package}.q{entry}").parse());
            }
        }
        Ok(names)
    }

    /// The file of a name that Quench keeps for itself. Histories have a folder for each package.
    fn own_file(&self, name: &RefName) -> Option<PathBuf> {
        let (kind, rest) = KINDS
            .iter()
            .find_map(|kind| Some((*kind, name.as_str().strip_prefix(kind)?)))?;
        let folder = self.root.join("refs").join(kind.trim_end_matches('-'));
        if rest.starts_with('.') {
            return None;
        }
        // An image's own tag may look alike from afar, and belongs into the index.
        if kind == HISTORY {
            let (package, entry) = rest.rsplit_once(".q")?;
            return (!package.is_empty()).then(|| folder.join(package).join(entry));
        }
        let own = rest.len() >= 64 && rest.bytes().take(64).all(|b| b.is_ascii_hexdigit());
        own.then(|| folder.join(rest))
    }

    fn listed(&self) -> Result<Arc<Listed>, StoreError> {
        let path = self.root.join("index.json");
        let file = File::open(&path).map_err(StoreError::io("read", &path))?;
        let meta = file.metadata().map_err(StoreError::io("read", &path))?;
        let stamp = (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, listed)) = read.as_ref().filter(|(known, _)| *known == stamp) {
            return Ok(listed.clone());
        }
        let mut bytes = Vec::new();
        file.take(INDEX_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("read", &path))?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
            what: path.display().to_string(),
            reason: e.to_string(),
        })?;
        let name = |d: &Descriptor| d.annotation(annotation::REF_NAME).map(str::to_owned);
        let mut places = HashMap::new();
        for (place, descriptor) in index.manifests.iter().enumerate() {
            if let Some(name) = name(descriptor) {
                places.entry(name).or_insert(place);
            }
        }
        let listed = Arc::new(Listed { index, places });
        *read = Some((stamp, listed.clone()));
        Ok(listed)
    }

    /// Writes a file that is there whole or not at all.
    pub(crate) fn replace(
        &self,
        path: &Path,
        write: impl FnOnce(&mut NamedTempFile) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut file = staging::create(&self.root.join("staging"))?;
        write(&mut file)
            .and_then(|()| file.flush())
            .and_then(|()| file.as_file().sync_data())
            .map_err(StoreError::io("write", path))?;
        file.persist(path)
            .map_err(|e| StoreError::io("write", path)(e.error))?;
        Ok(())
    }
}

/// What the names that Quench keeps for itself begin with, see [`RefName`].
const KINDS: [&str; 4] = ["findings-", HISTORY, "outcome-", "sha256-"];
const HISTORY: &str = "history-";

/// Names of the files in a folder; none when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("read", folder)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn unnamed(descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = descriptor.clone();
    descriptor.annotations.remove(annotation::REF_NAME);
    descriptor
}
