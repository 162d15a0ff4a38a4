//! What a chart is like as a whole. Code that looks at its values reports under these; see [`Scope::Chart`].

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{Check, Condition, Rule, Safety, Scope, Source};

pub(super) const RULES: &[&Rule] = &[&OPTIONAL_PARTS_OFF, &VALUES_DOCUMENTED];

static OPTIONAL_PARTS_OFF: Rule = Rule {
    id: "optional-parts-off",
    title: "parts of a chart that nobody asked for are off",
    rationale: "Every part that runs can be attacked: consoles, exporters, test pods, sample data. A part is a value of the chart \
                whose name ends in enabled and that brings in objects when it is true. Parts whose being off makes other objects break, or that the \
                user switched on, stay; a part that can be off without the others noticing is named with the values that switch it off.",
    references: &[at(Source::BsiSys16, "A11")],
    safety: Safety::NeedsTarget,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Chart,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Always,
        fixes: &[],
        unfixed: &[always(
            "the chart runs a part that can be switched off by its values",
        )],
    }],
};

static VALUES_DOCUMENTED: Rule = Rule {
    id: "values-documented",
    title: "every value of a chart is documented and has a type",
    rationale: "A value that nobody explains is set by trial, and a value of the wrong type is often ignored in silence, with it the \
                protection it was meant to switch on. Every value gets a line with type, default and meaning, and the chart a \
                schema that refuses wrong types.",
    references: &[
        at(Source::BsiApp44, "A8"),
        at(Source::Kubernetes, "values.schema.json"),
    ],
    safety: Safety::Always,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Chart,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Always,
        fixes: &[],
        unfixed: &[always("the chart has values that nothing documents")],
    }],
};
