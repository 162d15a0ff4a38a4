//! `quench` killed at work (SIGKILL): the next run goes on, ends in the same digest, and moves nothing twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use quench_it::need;
use quench_it::registry::Registry;
use quench_it::slow_proxy::SlowProxy;
use quench_it::tools::{quench, run};
use quench_model::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

const LAYERS: u64 = 6;
const LAYER: usize = 3 << 20;
/// Bytes a second on each connection: one layer takes a third of a second.
const RATE: usize = 9 << 20;

/// A chart-less image in a registry, and a slow way to it.
struct Setting {
    folder: TempDir,
    registry: Registry,
    proxy: SlowProxy,
}

impl Setting {
    fn new(registry: &Path, skopeo: &Path) -> Result<Self> {
        let registry = Registry::start(registry)?;
        let proxy = SlowProxy::start(&registry.host(), RATE)?;
        let folder = TempDir::new()?;
        let layout = layout(folder.path())?;
        run(Command::new(skopeo).args([
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            &format!("oci:{}:1", layout.display()),
            &format!("docker://{}/team/big:1", registry.host()),
        ]))?;
        Ok(Self {
            folder,
            registry,
            proxy,
        })
    }

    fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ingest(&self, store: &Path) -> Result<Command> {
        let mut command = Command::new(quench()?);
        command
            .args(["harden", "--until", "integrated", "--json", "--store"])
            .arg(store)
            .arg(format!("{}/team/big:1", self.proxy.host()));
        Ok(command)
    }
}

/// An OCI layout with an image of layers that do not compress, made here: no tool makes one as fast.
pub fn layout(folder: &Path) -> Result<PathBuf> {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let put = |media_type: &str, bytes: &[u8]| -> Result<Value> {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    };
    let mut layers = Vec::new();
    let mut digests = Vec::new();
    for number in 0..LAYERS {
        let layer = tar_of_noise(number);
        digests.push(Digest::of(&layer).to_string());
        layers.push(put("application/vnd.oci.image.layer.v1.tar", &layer)?);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": digests},
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    )?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let mut manifest = put(media_type, manifest.to_string().as_bytes())?;
    if let Some(fields) = manifest.as_object_mut() {
        let name = json!({"org.opencontainers.image.ref.name": "1"});
        fields.insert("annotations".to_owned(), name);
    }
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string())?;
    Ok(layout)
}

/// A tar file that holds one file of bytes as a xorshift generator makes them.
fn tar_of_noise(seed: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(LAYER as u64);
    header.set_mode(0o644);
    // A short name always fits.
    header.set_path(format!("noise-{seed}")).ok();
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while tar.len() < 512 + LAYER {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        tar.extend_from_slice(&state.to_le_bytes());
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// Runs a command and kills it as soon as `when` holds; false when it ended before.
fn kill_when(mut command: Command, when: impl Fn() -> bool) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        if when() {
            child.kill()?;
            child.wait()?;
            return Ok(true);
        }
        if Instant::now() > deadline {
            child.kill()?;
            bail!("{command:?} neither ended nor came as far as it should");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sizes of the files of a folder.
fn files(folder: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let size = entry.metadata().ok()?.len();
            Some((entry.file_name().to_string_lossy().into_owned(), size))
        })
        .collect()
}

fn blobs(store: &Path) -> BTreeMap<String, u64> {
    files(&store.join("blobs/sha256"))
}

/// Bytes that have come into a store so far.
fn arrived(store: &Path) -> u64 {
    let staging = files(&store.join("staging"));
    blobs(store).values().chain(staging.values()).sum()
}

/// Every blob of a store is what its name says, and nothing else lies about.
fn check_whole(store: &Path) -> Result<()> {
    for name in blobs(store).keys() {
        let bytes = std::fs::read(store.join("blobs/sha256").join(name))?;
        ensure!(Digest::of(&bytes).hex() == *name, "{name} is not whole");
    }
    let staging = files(&store.join("staging"));
    ensure!(staging.is_empty(), "left in staging: {staging:?}");
    Ok(())
}

/// Runs to the end; gives the digest of the package's revision.
fn revision(command: &mut Command) -> Result<String> {
    let output: Value = serde_json::from_slice(&run(command)?)?;
    let revision = output.get("revision").and_then(Value::as_str);
    let revision = revision.context("no revision is told")?;
    Ok(revision.to_owned())
}

/// Requests a registry has answered: of one method, for blobs, by digest, with their status and bytes.
fn requests(log: &str, method: &str) -> Vec<(String, u16, u64)> {
    log.lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(&format!("\"{method} /v2/team/big/blobs/"))?;
            let (path, rest) = rest.split_once(" HTTP/1.1\" ")?;
            let (_, hex) = path.split_once("sha256")?;
            let hex: String = hex.trim_start_matches([':', '%', '3', 'A']).to_owned();
            let hex = hex.chars().take(64).collect();
            let mut words = rest.split_whitespace();
            Some((
                hex,
                words.next()?.parse().ok()?,
                words.next()?.parse().ok()?,
            ))
        })
        .collect()
}

