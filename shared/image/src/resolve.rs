//! Following symbolic links inside an image.

use crate::archive::Kind;
use crate::merge::push_parts;
use crate::tree::{Entry, ROOT, Tree};

/// Most links crossed on one way. Linux stops at 40.
const LINK_LIMIT: usize = 40;

/// Most parts of a path, counting those that links add.
const PART_LIMIT: usize = 4096;

/// Where a path leads, and every link crossed on the way.
#[derive(Debug, Clone)]
pub struct Resolved<'a> {
    /// What is there: never a link, unless only links to folders were followed.
    pub entry: Entry<'a>,
    /// Links crossed, in order. Whoever needs the entry under this path needs them too.
    pub links: Vec<Entry<'a>>,
}

/// Why a path leads nowhere. The links crossed until then are in [`Unresolved::links`].
#[derive(Debug, Clone)]
pub struct Unresolved<'a> {
    /// What is in the way.
    pub reason: UnresolvedReason,
    /// Links crossed, in order.
    pub links: Vec<Entry<'a>>,
}

/// What is in the way of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnresolvedReason {
    /// A part of the path is not there.
    NotFound,
    /// A part of the path is no folder.
    NotAFolder,
    /// More links than Linux follows.
    TooManyLinks,
}

impl Tree {
    /// Where a path leads, following every link as if the image were the whole system: absolute targets
    /// start at the image's root, and `..` stops there.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn resolve(&self, path: &str) -> Result<Resolved<'_>, Unresolved<'_>> {
        self.walk(path, true)
    }

    /// As [`Tree::resolve`], but a link at the end of the path is itself the answer: how to find the file a
    /// package database means by a path.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn locate(&self, path: &str) -> Result<Resolved<'_>, Unresolved<'_>> {
        self.walk(path, false)
    }

    fn walk(&self, path: &str, follow_last: bool) -> Result<Resolved<'_>, Unresolved<'_>> {
        let mut at = ROOT;
        let mut links: Vec<Entry<'_>> = Vec::new();
        let mut pending = Vec::new();
        push_parts(&mut pending, path);
        let fail = |reason, links| Err(Unresolved { reason, links });
        while let Some(part) = pending.pop() {
            if self.node(at).kind != Kind::Folder {
                return fail(UnresolvedReason::NotAFolder, links);
            }
            if part == ".." {
                at = self.node(at).parent;
                continue;
            }
            let Some(next) = self.child(at, &part) else {
                return fail(UnresolvedReason::NotFound, links);
            };
            let node = self.node(next);
            if node.kind != Kind::Symlink || (pending.is_empty() && !follow_last) {
                at = next;
                continue;
            }
            let target = self.target_of(node);
            links.push(self.entry(next));
            if links.len() > LINK_LIMIT {
                return fail(UnresolvedReason::TooManyLinks, links);
            }
            if target.is_empty() {
                return fail(UnresolvedReason::NotFound, links);
            }
            if target.starts_with('/') {
                at = ROOT;
            }
            push_parts(&mut pending, target);
            if pending.len() > PART_LIMIT {
                return fail(UnresolvedReason::TooManyLinks, links);
            }
        }
        let entry = self.entry(at);
        if path.ends_with('/') && !entry.is_folder() {
            return fail(UnresolvedReason::NotAFolder, links);
        }
        Ok(Resolved { entry, links })
    }
}
