//! Taking vectors apart.

use std::collections::BTreeMap;

/// The metrics of a vector, each once.
pub(super) struct Metrics<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Metrics<'a> {
    /// Reads `AV:N/AC:L/…`.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let mut metrics = BTreeMap::new();
        for field in text.split('/').filter(|field| !field.is_empty()) {
            let (metric, value) = field
                .split_once(':')
                .ok_or_else(|| format!("{field} is no metric with a value"))?;
            if metrics.insert(metric, value).is_some() {
                return Err(format!("{metric} is given twice"));
            }
        }
        Ok(Self(metrics))
    }

    /// A metric's value, if it is given and defined (`X` and `ND` say that it is not).
    pub(super) fn get(&self, metric: &str) -> Option<&'a str> {
        self.0
            .get(metric)
            .copied()
            .filter(|value| !matches!(*value, "X" | "ND"))
    }

    /// The weight of a metric that must be given, by its value.
    pub(super) fn weigh(&self, metric: &str, weights: &[(&str, f64)]) -> Result<f64, String> {
        let value = self
            .get(metric)
            .ok_or_else(|| format!("it lacks {metric}"))?;
        weights
            .iter()
            .find(|(name, _)| *name == value)
            .map(|(_, weight)| *weight)
            .ok_or_else(|| format!("{value} is no value of {metric}"))
    }
}
