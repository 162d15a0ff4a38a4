//! SPDX 2.3 as JSON (ISO/IEC 5962 describes 2.2.1; <https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! The format wants a time of creation. It is the time the image says it was made, or 1970 where it says none: the time of the
//! day would give other bytes on every run, and the document says nothing that the image did not hold then.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{InstalledPackage, PurlError, SbomSubject, licence};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const UNKNOWN: &str = "NOASSERTION";

/// The SBOM of an image.
///
/// # Errors
/// When the image's name makes no package URL.
pub fn document(subject: &SbomSubject<'_>) -> Result<Value, PurlError> {
    let inventory = subject.inventory;
    let mut packages = vec![image(subject)?];
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    // What is in the image may be more than what was catalogued; the format has no word for that but this.
    if !inventory.is_complete() {
        relationships.push(relationship(IMAGE, "CONTAINS", UNKNOWN));
    }
    for (position, installed) in inventory.packages.iter().enumerate() {
        let id = format!(
            "SPDXRef-Package-{}-{}",
            position + 1,
            id_text(&installed.name)
        );
        relationships.push(relationship(IMAGE, "CONTAINS", &id));
        packages.push(package(installed, id));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": subject.reference.to_string(),
        "documentNamespace": format!("urn:uuid:{}", subject.uuid("spdx")),
        "creationInfo": {
            "created": inventory.created.as_deref().unwrap_or("1970-01-01T00:00:00Z"),
            "creators": [format!("Tool: quench-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let extracted = extracted(&inventory.packages);
    if let Some(document) = document.as_object_mut().filter(|_| !extracted.is_empty()) {
        document.insert("hasExtractedLicensingInfos".to_owned(), json!(extracted));
    }
    Ok(document)
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn image(subject: &SbomSubject<'_>) -> Result<Value, PurlError> {
    let inventory = subject.inventory;
    let mut comment = format!("platform {}", inventory.platform);
    for problem in &inventory.problems {
        comment.push_str("; incomplete: ");
        comment.push_str(&problem.reason);
    }
    Ok(json!({
        "SPDXID": IMAGE,
        "name": subject.reference.name(),
        "versionInfo": inventory.image.to_string(),
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": inventory.image.hex() }],
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "externalRefs": [purl(&subject.purl()?.to_string())],
        "comment": comment,
    }))
}

fn package(installed: &InstalledPackage, id: String) -> Value {
    let licence = &installed.licence;
    let mut package = json!({
        "SPDXID": id,
        "name": installed.name,
        "versionInfo": installed.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": licence.expression.as_deref().unwrap_or(UNKNOWN),
        "copyrightText": UNKNOWN,
        "externalRefs": [purl(&installed.purl)],
    });
    if let Some(object) = package.as_object_mut() {
        let mut add = |key: &str, text: String| {
            object.insert(key.to_owned(), Value::String(text));
        };
        if let Some(maintainer) = &installed.maintainer {
            add("supplier", supplier(maintainer));
        }
        if !installed.summary.is_empty() {
            add("summary", installed.summary.clone());
        }
        if let Some(source) = &installed.source {
            add(
                "sourceInfo",
                format!(
                    "built from source package {} {}",
                    source.name, source.version
                ),
            );
        }
        if licence.expression.is_none() && !licence.declared.is_empty() {
            add(
                "licenseComments",
                format!("declared as {:?}", licence.declared.join(", ")),
            );
        }
    }
    package
}

fn purl(text: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": text,
    })
}

/// `Name <address>` in SPDX's form `Person: Name (address)`; teams and people cannot be told apart, and an organisation is
/// the word that claims less.
fn supplier(maintainer: &str) -> String {
    match maintainer.split_once('<') {
        Some((name, rest)) => format!(
            "Organization: {} ({})",
            name.trim(),
            rest.trim_end().trim_end_matches('>')
        ),
        None => format!("Organization: {}", maintainer.trim()),
    }
}

/// Letters, digits, `.` and `-` are all an SPDX id may hold.
fn id_text(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => c,
            _ => '-',
        })
        .collect()
}

/// Licences that are not on the SPDX list, with where their text is.
fn extracted(packages: &[InstalledPackage]) -> Vec<Value> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let Some(expression) = &package.licence.expression else {
            continue;
        };
        for reference in licence::references(expression) {
            let source = package.licence.source.as_deref().unwrap_or("its package");
            found.entry(reference).or_default().push(source);
        }
    }
    found
        .into_iter()
        .map(|(reference, sources)| {
            let first = sources.first().copied().unwrap_or_default();
            json!({
                "licenseId": reference,
                "name": reference.trim_start_matches("LicenseRef-"),
                "extractedText": format!("the text is in {first} of the image"),
            })
        })
        .collect()
}
