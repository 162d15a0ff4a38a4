//! Archives made to do harm, of up to ten thousand entries: refused by name, or contained; nothing is ever written
//! outside the store.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quench_chart::Chart;
use quench_content::{DirectoryStore, Store};
use quench_image::Image;
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{PackOptions, pack};
use quench_model::{Descriptor, Digest, media_type};
use quench_package::{Context, EngineError};
use serde_json::json;
use tar::EntryType;
use time::macros::date;

/// One entry of an archive.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    kind: u8,
    link: String,
    content: Vec<u8>,
    /// What the header says of the size, where that is not the content's.
    claimed: Option<u64>,
    /// Whether a pax header carries the name, rather than the entry's own.
    pax: bool,
}

impl Entry {
    fn file(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: b'0',
            link: String::new(),
            content: b"content".to_vec(),
            claimed: None,
            pax: name.len() > 100,
        }
    }

    fn of(kind: u8, name: &str, link: &str) -> Self {
        Self {
            kind,
            link: link.to_owned(),
            content: Vec::new(),
            ..Self::file(name)
        }
    }

    fn write(&self, tar: &mut Vec<u8>) {
        if self.pax {
            let record = |length: usize| format!("{length} path={}\n", self.name);
            let mut length = record(0).len();
            while record(length).len() != length {
                length = record(length).len();
            }
            let record = record(length);
            header(tar, b"pax", b'x', "", record.len() as u64);
            body(tar, record.as_bytes());
        }
        let name: Vec<u8> = self.name.bytes().take(100).collect();
        let size = self.claimed.unwrap_or(self.content.len() as u64);
        header(tar, &name, self.kind, &self.link, size);
        body(tar, &self.content);
    }
}

fn header(tar: &mut Vec<u8>, name: &[u8], kind: u8, link: &str, size: u64) {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name);
    let link: Vec<u8> = link.bytes().take(100).collect();
    gnu.linkname[..link.len()].copy_from_slice(&link);
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
}

fn body(tar: &mut Vec<u8>, content: &[u8]) {
    tar.extend_from_slice(content);
    tar.resize(tar.len().div_ceil(512) * 512, 0);
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        entry.write(&mut tar);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What harm an entry can do; `prefix` is the folder harmless entries of the archive lie in.
fn harmful(prefix: &'static str) -> impl Strategy<Value = Entry> {
    let at = move |name: &str| format!("{prefix}{name}");
    prop_oneof![
        Just(Entry::file("../canary/outside")),
        Just(Entry::file(&at("../../canary/outside"))),
        Just(Entry::file("/tmp/quench-hostile-outside")),
        Just(Entry::file(&at("a/./b"))),
        Just(Entry::file(&at("c:/windows"))),
        Just(Entry::file(&at("back\\..\\..\\slash"))),
        Just(Entry::file("")),
        Just(Entry::file(&at(&"n/".repeat(3_000)))),
        Just(Entry::file(&at(&"long".repeat(20_000)))),
        Just(Entry::of(b'2', &at("link"), "../../canary/kept")),
        Just(Entry::of(b'2', &at("link"), "/etc/passwd")),
        Just(Entry::of(b'2', &at("loop"), "loop")),
        Just(Entry::file(&at("link/through"))),
        Just(Entry::of(b'1', &at("hard"), "../../canary/kept")),
        Just(Entry::of(b'1', &at("hard"), "/etc/shadow")),
        Just(Entry::of(b'1', &at("hard"), "absent")),
        Just(Entry::of(b'3', &at("character"), "")),
        Just(Entry::of(b'4', &at("block"), "")),
        Just(Entry::of(b'6', &at("pipe"), "")),
        Just(Entry::of(b'S', &at("sparse"), "")),
        Just(Entry::of(b'L', "././@LongLink", "")),
        Just(Entry::of(b'?', &at("unknown"), "")),
        (1_u64..1 << 33).prop_map(move |claimed| Entry {
            claimed: Some(claimed),
            ..Entry::file(&at("claims"))
        }),
        Just(Entry::file(&at("twice"))),
        Just(Entry::of(b'5', &at("twice"), "")),
    ]
}

/// Harmless entries in which some that are not are spread.
fn entries(prefix: &'static str) -> impl Strategy<Value = Vec<Entry>> {
    let harm = prop::collection::vec((harmful(prefix), any::<prop::sample::Index>()), 0..6);
    (0_usize..10_000, harm).prop_map(move |(count, harm)| {
        let harmless = |at| Entry::file(&format!("{prefix}d{}/f{at}", at % 97));
        let mut entries: Vec<Entry> = (0..count).map(harmless).collect();
        for (entry, at) in harm {
            entries.insert(at.index(entries.len() + 1), entry);
        }
        entries
    })
}

/// A folder with a store in it, and things around it that have to stay as they are.
struct Place {
    folder: tempfile::TempDir,
    store: DirectoryStore,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let canary = folder.path().join("canary");
        std::fs::create_dir(&canary).unwrap();
        std::fs::write(canary.join("kept"), "kept").unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let store = DirectoryStore::open(folder.path().join("work/store")).unwrap();
        let before = outside(folder.path());
        Self {
            folder,
            store,
            before,
        }
    }

    fn context(&self) -> Context {
        Context::new(Store::Directory(self.store.clone()))
    }

    /// Nothing outside the store has changed, and all of the store is whole.
    fn check(&self, given: &Path) {
        let mut now = outside(self.folder.path());
        now.remove(given);
        assert_eq!(now, self.before);
        assert!(!Path::new("/tmp/quench-hostile-outside").exists());
        assert_eq!(
            std::fs::read_dir(self.store.root().join("staging"))
                .unwrap()
                .count(),
            0
        );
        for blob in std::fs::read_dir(self.store.root().join("blobs/sha256")).unwrap() {
            let path = blob.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(Digest::of(std::fs::read(&path).unwrap()).hex(), name);
        }
    }
}

