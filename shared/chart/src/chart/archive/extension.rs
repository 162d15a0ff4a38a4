//! Headers that say more about the entry after them: names too long for its own.

use std::io::{self, Read};

use tar::{Entry, PaxExtensions};

/// Largest extension header read. A path has 4096 bytes at most; the tar crate itself would hold what a header claims.
const MAX_BYTES: u64 = 64 << 10;

/// What extension headers said of the entry to come.
#[derive(Default)]
pub(super) struct Extension {
    path: Option<Vec<u8>>,
}

impl Extension {
    /// Takes the entry in if it is an extension header, and tells whether it was one.
    pub(super) fn take_in(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<bool> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let mut path = read(entry)?;
            while path.last() == Some(&0) {
                path.pop();
            }
            self.path = Some(path);
        } else if kind.is_pax_local_extensions() {
            for record in PaxExtensions::new(&read(entry)?) {
                let record = record?;
                match record.key_bytes() {
                    b"path" => self.path = Some(record.value_bytes().to_vec()),
                    // Sparse files, and sizes that a header has no room for: nothing that is in a chart.
                    key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                        return Err(io::Error::other(
                            "an extension header changes the size of a file",
                        ));
                    }
                    _ => {}
                }
            }
        } else if !kind.is_gnu_longlink() && !kind.is_pax_global_extensions() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Name of the entry that followed.
    pub(super) fn name(&mut self, entry: &Entry<'_, impl Read>) -> Vec<u8> {
        self.path
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned())
    }
}

fn read(entry: &mut Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    if entry.size() > MAX_BYTES {
        return Err(io::Error::other(format!(
            "an extension header has more than {MAX_BYTES} bytes"
        )));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}
