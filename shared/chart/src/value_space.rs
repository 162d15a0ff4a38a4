//! The value sets of a chart: which values make it render something else.
//!
//! A chart rendered once shows what it does at one set of values. [`ValueSpace::of`] reads what its templates decide by,
//! and lists the sets that reach the rest: every switch turned, the values and API versions that lie on the way to a part that
//! names an image, each literal a text is compared with, each value its schema allows. [`explore`] renders them all.
//!
//! The list is a plan made by reading templates, not a proof: templates are programs. What cannot be read is made up for by turning
//! every boolean of the chart's values, read or not, in groups that are taken apart where one shows something new.

mod abstract_value;
mod analysis;
mod cluster;
mod conditions;
mod effective;
mod explore;
mod interest;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::chart::{Chart, ChartError};
use crate::rewrite::{is_rewritten, restore};
use crate::template::Templates;

use analysis::Analysis;
use effective::Effective;

pub use explore::{Exploration, SetOutcome, Visit, explore};

/// Path of a value from the root of a chart's values, aliases of subcharts included; or an API version a cluster may offer, which
/// templates ask for as they ask for values.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValuePath(Vec<String>);

/// First key of the paths that stand for API versions. No YAML has a key with this character.
const API_VERSIONS: &str = "\0api-versions";

impl ValuePath {
    /// The API version `group/version` of the cluster, or `group/version/Kind`.
    fn api_version(version: &str) -> Self {
        Self::new([API_VERSIONS, version])
    }

    /// The API version it stands for, where it is no value.
    pub fn as_api_version(&self) -> Option<&str> {
        match self.0.as_slice() {
            [first, version] if first == API_VERSIONS => Some(version),
            _ => None,
        }
    }

    /// Path of its keys, outermost first.
    pub fn new(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }

    /// Its keys, outermost first.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    fn child(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.to_owned());
        Self(keys)
    }

    fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl fmt::Display for ValuePath {
    /// Keys joined by dots, as `--set` has them; an API version as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(version) = self.as_api_version() {
            return f.write_str(version);
        }
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(&key.replace('.', "\\."))?;
        }
        Ok(())
    }
}

/// Values to lay over the given ones.
pub type Changes = BTreeMap<ValuePath, ScalarValue>;

/// A value that a set gives to a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScalarValue {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

impl ScalarValue {
    fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::from(*value),
            Self::Text(value) => Value::String(value.clone()),
        }
    }
}

impl fmt::Display for ScalarValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Why a value set is one of a chart's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// The given values themselves.
    Given,
    /// One switch turned.
    Switch,
    /// Everything that lies on the way to one part of a template.
    Path,
    /// A text set to a literal it is compared with, or that its schema allows.
    Choice,
    /// Switches that no image seems to hang on, turned together; or one of them, left when a group was taken apart.
    Group,
    /// Every switch on that can be on together with the others.
    AllOn,
}

/// A value set: what it changes of the given values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueSet {
    /// Why it is one.
    pub kind: SetKind,
    /// What it changes.
    pub changes: Changes,
}

impl ValueSet {
    fn given() -> Self {
        Self {
            kind: SetKind::Given,
            changes: Changes::new(),
        }
    }

    /// The changes as a values file, to stand behind the given ones; empty where no value is changed.
    pub fn values_file(&self) -> String {
        let mut root = Map::new();
        for (path, value) in self.of_values() {
            insert(&mut root, path.keys(), value.to_json());
        }
        if root.is_empty() {
            return String::new();
        }
        Value::Object(root).to_string()
    }

    /// API versions that the cluster offers beside those that helm knows of.
    pub fn api_versions(&self) -> impl Iterator<Item = &str> {
        self.changes.keys().filter_map(ValuePath::as_api_version)
    }

    fn of_values(&self) -> impl Iterator<Item = (&ValuePath, &ScalarValue)> {
        self.changes
            .iter()
            .filter(|(path, _)| path.as_api_version().is_none())
    }
}

