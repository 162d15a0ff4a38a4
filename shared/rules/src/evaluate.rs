//! The rules, interpreted over rendered objects.
//!
//! [`harden`] does to an object what a hardened chart does at render time, and tells what it found and did;
//! [`broken`] only tells what is wrong. Both look into `List` objects.

mod network;
mod place;
mod quantity;
mod steps;
mod view;

use std::collections::BTreeMap;

use quench_model::{Evidence as Fact, Level, Waiver};
use serde_json::Value;

use crate::evidence::Evidence;
use crate::rule::{Check, Rule, Scope, Step};
use crate::settings::Settings;
use crate::siblings::Siblings;
use crate::{release::Release, rules};

use network::{Neighbours, Network};
use place::Place;
use view::View;

/// Deepest nesting of `List` objects looked into, as the template driver does it.
const MAX_LIST_DEPTH: usize = 8;

/// What rules look at beside the object.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Image facts and digests.
    pub evidence: &'a Evidence,
    /// Switches and waivers.
    pub settings: &'a Settings,
    /// Other objects of the same chart.
    pub siblings: &'a Siblings,
    /// Release and chart the object belongs to.
    pub release: &'a Release,
    /// Rules up to this level are in force.
    pub level: Level,
}

/// A place where a rule was not met, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The rule's id.
    pub rule: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Container, when it is one of a container.
    pub container: Option<String>,
    /// Image of that container, as the chart renders it.
    pub image: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Verdict {
    /// `Kind/name[/container]`.
    pub fn location(&self) -> String {
        let object = format!("{}/{}", self.kind, self.name);
        match &self.container {
            Some(container) => format!("{object}/{container}"),
            None => object,
        }
    }
}

/// What became of a place where a rule was not met.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was fixed.
    Fixed {
        /// What was changed.
        changes: Vec<Change>,
        /// Facts that decided.
        evidence: Vec<Fact>,
    },
    /// It was not.
    Unfixed {
        /// Why not, and what to do.
        reason: String,
    },
    /// A waiver covers it.
    Waived(Waiver),
}

/// A field that was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The field, as a dotted path.
    pub field: String,
    /// The field, as a dotted path from the object; items of lists by their name.
    pub path: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it is now.
    pub after: Option<Value>,
}

/// Hardens an object as a hardened chart does, and tells every place where a rule was not met.
pub fn harden(object: &mut Value, surroundings: Surroundings<'_>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if !surroundings.settings.disabled {
        each(object, 0, &mut |object| {
            let mut pass = Pass::new(surroundings, object);
            pass.object(object);
            verdicts.append(&mut pass.verdicts);
        });
    }
    verdicts
}

/// Every place where a rule is not met and no waiver covers it: rule id and location.
pub fn broken(object: &Value, surroundings: Surroundings<'_>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    each(&mut object.clone(), 0, &mut |object| {
        let mut pass = Pass::new(surroundings, object);
        pass.fixes = false;
        pass.object(object);
        verdicts.append(&mut pass.verdicts);
    });
    verdicts
}

/// How many places of an object each rule in force is about, whether it is met there or not.
pub fn looked_at(object: &Value, surroundings: Surroundings<'_>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    each(&mut object.clone(), 0, &mut |object| {
        let pass = Pass::new(surroundings, object);
        for place in Place::all(object, surroundings.evidence) {
            for rule in rules().filter(|rule| pass.is_in_force(rule)) {
                let view = View::new(object, &place, surroundings, rule.id);
                let checks = rule.checks.iter();
                // Checks of one rule that look at the same place are one look.
                let is_about =
                    |check: &Check| pass.fits(&place, check) && view.holds(&check.applies);
                if checks.into_iter().any(is_about) {
                    *counts.entry(rule.id).or_default() += 1;
                }
            }
        }
    });
    counts
}

