//! Minimises the image of an OCI layout for a chart: `minimize LAYOUT CHART`. The layout also serves as store, so give
//! a copy. Prints the report; the result is named `minimized` in the layout.

use std::path::Path;
use std::time::Instant;

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_content::artefact::Index;
use quench_content::{DirectoryStore, Store};
use quench_minimizer_engine::{Engine, Report};
use quench_model::{Level, annotation, media_type};
use quench_package::{
    Context, ImageLock, Package, PackageImage, PackageParts, Request, attachments,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let layout = arguments.next().ok_or("which OCI layout?")?;
    let chart = arguments.next().ok_or("which chart?")?;
    let index: Index =
        serde_json::from_slice(&std::fs::read(Path::new(&layout).join("index.json"))?)?;
    let store = Store::Directory(DirectoryStore::open(&layout)?);
    let named = index
        .manifests
        .iter()
        .find(|image| {
            image
                .annotation(annotation::REF_NAME)
                .is_some_and(|name| name.contains('/'))
        })
        .ok_or("the layout names no image by its full reference")?;
    let reference = named.annotation(annotation::REF_NAME).unwrap_or_default();
    let chart = Chart::load(Path::new(&chart))?;
    let parts = PackageParts {
        name: chart.name().parse()?,
        version: chart.version().to_owned(),
        level: Level::Operable,
        previous: None,
        chart: chart.clone(),
        images: vec![PackageImage {
            reference: reference.parse()?,
            original: named.digest.clone(),
            descriptor: named.clone(),
        }],
        request: Request::default().store(&store).await?,
        lock: ImageLock::default(),
    };
    let package = Package::store(&store, parts).await?;
    let context = Context::new(store.clone());
    let started = Instant::now();
    let outcome = Engine::new(Helm::find()?).run(&package, &context).await?;
    eprintln!("{:?} replayed {}", started.elapsed(), outcome.replayed);
    let revision = &outcome.package.revision.digest;
    for attachment in attachments(&store, revision, Some(media_type::REPORT)).await? {
        let report: Report = store.read_json(&attachment.document, 1 << 30).await?;
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    for image in &outcome.package.images {
        store.tag(&"minimized".parse()?, &image.descriptor).await?;
    }
    Ok(())
}
