//! Proofs in numbers and tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::proof::{Claim, PodCounts, Proof};

/// Share of pods that must pass "restricted" when hardening is on.
const RESTRICTED_SHARE: f64 = 0.95;
/// Most lines of one sort shown.
const MAX_SHOWN: usize = 40;

/// Proofs of many charts, by helm.
#[derive(Debug)]
pub struct Tally<'p> {
    proofs: &'p [Proof],
    by_helm: BTreeMap<&'p str, Vec<&'p Proof>>,
}

impl<'p> Tally<'p> {
    /// Groups proofs by helm.
    pub fn new(proofs: &'p [Proof]) -> Self {
        let mut by_helm: BTreeMap<&str, Vec<&Proof>> = BTreeMap::new();
        for proof in proofs {
            by_helm.entry(&proof.helm).or_default().push(proof);
        }
        Self { proofs, by_helm }
    }

    /// What does not hold, one sentence each; empty where everything does.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (helm, proofs) in &self.by_helm {
            for claim in Claim::ALL {
                let failing = charts_failing(proofs, claim);
                if failing > 0 {
                    complaints.push(format!(
                        "helm {helm}: {:?} does not hold of {failing} charts",
                        claim.text()
                    ));
                }
            }
            for (when, counts) in [
                ("at the first values", sum(proofs, |proof| proof.pods)),
                ("at all values", sum(proofs, |proof| proof.all_pods)),
            ] {
                if share(counts.after, counts.total) < RESTRICTED_SHARE {
                    complaints.push(format!(
                        "helm {helm}: {} of {} pods pass restricted {when}, less than {:.0} %",
                        counts.after,
                        counts.total,
                        RESTRICTED_SHARE * 100.0
                    ));
                }
            }
            if proofs.iter().all(|proof| proof.sets.is_empty()) {
                complaints.push(format!("helm {helm}: no chart could be tried"));
            }
        }
        complaints
    }

    /// The numbers for people: a column for each helm.
    pub fn table(&self) -> String {
        type Cell = fn(&[&Proof]) -> String;
        let rows: [(&str, Cell); 14] = [
            ("charts", |p| p.len().to_string()),
            ("  not usable", |p| {
                count(p, |proof| proof.unusable.is_some()).to_string()
            }),
            ("  at 6 value sets or more", |p| {
                count(p, |proof| proof.sets.len() >= 6).to_string()
            }),
            ("value sets tried", |p| total(p, |proof| proof.sets.len())),
            ("  the original refuses", |p| {
                total(p, |proof| proof.refused)
            }),
            ("  the same bytes when off", |p| {
                total(p, |proof| proof.identical)
            }),
            ("objects compared", |p| total(p, |proof| proof.objects)),
            ("charts: can be hardened", |p| holding(p, Claim::Hardens)),
            ("charts: off renders as the original", |p| {
                holding(p, Claim::OffIsOriginal)
            }),
            ("charts: on renders", |p| holding(p, Claim::OnRenders)),
            ("charts: template agrees with evaluator", |p| {
                holding(p, Claim::TemplateIsEvaluator)
            }),
            ("charts: open pods are explained", |p| {
                holding(p, Claim::OpenPodIsExplained)
            }),
            ("pods restricted, first values", |p| {
                pods(sum(p, |proof| proof.pods))
            }),
            ("pods restricted, all values", |p| {
                pods(sum(p, |proof| proof.all_pods))
            }),
        ];
        let mut text = format!("{:42}", "");
        for helm in self.by_helm.keys() {
            let _ = write!(text, "{helm:>28}");
        }
        text.push('\n');
        for (name, cell) in rows {
            let _ = write!(text, "{name:42}");
            for proofs in self.by_helm.values() {
                let _ = write!(text, "{:>28}", cell(proofs));
            }
            text.push('\n');
        }
        text
    }

    /// Everything worth reading, in Markdown: numbers, what fails, what could not be used, which pods stay open by which rule.
    pub fn report(&self) -> String {
        let mut text = format!(
            "# Proofs over a corpus of charts\n\n```\n{}```\n",
            self.table()
        );
        let mut failures: BTreeMap<Claim, Vec<String>> = BTreeMap::new();
        for proof in self.proofs {
            for failure in &proof.failures {
                failures.entry(failure.claim).or_default().push(format!(
                    "{} ({}, {}): {}",
                    proof.chart,
                    proof.helm,
                    failure.set,
                    failure.seen.trim().replace('\n', "\n    ")
                ));
            }
        }
        for (claim, lines) in failures {
            list(&mut text, &format!("Fails: {}", claim.text()), &lines);
        }
        let unusable: Vec<String> = self
            .proofs
            .iter()
            .filter_map(|proof| {
                let reason = proof.unusable.as_deref()?;
                Some(format!("{} ({}): {reason}", proof.chart, proof.helm))
            })
            .collect();
        list(&mut text, "Not usable", &unusable);
        self.open_pods(&mut text);
        text
    }

    fn open_pods(&self, text: &mut String) {
        let Some(proofs) = self.by_helm.values().next_back() else {
            return;
        };
        // Control, rule and reason, to the pods that stay open for it.
        let mut open: BTreeMap<(&str, &str, &str), Vec<String>> = BTreeMap::new();
        for proof in proofs {
            for pod in &proof.open {
                let rule = pod.rule.as_deref().unwrap_or("NOT EXPLAINED");
                open.entry((&pod.control, rule, &pod.reason))
                    .or_default()
                    .push(format!("{}:{} {}", proof.chart, pod.object, pod.detail));
            }
        }
        let mut open: Vec<_> = open.into_iter().collect();
        open.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
        let _ = writeln!(
            text,
            "\n## What keeps pods from \"restricted\" (first values)\n"
        );
        for ((control, rule, reason), places) in open {
            let _ = writeln!(
                text,
                "- {} × {control}, rule `{rule}`: {reason}",
                places.len()
            );
            for place in places.iter().take(MAX_SHOWN / 4) {
                let _ = writeln!(text, "  - {place}");
            }
        }
    }
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n## {title} ({})\n", lines.len());
    for line in lines.iter().take(MAX_SHOWN) {
        let _ = writeln!(text, "- {line}");
    }
    if lines.len() > MAX_SHOWN {
        let _ = writeln!(text, "- and {} more", lines.len() - MAX_SHOWN);
    }
}

