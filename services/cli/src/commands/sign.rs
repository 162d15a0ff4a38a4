//! `quench sign`.

use anyhow::Result;
use quench_package::signing::SignOptions;
use serde_json::json;

use crate::args::SignArgs;
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::session::Session;
use crate::style;

/// Signs a package in the store.
pub async fn run(session: &Session, args: &SignArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    let key = keys::signing_key(&args.key)?;
    let options = SignOptions {
        recursive: args.recursive,
        identity: args.identity.clone(),
    };
    let signed = keys::sign(&store, &package, &key, &options).await?;
    let public = key.public().map_err(|e| Failure::usage(e.to_string()))?;
    if session.json {
        session.print_json(&json!({
            "package": package.name,
            "revision": package.revision.digest,
            "key": public.id(),
            "signature": signed.signature.digest,
            "statement": signed.statement.digest,
            "manifests": signed.manifests,
        }))?;
    } else {
        anstream::println!(
            "{} {} {} {}",
            style::paint(style::GOOD, "signed"),
            package.name,
            package.version,
            package.revision.digest
        );
        anstream::println!("  key        {}", public.id());
        anstream::println!("  signature  {}", signed.signature.digest);
        anstream::println!("  statement  {}", signed.statement.digest);
        if args.recursive {
            anstream::println!(
                "  manifests  {}",
                style::count(signed.manifests, "signature", "signatures")
            );
        }
    }
    Ok(Exit::Done)
}
