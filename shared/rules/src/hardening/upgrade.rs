//! What to mind when a release is upgraded from the chart as it was to the hardened one.

use std::collections::BTreeSet;

use super::report::{Change, Report};

/// Something to mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about, as a sentence.
    pub title: String,
    /// What happens and what to do.
    pub text: String,
    /// Where it may happen.
    pub places: Vec<String>,
}

/// Advice on a rule's changes: the rule, what it is about, what to watch and do.
const ADVICE: &[(&str, &str, &str)] = &[
    (
        "run-as-non-root",
        "Containers run as another user.",
        "Files on existing volumes may belong to the user from before; if a pod logs \"permission denied\", set the pod's fsGroup, or \
         change the owner of the volume once.",
    ),
    (
        "fs-group",
        "Volumes get a group.",
        "The first start of a pod may take longer, since the group of files is changed once where the root of the volume does not match.",
    ),
    (
        "read-only-root",
        "The root file system is read-only.",
        "A program that writes where it was not seen to write fails with \"read-only file system\"; mount an emptyDir there with the chart's values, or \
         waive the rule for the container.",
    ),
    (
        "no-automount-token",
        "Pods get no token of the API server.",
        "A program that asks the API server all the same logs that /var/run/secrets/kubernetes.io is missing; bind its account to a role, or waive the rule.",
    ),
    (
        "drop-capabilities",
        "Capabilities are dropped.",
        "A program that needs one logs \"operation not permitted\"; add that one with the chart's values.",
    ),
    (
        "image-digest",
        "Images are pulled by digest.",
        "The registry that nodes pull from must have those digests: export the package there before upgrading.",
    ),
    (
        "readiness",
        "Containers get readiness probes.",
        "A pod whose port never opens is not given requests any more, and a rollout waits for it.",
    ),
    (
        "network-policy-ingress",
        "Traffic to pods is limited.",
        "What reached a pod without a Service, ingress or probe of the chart showing it does so no longer.",
    ),
    (
        "network-policy-egress",
        "Traffic from pods is limited.",
        "What a pod reached without the chart or the target showing it is out of its reach.",
    ),
];

/// What to mind, the gravest first.
pub fn notes(report: &Report) -> Vec<Note> {
    let mut notes = Vec::new();
    let places = |wanted: &dyn Fn(&Change) -> bool| -> Vec<String> {
        let found: BTreeSet<&str> = report
            .changes
            .iter()
            .filter(|change| wanted(change))
            .map(|change| change.object.as_str())
            .collect();
        found.into_iter().map(str::to_owned).collect()
    };
    let in_template = |change: &Change| {
        change.container.is_some()
            || change.path.starts_with("spec.template.")
            || change.path.starts_with("spec.jobTemplate.")
    };
    let kind = |change: &Change, kind: &str| change.object.split('/').next() == Some(kind);
    let jobs = places(&|change| in_template(change) && kind(change, "Job"));
    if !jobs.is_empty() {
        notes.push(Note {
            title: "Jobs cannot be changed in place.".to_owned(),
            text: "Kubernetes refuses another pod template for a Job that exists. Delete the Job before the upgrade (kubectl delete job NAME); Jobs that \
                   are hooks with a delete policy before-hook-creation are replaced by Helm itself."
                .to_owned(),
            places: jobs,
        });
    }
    let pods = places(&|change| kind(change, "Pod"));
    if !pods.is_empty() {
        notes.push(Note {
            title: "Pods without a controller cannot be changed in place.".to_owned(),
            text: "Delete them before the upgrade; test hooks are replaced by Helm itself."
                .to_owned(),
            places: pods,
        });
    }
    let restarted = places(&|change| {
        in_template(change)
            && ["Deployment", "StatefulSet", "DaemonSet"]
                .iter()
                .any(|wanted| kind(change, wanted))
    });
    if !restarted.is_empty() {
        notes.push(Note {
            title: "Workloads restart once.".to_owned(),
            text: "Their pod template changes, so they roll over by their own update strategy. Selectors, claim templates and service names stay as they \
                   are: nothing has to be deleted or made anew."
                .to_owned(),
            places: restarted,
        });
    }
    for (rule, title, text) in ADVICE {
        let places = places(&|change| change.rule == *rule);
        if !places.is_empty() {
            notes.push(Note {
                title: (*title).to_owned(),
                text: format!("{text} (rule {rule})"),
                places,
            });
        }
    }
    if !report.changes.is_empty() {
        notes.push(Note {
            title: "The way back.".to_owned(),
            text: "helm rollback brings back the release from before; with global.hardening.enabled set to false this chart renders what it always did. One rule \
                   is switched off with global.hardening.rules.RULE.enabled, at one place with a waiver."
                .to_owned(),
            places: Vec::new(),
        });
    }
    notes
}
