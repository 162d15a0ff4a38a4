//! The proofs over the charts this repository has. `make corpus CHARTS=folder` runs them over others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;

use quench_corpus::charts::Corpus;
use quench_corpus::helms::{self, NamedHelm};
use quench_corpus::suite::{self, Options};
use quench_corpus::tally::Tally;
use quench_corpus::{brute_force, recall};

fn corpus() -> Corpus {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo");
    Corpus::find(&demo).unwrap()
}

fn helms() -> Option<Vec<NamedHelm>> {
    match helms::find() {
        Ok(helms) => Some(helms),
        Err(error) if std::env::var_os("QUENCH_REQUIRE_TOOLS").is_none() => {
            eprintln!("SKIPPED: {error:#}");
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn own_charts_hold_every_claim_on_every_helm() {
    let Some(helms) = helms() else {
        return;
    };
    let corpus = corpus();
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        journal: Some(scratch.path().join("journal.jsonl")),
        ..Options::default()
    };
    let proofs = suite::run(&corpus, &helms, &options, |line| println!("{line}")).unwrap();
    assert_eq!(proofs.len(), corpus.charts().count() * helms.len());
    let tally = Tally::new(&proofs);
    assert_eq!(
        tally.complaints(),
        Vec::<String>::new(),
        "{}",
        tally.report()
    );
    for proof in &proofs {
        assert_eq!(proof.unusable, None, "{}", proof.chart);
        assert!(proof.sets.len() >= 6, "{}: {:?}", proof.chart, proof.sets);
        assert!(proof.pods.total > 0, "{}: no pod", proof.chart);
        assert_eq!(proof.pods.after, proof.pods.total, "{:?}", proof.open);
    }

    // A second run, after one that was killed while it wrote, takes everything from the journal.
    let journal = options.journal.as_ref().unwrap();
    let mut text = std::fs::read_to_string(journal).unwrap();
    text.push_str("{\"key\": \"sha256:");
    std::fs::write(journal, &text).unwrap();
    let again = suite::run(&corpus, &helms, &options, |line| {
        assert!(line.ends_with("(as before)"), "{line}");
    })
    .unwrap();
    assert_eq!(again, proofs);
}

#[test]
fn every_image_of_a_single_boolean_is_found_and_brute_force_is_remembered() {
    let Some(helms) = helms() else {
        return;
    };
    let corpus = corpus();
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        journal: Some(scratch.path().join("recall.jsonl")),
        ..Options::default()
    };
    let compare = || recall::compare(&corpus, &helms[0], &options, |line| println!("{line}"));
    let compared = compare().unwrap();
    assert_eq!(compared.len(), corpus.charts().count());
    recall::judge(&compared).unwrap_or_else(|_| panic!("{}", recall::report(&compared)));
    let (brute, search) = compared[0].results.as_ref().unwrap();
    assert!(brute.renders > 2 && brute.images.values().any(String::is_empty));
    assert!(search.renders > 1);

    // What is remembered is taken as it stands, and an image that the search does not know is missed.
    let chart = corpus.load(&compared[0].chart).unwrap();
    let key = brute_force::key(&chart, &helms[0].version);
    let path = options.journal.as_ref().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains(&format!("\"{key}\"")))
        .unwrap();
    let changed = line.replacen("\"images\":{", "\"images\":{\"no-such:1\":\"a.b\",", 1);
    std::fs::write(path, text.replace(line, &changed)).unwrap();
    let compared = compare().unwrap();
    let missed = vec![format!("{}: no-such:1 (a.b)", compared[0].chart)];
    assert_eq!(compared[0].missed(), missed);
    assert!(recall::judge(&compared).is_err());
}
