//! Packages on their way: exports, deltas, imports, a real registry, and helm installing from it.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::oci::text;
use quench_it::process::wait_until;
use quench_it::registry::Registry;
use quench_it::tools::{find, quench, run, workspace};
use serde_json::Value;

use super::demo::{Demo, PACKAGE, with_demo};
use super::demo_image;

/// The program on another machine, as far as an environment can make it one.
fn elsewhere(store: &Path) -> Result<Command> {
    let mut command = Command::new(quench()?);
    command.arg("--store").arg(store);
    Ok(command)
}

fn json(output: &[u8]) -> Result<Value> {
    serde_json::from_slice(output).with_context(|| String::from_utf8_lossy(output).into_owned())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Hardens the demo with other values into the same store: a small change.
fn harden_changed(demo: &Demo, store: &Path) -> Result<()> {
    let source = workspace().join("deploy/demo");
    let values = demo.folder.path().join("changed.yaml");
    std::fs::write(&values, "replicaCount: 5\n")?;
    run(elsewhere(store)?
        .arg("harden")
        .arg(source.join("chart"))
        .arg("--values")
        .arg(&values)
        .arg("--images-from")
        .arg(format!("oci:{}", demo_image::build()?.display()))
        .arg("--advisories")
        .arg(source.join("advisories"))
        .arg("--json"))?;
    Ok(())
}

#[test]
fn an_export_is_the_same_bytes_wherever_and_however_it_is_made() -> Result<()> {
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        // The same package in another folder, by way of a file.
        let other = folder.path().join("a store elsewhere");
        run(elsewhere(&other)?
            .arg("import")
            .arg(demo.folder.path().join("demo.quench.tar")))?;
        let reference = std::fs::read(demo.folder.path().join("demo.quench.tar"))?;
        let places = [
            (demo.store(), "UTC", "C", "022", "1"),
            (other, "Pacific/Chatham", "de_DE.UTF-8", "077", "7"),
        ];
        for (store, zone, locale, umask, threads) in places {
            let file = folder.path().join(format!("{umask}.quench.tar"));
            let script = format!("umask {umask} && exec \"$0\" \"$@\"");
            run(Command::new("sh")
                .args(["-c", &script])
                .arg(quench()?)
                .args(["export", PACKAGE, "--store"])
                .arg(&store)
                .arg("-o")
                .arg(&file)
                .env("TZ", zone)
                .env("LANG", locale)
                .env("LC_ALL", locale)
                .env("RAYON_NUM_THREADS", threads)
                .env("TOKIO_WORKER_THREADS", threads))?;
            ensure!(
                std::fs::read(&file)? == reference,
                "other bytes with {zone} {locale} {umask} {threads}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_delta_is_small_names_its_base_and_restores_the_digest() -> Result<()> {
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let full = demo.folder.path().join("demo.quench.tar");
        run(elsewhere(&here)?.arg("import").arg(&full))?;
        harden_changed(demo, &here)?;
        let shown = json(&run(elsewhere(&here)?.args(["show", PACKAGE, "--json"]))?)?;
        let base = text(&demo.summary, "/revision")?;
        let mut deltas = Vec::new();
        for (name, since) in [
            ("file", full.display().to_string()),
            ("digest", base.clone()),
        ] {
            let file = folder.path().join(format!("{name}.quench.tar"));
            let printed = run(elsewhere(&here)?
                .args(["export", PACKAGE, "--json", "--since", &since, "-o"])
                .arg(&file))?;
            let printed = json(&printed)?;
            ensure!(text(&printed, "/since")? == base, "{printed}");
            let (size, whole) = (file.metadata()?.len(), full.metadata()?.len());
            ensure!(size * 10 < whole, "a delta of {size} bytes, {whole} in all");
            deltas.push(file);
        }

        let refused = elsewhere(&there)?.arg("import").arg(&deltas[0]).output()?;
        ensure!(refused.status.code() == Some(1), "{}", stderr(&refused));
        ensure!(
            stderr(&refused).contains(&base),
            "the base is not named: {}",
            stderr(&refused)
        );
        let left = std::fs::read_dir(there.join("blobs/sha256"))?.count();
        ensure!(left == 0, "a refused import left {left} blobs");
        let imported = run(elsewhere(&there)?
            .arg("import")
            .arg(&full)
            .args(&deltas)
            .arg("--json"))?;
        let imported = json(&imported)?;
        for (index, revision) in [base, text(&shown, "/revision")?].iter().enumerate() {
            let found = text(&imported, &format!("/{index}/revision"))?;
            ensure!(found == *revision, "{found} instead of {revision}");
        }
        run(elsewhere(&there)?.args(["verify", PACKAGE]))?;
        Ok(())
    })
}

#[test]
fn history_numbers_what_was_published_and_names_it_everywhere() -> Result<()> {
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        let full = demo.folder.path().join("demo.quench.tar");
        run(elsewhere(&store)?.arg("import").arg(&full))?;
        harden_changed(demo, &store)?;
        // Once more is nothing new.
        harden_changed(demo, &store)?;
        let rows = json(&run(
            elsewhere(&store)?.args(["history", PACKAGE, "--json"])
        )?)?;
        let rows = rows.as_array().context("no list")?;
        ensure!(
            rows.len() == 10,
            "two times five levels, {} rows",
            rows.len()
        );
        for (row, number) in rows.iter().zip((1..=10).rev()) {
            ensure!(row.pointer("/number") == Some(&number.into()), "{row}");
            let newest = row.pointer("/newest") == Some(&(number == 10).into());
            ensure!(newest, "{row}");
        }
        let fifth = text(&rows[5], "/revision")?;
        ensure!(fifth == text(&demo.summary, "/revision")?, "{fifth}");
        let version = text(&rows[5], "/version")?;
        for name in [
            format!("{PACKAGE}@5"),
            format!("{PACKAGE}@{fifth}"),
            format!("{PACKAGE}:{version}"),
            fifth.clone(),
        ] {
            let shown = json(&run(elsewhere(&store)?.args(["show", &name, "--json"]))?)?;
            ensure!(text(&shown, "/revision")? == fifth, "{name}: {shown}");
        }
        let missing = elsewhere(&store)?
            .args(["show", &format!("{PACKAGE}@11")])
            .output()?;
        ensure!(missing.status.code() == Some(2), "{}", stderr(&missing));
        ensure!(
            stderr(&missing).contains("quench history"),
            "{}",
            stderr(&missing)
        );
        Ok(())
    })
}

