//! How large an image is, and what it is for.

use std::collections::BTreeSet;

use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Platform, media_type};
use serde::Deserialize;

use crate::{PackageError, closure};

/// Most bytes of an image configuration.
const CONFIG_LIMIT: u64 = 8 << 20;

/// What an image amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of everything the image is made of, each blob counted once.
    pub total_size: u64,
    /// Platforms it is there for, sorted.
    pub platforms: Vec<Platform>,
}

#[derive(Deserialize)]
struct ConfigPlatform {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
}

/// Measures an image, and makes sure that all of it is in the store.
///
/// # Errors
/// When a part of it is missing or cannot be read.
pub async fn measure(store: &Store, image: &Descriptor) -> Result<Measured, PackageError> {
    let mut total_size = 0;
    let mut platforms = BTreeSet::new();
    for part in closure(store, image).await? {
        if !store.contains(&part).await? {
            return Err(PackageError::Store(StoreError::NotFound {
                digest: part.digest,
                media_type: part.media_type,
                place: store.place(),
            }));
        }
        total_size += part.size;
        if is_image_config(&part) {
            let config: ConfigPlatform = store.read_json(&part, CONFIG_LIMIT).await?;
            if let (Some(architecture), Some(os)) = (config.architecture, config.os)
                && architecture != "unknown"
            {
                platforms.insert(Platform {
                    architecture,
                    os,
                    variant: config.variant,
                });
            }
        }
    }
    Ok(Measured {
        total_size,
        platforms: platforms.into_iter().collect(),
    })
}

/// Whether a configuration is that of an image.
fn is_image_config(descriptor: &Descriptor) -> bool {
    matches!(
        descriptor.media_type.as_str(),
        media_type::CONFIG | media_type::DOCKER_CONFIG
    )
}