/// How many workloads of a release each rule about the whole of it is about.
pub fn looked_at_in_release(
    objects: &[&Value],
    surroundings: Surroundings<'_>,
) -> BTreeMap<&'static str, usize> {
    let neighbours = Neighbours::of(objects.iter().copied(), surroundings.release);
    let mut counts = BTreeMap::new();
    for workload in neighbours.workloads() {
        let place = Place::of_release(workload.object, neighbours.network(workload));
        let pass = Pass::new(surroundings, workload.object);
        for rule in rules().filter(|rule| pass.is_in_force(rule)) {
            let view = View::new(workload.object, &place, surroundings, rule.id);
            let is_about = |check: &Check| pass.fits(&place, check) && view.holds(&check.applies);
            if rule.checks.iter().any(is_about) {
                *counts.entry(rule.id).or_default() += 1;
            }
        }
    }
    counts
}

/// Goes through the rules that look at a whole release, over all of its hardened objects: the objects they add, and
/// every place where one was not met. `release` and `siblings` of the surroundings are those of the root chart.
pub fn complete(objects: &[&Value], surroundings: Surroundings<'_>) -> (Vec<Value>, Vec<Verdict>) {
    if surroundings.settings.disabled {
        return (Vec::new(), Vec::new());
    }
    whole(objects, surroundings, true)
}

/// Every workload of a release that does not meet a rule about the whole release.
pub fn incomplete(objects: &[&Value], surroundings: Surroundings<'_>) -> Vec<Verdict> {
    whole(objects, surroundings, false).1
}

fn whole(
    objects: &[&Value],
    surroundings: Surroundings<'_>,
    fixes: bool,
) -> (Vec<Value>, Vec<Verdict>) {
    let neighbours = Neighbours::of(objects.iter().copied(), surroundings.release);
    let (mut added, mut verdicts) = (Vec::new(), Vec::new());
    for workload in neighbours.workloads() {
        let network = neighbours.network(workload);
        let place = Place::of_release(workload.object, network.clone());
        let mut pass = Pass::new(surroundings, workload.object);
        pass.fixes = fixes;
        for rule in rules() {
            if !pass.is_in_force(rule) {
                continue;
            }
            for check in rule.checks {
                if pass.fits(&place, check) {
                    pass.release(workload.object, &place, &network, rule, check, &mut added);
                }
            }
        }
        verdicts.append(&mut pass.verdicts);
    }
    (added, verdicts)
}

fn each(object: &mut Value, depth: usize, work: &mut dyn FnMut(&mut Value)) {
    let is_list = depth < MAX_LIST_DEPTH
        && object.get("items").is_some_and(Value::is_array)
        && object
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List"));
    if !is_list {
        if object.is_object() {
            work(object);
        }
        return;
    }
    for item in object
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        each(item, depth + 1, work);
    }
}

/// One object on its way through the rules.
struct Pass<'a> {
    surroundings: Surroundings<'a>,
    kind: String,
    name: String,
    fixes: bool,
    verdicts: Vec<Verdict>,
}

