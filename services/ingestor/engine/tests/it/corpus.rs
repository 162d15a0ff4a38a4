//! Real charts: every image that turning a single boolean of `values.yaml` brings into a pod is found.
//!
//! `QUENCH_CHARTS` names a folder of charts that have their dependencies under `charts/`. `QUENCH_CHARTS_ONLY` restricts the run
//! to charts named in a comma-separated list; otherwise every `QUENCH_CHARTS_STEP`-th chart is taken (12 when not set), since what
//! is compared with renders a chart once for each of its booleans.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use quench_chart::Chart;
use quench_chart::render::{Helm, Request};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, Survey, pack};
use serde_json::{Value, json};
use time::macros::date;

use crate::made::{context, have, store};

/// Charts directly below the folder, by name.
fn charts() -> Option<Vec<(String, PathBuf)>> {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return None;
    };
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Chart.yaml").is_file())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    found.sort();
    if let Ok(only) = std::env::var("QUENCH_CHARTS_ONLY") {
        let only: BTreeSet<&str> = only.split(',').collect();
        found.retain(|(name, _)| only.contains(name.as_str()));
        return Some(found);
    }
    let step = std::env::var("QUENCH_CHARTS_STEP").map_or(12, |text| text.parse().unwrap());
    let all = found.len();
    let found: Vec<_> = found.into_iter().step_by(step).collect();
    eprintln!("{} of {all} charts: every {step}th", found.len());
    Some(found)
}

/// Every boolean of a map, by its path.
fn booleans(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, bool)>) {
    match value {
        Value::Bool(on) => found.push((path.clone(), *on)),
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                booleans(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Images in whatever has a list of containers, at any depth. Written apart from the code under test.
fn pod_images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let (
                    "containers" | "initContainers" | "ephemeralContainers",
                    Value::Array(items),
                ) = (key.as_str(), value)
                {
                    let images = items.iter().filter_map(|item| item.get("image")?.as_str());
                    found.extend(images.filter(|image| !image.is_empty()).map(str::to_owned));
                }
                pod_images(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| pod_images(item, found)),
        _ => {}
    }
}

async fn rendered(helm: &Helm, chart: &Path, values: String) -> Option<BTreeSet<String>> {
    let request = Request {
        release: "demo".to_owned(),
        values: vec![values],
        ..Request::default()
    };
    let text = helm.template(chart, "chart", &request).await.ok()?;
    let mut found = BTreeSet::new();
    for document in quench_chart::yaml::documents(&text) {
        // What is no YAML cannot be installed.
        pod_images(&quench_chart::yaml::parse(document).ok()?, &mut found);
    }
    Some(found)
}

/// The images of a chart with each boolean turned, by the boolean that brings them first; and how many renders that took.
async fn oracle(helm: &Helm, chart: &Chart) -> Option<(BTreeMap<String, String>, usize)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart");
    chart.write_to(&path).unwrap();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for image in rendered(helm, &path, String::new()).await? {
        found.insert(image, "the defaults".to_owned());
    }
    let mut switches = Vec::new();
    booleans(&chart.values().unwrap(), &mut Vec::new(), &mut switches);
    let number = switches.len();
    let renders = switches.into_iter().map(|(keys, on)| {
        let name = keys.join(".");
        let values = keys
            .into_iter()
            .rev()
            .fold(Value::Bool(!on), |value, key| json!({ key: value }));
        let path = path.clone();
        async move { (name, rendered(helm, &path, values.to_string()).await) }
    });
    let parallel = std::thread::available_parallelism().map_or(1, usize::from);
    let mut renders = stream::iter(renders).buffered(parallel);
    while let Some((name, images)) = renders.next().await {
        for image in images.into_iter().flatten() {
            found.entry(image).or_insert_with(|| name.clone());
        }
    }
    Some((found, number + 1))
}

async fn survey(path: &Path) -> Result<(Survey, Duration), String> {
    let folder = tempfile::tempdir().unwrap();
    let here = context(&store(&folder));
    let options = PackOptions::new(ChartSource::Folder(path.to_owned()));
    let started = Instant::now();
    let submission = pack(&options, date!(2026 - 01 - 01), &here)
        .await
        .map_err(|error| error.to_string())?;
    let survey = Engine::new(EngineOptions::default())
        .survey(&submission, false, &here)
        .await
        .map_err(|error| error.to_string())?;
    Ok((survey, started.elapsed()))
}

#[tokio::test]
async fn corpus_every_image_of_a_single_switch_is_found() {
    if !have(&["helm"]) {
        return;
    }
    let Some(charts) = charts() else {
        return;
    };
    let helm = Helm::find().unwrap();
    let mut missed = Vec::new();
    let (mut wanted, mut usable) = (0, 0);
    let (mut search, mut brute) = (Duration::ZERO, Duration::ZERO);
    println!(
        "chart | images by switches | found | optional | possible | sets | seconds | seconds of one render per boolean"
    );
    for (name, path) in charts {
        let (survey, time) = match survey(&path).await {
            Ok(done) => done,
            Err(error) => {
                println!(
                    "{name} | not usable: {}",
                    error.lines().last().unwrap_or_default()
                );
                continue;
            }
        };
        let started = Instant::now();
        let chart = Chart::load(&path).unwrap();
        let Some((oracle, renders)) = oracle(&helm, &chart).await else {
            println!("{name} | does not render with its defaults");
            continue;
        };
        let took = started.elapsed();
        let found: BTreeSet<&str> = survey
            .images
            .iter()
            .filter(|image| image.class != quench_package::ImageClass::Possible)
            .flat_map(|image| image.rendered.iter().map(String::as_str))
            .collect();
        for (image, switch) in &oracle {
            if !found.contains(image.as_str()) {
                missed.push(format!("{name}: {image} ({switch})"));
            }
        }
        let count = |class| {
            survey
                .images
                .iter()
                .filter(|image| image.class == class)
                .count()
        };
        println!(
            "{name} | {} | {} | {} | {} | {} of {renders} | {:.1} | {:.1}",
            oracle.len(),
            oracle
                .keys()
                .filter(|image| found.contains(image.as_str()))
                .count(),
            count(quench_package::ImageClass::Optional),
            count(quench_package::ImageClass::Possible),
            survey.values.rendered,
            time.as_secs_f64(),
            took.as_secs_f64(),
        );
        wanted += oracle.len();
        usable += 1;
        search += time;
        brute += took;
    }
    println!(
        "{usable} charts, {wanted} images, {} missed; {:.0} s, one render per boolean {:.0} s",
        missed.len(),
        search.as_secs_f64(),
        brute.as_secs_f64()
    );
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
}