#[test]
fn ingest_goes_on_where_it_was_killed() -> Result<()> {
    let registry = need!("docker-registry");
    let skopeo = need!("skopeo");
    need!("helm");
    let setting = Setting::new(&registry, &skopeo)?;
    let undisturbed = setting.store("undisturbed");
    let expected = revision(&mut setting.ingest(&undisturbed)?)?;
    let total = LAYERS * LAYER as u64;
    let served = || requests(&setting.registry.log(), "GET").len();
    for percent in [1, 25, 60, 95] {
        let store = setting.store(&format!("killed-at-{percent}"));
        let killed = kill_when(setting.ingest(&store)?, || {
            arrived(&store) >= total * percent / 100
        })?;
        ensure!(killed, "ingest ended before it was killed at {percent} %");
        let there = blobs(&store);
        let begun: BTreeMap<String, u64> = files(&store.join("staging"))
            .into_iter()
            .filter_map(|(name, size)| Some((name.strip_suffix(".partial")?.to_owned(), size)))
            .filter(|(_, size)| *size > 0)
            .collect();
        ensure!(
            !begun.is_empty() || !there.is_empty(),
            "killed before anything was there"
        );
        // The registry tells of a request once it notices that nobody reads on.
        std::thread::sleep(Duration::from_millis(200));
        let first = served();
        ensure!(
            revision(&mut setting.ingest(&store)?)? == expected,
            "another digest"
        );
        check_whole(&store)?;
        ensure!(blobs(&store) == blobs(&undisturbed), "another store");

        // Whatever had come by then does not come again: neither blobs nor beginnings of blobs.
        let sizes = blobs(&store);
        let all = requests(&setting.registry.log(), "GET");
        for (digest, status, bytes) in all.iter().skip(first) {
            ensure!(
                !there.contains_key(digest),
                "{digest} was there, and was fetched again"
            );
            let had = begun.get(digest).copied().unwrap_or_default();
            let wanted = if had > 0 { 206 } else { 200 };
            ensure!(*status == wanted, "{digest}: status {status}, not {wanted}");
            let rest = sizes.get(digest).copied().unwrap_or_default() - had;
            ensure!(
                *bytes == rest,
                "{digest}: {bytes} bytes were sent, {rest} were missing"
            );
        }
    }
    Ok(())
}

/// A package in a store, ingested without being disturbed.
fn package(setting: &Setting) -> Result<(PathBuf, String)> {
    let store = setting.store("whole");
    let expected = revision(&mut setting.ingest(&store)?)?;
    Ok((store, expected))
}

