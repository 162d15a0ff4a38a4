//! OCI content descriptors.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What names a blob or manifest: OCI image-spec 1.1, "Content Descriptors".
///
/// Field order is the order of the serialized form, so equal descriptors give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the bytes.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Type of the artefact, when the descriptor points to an artefact manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Platform of an image manifest inside an image index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations, sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor of `bytes` with nothing but the three mandatory fields.
    pub fn of(media_type: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The same descriptor with an annotation more.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// Whether it names a manifest or an index: in a registry those live beside blobs, not among them.
    pub fn is_manifest(&self) -> bool {
        media_type::is_manifest(&self.media_type)
    }

    /// Whether it names an image index (or Docker manifest list).
    pub fn is_index(&self) -> bool {
        media_type::is_index(&self.media_type)
    }
}

/// Operating system and processor an image is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Processor, in Go's names: `amd64`, `arm64`, …
    pub architecture: String,
    /// Operating system, in Go's names: `linux`, `windows`.
    pub os: String,
    /// Variant of the processor, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Why a text names no [`Platform`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a platform; write os/architecture or os/architecture/variant, such as linux/arm64"
)]
pub struct PlatformError(String);

impl std::str::FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        let error = || PlatformError(text.chars().take(100).collect());
        if !parts.iter().all(is_word) {
            return Err(error());
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return Err(error()),
        };
        Ok(Self {
            architecture: (*architecture).to_owned(),
            os: (*os).to_owned(),
            variant,
        })
    }
}

/// Media types and artefact types that Quench reads or writes.
pub mod media_type {
    /// OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, uncompressed.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The empty JSON object that stands for "no configuration" in artefact manifests.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Helm chart configuration (the chart's metadata as JSON).
    pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
    /// Helm chart archive.
    pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    /// A Quench package revision.
    pub const PACKAGE: &str = "application/vnd.quench.package.v1+json";
    /// What entered: chart, values, policy, target, images given.
    pub const SUBMISSION: &str = "application/vnd.quench.submission.v1+json";
    /// The demands a submission came with, kept in every revision.
    pub const REQUEST: &str = "application/vnd.quench.request.v1+json";
    /// A level's stored outcome, found by its idempotency key.
    pub const OUTCOME: &str = "application/vnd.quench.outcome.v1+json";
    /// A values file given by the user.
    pub const VALUES: &str = "application/vnd.quench.values.v1+yaml";
    /// A policy.
    pub const POLICY: &str = "application/vnd.quench.policy.v1+json";
    /// A target.
    pub const TARGET: &str = "application/vnd.quench.target.v1+json";
    /// Stand-in image facts.
    pub const FACTS: &str = "application/vnd.quench.image-facts.v1+json";
    /// Table of images given beside a chart: reference to descriptor.
    pub const IMAGE_TABLE: &str = "application/vnd.quench.image-table.v1+json";
    /// Which image references a package holds, where each was found, and its digest.
    pub const IMAGE_LOCK: &str = "application/vnd.quench.image-lock.v1+json";
    /// The package index (files, packages) of an image.
    pub const PACKAGE_INDEX: &str = "application/vnd.quench.package-index.v1+json";
    /// Findings, Quench's own form.
    pub const FINDINGS: &str = "application/vnd.quench.findings.v1+json";
    /// Findings as SARIF.
    pub const SARIF: &str = "application/sarif+json";
    /// CycloneDX SBOM.
    pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
    /// SPDX SBOM.
    pub const SPDX: &str = "application/spdx+json";
    /// A level's report: numbers before and after, decisions, evidence.
    pub const REPORT: &str = "application/vnd.quench.report.v1+json";
    /// Licence inventory.
    pub const LICENCES: &str = "application/vnd.quench.licences.v1+json";
    /// Since what an exported delta is, and what it takes for granted.
    pub const DELTA: &str = "application/vnd.quench.delta.v1+json";
    /// A signature in the form of cosign, attached to what it signs.
    pub const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
    /// A signed statement in the form of cosign, attached to what it speaks of.
    pub const COSIGN_ATTESTATION: &str = "application/vnd.dev.cosign.artifact.att.v1+json";
    /// What a cosign signature signs.
    pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    /// A signature or signed statement in the form of sigstore, attached to what it speaks of.
    pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    /// DSSE envelope.
    pub const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
    /// In-toto statement.
    pub const IN_TOTO: &str = "application/vnd.in-toto+json";
    /// Advisory epoch.
    pub const EPOCH: &str = "application/vnd.quench.epoch.v1";

    /// Whether a media type is a manifest or an index.
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, MANIFEST | DOCKER_MANIFEST) || is_index(media_type)
    }

    /// Whether a media type is an image index or Docker manifest list.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, INDEX | DOCKER_INDEX)
    }
}

/// Annotation keys that Quench reads or writes.
pub mod annotation {
    /// Name of a reference in an OCI layout's `index.json` (OCI image-spec).
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// Full image name in an OCI layout, as containerd and skopeo write it.
    pub const IMAGE_NAME: &str = "io.containerd.image.name";
    /// Title of a layer of an artefact (OCI image-spec).
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// Version (OCI image-spec).
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// Package a revision belongs to.
    pub const PACKAGE: &str = "quench.package";
    /// Level a revision has reached, see [`crate::Level`].
    pub const LEVEL: &str = "quench.level";
    /// Digest of the revision this one was made from.
    pub const PREVIOUS: &str = "quench.previous";
    /// What an entry of a revision is: `chart`, `image`, `request`, `lock`.
    pub const ROLE: &str = "quench.role";
    /// Image reference as the chart renders it.
    pub const REFERENCE: &str = "quench.reference";
    /// Digest the reference had where it came from, before any level changed the image.
    pub const ORIGINAL_DIGEST: &str = "quench.original.digest";
    /// On the findings of a revision: version of the engine that made the revision.
    pub const WORK_ENGINE: &str = "quench.work.engine";
    /// On the findings of a revision: digest of the revision or submission that was worked on.
    pub const WORK_INPUT: &str = "quench.work.input";
    /// On the findings of a revision: digest of the policy in force.
    pub const WORK_POLICY: &str = "quench.work.policy";
    /// On the findings of a revision: advisory epoch its level was worked with.
    pub const WORK_EPOCH: &str = "quench.work.epoch";
    /// A signature, base64, on the descriptor of what it signs (cosign `SIGNATURE_SPEC.md`).
    pub const COSIGN_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
    /// Which level made an attachment.
    pub const ATTACHMENT_LEVEL: &str = "quench.attachment.level";
    /// Image digest an attachment speaks of, when it speaks of one image.
    pub const ATTACHMENT_IMAGE: &str = "quench.attachment.image";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_they_are_printed() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn descriptors_serialize_as_oci_writes_them() {
        let descriptor = Descriptor::of(media_type::EMPTY, b"{}")
            .annotated("b", "2")
            .annotated("a", "1");
        let text = serde_json::to_string(&descriptor).unwrap();
        assert_eq!(
            text,
            "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,\"annotations\":{\"a\":\"1\",\"b\":\"2\"}}"
        );
        assert_eq!(
            serde_json::from_str::<Descriptor>(&text).unwrap(),
            descriptor
        );
    }
}
