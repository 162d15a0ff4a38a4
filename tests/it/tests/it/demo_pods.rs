//! Stateful demo pods, taken through all five levels and run under runc exactly as their hardened charts render them:
//! user, groups, capabilities, system calls, read-only root, volumes. They must answer by their own protocols, and find
//! their data again in the next pod.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use quench_it::container::{Container, Image, Pod};
use quench_it::oci::{Layout, text, unpacked_size};
use quench_it::pod::{Objects, list};
use quench_it::pod_security::restricted_violations;
use quench_it::tools::{is_root, quench, run, workspace};
use quench_it::volumes::Claims;
use quench_it::{need, skip};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use super::demo_image;

/// Programs the tests need.
struct Tools {
    helm: PathBuf,
    kubectl: PathBuf,
    umoci: PathBuf,
    runc: PathBuf,
}

/// A demo chart, hardened together with its image, and both taken out of the package.
struct Hardened {
    /// Holds the store, the chart and the unpacked image.
    _folder: TempDir,
    objects: Objects,
    workload: Value,
    image: Image,
    claims: Claims,
    runc: PathBuf,
}

impl Hardened {
    /// Hardens `deploy/demo/charts/<name>` with the image of that name; `kind` is the chart's workload.
    fn new(tools: &Tools, name: &'static str, kind: &str) -> Result<Self> {
        let original = Layout::new(demo_image::build_recipe(name)?);
        let folder = tempfile::Builder::new().prefix("quench-pods-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let layout = demo_image::build_recipe(name)?;
        let chart = workspace().join("deploy/demo/charts").join(name);
        let harden = || {
            let printed = run(Command::new(quench()?)
                .arg("harden")
                .arg(&chart)
                .arg("--images-from")
                .arg(format!("oci:{}", layout.display()))
                .arg("--store")
                .arg(path("store"))
                .arg("--json"))?;
            serde_json::from_slice::<Value>(&printed).context("quench harden printed no JSON")
        };
        let summary = harden()?;
        let levels = list(&summary, "steps").len();
        ensure!(levels == 5, "{levels} levels reached: {summary}");
        let package = format!("demo-{name}");
        run(Command::new(quench()?)
            .args(["chart", &package, "--output"])
            .arg(path("chart"))
            .arg("--store")
            .arg(path("store")))?;
        let objects = Objects::render(&tools.helm, &tools.kubectl, &path("chart"), "demo", &[])?;
        let workload = objects.workload(kind)?.clone();
        let asked = text(&workload, "/spec/template/spec/containers/0/image")?;

        let tag = asked.split('@').next().unwrap_or_default();
        run(Command::new(quench()?)
            .args(["image", &package, tag, "--output"])
            .arg(format!("oci:{}", path("image").display()))
            .arg("--store")
            .arg(path("store")))?;
        let layout = Layout::new(path("image"));
        let held = layout.manifest_digest()?;
        ensure!(
            asked.ends_with(&held),
            "the chart asks for {asked}, the package holds {held}"
        );
        let image = Image {
            root: layout.unpack(&tools.umoci, &path("bundle"))?,
            config: layout.run_config()?,
        };
        let (before, after) = (compressed_size(&original)?, compressed_size(&layout)?);
        ensure!(
            after < before,
            "the image has {after} bytes, and had {before}"
        );
        println!(
            "{name}: {before} -> {after} bytes compressed, {} unpacked",
            unpacked_size(&image.root)?
        );
        let violations =
            restricted_violations(workload.pointer("/spec/template").context("no template")?);
        ensure!(violations.is_empty(), "{violations:?}");
        let claims = Claims::of(&workload)?;
        Ok(Self {
            _folder: folder,
            objects,
            workload,
            image,
            claims,
            runc: tools.runc.clone(),
        })
    }

    fn template(&self) -> Result<&Value> {
        self.workload
            .pointer("/spec/template")
            .context("no template")
    }

    /// Runs `work` against a fresh pod once all of its probes have succeeded, then ends the pod as the kubelet does.
    fn with_pod(&self, work: impl FnOnce(&mut Container) -> Result<()>) -> Result<()> {
        let template = self.template()?;
        let spec = template.get("spec").context("no pod spec")?;
        let declared = spec.pointer("/containers/0").context("no container")?;
        ensure!(
            declared.pointer("/securityContext/readOnlyRootFilesystem") == Some(&Value::Bool(true)),
            "the root can be written to: {declared}"
        );
        let pod = Pod::prepare(&self.runc, template, &self.objects, &self.claims)?;
        pod.run_init_containers(&self.image)?;
        let mut container = pod.start_only_container(&self.image)?;
        let asked = container.wait_for_probes(declared)?;
        ensure!(asked >= 2, "only {asked} probes were asked");
        let (uid, _) = container.user()?;
        ensure!(uid == 999, "runs as {uid}");
        let told = work(&mut container);
        let log = container.log();
        told.with_context(|| format!("its log:\n{log}"))?;
        let signal = self
            .image
            .config
            .get("StopSignal")
            .and_then(Value::as_str)
            .unwrap_or("TERM");
        container.stop(signal)
    }

    /// A password out of the chart's Secret.
    fn password(&self) -> Result<String> {
        let name = self
            .workload
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .context("the workload has no name")?;
        let data = self.objects.data("Secret", name)?;
        let password = data.get("password").context("no password")?;
        Ok(String::from_utf8(password.clone())?)
    }
}

/// Bytes of an image's layers as they are stored.
fn compressed_size(layout: &Layout) -> Result<u64> {
    let manifest = layout.json(&layout.manifest_digest()?)?;
    Ok(list(&manifest, "layers")
        .iter()
        .filter_map(|layer| layer.get("size")?.as_u64())
        .sum())
}

/// The tools, or the end of the test with a notice.
macro_rules! tools {
    () => {{
        let tools = Tools {
            helm: need!("helm"),
            kubectl: need!("kubectl"),
            umoci: need!("umoci"),
            runc: need!("runc"),
        };
        if !is_root() {
            skip!("running as another user needs root");
        }
        tools
    }};
}

#[test]
fn hardened_redis_answers_and_keeps_its_data() -> Result<()> {
    let tools = tools!();
    let redis = Hardened::new(&tools, "redis", "StatefulSet")?;
    let password = redis.password()?;
    redis.with_pod(|container| {
        let refused = resp(container, &["PING", "QUIT"])?;
        ensure!(refused.starts_with("-NOAUTH"), "no password: {refused:?}");
        let answer = resp(
            container,
            &[
                &format!("AUTH {password}"),
                "PING",
                "SET lasting value",
                "GET lasting",
                "QUIT",
            ],
        )?;
        ensure!(
            answer == "+OK\r\n+PONG\r\n+OK\r\n$5\r\nvalue\r\n+OK\r\n",
            "{answer:?}"
        );
        Ok(())
    })?;
    redis.with_pod(|container| {
        let answer = resp(
            container,
            &[&format!("AUTH {password}"), "GET lasting", "QUIT"],
        )?;
        ensure!(answer == "+OK\r\n$5\r\nvalue\r\n+OK\r\n", "{answer:?}");
        Ok(())
    })
}

/// Sends lines to a Redis server, the last of which makes it close the connection; gives all it says.
fn resp(container: &Container, lines: &[&str]) -> Result<String> {
    let mut connection = container
        .dial(6379)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = connection.stdin.take().context("no standard input")?;
    for line in lines {
        input.write_all(format!("{line}\r\n").as_bytes())?;
    }
    let mut answer = String::new();
    connection
        .stdout
        .take()
        .context("no standard output")?
        .read_to_string(&mut answer)?;
    connection.wait()?;
    Ok(answer)
}

#[test]
fn hardened_postgres_makes_its_database_and_keeps_it() -> Result<()> {
    let tools = tools!();
    let postgres = Hardened::new(&tools, "postgres", "Deployment")?;
    let password = postgres.password()?;
    postgres.with_pod(|container| {
        let refused = query(container, "wrong", "SELECT 1");
        ensure!(refused.is_err(), "any password does: {refused:?}");
        let greeting = query(container, &password, "SELECT text FROM greeting")?;
        ensure!(greeting == ["hello from the demo chart"], "{greeting:?}");
        let added = "INSERT INTO greeting (text) VALUES (upper('lasting')) RETURNING text";
        ensure!(query(container, &password, added)? == ["LASTING"]);
        // Collations, time zones and arithmetic come from files that nothing but a query asks for.
        let computed = "SELECT (timestamptz '2025-07-01 12:00+00' AT TIME ZONE 'Europe/Berlin')::text || round(2::numeric ^ 100)";
        ensure!(
            query(container, &password, computed)?
                == ["2025-07-01 14:00:001267650600228229401496703205376"]
        );
        Ok(())
    })?;
    postgres.with_pod(|container| {
        let kept = query(
            container,
            &password,
            "SELECT text FROM greeting ORDER BY id",
        )?;
        ensure!(kept == ["hello from the demo chart", "LASTING"], "{kept:?}");
        Ok(())
    })
}

/// Logs in with a password and asks for one column of text.
fn query(container: &Container, password: &str, sql: &str) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connection = tokio::process::Command::from(container.dial(5432))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stream = tokio::io::join(
            connection.stdout.take().context("no standard output")?,
            connection.stdin.take().context("no standard input")?,
        );
        let mut config = Config::new();
        config.user("app").dbname("app").password(password);
        let answered = tokio::time::timeout(Duration::from_secs(30), async {
            let (client, connection) = config.connect_raw(stream, NoTls).await?;
            let serving = tokio::spawn(connection);
            let rows = client.query(sql, &[]).await?;
            drop(client);
            serving.await??;
            rows.iter()
                .map(|row| Ok(row.try_get::<_, String>(0)?))
                .collect()
        });
        answered.await.context("no answer in 30 s")?
    })
}
