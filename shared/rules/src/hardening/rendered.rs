//! What the rules and the Pod Security Standards say of all that a chart renders to.

use quench_chart::chart::Chart;
use quench_chart::render::{Document, Rendered};
use quench_chart::workload;
use serde_json::Value;

use super::findings;
use super::report::{Numbers, PodVerdict};
use super::tree::Tree;
use crate::Evidence;
use crate::evaluate::{self, Surroundings, Verdict};
use crate::pod_security::{self, Standard, Version, Violation};

/// What the rules make of rendered documents, and what they found.
pub(super) fn harden(
    rendered: &Rendered,
    tree: &Tree,
    surroundings: Surroundings<'_>,
) -> (Rendered, Vec<Verdict>) {
    let mut hardened = rendered.clone();
    let mut verdicts = Vec::new();
    for document in &mut hardened.documents {
        let around = tree.around(document, surroundings);
        if let Some(object) = &mut document.object {
            verdicts.extend(evaluate::harden(object, around));
        }
    }
    let objects: Vec<&Value> = hardened.objects().collect();
    let (added, more) = evaluate::complete(&objects, tree.around_release(surroundings));
    verdicts.extend(more);
    hardened
        .documents
        .extend(added.into_iter().map(|object| Document {
            source: String::new(),
            text: String::new(),
            object: Some(object),
        }));
    (hardened, verdicts)
}

/// Every place of rendered documents where a rule is not met.
pub(super) fn broken(
    rendered: &Rendered,
    tree: &Tree,
    surroundings: Surroundings<'_>,
) -> Vec<Verdict> {
    let mut found = Vec::new();
    for document in &rendered.documents {
        if let Some(object) = &document.object {
            found.extend(evaluate::broken(
                object,
                tree.around(document, surroundings),
            ));
        }
    }
    let objects: Vec<&Value> = rendered.objects().collect();
    found.extend(evaluate::incomplete(
        &objects,
        tree.around_release(surroundings),
    ));
    found
}

pub(super) fn numbers(rendered: &Rendered, tree: &Tree, surroundings: Surroundings<'_>) -> Numbers {
    let mut numbers = Numbers::default();
    findings::count(&mut numbers, &broken(rendered, tree, surroundings));
    numbers.objects = rendered.objects().count();
    for (_, metadata, spec) in pods_of(rendered) {
        numbers.workloads += 1;
        let violations = pod_security::evaluate(
            Standard::Restricted,
            Version::LATEST,
            metadata.as_ref(),
            &spec,
        );
        numbers.restricted += usize::from(violations.is_empty());
    }
    numbers
}

fn pods_of(rendered: &Rendered) -> impl Iterator<Item = (String, Option<Value>, Value)> {
    rendered.objects().filter_map(workload::pod).map(|pod| {
        (
            format!("{}/{}", pod.owner.kind, pod.owner.name),
            pod.metadata.cloned().map(Value::Object),
            Value::Object(pod.spec.clone()),
        )
    })
}

pub(super) fn pods(before: &Rendered, after: &Rendered) -> Vec<PodVerdict> {
    let mut before: Vec<_> = pods_of(before).collect();
    let mut verdicts: Vec<PodVerdict> = pods_of(after)
        .map(|(object, metadata, spec)| {
            let was = before.iter().position(|(name, _, _)| *name == object);
            let was = was.map(|index| before.remove(index));
            let strictest = |metadata: &Option<Value>, spec: &Value| {
                pod_security::strictest(Version::LATEST, metadata.as_ref(), spec).to_owned()
            };
            let violations = pod_security::evaluate(
                Standard::Restricted,
                Version::LATEST,
                metadata.as_ref(),
                &spec,
            );
            PodVerdict {
                object,
                before: was.map_or_else(String::new, |(_, metadata, spec)| {
                    strictest(&metadata, &spec)
                }),
                after: strictest(&metadata, &spec),
                violations: violations.iter().map(ToString::to_string).collect(),
            }
        })
        .collect();
    verdicts.sort_by(|a, b| a.object.cmp(&b.object));
    verdicts
}

pub(super) fn notes(chart: &Chart, rendered: &Rendered, evidence: &Evidence) -> Vec<String> {
    let mut notes = Vec::new();
    if evidence.is_empty() {
        notes.push(
            "Nothing is known about the images, so rules that need to know were not applied; harden the chart together \
             with its images, or state image facts."
                .to_owned(),
        );
    }
    let definitions = rendered.objects().any(|object| {
        object.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition")
    });
    if definitions || chart.files().keys().any(|path| path.contains("crds/")) {
        notes.push(
            "The chart brings custom resources. Pods that an operator makes out of them are out of the chart's reach."
                .to_owned(),
        );
    }
    notes
}

/// What each pod breaks of the Pod Security Standards: of "restricted", and of what that has stricter controls for.
pub(super) fn violations(rendered: &Rendered) -> Vec<(String, Vec<Violation>)> {
    pods_of(rendered)
        .map(|(object, metadata, spec)| {
            let mut found: Vec<Violation> = Vec::new();
            for standard in [Standard::Baseline, Standard::Restricted] {
                let more =
                    pod_security::evaluate(standard, Version::LATEST, metadata.as_ref(), &spec);
                for violation in more {
                    if !found.contains(&violation) {
                        found.push(violation);
                    }
                }
            }
            (object, found)
        })
        .collect()
}
