//! Archives: hostile ones are refused with their reason, and our own are the same bytes every time.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use quench_chart::Chart;
use tar::{Builder, EntryType, Header};

use crate::programs::{block_on, chart, helms};
use quench_chart::render::Request;

const CHART_YAML: &[u8] = b"apiVersion: v2\nname: demo\nversion: 0.1.0\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One entry with its name written raw: the tar crate itself refuses names like `../x`.
fn entry(name: &[u8], kind: EntryType, size: u64, link: &str) -> Header {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    if !link.is_empty() {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_cksum();
    header
}

fn archive(entries: &[(&[u8], EntryType, &[u8], &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append(
        &entry(
            b"demo/Chart.yaml",
            EntryType::Regular,
            CHART_YAML.len() as u64,
            "",
        ),
        CHART_YAML,
    )
    .unwrap();
    for (name, kind, content, link) in entries {
        tar.append(&entry(name, *kind, content.len() as u64, link), *content)
            .unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

fn refused(bytes: &[u8], reason: &str) {
    let error = Chart::from_tgz(bytes, "bad.tgz").unwrap_err().to_string();
    assert!(error.contains(reason), "{reason}: {error}");
    assert!(
        error.contains("bad.tgz") || error.contains("charts/"),
        "{error}"
    );
}

#[test]
fn hostile_entries_are_refused_by_name() {
    use EntryType as T;
    for (name, kind, link, reason) in [
        (
            &b"demo/../../etc/passwd"[..],
            T::Regular,
            "",
            "\"demo/../../etc/passwd\": chart file",
        ),
        (
            b"../demo/x",
            T::Regular,
            "",
            "does not lie in the chart's base folder",
        ),
        (b"/etc/passwd", T::Regular, "", "absolute"),
        (b"demo//x", T::Regular, "", "empty parts"),
        (b"demo/./x", T::Regular, "", "empty parts"),
        (b"demo\\..\\x", T::Regular, "", "empty parts"),
        (b"demo/c:/x", T::Regular, "", "drive letter"),
        (b"demo/..", T::Directory, "", "empty parts"),
        (b"other/x", T::Regular, "", "base folder \"demo\""),
        (b"demo", T::Regular, "", "does not lie in a base folder"),
        (
            b"demo/link",
            T::Symlink,
            "/etc/passwd",
            "\"demo/link\": is a link",
        ),
        (b"demo/link", T::Link, "demo/Chart.yaml", "is a link"),
        (b"demo/device", T::Char, "", "special file"),
        (b"demo/device", T::Block, "", "special file"),
        (b"demo/pipe", T::Fifo, "", "special file"),
        (b"demo/Chart.yaml", T::Regular, "", "is there twice"),
        (b"demo/\xff\xfe", T::Regular, "", "not UTF-8"),
    ] {
        refused(&archive(&[(name, kind, b"", link)]), reason);
    }
}

#[test]
fn archives_that_are_none_are_refused() {
    refused(b"", "damaged");
    refused(b"kind: Pod\n", "damaged");
    refused(
        &gzip(b"not a tar at all, though a long enough text to look at"),
        "damaged",
    );
    refused(&gzip(&[0; 1024]), "holds no files");
    let good = archive(&[(b"demo/values.yaml", EntryType::Regular, &[b'#'; 9000], "")]);
    for cut in [good.len() / 2, good.len() - 9] {
        let error = Chart::from_tgz(&good[..cut], "bad.tgz").unwrap_err();
        assert!(error.to_string().starts_with("bad.tgz: "), "{error}");
    }
}

/// An extension header, in the format GNU tar or the POSIX standard has for it, before an entry.
fn extended(kind: EntryType, data: &[u8], short: &[u8]) -> Vec<u8> {
    archive(&[
        (b"ext", kind, data, ""),
        (short, EntryType::Regular, b"x", ""),
    ])
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while format!("{length}{rest}").len() != length {
        length = format!("{length}{rest}").len();
    }
    format!("{length}{rest}").into_bytes()
}

#[test]
fn long_names_are_read_and_bounded() {
    let long = format!("demo/{}x", "long/".repeat(100));
    let path = long.strip_prefix("demo/").unwrap();
    let gnu = format!("{long}\0");
    for bytes in [
        extended(EntryType::GNULongName, gnu.as_bytes(), b"demo/short"),
        extended(EntryType::XHeader, &pax("path", &long), b"demo/short"),
    ] {
        let chart = Chart::from_tgz(bytes.as_slice(), "a.tgz").unwrap();
        assert_eq!(chart.text(path), Some("x"));
        assert_eq!(chart.files().len(), 2);
    }
    let ignored = extended(
        EntryType::XGlobalHeader,
        &pax("path", "../evil"),
        b"demo/short",
    );
    let chart = Chart::from_tgz(ignored.as_slice(), "a.tgz").unwrap();
    assert_eq!(chart.text("short"), Some("x"));
    refused(
        &extended(EntryType::XHeader, &pax("path", "demo/../x"), b"demo/short"),
        "empty parts",
    );
    refused(
        &extended(EntryType::GNULongName, b"../x", b"demo/short"),
        "base folder",
    );
    refused(
        &extended(EntryType::XHeader, &pax("size", "9"), b"demo/short"),
        "changes the size",
    );
    refused(
        &extended(EntryType::GNULongName, &[b'a'; 70_000], b"demo/short"),
        "more than 65536 bytes",
    );
    refused(
        &extended(EntryType::GNULongName, &[b'a'; 5_000], b"demo/short"),
        "base folder",
    );
    refused(
        &extended(EntryType::GNUSparse, b"", b"demo/short"),
        "does not lie",
    );
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    // One file that is too large.
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let size = 65 << 20;
    tar.append(
        &entry(b"demo/big", EntryType::Regular, size, ""),
        std::io::repeat(0).take(size),
    )
    .unwrap();
    refused(
        &tar.into_inner().unwrap().finish().unwrap(),
        "more than the 67108864 a file may have",
    );
    // A header that claims more than there is.
    let mut tar = Builder::new(Vec::new());
    tar.append(
        &entry(b"demo/Chart.yaml", EntryType::Regular, 1 << 60, ""),
        CHART_YAML,
    )
    .unwrap();
    refused(&gzip(&tar.into_inner().unwrap()), "more than");
    // Many entries.
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for index in 0..50_001 {
        let name = format!("demo/{index}");
        tar.append(&entry(name.as_bytes(), EntryType::Regular, 0, ""), &b""[..])
            .unwrap();
    }
    refused(
        &tar.into_inner().unwrap().finish().unwrap(),
        "more than 50000 entries",
    );
}

use std::io::Read;

#[test]
fn archives_in_archives_share_one_budget_and_end_somewhere() {
    // A chart that holds itself, seventeen times over.
    let mut inner = archive(&[]);
    for _ in 0..17 {
        inner = archive(&[(b"demo/charts/demo.tgz", EntryType::Regular, &inner, "")]);
    }
    refused(&inner, "nested deeper than 16");
    let bad = archive(&[(b"demo/../x", EntryType::Regular, b"", "")]);
    refused(
        &archive(&[(b"demo/charts/sub-1.tgz", EntryType::Regular, &bad, "")]),
        "charts/sub-1.tgz: entry \"demo/../x\"",
    );
}

#[test]
fn charts_without_their_dependencies_say_what_to_do() {
    let yaml = b"apiVersion: v2\nname: demo\nversion: 0.1.0\ndependencies:\n- {name: common, version: 2.x.x, repository: \"oci://example.org/charts\"}\n";
    let mut tar = Builder::new(Vec::new());
    tar.append(
        &entry(
            b"demo/Chart.yaml",
            EntryType::Regular,
            yaml.len() as u64,
            "",
        ),
        &yaml[..],
    )
    .unwrap();
    let error = Chart::from_tgz(gzip(&tar.into_inner().unwrap()).as_slice(), "a.tgz").unwrap_err();
    assert_eq!(
        error.to_string(),
        "chart demo: common 2.x.x (oci://example.org/charts) missing under charts/; run `helm dependency build` in the \
         chart's folder and try again"
    );
}

fn sample() -> Chart {
    chart(&[
        ("values.yaml", "a: 1\n"),
        (
            "templates/x.yaml",
            "kind: A\nmetadata: {name: {{ .Values.a }}}\n",
        ),
        ("README.md", "r"),
        (
            format!("files/{}", "long/".repeat(30)).trim_end_matches('/'),
            "deep",
        ),
    ])
}

#[test]
fn the_same_chart_is_the_same_bytes() {
    let archive = sample().to_tgz().unwrap();
    assert_eq!(archive, sample().to_tgz().unwrap());
    let again = Chart::from_tgz(archive.as_slice(), "a.tgz").unwrap();
    assert_eq!(again, sample());
    assert_eq!(again.to_tgz().unwrap(), archive);
    // On any host: this changes only with the compressor, and then the digest of every chart does.
    let digest = quench_model::Digest::of(&archive);
    assert_eq!(
        digest.hex(),
        "3f5685aabcef2b32170afbde8c44b9983e6f130eda4ed73d63aaddeb7f9af427"
    );
}

#[test]
fn helm_takes_our_archives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo-0.1.0.tgz");
    std::fs::write(&path, sample().to_tgz().unwrap()).unwrap();
    for (name, helm) in helms() {
        let rendered = block_on(helm.render_path(&path, &Request::default())).unwrap();
        assert_eq!(rendered.documents.len(), 1, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Chart::from_tgz(bytes.as_slice(), "a.tgz").is_err());
        prop_assert!(Chart::from_tgz(gzip(&bytes).as_slice(), "a.tgz").is_err());
    }

    #[test]
    fn broken_archives_never_yield_bad_paths(
        flips in prop::collection::vec((0_usize..4096, any::<u8>()), 1..6),
        name in "[a-z./\\\\]{1,20}",
        kind in any::<u8>(),
    ) {
        let mut tar = Builder::new(Vec::new());
        tar.append(&entry(b"demo/Chart.yaml", EntryType::Regular, CHART_YAML.len() as u64, ""), CHART_YAML).unwrap();
        let name = format!("demo/{name}");
        tar.append(&entry(name.as_bytes(), EntryType::new(kind), 3, ""), &b"abc"[..]).unwrap();
        let mut bytes = tar.into_inner().unwrap();
        for (place, value) in flips {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        if let Ok(chart) = Chart::from_tgz(gzip(&bytes).as_slice(), "a.tgz") {
            for path in chart.files().keys() {
                prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | "..")), "{}", path);
            }
        }
    }
}
