//! `images.lock`: the image lock as a file of the chart, for people and other tools.
//!
//! It is YAML: a comment that says what it is, then `apiVersion`, `kind` and `images`, a list with reference, digest, media
//! type, sizes, platforms, class and the first places of evidence of each image the package holds, then `leftOut`, what
//! the package does not hold. [`Package::store`](crate::Package::store) writes it at every level, so no level can forget it,
//! and [`verify_package`](crate::verify_package) compares it with the package.
//!
//! # Where it stands
//! In the root of the chart as [`NAME`]. A chart whose author has a file of that name, in whatever case (`Images.lock` of
//! the Distribution Tooling for Helm), keeps it: templates may read it, original files stay as they are, and the
//! images it lists are evidence. Quench's file then has [`OTHER_NAME`]. In whatever case, since a chart that is written
//! to a folder where case does not count would lose one of the two.
//!
//! # Why not all the evidence?
//! Helm keeps the chart in the Secret of the release, which holds 1 MiB: the file has a few hundred bytes for each image.
//! The lock that the revision lists has all of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use quench_chart::chart::{Chart, ChartError};
use quench_chart::yaml;
use serde_json::{Map, Value, json};

use crate::{ImageEvidence, ImageLock, LeftOut, LockedImage, PackageImage};

/// Name of the file.
pub const NAME: &str = "images.lock";
/// Its name where the chart's author has a file of that name.
pub const OTHER_NAME: &str = "quench-images.lock";

/// What the file starts with, and is known by, whatever version wrote it.
const MARK: &str = "# Image lock written by Quench:";
/// The rest of the comment, and what the file is to a program.
const HEADER: &str = " which image the package of this chart holds for each reference, and why.
# Every level writes it anew, and `quench verify` compares it with the package: do not edit it.
apiVersion: quench/v1
kind: ImageLock
";
/// Most places told for an image.
const EVIDENCE: usize = 3;
/// Most images told that are not in the package.
const LEFT_OUT: usize = 100;
/// Most characters of a place or reason.
const LINE: usize = 160;

/// Whether a file is an image lock that Quench wrote.
pub fn is_own(content: &[u8]) -> bool {
    content.starts_with(MARK.as_bytes())
}

/// Takes the file out of a chart; one that Quench did not write stays.
///
/// # Errors
/// Not for a chart that is one.
pub fn remove(chart: &mut Chart) -> Result<(), ChartError> {
    for name in [NAME, OTHER_NAME] {
        if chart.file(name).is_some_and(|content| is_own(content)) {
            chart.remove(name)?;
        }
    }
    Ok(())
}

/// The chart with the file in it, in place of one that was there. `images` are sorted by reference.
pub(crate) fn put_into(
    chart: &Chart,
    images: &[PackageImage],
    lock: &ImageLock,
) -> Result<Chart, ChartError> {
    let mut chart = chart.clone();
    remove(&mut chart)?;
    let name = place(chart.files())?;
    chart.insert(name, text(images, lock))?;
    // Assembled anew, so that no line of `.helmignore` hides it.
    Chart::from_files(chart.files().clone())
}

/// Whether the file at this path of a chart matters to [`check`].
pub(crate) fn concerns(path: &str) -> bool {
    path.eq_ignore_ascii_case(NAME) || path.eq_ignore_ascii_case(OTHER_NAME)
}

/// Compares the file of a chart with the images it should tell of; with the lock too, where that is at hand. Of the
/// chart's `files` only those that [`concerns`] picks are looked at.
pub(crate) fn check(
    files: &BTreeMap<String, Bytes>,
    images: &[PackageImage],
    lock: Option<&ImageLock>,
) -> Result<(), String> {
    let own: Vec<&str> = [NAME, OTHER_NAME]
        .into_iter()
        .filter(|name| files.get(*name).is_some_and(|content| is_own(content)))
        .collect();
    let name = match own[..] {
        [name] => name,
        [] => {
            return Err(format!(
                "the chart has no {NAME}: it was taken out, or the package is of an older version; make the package anew"
            ));
        }
        _ => {
            return Err(format!(
                "the chart has both {NAME} and {OTHER_NAME} of Quench"
            ));
        }
    };
    let broken = |reason: &dyn std::fmt::Display| format!("{name} of the chart: {reason}");
    let content = files
        .get(name)
        .map(|content| &content[..])
        .unwrap_or_default();
    let found = yaml::text(content).map_err(|e| broken(&e))?;
    let listed = entries(found).map_err(|e| broken(&e))?;
    for image in images {
        let reference = image.reference.to_string();
        let Some(entry) = listed.get(&reference) else {
            return Err(broken(&format!(
                "image {reference} ({}) of the package is missing",
                image.descriptor.digest
            )));
        };
        for (field, value) in held(image) {
            if entry.get(field) != value.as_ref() {
                let shown = |value: Option<&Value>| match value {
                    Some(Value::String(text)) => line(text),
                    Some(other) => line(&other.to_string()),
                    None => "nothing".to_owned(),
                };
                return Err(broken(&format!(
                    "image {reference}: {field} is {}, but the package holds {}",
                    shown(entry.get(field)),
                    shown(value.as_ref())
                )));
            }
        }
    }
    let is_held = |reference: &&String| {
        images
            .iter()
            .any(|image| image.reference.to_string() == **reference)
    };
    if let Some(reference) = listed.keys().find(|reference| !is_held(reference)) {
        return Err(broken(&format!(
            "image {} is not in the package",
            line(reference)
        )));
    }
    let Some(lock) = lock else {
        return Ok(());
    };
    let expected = text(images, lock);
    if found == expected && place(files).is_ok_and(|right| right == name) {
        return Ok(());
    }
    let should = entries(&expected).map_err(|e| broken(&e))?;
    let changed = should
        .iter()
        .find(|(reference, entry)| listed.get(*reference) != Some(*entry));
    Err(broken(&match changed {
        Some((reference, _)) => {
            format!("what it says of image {reference} is not what the image lock says")
        }
        None => "it is not what Quench writes".to_owned(),
    }))
}

