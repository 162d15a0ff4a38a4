//! What is proven of one chart on one helm.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use quench_chart::Chart;
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::workload;
use quench_model::{
    Digest, FactsFile, Finding, FindingState, ImageFacts, ImageReference, Level, PackageName,
    Policy, RuleSetting, Target, WritablePath,
};
use quench_rules::hardening::{Demands, Verification, harden_chart, verify};
use quench_rules::pod_security::{self, Standard, Version, Violation};
use quench_rules::rule::Source;
use quench_rules::{Evidence, rule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::helms::{NamedHelm, block_on};
use crate::values::{self, ValueSet};

/// Kubernetes that charts are rendered for, on every helm: helm's own default depends on its version.
pub const KUBERNETES: &str = "1.33.0";
/// Switches a hardened chart's hardening off.
const OFF: &str = "global.hardening.enabled=false";
/// Renders of the original that show what of it is random, or the time of day.
const ATTEMPTS: usize = 3;
/// Most pods that are told of by name in the result of a chart.
const MAX_PODS: usize = 200;

/// What was found of a chart on a helm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Name of the chart.
    pub chart: String,
    /// Version of the helm.
    pub helm: String,
    /// Why nothing could be said: the original cannot be loaded, or renders with no values tried.
    pub unusable: Option<String>,
    /// Sets of values it was tried at.
    pub sets: Vec<String>,
    /// How many candidates the original does not render with.
    pub refused: usize,
    /// Objects rendered, over all sets.
    pub objects: usize,
    /// Sets at which the switched-off chart rendered the same bytes, not only the same objects.
    pub identical: usize,
    /// What does not hold.
    pub failures: Vec<Failure>,
    /// Pods at the first set.
    pub pods: PodCounts,
    /// Pods at all sets.
    pub all_pods: PodCounts,
    /// Pods that do not pass "restricted" at the first set, and why.
    pub open: Vec<OpenPod>,
}

/// Pods and how many of them pass the Pod Security Standard "restricted".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCounts {
    /// Pods rendered.
    pub total: usize,
    /// That pass as the chart renders them.
    pub before: usize,
    /// That pass as the hardened chart renders them.
    pub after: usize,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What should hold.
    pub claim: Claim,
    /// At which values.
    pub set: String,
    /// What was seen.
    pub seen: String,
}

/// What should hold of every chart at all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Claim {
    /// It can be hardened.
    Hardens,
    /// Switched off, it renders the same objects.
    OffIsOriginal,
    /// Switched on, it renders.
    OnRenders,
    /// Switched on, it renders what the evaluator says.
    TemplateIsEvaluator,
    /// A pod that does not pass "restricted" has a finding of the rule about it, with a reason.
    OpenPodIsExplained,
}

impl Claim {
    /// All claims.
    pub const ALL: [Self; 5] = [
        Self::Hardens,
        Self::OffIsOriginal,
        Self::OnRenders,
        Self::TemplateIsEvaluator,
        Self::OpenPodIsExplained,
    ];

    /// The claim in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Hardens => "can be hardened",
            Self::OffIsOriginal => "off renders as the original",
            Self::OnRenders => "on renders",
            Self::TemplateIsEvaluator => "template agrees with evaluator",
            Self::OpenPodIsExplained => "open pods are explained",
        }
    }
}

/// A control of "restricted" that a hardened pod breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPod {
    /// `Kind/name`.
    pub object: String,
    /// The control, as the admission controller names it.
    pub control: String,
    /// Where in the pod, and what is wrong there.
    pub detail: String,
    /// The rule whose finding tells of it; none where nothing does.
    pub rule: Option<String>,
    /// Why it was not fixed.
    pub reason: String,
}

/// What is said of every image of a chart whose images are not at hand: a user, and places to write to.
pub fn stand_in() -> Evidence {
    let paths = ["/tmp", "/run", "/var/cache"];
    let facts = ImageFacts {
        uid: Some(10001),
        writable: Some(
            paths
                .map(|path| WritablePath::Plain(path.to_owned()))
                .to_vec(),
        ),
        ..ImageFacts::default()
    };
    Evidence::from_facts_file(&FactsFile {
        images: BTreeMap::from([("*".to_owned(), facts)]),
    })
}

