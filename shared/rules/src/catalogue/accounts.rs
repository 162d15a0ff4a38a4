//! What a pod may do at the API server.

use quench_model::{Level, Severity};

use super::{FALSE, TRUE, always, at, because};
use crate::rule::{
    Account, Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source,
    Step, pod, template,
};

pub(super) const RULES: &[&Rule] = &[&NO_AUTOMOUNT_TOKEN, &OWN_SERVICE_ACCOUNT];

const AUTOMOUNT: Path = pod(&["automountServiceAccountToken"]);

/// Vault's injector logs in with the pod's own token.
const TOKEN_USED_BY_INJECTOR: Condition = Condition::AnyKey(
    template(&["metadata", "annotations"]),
    "vault.hashicorp.com/",
);

static NO_AUTOMOUNT_TOKEN: Rule = Rule {
    id: "no-automount-token",
    title: "pods that do not use the API get no token for it",
    rationale: "A token lets whoever gets into the container talk to the API server. It is taken away when the pod's \
                account is one of the chart, or the namespace's default, and no binding of the chart gives it anything: a role \
                without rules gives nothing, nor does one to use a pod security policy. An \
                account the user brought may be bound elsewhere; so may one that another chart of the same tree could bind. \
                Both are reported. Where the chart's own account says that pods get none, the pod says so too. \
                Since values decide which accounts and bindings there are, the chart looks at \
                its own at each render.",
    references: &[
        at(Source::Cis, "5.1.6"),
        at(Source::Nsa, "automountServiceAccountToken"),
        at(Source::Kubescape, "C-0034"),
        at(Source::Kubescape, "C-0190"),
        at(Source::Checkov, "CKV_K8S_38"),
        at(Source::BsiApp44, "A9"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::SameChart],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Is(AUTOMOUNT, FALSE)),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Any(&[
                    Condition::Not(&Condition::Present(AUTOMOUNT)),
                    Condition::Decided,
                ]),
                Condition::Not(&TOKEN_USED_BY_INJECTOR),
                Condition::Any(&[
                    Condition::Account(Account::Free),
                    Condition::Account(Account::Withheld),
                ]),
            ]),
            steps: &[Step::Set(AUTOMOUNT, Expression::Literal(FALSE))],
            evidence: &[pod(&["serviceAccountName"])],
        }],
        unfixed: &[
            because(
                Condition::Is(AUTOMOUNT, TRUE),
                "the chart mounts it in so many words; set it to false in the values if nothing uses the API",
            ),
            because(
                TOKEN_USED_BY_INJECTOR,
                "an injector logs in with the pod's token",
            ),
            because(
                Condition::Account(Account::Bound),
                "a binding of the chart gives the account permissions, so it is likely used",
            ),
            because(
                Condition::Account(Account::Foreign),
                "the account is not one of the chart, so it may be bound elsewhere",
            ),
            always("another chart of the tree has bindings that may name the account"),
        ],
    }],
};

const ACCOUNT: Path = pod(&["serviceAccountName"]).or(&OLD_ACCOUNT);
const OLD_ACCOUNT: Path = pod(&["serviceAccount"]);

static OWN_SERVICE_ACCOUNT: Rule = Rule {
    id: "own-service-account",
    title: "workloads have an account of their own",
    rationale: "Whatever the namespace's default account is given, every pod that names none gets too; and what such a pod \
                does cannot be told from what others do. No account is made for it: the default account may carry the \
                secrets that images are pulled with, or be what OpenShift's security context constraints are given to, \
                and pods that leave it would not start.",
    references: &[
        at(Source::Cis, "5.1.5"),
        at(Source::Kubescape, "C-0189"),
        at(Source::Checkov, "CKV_K8S_41"),
        at(Source::BsiApp44, "A9"),
    ],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Not(&Condition::Present(ACCOUNT)),
            Condition::Is(ACCOUNT, Literal::Text("default")),
            Condition::Is(ACCOUNT, Literal::Text("")),
        ]),
        fixes: &[],
        unfixed: &[always(
            "it runs under the namespace's default account; have the chart create one, where its values offer that",
        )],
    }],
};