/// Where the file of a chart without one belongs.
fn place(files: &BTreeMap<String, Bytes>) -> Result<&'static str, ChartError> {
    let foreign = |name: &str| {
        files
            .iter()
            .find(|(path, content)| path.eq_ignore_ascii_case(name) && !is_own(content))
    };
    if foreign(NAME).is_none() {
        return Ok(NAME);
    }
    match foreign(OTHER_NAME) {
        None => Ok(OTHER_NAME),
        Some((path, _)) => Err(ChartError::Path {
            path: path.clone(),
            reason: format!(
                "is where Quench keeps its image lock in a chart that has an {NAME} of its own; rename it"
            ),
        }),
    }
}

/// The file's text.
fn text(images: &[PackageImage], lock: &ImageLock) -> String {
    let mut text = format!("{MARK}{HEADER}");
    let entries = images.iter().map(|image| {
        let reference = image.reference.to_string();
        let locked = lock.images.get(&reference);
        (reference, entry(image, locked))
    });
    list(&mut text, "images", entries);
    let left_out = lock.left_out.iter().take(LEFT_OUT);
    if !lock.left_out.is_empty() {
        list(
            &mut text,
            "leftOut",
            left_out.map(|(reference, what)| (reference.clone(), left_out_entry(what))),
        );
    }
    let more = lock.left_out.len().saturating_sub(LEFT_OUT);
    if more > 0 {
        text.push_str(&format!("moreLeftOut: {more}\n"));
    }
    text
}

/// Writes a list of images, the reference of each first.
fn list(text: &mut String, key: &str, entries: impl Iterator<Item = (String, Map<String, Value>)>) {
    let start = text.len();
    for (reference, entry) in entries {
        let first = yaml::to_string(&json!({ "image": reference }));
        text.push_str(&format!("- {first}"));
        for line in yaml::to_string(&Value::Object(entry)).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    let head = if text.len() == start {
        format!("{key}: []\n")
    } else {
        format!("{key}:\n")
    };
    text.insert_str(start, &head);
}

/// What is told of an image beside its reference.
fn entry(image: &PackageImage, locked: Option<&LockedImage>) -> Map<String, Value> {
    let mut entry: Map<String, Value> = held(image)
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)))
        .collect();
    let Some(locked) = locked else {
        return entry;
    };
    if locked.rendered != [image.reference.to_string()] {
        let rendered = locked.rendered.iter().map(|text| visible(text));
        entry.insert("rendered".to_owned(), rendered.collect());
    }
    entry.insert("class".to_owned(), json!(locked.class));
    entry.insert("totalSize".to_owned(), json!(locked.total_size));
    let platforms = locked.platforms.iter().map(ToString::to_string);
    entry.insert("platforms".to_owned(), platforms.collect());
    insert_evidence(&mut entry, &locked.evidence);
    entry
}

/// What the revision itself says of an image.
fn held(image: &PackageImage) -> [(&'static str, Option<Value>); 4] {
    let is_changed = image.original != image.descriptor.digest;
    [
        ("digest", Some(json!(image.descriptor.digest))),
        ("mediaType", Some(json!(image.descriptor.media_type))),
        ("size", Some(json!(image.descriptor.size))),
        ("original", is_changed.then(|| json!(image.original))),
    ]
}

fn left_out_entry(what: &LeftOut) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("class".to_owned(), json!(what.class));
    entry.insert("reason".to_owned(), json!(line(&what.reason)));
    insert_evidence(&mut entry, &what.evidence);
    entry
}

/// The places that say most: those that are there at the given values, then those that take the least.
fn insert_evidence(entry: &mut Map<String, Value>, evidence: &[ImageEvidence]) {
    let mut places: Vec<&ImageEvidence> = evidence.iter().collect();
    places.sort_by_key(|place| place.values.len());
    let told = places
        .iter()
        .take(EVIDENCE)
        .map(|place| line(&place.to_string()));
    entry.insert("evidence".to_owned(), told.collect());
    if let Some(more) = places.len().checked_sub(EVIDENCE).filter(|more| *more > 0) {
        entry.insert("moreEvidence".to_owned(), json!(more));
    }
}

/// The images that a file lists, by reference.
fn entries(text: &str) -> Result<BTreeMap<String, Map<String, Value>>, String> {
    let parsed = yaml::parse(text).map_err(|e| e.to_string())?;
    let Some(Value::Array(images)) = parsed.get("images") else {
        return Err("it lists no images".to_owned());
    };
    let mut entries = BTreeMap::new();
    for image in images {
        let (Some(map), Some(reference)) = (
            image.as_object(),
            image.get("image").and_then(Value::as_str),
        ) else {
            return Err("an image is without reference".to_owned());
        };
        if entries.insert(reference.to_owned(), map.clone()).is_some() {
            return Err(format!("image {} is listed twice", line(reference)));
        }
    }
    Ok(entries)
}

/// Text that fits a line.
fn line(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= LINE {
        return text;
    }
    let cut: String = text.chars().take(LINE - 1).collect();
    format!("{cut}…")
}

fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
