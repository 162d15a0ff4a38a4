//! The contract only grows: what the baseline says still holds, and what was encoded with it still decodes.
//!
//! After a wanted addition, `QUENCH_BLESS=1 cargo test -p quench-proto` writes the baseline and the golden messages anew.
//! It refuses while something that existed is gone or changed: that needs a `quench.v2`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message;
use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};
use quench_proto::v1;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn bless() -> bool {
    std::env::var_os("QUENCH_BLESS").is_some()
}

/// Everything a peer may rely on, as name → shape.
fn shapes(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut shapes = BTreeMap::new();
    for file in set.file.iter().filter(|f| f.package() == "quench.v1") {
        let package = file.package();
        for message in &file.message_type {
            message_shapes(package, message, &mut shapes);
        }
        for enumeration in &file.enum_type {
            enum_shapes(package, enumeration, &mut shapes);
        }
        for service in &file.service {
            for method in &service.method {
                shapes.insert(
                    format!("{package}.{}/{}", service.name(), method.name()),
                    format!(
                        "{}{} -> {}{}",
                        if method.client_streaming() {
                            "stream "
                        } else {
                            ""
                        },
                        method.input_type(),
                        if method.server_streaming() {
                            "stream "
                        } else {
                            ""
                        },
                        method.output_type()
                    ),
                );
            }
        }
    }
    shapes
}

fn message_shapes(scope: &str, message: &DescriptorProto, shapes: &mut BTreeMap<String, String>) {
    let name = format!("{scope}.{}", message.name());
    shapes.insert(name.clone(), "message".to_owned());
    for field in &message.field {
        let oneof = field
            .oneof_index
            .and_then(|index| message.oneof_decl.get(usize::try_from(index).unwrap()))
            .map_or("", |oneof| oneof.name());
        let repeated = if field.label() == Label::Repeated {
            "repeated "
        } else {
            ""
        };
        shapes.insert(
            format!("{name} field {}", field.number()),
            format!(
                "{repeated}{:?} {} {} {oneof}",
                field.r#type(),
                field.type_name(),
                field.name()
            ),
        );
    }
    for nested in &message.nested_type {
        message_shapes(&name, nested, shapes);
    }
    for enumeration in &message.enum_type {
        enum_shapes(&name, enumeration, shapes);
    }
}

fn enum_shapes(
    scope: &str,
    enumeration: &EnumDescriptorProto,
    shapes: &mut BTreeMap<String, String>,
) {
    let name = format!("{scope}.{}", enumeration.name());
    for value in &enumeration.value {
        shapes.insert(
            format!("{name} value {}", value.number()),
            value.name().to_owned(),
        );
    }
}

#[test]
fn contract_only_grows() {
    let path = folder().join("baseline.binpb");
    let current = FileDescriptorSet::decode(quench_proto::DESCRIPTOR_SET).unwrap();
    let now = shapes(&current);
    assert!(now.len() > 100, "the descriptor set holds the contract");
    if let Ok(bytes) = std::fs::read(&path) {
        let baseline = shapes(&FileDescriptorSet::decode(bytes.as_slice()).unwrap());
        let broken: Vec<_> = baseline
            .iter()
            .filter(|(name, shape)| now.get(*name) != Some(shape))
            .map(|(name, shape)| format!("{name}: was {shape:?}, is {:?}", now.get(name)))
            .collect();
        assert!(
            broken.is_empty(),
            "peers rely on these; add instead, or start quench.v2:\n{}",
            broken.join("\n")
        );
        if !bless() {
            assert_eq!(
                now.keys()
                    .filter(|name| !baseline.contains_key(*name))
                    .collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "the contract has grown; record that with QUENCH_BLESS=1"
            );
        }
    } else {
        assert!(bless(), "{} is missing", path.display());
    }
    if bless() {
        std::fs::write(path, quench_proto::DESCRIPTOR_SET).unwrap();
    }
}