#[test]
fn import_goes_on_where_it_was_killed() -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let registry = need!("docker-registry");
    let skopeo = need!("skopeo");
    need!("helm");
    let setting = Setting::new(&registry, &skopeo)?;
    let (whole, expected) = package(&setting)?;
    let file = setting.folder.path().join("big.quench.tar");
    run(Command::new(quench()?)
        .args(["export", "big", "-q", "-o"])
        .arg(&file)
        .arg("--store")
        .arg(&whole))?;
    let import = |store: &Path| -> Result<Command> {
        let mut command = Command::new(quench()?);
        command
            .args(["import", "--json", "--store"])
            .arg(store)
            .arg(&file);
        Ok(command)
    };
    let mut killed = 0;
    for count in [1, 3, 6, 9] {
        let store = setting.store(&format!("imported-{count}"));
        if !kill_when(import(&store)?, || blobs(&store).len() >= count)? {
            continue;
        }
        killed += 1;
        let there = blobs(&store);
        let written = |name: &String| -> Result<(u64, i64)> {
            let meta = std::fs::metadata(store.join("blobs/sha256").join(name))?;
            Ok((meta.ino(), meta.mtime_nsec()))
        };
        let before: Vec<(u64, i64)> = there.keys().map(written).collect::<Result<_>>()?;
        let output: Value = serde_json::from_slice(&run(&mut import(&store)?)?)?;
        let digest = output.pointer("/0/revision").and_then(Value::as_str);
        ensure!(digest == Some(&expected), "another digest: {output}");
        let after: Vec<(u64, i64)> = there.keys().map(written).collect::<Result<_>>()?;
        ensure!(before == after, "what was there was written again");
        check_whole(&store)?;
    }
    ensure!(killed > 0, "every import ended before it was killed");
    Ok(())
}

/// How often each blob's bytes were taken by a registry.
fn taken(log: &str) -> BTreeMap<String, usize> {
    let mut taken = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("\"PUT /v2/")) {
        let Some((_, rest)) = line.split_once("digest=sha256") else {
            continue;
        };
        let Some((digest, rest)) = rest.split_once(" HTTP/1.1\" ") else {
            continue;
        };
        if rest.starts_with("201 ") {
            let hex = digest.trim_start_matches([':', '%', '3', 'A']);
            let hex: String = hex.chars().take(64).collect();
            *taken.entry(hex).or_default() += 1;
        }
    }
    taken
}

#[test]
fn push_goes_on_where_it_was_killed() -> Result<()> {
    let registry = need!("docker-registry");
    let skopeo = need!("skopeo");
    need!("helm");
    let setting = Setting::new(&registry, &skopeo)?;
    let (whole, expected) = package(&setting)?;
    let layers: Vec<String> = blobs(&whole)
        .into_iter()
        .filter(|(_, size)| *size >= LAYER as u64)
        .map(|(name, _)| name)
        .collect();
    ensure!(layers.len() as u64 == LAYERS);
    for count in [1, 4] {
        let target = Registry::start(&registry)?;
        let proxy = SlowProxy::start(&target.host(), RATE)?;
        let push = || -> Result<Command> {
            let mut command = Command::new(quench()?);
            command
                .args(["push", "big", "--json", "--registry"])
                .arg(format!("{}/apps", proxy.host()))
                .arg("--store")
                .arg(&whole);
            Ok(command)
        };
        let arrived = || {
            let taken = taken(&target.log());
            layers
                .iter()
                .filter(|layer| taken.contains_key(*layer))
                .count()
        };
        ensure!(
            kill_when(push()?, || arrived() >= count)?,
            "push ended before it was killed at {count} layers"
        );
        // What the killed process had handed over still arrives, and counts as sent.
        std::thread::sleep(Duration::from_secs(2));
        let output: Value = serde_json::from_slice(&run(&mut push()?)?)?;
        let digest = output.get("revision").and_then(Value::as_str);
        ensure!(digest == Some(&expected), "another digest: {output}");
        let taken = taken(&target.log());
        for layer in &layers {
            ensure!(
                taken.get(layer) == Some(&1),
                "{layer} was sent {:?} times",
                taken.get(layer)
            );
        }
        let again: Value = serde_json::from_slice(&run(&mut push()?)?)?;
        let uploaded = again.pointer("/pushed/uploaded").and_then(Value::as_u64);
        ensure!(
            uploaded == Some(0),
            "what was there was sent again: {again}"
        );
    }
    Ok(())
}
