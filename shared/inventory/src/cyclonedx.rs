//! CycloneDX 1.6 as JSON (ECMA-424).
//!
//! There is no timestamp: it is optional, and the same image shall give the same bytes.

use serde_json::{Map, Value, json};

use crate::{InstalledPackage, PurlError, SbomSubject};

/// The SBOM of an image.
///
/// # Errors
/// When the image's name makes no package URL.
pub fn document(subject: &SbomSubject<'_>) -> Result<Value, PurlError> {
    let inventory = subject.inventory;
    let image = subject.purl()?.to_string();
    let mut components = Vec::with_capacity(inventory.packages.len() + 1);
    if let Some(release) = &inventory.distribution {
        let mut component = json!({
            "type": "operating-system",
            "bom-ref": "operating-system",
            "name": release.id,
        });
        put(&mut component, "version", &release.version_id);
        put(&mut component, "description", &release.pretty_name);
        components.push(component);
    }
    components.extend(inventory.packages.iter().map(component));
    let mut contained: Vec<&str> = inventory
        .packages
        .iter()
        .map(|package| package.purl.as_str())
        .collect();
    if inventory.distribution.is_some() {
        contained.insert(0, "operating-system");
    }
    let aggregate = if inventory.is_complete() {
        "complete"
    } else {
        "incomplete"
    };
    let problems: Vec<Value> = inventory
        .problems
        .iter()
        .map(|problem| {
            json!({
                "name": format!("quench:incomplete:{}", problem.kind.name()),
                "value": problem.reason,
            })
        })
        .collect();
    let mut metadata = json!({
        "tools": {
            "components": [{
                "type": "application",
                "name": "quench",
                "version": env!("CARGO_PKG_VERSION"),
            }],
        },
        "component": {
            "type": "container",
            "bom-ref": image,
            "name": subject.reference.name(),
            "version": inventory.image.to_string(),
            "hashes": [{ "alg": "SHA-256", "content": inventory.image.hex() }],
            "purl": image,
            "properties": [{ "name": "quench:platform", "value": inventory.platform.to_string() }],
        },
    });
    if let Some(metadata) = metadata.as_object_mut().filter(|_| !problems.is_empty()) {
        metadata.insert("properties".to_owned(), Value::Array(problems));
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", subject.uuid("cyclonedx")),
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": [{ "ref": image, "dependsOn": contained }],
        "compositions": [{ "aggregate": aggregate, "assemblies": [image] }],
    }))
}

fn component(package: &InstalledPackage) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
    });
    put(&mut component, "description", &package.summary);
    if let Some(object) = component.as_object_mut() {
        if let Some(maintainer) = &package.maintainer {
            object.insert("supplier".to_owned(), json!({ "name": maintainer }));
        }
        if let Some(licences) = licences(package) {
            object.insert("licenses".to_owned(), licences);
        }
        object.insert("purl".to_owned(), json!(package.purl));
        if let Some(homepage) = package.homepage.as_deref().filter(|url| is_url(url)) {
            object.insert(
                "externalReferences".to_owned(),
                json!([{ "type": "website", "url": homepage }]),
            );
        }
        object.insert("properties".to_owned(), properties(package));
    }
    component
}

/// An expression where there is one, else the licences by the names they are declared with.
fn licences(package: &InstalledPackage) -> Option<Value> {
    let licence = &package.licence;
    if let Some(expression) = &licence.expression {
        return Some(json!([{ "expression": expression, "acknowledgement": "declared" }]));
    }
    let named: Vec<Value> = licence
        .declared
        .iter()
        .map(|name| json!({ "license": { "name": name, "acknowledgement": "declared" } }))
        .collect();
    (!named.is_empty()).then(|| Value::Array(named))
}

fn properties(package: &InstalledPackage) -> Value {
    let mut properties = vec![
        ("quench:architecture", package.architecture.clone()),
        ("quench:database", package.database.clone()),
        ("quench:files", package.files.len().to_string()),
    ];
    if let Some(source) = &package.source {
        properties.push(("quench:source:name", source.name.clone()));
        properties.push(("quench:source:version", source.version.clone()));
    }
    if let Some(source) = &package.licence.source {
        properties.push(("quench:licence:source", source.clone()));
    }
    let mut values: Vec<Value> = properties
        .into_iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    values.sort_by_key(|property| property.get("name").map(Value::to_string));
    Value::Array(values)
}

/// Home pages come from package metadata: anything else than a plain web address is left out.
fn is_url(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && text.len() > 8
        && text.bytes().all(|b| {
            b.is_ascii_graphic()
                && !matches!(
                    b,
                    b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' | b'[' | b']'
                )
        })
        && well_escaped(text)
}

/// Whether every `%` begins an escape.
fn well_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        digits.len() == 2 && digits.all(|b| b.is_ascii_hexdigit())
    })
}

fn put(component: &mut Value, key: &str, text: &str) {
    if let Some(object) = component.as_object_mut().filter(|_| !text.is_empty()) {
        let object: &mut Map<String, Value> = object;
        object.insert(key.to_owned(), Value::String(text.to_owned()));
    }
}