/// What a team decides and what its cluster has, for every chart of the corpus alike.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// The team's policy.
    pub policy: Policy,
    /// Facts of the cluster; charts are rendered for [`KUBERNETES`] whatever they say.
    pub target: Target,
}

impl Circumstances {
    /// A policy that decides for the fix of every rule.
    pub fn decided() -> Policy {
        let fixed = RuleSetting {
            enabled: true,
            fix: true,
        };
        let rules = quench_rules::rules().map(|rule| (rule.id.to_owned(), fixed.clone()));
        Policy {
            rules: rules.collect(),
            ..Policy::default()
        }
    }

    /// Text that changes with them.
    ///
    /// # Errors
    /// They cannot be written as JSON.
    pub fn key(&self) -> Result<String> {
        Ok(serde_json::to_string(&(&self.policy, &self.target))?)
    }
}

/// What a chart of the corpus is hardened for.
#[derive(Debug)]
pub struct Order {
    package: PackageName,
    policy: Policy,
    target: Target,
    evidence: Evidence,
}

impl Order {
    /// The order for a chart: stand-in facts, and what is said of all charts.
    ///
    /// # Errors
    /// The chart's name cannot name a package.
    pub fn new(chart: &Chart, circumstances: &Circumstances) -> Result<Self> {
        Ok(Self {
            package: chart.name().parse()?,
            policy: circumstances.policy.clone(),
            target: Target {
                kube_version: Some(KUBERNETES.to_owned()),
                ..circumstances.target.clone()
            },
            evidence: stand_in(),
        })
    }

    /// Adds a lock: a digest for each image of what a chart renders to, as level 1 would find it.
    pub fn lock(&mut self, rendered: &Rendered) {
        for image in rendered.objects().flat_map(workload::images) {
            if let Ok(reference) = image.image.parse::<ImageReference>() {
                let digest = Digest::of(image.image.as_bytes());
                self.evidence
                    .add_digest(&reference, std::slice::from_ref(&image.image), &digest);
            }
        }
    }

    /// The hardened chart, made at these values.
    ///
    /// # Errors
    /// What [`harden_chart`] says.
    pub fn harden(&self, helm: &Helm, chart: &Chart, set: &ValueSet) -> Result<Chart> {
        let values = [set.text.clone().into_bytes()];
        let hardened = harden_chart(helm, chart, Level::Operable, self.demands(&values));
        Ok(block_on(hardened)??.chart)
    }

    /// What [`verify`] sees of a hardened chart at these values.
    ///
    /// # Errors
    /// What [`verify`] says.
    pub fn verify(&self, helm: &Helm, hardened: &Chart, set: &ValueSet) -> Result<Verification> {
        let values = [set.text.clone().into_bytes()];
        let seen = verify(helm, hardened, Level::Operable, self.demands(&values));
        Ok(block_on(seen)??)
    }

    fn demands<'a>(&'a self, values: &'a [Vec<u8>]) -> Demands<'a> {
        Demands {
            package: &self.package,
            values,
            policy: &self.policy,
            target: &self.target,
            evidence: &self.evidence,
        }
    }
}

/// Renders a chart at these values, for the Kubernetes of the corpus.
///
/// # Errors
/// What helm says.
pub fn render(helm: &Helm, chart: &Chart, set: &ValueSet, switches: &[&str]) -> Result<Rendered> {
    let request = Request {
        values: vec![set.text.clone()],
        set: switches.iter().map(|text| (*text).to_owned()).collect(),
        kube_version: Some(KUBERNETES.to_owned()),
        ..Request::default()
    };
    Ok(block_on(helm.render(chart, &request))??)
}

/// The first candidate that the original renders with, and what it renders to.
///
/// # Errors
/// It renders with none of them; what helm said to the first.
pub fn first_usable<'s>(
    helm: &Helm,
    chart: &Chart,
    candidates: &'s [ValueSet],
) -> Result<(&'s ValueSet, Rendered)> {
    let mut first = None;
    for set in candidates {
        match render(helm, chart, set, &[]) {
            Ok(rendered) => return Ok((set, rendered)),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| anyhow::anyhow!("there are no values to try it at")))
}