#[test]
fn a_diff_tells_values_objects_files_and_packages_and_ends_as_diff_does() -> Result<()> {
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        let full = demo.folder.path().join("demo.quench.tar");
        run(elsewhere(&store)?.arg("import").arg(&full))?;
        harden_changed(demo, &store)?;
        let diff = |one: &str, two: &str| -> Result<(Option<i32>, Value)> {
            let output = elsewhere(&store)?
                .args(["diff", one, two, "--json"])
                .output()?;
            let found = json(&output.stdout).with_context(|| stderr(&output))?;
            Ok((output.status.code(), found))
        };
        let (name, fifth) = (PACKAGE.to_owned(), format!("{PACKAGE}@5"));
        let (code, same) = diff(&name, &name)?;
        ensure!(code == Some(0), "{same}");
        // Other values, the same images.
        let (code, values) = diff(&fifth, &name)?;
        ensure!(code == Some(1), "{values}");
        ensure!(
            values.pointer("/chart/values/0")
                == Some(&serde_json::json!({"path": "/replicaCount", "before": 2, "after": 5})),
            "{values}"
        );
        ensure!(
            list(&values, "/chart/objects")
                .iter()
                .any(|change| change.get("path") == Some(&"/spec/replicas".into())),
            "{values}"
        );
        ensure!(list(&values, "/images").is_empty(), "{values}");
        // The image as it came and as it was minimized.
        let (code, levels) = diff(&format!("{PACKAGE}@1"), &fifth)?;
        ensure!(code == Some(1), "{levels}");
        let removed = levels
            .pointer("/images/0/filesRemoved")
            .and_then(Value::as_u64);
        ensure!(removed.is_some_and(|removed| removed > 1000), "{removed:?}");
        let added = levels
            .pointer("/images/0/filesAdded")
            .and_then(Value::as_u64);
        ensure!(
            added.is_some_and(|added| added < 50),
            "{added:?} files came"
        );
        let packages = list(&levels, "/images/0/packages");
        ensure!(
            packages
                .iter()
                .any(|p| p.get("name") == Some(&"dpkg".into())
                    && p.get("after").is_some_and(Value::is_null)),
            "{packages:?}"
        );
        ensure!(!list(&levels, "/findings/opened").is_empty(), "no findings");
        let text = run(Command::new("sh").args([
            "-c",
            &format!(
                "{} diff {fifth} {PACKAGE} --store {} || test $? = 1",
                quench()?.display(),
                store.display()
            ),
        ]))?;
        let text = String::from_utf8(text)?;
        ensure!(
            text.contains("/replicaCount") && text.contains("- 2") && text.contains("+ 5"),
            "{text}"
        );
        Ok(())
    })
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Every image of rendered manifests.
fn images(manifests: &str) -> Vec<String> {
    manifests
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: "))
        .map(|image| image.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn what_was_pushed_is_what_helm_and_skopeo_find() -> Result<()> {
    let (helm, registry) = (need!("helm"), need!("docker-registry"));
    let skopeo = need!("skopeo");
    with_demo(|demo| {
        let registry = Registry::start(&registry)?;
        let place = format!("{}/apps/prod", registry.host());
        let push = || -> Result<Value> {
            json(&demo.quench(&["push", PACKAGE, "--registry", &place, "--json"])?)
        };
        let first = push()?;
        let count = |pushed: &Value, key: &str| {
            pushed
                .pointer(&format!("/pushed/{key}"))
                .and_then(Value::as_u64)
                .context("no count")
        };
        ensure!(
            count(&first, "uploaded")? > 0 && count(&first, "mounted")? > 0,
            "{first}"
        );
        let again = push()?;
        ensure!(
            count(&again, "uploaded")? == 0 && count(&again, "mounted")? == 0,
            "sent twice: {again}"
        );

        let shown = json(&demo.quench(&["show", PACKAGE, "--json"])?)?;
        let version = text(&shown, "/version")?;
        let digest = text(&shown, "/images/0/digest")?;
        let image = format!("docker://{place}/demo/nginx");
        for reference in [format!("{image}:1.22"), format!("{image}@{digest}")] {
            let inspected = json(&run(Command::new(&skopeo)
                .args(["inspect", "--tls-verify=false"])
                .arg(&reference))?)?;
            ensure!(text(&inspected, "/Digest")? == digest, "{inspected}");
        }
        let folder = tempfile::tempdir()?;
        run(Command::new(&skopeo)
            .args([
                "--insecure-policy",
                "copy",
                "--all",
                "--src-tls-verify=false",
            ])
            .arg(format!("{image}@{digest}"))
            .arg(format!(
                "oci:{}:copied",
                folder.path().join("image").display()
            )))?;
        // Everything the revisions list, and what is attached to them.
        let revision = text(&shown, "/revision")?;
        let revisions = format!("docker://{place}/packages/{PACKAGE}");
        for reference in [
            format!("{revisions}@{revision}"),
            format!("{revisions}:package-{PACKAGE}"),
            format!("{revisions}:{version}"),
        ] {
            let raw = run(Command::new(&skopeo)
                .args(["inspect", "--raw", "--tls-verify=false"])
                .arg(&reference))?;
            let raw = json(&raw)?;
            ensure!(
                text(&raw, "/artifactType")?.contains("quench.package"),
                "{raw}"
            );
        }
        let fallback = format!("{revisions}:{}", revision.replace(':', "-"));
        let listed = json(&run(Command::new(&skopeo)
            .args(["inspect", "--raw", "--tls-verify=false"])
            .arg(&fallback))?)?;
        let referrers = listed.pointer("/manifests").and_then(Value::as_array);
        ensure!(referrers.is_some_and(|all| !all.is_empty()), "{listed}");

        let printed = demo.quench(&["install", PACKAGE, "web", "--registry", &place, "--print"])?;
        let printed = String::from_utf8(printed)?;
        ensure!(
            printed.starts_with(&format!(
                "helm upgrade --install web oci://{place}/{PACKAGE} --version {version} --plain-http"
            )),
            "{printed}"
        );
        for program in [Some(helm.clone()), find("helm3")].into_iter().flatten() {
            let home = tempfile::tempdir()?;
            let call = |arguments: &[&str]| {
                run(Command::new(&program)
                    .args(arguments)
                    .current_dir(folder.path())
                    .env("HOME", home.path())
                    .env("XDG_CACHE_HOME", home.path())
                    .env("XDG_CONFIG_HOME", home.path())
                    .env("XDG_DATA_HOME", home.path()))
            };
            let chart = format!("oci://{place}/{PACKAGE}");
            call(&["pull", &chart, "--version", &version, "--plain-http"])?;
            let archive = folder.path().join(format!("{PACKAGE}-{version}.tgz"));
            ensure!(archive.is_file(), "helm pulled no {}", archive.display());
            std::fs::remove_file(archive)?;
            // The printed command with its verb alone changed: no cluster is asked.
            let words: Vec<&str> = printed
                .trim()
                .strip_prefix("helm upgrade --install ")
                .context("another command")?
                .split(' ')
                .collect();
            let mut template = vec!["template"];
            template.extend(words);
            let rendered = String::from_utf8(call(&template)?)?;
            let images = images(&rendered);
            ensure!(!images.is_empty(), "no image in\n{rendered}");
            for image in images {
                ensure!(
                    image.starts_with(&format!("{place}/demo/nginx")) && image.ends_with(&digest),
                    "{image} is not of the registry"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn signatures_travel_with_files_and_lie_where_cosign_looks() -> Result<()> {
    let (registry, skopeo) = (need!("docker-registry"), need!("skopeo"));
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let keys = ["one", "two"].map(|name| folder.path().join(name));
        for key in &keys {
            run(elsewhere(&here)?
                .args(["keys", "generate", "--unencrypted", "-o"])
                .arg(key))?;
        }
        let [ours, foreign] = keys.map(|key| key.display().to_string());
        let full = demo.folder.path().join("demo.quench.tar");
        run(elsewhere(&here)?.arg("import").arg(&full))?;
        run(elsewhere(&here)?
            .args(["sign", PACKAGE, "--recursive", "--key"])
            .arg(format!("{ours}.key")))?;
        let signed = folder.path().join("signed.quench.tar");
        run(elsewhere(&here)?
            .args(["export", PACKAGE, "-o"])
            .arg(&signed))?;

        // Unsigned, or signed by somebody else: refused, and nothing is left.
        for (file, key) in [(&full, &ours), (&signed, &foreign)] {
            let refused = elsewhere(&there)?
                .arg("import")
                .arg(file)
                .args(["--key", &format!("{key}.pub")])
                .output()?;
            ensure!(refused.status.code() == Some(1), "{}", stderr(&refused));
            let left = std::fs::read_dir(there.join("blobs/sha256"))?.count();
            ensure!(left == 0, "a refused import left {left} blobs");
        }
        run(elsewhere(&there)?
            .arg("import")
            .arg(&signed)
            .args(["--key", &format!("{ours}.pub")]))?;

        let registry = Registry::start(&registry)?;
        let place = format!("{}/apps", registry.host());
        run(elsewhere(&there)?.args(["push", PACKAGE, "--registry", &place]))?;
        let shown = json(&run(elsewhere(&there)?.args(["show", PACKAGE, "--json"]))?)?;
        for (repository, digest) in [
            (format!("packages/{PACKAGE}"), text(&shown, "/revision")?),
            ("demo/nginx".to_owned(), text(&shown, "/images/0/digest")?),
            (PACKAGE.to_owned(), text(&shown, "/chart")?),
        ] {
            let tag = format!("{}.sig", digest.replace(':', "-"));
            let raw = run(Command::new(&skopeo)
                .args(["inspect", "--raw", "--tls-verify=false"])
                .arg(format!("docker://{place}/{repository}:{tag}")))?;
            let raw = json(&raw)?;
            ensure!(
                text(&raw, "/layers/0/mediaType")?.contains("simplesigning"),
                "{repository}: {raw}"
            );
        }
        Ok(())
    })
}

#[test]
fn what_was_not_pushed_is_not_installed() -> Result<()> {
    let registry = need!("docker-registry");
    need!("helm");
    with_demo(|demo| {
        let registry = Registry::start(&registry)?;
        let output = elsewhere(&demo.store())?
            .args(["install", PACKAGE, "--registry", &registry.host()])
            .output()?;
        ensure!(output.status.code() == Some(3), "{}", stderr(&output));
        ensure!(
            stderr(&output).contains("quench push"),
            "{}",
            stderr(&output)
        );
        Ok(())
    })
}

#[test]
fn killed_in_the_middle_an_import_and_a_push_go_on_where_they_were() -> Result<()> {
    let registry = need!("docker-registry");
    need!("helm");
    with_demo(|demo| {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        let full = demo.folder.path().join("demo.quench.tar");
        let blobs = || match std::fs::read_dir(store.join("blobs/sha256")) {
            Ok(entries) => entries.count(),
            Err(_) => 0,
        };
        let mut import = elsewhere(&store)?.arg("import").arg(&full).spawn()?;
        wait_until(
            "the first blobs",
            std::time::Duration::from_secs(60),
            || (blobs() > 2 || import.try_wait().is_ok_and(|ended| ended.is_some())).then_some(()),
        )?;
        import.kill()?;
        import.wait()?;
        let there = blobs() as u64;
        let imported = run(elsewhere(&store)?.args(["import", "--json"]).arg(&full))?;
        let imported = json(&imported)?;
        let fresh = imported.pointer("/0/newBlobs").and_then(Value::as_u64);
        let all = blobs() as u64;
        // Lists of what is attached are the store's own and no blobs of the file.
        ensure!(
            fresh.is_some_and(|fresh| fresh + there <= all),
            "{fresh:?} came again; {there} were there, {all} are"
        );
        run(elsewhere(&store)?.args(["verify", PACKAGE]))?;

        let registry = Registry::start(&registry)?;
        let place = format!("{}/apps", registry.host());
        let mut push = elsewhere(&store)?
            .args(["push", PACKAGE, "--quiet", "--registry", &place])
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(150));
        push.kill()?;
        push.wait()?;
        let resumed =
            run(elsewhere(&store)?.args(["push", PACKAGE, "--json", "--registry", &place]))?;
        let again =
            run(elsewhere(&store)?.args(["push", PACKAGE, "--json", "--registry", &place]))?;
        let (resumed, again) = (json(&resumed)?, json(&again)?);
        ensure!(
            again.pointer("/pushed/uploaded") == Some(&0.into()),
            "{again}"
        );
        ensure!(
            resumed.pointer("/pushed/images") == again.pointer("/pushed/images"),
            "{resumed}"
        );
        Ok(())
    })
}
