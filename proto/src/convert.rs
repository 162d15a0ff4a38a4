//! Conversions between the contract and the model.

use quench_model::{Finding, FindingKind, FindingState, Level, Severity};

use crate::v1;

impl From<Level> for v1::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Integrated => Self::Integrated,
            Level::Configured => Self::Configured,
            Level::Secured => Self::Secured,
            Level::Operable => Self::Operable,
            Level::Minimized => Self::Minimized,
        }
    }
}

impl v1::Level {
    /// The level of the model; `None` where none is named.
    pub fn model(self) -> Option<Level> {
        match self {
            Self::Unspecified => None,
            Self::Integrated => Some(Level::Integrated),
            Self::Configured => Some(Level::Configured),
            Self::Secured => Some(Level::Secured),
            Self::Operable => Some(Level::Operable),
            Self::Minimized => Some(Level::Minimized),
        }
    }
}

impl From<FindingKind> for v1::FindingKind {
    fn from(kind: FindingKind) -> Self {
        match kind {
            FindingKind::Vulnerability => Self::Vulnerability,
            FindingKind::Malware => Self::Malware,
            FindingKind::Secret => Self::Secret,
            FindingKind::Configuration => Self::Configuration,
            FindingKind::Licence => Self::Licence,
            FindingKind::Provenance => Self::Provenance,
            FindingKind::Completeness => Self::Completeness,
            FindingKind::EndOfLife => Self::EndOfLife,
        }
    }
}

impl From<FindingState> for v1::FindingState {
    fn from(state: FindingState) -> Self {
        match state {
            FindingState::Opened => Self::Opened,
            FindingState::Updated => Self::Updated,
            FindingState::Resolved => Self::Resolved,
            FindingState::Suppressed => Self::Suppressed,
            FindingState::Reopened => Self::Reopened,
        }
    }
}

impl From<Severity> for v1::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Unknown => Self::Unknown,
            Severity::Info => Self::Info,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl v1::FindingEvent {
    /// What subscribers learn of `finding`, which was in the state `previous` (`None`: it is new), in the packages
    /// `affected`.
    pub fn of(
        finding: &Finding,
        previous: Option<FindingState>,
        affected: Vec<v1::AffectedPackage>,
    ) -> Self {
        Self {
            finding_id: finding.id.to_string(),
            kind: v1::FindingKind::from(finding.kind).into(),
            canonical_id: finding.canonical_id.clone(),
            aliases: finding.aliases.clone(),
            previous_state: previous
                .map_or(v1::FindingState::Unspecified, Into::into)
                .into(),
            state: v1::FindingState::from(finding.state).into(),
            severity: v1::Severity::from(finding.severity).into(),
            previous_severity: v1::Severity::Unspecified.into(),
            cause: finding.cause.as_ref().map(|cause| v1::Cause {
                kind: cause.kind.name().to_owned(),
                detail: cause.detail.clone(),
                epoch: cause
                    .epoch
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            }),
            fixed_version: finding.fixed_version.clone().unwrap_or_default(),
            title: finding.title.clone(),
            message: finding.message.clone(),
            level: v1::Level::from(finding.level).into(),
            image: finding.subject.image.clone().unwrap_or_default(),
            purl: finding.subject.purl.clone().unwrap_or_default(),
            location: finding.subject.location.clone().unwrap_or_default(),
            affected,
            evidence: finding
                .evidence
                .iter()
                .map(|evidence| v1::Evidence {
                    source: evidence.source.clone(),
                    fact: evidence.fact.clone(),
                })
                .collect(),
            references: finding.references.clone(),
            suppression_reason: finding
                .suppression
                .as_ref()
                .map(|suppression| suppression.reason.clone())
                .unwrap_or_default(),
        }
    }
}
