//! Which given image is meant by a chart's reference.
//!
//! In this order; the first that fits is taken:
//! 1. an image given under exactly this reference;
//! 2. for a reference with a digest, any given image of that digest;
//! 3. an image given without a full name (an OCI layout names images by a tag alone, or not at all), when the
//!    folder or file it came in is called like the last part of the reference's repository (`oci:images/nginx` for
//!    `registry.example/web/nginx:1.27`);
//! 4. the only image given without a full name, when the chart has only this one reference that nothing
//!    else fits.
//!
//! For 3 and 4 the image's tag has to be the reference's, `latest`, or absent. More than one candidate is an
//! error: a guess could put the wrong program into a cluster.

use std::collections::BTreeMap;

use quench_model::{Descriptor, ImageReference};
use quench_package::{EngineError, ImageOrigin, ImageTable, UnnamedImage};

/// What becomes of an image without a name when one reference is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// It is taken for that reference (4. above).
    Taken,
    /// It is left alone.
    Left,
}

/// The given images meant by the references; the rest has to come from registries.
pub(crate) fn choose<'a>(
    references: impl Iterator<Item = &'a ImageReference>,
    table: &ImageTable,
    leftover: Leftover,
) -> Result<BTreeMap<&'a ImageReference, (Descriptor, ImageOrigin)>, EngineError> {
    let mut chosen = BTreeMap::new();
    let mut open = Vec::new();
    for reference in references {
        match named(reference, table) {
            Some(descriptor) => {
                chosen.insert(reference, (descriptor, ImageOrigin::Given));
            }
            None => open.push(reference),
        }
    }
    // What a digest pins cannot be something else.
    open.retain(|reference| reference.digest().is_none());
    let mut rest = Vec::new();
    for reference in open {
        let last = reference
            .repository()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let found = one(reference, table, |image| image.source == last)?;
        match found {
            Some(image) => {
                let why = format!("{} is called like the repository", place(image));
                chosen.insert(
                    reference,
                    (image.descriptor.clone(), ImageOrigin::Matched(why)),
                );
            }
            None => rest.push(reference),
        }
    }
    let taken = |image: &UnnamedImage| {
        chosen
            .values()
            .any(|(descriptor, _)| descriptor.digest == image.descriptor.digest)
    };
    if leftover == Leftover::Taken
        && let [reference] = rest.as_slice()
        && let Some(image) = one(reference, table, |image| !taken(image))?
    {
        let why = format!(
            "{} is the only image without a name, and this the only reference left",
            place(image)
        );
        chosen.insert(
            reference,
            (image.descriptor.clone(), ImageOrigin::Matched(why)),
        );
    }
    Ok(chosen)
}

fn named(reference: &ImageReference, table: &ImageTable) -> Option<Descriptor> {
    let exact = table.images.get(&reference.to_string());
    let Some(digest) = reference.digest() else {
        return exact.cloned();
    };
    table
        .images
        .values()
        .chain(table.unnamed.iter().map(|image| &image.descriptor))
        .find(|descriptor| descriptor.digest == *digest)
        .cloned()
}

fn one<'t>(
    reference: &ImageReference,
    table: &'t ImageTable,
    fits: impl Fn(&UnnamedImage) -> bool,
) -> Result<Option<&'t UnnamedImage>, EngineError> {
    let tag_fits =
        |tag: Option<&str>| tag.is_none() || tag == Some("latest") || tag == reference.tag();
    let fitting = |image: &&UnnamedImage| tag_fits(image.tag.as_deref()) && fits(image);
    let mut candidates: Vec<&UnnamedImage> = table.unnamed.iter().filter(fitting).collect();
    // The tag itself says more than its absence does.
    if candidates
        .iter()
        .any(|image| image.tag.as_deref() == reference.tag())
    {
        candidates.retain(|image| image.tag.as_deref() == reference.tag());
    }
    candidates.dedup_by(|a, b| a.descriptor.digest == b.descriptor.digest);
    match candidates.as_slice() {
        [] => Ok(None),
        [image] => Ok(Some(image)),
        several => {
            let places: Vec<String> = several
                .iter()
                .map(|image| format!("{} ({})", place(image), image.descriptor.digest.short()))
                .collect();
            Err(EngineError::Input(format!(
                "{reference} could be any of the given images {}; name the right one {reference} in its layout \
                 (org.opencontainers.image.ref.name)",
                places.join(", ")
            )))
        }
    }
}

