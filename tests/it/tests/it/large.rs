//! An image of four gigabytes passes through in little memory. Run by `make large`: it moves 16 GB.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::quench;
use quench_model::{Digest, Hasher};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Most memory a command may hold at a time.
const LIMIT_KIB: u64 = 256 << 10;

#[test]
#[ignore = "moves 16 GB; run it with `make large`"]
fn four_gigabytes_pass_through_in_little_memory() -> Result<()> {
    need!("helm");
    let gib: u64 = match std::env::var("QUENCH_LARGE_GIB") {
        Ok(text) => text.parse().context("QUENCH_LARGE_GIB is no number")?,
        Err(_) => 4,
    };
    let folder = TempDir::new()?;
    let layout = layout(folder.path(), gib << 30)?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (first, second, file) = (at("first"), at("second"), at("large.quench.tar"));
    let source = format!("oci:{}", layout.display());
    let ingest = [
        "harden",
        &source,
        "--name",
        "large",
        "--until",
        "integrated",
        "--store",
        &first,
        "-q",
    ];
    let export = ["export", "large", "-o", &file, "--store", &first, "-q"];
    let import = ["import", &file, "--store", &second, "-q"];
    println!(
        "{gib} GiB of layers; at most {} MiB of memory",
        LIMIT_KIB >> 10
    );
    for arguments in [&ingest[..], &export, &import] {
        let (peak, took) = measured(arguments)?;
        let name = arguments.first().copied().unwrap_or_default();
        println!(
            "{name:8} {:6} MiB  {:7.1} s",
            peak >> 10,
            took.as_secs_f64()
        );
        ensure!(peak < LIMIT_KIB, "{name} held {} MiB", peak >> 10);
    }
    for (name, store) in [("harden", &first), ("import", &second)] {
        let size = size_of(Path::new(store))?;
        println!("{name:8} leaves {} MiB in its store", size >> 20);
        // The layer once; what is made of it beside that is small.
        ensure!(
            size < (gib << 30) + (64 << 20),
            "{name} keeps a second copy"
        );
    }
    Ok(())
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += match meta.is_dir() {
            true => size_of(&entry.path())?,
            false => meta.len(),
        };
    }
    Ok(size)
}

/// Runs `quench` to its end; gives the most memory it held, in KiB, and how long it took.
fn measured(arguments: &[&str]) -> Result<(u64, Duration)> {
    let start = Instant::now();
    let mut child = Command::new(quench()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        // The system keeps the high-water mark: only what comes after the last look can be missed.
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|text| text.split_whitespace().next()?.parse().ok());
        peak = peak.max(mark.unwrap_or_default());
        std::thread::sleep(Duration::from_millis(5));
    };
    ensure!(ended.success(), "quench {arguments:?} ended with {ended}");
    ensure!(peak > 0, "the memory of quench {arguments:?} was not seen");
    Ok((peak, start.elapsed()))
}

/// An OCI layout of an image with one layer of this many bytes that do not compress.
fn layout(folder: &Path, size: u64) -> Result<PathBuf> {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let mut header = tar::Header::new_ustar();
    header.set_path("noise")?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let path = blobs.join("layer");
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path)?);
    let mut hasher = Hasher::new();
    let mut length = 0;
    let mut write = |bytes: &[u8]| -> Result<()> {
        hasher.update(bytes);
        length += bytes.len() as u64;
        Ok(file.write_all(bytes)?)
    };
    write(header.as_bytes())?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..size >> 20 {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        write(&block)?;
    }
    write(&[0; 1024])?;
    file.flush()?;
    let layer = hasher.finish();
    std::fs::rename(path, blobs.join(layer.hex()))?;
    let put = |media_type: &str, value: &Value| -> Result<Value> {
        let bytes = value.to_string();
        let digest = Digest::of(&bytes);
        std::fs::write(blobs.join(digest.hex()), &bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    };
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/noise"]},
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    let config = put("application/vnd.oci.image.config.v1+json", &config)?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": length});
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = put(media_type, &manifest)?;
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string())?;
    Ok(layout)
}
