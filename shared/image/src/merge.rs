//! Merging layers into one tree, with whiteouts.
//!
//! A node takes 56 bytes and its name once; a folder that goes away takes what is in it along by simply no
//! longer being reachable, so hostile layers cannot make removal cost more than one step each.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::archive::Kind;
use crate::layer_index::{IndexEntry, IndexReader, What};
use crate::tree::{Node, ROOT, Tree};
use crate::{ImageError, Layer, Limits};

/// Most folder links followed on the way to one path. Linux stops at 40.
const LINK_LIMIT: usize = 40;

/// A tree being merged.
pub(crate) struct Merge<'a> {
    tree: Tree,
    /// Nodes by parent and name.
    table: HashTable<u32>,
    hasher: RandomState,
    limits: &'a Limits,
    /// Folder of the last entry: the next one is mostly beside it.
    last_folder: Option<(String, u32)>,
}

impl<'a> Merge<'a> {
    /// Merges layers, lowest first.
    pub fn of(layers: &[Layer], limits: &'a Limits) -> Result<Tree, ImageError> {
        let mut merge = Self {
            tree: Tree::empty(layers),
            table: HashTable::new(),
            hasher: RandomState::new(),
            limits,
            last_folder: None,
        };
        for (number, layer) in layers.iter().enumerate() {
            merge.add(number, layer)?;
        }
        drop(merge.table);
        merge.tree.arrange();
        Ok(merge.tree)
    }