impl<'a> Pass<'a> {
    fn new(surroundings: Surroundings<'a>, object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        Self {
            surroundings,
            kind: text("/kind").unwrap_or_default().to_owned(),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            fixes: true,
            verdicts: Vec::new(),
        }
    }

    /// Containers first, then the pod, then the object: a check of the whole sees what was done to its parts. The
    /// template library goes the same way.
    fn object(&mut self, object: &mut Value) {
        let places = Place::all(object, self.surroundings.evidence);
        for place in places {
            for rule in rules() {
                if !self.is_in_force(rule) {
                    continue;
                }
                for check in rule.checks {
                    if self.fits(&place, check) {
                        self.check(object, &place, rule, check);
                    }
                }
            }
        }
    }

    fn is_in_force(&self, rule: &Rule) -> bool {
        rule.level <= self.surroundings.level && !self.surroundings.settings.off.contains(rule.id)
    }

    /// Whether a check looks at places of that sort.
    fn fits(&self, place: &Place, check: &Check) -> bool {
        let scope = match check.scope {
            Scope::Object => place.is_object(),
            Scope::Pod => place.is_pod() && place.network.is_none(),
            Scope::Container => place.container.is_some(),
            Scope::RegularContainer => place.is_regular_container(),
            Scope::Release => place.network.is_some(),
            // Code of its own looks at those.
            Scope::Chart => false,
        };
        scope && (check.kinds.is_empty() || check.kinds.contains(&self.kind.as_str()))
    }

    /// A check of the whole release, at one workload.
    fn release(
        &mut self,
        object: &Value,
        place: &Place,
        network: &Network,
        rule: &'static Rule,
        check: &Check,
        added: &mut Vec<Value>,
    ) {
        let view = View::new(object, place, self.surroundings, rule.id);
        if !(view.holds(&check.applies) && view.holds(&check.broken)) {
            return;
        }
        let Surroundings {
            settings, release, ..
        } = self.surroundings;
        let fix = check.fixes.iter().find(|fix| view.holds(&fix.when));
        let outcome = match (
            settings.waiver(rule.id, &self.kind, &self.name, None),
            fix.filter(|_| self.fixes),
        ) {
            (Some(waiver), _) => Outcome::Waived(waiver.clone()),
            (None, None) => unfixed(&view, check),
            (None, Some(fix)) => {
                let made = fix.steps.iter().filter_map(|step| match step {
                    Step::Isolate(direction) => {
                        Some(network.policy(object, *direction, settings, release))
                    }
                    _ => None,
                });
                let mut changes = Vec::new();
                for policy in made {
                    let name = policy.pointer("/metadata/name").and_then(Value::as_str);
                    let field = format!("NetworkPolicy/{}", name.unwrap_or_default());
                    changes.push(Change {
                        path: field.clone(),
                        field,
                        before: None,
                        after: policy.get("spec").cloned(),
                    });
                    added.push(policy);
                }
                Outcome::Fixed {
                    changes,
                    evidence: network.evidence(),
                }
            }
        };
        self.verdicts.push(Verdict {
            rule: rule.id,
            kind: self.kind.clone(),
            name: self.name.clone(),
            container: None,
            image: None,
            outcome,
        });
    }

    fn check(&mut self, object: &mut Value, place: &Place, rule: &'static Rule, check: &Check) {
        let view = View::new(object, place, self.surroundings, rule.id);
        if !(view.holds(&check.applies) && view.holds(&check.broken)) {
            return;
        }
        let container = view.container_name();
        let image = place.reference.clone();
        let waiver = self.surroundings.settings.waiver(
            rule.id,
            &self.kind,
            &self.name,
            container.as_deref(),
        );
        let outcome = match waiver {
            Some(waiver) => Outcome::Waived(waiver.clone()),
            None => self.fix(object, place, rule.id, check),
        };
        self.verdicts.push(Verdict {
            rule: rule.id,
            kind: self.kind.clone(),
            name: self.name.clone(),
            container,
            image,
            outcome,
        });
    }

    fn fix(&self, object: &mut Value, place: &Place, rule: &'static str, check: &Check) -> Outcome {
        let view = View::new(object, place, self.surroundings, rule);
        let fix = check.fixes.iter().find(|fix| view.holds(&fix.when));
        let Some(fix) = fix.filter(|_| self.fixes) else {
            return unfixed(&view, check);
        };
        let evidence = fix
            .evidence
            .iter()
            .filter_map(|path| view.fact(path))
            .collect();
        let mut changes = Vec::new();
        steps::run(
            object,
            place,
            self.surroundings,
            rule,
            fix.steps,
            &mut changes,
        );
        let view = View::new(object, place, self.surroundings, rule);
        if view.holds(&check.broken) {
            return Outcome::Unfixed {
                reason: "its fix does not help here; this is a defect of the rule".to_owned(),
            };
        }
        Outcome::Fixed { changes, evidence }
    }
}

/// Most items named in a reason.
const MAX_WITNESSES: usize = 6;

/// Why nothing is done, and about what.
fn unfixed(view: &View<'_>, check: &Check) -> Outcome {
    let reason = check.unfixed.iter().find(|reason| view.holds(&reason.when));
    let reason = reason.map_or("nothing can be done about it in the chart", |r| r.text);
    let mut witnesses = view.witnesses(&check.broken);
    witnesses.dedup();
    let more = witnesses.len().saturating_sub(MAX_WITNESSES);
    witnesses.truncate(MAX_WITNESSES);
    if more > 0 {
        witnesses.push(format!("{more} more"));
    }
    Outcome::Unfixed {
        reason: match witnesses.as_slice() {
            [] => reason.to_owned(),
            all => format!("{reason} ({})", all.join("; ")),
        },
    }
}
