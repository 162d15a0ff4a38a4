//! Keys, signatures, stages and the air-gap proof from the command line, judged by OpenSSL and by what a real registry holds.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use quench_it::oci::text;
use quench_it::registry::Registry;
use quench_it::tools::{find, quench, run};
use quench_it::{need, skip};
use serde_json::Value;
use tempfile::TempDir;

use super::demo::{PACKAGE, with_demo};

const PASSPHRASE: &str = "correct horse";

/// A store of its own, with the hardened demo in it, and two key pairs: `release` (encrypted) and `ci`.
struct Place(TempDir);

impl Place {
    fn new() -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        with_demo(|demo| {
            let file = demo.folder.path().join("demo.quench.tar");
            run(place.quench()?.arg("import").arg(file)).map(drop)
        })?;
        for (name, kind) in [("release", "ecdsa-p256"), ("ci", "ed25519")] {
            run(place
                .quench()?
                .args(["keys", "generate", "--type", kind, "-o"])
                .arg(place.path(name)))?;
        }
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn quench(&self) -> Result<Command> {
        let mut command = Command::new(quench()?);
        command
            .env("QUENCH_STORE", self.path("store"))
            .env("QUENCH_KEY_PASSWORD", PASSPHRASE)
            .stdin(std::process::Stdio::null());
        Ok(command)
    }

    fn ask(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.quench()?.args(arguments).output()?)
    }

    /// The answer of a command that succeeds, from its JSON.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = run(self.quench()?.args(arguments).arg("--json"))?;
        serde_json::from_slice(&output).context("no JSON")
    }

    /// The error of a command that ends with this code.
    fn refused(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = self.ask(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(code),
            "{arguments:?}: {:?} {error}",
            output.status
        );
        Ok(error)
    }
}

#[test]
fn keys_are_private_never_overwritten_and_never_unencrypted_by_accident() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let prefix = folder.path().join("own");
    let generate = |passphrase: Option<&str>, flags: &[&str]| -> Result<Output> {
        let mut command = Command::new(quench()?);
        command
            .args(["keys", "generate", "-o"])
            .arg(&prefix)
            .args(flags)
            .env_remove("QUENCH_KEY_PASSWORD")
            .env_remove("COSIGN_PASSWORD")
            .stdin(std::process::Stdio::null());
        if let Some(passphrase) = passphrase {
            command.env("QUENCH_KEY_PASSWORD", passphrase);
        }
        Ok(command.output()?)
    };
    let files = || std::fs::read_dir(folder.path()).map(Iterator::count);
    // Nobody to ask, and nothing said.
    ensure!(generate(None, &[])?.status.code() == Some(2) && files()? == 0);
    let made = generate(Some(""), &[])?;
    ensure!(
        made.status.success() && String::from_utf8_lossy(&made.stderr).contains("not encrypted")
    );
    let private = prefix.with_extension("key");
    let mode = std::fs::metadata(&private)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let before = std::fs::read(&private)?;
    ensure!(generate(Some("x"), &[])?.status.code() == Some(2));
    ensure!(std::fs::read(&private)? == before, "a key was overwritten");
    std::fs::remove_file(&private)?;
    // The public half alone is in the way too, and no private one is left without it.
    ensure!(generate(None, &["--unencrypted"])?.status.code() == Some(2) && files()? == 1);
    Ok(())
}

/// Copies what a tag of a repository names into a folder, by skopeo; gives the manifest.
fn pull(skopeo: &Path, reference: &str, folder: &Path) -> Result<Value> {
    run(Command::new(skopeo)
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .arg(format!("dir:{}", folder.display())))?;
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json"))?).context("no manifest")
}