fn place(image: &UnnamedImage) -> String {
    match &image.tag {
        Some(tag) => format!("{}:{tag}", image.source),
        None => image.source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use quench_model::media_type;

    use super::*;

    fn image(content: &str) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, content)
    }

    fn table(named: &[(&str, &str)], unnamed: &[(&str, Option<&str>, &str)]) -> ImageTable {
        ImageTable {
            images: named
                .iter()
                .map(|(name, content)| ((*name).to_owned(), image(content)))
                .collect(),
            unnamed: unnamed
                .iter()
                .map(|(source, tag, content)| UnnamedImage {
                    source: (*source).to_owned(),
                    tag: tag.map(str::to_owned),
                    descriptor: image(content),
                })
                .collect(),
            ..ImageTable::default()
        }
    }

    /// What each reference is matched with, `-` for nothing.
    fn matched(references: &[&str], table: &ImageTable) -> Result<Vec<String>, String> {
        let parsed: Vec<ImageReference> = references.iter().map(|r| r.parse().unwrap()).collect();
        let chosen = choose(parsed.iter(), table, Leftover::Taken).map_err(|e| e.to_string())?;
        let known = ["a", "b", "c"];
        Ok(parsed
            .iter()
            .map(|reference| match chosen.get(reference) {
                Some((descriptor, _)) => known
                    .into_iter()
                    .find(|content| image(content).digest == descriptor.digest)
                    .unwrap()
                    .to_owned(),
                None => "-".to_owned(),
            })
            .collect())
    }

    #[test]
    fn names_decide_before_anything_else() {
        let table = table(
            &[("docker.io/library/nginx:1.27", "a")],
            &[("nginx", Some("latest"), "b")],
        );
        assert_eq!(matched(&["nginx:1.27"], &table).unwrap(), ["a"]);
        // A full name is never bent to another reference, a missing one may be.
        assert_eq!(matched(&["nginx:1.28"], &table).unwrap(), ["b"]);
        assert_eq!(
            matched(&["nginx:1.27", "redis:7"], &table).unwrap(),
            ["a", "b"]
        );
        let other = super::tests::table(&[("docker.io/library/nginx:1.27", "a")], &[]);
        assert_eq!(matched(&["nginx:1.28"], &other).unwrap(), ["-"]);
    }

    #[test]
    fn a_digest_is_matched_by_itself_alone() {
        let table = table(&[("r.example/x:1", "a")], &[("nginx", None, "b")]);
        let pinned = |content| format!("nginx:1.27@{}", image(content).digest);
        assert_eq!(matched(&[&pinned("a")], &table).unwrap(), ["a"]);
        assert_eq!(matched(&[&pinned("b")], &table).unwrap(), ["b"]);
        assert_eq!(matched(&[&pinned("c")], &table).unwrap(), ["-"]);
    }

    #[test]
    fn folders_called_like_repositories_keep_several_images_apart() {
        let table = table(&[], &[("nginx", Some("latest"), "a"), ("redis", None, "b")]);
        let references = ["r.example/web/nginx:1.27", "redis:7"];
        assert_eq!(matched(&references, &table).unwrap(), ["a", "b"]);
        assert_eq!(
            matched(&["r.example/web/nginx:1.27", "other:1"], &table).unwrap(),
            ["a", "b"]
        );
        assert_eq!(matched(&["one:1", "other:1"], &table).unwrap(), ["-", "-"]);
    }

    #[test]
    fn tags_must_fit_and_the_fitting_tag_wins() {
        let table = table(
            &[],
            &[
                ("nginx", Some("1.26"), "a"),
                ("nginx", Some("1.27"), "b"),
                ("nginx", Some("latest"), "c"),
            ],
        );
        assert_eq!(matched(&["nginx:1.27"], &table).unwrap(), ["b"]);
        assert_eq!(matched(&["nginx:1.28"], &table).unwrap(), ["c"]);
        let single = super::tests::table(&[], &[("images", Some("1.26"), "a")]);
        assert_eq!(matched(&["nginx:1.27"], &single).unwrap(), ["-"]);
        assert_eq!(matched(&["nginx:1.26"], &single).unwrap(), ["a"]);
    }

    #[test]
    fn several_candidates_are_an_error_that_names_them() {
        let table = table(&[], &[("nginx", None, "a"), ("nginx", Some("latest"), "b")]);
        let error = matched(&["nginx:1.27"], &table).unwrap_err();
        assert!(
            error.contains("docker.io/library/nginx:1.27 could be any"),
            "{error}"
        );
        assert!(error.contains(&image("a").digest.short()), "{error}");
        assert!(
            error.contains(&format!("nginx:latest ({})", image("b").digest.short())),
            "{error}"
        );
    }
}
