//! Where credentials stand.

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{Check, Condition, Path, Rule, Safety, Scope, Source, container, item};

pub(super) const RULES: &[&Rule] = &[&SECRETS_AS_FILES, &NO_LITERAL_CREDENTIALS];

static SECRETS_AS_FILES: Rule = Rule {
    id: "secrets-as-files",
    title: "secrets reach containers as files",
    rationale: "The environment of a process is inherited, logged and shown by debuggers; a file is not.",
    references: &[
        at(Source::Cis, "5.4.1"),
        at(Source::Kubescape, "C-0207"),
        at(Source::Checkov, "CKV_K8S_35"),
        at(Source::KubeLinter, "env-var-secret"),
        at(Source::BsiSys16, "A8"),
    ],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::AnyItem(
                container(&["env"]),
                &Condition::Present(item(&["valueFrom", "secretKeyRef"])),
            ),
            Condition::AnyItem(
                container(&["envFrom"]),
                &Condition::Present(item(&["secretRef"])),
            ),
        ]),
        fixes: &[],
        unfixed: &[always(
            "the program reads secrets from its environment; mount them where it can read files",
        )],
    }],
};

const NAME: Path = item(&["name"]);

static NO_LITERAL_CREDENTIALS: Rule = Rule {
    id: "no-literal-credentials",
    title: "no passwords stand in manifests",
    rationale: "Who reads the manifest, its history or the release's Secret reads the password.",
    references: &[at(Source::Kubescape, "C-0012"), at(Source::BsiSys16, "A8")],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(
            container(&["env"]),
            &Condition::All(&[
                // An empty text is a password that is not set.
                Condition::StartsWith(item(&["value"]), ""),
                Condition::Not(&Condition::Is(
                    item(&["value"]),
                    crate::rule::Literal::Text(""),
                )),
                // `…_FILE` names where it lies.
                Condition::Not(&Condition::Contains(NAME, "_FILE")),
                Condition::Not(&Condition::Contains(NAME, "ALLOW_EMPTY")),
                Condition::Not(&Condition::StartsWith(item(&["value"]), "/")),
                Condition::Not(&Condition::StartsWith(item(&["value"]), "$(")),
                Condition::Any(&[
                    Condition::Contains(NAME, "PASSWORD"),
                    Condition::Contains(NAME, "SECRET_KEY"),
                    Condition::Contains(NAME, "API_KEY"),
                    Condition::Contains(NAME, "ACCESS_TOKEN"),
                ]),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the chart writes a credential into the environment; take it from a Secret",
        )],
    }],
};
