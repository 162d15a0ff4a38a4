//! The values a chart and its subcharts see, as one tree, and where each subchart stands in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Changes, ScalarValue, ValuePath};
use crate::chart::{Chart, ChartError, ChartNode, Dependency};
use crate::yaml;

/// Most uses of subcharts looked at; aliases of charts with aliases multiply.
const MAX_INSTANCES: usize = 500;
/// Deepest path of a value looked at.
const MAX_PATH: usize = 32;

/// A chart or subchart under one of the names it is used by.
pub(super) struct Instance<'c> {
    pub(super) node: &'c ChartNode,
    /// Where its values stand.
    pub(super) prefix: ValuePath,
    /// Ways to have it enabled; one without changes where it is already.
    pub(super) guards: Vec<Changes>,
    /// Its subcharts by the name they are used by.
    pub(super) children: Vec<(String, usize)>,
}

/// The values a chart sees at given values.
pub(super) struct Effective<'c> {
    values: Value,
    pub(super) instances: Vec<Instance<'c>>,
}

impl<'c> Effective<'c> {
    pub(super) fn of(chart: &'c Chart, given: &[String]) -> Result<Self, ChartError> {
        let mut over = Map::new();
        for (position, text) in given.iter().enumerate() {
            let parsed = yaml::values(text).map_err(|source| ChartError::Yaml {
                path: format!("values file {}", position + 1),
                source,
            })?;
            if let Value::Object(parsed) = parsed {
                yaml::merge(&mut over, parsed);
            }
        }
        let mut budget = MAX_INSTANCES;
        let values = coalesce(chart, chart.root(), over, &mut budget)?;
        let mut effective = Self {
            values: Value::Object(values),
            instances: Vec::new(),
        };
        effective.place(chart.root(), ValuePath::default(), vec![Changes::new()]);
        Ok(effective)
    }

    fn place(
        &mut self,
        node: &'c ChartNode,
        prefix: ValuePath,
        guards: Vec<Changes>,
    ) -> Option<usize> {
        if self.instances.len() >= MAX_INSTANCES {
            return None;
        }
        let index = self.instances.len();
        self.instances.push(Instance {
            node,
            prefix: prefix.clone(),
            guards: guards.clone(),
            children: Vec::new(),
        });
        let mut children = Vec::new();
        for (name, child, dependency) in uses(node) {
            let way = dependency.map_or_else(
                || vec![Changes::new()],
                |dependency| self.ways_to_enable(dependency, &prefix),
            );
            let guards = super::conditions::both(&guards, &way);
            if let Some(child) = self.place(child, prefix.child(name), guards) {
                children.push((name.to_owned(), child));
            }
        }
        if let Some(instance) = self.instances.get_mut(index) {
            instance.children = children;
        }
        Some(index)
    }

    /// The first path of the condition that is there decides; without one the tags do.
    fn ways_to_enable(&self, dependency: &Dependency, parent: &ValuePath) -> Vec<Changes> {
        let paths: Vec<ValuePath> = dependency
            .condition
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                let mut path = parent.clone();
                path.0.extend(text.split('.').map(str::to_owned));
                path
            })
            .collect();
        let deciding = paths
            .iter()
            .find_map(|path| Some((path, self.get(path)?.as_bool()?)));
        match (deciding, paths.first()) {
            (Some((_, true)), _) => return vec![Changes::new()],
            (Some((path, false)), _) => {
                return vec![Changes::from([(path.clone(), ScalarValue::Bool(true))])];
            }
            (None, _) => {}
        }
        let tags: Vec<ValuePath> = dependency
            .tags
            .iter()
            .map(|tag| ValuePath::new(["tags", tag]))
            .collect();
        let states: Vec<Option<bool>> = tags
            .iter()
            .map(|tag| self.get(tag).and_then(Value::as_bool))
            .collect();
        if !states.contains(&Some(false)) || states.contains(&Some(true)) {
            return vec![Changes::new()];
        }
        let switch = paths.first().or(tags.first());
        switch
            .map(|path| vec![Changes::from([(path.clone(), ScalarValue::Bool(true))])])
            .unwrap_or_default()
    }

    pub(super) fn into_values(self) -> Value {
        self.values
    }

    pub(super) fn get(&self, path: &ValuePath) -> Option<&Value> {
        path.keys()
            .iter()
            .try_fold(&self.values, |value, key| value.get(key))
    }

    pub(super) fn text(&self, path: &ValuePath) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    /// Whether a value may be set at this path: nothing on the way there is text, a number or a list.
    pub(super) fn may_set(&self, path: &ValuePath) -> bool {
        let mut value = &self.values;
        let Some((_, parents)) = path.keys().split_last() else {
            return false;
        };
        for key in parents {
            match value.get(key) {
                Some(Value::Null) | None => return true,
                Some(inner @ Value::Object(_)) => value = inner,
                Some(_) => return false,
            }
        }
        true
    }

    /// A switch turned: a boolean its other way, or one that is not set but called like one turned on.
    pub(super) fn turned(&self, path: &ValuePath) -> Option<ScalarValue> {
        match self.get(path) {
            Some(Value::Bool(on)) => Some(ScalarValue::Bool(!on)),
            None | Some(Value::Null) if is_called_like_a_switch(path) && self.may_set(path) => {
                Some(ScalarValue::Bool(true))
            }
            _ => None,
        }
    }

    /// Every boolean of the values, with what it is.
    pub(super) fn booleans(&self) -> BTreeMap<ValuePath, bool> {
        let mut found = BTreeMap::new();
        booleans_in(&self.values, &ValuePath::default(), &mut found);
        found
    }

    /// Switches above a path that are off: `a.enabled` for `a.b.enabled`.
    pub(super) fn parents_off(&self, path: &ValuePath) -> Vec<ValuePath> {
        let keys = path.keys();
        let mut found = Vec::new();
        for length in 1..keys.len() {
            let parent = ValuePath(keys.get(..length).unwrap_or_default().to_vec());
            for name in ["enabled", "create", "install"] {
                let switch = parent.child(name);
                if switch != *path && self.get(&switch) == Some(&Value::Bool(false)) {
                    found.push(switch);
                }
            }
        }
        found
    }
}

