//! What `quench verify` shows of packages and files, and what it says it has not looked at.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use quench_it::oci::text;
use quench_it::registry::Registry;
use quench_it::tools::run;
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

/// Cosign 3 asks a registry for the referrers of a digest, or for the tag that stands for them, and picks bundles by type.
#[test]
fn what_is_pushed_carries_bundles_where_cosign_3_looks_for_them() -> Result<()> {
    need!("helm");
    let (registry, skopeo) = (need!("docker-registry"), need!("skopeo"));
    let place = Place::new(1)?;
    let key = place.text("release.key");
    place.json(&["sign", "settings", "--key", &key, "--recursive"])?;
    let registry = Registry::start(&registry)?;
    let host = format!("{}/team", registry.host());
    let pushed = place.json(&["push", "settings", "--registry", &host])?;
    let (revisions, revision) = (
        text(&pushed, "/pushed/revisions")?,
        text(&pushed, "/revision")?,
    );
    let raw = |reference: &str| -> Result<Value> {
        let raw = run(Command::new(&skopeo)
            .args(["inspect", "--raw", "--tls-verify=false"])
            .arg(format!("docker://{reference}")))?;
        Ok(serde_json::from_slice(&raw)?)
    };
    let listed = raw(&format!("{revisions}:{}", revision.replace(':', "-")))?;
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let all = listed.pointer("/manifests").and_then(Value::as_array);
    let bundle = all
        .context("no list")?
        .iter()
        .find(|entry| entry.pointer("/artifactType") == Some(&kind.into()))
        .with_context(|| format!("no bundle: {listed}"))?;
    ensure!(
        bundle.pointer("/annotations/dev.sigstore.bundle.predicateType")
            == Some(&"https://sigstore.dev/cosign/sign/v1".into()),
        "{bundle}"
    );
    let manifest = raw(&format!("{revisions}@{}", text(bundle, "/digest")?))?;
    ensure!(
        text(&manifest, "/subject/digest")? == revision,
        "{manifest}"
    );
    ensure!(
        text(&manifest, "/layers/0/mediaType")? == kind,
        "{manifest}"
    );
    Ok(())
}
