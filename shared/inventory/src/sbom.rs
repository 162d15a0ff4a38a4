//! What both SBOM formats share.

use quench_model::{Digest, Hasher, ImageReference};

use crate::{Inventory, PackageUrl, PurlError};

/// What an SBOM is about: an image, by the name it goes by.
#[derive(Debug, Clone, Copy)]
pub struct SbomSubject<'a> {
    /// Reference of the image.
    pub reference: &'a ImageReference,
    /// What is in it.
    pub inventory: &'a Inventory,
}

impl SbomSubject<'_> {
    /// Last part of the repository.
    pub(crate) fn name(&self) -> &str {
        let repository = self.reference.repository();
        repository.rsplit('/').next().unwrap_or(repository)
    }

    /// Package URL of the image (type `oci`).
    pub(crate) fn purl(&self) -> Result<PackageUrl, PurlError> {
        PackageUrl::new(
            "oci",
            None,
            self.name(),
            Some(&self.inventory.image.to_string()),
        )?
        .with_qualifier("arch", &self.inventory.platform.architecture)?
        .with_qualifier("repository_url", &self.reference.name())?
        .with_qualifier("tag", self.reference.tag().unwrap_or_default())
    }

    /// A UUID that names the document: made of what decides its content, so the same content has the same name (RFC
    /// 9562, version 8).
    pub(crate) fn uuid(&self, format: &str) -> String {
        let mut hasher = Hasher::new();
        hasher.field(format.as_bytes());
        hasher.field(self.reference.to_string().as_bytes());
        hasher.field(&serde_json::to_vec(self.inventory).unwrap_or_default());
        uuid(&hasher.finish())
    }
}

fn uuid(digest: &Digest) -> String {
    let mut hex: Vec<char> = digest.hex().chars().take(32).collect();
    for (at, value) in [(12, '8'), (16, 'a')] {
        if let Some(digit) = hex.get_mut(at) {
            *digit = value;
        }
    }
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.into_iter().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_version_and_variant() {
        let text = uuid(&Digest::of(b""));
        assert_eq!(text, "e3b0c442-98fc-8c14-aafb-f4c8996fb924");
    }
}