    fn add(&mut self, number: usize, layer: &Layer) -> Result<(), ImageError> {
        let refuse = |reason| ImageError::layer(&layer.descriptor.digest, reason);
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        // Whiteouts speak of lower layers only, wherever they stand in the tar.
        if layer.totals.whiteouts > 0 {
            let mut entries = layer.read_index(self.limits)?;
            let mut entry = IndexEntry::default();
            while next(&mut entries, &mut entry, layer)? {
                match entry.what {
                    What::Whiteout => self.whiteout(&entry.path),
                    What::Opaque => self.opaque(&entry.path).map_err(refuse)?,
                    _ => {}
                }
            }
        }
        let mut entries = layer.read_index(self.limits)?;
        let mut entry = IndexEntry::default();
        while next(&mut entries, &mut entry, layer)? {
            if !matches!(entry.what, What::Whiteout | What::Opaque) {
                self.put(number, &entry).map_err(refuse)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, layer: u16, entry: &IndexEntry) -> Result<(), String> {
        if entry.path.is_empty() {
            if let Some(root) = self.tree.nodes.get_mut(ROOT as usize) {
                root.copy_attributes(entry, layer);
            }
            return Ok(());
        }
        let (folder, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let parent = match &self.last_folder {
            Some((path, id)) if path == folder => *id,
            _ => {
                let found = self.folder(folder, layer, Some(&entry.path))?;
                let id = found.ok_or_else(|| format!("cannot put {} anywhere", entry.path))?;
                self.last_folder = Some((folder.to_owned(), id));
                id
            }
        };
        let (node, capability) = match entry.what {
            What::HardLink => self.linked(entry)?,
            What::Is(kind) => {
                let mut node = Node::new(kind);
                node.copy_attributes(entry, layer);
                if kind == Kind::Symlink {
                    (node.offset, node.size) = self.intern(&entry.target)?;
                }
                (node, entry.capability.clone())
            }
            What::Whiteout | What::Opaque => return Ok(()),
        };
        if let Some(existing) = self.find(parent, name) {
            let old = self.tree.node_mut(existing);
            if old.kind == Kind::Folder && node.kind == Kind::Folder {
                old.copy_attributes(entry, layer);
                return Ok(());
            }
            self.remove(existing);
        }
        let id = self.insert(Node { parent, ..node }, name)?;
        if !capability.is_empty() {
            self.tree.capabilities.insert(id, capability);
        }
        Ok(())
    }

    /// What a hard link becomes: another name for what its target is by now.
    fn linked(&mut self, entry: &IndexEntry) -> Result<(Node, Vec<u8>), String> {
        let (path, target) = (&entry.path, &entry.target);
        let source = self
            .find_path(target)?
            .ok_or_else(|| format!("has a hard link {path} to {target}, which is not there"))?;
        let node = self.tree.node(source).clone();
        if node.kind == Kind::Folder {
            return Err(format!("has a hard link {path} to the folder {target}"));
        }
        let capability = self.tree.capabilities.get(&source).cloned();
        Ok((node, capability.unwrap_or_default()))
    }

    fn whiteout(&mut self, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // A whiteout of what is not there hides nothing.
        if let Ok(Some(parent)) = self.folder(folder, 0, None)
            && let Some(node) = self.find(parent, name)
        {
            self.remove(node);
        }
    }

    fn opaque(&mut self, path: &str) -> Result<(), String> {
        let Ok(Some(folder)) = self.folder(path, 0, None) else {
            return Ok(());
        };
        if folder == ROOT {
            return Err("hides everything below it, as if it were the first layer".to_owned());
        }
        let node = self.tree.node(folder).clone();
        let name = self.tree.name_of(&node).to_owned();
        self.remove(folder);
        self.insert(node, &name)?;
        Ok(())
    }

    /// The folder at a path, following links to folders. With `create`, the path of the entry it is for,
    /// missing folders are made as a runtime makes them; without, a missing folder is `None`.
    fn folder(
        &mut self,
        path: &str,
        layer: u16,
        create: Option<&str>,
    ) -> Result<Option<u32>, String> {
        let mut at = ROOT;
        let mut links = 0;
        let mut pending: Vec<String> = Vec::new();
        push_parts(&mut pending, path);
        while let Some(part) = pending.pop() {
            if part == ".." {
                at = self.tree.node(at).parent;
                continue;
            }
            match self.find(at, &part) {
                Some(found) => match self.tree.node(found).kind {
                    Kind::Folder => at = found,
                    Kind::Symlink => {
                        links += 1;
                        if links > LINK_LIMIT {
                            return Err(format!("has a loop of links on the way to {path}"));
                        }
                        let target = self.tree.target_of(self.tree.node(found)).to_owned();
                        if target.starts_with('/') {
                            at = ROOT;
                        }
                        push_parts(&mut pending, &target);
                        if pending.len() > self.limits.path {
                            return Err(format!("has a path too long behind links: {path}"));
                        }
                    }
                    _ => match create {
                        Some(entry) => {
                            return Err(format!("has {entry} below {path}, which is no folder"));
                        }
                        None => return Ok(None),
                    },
                },
                None if create.is_none() => return Ok(None),
                None => {
                    if links > 0 && self.tree.path_length(at) + part.len() > self.limits.path {
                        return Err(format!("has a path too long behind links: {path}"));
                    }
                    let mut node = Node::new(Kind::Folder);
                    node.mode = 0o755;
                    node.layer = layer;
                    node.parent = at;
                    at = self.insert(node, &part)?;
                }
            }
        }
        Ok(Some(at))
    }

    /// The node at a path, following links to folders but not a link at the end.
    fn find_path(&mut self, path: &str) -> Result<Option<u32>, String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(parent) = self.folder(folder, 0, None)? else {
            return Ok(None);
        };
        Ok(self.find(parent, name))
    }

    fn hash(&self, parent: u32, name: &str) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn find(&self, parent: u32, name: &str) -> Option<u32> {
        let hash = self.hash(parent, name);
        let tree = &self.tree;
        self.table
            .find(hash, |id| {
                let node = tree.node(*id);
                node.parent == parent && tree.name_of(node) == name
            })
            .copied()
    }

    fn remove(&mut self, id: u32) {
        self.last_folder = None;
        let node = self.tree.node(id);
        let hash = self.hash(node.parent, self.tree.name_of(node));
        if let Ok(found) = self.table.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.tree.node_mut(id).removed = true;
        self.tree.capabilities.remove(&id);
    }

    fn insert(&mut self, mut node: Node, name: &str) -> Result<u32, String> {
        if self.tree.nodes.len() as u64 > self.limits.entries {
            return Err(format!(
                "brings the image to more than {} files and folders",
                self.limits.entries
            ));
        }
        let (at, length) = self.intern(name)?;
        node.name = u32::try_from(at).unwrap_or(u32::MAX);
        // The text form of a name of 255 bytes that are no UTF-8 has 1020.
        node.name_length = u16::try_from(length).unwrap_or(u16::MAX);
        node.removed = false;
        let id = self.tree.next_id();
        let hash = self.hash(node.parent, name);
        self.tree.nodes.push(node);
        let (tree, hasher) = (&self.tree, &self.hasher);
        self.table.insert_unique(hash, id, |id| {
            let node = tree.node(*id);
            hasher.hash_one((node.parent, tree.name_of(node)))
        });
        Ok(id)
    }

    /// Keeps a text; gives its place and length.
    fn intern(&mut self, text: &str) -> Result<(u64, u64), String> {
        let at = self.tree.names.len() as u64;
        if at + text.len() as u64 > self.limits.names.min(u64::from(u32::MAX)) {
            return Err(format!(
                "brings the names of the image's files to more than {} bytes",
                self.limits.names
            ));
        }
        self.tree.names.push_str(text);
        Ok((at, text.len() as u64))
    }
}

fn next<R: std::io::Read>(
    entries: &mut IndexReader<R>,
    entry: &mut IndexEntry,
    layer: &Layer,
) -> Result<bool, ImageError> {
    entries.next_into(entry).map_err(|e| layer.index_error(e))
}

/// Puts the parts of a path on a stack, first part on top.
pub(crate) fn push_parts(stack: &mut Vec<String>, path: &str) {
    stack.extend(
        path.rsplit('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned),
    );
}
