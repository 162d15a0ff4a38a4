//! `quench push`.

use anyhow::Result;
use quench_content::{RegistryAccess, RegistryClient};
use quench_package::{Destination, push};
use serde_json::json;

use crate::args::{PushArgs, RegistryArgs};
use crate::exit::Exit;
use crate::session::Session;
use crate::style;

/// Sends a package to a registry.
pub async fn run(session: &Session, args: &PushArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    let destination = destination(&args.registry)?;
    let pushed = push(&session.context(&store), &package, &destination).await?;
    if session.json {
        session.print_json(&json!({
            "package": package.name,
            "revision": package.revision.digest,
            "level": package.level,
            "pushed": pushed,
        }))?;
        return Ok(Exit::Done);
    }
    if session.quiet {
        return Ok(Exit::Done);
    }
    anstream::println!(
        "{} {} {}  {}",
        style::paint(style::GOOD, "pushed"),
        style::paint(style::BOLD, &package.name),
        package.version,
        package.level
    );
    anstream::println!("  chart      {} --version {}", pushed.chart, pushed.version);
    for image in &pushed.images {
        anstream::println!("  image      {}", image.pushed);
        if image.untagged {
            anstream::println!(
                "             {}",
                style::paint(
                    style::UNSURE,
                    "without its tag: another image of the package has it there; the chart goes by the digest"
                )
            );
        }
    }
    anstream::println!("  revisions  {}", pushed.revisions);
    anstream::println!(
        "  {} sent ({}), {} taken from other repositories, {} known",
        style::count(pushed.uploaded, "blob", "blobs"),
        style::bytes(pushed.uploaded_bytes),
        pushed.mounted,
        pushed.known
    );
    Ok(Exit::Done)
}

/// The place the options name.
///
/// # Errors
/// When they name none.
pub fn destination(args: &RegistryArgs) -> Result<Destination> {
    let mut access = RegistryAccess {
        ca_file: args.registry_ca.clone(),
        ..RegistryAccess::default()
    };
    let place = args.registry.trim_start_matches("oci://");
    if args.plain_http {
        let host = place.split('/').next().unwrap_or_default();
        access.insecure.push(host.to_owned());
    }
    Ok(Destination::new(RegistryClient::new(access)?, place)?)
}
