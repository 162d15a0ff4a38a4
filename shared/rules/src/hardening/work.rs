//! A chart on its way: what it renders to as it is, what the rules make of that, and whether the hardened chart does the same.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::chart::Chart;
use quench_chart::compare::{Comparison, Options, compare};
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::rewrite::{driver, rewrite};
use quench_chart::values_documentation::{SCHEMA, ValuesDocumentation};
use quench_model::Level;
use serde_json::Value;

use super::overview::Overview;
use super::parameters::{self, Defaults};
use super::plain::{Base, plain};
use super::rendered::{broken, harden, notes, numbers, pods, violations};
use super::report::Report;
use super::tree::{self, Tree};
use super::{Demands, HardenError, controls, findings, surroundings};
use crate::Settings;
use crate::evaluate::{self, Surroundings, Verdict};
use crate::template::definitions;

/// A chart on its way to being hardened.
pub(super) struct Work<'a> {
    pub(super) helm: &'a Helm,
    /// The chart as its author made it.
    pub(super) plain: Chart,
    pub(super) level: Level,
    pub(super) demands: Demands<'a>,
    pub(super) base: Base,
}

/// A chart that was shown to do what the rules say.
pub(super) struct Made {
    pub(super) chart: Chart,
    pub(super) after: Rendered,
    pub(super) expected: Expected,
}

impl<'a> Work<'a> {
    /// Begins with a chart, hardened before or not.
    pub(super) async fn new(
        helm: &'a Helm,
        chart: &Chart,
        level: Level,
        demands: Demands<'a>,
    ) -> Result<Self, HardenError> {
        let plain = plain(chart)?;
        let base = Base::new(helm, &plain, demands).await?;
        Ok(Self {
            helm,
            plain,
            level,
            demands,
            base,
        })
    }

    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        surroundings(self.level, self.demands, &self.base.settings)
    }

    /// The chart with rules and defaults in it, once it is shown to be right.
    pub(super) async fn make(
        &self,
        defaults: &Defaults,
        schema: Option<&str>,
    ) -> Result<Made, HardenError> {
        let settings = Settings::new(self.demands.policy, self.demands.target);
        let mut text = definitions(self.level, self.demands.evidence, &settings);
        text.push_str(&defaults.definition());
        let library = driver::library(&text);
        let mut chart = rewrite(&self.plain, &library)?;
        defaults.put_into(&mut chart)?;
        if let Some(schema) = schema {
            chart.insert(SCHEMA, schema.to_owned())?;
        }
        let expected = Expected::new(self, defaults).await?;
        tree::complete(&mut chart, &library, &self.plain, &expected.before)?;
        let after = self.helm.render(&chart, &self.base.request).await?;
        let comparison = expected.compare(self, &after).await?;
        if !comparison.is_same() {
            return Err(HardenError::Input(format!(
                "chart {}: its own hardening differs from what the rules say, so it is not shipped: {comparison}",
                self.plain.name()
            )));
        }
        Ok(Made {
            chart,
            after,
            expected,
        })
    }
}

/// What the rules make of what a chart renders to, with the parameters chosen for it.
pub(super) struct Expected {
    pub(super) chosen: Defaults,
    /// What the chart is rendered with: the user's values over those parameters.
    pub(super) request: Request,
    /// What the chart renders to with those parameters, rules not yet applied.
    pub(super) before: Rendered,
    pub(super) tree: Tree,
    pub(super) rendered: Rendered,
    pub(super) verdicts: Vec<Verdict>,
}

impl Expected {
    pub(super) async fn new(work: &Work<'_>, defaults: &Defaults) -> Result<Self, HardenError> {
        let Base {
            request, settings, ..
        } = &work.base;
        let chosen = parameters::in_force(defaults.chosen(), settings);
        let mut request = request.clone();
        let before = match parameters::as_text(&chosen) {
            None => work.base.before.clone(),
            Some(text) => {
                request.values.insert(0, text);
                work.helm.render(&work.plain, &request).await?
            }
        };
        let tree = Tree::new(&work.plain, &request, &before);
        let (rendered, verdicts) = harden(&before, &tree, work.surroundings());
        Ok(Self {
            chosen: defaults.clone(),
            request,
            before,
            tree,
            rendered,
            verdicts,
        })
    }

    /// Compares with what the hardened chart renders to. Only where the two differ the chart is rendered once more, which
    /// shows what of it is random.
    pub(super) async fn compare(
        &self,
        work: &Work<'_>,
        after: &Rendered,
    ) -> Result<Comparison, HardenError> {
        let mut options = Options {
            ignore_checksums: true,
            again: &[],
        };
        let comparison = compare(&self.rendered, after, options);
        if comparison.is_same() {
            return Ok(comparison);
        }
        let second = work.helm.render(&work.plain, &self.request).await?;
        let (again, _) = harden(
            &second,
            &Tree::new(&work.plain, &self.request, &second),
            work.surroundings(),
        );
        options.again = std::slice::from_ref(&again);
        Ok(compare(&self.rendered, after, options))
    }

    pub(super) fn report(
        &self,
        work: &Work<'_>,
        after: &Rendered,
        documentation: &ValuesDocumentation,
    ) -> Report {
        let surroundings = work.surroundings();
        let Base {
            request,
            settings,
            before,
            ..
        } = &work.base;
        let tree = Tree::new(&work.plain, request, before);
        let mut report = Report {
            chart: work.plain.name().to_owned(),
            version: work.plain.version().to_owned(),
            level: work.level,
            before: numbers(before, &tree, surroundings),
            after: numbers(after, &self.tree, surroundings),
            changes: Vec::new(),
            remaining: Vec::new(),
            waived: Vec::new(),
            pods: pods(before, after),
            notes: notes(&work.plain, &self.before, work.demands.evidence),
            rules: findings::tallies(
                &self.verdicts,
                &self.looked_at(surroundings),
                work.level,
                &settings.off,
            ),
            controls: Vec::new(),
            overview: Overview::of(after),
            parameters: None,
            values: Some(documentation.coverage()),
        };
        findings::tell(&mut report, &self.verdicts);
        report.controls = controls::judge(&controls::Facts {
            level: work.level,
            tallies: &report.rules,
            remaining: &report.remaining,
            waived: &report.waived,
            before: &violations(before),
            after: &violations(after),
        });
        report
    }

    /// Places that broke a rule and do not any more, since the chart's own parameters see to it.
    pub(super) fn resolved_by_parameters(&self, work: &Work<'_>) -> Vec<Verdict> {
        if self.chosen.chosen().is_empty() {
            return Vec::new();
        }
        let surroundings = work.surroundings();
        let left: BTreeSet<_> = broken(&self.before, &self.tree, surroundings)
            .into_iter()
            .map(|verdict| (verdict.rule, verdict.location()))
            .collect();
        let before = &work.base.before;
        let tree = Tree::new(&work.plain, &work.base.request, before);
        let mut found = broken(before, &tree, surroundings);
        found.retain(|verdict| !left.contains(&(verdict.rule, verdict.location())));
        found
    }

    pub(super) fn looked_at(
        &self,
        surroundings: Surroundings<'_>,
    ) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for document in &self.before.documents {
            if let Some(object) = &document.object {
                let around = self.tree.around(document, surroundings);
                for (rule, count) in evaluate::looked_at(object, around) {
                    *counts.entry(rule).or_default() += count;
                }
            }
        }
        let objects: Vec<&Value> = self.before.objects().collect();
        let around = self.tree.around_release(surroundings);
        counts.extend(evaluate::looked_at_in_release(&objects, around));
        counts
    }
}