/// Whether OpenSSL accepts one of the signatures that a manifest holds, over a payload that names the digest.
fn openssl_accepts(folder: &Path, manifest: &Value, public: &Path, digest: &str) -> Result<bool> {
    let layers = manifest
        .pointer("/layers")
        .and_then(Value::as_array)
        .context("no layers")?;
    for layer in layers {
        let hex = text(layer, "/digest")?.replace("sha256:", "");
        let payload = folder.join(hex);
        let said: Value = serde_json::from_slice(&std::fs::read(&payload)?)?;
        ensure!(
            text(&said, "/critical/image/docker-manifest-digest")? == digest,
            "{said}"
        );
        let encoded = folder.join("signature.base64");
        let raw = folder.join("signature");
        let signature = layer
            .pointer("/annotations/dev.cosignproject.cosign~1signature")
            .and_then(Value::as_str)
            .context("no signature")?;
        std::fs::write(&encoded, signature)?;
        run(Command::new("openssl")
            .args(["base64", "-d", "-A", "-in"])
            .arg(&encoded)
            .arg("-out")
            .arg(&raw))?;
        let verified = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(public)
            .arg("-signature")
            .arg(&raw)
            .arg(&payload)
            .output()?;
        if verified.status.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn what_is_pushed_carries_signatures_where_cosign_looks_for_them() -> Result<()> {
    need!("helm");
    let (registry, skopeo) = (need!("docker-registry"), need!("skopeo"));
    if find("openssl").is_none() {
        skip!("openssl is missing");
    }
    let place = Place::new()?;
    let (release, public, other) = (
        place.text("release.key"),
        place.text("release.pub"),
        place.text("ci.pub"),
    );
    let error = place.refused(1, &["verify", PACKAGE, "--key", &public])?;
    ensure!(error.contains("not signed"), "{error}");
    let error = place.refused(2, &["verify", PACKAGE, "--require-signature"])?;
    ensure!(error.contains("--key"), "{error}");
    let signed = place.json(&["sign", PACKAGE, "--key", &release, "--recursive"])?;
    let again = place.json(&["sign", PACKAGE, "--key", &release, "--recursive"])?;
    ensure!(signed == again, "signing twice made something else");
    let verified = place.json(&["verify", PACKAGE, "--key", &public, "--require-signature"])?;
    ensure!(
        verified.pointer("/signed") == Some(&Value::Bool(true)),
        "{verified}"
    );
    let error = place.refused(1, &["verify", PACKAGE, "--key", &other])?;
    ensure!(error.contains("trusted key"), "{error}");
    let wrong = place
        .quench()?
        .args(["sign", PACKAGE, "--key", &release])
        .env("QUENCH_KEY_PASSWORD", "wrong")
        .output()?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");

    // It travels in a file, and only a signed file is taken by who asks for that.
    let (file, unsigned) = (
        place.text("demo.quench.tar"),
        place.text("unsigned.quench.tar"),
    );
    run(place.quench()?.args(["export", PACKAGE, "-o", &file]))?;
    place.json(&["verify", &file, "--key", &public])?;
    with_demo(|demo| {
        std::fs::copy(demo.folder.path().join("demo.quench.tar"), &unsigned)?;
        Ok(())
    })?;
    let elsewhere = place.text("elsewhere");
    let import = |file: &str, code: i32| {
        place.refused(
            code,
            &["import", file, "--key", &public, "--store", &elsewhere],
        )
    };
    let error = import(&unsigned, 1)?;
    ensure!(error.contains("not signed"), "{error}");
    let left = std::fs::read_dir(Path::new(&elsewhere).join("blobs/sha256"))?.count();
    ensure!(left == 0, "a refused import left {left} blobs");
    import(&file, 0)?;

    let registry = Registry::start(&registry)?;
    let host = format!("{}/team", registry.host());
    let pushed = place.json(&["push", PACKAGE, "--registry", &host])?;
    let image = text(&pushed, "/pushed/images/0/pushed")?;
    let (image, digest) = image.rsplit_once('@').context("no digest")?;
    let image = image.rsplit_once(':').context("no tag")?.0;
    let revisions = text(&pushed, "/pushed/revisions")?;
    let revision = text(&pushed, "/revision")?;
    for (number, (repository, digest)) in [(image, digest), (revisions.as_str(), revision.as_str())]
        .iter()
        .enumerate()
    {
        let folder = place.path(&format!("pulled-{number}"));
        let tag = format!("{repository}:{}.sig", digest.replace(':', "-"));
        let manifest = pull(&skopeo, &tag, &folder)?;
        ensure!(
            openssl_accepts(&folder, &manifest, Path::new(&public), digest)?,
            "{manifest}"
        );
    }
    let folder = place.path("attested");
    let tag = format!("{revisions}:{}.att", revision.replace(':', "-"));
    let manifest = pull(&skopeo, &tag, &folder)?;
    ensure!(
        text(&manifest, "/layers/0/mediaType")? == "application/vnd.dsse.envelope.v1+json",
        "{manifest}"
    );
    Ok(())
}

#[test]
fn stages_are_entered_in_order_by_those_who_may() -> Result<()> {
    need!("helm");
    let place = Place::new()?;
    let (release, public) = (place.text("release.key"), place.text("release.pub"));
    let (ci, ci_public) = (place.text("ci.key"), place.text("ci.pub"));
    let error = place.refused(
        1,
        &["promote", PACKAGE, "--to", "production", "--key", &release],
    )?;
    ensure!(error.contains("has not been in test"), "{error}");
    let error = place.refused(2, &["promote", PACKAGE, "--to", "moon", "--key", &release])?;
    ensure!(error.contains("dev, test, production"), "{error}");

    let indented = std::fs::read_to_string(&public)?.replace('\n', "\n      ");
    let policy = place.text("policy.yaml");
    std::fs::write(
        &policy,
        format!(
            "gate: {{enforce: false}}\nstages:\n- name: dev\n- name: production\n  requires: dev\n  signed: true\n  keys:\n  - |\n      {indented}\n"
        ),
    )?;
    let promote = |stage: &str, key: &str, trust: &str, code: i32| {
        place.refused(
            code,
            &[
                "promote", PACKAGE, "--to", stage, "--key", key, "--trust", trust, "--policy",
                &policy,
            ],
        )
    };
    promote("dev", &ci, &public, 0)?;
    let error = promote("production", &ci, &public, 1)?;
    ensure!(error.contains("may not promote"), "{error}");
    let error = promote("production", &release, &ci_public, 1)?;
    ensure!(error.contains("not signed"), "{error}");
    run(place.quench()?.args(["sign", PACKAGE, "--key", &release]))?;
    promote("production", &release, &ci_public, 0)?;
    promote("production", &release, &ci_public, 0)?;

    let stages = place.json(&[
        "stages", PACKAGE, "--key", &public, "--key", &ci_public, "--policy", &policy,
    ])?;
    let revision = place.json(&["show", PACKAGE])?;
    for stage in ["dev", "production"] {
        let current = format!("/0/stages/{stage}/current/promotion");
        ensure!(
            text(&stages, &format!("{current}/revision"))? == text(&revision, "/revision")?,
            "{stages}"
        );
        ensure!(
            stages.pointer(&format!("{current}/number")) == Some(&1.into()),
            "{stages}"
        );
    }
    let table = String::from_utf8(run(place.quench()?.args(["stages"]))?)?;
    ensure!(
        table.contains("not checked") && table.contains("production"),
        "{table}"
    );
    Ok(())
}

#[test]
fn the_hardened_demo_installs_without_a_network() -> Result<()> {
    need!("helm");
    let place = Place::new()?;
    let release = place.text("release.key");
    let arguments = [
        "verify",
        PACKAGE,
        "--air-gap",
        "--sign-key",
        &release,
        "--json",
    ];
    let output = place.ask(&arguments)?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && error.contains("without a network here") {
        skip!("{error}");
    }
    ensure!(output.status.success(), "{error}");
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        shown.pointer("/airGap/rendered").and_then(Value::as_u64) > Some(1),
        "{shown}"
    );
    // The chart moves its image itself, so no mirror has to answer for the image's own name.
    let images = shown
        .pointer("/airGap/images")
        .and_then(Value::as_object)
        .context("no images")?;
    ensure!(
        images.len() == 1 && shown.pointer("/airGap/ownNames").is_none(),
        "{shown}"
    );
    let verified = place.json(&["verify", PACKAGE])?;
    let statements = verified
        .pointer("/statements")
        .and_then(Value::as_array)
        .context("no statements")?;
    ensure!(
        statements
            .iter()
            .any(|s| s.pointer("/predicateType") == Some(&"urn:quench:air-gap:v1".into())),
        "{verified}"
    );
    Ok(())
}

#[test]
fn what_is_ingested_is_signed_by_the_key_given() -> Result<()> {
    need!("helm");
    let place = Place::new()?;
    let manifests = place.path("settings");
    std::fs::create_dir(&manifests)?;
    std::fs::write(
        manifests.join("settings.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: info}\n",
    )?;
    let (source, key) = (place.text("settings"), place.text("release.key"));
    let done = place.json(&["ingest", &source, "--sign-key", &key])?;
    ensure!(
        done.pointer("/0/signed") == Some(&Value::Bool(true)),
        "{done}"
    );
    let revision = text(&done, "/0/revision")?;
    let verify = |key: &str| -> Result<Option<i32>> {
        let key = place.text(key);
        let arguments = ["verify", &revision, "--require-signature", "--key", &key];
        Ok(place.ask(&arguments)?.status.code())
    };
    ensure!(
        verify("release.pub")? == Some(0),
        "the signature is not there"
    );
    ensure!(verify("ci.pub")? == Some(1), "any key will do");
    Ok(())
}
