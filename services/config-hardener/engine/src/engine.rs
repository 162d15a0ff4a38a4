//! The engine: a package at level 1 in, at level 2 out.

use quench_chart::render::Helm;
use quench_package::{Context, EngineError, Outcome, Package};

/// Level 2.
#[derive(Debug, Clone)]
pub struct Engine {
    helm: Helm,
}

impl Engine {
    /// An engine that renders with `helm`.
    pub fn new(helm: Helm) -> Self {
        Self { helm }
    }

    /// Makes the package's chart harden itself.
    ///
    /// # Errors
    /// [`EngineError::Input`] names the chart, object or field that is wrong.
    pub async fn run(&self, input: &Package, cx: &Context) -> Result<Outcome, EngineError> {
        let _ = (&self.helm, input, cx);
        Err(EngineError::Input("not there yet".to_owned()))
    }
}
