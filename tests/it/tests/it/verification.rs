//! What `quench verify` shows of packages and files, and what it says it has not looked at.

use anyhow::{Context as _, Result, ensure};
use quench_it::{need, skip};
use serde_json::Value;

use super::small_package::Place;

#[test]
fn verifying_tells_whether_the_rendered_images_were_looked_at() -> Result<()> {
    need!("helm");
    let place = Place::new(1)?;
    let file = place.text("settings.quench.tar");
    place.say(&["export", "settings", "-o", &file])?;
    for subject in ["settings", &file] {
        let verified = place.json(&["verify", subject])?;
        ensure!(
            verified.pointer("/rendered/checked") == Some(&true.into())
                && verified.pointer("/rendered/images") == Some(&0.into()),
            "{verified}"
        );
        // Without helm nobody knows, and that is said.
        let mut command = place.quench(&["verify", subject])?;
        let empty = place.path("empty");
        let told = command
            .env("PATH", &empty)
            .env_remove("QUENCH_HELM")
            .output()?;
        let told = String::from_utf8(told.stdout)?;
        ensure!(
            told.contains("verified")
                && told.contains("not checked")
                && told.contains("helm was not found"),
            "{told}"
        );
    }
    Ok(())
}

#[test]
fn a_file_is_shown_to_install_without_a_network_and_stays_as_it_is() -> Result<()> {
    need!("helm");
    let place = Place::new(1)?;
    let (file, delta) = (
        place.text("settings.quench.tar"),
        place.text("delta.quench.tar"),
    );
    place.say(&["export", "settings", "-o", &file])?;
    let before = std::fs::read(&file)?;
    let output = place
        .quench(&["verify", &file, "--air-gap", "--json"])?
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && error.contains("without a network here") {
        skip!("{error}");
    }
    ensure!(output.status.success(), "{error}");
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    let rendered = shown.pointer("/airGap/rendered").and_then(Value::as_u64);
    ensure!(rendered.context("no proof")? > 0, "{shown}");
    ensure!(std::fs::read(&file)? == before, "the file was changed");

    let key = place.text("release.key");
    let error = place.refused(2, &["verify", &file, "--air-gap", "--sign-key", &key])?;
    ensure!(error.contains("import"), "{error}");
    // A delta has not all of the chart.
    place.say(&["export", "settings", "-o", &delta, "--since", &file])?;
    let verified = place.json(&["verify", &delta])?;
    ensure!(
        verified.pointer("/rendered/checked") == Some(&false.into()),
        "{verified}"
    );
    let error = place.refused(2, &["verify", &delta, "--air-gap"])?;
    ensure!(
        error.contains("delta") && error.contains("import"),
        "{error}"
    );
    let error = place.refused(1, &["verify", "absent.quench.tar", "--air-gap"])?;
    ensure!(error.contains("absent.quench.tar"), "{error}");
    Ok(())
}
