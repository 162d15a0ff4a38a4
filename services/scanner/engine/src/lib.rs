//! Level 3, *secured*: what is in every image, what is known to be wrong with it, and whether that is accepted.
//!
//! Start with [`Engine::run`]: for each image and platform it catalogues the packages, writes the SBOMs, asks the advisory
//! epoch about every package, and lets the policy decide. Whatever could not be looked at is a finding of the kind
//! completeness, never silence.

use std::sync::Arc;

use quench_advisories::Epoch;
use quench_model::Level;
use quench_package::{Context, EngineError, Outcome, Package};

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "1";

/// The scanner's engine. Cheap to clone and to make anew for another epoch.
#[derive(Debug, Clone)]
pub struct Engine {
    epoch: Option<Arc<Epoch>>,
}

impl Engine {
    /// An engine that matches against `epoch`. Without one every image is catalogued and a finding says that nothing was
    /// checked.
    pub fn new(epoch: Option<Arc<Epoch>>) -> Self {
        Self { epoch }
    }

    /// Brings a package to [`Level::Secured`].
    ///
    /// # Errors
    /// When an image cannot be read or the store fails. What is merely wrong with an image is a finding, and a gate
    /// that says no is [`Outcome::refusal`].
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let _ = (&self.epoch, context, Level::Secured);
        Err(EngineError::Input(format!(
            "{}: the scanner cannot scan yet",
            input.revision.digest
        )))
    }
}
