//! Stages a package goes through on its way to production, and whose signatures count.

use serde::{Deserialize, Serialize};

use crate::{Gate, Level};

/// Whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Trust {
    /// Public keys in PEM.
    pub keys: Vec<String>,
}

impl Trust {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A stage: `dev`, `test`, `production`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// Its name: 1 to 63 lower-case letters, digits and `-`, with a letter or digit at both ends.
    pub name: String,
    /// Stage that the same revision must have reached before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// What its findings are held against; the policy's own gate when left out. One that is not enforced lets everything
    /// through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Lowest level a revision must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Whether a trusted key must have signed the revision.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// Whether it must have been shown that the package installs without a network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub air_gap: bool,
    /// Public keys in PEM of those who may promote to this stage; any trusted key when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// Why a list of stages is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// A name that cannot be one.
    #[error(
        "{0:?} is not the name of a stage; use 1 to 63 lower-case letters, digits and '-', with a letter or digit at both ends"
    )]
    BadName(String),
    /// Two stages of one name.
    #[error("stage {0:?} is there twice")]
    Doubled(String),
    /// A stage that requires one that comes not before it.
    #[error("stage {name:?} requires {requires:?}, which is not a stage before it")]
    BadOrder {
        /// The stage.
        name: String,
        /// What it requires.
        requires: String,
    },
}

impl Stage {
    /// The stages where a policy names none: `dev` takes anything, `test` what has been in `dev` and passes the policy's
    /// gate, `production` the same of what has been in `test`.
    pub fn defaults() -> Vec<Self> {
        let stage = |name: &str, requires: Option<&str>| Self {
            name: name.to_owned(),
            requires: requires.map(str::to_owned),
            ..Self::default()
        };
        let mut dev = stage("dev", None);
        dev.gate = Some(Gate {
            enforce: false,
            ..Gate::default()
        });
        vec![
            dev,
            stage("test", Some("dev")),
            stage("production", Some("test")),
        ]
    }

    /// Checks a list of stages: names that can be names, each once, each requiring only what comes before it.
    ///
    /// # Errors
    /// The first stage that is wrong.
    pub fn check(stages: &[Self]) -> Result<(), StageError> {
        for (position, stage) in stages.iter().enumerate() {
            let name = &stage.name;
            if !valid_name(name) {
                return Err(StageError::BadName(name.clone()));
            }
            let before = stages.get(..position).unwrap_or_default();
            if before.iter().any(|other| other.name == *name) {
                return Err(StageError::Doubled(name.clone()));
            }
            if let Some(requires) = &stage.requires
                && !before.iter().any(|other| other.name == *requires)
            {
                return Err(StageError::BadOrder {
                    name: name.clone(),
                    requires: requires.clone(),
                });
            }
        }
        Ok(())
    }
}

fn valid_name(name: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = name.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(a), Some(b)) if edge(*a) && edge(*b))
        && bytes.len() <= 63
        && bytes.iter().all(|c| edge(*c) || *c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, requires: Option<&str>) -> Stage {
        Stage {
            name: name.to_owned(),
            requires: requires.map(str::to_owned),
            ..Stage::default()
        }
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(Stage::check(&Stage::defaults()), Ok(()));
    }

    #[test]
    fn stages_require_only_what_comes_before_them() {
        let circle = [stage("a", Some("b")), stage("b", Some("a"))];
        assert!(matches!(
            Stage::check(&circle),
            Err(StageError::BadOrder { .. })
        ));
        let doubled = [stage("a", None), stage("a", None)];
        assert!(matches!(
            Stage::check(&doubled),
            Err(StageError::Doubled(_))
        ));
        for name in ["", "-a", "A", "a/b", "a b"] {
            assert!(matches!(
                Stage::check(&[stage(name, None)]),
                Err(StageError::BadName(_))
            ));
        }
    }
}
