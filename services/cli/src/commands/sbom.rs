//! `quench sbom`.

use anyhow::Result;
use quench_image::platforms;
use quench_model::media_type;
use quench_package::{Package, PackageImage, attachments};

use crate::args::SbomFormat;
use crate::commands::image;
use crate::exit::{Exit, Failure};
use crate::session::{Session, write_stdout};

/// Prints the SBOM of an image of a package.
pub async fn run(
    session: &Session,
    wanted: &str,
    image: Option<&str>,
    format: SbomFormat,
) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let found = match image {
        Some(image) => image::find_or_platform(&store, &package, image).await?,
        None => only_image(&package)?,
    };
    let kind = match format {
        SbomFormat::Cyclonedx => media_type::CYCLONEDX,
        SbomFormat::Spdx => media_type::SPDX,
    };
    // An index has an SBOM per platform; one document is one image, so the first platform's is printed unless
    // the image was named by the digest of another.
    let wanted = platforms(&store, &found.descriptor).await?;
    let wanted = wanted
        .iter()
        .find(|platform| image.is_some_and(|image| image == platform.digest.to_string()))
        .or(wanted.first());
    // The newest revision in which the image is what it is now has its SBOM.
    for revision in package.lineage(&store).await? {
        for attachment in attachments(&store, &revision.revision.digest, Some(kind)).await? {
            if attachment.image.as_ref() == wanted.map(|platform| &platform.digest) {
                let bytes = store.read(&attachment.document, SBOM_LIMIT).await?;
                write_stdout(&bytes)?;
                return Ok(Exit::Done);
            }
        }
    }
    Err(Failure::missing(format!(
        "no SBOM of {} in package {} at level {}; bring it to level 3 or further with `quench harden`",
        found.reference, package.name, package.level
    )))
}

/// Most bytes of an SBOM: images of a hundred thousand components stay below.
const SBOM_LIMIT: u64 = 512 << 20;

fn only_image(package: &Package) -> Result<&PackageImage> {
    match package.images.as_slice() {
        [image] => Ok(image),
        [] => Err(Failure::usage(format!(
            "package {} holds no image",
            package.name
        ))),
        images => {
            let names: Vec<_> = images.iter().map(|i| i.reference.to_string()).collect();
            Err(Failure::usage(format!(
                "package {} holds several images; name one of: {}",
                package.name,
                names.join(", ")
            )))
        }
    }
}