/// Proves a chart on every helm, at `wanted` sets of values beside the first. It is hardened once, on the first helm. `folder`
/// is where its sources lie.
pub fn prove(
    helms: &[NamedHelm],
    name: &str,
    chart: Result<Chart>,
    folder: &Path,
    wanted: usize,
    circumstances: &Circumstances,
) -> Vec<Proof> {
    let of = |helm: &NamedHelm| Proof {
        chart: name.to_owned(),
        helm: helm.version.clone(),
        ..Proof::default()
    };
    let unusable = |error: anyhow::Error| {
        helms
            .iter()
            .map(|helm| Proof {
                unusable: Some(one_line(&error)),
                ..of(helm)
            })
            .collect()
    };
    let prepared = || -> Result<_> {
        let chart = chart?;
        let order = Order::new(&chart, circumstances)?;
        let candidates = values::candidates(&chart, folder)?;
        Ok((chart, order, candidates))
    };
    let (chart, mut order, candidates) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return unusable(error),
    };
    let Some(maker) = helms.first() else {
        return Vec::new();
    };
    let first = match first_usable(&maker.helm, &chart, &candidates) {
        Ok((first, rendered)) => {
            order.lock(&rendered);
            first
        }
        Err(error) => return unusable(error),
    };
    let hardened = match order.harden(&maker.helm, &chart, first) {
        Ok(hardened) => hardened,
        Err(error) => {
            let failure = Failure {
                claim: Claim::Hardens,
                set: first.name.clone(),
                seen: format!("{error:#}"),
            };
            return helms
                .iter()
                .map(|helm| Proof {
                    failures: vec![failure.clone()],
                    ..of(helm)
                })
                .collect();
        }
    };
    helms
        .iter()
        .map(|helm| {
            let mut trial = Trial {
                helm: &helm.helm,
                chart: &chart,
                hardened: &hardened,
                order: &order,
                used: Vec::new(),
                proof: of(helm),
            };
            trial.run(&candidates, wanted);
            trial.proof
        })
        .collect()
}

/// One chart on one helm.
struct Trial<'a> {
    helm: &'a Helm,
    chart: &'a Chart,
    hardened: &'a Chart,
    order: &'a Order,
    used: Vec<ValueSet>,
    proof: Proof,
}

impl Trial<'_> {
    fn run(&mut self, candidates: &[ValueSet], wanted: usize) {
        for set in candidates {
            if self.used.len() > wanted {
                break;
            }
            self.at(set);
        }
        let turned: Vec<ValueSet> = self.used.iter().skip(1).cloned().collect();
        if let Some(all) = values::together(&turned) {
            self.at(&all);
        }
        if self.used.is_empty() && self.proof.failures.is_empty() {
            self.proof.unusable = Some("the original renders with no values tried".to_owned());
        }
    }

    fn at(&mut self, set: &ValueSet) {
        let seen = match self.order.verify(self.helm, self.hardened, set) {
            Ok(seen) => seen,
            Err(error) => {
                // One of two did not render. Where it is the original, these values are none for this chart.
                if render(self.helm, self.chart, set, &[]).is_err() {
                    self.proof.refused += 1;
                } else {
                    self.used.push(set.clone());
                    self.fail(Claim::OnRenders, set, &format!("{error:#}"));
                }
                return;
            }
        };
        self.used.push(set.clone());
        self.proof.sets.push(set.name.clone());
        self.proof.objects += seen.before.objects().count();
        self.off(set, &seen);
        self.agreement(set, &seen);
        self.pods(set, &seen);
    }

    fn fail(&mut self, claim: Claim, set: &ValueSet, seen: &str) {
        self.proof.failures.push(Failure {
            claim,
            set: set.name.clone(),
            seen: seen.to_owned(),
        });
    }

    /// Switched off, it is what it was.
    fn off(&mut self, set: &ValueSet, seen: &Verification) {
        let off = match render(self.helm, self.hardened, set, &[OFF]) {
            Ok(off) => off,
            Err(error) => return self.fail(Claim::OffIsOriginal, set, &format!("{error:#}")),
        };
        if off.text == seen.before.text {
            self.proof.identical += 1;
            return;
        }
        let mut again = Vec::new();
        loop {
            let options = Options {
                ignore_checksums: false,
                again: &again,
            };
            let comparison = compare(&seen.before, &off, options);
            if comparison.is_same() {
                return;
            }
            if again.len() >= ATTEMPTS {
                return self.fail(Claim::OffIsOriginal, set, &comparison.to_string());
            }
            match render(self.helm, self.chart, set, &[]) {
                Ok(more) => again.push(more),
                Err(error) => return self.fail(Claim::OffIsOriginal, set, &format!("{error:#}")),
            }
        }
    }

    /// Switched on, it is what the evaluator says.
    fn agreement(&mut self, set: &ValueSet, seen: &Verification) {
        let mut comparison = seen.comparison.clone();
        for _ in 1..ATTEMPTS {
            if comparison.is_same() {
                return;
            }
            match self.order.verify(self.helm, self.hardened, set) {
                Ok(again) => comparison = again.comparison,
                Err(error) => return self.fail(Claim::OnRenders, set, &format!("{error:#}")),
            }
        }
        if !comparison.is_same() {
            self.fail(Claim::TemplateIsEvaluator, set, &comparison.to_string());
        }
    }

    fn pods(&mut self, set: &ValueSet, seen: &Verification) {
        let open = open_pods(&seen.after, &seen.findings);
        let counts = PodCounts {
            total: pods(&seen.after).count(),
            before: passing(&seen.before),
            after: passing(&seen.after),
        };
        for pod in open.iter().filter(|pod| pod.rule.is_none()) {
            self.fail(
                Claim::OpenPodIsExplained,
                set,
                &format!("{}: {}: {}", pod.object, pod.control, pod.detail),
            );
        }
        let all = &mut self.proof.all_pods;
        all.total += counts.total;
        all.before += counts.before;
        all.after += counts.after;
        if self.used.len() == 1 {
            self.proof.pods = counts;
            self.proof.open = open;
            self.proof.open.truncate(MAX_PODS);
        }
    }
}