fn count(proofs: &[&Proof], wanted: impl Fn(&Proof) -> bool) -> usize {
    proofs.iter().filter(|proof| wanted(proof)).count()
}

fn total(proofs: &[&Proof], number: impl Fn(&Proof) -> usize) -> String {
    proofs
        .iter()
        .map(|proof| number(proof))
        .sum::<usize>()
        .to_string()
}

fn charts_failing(proofs: &[&Proof], claim: Claim) -> usize {
    count(proofs, |proof| {
        proof.failures.iter().any(|failure| failure.claim == claim)
    })
}

fn holding(proofs: &[&Proof], claim: Claim) -> String {
    let usable = count(proofs, |proof| proof.unusable.is_none());
    format!("{} of {usable}", usable - charts_failing(proofs, claim))
}

fn sum(proofs: &[&Proof], counts: impl Fn(&Proof) -> PodCounts) -> PodCounts {
    proofs.iter().fold(PodCounts::default(), |mut sum, proof| {
        let counts = counts(proof);
        sum.total += counts.total;
        sum.before += counts.before;
        sum.after += counts.after;
        sum
    })
}

fn pods(counts: PodCounts) -> String {
    format!(
        "{} -> {} of {} ({:.1} %)",
        counts.before,
        counts.after,
        counts.total,
        share(counts.after, counts.total) * 100.0
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of pods are far below 2^52"
)]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}
