//! Files on their way into a store.
//!
//! Whoever writes one holds a lock on it, which the system takes back when the process dies, however it dies. So a file
//! nobody holds belongs to nobody: the next to open the store removes it. What a download left behind is kept for a
//! while instead, under the digest it was to become, and taken up where it ends.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use quench_model::{Descriptor, Hasher};
use tempfile::{NamedTempFile, TempPath};

use crate::StoreError;

/// Ending of files that hold the beginning of a blob.
const PARTIAL: &str = ".partial";
/// How long the beginning of a blob is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Tries to make a file before another process has swept it away.
const ATTEMPTS: usize = 100;

/// The beginning of a blob, and how far it goes.
pub(crate) struct Partial {
    pub(crate) file: NamedTempFile,
    pub(crate) hasher: Hasher,
    pub(crate) written: u64,
}

/// A new, empty file that is removed when it is dropped.
pub(crate) fn create(folder: &Path) -> Result<NamedTempFile, StoreError> {
    for _ in 0..ATTEMPTS {
        let file = NamedTempFile::new_in(folder).map_err(StoreError::io("write", folder))?;
        match file.as_file().try_lock() {
            // Between its making and its lock the file was anybody's.
            Ok(()) if is_at(file.as_file(), file.path()) => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // A file system without locks has nobody sweep either.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(StoreError::io("lock", folder)(ErrorKind::WouldBlock.into()))
}

/// The file a blob is downloaded to, with what an earlier process got of it. None while another process has it.
pub(crate) fn partial(
    folder: &Path,
    descriptor: &Descriptor,
) -> Result<Option<Partial>, StoreError> {
    let path = folder.join(format!("{}{PARTIAL}", descriptor.digest.hex()));
    let io = |e| StoreError::io("write", &path)(e);
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .append(true)
        .open(&path)
        .map_err(io)?;
    // A lock on a file that has become a blob meanwhile is no lock on a staging file.
    if file.try_lock().is_err() || !is_at(&file, &path) {
        return Ok(None);
    }
    let temporary = TempPath::try_from_path(&path).map_err(io)?;
    let mut file = NamedTempFile::from_parts(file, temporary);
    let mut hasher = Hasher::new();
    let mut written = 0;
    if file.as_file().metadata().map_err(io)?.len() > descriptor.size {
        file.as_file().set_len(0).map_err(io)?;
    }
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.as_file_mut().read(&mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        written += count as u64;
    }
    Ok(Some(Partial {
        file,
        hasher,
        written,
    }))
}

/// Removes what processes left behind that are no more. Failing at it harms nobody.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let is_partial = path.to_str().is_some_and(|path| path.ends_with(PARTIAL));
        let age = file
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| time.elapsed().ok())
            .unwrap_or_default();
        if (is_partial && age < KEPT) || file.try_lock().is_err() || !is_at(&file, &path) {
            continue;
        }
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "a file left behind stays");
        }
    }
}

/// Whether a path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_nobody_holds_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let held = create(folder.path()).unwrap();
        let (_, kept) = create(folder.path()).unwrap().keep().unwrap();
        let old = folder.path().join(format!("old{PARTIAL}"));
        let young = folder.path().join(format!("young{PARTIAL}"));
        fs::write(&young, "x").unwrap();
        let before = std::time::SystemTime::now() - KEPT * 2;
        File::create(&old).unwrap().set_modified(before).unwrap();
        sweep(folder.path());
        assert!(held.path().exists() && young.exists());
        assert!(!kept.exists() && !old.exists());
        drop(held);
        assert_eq!(names(folder.path()), [format!("young{PARTIAL}")]);
    }

    #[test]
    fn a_blob_goes_on_where_its_beginning_ends() {
        let folder = tempfile::tempdir().unwrap();
        let blob = Descriptor::of("text/plain", "hello world");
        let mut first = partial(folder.path(), &blob).unwrap().unwrap();
        first.file.write_all(b"hello ").unwrap();
        assert!(
            partial(folder.path(), &blob).unwrap().is_none(),
            "it is held"
        );
        // As a killed process leaves it.
        let (file, _) = first.file.keep().unwrap();
        drop(file);
        let mut second = partial(folder.path(), &blob).unwrap().unwrap();
        assert_eq!(second.written, 6);
        second.file.write_all(b"world").unwrap();
        second.hasher.update(b"world");
        assert_eq!(second.hasher.finish(), blob.digest);
        assert_eq!(fs::read(second.file.path()).unwrap(), b"hello world");
        drop(second.file);
        assert!(names(folder.path()).is_empty(), "what fails leaves nothing");
        let longer = folder
            .path()
            .join(format!("{}{PARTIAL}", blob.digest.hex()));
        fs::write(longer, "longer than the blob is").unwrap();
        assert_eq!(partial(folder.path(), &blob).unwrap().unwrap().written, 0);
    }
}
