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
fn layout(folder: &Path) -> Result<PathBuf> {
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
