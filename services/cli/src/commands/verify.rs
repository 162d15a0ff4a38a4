//! `quench verify`.

use std::path::Path;

use anyhow::Result;
use quench_package::{Verified, VerifyError, verify_file, verify_package};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::style;

/// Verifies a package in the store, or an exported file.
pub async fn run(session: &Session, subject: &str) -> Result<Exit> {
    let path = Path::new(subject);
    let result = if path.is_file() || subject.ends_with(".tar") {
        verify_file(path)
    } else {
        let store = session.open_store()?;
        let package = session.find(&store, subject).await?;
        verify_package(&store, &package).await
    };
    let verified = result.map_err(refusal)?;
    print(session, subject, &verified)?;
    Ok(Exit::Done)
}

/// What is wrong with a package ends a command as refused; a store that fails ends it as that.
pub fn refusal(error: VerifyError) -> anyhow::Error {
    match error {
        error @ VerifyError::Broken { .. } => Failure::refused(error.to_string()),
        VerifyError::Package(error) => error.into(),
    }
}

fn print(session: &Session, subject: &str, verified: &Verified) -> Result<()> {
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
            "signed": false,
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
    anstream::println!(
        "  signature    {}",
        style::paint(style::UNSURE, "none: who made it is not shown")
    );
    Ok(())
}
