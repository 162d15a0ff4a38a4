//! The five levels.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far a package revision has come. Ordered: later levels are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Level 1: chart and every image in one package, by digest.
    Integrated,
    /// Level 2: the chart hardens itself.
    Configured,
    /// Level 3: catalogued, matched against advisories, gated.
    Secured,
    /// Level 4: ready to operate.
    Operable,
    /// Level 5: images hold only what the chart makes them need.
    Minimized,
}

/// A text that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a level; expected integrated, configured, secured, operable or minimized")]
pub struct LevelError(String);

impl Level {
    /// All levels in order.
    pub const ALL: [Self; 5] = [
        Self::Integrated,
        Self::Configured,
        Self::Secured,
        Self::Operable,
        Self::Minimized,
    ];

    /// Its number, 1 to 5.
    pub fn number(self) -> u8 {
        match self {
            Self::Integrated => 1,
            Self::Configured => 2,
            Self::Secured => 3,
            Self::Operable => 4,
            Self::Minimized => 5,
        }
    }

    /// Its name, as in event subjects and annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrated => "integrated",
            Self::Configured => "configured",
            Self::Secured => "secured",
            Self::Operable => "operable",
            Self::Minimized => "minimized",
        }
    }

    /// The service that brings a package to this level.
    pub fn service(self) -> &'static str {
        match self {
            Self::Integrated => "ingestor",
            Self::Configured => "config-hardener",
            Self::Secured => "scanner",
            Self::Operable => "ops-enricher",
            Self::Minimized => "minimizer",
        }
    }

    /// The level before, if there is one.
    pub fn previous(self) -> Option<Self> {
        match self {
            Self::Integrated => None,
            Self::Configured => Some(Self::Integrated),
            Self::Secured => Some(Self::Configured),
            Self::Operable => Some(Self::Secured),
            Self::Minimized => Some(Self::Operable),
        }
    }

    /// The level after, if there is one.
    pub fn next(self) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.previous() == Some(self))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    /// Accepts the name or the number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text || level.number().to_string() == text)
            .ok_or_else(|| LevelError(text.chars().take(40).collect()))
    }
}