#[test]
fn a_changed_field_is_noticed() {
    let current = FileDescriptorSet::decode(quench_proto::DESCRIPTOR_SET).unwrap();
    let mut changed = current.clone();
    let message = changed
        .file
        .iter_mut()
        .flat_map(|file| &mut file.message_type)
        .find(|message| message.name() == "PackageEvent")
        .unwrap();
    message.field[0].number = Some(99);
    let (before, after) = (shapes(&current), shapes(&changed));
    assert!(
        before
            .iter()
            .any(|(name, shape)| after.get(name) != Some(shape))
    );
}

fn golden<M: Message + Default + PartialEq + std::fmt::Debug>(name: &str, message: &M) {
    let path = folder().join("golden").join(name);
    if bless() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, message.encode_to_vec()).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(
        &M::decode(bytes.as_slice()).unwrap(),
        message,
        "{} was encoded by an earlier version and means something else now",
        path.display()
    );
}

fn digest(last: char) -> String {
    format!("sha256:{}{last}", "0".repeat(63))
}

#[test]
fn golden_messages_still_mean_the_same() {
    let run = v1::RunContext {
        tracking_id: "3f9a".into(),
        tenant: "default".into(),
        submission_digest: digest('1'),
        attempt: 7,
    };
    golden("run-context.binpb", &run);
    golden(
        "package-event.binpb",
        &v1::PackageEvent {
            package: "nginx".into(),
            version: "18.2.4".into(),
            level: v1::Level::Secured.into(),
            revision_digest: digest('2'),
            input_digest: digest('3'),
            idempotency_key: digest('4'),
            rejection: Some(v1::Rejection {
                code: v1::RejectionCode::Gate.into(),
                reason: "gate refuses 1 critical vulnerability".into(),
                event_id: "ab".into(),
            }),
            run: run.encode_to_vec().into(),
            revision_size: 1200,
            input_size: 1100,
        },
    );
    golden(
        "finding-event.binpb",
        &v1::FindingEvent {
            finding_id: "f1".into(),
            kind: v1::FindingKind::Vulnerability.into(),
            canonical_id: "CVE-2023-44487".into(),
            aliases: vec!["GHSA-qppj-fm5r-hxr3".into()],
            previous_state: v1::FindingState::Opened.into(),
            state: v1::FindingState::Resolved.into(),
            severity: v1::Severity::High.into(),
            previous_severity: v1::Severity::Medium.into(),
            cause: Some(v1::Cause {
                kind: "patched".into(),
                detail: "1.22.1-9+deb12u1".into(),
                epoch: digest('5'),
            }),
            fixed_version: "1.22.1-9+deb12u1".into(),
            title: "HTTP/2 rapid reset".into(),
            message: "update".into(),
            level: v1::Level::Secured.into(),
            image: "docker.io/library/nginx".into(),
            purl: "pkg:deb/debian/nginx@1.22.1-9".into(),
            location: "usr/sbin/nginx".into(),
            affected: vec![v1::AffectedPackage {
                package: "nginx".into(),
                version: "18.2.4".into(),
                revision_digest: digest('2'),
            }],
            evidence: vec![v1::Evidence {
                source: "var/lib/dpkg/status".into(),
                fact: "nginx 1.22.1-9".into(),
            }],
            references: vec!["https://security-tracker.debian.org/tracker/CVE-2023-44487".into()],
            suppression_reason: "accepted".into(),
        },
    );
    golden(
        "level-status.binpb",
        &v1::LevelStatus {
            package: "nginx".into(),
            version: "18.2.4".into(),
            level: v1::Level::Minimized.into(),
            state: v1::LevelState::Done.into(),
            run: run.encode_to_vec().into(),
            input_digest: digest('3'),
            revision_digest: digest('2'),
            reason: "why".into(),
            delivery: 2,
            findings: [("high".to_owned(), 3)].into(),
            event_sequence: 41,
            event_id: "ab".into(),
            updated: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
            duration_ms: 1500,
        },
    );
}
