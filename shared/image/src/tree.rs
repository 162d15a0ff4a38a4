//! The merged tree of an image.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::archive::Kind;
use crate::layer_index::IndexEntry;
use crate::{ImageError, Layer};

/// Number of the root folder's node.
pub(crate) const ROOT: u32 = 0;

/// One file, folder or link. Kept small: images with millions of files exist.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Start of the data in the layer's tar; place of the target for links; major and minor for devices.
    pub offset: u64,
    /// Bytes of data; length of the target for links.
    pub size: u64,
    pub mtime: i64,
    pub parent: u32,
    pub name: u32,
    pub uid: u32,
    pub gid: u32,
    /// First of the folder's children in [`Tree::children`].
    pub first_child: u32,
    pub child_count: u32,
    pub mode: u16,
    pub layer: u16,
    pub name_length: u16,
    pub kind: Kind,
    pub removed: bool,
}

impl Node {
    pub fn new(kind: Kind) -> Self {
        Self {
            offset: 0,
            size: 0,
            mtime: 0,
            parent: ROOT,
            name: 0,
            uid: 0,
            gid: 0,
            first_child: 0,
            child_count: 0,
            mode: 0,
            layer: 0,
            name_length: 0,
            kind,
            removed: false,
        }
    }

    pub fn copy_attributes(&mut self, entry: &IndexEntry, layer: u16) {
        self.mode = entry.mode;
        self.uid = entry.uid;
        self.gid = entry.gid;
        self.mtime = entry.mtime;
        self.size = entry.size;
        self.offset = entry.offset;
        self.layer = layer;
    }
}

/// The file tree of an image as a container sees it: all layers merged, whiteouts applied, hard links resolved.
///
/// Paths are absolute with `/` as separator, or relative to the root; both are the same. Nothing is ever
/// looked up on the host.
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: String,
    /// Numbers of nodes, grouped by folder and sorted by name.
    children: Vec<u32>,
    /// Raw `security.capability` attributes of the few files that have one.
    pub(crate) capabilities: BTreeMap<u32, Vec<u8>>,
    tars: Vec<Arc<File>>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree of {} files and folders", self.nodes.len())
    }
}

impl Tree {
    pub(crate) fn empty(layers: &[Layer]) -> Self {
        let mut root = Node::new(Kind::Folder);
        root.mode = 0o755;
        Self {
            nodes: vec![root],
            names: String::new(),
            children: Vec::new(),
            capabilities: BTreeMap::new(),
            tars: layers.iter().map(|layer| layer.tar.clone()).collect(),
        }
    }

    /// Drops what is removed or below something removed, and sorts every folder.
    pub(crate) fn arrange(&mut self) {
        // A parent always has a smaller number than its children, so one pass settles who is left.
        for id in 1..self.nodes.len() {
            let Some(node) = self.nodes.get(id) else {
                break;
            };
            let parent = node.parent;
            if !node.removed && self.node(parent).removed {
                self.node_mut(u32::try_from(id).unwrap_or(ROOT)).removed = true;
            }
            if !self.nodes.get(id).is_none_or(|node| node.removed) {
                self.node_mut(parent).child_count += 1;
            }
        }
        let mut next = 0;
        for node in &mut self.nodes {
            node.first_child = next;
            next += node.child_count;
            node.child_count = 0;
        }
        let mut children = vec![ROOT; next as usize];
        for id in 1..self.next_id() {
            let node = self.node(id);
            if node.removed {
                continue;
            }
            let parent = self.node_mut(node.parent);
            let slot = parent.first_child + parent.child_count;
            parent.child_count += 1;
            if let Some(slot) = children.get_mut(slot as usize) {
                *slot = id;
            }
        }
        for node in &self.nodes {
            let range = node.first_child as usize..(node.first_child + node.child_count) as usize;
            if let Some(range) = children.get_mut(range) {
                range.sort_unstable_by(|a, b| {
                    self.name_of(self.node(*a)).cmp(self.name_of(self.node(*b)))
                });
            }
        }
        self.children = children;
    }

