//! Chart archives: reading them without trust, writing them the same everywhere.

mod extension;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};

use self::extension::Extension;
use super::{
    ChartError, MAX_ENTRIES, MAX_FILE_BYTES, MAX_SUBCHART_DEPTH, MAX_TOTAL_BYTES, check_path,
};

/// Room for headers and padding beside the content, per entry: header, long-name header with its name, padding.
const HEADER_ROOM: u64 = 4096;

/// What may still be read: shared by an archive and the archives inside it.
struct Budget {
    bytes: u64,
    entries: usize,
}

impl Budget {
    fn new() -> Self {
        Self {
            bytes: MAX_TOTAL_BYTES,
            entries: MAX_ENTRIES,
        }
    }
}

/// Reads the files of a chart archive, without the base folder all its entries share.
pub(super) fn read(archive: impl Read, name: &str) -> Result<BTreeMap<String, Bytes>, ChartError> {
    read_within(archive, name, &mut Budget::new(), &|_| true)
}

/// As [`read`], but keeps only files at wanted paths.
pub(super) fn read_wanted(
    archive: impl Read,
    name: &str,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Bytes>, ChartError> {
    read_within(archive, name, &mut Budget::new(), wanted)
}

fn read_within(
    archive: impl Read,
    name: &str,
    budget: &mut Budget,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Bytes>, ChartError> {
    let error = |entry: &str, reason: &str| ChartError::Archive {
        archive: name.to_owned(),
        entry: entry.chars().take(300).collect(),
        reason: reason.to_owned(),
    };
    // Bounds what is unpacked to be skipped, which the sizes of files do not.
    let stream_limit = budget.bytes + HEADER_ROOM * budget.entries as u64;
    let stream = Bounded {
        inner: MultiGzDecoder::new(archive),
        left: stream_limit,
    };
    let broken = |error: &io::Error| ChartError::Archive {
        archive: name.to_owned(),
        entry: String::new(),
        reason: format!("the archive is damaged, or no gzip-compressed tar: {error}"),
    };
    let mut tar = tar::Archive::new(stream);
    let mut files = BTreeMap::new();
    let mut is_empty = true;
    let mut base: Option<String> = None;
    let mut extension = Extension::default();
    for entry in tar.entries().map_err(|e| broken(&e))?.raw(true) {
        let mut entry = entry.map_err(|e| broken(&e))?;
        if extension.take_in(&mut entry).map_err(|e| broken(&e))? {
            continue;
        }
        let raw = String::from_utf8(extension.name(&entry)).map_err(|e| {
            error(
                &String::from_utf8_lossy(e.as_bytes()),
                "its name is not UTF-8",
            )
        })?;
        budget.entries = budget
            .entries
            .checked_sub(1)
            .ok_or_else(|| error(&raw, &format!("there are more than {MAX_ENTRIES} entries")))?;
        let kind = entry.header().entry_type();
        let Some(path) = relative(&raw, kind.is_dir(), &mut base).map_err(|r| error(&raw, &r))?
        else {
            continue;
        };
        check_path(&path).map_err(|e| error(&raw, &e.to_string()))?;
        if kind.is_dir() {
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            return Err(error(
                &raw,
                "is a link, a device or another special file; a chart may hold regular files only",
            ));
        }
        let size = entry.size();
        if size > MAX_FILE_BYTES {
            return Err(error(
                &raw,
                &format!("has {size} bytes, more than the {MAX_FILE_BYTES} a file may have"),
            ));
        }
        if size > budget.bytes {
            return Err(error(
                &raw,
                &format!("the archive unpacks to more than {MAX_TOTAL_BYTES} bytes"),
            ));
        }
        budget.bytes -= size;
        is_empty = false;
        if !wanted(&path) {
            continue;
        }
        // The size in the header is a claim: grow with what is really there.
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .map_err(|e| error(&raw, &format!("could not be read: {e}")))?;
        if content.len() as u64 != size {
            return Err(error(&raw, "is cut short"));
        }
        if files.insert(path, Bytes::from(content)).is_some() {
            return Err(error(&raw, "is there twice"));
        }
    }
    // To the end of the stream, where the checksum stands.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| broken(&e))?;
    if is_empty {
        return Err(error("", "holds no files"));
    }
    Ok(files)
}

/// Path within the base folder; `None` for the base folder's own entry.
fn relative(raw: &str, is_dir: bool, base: &mut Option<String>) -> Result<Option<String>, String> {
    // Archives made on Windows separate with backslashes.
    let path = raw.replace('\\', "/");
    let path = path.strip_suffix('/').unwrap_or(&path);
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    if first.is_empty() {
        return Err("its path is absolute".to_owned());
    }
    if matches!(first, "." | "..") {
        return Err("does not lie in the chart's base folder".to_owned());
    }
    match base {
        Some(base) if base != first => {
            return Err(format!(
                "does not lie in the chart's base folder {base:?} as the entries before it"
            ));
        }
        Some(_) => {}
        None => *base = Some(first.to_owned()),
    }
    match rest {
        Some(rest) => Ok(Some(rest.to_owned())),
        None if is_dir => Ok(None),
        None => Err("does not lie in a base folder; chart archives hold one folder".to_owned()),
    }
}

/// Fails, rather than ends, where the stream is longer than allowed.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other("it unpacks to more than a chart may hold, header by header")
        })?;
        Ok(count)
    }
}

