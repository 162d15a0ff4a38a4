//! The one form a `.quench.tar` has.
//!
//! An export is a tar of regular files with sorted names, mode 0644, owner 0 and time 0, in GNU form (which holds sizes of any
//! image). Because nothing else is allowed, a reader can compare every byte that is not content with what it must be,
//! and a changed byte anywhere is noticed.

use tar::{EntryType, Header};

/// Size of a tar block.
pub(crate) const BLOCK: u64 = 512;

/// Number of zero bytes that end a tar.
pub(crate) const END: u64 = 2 * BLOCK;

/// Name of a blob's entry.
pub(crate) fn blob_name(digest: &quench_model::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The header of an entry; `None` when the name does not fit one, which no name of an export does.
pub(crate) fn header(name: &str, size: u64) -> Option<Header> {
    let mut header = Header::new_gnu();
    header.set_path(name).ok()?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Some(header)
}

/// Zero bytes between content of this size and the next header.
pub(crate) fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}
