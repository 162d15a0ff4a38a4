//! Images given beside a chart.

use std::path::Path;
use std::time::Instant;

use quench_ingestor_engine::source::{ChartSource, ImageSource};
use quench_ingestor_engine::{PackOptions, pack};
use quench_model::{Descriptor, media_type};
use quench_package::{EngineError, ImageTable, Submission};
use time::macros::date;

use crate::made::{DEPLOYMENT, blobs, chart, context, copy, have, layout, store};

async fn submit(folder: &tempfile::TempDir, images: &[String]) -> Result<Submission, EngineError> {
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let mut options = PackOptions::new(ChartSource::Folder(chart));
    options.images = images.iter().map(|text| text.parse().unwrap()).collect();
    pack(&options, date!(2026 - 01 - 01), &context(&store(folder))).await
}

async fn table(folder: &tempfile::TempDir, images: &[String]) -> ImageTable {
    submit(folder, images).await.unwrap().parts.images
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = flate2::write::GzEncoder::new(
        std::fs::File::create(to).unwrap(),
        flate2::Compression::fast(),
    );
    std::io::copy(&mut std::fs::File::open(from).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
}

#[tokio::test]
async fn every_form_of_an_image_is_read_and_named() {
    if !have(&["umoci", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let from = format!("oci:{}:latest", image.display());
    let name = "registry.example.org/app:1.0";
    copy(
        &from,
        &format!("docker-archive:{}:{name}", path("docker.tar")),
    );
    copy(&from, &format!("oci-archive:{}:{name}", path("oci.tar")));
    copy(&from, &format!("oci:{}:{name}", path("named")));
    gzip(
        &folder.path().join("docker.tar"),
        &folder.path().join("docker.tar.gz"),
    );
    gzip(
        &folder.path().join("oci.tar"),
        &folder.path().join("oci.tgz"),
    );

    let unnamed = table(&folder, &[format!("oci:{}", image.display())]).await;
    let [only] = unnamed.unnamed.as_slice() else {
        panic!("{unnamed:?}");
    };
    assert_eq!(
        (only.source.as_str(), only.tag.as_deref()),
        ("app", Some("latest"))
    );

    for source in ["oci", "oci-archive"] {
        let file = match source {
            "oci" => vec![path("named")],
            _ => vec![path("oci.tar"), path("oci.tgz")],
        };
        for file in file {
            let named = table(&folder, &[format!("{source}:{file}")]).await;
            assert_eq!(named.images[name].digest, only.descriptor.digest, "{file}");
        }
    }
    // skopeo unpacks the layers, so the image is another manifest over the same files.
    let plain = table(&folder, &[format!("docker-archive:{}", path("docker.tar"))]).await;
    let packed = table(
        &folder,
        &[format!("docker-archive:{}", path("docker.tar.gz"))],
    )
    .await;
    assert_eq!(plain, packed);
    let context = context(&store(&folder));
    let manifest = context.store.manifest(&plain.images[name]).await.unwrap();
    let original = context.store.manifest(&only.descriptor).await.unwrap();
    assert_eq!(manifest.layers.len(), original.layers.len());
    assert!(
        manifest
            .layers
            .iter()
            .all(|layer| layer.media_type == media_type::LAYER)
    );
    for layer in &manifest.layers {
        context.store.verify(layer).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_in_the_store_is_not_read_again() {
    if !have(&["umoci"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = format!(
        "oci:{}",
        layout(folder.path(), "app", "latest", "one").display()
    );
    let first = table(&folder, std::slice::from_ref(&image)).await;
    let manifest = context(&store(&folder))
        .store
        .manifest(&first.unnamed[0].descriptor)
        .await
        .unwrap();
    let hex = manifest.layers[0].digest.hex();
    // Bytes of the same length: whoever reads them again would notice.
    let blob = folder.path().join("app/blobs/sha256").join(&hex);
    let length = std::fs::metadata(&blob).unwrap().len();
    std::fs::write(&blob, vec![0; usize::try_from(length).unwrap()]).unwrap();
    let began = Instant::now();
    assert_eq!(table(&folder, &[image]).await, first);
    eprintln!("second reading took {:?}", began.elapsed());
    context(&store(&folder))
        .store
        .verify(&manifest.layers[0])
        .await
        .unwrap();
}

#[tokio::test]
async fn damaged_layouts_are_refused_and_leave_nothing_wrong_behind() {
    if !have(&["umoci"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let source = [format!("oci:{}", image.display())];
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(image.join("index.json")).unwrap()).unwrap();
    let manifest_hex = index["manifests"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let manifest_path = image.join("blobs/sha256").join(&manifest_hex);
    let manifest = std::fs::read(&manifest_path).unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer_hex = parsed["layers"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let layer_path = image.join("blobs/sha256").join(&layer_hex);
    let layer = std::fs::read(&layer_path).unwrap();

    let mut other = layer.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    for (path, bytes, expected) in [
        (&layer_path, Some(other), "holds other bytes"),
        (
            &layer_path,
            Some(layer[..last].to_vec()),
            "its descriptor says",
        ),
        (
            &layer_path,
            Some([layer.clone(), vec![0]].concat()),
            "its descriptor says",
        ),
        (&layer_path, None, "is missing"),
        (
            &manifest_path,
            Some([manifest.clone(), vec![b' ']].concat()),
            "not what its descriptor says",
        ),
        (&image.join("index.json"), Some(b"{".to_vec()), "index.json"),
        (&image.join("oci-layout"), None, "no OCI image layout"),
    ] {
        let before = std::fs::read(path).unwrap();
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let error = submit(&folder, &source).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!blobs(&store(&folder)).contains(&layer_hex));
        std::fs::write(path, before).unwrap();
    }
    submit(&folder, &source).await.unwrap();
    assert!(blobs(&store(&folder)).contains(&layer_hex));
}

#[tokio::test]
async fn docker_archives_whose_layers_are_not_the_images_are_refused() {
    if !have(&["umoci", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let archive = folder.path().join("docker.tar");
    let to = format!("docker-archive:{}:app:1", archive.display());
    copy(&format!("oci:{}:latest", image.display()), &to);
    let mut bytes = std::fs::read(&archive).unwrap();
    let at = bytes.windows(4).position(|w| w == b"\x7fELF").unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let source = [format!("docker-archive:{}", archive.display())];
    let error = submit(&folder, &source).await.unwrap_err().to_string();
    assert!(
        error.contains("the image's configuration says sha256:"),
        "{error}"
    );
    assert!(error.contains("docker.tar"), "{error}");
}

#[tokio::test]
async fn one_name_for_two_images_is_refused() {
    if !have(&["umoci", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for (name, marker) in [("a", "one"), ("b", "two")] {
        let image = layout(folder.path(), name, "latest", marker);
        let named = folder.path().join(format!("{name}-named"));
        copy(
            &format!("oci:{}:latest", image.display()),
            &format!("oci:{}:registry.example.org/app:1.0", named.display()),
        );
        sources.push(format!("oci:{}", named.display()));
    }
    let error = submit(&folder, &sources).await.unwrap_err().to_string();
    assert!(
        error.contains("registry.example.org/app:1.0 is given twice"),
        "{error}"
    );
    assert!(
        error.contains("a-named") && error.contains("b-named"),
        "{error}"
    );
}

#[tokio::test]
async fn sources_that_are_not_there_or_not_images_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, "hello").unwrap();
    for source in ["oci", "docker-archive", "oci-archive"] {
        for path in ["absent", "text"] {
            let text = format!("{source}:{}", folder.path().join(path).display());
            let error = submit(&folder, std::slice::from_ref(&text))
                .await
                .unwrap_err();
            assert!(error.to_string().contains(path), "{text}: {error}");
        }
    }
    assert!("nginx".parse::<ImageSource>().is_err());
    assert!("dir:x".parse::<ImageSource>().is_err());
    assert!("oci:".parse::<ImageSource>().is_err());
    let absent = Descriptor::of(media_type::LAYER, b"hello");
    assert!(!store(&folder).contains(&absent));
}
