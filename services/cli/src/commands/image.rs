//! `quench image`.

use std::path::Path;

use anyhow::Result;
use quench_content::{RefName, Store};
use quench_image::platforms;
use quench_model::ImageReference;
use quench_package::{Package, PackageImage};

use crate::exit::{Exit, Failure};
use crate::layout;
use crate::session::Session;

/// Writes an image of a package to an OCI layout.
pub async fn run(session: &Session, wanted: &str, image: &str, output: &str) -> Result<Exit> {
    let Some(folder) = output.strip_prefix("oci:").filter(|path| !path.is_empty()) else {
        return Err(Failure::usage(format!(
            "output {output:?} names no OCI layout; write -o oci:DIR"
        )));
    };
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let found = find(&package, image)?;
    let name: RefName = found
        .reference
        .tag()
        .unwrap_or("latest")
        .parse()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    layout::write(&store, &found.descriptor, &name, Path::new(folder)).await?;
    if session.json {
        session.print_json(&serde_json::json!({
            "image": found.reference, "digest": found.descriptor.digest, "layout": folder, "name": name.as_str(),
        }))?;
    } else if !session.quiet {
        anstream::println!("{} is in oci:{folder}:{name}", found.reference);
    }
    Ok(Exit::Done)
}

/// Finds an image of a package by its reference, however it is written.
///
/// # Errors
/// When the package has no such image; the message lists those it has.
pub fn find<'a>(package: &'a Package, wanted: &str) -> Result<&'a PackageImage> {
    let reference: Option<ImageReference> = wanted.parse().ok();
    package
        .images
        .iter()
        .find(|image| {
            reference.as_ref() == Some(&image.reference)
                || image.descriptor.digest.to_string() == wanted
        })
        .ok_or_else(|| {
            let names: Vec<_> = package
                .images
                .iter()
                .map(|i| i.reference.to_string())
                .collect();
            Failure::usage(format!(
                "package {} holds no image {wanted:?}; it holds: {}",
                package.name,
                names.join(", ")
            ))
        })
}

/// As [`find`], but the digest of one platform of an image names that image too.
///
/// # Errors
/// As [`find`], or when an index cannot be read.
pub async fn find_or_platform<'a>(
    store: &Store,
    package: &'a Package,
    wanted: &str,
) -> Result<&'a PackageImage> {
    if wanted.starts_with("sha256:") {
        for image in &package.images {
            let platforms = platforms(store, &image.descriptor).await?;
            if platforms.iter().any(|p| p.digest.to_string() == wanted) {
                return Ok(image);
            }
        }
    }
    find(package, wanted)
}