fn insert(map: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [last] => {
            map.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = map
                .entry(first.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Most changes of a set that its name lists.
const NAMED_CHANGES: usize = 4;

impl fmt::Display for ValueSet {
    /// `the given values`, or what is changed as `--set` would have it; then what the cluster has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == SetKind::AllOn {
            return write!(f, "{} switches on together", self.changes.len());
        }
        let values = self.of_values().count();
        if values == 0 {
            f.write_str("the given values")?;
        }
        let listed = match self.kind {
            SetKind::Group => NAMED_CHANGES,
            _ => values,
        };
        for (index, (path, value)) in self.of_values().take(listed).enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{path}={value}")?;
        }
        if values > listed {
            write!(f, " and {} more", values - listed)?;
        }
        for (index, version) in self.api_versions().enumerate() {
            f.write_str(if index == 0 {
                " in a cluster with "
            } else {
                ", "
            })?;
            f.write_str(version)?;
        }
        Ok(())
    }
}

/// Bounds of a value space.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most renders: the sets planned, and those that taking groups apart and turning everything on cost.
    pub renders: usize,
    /// Switches that are turned together where nothing seems to hang on them.
    pub group: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            renders: 600,
            group: 16,
        }
    }
}

/// The value sets of a chart at given values, in the order in which they are to be rendered.
#[derive(Debug, Clone)]
pub struct ValueSpace {
    /// The sets; the first is the given values.
    pub sets: Vec<ValueSet>,
    /// Switches that are off at the given values, and API versions asked for, to be turned on all together.
    pub off: Vec<ValuePath>,
    /// Sets that are left out because the limit on renders was reached.
    pub left_out: usize,
    /// Whether the templates are too large to be read to the end.
    pub is_cut: bool,
    /// For a switch that is off: the switches above it that are off too.
    parents: BTreeMap<ValuePath, Vec<ValuePath>>,
    limits: Limits,
}

impl ValueSpace {
    /// Reads a chart's templates and lists its value sets. `values` are the texts of the values files, later over earlier.
    ///
    /// Those of a chart that hardens itself are those of the chart it was made from: settings of hardening change what
    /// objects look like, and turning hardening off is no way of using the package.
    ///
    /// # Errors
    /// A values file, or the `values.yaml` of the chart or a subchart, is no YAML map.
    pub fn of(chart: &Chart, values: &[String], limits: Limits) -> Result<Self, ChartError> {
        let restored;
        let chart = if is_rewritten(chart) {
            restored = restore(chart)?;
            &restored
        } else {
            chart
        };
        let effective = Effective::of(chart, values)?;
        let templates = Templates::of(chart);
        let analysis = Analysis::of(chart, &effective, &templates);

        let mut sets = vec![ValueSet::given()];
        let mut seen = BTreeSet::from([Changes::new()]);
        let mut add = |kind, changes: Changes| {
            if seen.insert(changes.clone()) {
                sets.push(ValueSet { kind, changes });
            }
        };
        let mut single = BTreeSet::new();
        for path in analysis.switches() {
            if let Some(turned) = effective.turned(path) {
                add(SetKind::Switch, Changes::from([(path.clone(), turned)]));
                single.insert(path.clone());
            }
        }
        let mut demands: Vec<&Changes> = analysis.demands().into_iter().collect();
        demands.sort_by_key(|changes| changes.len());
        for changes in demands {
            add(SetKind::Path, changes.clone());
        }
        for (path, choice) in analysis.choices().into_iter().chain(schema::choices(
            chart,
            &effective,
            analysis.reads(),
        )) {
            if effective.text(&path) != Some(&choice) && is_free(&path) {
                let changes = Changes::from([(path, ScalarValue::Text(choice))]);
                add(SetKind::Choice, changes);
            }
        }
        let booleans = effective.booleans();
        for changes in groups(&booleans, &single, &effective, limits.group) {
            add(SetKind::Group, changes);
        }
        let left_out = sets.len().saturating_sub(limits.renders);
        sets.truncate(limits.renders);
        let mut off: BTreeSet<ValuePath> = booleans
            .iter()
            .filter(|(_, on)| !**on)
            .map(|(path, _)| path.clone())
            .collect();
        off.extend(
            single
                .into_iter()
                .filter(|path| effective.turned(path) == Some(ScalarValue::Bool(true))),
        );
        off.extend(
            analysis
                .api_versions()
                .iter()
                .map(|v| ValuePath::api_version(v)),
        );
        let parents = booleans
            .keys()
            .map(|path| (path.clone(), effective.parents_off(path)))
            .filter(|(_, parents)| !parents.is_empty())
            .collect();
        Ok(Self {
            sets,
            parents,
            off: off.into_iter().collect(),
            left_out,
            is_cut: analysis.is_cut(),
            limits,
        })
    }
}

