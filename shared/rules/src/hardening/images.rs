//! Evidence from the images of a package.

use quench_content::Store;
use quench_image::{Image, ImageError, facts, platforms};
use quench_model::{Descriptor, FactsFile, ImageFacts};
use quench_package::{EngineError, Package};

use crate::Evidence;

/// Reads facts and digests of every image of a package. Facts a user states stand in for images the package
/// does not hold.
///
/// # Errors
/// When an image cannot be read.
pub async fn evidence_of(
    store: &Store,
    package: &Package,
    stated: Option<&FactsFile>,
) -> Result<Evidence, EngineError> {
    let lock = package.load_lock(store).await?;
    let mut evidence = Evidence::default();
    for image in &package.images {
        let digest = &image.descriptor.digest;
        let rendered = lock
            .images
            .get(&image.reference.to_string())
            .map_or(&[][..], |locked| locked.rendered.as_slice());
        evidence.add_digest(&image.reference, rendered, digest);
        let known = facts_of(store, &image.descriptor)
            .await
            .map_err(|error| match error {
                ImageError::Store(error) => EngineError::Store(error),
                error => EngineError::Input(format!("image {}: {error}", image.reference)),
            })?;
        evidence.add_facts(&image.reference, rendered, digest, &known);
    }
    if let Some(stated) = stated {
        evidence.state_facts(stated);
    }
    Ok(evidence)
}

/// What holds for every platform of an image: a chart runs the same on all of them.
async fn facts_of(store: &Store, descriptor: &Descriptor) -> Result<ImageFacts, ImageError> {
    let mut all: Option<ImageFacts> = None;
    for platform in platforms(store, descriptor).await? {
        let image = Image::open(store, &platform).await?;
        let found = tokio::task::spawn_blocking(move || facts(&image))
            .await
            .map_err(|error| ImageError::Manifest {
                digest: platform.digest.clone(),
                reason: format!("could not be looked at: {error}"),
            })?;
        all = Some(match all {
            None => found,
            Some(others) => common(others, found),
        });
    }
    Ok(all.unwrap_or_default())
}

/// What two platforms agree on; all else is not known. Paths written to on either may be written to.
fn common(a: ImageFacts, b: ImageFacts) -> ImageFacts {
    fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<T> {
        a.filter(|a| Some(a) == b.as_ref())
    }
    let writable = match (a.writable, b.writable) {
        (Some(mut paths), Some(more)) => {
            paths.extend(more);
            paths.sort();
            paths.dedup();
            Some(paths)
        }
        _ => None,
    };
    ImageFacts {
        uid: same(a.uid, b.uid),
        gid: same(a.gid, b.gid),
        user: same(a.user, b.user),
        writable,
        ports: same(a.ports, b.ports),
        entrypoint: same(a.entrypoint, b.entrypoint),
        cmd: same(a.cmd, b.cmd),
        entrypoint_privileged: same(a.entrypoint_privileged, b.entrypoint_privileged),
        entrypoint_switches_user: same(a.entrypoint_switches_user, b.entrypoint_switches_user),
        // Platforms have digests of their own; the lock has the image's.
        digest: None,
        source: same(a.source, b.source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quench_model::WritablePath;

    #[test]
    fn platforms_must_agree() {
        let facts = |uid, path: &str| ImageFacts {
            uid: Some(uid),
            gid: Some(7),
            writable: Some(vec![WritablePath::Plain(path.to_owned())]),
            ..ImageFacts::default()
        };
        let both = common(facts(1, "/b"), facts(2, "/a"));
        assert_eq!((both.uid, both.gid), (None, Some(7)));
        let paths: Vec<_> = both
            .writable
            .unwrap()
            .iter()
            .map(|p| p.path().to_owned())
            .collect();
        assert_eq!(paths, ["/a", "/b"]);
    }
}