/// Every file below a folder, but for the store.
fn outside(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && path.ends_with("work/store") => {}
                kind if kind.is_dir() => {
                    found.insert(path.clone(), Vec::new());
                    open.push(path);
                }
                kind if kind.is_file() => {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
                _ => {
                    found.insert(path, b"special".to_vec());
                }
            }
        }
    }
    found
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Packs an archive that was written to `name`; what is refused has to be named.
fn taken(place: &Place, name: &str, bytes: &[u8], source: &str) -> Result<(), EngineError> {
    let path = place.folder.path().join("work").join(name);
    std::fs::write(&path, bytes).unwrap();
    let source: ChartSource = format!("{source}{}", path.display()).parse().unwrap();
    let mut options = PackOptions::new(source);
    options.name = Some("hostile".to_owned());
    let result = block_on(pack(&options, date!(2026 - 01 - 01), &place.context()));
    place.check(&path);
    result.map(|_| ()).inspect_err(|error| {
        let told = error.to_string();
        assert!(matches!(error, EngineError::Input(_)), "{told}");
        assert!(told.contains(name) && told.len() < 2_000, "{told}");
    })
}

fn json_file(name: &str, value: &serde_json::Value) -> Entry {
    Entry {
        content: value.to_string().into_bytes(),
        ..Entry::file(name)
    }
}

