//! The proofs over the charts this repository has. `make corpus CHARTS=folder` runs them over others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;

use quench_corpus::charts::Corpus;
use quench_corpus::helms;
use quench_corpus::suite::{self, Options};
use quench_corpus::tally::Tally;

fn corpus() -> Corpus {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo");
    Corpus::find(&demo).unwrap()
}

#[test]
fn own_charts_hold_every_claim_on_every_helm() {
    let helms = match helms::find() {
        Ok(helms) => helms,
        Err(error) if std::env::var_os("QUENCH_REQUIRE_TOOLS").is_none() => {
            eprintln!("SKIPPED: {error:#}");
            return;
        }
        Err(error) => panic!("{error:#}"),
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
