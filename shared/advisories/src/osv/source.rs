//! Where OSV records come from: files, folders, archives.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use quench_model::{Digest, Hasher};

use super::archive::Archive;
use crate::Error;

/// Largest record read; the largest published has about 3 MB.
const MAX_RECORD: u64 = 32 << 20;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 16;

/// The files of all sources, sorted by content so that neither their names nor their order matter.
pub(crate) struct Sources {
    files: Vec<(Digest, PathBuf)>,
}

impl Sources {
    /// Finds the files of some sources and hashes them.
    pub(crate) fn find(sources: &[PathBuf]) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for source in sources {
            let kind = std::fs::metadata(source).map_err(Error::io(source))?;
            if kind.is_dir() {
                walk(source, 0, &mut paths)?;
            } else if is_record(source) || is_archive(source) {
                paths.push(source.clone());
            } else {
                return Err(Error::UnknownSource {
                    path: source.clone(),
                });
            }
        }
        let mut files = Vec::new();
        for path in paths {
            files.push((digest(&path)?, path));
        }
        files.sort();
        files.dedup_by(|a, b| a.0 == b.0);
        Ok(Self { files })
    }

    /// Names the content of all files, whatever they are called.
    pub(crate) fn digest(&self, importer: &str) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field(importer.as_bytes());
        for (digest, path) in &self.files {
            hasher.field(if is_archive(path) { b"zip" } else { b"json" });
            hasher.field(digest.as_bytes());
        }
        hasher.finish()
    }

    /// Gives each record's place and bytes, or why it could not be read.
    pub(crate) fn each(
        &self,
        mut take: impl FnMut(&dyn Fn() -> String, Result<&[u8], String>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for (_, path) in &self.files {
            if is_archive(path) {
                let mut archive = Archive::open(path)?;
                for member in archive.members() {
                    if !is_record(Path::new(&member.name)) {
                        continue;
                    }
                    let bytes = archive.read(&member, MAX_RECORD)?;
                    let place = || format!("{}:{}", path.display(), member.name);
                    take(&place, bytes.as_deref().map_err(Clone::clone))?;
                }
            } else {
                let bytes = read(path)?;
                let place = || path.display().to_string();
                take(&place, bytes.as_deref().map_err(Clone::clone))?;
            }
        }
        Ok(())
    }
}

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::UnknownSource {
            path: folder.to_owned(),
        });
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        // Links are not followed: they could lead in a circle or out of the folder given.
        let kind = entry.file_type().map_err(Error::io(&path))?;
        if kind.is_dir() {
            walk(&path, depth + 1, paths)?;
        } else if kind.is_file() && (is_record(&path) || is_archive(&path)) {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_record(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json")
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zip")
}

fn read(path: &Path) -> Result<Result<Vec<u8>, String>, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORD + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    Ok(if bytes.len() as u64 > MAX_RECORD {
        Err(format!("it is larger than {MAX_RECORD} bytes"))
    } else {
        Ok(bytes)
    })
}

fn digest(path: &Path) -> Result<Digest, Error> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(Error::io(path))?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(hasher.finish()),
        }
    }
}
