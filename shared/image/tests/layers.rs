//! Images as container runtimes see them, from layers made by another tar writer than our own; and layers that
//! mean harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::io::Write;

use proptest::prelude::*;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_image::{Image, ImageError, Kind, Limits, UnresolvedReason};
use quench_model::{Descriptor, Digest, media_type};
use tempfile::TempDir;

/// Makes a layer with the `tar` crate.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(
        mut self,
        path: &str,
        kind: tar::EntryType,
        mode: u32,
        link: &str,
        data: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(data.len() as u64);
        // The crate refuses `..`; a hostile writer would not.
        if path.len() <= 100 {
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            self.0.append(&header, data).unwrap();
        } else {
            self.0.append_data(&mut header, path, data).unwrap();
        }
        self
    }

    fn file(self, path: &str, data: &str) -> Self {
        self.entry(path, tar::EntryType::Regular, 0o644, "", data.as_bytes())
    }

    fn folder(self, path: &str) -> Self {
        self.entry(path, tar::EntryType::Directory, 0o755, "", b"")
    }

    fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(path, tar::EntryType::Symlink, 0o777, to, b"")
    }

    fn hard_link(self, path: &str, to: &str) -> Self {
        self.entry(path, tar::EntryType::Link, 0o644, to, b"")
    }

    fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

struct Fixture {
    store: Store,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
        Self { store, folder }
    }

    async fn image(&self, layers: &[(Vec<u8>, Digest)], config: &str) -> Descriptor {
        let diff_ids: Vec<&Digest> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        let document = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self
            .store
            .put_json(media_type::CONFIG, &document)
            .await
            .unwrap();
        let mut named = Vec::new();
        for (blob, _) in layers {
            named.push(self.store.put(media_type::LAYER_GZIP, blob).await.unwrap());
        }
        let mut manifest = Manifest::artefact("", named);
        manifest.artifact_type = None;
        manifest.config = config;
        self.store.put_manifest(&manifest).await.unwrap()
    }

    async fn open(&self, tars: Vec<Vec<u8>>) -> Result<Image, ImageError> {
        self.open_within(tars, &Limits::default()).await
    }

    async fn open_within(&self, tars: Vec<Vec<u8>>, limits: &Limits) -> Result<Image, ImageError> {
        let layers: Vec<_> = tars
            .into_iter()
            .map(|tar| (tar.clone(), Digest::of(&tar)))
            .collect();
        let descriptor = self.image(&layers, "{}").await;
        Image::open_within(&self.store, &descriptor, limits).await
    }
}

fn paths(image: &Image) -> Vec<String> {
    image.tree().iter().map(|entry| entry.path()).collect()
}

fn text(image: &Image, path: &str) -> String {
    let found = image.tree().resolve(path).unwrap();
    String::from_utf8(image.tree().read(found.entry, 1000).unwrap()).unwrap()
}

