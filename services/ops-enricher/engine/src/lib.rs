//! Level 4, *operable*: ready to run, and every licence known.
//!
//! Start with [`Engine::run`]: it switches the rules of level 4 on in the self-hardening chart, and draws up the licence
//! inventory of chart and images.

use quench_model::Level;
use quench_package::{Context, EngineError, Outcome, Package};

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "1";

/// The ops-enricher's engine.
#[derive(Debug, Clone, Default)]
pub struct Engine;

impl Engine {
    /// An engine.
    pub fn new() -> Self {
        Self
    }

    /// Brings a package to [`Level::Operable`].
    ///
    /// # Errors
    /// When the chart or an image cannot be read, or the store fails.
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let _ = (context, Level::Operable);
        Err(EngineError::Input(format!(
            "{}: the ops-enricher cannot enrich yet",
            input.revision.digest
        )))
    }
}
