//! Subjects that events travel on.
//!
//! Only closed sets and the tenant become tokens. Names of packages, repositories and tags stay in the body: they may
//! hold dots, and a subscriber's wildcards must never depend on what a chart is called.

use quench_model::{FindingKind, FindingState, Level, Severity};

/// A submission was accepted.
pub const SUBMITTED: &str = "quench.v1.package.submitted";
/// A package goes no further.
pub const REJECTED: &str = "quench.v1.package.rejected";

/// A package has reached `level`.
pub fn package(level: Level) -> &'static str {
    match level {
        Level::Integrated => "quench.v1.package.integrated",
        Level::Configured => "quench.v1.package.configured",
        Level::Secured => "quench.v1.package.secured",
        Level::Operable => "quench.v1.package.operable",
        Level::Minimized => "quench.v1.package.minimized",
    }
}

/// What the service that brings packages to `level` works on: the event of the level before.
pub fn input(level: Level) -> &'static str {
    level.previous().map_or(SUBMITTED, package)
}

/// A finding came into `state`.
pub fn finding(
    tenant: &Tenant,
    kind: FindingKind,
    state: FindingState,
    severity: Severity,
) -> String {
    format!(
        "quench.v1.finding.{}.{}.{}.{}",
        tenant.0,
        kind.name(),
        state.name(),
        severity.name()
    )
}

/// One advisory touched many packages.
pub fn finding_summary(tenant: &Tenant, kind: FindingKind, severity: Severity) -> String {
    format!(
        "quench.v1.finding.{}.{}.summary.{}",
        tenant.0,
        kind.name(),
        severity.name()
    )
}

/// A message that `consumer` could not handle.
pub fn dead(consumer: &str) -> String {
    format!("quench.v1.dead.{consumer}")
}

/// Whom packages belong to: one token of a subject, so lower-case letters, digits and `-` only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

/// A text that cannot be a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tenant; use 1 to 63 lower-case letters, digits and '-'")]
pub struct TenantError(String);

impl Tenant {
    /// The tenant as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl std::str::FromStr for Tenant {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TenantError(text.chars().take(80).collect()))
        }
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_can_never_widen_a_subject() {
        for bad in ["", "*", ">", "a.b", "a b", "A", "a*", &"a".repeat(64)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad}");
        }
        assert_eq!("team-7".parse::<Tenant>().unwrap().as_str(), "team-7");
    }

    #[test]
    fn every_level_works_on_the_event_of_the_level_before() {
        assert_eq!(input(Level::Integrated), SUBMITTED);
        for level in Level::ALL.into_iter().skip(1) {
            assert_eq!(input(level), package(level.previous().unwrap()));
        }
    }
}
