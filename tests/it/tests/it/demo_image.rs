//! The image of the demo: put together from Debian packages, and what any other tool sees in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use quench_it::container::{Image, Pod};
use quench_it::oci::{Layout, unpacked_size};
use quench_it::pod::Objects;
use quench_it::pod_security::restricted_violations;
use quench_it::tools::{is_root, run, workspace};
use quench_it::volumes::Claims;
use quench_it::{need, skip};
use serde_json::{Value, json};

/// Builds the image of the demo's own chart; gives its layout.
pub fn build() -> Result<PathBuf> {
    build_recipe("nginx")
}

/// Builds the image of a recipe of the demo, once for all tests and quickly when it is there from an earlier run; gives its
/// layout.
pub fn build_recipe(name: &'static str) -> Result<PathBuf> {
    static BUILT: LazyLock<Mutex<BTreeMap<&str, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let home = std::env::home_dir().context("there is no home folder")?;
    let layout = home.join(".cache/quench/demo").join(name);
    let demo = workspace().join("deploy/demo");
    run(Command::new("python3")
        .arg(demo.join("build-image.py"))
        .arg(demo.join("images").join(format!("{name}.toml")))
        .arg("--output")
        .arg(&layout))?;
    built.insert(name, layout.clone());
    Ok(layout)
}

#[test]
fn building_it_again_gives_the_same_bytes() -> Result<()> {
    let first = Layout::new(build()?).manifest_digest()?;
    let other = tempfile::tempdir()?;
    let demo = workspace().join("deploy/demo");
    let printed = run(Command::new("python3")
        .arg(demo.join("build-image.py"))
        .arg(demo.join("images/nginx.toml"))
        .arg("--output")
        .arg(other.path().join("again")))?;
    let printed = String::from_utf8(printed)?;
    ensure!(printed.trim() == first, "first {first}, then {printed}");
    Ok(())
}

#[test]
fn dpkg_finds_its_database_and_files_in_order() -> Result<()> {
    let umoci = need!("umoci");
    if !is_root() {
        skip!("chroot needs root");
    }
    let scratch = tempfile::tempdir()?;
    let root = Layout::new(build()?).unpack(&umoci, &scratch.path().join("bundle"))?;
    let size = unpacked_size(&root)?;
    ensure!(
        size > 100_000_000,
        "an average image is bigger than {size} bytes"
    );

    let dpkg = |arguments: &[&str]| {
        run(Command::new("chroot")
            .arg(&root)
            .arg("dpkg")
            .args(arguments))
    };
    let audit = String::from_utf8(dpkg(&["--audit"])?)?;
    ensure!(audit.is_empty(), "dpkg --audit complains:\n{audit}");
    let owner = String::from_utf8(dpkg(&["--search", "/usr/sbin/nginx"])?)?;
    ensure!(
        owner.trim() == "nginx: /usr/sbin/nginx",
        "wrong owner: {owner}"
    );
    // `dpkg --verify` fails when anything differs; the recipe replaces one configuration file and nothing else.
    let verify = Command::new("chroot")
        .arg(&root)
        .args(["dpkg", "--verify"])
        .output()?;
    let changed = String::from_utf8(verify.stdout)?;
    let changed: Vec<&str> = changed
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    ensure!(
        changed == ["/etc/nginx/nginx.conf"],
        "files differ from their packages: {changed:?}"
    );
    Ok(())
}

#[test]
fn its_configuration_names_an_unprivileged_user_and_port() -> Result<()> {
    let config = Layout::new(build()?).run_config()?;
    let user = config.get("User").and_then(serde_json::Value::as_str);
    ensure!(user == Some("www-data"), "user is {user:?}");
    ensure!(
        config.pointer("/ExposedPorts/8080~1tcp").is_some(),
        "port 8080 is not exposed: {config}"
    );
    Ok(())
}

#[test]
fn it_can_serve_the_charts_page_as_an_unprivileged_user_on_a_read_only_root() -> Result<()> {
    let (helm, kubectl) = (need!("helm"), need!("kubectl"));
    let (umoci, runc) = (need!("umoci"), need!("runc"));
    if !is_root() {
        skip!("running as another user needs root");
    }
    let scratch = tempfile::tempdir()?;
    let layout = Layout::new(build()?);
    let image = Image {
        root: layout.unpack(&umoci, &scratch.path().join("bundle"))?,
        config: layout.run_config()?,
    };
    let chart = workspace().join("deploy/demo/chart");
    let objects = Objects::render(&helm, &kubectl, &chart, "demo", &[])?;
    let mut pod = objects.pod("Deployment")?;
    ensure!(
        !restricted_violations(&pod).is_empty(),
        "the demo chart must leave something to harden"
    );

    // By hand what hardening is to find out: the least this image needs.
    let spec = pod.get_mut("spec").context("no pod spec")?;
    let container = spec.pointer_mut("/containers/0").context("no container")?;
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    for (name, path) in [("tmp", "/tmp"), ("state", "/var/lib/nginx")] {
        let mounts = spec
            .pointer_mut("/containers/0/volumeMounts")
            .and_then(Value::as_array_mut);
        mounts
            .context("no mounts")?
            .push(json!({ "name": name, "mountPath": path }));
        let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
        volumes
            .context("no volumes")?
            .push(json!({ "name": name, "emptyDir": {} }));
    }
    let violations = restricted_violations(&pod);
    ensure!(violations.is_empty(), "{violations:?}");

    let claims = Claims::of(objects.workload("Deployment")?)?;
    let pod = Pod::prepare(&runc, &pod, &objects, &claims)?;
    pod.run_init_containers(&image)?;
    let mut nginx = pod.start_only_container(&image)?;
    let (status, body) = nginx.http_get(8080, "/")?;
    ensure!(
        status == 200 && body.contains("Served by the demo chart"),
        "{status}: {body}"
    );
    ensure!(
        nginx.http_get(8080, "/healthz")?.0 == 200,
        "the probe's path does not answer"
    );
    ensure!(nginx.user()? == (33, 33), "runs as {:?}", nginx.user()?);
    Ok(())
}