fn pods(rendered: &Rendered) -> impl Iterator<Item = (String, Vec<Violation>)> {
    rendered.objects().filter_map(workload::pod).map(|pod| {
        let metadata = pod.metadata.cloned().map(Value::Object);
        let violations = pod_security::evaluate(
            Standard::Restricted,
            Version::LATEST,
            metadata.as_ref(),
            &Value::Object(pod.spec.clone()),
        );
        (format!("{}/{}", pod.owner.kind, pod.owner.name), violations)
    })
}

fn passing(rendered: &Rendered) -> usize {
    pods(rendered)
        .filter(|(_, violations)| violations.is_empty())
        .count()
}

/// What hardened pods break of "restricted", each with the finding that says why.
fn open_pods(after: &Rendered, findings: &[Finding]) -> Vec<OpenPod> {
    let mut open = Vec::new();
    for (object, violations) in pods(after) {
        for violation in violations {
            let finding = findings
                .iter()
                .find(|finding| explains(finding, &object, &violation));
            open.push(OpenPod {
                object: object.clone(),
                control: violation.control.to_owned(),
                detail: format!("{} {}", violation.place, violation.detail),
                rule: finding.map(|finding| finding.canonical_id.clone()),
                reason: finding.map(|f| f.message.clone()).unwrap_or_default(),
            });
        }
    }
    open
}

/// Whether a finding that was not resolved is of the place a control is broken at, and of a rule about that control.
fn explains(finding: &Finding, object: &str, violation: &Violation) -> bool {
    if finding.state == FindingState::Resolved || finding.message.is_empty() {
        return false;
    }
    let Some(location) = finding.subject.location.as_deref() else {
        return false;
    };
    let container = violation
        .place
        .strip_prefix("container ")
        .map(|name| name.trim_matches('"'));
    let here = location == object
        || location
            .strip_prefix(object)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| container.is_none_or(|container| name == container));
    here && rule(&finding.canonical_id).is_some_and(|rule| {
        rule.references.iter().any(|reference| {
            matches!(
                reference.source,
                Source::PodSecurityBaseline | Source::PodSecurityRestricted
            ) && is_about(reference.id, violation.control)
        })
    })
}

/// Whether a reference to a Pod Security control covers another: "restricted" names some controls of "baseline" anew.
fn is_about(reference: &str, control: &str) -> bool {
    let base = |name: &str| {
        name.trim_end_matches("_restricted")
            .trim_end_matches("_baseline")
            .to_owned()
    };
    let also = match control {
        "runAsUser" => "runAsNonRoot",
        "restrictedVolumes" => "hostPathVolumes",
        _ => control,
    };
    base(reference) == base(control) || reference == also
}

/// An error and its causes in one line, without what helm says of its own workings.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines.join(" ")
}