fn refusal(result: Result<Image, ImageError>) -> String {
    match result {
        Ok(image) => panic!("was accepted: {:?}", paths(&image)),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn upper_layers_replace_hide_and_empty_what_is_below() {
    let fixture = Fixture::new();
    let image = fixture
        .open(vec![
            Layer::new()
                .file("./a/kept", "1")
                .file("./a/gone", "1")
                .file("./b/old", "1")
                .file("./c/sub/x", "1")
                .file("./d", "file")
                .tar(),
            Layer::new()
                // Whiteouts count for lower layers only, wherever they stand.
                .file("b/new", "2")
                .file("b/.wh..wh..opq", "")
                .file("a/.wh.gone", "")
                .file("a/.wh.never-there", "")
                .file("c/.wh.sub", "")
                .folder("d")
                .file("d/in", "2")
                .file(".wh..wh.plnk", "")
                .tar(),
            Layer::new().file("c/sub/y", "3").tar(),
        ])
        .await
        .unwrap();
    assert_eq!(
        paths(&image),
        [
            "/a", "/a/kept", "/b", "/b/new", "/c", "/c/sub", "/c/sub/y", "/d", "/d/in"
        ]
    );
    assert_eq!(image.tree().lookup("/c/sub/y").unwrap().layer(), 2);
}

#[tokio::test]
async fn links_lead_on_inside_the_image_and_never_out() {
    let fixture = Fixture::new();
    let image = fixture
        .open(vec![
            Layer::new()
                .folder("usr/bin")
                .symlink("bin", "usr/bin")
                .file("usr/bin/dash", "shell")
                .symlink("usr/bin/sh", "dash")
                .symlink("out", "../../../../usr/bin/sh")
                .symlink("loop", "loop")
                .symlink("a", "b/x")
                .symlink("b", "a")
                .symlink("nowhere", "/none")
                .tar(),
            // What a layer puts below a link goes where the link leads, as containerd does it.
            Layer::new()
                .file("bin/tool", "t")
                .hard_link("usr/bin/hard", "bin/sh")
                .tar(),
        ])
        .await
        .unwrap();
    let tree = image.tree();
    assert_eq!(text(&image, "/bin/sh"), "shell");
    assert_eq!(text(&image, "/out"), "shell");
    assert_eq!(text(&image, "usr/bin/tool"), "t");
    let found = tree.resolve("/bin/sh").unwrap();
    let links: Vec<String> = found.links.iter().map(|link| link.path()).collect();
    assert_eq!(links, ["/bin", "/usr/bin/sh"]);
    assert_eq!(tree.locate("/bin/sh").unwrap().entry.path(), "/usr/bin/sh");
    assert_eq!(tree.lookup("/usr/bin/hard").unwrap().target(), Some("dash"));
    for (path, reason) in [
        ("/loop", UnresolvedReason::TooManyLinks),
        ("/a", UnresolvedReason::TooManyLinks),
        ("/nowhere", UnresolvedReason::NotFound),
        ("/bin/sh/x", UnresolvedReason::NotAFolder),
        ("/bin/sh/", UnresolvedReason::NotAFolder),
    ] {
        assert_eq!(tree.resolve(path).unwrap_err().reason, reason, "{path}");
    }
}

#[tokio::test]
async fn hard_links_share_their_content_and_outlive_their_first_name() {
    let fixture = Fixture::new();
    let image = fixture
        .open(vec![
            Layer::new().file("a", "data").hard_link("b", "a").tar(),
            Layer::new().file(".wh.a", "").hard_link("c", "./b").tar(),
        ])
        .await
        .unwrap();
    assert_eq!(paths(&image), ["/b", "/c"]);
    assert_eq!(text(&image, "/c"), "data");
    let tree = image.tree();
    let id = |path| tree.lookup(path).unwrap().content_id();
    assert_eq!(id("/b"), id("/c"));
    assert_eq!(image.contents().bytes, 4);
}

#[tokio::test]
async fn names_of_any_length_and_attributes_come_through() {
    let fixture = Fixture::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let mut builder = Layer::new().file(&long, "long");
    let capability: &[u8] = b"\x01\0\0\x02\0\n\0\0=\0\0\0\0\0\0\0\0\0\0\0";
    builder
        .0
        .append_pax_extensions([("SCHILY.xattr.security.capability", capability)])
        .unwrap();
    let tar = builder
        .entry("ping", tar::EntryType::Regular, 0o4755, "", b"p")
        .entry("fifo", tar::EntryType::Fifo, 0o600, "", b"")
        .tar();
    let image = fixture.open(vec![tar]).await.unwrap();
    assert_eq!(text(&image, &long), "long");
    let ping = image.tree().lookup("ping").unwrap();
    assert_eq!(
        (ping.mode(), ping.uid(), ping.gid(), ping.capability()),
        (0o4755, 7, 8, Some(capability))
    );
    assert_eq!(image.tree().lookup("fifo").unwrap().kind(), Kind::Fifo);
}

#[tokio::test]
async fn a_layer_is_the_same_plain_gzip_zstd_or_in_members() {
    let tar = Layer::new().file("a", "data").tar();
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    for blob in [
        tar.clone(),
        gzip(&tar),
        members,
        zstd::encode_all(&tar[..], 3).unwrap(),
    ] {
        let fixture = Fixture::new();
        let descriptor = fixture.image(&[(blob, Digest::of(&tar))], "{}").await;
        let image = Image::open(&fixture.store, &descriptor).await.unwrap();
        assert_eq!(text(&image, "/a"), "data");
    }
}

#[tokio::test]
async fn hostile_layers_are_refused_by_name_and_reason() {
    let fixture = Fixture::new();
    let small = Limits {
        entries: 10,
        unpacked: 100_000,
        names: 100,
        ..Limits::default()
    };
    let zeros = "0".repeat(200_000);
    let many = (0..12).fold(Layer::new(), |layer, n| layer.file(&format!("{n}"), ""));
    let deep = Layer::new().file(&vec!["d"; 40].join("/"), "");
    let names = Layer::new()
        .file(&"n".repeat(99), "")
        .file(&"m".repeat(99), "");
    for (layer, reason) in [
        (Layer::new().file("../../etc/passwd", "x"), "climbs out"),
        (Layer::new().file("a/../../x", "x"), "climbs out"),
        (
            Layer::new().hard_link("x", "../../etc/shadow"),
            "climbs out",
        ),
        (Layer::new().hard_link("x", "missing"), "not there"),
        (
            Layer::new().folder("f").hard_link("x", "f"),
            "to the folder",
        ),
        (Layer::new().file("f", "").file("f/x", ""), "no folder"),
        (
            Layer::new().symlink("l", "l").file("l/x", ""),
            "loop of links",
        ),
        (Layer::new().file("x/.wh...", ""), "impossible whiteout"),
        (Layer::new().file(".wh..wh..opq", ""), "hides everything"),
        (
            Layer::new().entry("s", tar::EntryType::GNUSparse, 0o644, "", b""),
            "sparse",
        ),
        (
            Layer::new().entry("s", tar::EntryType::new(b'?'), 0o644, "", b""),
            "unknown tar type",
        ),
        (Layer::new().file("zeros", &zeros), "more than 100000 bytes"),
        (many, "more than 10 entries"),
        (deep, "more than 10 files"),
        (names, "more than 100 bytes"),
    ] {
        let told = refusal(fixture.open_within(vec![layer.tar()], &small).await);
        assert!(
            told.contains(reason) && told.starts_with("layer sha256:"),
            "{reason}: {told}"
        );
    }
}

/// Writes a tar with one file of a gibibyte of nothing.
fn bomb<W: Write>(mut out: W) -> W {
    let mut header = tar::Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(1 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    out.write_all(header.as_bytes()).unwrap();
    for _ in 0..1024 {
        out.write_all(&vec![0; 1 << 20]).unwrap();
    }
    out
}

#[tokio::test]
async fn a_bomb_stops_at_the_limit_and_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let gzip = bomb(gzip).finish().unwrap();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.long_distance_matching(true).unwrap();
    let zstd = bomb(zstd).finish().unwrap();
    assert!(zstd.len() < 200_000, "{}", zstd.len());
    let limits = Limits {
        unpacked: 50 << 20,
        ..Limits::default()
    };
    for blob in [gzip, zstd] {
        let descriptor = fixture.image(&[(blob, Digest::of(b"?"))], "{}").await;
        let told = refusal(Image::open_within(&fixture.store, &descriptor, &limits).await);
        assert!(told.contains("more than 52428800 bytes"), "{told}");
        let cache = fixture.store.cache_dir().join("layers");
        assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0);
    }
}

/// A frame may ask for a window of gibibytes to be held: RFC 8878 lets decoders refuse that.
#[tokio::test]
async fn a_zstd_frame_that_wants_a_huge_window_is_refused() {
    let fixture = Fixture::new();
    let mut out = zstd::Encoder::new(Vec::new(), 1).unwrap();
    out.window_log(31).unwrap();
    out.include_contentsize(false).unwrap();
    let tar = Layer::new().file("a", "small").tar();
    out.write_all(&tar).unwrap();
    let blob = out.finish().unwrap();
    let descriptor = fixture.image(&[(blob, Digest::of(&tar))], "{}").await;
    let told = refusal(Image::open(&fixture.store, &descriptor).await);
    assert!(told.contains("zstd") || told.contains("memory"), "{told}");
}

#[tokio::test]
async fn digests_must_fit_even_when_the_tar_is_known_already() {
    let fixture = Fixture::new();
    let harmless = Layer::new().file("a", "harmless").tar();
    let harmful = Layer::new().file("a", "harmful").tar();
    fixture.open(vec![harmless.clone()]).await.unwrap();
    let forged = fixture
        .image(&[(harmful, Digest::of(&harmless))], "{}")
        .await;
    let told = refusal(Image::open(&fixture.store, &forged).await);
    assert!(told.contains("uncompressed tar hashes to"), "{told}");
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew() {
    let fixture = Fixture::new();
    let tar = Layer::new().file("a", "data").tar();
    fixture.open(vec![tar.clone()]).await.unwrap();
    for file in std::fs::read_dir(fixture.store.cache_dir().join("layers")).unwrap() {
        std::fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(text(&fixture.open(vec![tar]).await.unwrap(), "/a"), "data");
    assert!(fixture.folder.path().exists());
}

#[tokio::test]
async fn a_plain_layer_is_read_where_it_is_stored() {
    let fixture = Fixture::new();
    let kept = || {
        let files = std::fs::read_dir(fixture.store.cache_dir().join("layers")).unwrap();
        let mut endings: Vec<String> = files
            .map(|file| {
                let name = file.unwrap().file_name().into_string().unwrap();
                name.rsplit_once('.').unwrap().1.to_owned()
            })
            .collect();
        endings.sort();
        endings
    };
    let tar = Layer::new().file("a", "plain").tar();
    for _ in 0..2 {
        let image = fixture.open(vec![tar.clone()]).await.unwrap();
        assert_eq!(text(&image, "/a"), "plain");
        assert_eq!(kept(), ["diffid", "index"], "no copy of the tar");
    }
    // What was promised to be plain is looked at as any other blob.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&tar).unwrap();
    let packed = packed.finish().unwrap();
    let forged = fixture
        .image(&[(packed.clone(), Digest::of(&packed))], "{}")
        .await;
    let told = refusal(Image::open(&fixture.store, &forged).await);
    assert!(told.contains("uncompressed tar hashes to"), "{told}");
    // Without the blob there is nothing to read.
    let layers = [(tar.clone(), Digest::of(&tar))];
    let descriptor = fixture.image(&layers, "{}").await;
    std::fs::remove_file(fixture.store.local_path(&layers[0].1)).unwrap();
    let told = refusal(Image::open(&fixture.store, &descriptor).await);
    assert!(told.contains(&layers[0].1.to_string()), "{told}");
}

#[tokio::test]
async fn users_are_resolved_by_the_images_own_files() {
    let fixture = Fixture::new();
    let tar = Layer::new()
        .file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/var/www:/bin/false\n1:x:5:6::/:\n",
        )
        .file("etc/group", "root:x:0:\nops:x:50:\n")
        .tar();
    let image = fixture.open(vec![tar]).await.unwrap();
    for (user, expected) in [
        ("", (Some(0), Some(0))),
        ("www", (Some(33), Some(34))),
        ("33", (Some(33), Some(34))),
        ("33:ops", (Some(33), Some(50))),
        ("www:7", (Some(33), Some(7))),
        ("1000", (Some(1000), Some(0))),
        ("1", (Some(5), Some(6))),
        ("nobody-knows", (None, None)),
        ("-1", (None, None)),
        ("99999999999", (None, None)),
    ] {
        assert_eq!(
            quench_image::user_ids(image.tree(), user),
            expected,
            "{user:?}"
        );
    }
}

#[tokio::test]
async fn folders_that_hold_only_folders_are_told_one_by_one() {
    let fixture = Fixture::new();
    let tar = Layer::new()
        .folder("srv/server/")
        .folder("srv/server/data/")
        .folder("srv/server/data/new/")
        .folder("srv/filled/")
        .folder("srv/filled/data/")
        .file("srv/filled/data/seed", "text")
        .tar();
    let layers = [(tar.clone(), Digest::of(&tar))];
    let descriptor = fixture.image(&layers, r#"{"User": "7:8"}"#).await;
    let image = Image::open(&fixture.store, &descriptor).await.unwrap();
    let writable = quench_image::facts(&image).writable.unwrap();
    let told: Vec<_> = writable
        .iter()
        .map(|path| (path.path(), path.copy_up()))
        .collect();
    assert_eq!(
        told,
        [
            ("/srv/filled", true),
            ("/srv/server/data/new", false),
            ("/srv/server/data", false),
            ("/srv/server", false),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bytes, an image opens or is refused; and what opens can be walked and resolved.
    #[test]
    fn damaged_layers_never_do_more_than_fail(
        at in 0usize..3000, byte in any::<u8>(), cut in 0usize..4000, extra in proptest::collection::vec(any::<u8>(), 0..600)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut tar = Layer::new()
            .file("usr/a", "data").symlink("b", "usr/a").hard_link("c", "usr/a").file("usr/.wh.x", "")
            .file(&format!("{}/x", "l".repeat(150)), "long")
            .tar();
        let at = at % tar.len();
        tar[at] = byte;
        tar.truncate(cut.max(512));
        tar.extend(extra);
        runtime.block_on(async {
            let fixture = Fixture::new();
            if let Ok(image) = fixture.open(vec![tar]).await {
                for entry in image.tree().iter() {
                    let path = entry.path();
                    assert!(path.starts_with('/') && !path.split('/').any(|part| part == ".."));
                    let _ = image.tree().resolve(&path);
                    if entry.is_file() {
                        let _ = image.tree().read(entry, 1 << 20);
                    }
                }
            }
        });
    }
}
