//! Passphrases, asked for at a terminal.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::terminal::Terminal;
use quench_it::tools::quench;

use super::small_package::Place;

const PASSPHRASE: &str = "correct horse";

fn at_a_terminal(script: &Path, store: &Path, words: &[&str]) -> Result<Terminal> {
    let program = quench()?;
    let mut all = vec![program.to_str().context("no text")?];
    all.extend(words);
    Terminal::start(script, &all, |command| {
        command
            .env("QUENCH_STORE", store)
            .env_remove("QUENCH_KEY_PASSWORD")
            .env_remove("COSIGN_PASSWORD");
    })
}

#[test]
fn a_passphrase_is_asked_for_twice_shown_never_and_asked_for_again_to_sign() -> Result<()> {
    need!("helm");
    let script = need!("script");
    let place = Place::new(1)?;
    let start = |words: &[&str]| at_a_terminal(&script, &place.path("store"), words);
    let (own, private, public) = (
        place.text("own"),
        place.text("own.key"),
        place.text("own.pub"),
    );

    let mut making = start(&["keys", "generate", "-o", &own])?;
    making.answer("passphrase for the private key", PASSPHRASE)?;
    making.answer("once more", "another one")?;
    let (code, shown) = making.end()?;
    ensure!(
        code == Some(2) && shown.contains("differ"),
        "{code:?} {shown}"
    );
    ensure!(!Path::new(&private).exists(), "a key was made all the same");

    let mut making = start(&["keys", "generate", "-o", &own])?;
    making.answer("passphrase for the private key", PASSPHRASE)?;
    making.answer("once more", PASSPHRASE)?;
    let (code, shown) = making.end()?;
    ensure!(
        code == Some(0) && !shown.contains(PASSPHRASE),
        "{code:?} {shown}"
    );
    let pem = std::fs::read_to_string(&private)?;
    ensure!(pem.contains("ENCRYPTED"), "{pem}");

    let sign = ["sign", "settings", "--key", &private];
    let mut signing = start(&sign)?;
    signing.answer("passphrase of", "a wrong one")?;
    let (code, shown) = signing.end()?;
    ensure!(
        code == Some(2) && shown.contains("own.key"),
        "{code:?} {shown}"
    );
    let error = place.refused(1, &["verify", "settings", "--key", &public])?;
    ensure!(error.contains("not signed"), "{error}");

    let mut signing = start(&sign)?;
    signing.answer("passphrase of", PASSPHRASE)?;
    let (code, shown) = signing.end()?;
    ensure!(
        code == Some(0) && !shown.contains(PASSPHRASE),
        "{code:?} {shown}"
    );
    place.json(&[
        "verify",
        "settings",
        "--key",
        &public,
        "--require-signature",
    ])?;
    // Where nobody can be asked, the variable is named.
    let error = place.refused(2, &sign)?;
    ensure!(error.contains("QUENCH_KEY_PASSWORD"), "{error}");
    Ok(())
}

#[test]
fn no_passphrase_at_a_terminal_makes_a_plain_key_with_a_warning() -> Result<()> {
    let script = need!("script");
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("own").display().to_string();
    let mut making = at_a_terminal(&script, folder.path(), &["keys", "generate", "-o", &own])?;
    making.answer("passphrase for the private key", "")?;
    let (code, shown) = making.end()?;
    ensure!(
        code == Some(0) && shown.contains("not encrypted"),
        "{code:?} {shown}"
    );
    Ok(())
}
