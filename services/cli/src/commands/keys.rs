//! `quench keys`.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_package::signing::{PublicKey, SigningKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{KeysGenerateArgs, KeysVerb};
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::session::Session;
use crate::style;

/// Makes or shows keys.
pub fn run(session: &Session, verb: &KeysVerb) -> Result<Exit> {
    match verb {
        KeysVerb::Generate(args) => generate(session, args),
        KeysVerb::Show { key } => show(session, key),
    }
}

fn generate(session: &Session, args: &KeysGenerateArgs) -> Result<Exit> {
    let (private_file, public_file) = (file(&args.output, "key"), file(&args.output, "pub"));
    for path in [&private_file, &public_file] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!(
                "{} exists; choose another name with -o, keys are never overwritten",
                path.display()
            )));
        }
    }
    let passphrase = new_passphrase(args)?;
    let usage = |e: quench_package::signing::KeyError| Failure::usage(e.to_string());
    let key = SigningKey::generate(args.key_type.into()).map_err(usage)?;
    let public = key.public().map_err(usage)?;
    let private_pem = key
        .to_pem(passphrase.as_ref().map(|text| text.as_bytes()))
        .map_err(usage)?;
    write_new(&private_file, private_pem.as_bytes(), 0o600)?;
    if let Err(error) = write_new(
        &public_file,
        public.to_pem().map_err(usage)?.as_bytes(),
        0o644,
    ) {
        // A private key without its public half would only look like a pair.
        let _ = std::fs::remove_file(&private_file);
        return Err(error);
    }
    if passphrase.is_none() && !session.quiet {
        let unsure = style::UNSURE;
        anstream::eprintln!(
            "{unsure}warning{unsure:#}: {} is not encrypted; whoever reads it can sign",
            private_file.display()
        );
    }
    if session.json {
        session.print_json(&json!({
            "privateKey": private_file,
            "publicKey": public_file,
            "type": public.algorithm().name(),
            "id": public.id(),
            "encrypted": passphrase.is_some(),
        }))?;
    } else {
        anstream::println!("private key  {}", private_file.display());
        anstream::println!("public key   {}", public_file.display());
        print_key(&public);
    }
    Ok(Exit::Done)
}

fn show(session: &Session, source: &str) -> Result<Exit> {
    let text = keys::text(source)?;
    let private = text.contains("PRIVATE KEY-----");
    let public = if private {
        keys::signing_key(source)?
            .public()
            .map_err(|e| Failure::usage(e.to_string()))?
    } else {
        keys::public_key(source)?
    };
    if session.json {
        session.print_json(&json!({
            "type": public.algorithm().name(),
            "id": public.id(),
            "private": private,
            "publicKey": public.to_pem().map_err(|e| Failure::usage(e.to_string()))?,
        }))?;
    } else {
        print_key(&public);
    }
    Ok(Exit::Done)
}

fn print_key(key: &PublicKey) {
    anstream::println!("type         {}", key.algorithm().name());
    anstream::println!("id           {}", key.id());
}

/// The passphrase for a new key; none when it shall have none.
fn new_passphrase(args: &KeysGenerateArgs) -> Result<Option<Zeroizing<String>>> {
    if args.unencrypted {
        return Ok(None);
    }
    let passphrase = match keys::passphrase_of_environment() {
        Some(passphrase) => passphrase,
        None if std::io::stdin().is_terminal() => {
            let first = keys::ask("passphrase for the private key (empty for none): ")?;
            if !first.is_empty() && keys::ask("once more: ")? != first {
                return Err(Failure::usage("the two passphrases differ"));
            }
            first
        }
        None => {
            return Err(Failure::usage(
                "give a passphrase in QUENCH_KEY_PASSWORD, or --unencrypted for a key without one",
            ));
        }
    };
    Ok((!passphrase.is_empty()).then_some(passphrase))
}

fn file(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Writes a file that must not exist yet; nothing is left of it when that fails.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_data());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written.with_context(failed)
}
