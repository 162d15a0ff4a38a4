//! `quench verify`.

use std::path::Path;

use anyhow::Result;
use quench_ingestor_engine::air_gap::AirGapProof;
use quench_package::signing::{PublicKey, Signatures, verify_signatures};
use quench_package::{Verified, VerifyError, verify_file, verify_package};
use serde_json::json;

use crate::air_gap;
use crate::args::VerifyArgs;
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::session::Session;
use crate::style;

/// Verifies a package in the store, or an exported file.
pub async fn run(session: &Session, args: &VerifyArgs) -> Result<Exit> {
    let trusted = keys::trusted(&args.trust)?;
    if args.require_signature && trusted.is_empty() {
        return Err(Failure::usage(
            "--require-signature needs to know whom to trust; give --key, or --policy with trust.keys",
        ));
    }
    let subject = args.subject.as_str();
    let path = Path::new(subject);
    let is_file = path.is_file() || subject.ends_with(".tar");
    if is_file && args.air_gap {
        return Err(Failure::usage(format!(
            "--air-gap looks at a package in the store; import {subject} first"
        )));
    }
    let sign_key = args
        .sign_key
        .as_deref()
        .map(keys::signing_key)
        .transpose()?;
    let mut stored = None;
    let result = if is_file {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || verify_file(&path)).await?
    } else {
        let store = session.open_store()?;
        let package = session.find(&store, subject).await?;
        let result = verify_package(&store, &package).await;
        stored = Some((store, package));
        result
    };
    let verified = result.map_err(refusal)?;
    let signatures = verify_signatures(&verified, &trusted).map_err(refusal)?;
    let air_gap = match &stored {
        Some((store, package)) if args.air_gap => {
            Some(air_gap::show(session, store, package, sign_key.as_ref()).await?)
        }
        _ => None,
    };
    print(
        session,
        subject,
        &verified,
        &signatures,
        &trusted,
        air_gap.as_ref(),
    )?;
    Ok(Exit::Done)
}

/// What is wrong with a package ends a command as refused; a store that fails ends it as that.
pub fn refusal(error: VerifyError) -> anyhow::Error {
    match error {
        error @ VerifyError::Broken { .. } => Failure::refused(error.to_string()),
        VerifyError::Package(error) => error.into(),
    }
}

fn print(
    session: &Session,
    subject: &str,
    verified: &Verified,
    signatures: &Signatures,
    trusted: &[PublicKey],
    air_gap: Option<&AirGapProof>,
) -> Result<()> {
    if session.json {
        return session.print_json(&json!({
            "subject": subject,
            "whole": true,
            "revision": verified.revision.digest,
            "revisions": verified.revisions,
            "images": verified.images,
            "attachments": verified.attachments,
            "blobs": verified.blobs,
            "bytes": verified.bytes,
            "since": verified.delta.as_ref().map(|delta| &delta.base),
            "signed": !signatures.keys.is_empty(),
            "signatures": {
                "found": signatures.found,
                "checked": !trusted.is_empty(),
                "keys": signatures.keys,
                "images": signatures.signed_parts,
            },
            "statements": signatures.statements.iter().map(|(about, attested)| json!({
                "about": about,
                "predicateType": attested.statement.predicate_type,
                "keys": attested.keys,
            })).collect::<Vec<_>>(),
            "airGap": air_gap,
        }));
    }
    anstream::println!(
        "{} {subject} is whole: every digest fits and nothing is missing",
        style::paint(style::GOOD, "verified")
    );
    if let Some(delta) = &verified.delta {
        anstream::println!(
            "  {}",
            style::paint(
                style::UNSURE,
                format!(
                    "a delta: {} of {} {} are not in it and were not looked at",
                    style::count(delta.presumed.len(), "blob", "blobs"),
                    delta.package,
                    delta.version
                )
            )
        );
        anstream::println!("  since        {}", delta.base);
    }
    anstream::println!("  revision     {}", verified.revision.digest);
    anstream::println!("  revisions    {}", verified.revisions);
    anstream::println!("  images       {}", verified.images);
    anstream::println!("  attachments  {}", verified.attachments);
    anstream::println!(
        "  blobs        {} ({})",
        verified.blobs,
        style::bytes(verified.bytes)
    );
    let unsure = |text: String| style::paint(style::UNSURE, text);
    if signatures.keys.is_empty() {
        let text = match signatures.found {
            0 => "none: who made it is not shown".to_owned(),
            found => format!(
                "{}, not checked: say whom to trust with --key",
                style::count(found, "signature", "signatures")
            ),
        };
        anstream::println!("  signature    {}", unsure(text));
    }
    for key in &signatures.keys {
        anstream::println!(
            "  signature    {} by {key}",
            style::paint(style::GOOD, "valid")
        );
    }
    if !signatures.signed_parts.is_empty() {
        anstream::println!(
            "  signed too   {}",
            style::count(
                signatures.signed_parts.len(),
                "chart or image manifest",
                "chart and image manifests"
            )
        );
    }
    if let Some(proof) = air_gap {
        air_gap::print(proof);
    }
    Ok(())
}