/// Unpacks `charts/*.tgz`, at every level, into folders beside them, which take the archive's name.
pub(super) fn unpack_subcharts(
    mut files: BTreeMap<String, Bytes>,
) -> Result<BTreeMap<String, Bytes>, ChartError> {
    let mut budget = Budget::new();
    for (path, content) in &files {
        let spend = (|| {
            budget.entries = budget.entries.checked_sub(1)?;
            if content.len() as u64 > MAX_FILE_BYTES {
                return None;
            }
            budget.bytes = budget.bytes.checked_sub(content.len() as u64)?;
            Some(())
        })();
        if spend.is_none() {
            return Err(ChartError::TooLarge {
                chart: path.clone(),
                reason: format!(
                    "a chart may have {MAX_ENTRIES} files, of {MAX_FILE_BYTES} bytes each and {MAX_TOTAL_BYTES} in all"
                ),
            });
        }
    }
    let mut prefixes = vec![(String::new(), 0_usize)];
    while let Some((prefix, depth)) = prefixes.pop() {
        if depth > MAX_SUBCHART_DEPTH {
            return Err(ChartError::Metadata {
                path: format!("{prefix}Chart.yaml"),
                reason: format!("subcharts are nested deeper than {MAX_SUBCHART_DEPTH}"),
            });
        }
        for path in packaged(&files, &prefix) {
            let Some(content) = files.remove(&path) else {
                continue;
            };
            budget.bytes += content.len() as u64;
            let unpacked = read_within(content.as_ref(), &path, &mut budget, &|_| true)?;
            let folder = free_folder(&files, path.strip_suffix(".tgz").unwrap_or(&path));
            for (inner, content) in unpacked {
                files.insert(format!("{folder}/{inner}"), content);
            }
        }
        prefixes.extend(
            super::node::subchart_folders(&files, &prefix)
                .into_iter()
                .map(|folder| (format!("{prefix}charts/{folder}/"), depth + 1)),
        );
    }
    Ok(files)
}

/// Archives directly under `charts/` that Helm unpacks.
fn packaged(files: &BTreeMap<String, Bytes>, prefix: &str) -> Vec<String> {
    let charts = format!("{prefix}charts/");
    let end = format!("{prefix}charts0");
    files
        .range(charts.clone()..end)
        .map(|(path, _)| path)
        .filter(|path| {
            path.strip_prefix(&charts).is_some_and(|name| {
                !name.contains('/') && name.ends_with(".tgz") && !name.starts_with(['_', '.'])
            })
        })
        .cloned()
        .collect()
}

fn free_folder(files: &BTreeMap<String, Bytes>, wanted: &str) -> String {
    let taken = |folder: &str| {
        files.contains_key(folder)
            || files
                .range(format!("{folder}/")..format!("{folder}0"))
                .next()
                .is_some()
    };
    let mut folder = wanted.to_owned();
    let mut count = 1;
    while taken(&folder) {
        folder = format!("{wanted}-{count}");
        count += 1;
    }
    folder
}

/// Packs files under the base folder `base`.
pub(super) fn write(base: &str, files: &BTreeMap<String, Bytes>) -> Result<Vec<u8>, ChartError> {
    // An unset time and the operating system 255 ("unknown") keep the host out of the bytes.
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    // Helm needs no order; people and streaming readers like Chart.yaml first, as `helm package` has it.
    let (first, rest): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| *path == "Chart.yaml");
    for (path, content) in first.into_iter().chain(rest) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{base}/{path}"), content.as_ref())
            .map_err(|e| ChartError::Archive {
                archive: format!("{base}.tgz"),
                entry: path.clone(),
                reason: format!("could not be packed: {e}"),
            })?;
    }
    let finish = || -> io::Result<Vec<u8>> {
        let mut gzip = tar.into_inner()?;
        gzip.flush()?;
        gzip.finish()
    };
    finish().map_err(|e| ChartError::Archive {
        archive: format!("{base}.tgz"),
        entry: String::new(),
        reason: format!("could not be packed: {e}"),
    })
}
