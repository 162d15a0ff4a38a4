//! The minimisation report: sizes before and after, what was decided and why, for every image.

use std::collections::BTreeMap;

use quench_model::{Digest, Platform};
use serde::{Deserialize, Serialize};

/// What level 5 did to the images of a package. Attached to the revision as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Always `minimized`.
    pub level: String,
    /// One for each image and platform, sorted by reference.
    pub images: Vec<ImageReport>,
}

/// What was done to one platform's image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// Reference as the chart renders it.
    pub reference: String,
    /// Platform, when the image has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Digest of the manifest that came in.
    pub original: Digest,
    /// Digest of the manifest that went out.
    pub minimized: Digest,
    /// 1 to 4: distroless, distroless with shell, packages pruned, original without package manager.
    pub tier: u8,
    /// The tier's name.
    pub tier_name: String,
    /// Why a better tier was not reached; empty at tier 1.
    pub fallbacks: Vec<String>,
    /// What people should know: things the chart or the image names and the image does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Containers that use the image.
    pub used_by: Vec<String>,
    /// Commands the chart makes it run.
    pub commands: Vec<Vec<String>>,
    /// What it held.
    pub before: Extent,
    /// What it holds.
    pub after: Extent,
    /// Packages that are left, with their versions.
    pub packages: BTreeMap<String, String>,
    /// Packages that are gone.
    pub removed_packages: Vec<String>,
    /// Why each package is left, where whole packages were kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub package_reasons: BTreeMap<String, String>,
    /// Why each file is left, where files were kept one by one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// How much an image holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// Bytes of files, unpacked.
    pub bytes: u64,
    /// Files and links.
    pub files: u64,
    /// Packages.
    pub packages: u64,
}

impl Report {
    /// Why an image has a file, for people; `None` when it does not have it or files were not kept one by one.
    pub fn explain(&self, reference: &str, path: &str) -> Option<&str> {
        self.images
            .iter()
            .filter(|image| image.reference == reference)
            .find_map(|image| image.files.get(path))
            .map(String::as_str)
    }
}
