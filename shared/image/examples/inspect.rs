//! Prints what Quench reads from an image of an OCI layout: `inspect LAYOUT STORE`.

use std::time::Instant;

use quench_content::{DirectoryStore, Store};
use quench_image::{Image, facts, platforms};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let layout = arguments.next().ok_or("which OCI layout?")?;
    let store = Store::Directory(DirectoryStore::open(&layout)?);
    let index: quench_content::artefact::Index =
        serde_json::from_slice(&std::fs::read(format!("{layout}/index.json"))?)?;
    for named in &index.manifests {
        for descriptor in platforms(&store, named).await? {
            let started = Instant::now();
            let image = Image::open(&store, &descriptor).await?;
            println!(
                "{} {:?} {:?}",
                descriptor.digest,
                image.contents(),
                started.elapsed()
            );
            println!("{}", serde_json::to_string_pretty(&facts(&image))?);
        }
    }
    Ok(())
}