fn booleans_in(value: &Value, path: &ValuePath, found: &mut BTreeMap<ValuePath, bool>) {
    match value {
        Value::Bool(on) => {
            found.insert(path.clone(), *on);
        }
        Value::Object(map) if path.0.len() < MAX_PATH => {
            for (key, value) in map {
                booleans_in(value, &path.child(key), found);
            }
        }
        _ => {}
    }
}

/// Words that switches are called by, whole or as the last word of a longer name.
fn is_called_like_a_switch(path: &ValuePath) -> bool {
    let last = path.last();
    let lower = last.to_ascii_lowercase();
    ["enabled", "enable", "create", "install", "disabled"]
        .iter()
        .any(|word| lower.ends_with(word))
        || ["enable", "use", "create", "install", "with", "is", "has"]
            .iter()
            .any(|word| {
                last.strip_prefix(word)
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            })
}

/// The subcharts of a chart under each name they are used by, with what declares the use.
fn uses(node: &ChartNode) -> Vec<(&str, &ChartNode, Option<&Dependency>)> {
    let mut found = Vec::new();
    for dependency in &node.dependencies {
        // Two versions of one chart lie in folders of their own; templates of either are as likely.
        for child in node.subcharts.iter().filter(|c| c.name == dependency.name) {
            found.push((dependency.effective_name(), child, Some(dependency)));
        }
    }
    for child in &node.subcharts {
        if !node.dependencies.iter().any(|d| d.name == child.name) {
            found.push((child.name.as_str(), child, None));
        }
    }
    found
}

/// The values of a chart under those laid over them, its subcharts' included. `global` is the same map in all of them.
fn coalesce(
    chart: &Chart,
    node: &ChartNode,
    over: Map<String, Value>,
    budget: &mut usize,
) -> Result<Map<String, Value>, ChartError> {
    let path = format!("{}values.yaml", node.prefix);
    let mut values = Map::new();
    if let Some(content) = chart.file(&path) {
        let wrap = |source| ChartError::Yaml {
            path: path.clone(),
            source,
        };
        let text = yaml::text(content).map_err(wrap)?;
        if let Value::Object(own) = yaml::values(text).map_err(wrap)? {
            values = own;
        }
    }
    yaml::merge(&mut values, over);
    for (name, child, _) in uses(node) {
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        let over = match values.remove(name) {
            Some(Value::Object(over)) => over,
            _ => Map::new(),
        };
        let mut inner = coalesce(chart, child, over, budget)?;
        if let Some(Value::Object(mut global)) = inner.remove("global") {
            if let Some(Value::Object(own)) = values.remove("global") {
                yaml::merge(&mut global, own);
            }
            values.insert("global".to_owned(), Value::Object(global));
        }
        values.insert(name.to_owned(), Value::Object(inner));
    }
    Ok(values)
}