/// The switches that no single set turns, so many at a time. What is off and what is on are turned apart; what lies below something
/// that is off gets that turned on with it, and a part that is switched off does not hide what else is in its group, since the
/// members of a group come from all over the values.
fn groups(
    booleans: &BTreeMap<ValuePath, bool>,
    single: &BTreeSet<ValuePath>,
    effective: &Effective<'_>,
    size: usize,
) -> Vec<Changes> {
    let rest = |on: bool| -> Vec<&ValuePath> {
        booleans
            .iter()
            .filter(|(path, value)| **value == on && !single.contains(*path))
            .map(|(path, _)| path)
            .collect()
    };
    let mut groups = Vec::new();
    for paths in rest(false).chunks(size.max(1)) {
        let mut changes = Changes::new();
        for path in paths {
            for parent in effective.parents_off(path) {
                changes.insert(parent, ScalarValue::Bool(true));
            }
            changes.insert((*path).clone(), ScalarValue::Bool(true));
        }
        groups.push(changes);
    }
    let on = rest(true);
    let number = on.len().div_ceil(size.max(1));
    for first in 0..number {
        let members = on.iter().skip(first).step_by(number);
        groups.push(
            members
                .map(|path| ((*path).clone(), ScalarValue::Bool(false)))
                .collect(),
        );
    }
    groups
}

/// The values a chart and its subcharts see, as one tree: a subchart's stand under the name it is used by.
#[derive(Debug, Clone)]
pub struct MergedValues {
    /// The values.
    pub values: Value,
    /// Where each chart's values stand, with the version of its application.
    charts: BTreeMap<Vec<String>, Option<String>>,
}

impl MergedValues {
    /// Merges the values of a chart and its subcharts under the given ones, as Helm does.
    ///
    /// # Errors
    /// As [`ValueSpace::of`].
    pub fn of(chart: &Chart, given: &[String]) -> Result<Self, ChartError> {
        let effective = Effective::of(chart, given)?;
        let charts = effective
            .instances
            .iter()
            .map(|instance| (instance.prefix.0.clone(), instance.node.app_version.clone()))
            .collect();
        Ok(Self {
            values: effective.into_values(),
            charts,
        })
    }

    /// Version of the application whose chart the value at this path belongs to.
    pub fn app_version(&self, path: &[String]) -> Option<&str> {
        (0..=path.len())
            .rev()
            .find_map(|length| self.charts.get(path.get(..length)?))?
            .as_deref()
    }
}

/// Whether a text may be set to a literal without making up a name: not where it is part of an image's name, a version or an address.
fn is_free(path: &ValuePath) -> bool {
    const PARTS: [&str; 14] = [
        "tag",
        "digest",
        "sha",
        "registry",
        "repository",
        "repo",
        "hub",
        "version",
        "image",
        "name",
        "prefix",
        "suffix",
        "url",
        "host",
    ];
    let last = path.last().to_ascii_lowercase();
    !PARTS.iter().any(|part| last.ends_with(part))
}