    pub(crate) fn node(&self, id: u32) -> &Node {
        #[expect(
            clippy::indexing_slicing,
            reason = "numbers of nodes only come from this tree, which never shrinks"
        )]
        &self.nodes[id as usize]
    }

    pub(crate) fn node_mut(&mut self, id: u32) -> &mut Node {
        #[expect(
            clippy::indexing_slicing,
            reason = "numbers of nodes only come from this tree, which never shrinks"
        )]
        &mut self.nodes[id as usize]
    }

    pub(crate) fn next_id(&self) -> u32 {
        // `Limits::entries` keeps the count far below; a larger limit would overflow here last.
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    fn text(&self, at: usize, length: usize) -> &str {
        self.names.get(at..at + length).unwrap_or_default()
    }

    pub(crate) fn name_of(&self, node: &Node) -> &str {
        self.text(node.name as usize, usize::from(node.name_length))
    }

    pub(crate) fn target_of(&self, node: &Node) -> &str {
        let at = usize::try_from(node.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(node.size).unwrap_or(0);
        self.names
            .get(at..at.saturating_add(length))
            .unwrap_or_default()
    }

    pub(crate) fn path_length(&self, mut id: u32) -> usize {
        let mut length = 0;
        while id != ROOT {
            let node = self.node(id);
            length += usize::from(node.name_length) + 1;
            id = node.parent;
        }
        length
    }

    pub(crate) fn child(&self, folder: u32, name: &str) -> Option<u32> {
        let children = self.child_ids(folder);
        children
            .binary_search_by(|id| self.name_of(self.node(*id)).cmp(name))
            .ok()
            .and_then(|at| children.get(at).copied())
    }

    fn child_ids(&self, folder: u32) -> &[u32] {
        let node = self.node(folder);
        let range = node.first_child as usize..(node.first_child + node.child_count) as usize;
        self.children.get(range).unwrap_or_default()
    }

    pub(crate) fn entry(&self, id: u32) -> Entry<'_> {
        Entry { tree: self, id }
    }

    /// The entry with a number, see [`Entry::number`].
    pub fn entry_at(&self, number: u32) -> Option<Entry<'_>> {
        let node = self.nodes.get(number as usize)?;
        (!node.removed).then(|| self.entry(number))
    }

    /// The root folder.
    pub fn root(&self) -> Entry<'_> {
        self.entry(ROOT)
    }

    /// What is at a path, taken literally: no link is followed, not even to a folder.
    pub fn lookup(&self, path: &str) -> Option<Entry<'_>> {
        let mut at = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = self.child(at, part)?;
        }
        Some(self.entry(at))
    }

    /// Everything but the root, each folder before what is in it, folders sorted by name.
    pub fn iter(&self) -> Entries<'_> {
        self.root().descendants()
    }

    /// Opens a regular file for reading. Nothing is read yet.
    ///
    /// # Errors
    /// When the entry is no regular file.
    pub fn open(&self, entry: Entry<'_>) -> Result<FileReader, ImageError> {
        let node = self.node(entry.id);
        let tar = self.tars.get(usize::from(node.layer));
        match (node.kind, tar) {
            (Kind::File, Some(tar)) => Ok(FileReader {
                tar: tar.clone(),
                start: node.offset,
                length: node.size,
                position: 0,
            }),
            _ => Err(ImageError::File {
                path: entry.path(),
                reason: "it is no regular file".to_owned(),
            }),
        }
    }

    /// Reads a regular file whole.
    ///
    /// # Errors
    /// When it is no regular file, has more than `limit` bytes, or the cache cannot be read.
    pub fn read(&self, entry: Entry<'_>, limit: u64) -> Result<Vec<u8>, ImageError> {
        let mut reader = self.open(entry)?;
        let failed = |reason| ImageError::File {
            path: entry.path(),
            reason,
        };
        if entry.size() > limit {
            return Err(failed(format!(
                "it has {} bytes; at most {limit} are accepted for what it is",
                entry.size()
            )));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
        reader
            .read_to_end(&mut bytes)
            .map_err(|e| failed(e.to_string()))?;
        Ok(bytes)
    }
}

/// A file, folder, link or device of a [`Tree`].
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) id: u32,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind(), self.path())
    }
}

impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.tree, other.tree) && self.id == other.id
    }
}

impl Eq for Entry<'_> {}

