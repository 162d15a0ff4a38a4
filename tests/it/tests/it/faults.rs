//! The whole program against a registry on whose way things go wrong.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use quench_it::fault_proxy::{Fault, FaultProxy, Seen};
use quench_it::need;
use quench_it::oci::text;
use quench_it::registry::Registry;
use quench_it::tools::{quench, run};
use serde_json::Value;
use tempfile::TempDir;

use super::killed;

/// A registry with an image of six layers, each of three megabytes.
struct Setting {
    folder: TempDir,
    registry: Registry,
}

impl Setting {
    fn new(registry: &Path, skopeo: &Path) -> Result<Self> {
        let registry = Registry::start(registry)?;
        let folder = TempDir::new()?;
        let layout = killed::layout(folder.path())?;
        run(Command::new(skopeo).args([
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            &format!("oci:{}:1", layout.display()),
            &format!("docker://{}/team/big:1", registry.host()),
        ]))?;
        Ok(Self { folder, registry })
    }

    fn proxy(&self, decide: impl Fn(&Seen) -> Fault + Send + Sync + 'static) -> Result<FaultProxy> {
        FaultProxy::start(&self.registry.host(), decide)
    }

    /// Ingests the image through a proxy, into a store of this name.
    fn ingest(&self, proxy: &FaultProxy, store: &str) -> Result<Output> {
        Ok(Command::new(quench()?)
            .args(["ingest", "--json", "--store"])
            .arg(self.folder.path().join(store))
            .arg(format!("{}/team/big:1", proxy.host()))
            .stdin(Stdio::null())
            .output()?)
    }

    /// Digests of all blobs of a store, and number of files left on their way in. The beginning of a blob may stay: the next
    /// run goes on with it.
    fn left(&self, store: &str) -> Result<(Vec<String>, usize)> {
        let store = self.folder.path().join(store);
        let mut blobs = Vec::new();
        for entry in std::fs::read_dir(store.join("blobs/sha256"))? {
            blobs.extend(entry?.file_name().into_string());
        }
        blobs.sort();
        let mut staged = 0;
        for entry in std::fs::read_dir(store.join("staging"))? {
            let path = entry?.path();
            staged += usize::from(path.extension().is_none_or(|ending| ending != "partial"));
        }
        Ok((blobs, staged))
    }
}

/// That it succeeded, with the image whole in the store.
fn done(setting: &Setting, store: &str, output: &Output) -> Result<()> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let revision = text(&told, "/0/revision")?;
    run(Command::new(quench()?)
        .args(["verify", &revision, "--store"])
        .arg(setting.folder.path().join(store)))?;
    let (blobs, staged) = setting.left(store)?;
    ensure!(blobs.len() > 8 && staged == 0, "{blobs:?} {staged}");
    Ok(())
}

fn is_blob(seen: &Seen) -> bool {
    seen.line.starts_with("GET ") && seen.line.contains("/blobs/")
}

#[test]
fn a_busy_or_broken_registry_is_asked_again_until_it_answers() -> Result<()> {
    need!("helm");
    let setting = Setting::new(&need!("docker-registry"), &need!("skopeo"))?;
    // Each request is turned away once before it is answered.
    let busy = |answer| {
        move |seen: &Seen| {
            if seen.before == 0 {
                answer
            } else {
                Fault::None
            }
        }
    };
    for (store, answer) in [
        (
            "busy",
            Fault::Answer("429 Too Many Requests", "Retry-After: 1\r\n"),
        ),
        ("broken", Fault::Answer("503 Service Unavailable", "")),
        ("gone", Fault::CutAfter(0)),
    ] {
        let proxy = setting.proxy(busy(answer))?;
        let start = Instant::now();
        done(&setting, store, &setting.ingest(&proxy, store)?)?;
        let seen = proxy.seen();
        ensure!(seen.iter().filter(|s| is_blob(s)).count() == 14, "{seen:?}");
        if store == "busy" {
            // At least the way to the manifest, one after another, had to wait.
            ensure!(start.elapsed().as_secs() >= 2, "{:?}", start.elapsed());
        }
    }
    Ok(())
}

#[test]
fn a_layer_that_breaks_off_is_taken_up_where_it_broke() -> Result<()> {
    need!("helm");
    let setting = Setting::new(&need!("docker-registry"), &need!("skopeo"))?;
    let proxy = setting.proxy(|seen| match is_blob(seen) && seen.before == 0 {
        true => Fault::CutAfter(1 << 20),
        false => Fault::None,
    })?;
    done(&setting, "cut", &setting.ingest(&proxy, "cut")?)?;
    let seen = proxy.seen();
    let again: Vec<&Seen> = seen
        .iter()
        .filter(|s| is_blob(s) && s.before == 1)
        .collect();
    ensure!(again.len() == 6, "{again:?}");
    for request in again {
        let range = request.range.as_deref().context("it began anew")?;
        ensure!(
            range.starts_with("bytes=1") && range.ends_with('-'),
            "{range}"
        );
    }
    Ok(())
}

#[test]
fn a_registry_that_goes_silent_is_asked_again() -> Result<()> {
    need!("helm");
    let setting = Setting::new(&need!("docker-registry"), &need!("skopeo"))?;
    // One of them is enough: each is waited for a minute.
    let is_told = AtomicBool::new(false);
    let proxy = setting.proxy(move |seen| {
        if is_blob(seen) && !is_told.swap(true, Ordering::Relaxed) {
            Fault::StallAfter(1 << 20)
        } else {
            Fault::None
        }
    })?;
    done(&setting, "silent", &setting.ingest(&proxy, "silent")?)
}

#[test]
fn what_stays_wrong_is_named_and_leaves_nothing_half_done() -> Result<()> {
    need!("helm");
    let setting = Setting::new(&need!("docker-registry"), &need!("skopeo"))?;
    for (store, fault, reason) in [
        (
            "down",
            Fault::Answer("500 Internal Server Error", ""),
            "500",
        ),
        ("forbidden", Fault::Answer("403 Forbidden", ""), "403"),
        (
            "absent",
            Fault::Answer("404 Not Found", ""),
            "lacks sha256:",
        ),
        ("changed", Fault::LastByteChanged, "sha256:"),
    ] {
        let proxy = setting.proxy(move |seen| if is_blob(seen) { fault } else { Fault::None })?;
        let output = setting.ingest(&proxy, store)?;
        let error = String::from_utf8_lossy(&output.stderr);
        let told = format!("{error}{}", String::from_utf8_lossy(&output.stdout));
        ensure!(
            matches!(output.status.code(), Some(1..=3)),
            "{store}: {:?} {told}",
            output.status
        );
        ensure!(told.contains(reason), "{store}: {told}");
        ensure!(told.contains("team/big"), "{store}: {told}");
        // Packages that nobody can use are not there, nor are bytes that are not what they should be.
        let list = run(Command::new(quench()?)
            .args(["ls", "--json", "--store"])
            .arg(setting.folder.path().join(store)))?;
        ensure!(
            serde_json::from_slice::<Value>(&list)? == Value::Array(Vec::new()),
            "{store}"
        );
        let (blobs, staged) = setting.left(store)?;
        ensure!(staged == 0, "{store}: {staged} files on their way in");
        for blob in blobs {
            let path = setting
                .folder
                .path()
                .join(store)
                .join("blobs/sha256")
                .join(&blob);
            let actual = quench_model::Digest::of(std::fs::read(path)?);
            ensure!(actual.hex() == blob, "{store}: {blob} is {actual}");
        }
    }
    Ok(())
}
