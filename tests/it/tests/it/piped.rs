//! Manifests from a pipe: `kubectl kustomize . | quench ingest -`.

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::oci::text;
use serde_json::Value;

use super::small_package::Place;

const MANIFESTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n";

#[test]
fn manifests_of_a_pipe_become_a_package() -> Result<()> {
    need!("helm");
    let place = Place::new(0)?;
    let ingest = ["ingest", "-", "--name", "piped", "--json"];
    let revision = |input: &str| -> Result<String> {
        let output = place.fed(&ingest, input.as_bytes())?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{error}");
        text(
            &serde_json::from_slice::<Value>(&output.stdout)?,
            "/0/revision",
        )
    };
    let first = revision(MANIFESTS)?;
    ensure!(
        revision(MANIFESTS)? == first,
        "the same text became another package"
    );
    ensure!(
        revision(&MANIFESTS.replace("a: b", "a: c"))? != first,
        "the text does not matter"
    );
    // All of it is in the chart.
    let chart = place.text("chart");
    place.say(&["chart", &first, "-o", &chart])?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place.path("chart/templates"))? {
        found.push(std::fs::read_to_string(entry?.path())?);
    }
    let found = found.concat();
    ensure!(
        found.contains("name: one") && found.contains("name: two"),
        "{found}"
    );

    for input in [b"".as_slice(), b"a: [", b"\xff\xfe\x00", b"just words"] {
        let output = place.fed(&ingest, input)?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let code = output.status.code().context("killed")?;
        ensure!((1..=3).contains(&code), "{input:?}: {code} {told}");
        ensure!(told.contains("cannot ingest -: "), "{input:?}: {told}");
    }
    Ok(())
}
