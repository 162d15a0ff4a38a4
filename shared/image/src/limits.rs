//! Bounds on what one image may make us do.

/// Bounds that keep a hostile image from exhausting memory or disk. An image beyond them is refused with an
/// error that names the layer and the bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most layers of an image. Container runtimes stop at about 128.
    pub layers: usize,
    /// Most entries of one layer, and most files and folders of the merged tree.
    pub entries: u64,
    /// Most bytes of one layer when uncompressed.
    pub unpacked: u64,
    /// Most bytes of all names and link targets of the merged tree.
    pub names: u64,
    /// Most bytes of one path or link target. Linux stops at 4096.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layers: 500,
            entries: 4_000_000,
            unpacked: 32 << 30,
            names: 512 << 20,
            path: 4096,
        }
    }
}