/// The entries of a good archive of an image, in both forms; its one layer is a tar of `layer`.
fn image(layer: &[u8]) -> Vec<Entry> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer)]},
    });
    let config = config.to_string().into_bytes();
    let blob = |bytes: &[u8]| Entry {
        content: bytes.to_vec(),
        ..Entry::file(&format!("blobs/sha256/{}", Digest::of(bytes).hex()))
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, &config),
        "layers": [Descriptor::of(media_type::LAYER, layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let of = Descriptor::of(media_type::MANIFEST, &manifest);
    let paths = [blob(&config).name, blob(layer).name];
    vec![
        json_file("oci-layout", &json!({"imageLayoutVersion": "1.0.0"})),
        json_file(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": [of]}),
        ),
        json_file(
            "manifest.json",
            &json!([{"Config": paths[0], "RepoTags": ["hostile:1"], "Layers": [paths[1]]}]),
        ),
        blob(&config),
        blob(layer),
        blob(&manifest),
    ]
}

#[test]
fn the_archives_these_tests_are_made_of_are_good() {
    let chart = json_file(
        "demo/Chart.yaml",
        &json!({"apiVersion": "v2", "name": "demo", "version": "1.0.0"}),
    );
    let mut entries = vec![chart];
    entries.extend((0..9_000).map(|at| Entry::file(&format!("demo/d{}/f{at}", at % 97))));
    taken(&Place::new(), "chart.tgz", &gzip(&archive(&entries)), "").unwrap();
    let mut entries = image(&archive(&[Entry::file("a")]));
    entries.extend((0..9_000).map(|at| Entry::file(&format!("d{}/f{at}", at % 97))));
    for form in ["docker-archive:", "oci-archive:"] {
        taken(&Place::new(), "image.tar", &archive(&entries), form).unwrap();
        taken(
            &Place::new(),
            "image.tar.gz",
            &gzip(&archive(&entries)),
            form,
        )
        .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chart_archives_do_no_harm(entries in entries("demo/")) {
        let place = Place::new();
        let chart = json_file("demo/Chart.yaml", &json!({"apiVersion": "v2", "name": "demo", "version": "1.0.0"}));
        let entries: Vec<Entry> = std::iter::once(chart).chain(entries).collect();
        let bytes = gzip(&archive(&entries));
        let result = taken(&place, "chart.tgz", &bytes, "");
        let special = |entry: &Entry| !matches!(entry.kind, b'0' | b'5' | b'L');
        prop_assert!(result.is_err() || !entries.iter().any(special));
        if result.is_ok() {
            // What is taken can be written out, and stays where it is written.
            let folder = place.folder.path().join("work/written");
            Chart::from_tgz(bytes.as_slice(), "chart.tgz").unwrap().write_to(&folder).unwrap();
            std::fs::remove_dir_all(&folder).unwrap();
            place.check(&place.folder.path().join("work/chart.tgz"));
        }
    }

    #[test]
    fn image_archives_do_no_harm(entries in entries("x/"), form in prop::sample::select(vec!["docker-archive:", "oci-archive:"])) {
        let place = Place::new();
        let mut all = image(&archive(&[Entry::file("a")]));
        all.splice(3..3, entries.iter().cloned());
        let result = taken(&place, "image.tar", &archive(&all), form);
        let device = |entry: &Entry| matches!(entry.kind, b'3' | b'4' | b'6' | b'S' | b'?');
        prop_assert!(result.is_err() || !entries.iter().any(device));
    }

    #[test]
    fn layers_do_no_harm(entries in entries("x/")) {
        let place = Place::new();
        let layer = archive(&entries);
        let all = archive(&image(&layer));
        prop_assert!(taken(&place, "image.tar", &all, "oci-archive:").is_ok(), "level 1 reads no layers");
        let manifest = image(&layer).pop().unwrap().content;
        let descriptor = Descriptor::of(media_type::MANIFEST, &manifest);
        let store = Store::Directory(place.store.clone());
        let opened = block_on(Image::open(&store, &descriptor));
        if let Ok(image) = &opened {
            for entry in image.tree().iter() {
                let path = entry.path();
                prop_assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
            }
        }
        place.check(&place.folder.path().join("work/image.tar"));
    }
}

#[test]
fn bombs_are_refused_before_they_fill_anything() {
    let zeros = |count: u64| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let mut head = Vec::new();
        header(&mut head, b"demo/zeros", b'0', "", count);
        encoder.write_all(&head).unwrap();
        let chunk = vec![0; 1 << 20];
        for _ in 0..count >> 20 {
            encoder.write_all(&chunk).unwrap();
        }
        encoder.finish().unwrap()
    };
    let bomb = zeros(1200 << 20);
    let error = taken(&Place::new(), "bomb.tgz", &bomb, "")
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than the"), "{error}");
    for form in ["docker-archive:", "oci-archive:"] {
        let error = taken(&Place::new(), "bomb.tar.gz", &bomb, form)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unpacks to more than"), "{error}");
    }
}