impl<'a> Entry<'a> {
    fn node(&self) -> &'a Node {
        self.tree.node(self.id)
    }

    /// Its number: a small key for tables over one tree, without meaning outside of it.
    pub fn number(&self) -> u32 {
        self.id
    }

    /// Last part of its path; empty for the root.
    pub fn name(&self) -> &'a str {
        self.tree.name_of(self.node())
    }

    /// Its absolute path. Names that are no UTF-8 are shown by private characters; see
    /// [`Entry::path_bytes`].
    pub fn path(&self) -> String {
        let mut parts = Vec::new();
        let mut at = self.id;
        while at != ROOT {
            let node = self.tree.node(at);
            parts.push(self.tree.name_of(node));
            at = node.parent;
        }
        if parts.is_empty() {
            return "/".to_owned();
        }
        let mut path = String::new();
        for part in parts.iter().rev() {
            path.push('/');
            path.push_str(part);
        }
        path
    }

    /// Its absolute path in the very bytes the image has.
    pub fn path_bytes(&self) -> Vec<u8> {
        crate::name::to_bytes(&self.path()).into_owned()
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == Kind::File
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind() == Kind::Folder
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == Kind::Symlink
    }

    /// Permission bits with setuid, setgid and sticky: at most `0o7777`.
    pub fn mode(&self) -> u32 {
        u32::from(self.node().mode)
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        self.node().uid
    }

    /// Owning group.
    pub fn gid(&self) -> u32 {
        self.node().gid
    }

    /// Bytes of a regular file; 0 for anything else.
    pub fn size(&self) -> u64 {
        if self.is_file() { self.node().size } else { 0 }
    }

    /// Time of last change in seconds since 1970.
    pub fn mtime(&self) -> i64 {
        self.node().mtime
    }

    /// Target of a symbolic link, as written.
    pub fn target(&self) -> Option<&'a str> {
        self.is_symlink().then(|| self.tree.target_of(self.node()))
    }

    /// Target of a symbolic link in the very bytes the image has.
    pub fn target_bytes(&self) -> Option<Vec<u8>> {
        self.target()
            .map(|target| crate::name::to_bytes(target).into_owned())
    }

    /// Major and minor number of a device.
    pub fn device(&self) -> Option<(u32, u32)> {
        let offset = self.node().offset;
        matches!(self.kind(), Kind::CharDevice | Kind::BlockDevice).then(|| {
            (
                u32::try_from(offset >> 32).unwrap_or(0),
                u32::try_from(offset & u64::from(u32::MAX)).unwrap_or(0),
            )
        })
    }

    /// Raw `security.capability` attribute, for files that carry capabilities.
    pub fn capability(&self) -> Option<&'a [u8]> {
        self.tree.capabilities.get(&self.id).map(Vec::as_slice)
    }

    /// Position in [`crate::Image::layers`] of the layer its content comes from.
    pub fn layer(&self) -> usize {
        usize::from(self.node().layer)
    }

    /// Which bytes it holds: two files that are hard links of each other have the same. `None` for anything that
    /// is no regular file, and for empty files, which may all be told apart.
    pub fn content_id(&self) -> Option<(usize, u64)> {
        (self.size() > 0).then(|| (self.layer(), self.node().offset))
    }

    /// The folder it is in; the root's is the root.
    pub fn parent(&self) -> Self {
        self.tree.entry(self.node().parent)
    }

    /// What is in the folder, sorted by name; nothing for anything else.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + use<'a> {
        let tree = self.tree;
        tree.child_ids(self.id).iter().map(|id| tree.entry(*id))
    }

    /// A child of the folder, no link followed.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.tree.child(self.id, name).map(|id| self.tree.entry(id))
    }

    /// Everything below the folder, each folder before what is in it, sorted by name.
    pub fn descendants(&self) -> Entries<'a> {
        Entries {
            tree: self.tree,
            pending: self.tree.child_ids(self.id).iter().rev().copied().collect(),
        }
    }
}

/// Walks a tree; see [`Tree::iter`].
#[derive(Debug)]
pub struct Entries<'a> {
    tree: &'a Tree,
    pending: Vec<u32>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let id = self.pending.pop()?;
        self.pending.extend(self.tree.child_ids(id).iter().rev());
        Some(self.tree.entry(id))
    }
}

/// Reads one file out of a layer's uncompressed tar. Independent of the [`Tree`] it comes from.
#[derive(Debug, Clone)]
pub struct FileReader {
    tar: Arc<File>,
    start: u64,
    length: u64,
    position: u64,
}

impl FileReader {
    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from a place in the file.
    ///
    /// # Errors
    /// Past the end of the file, or when the cache cannot be read.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.tar.read_exact_at(buffer, self.start + at)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|b| !b.is_empty()) else {
            return Ok(0);
        };
        let count = self.tar.read_at(buffer, self.start + self.position)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the layer's tar in the cache is shorter than its index says",
            ));
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
