//! What roles of the chart allow.

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{
    Check, Condition, Literal, Path, Reference, Rule, Safety, Scope, Source, item, object,
};

pub(super) const RULES: &[&Rule] = &[
    &NO_WILDCARD,
    &NO_CLUSTER_ADMIN,
    &NO_SECRET_READ,
    &NO_EXEC,
    &NO_ESCALATION,
    &NO_DEFAULT_ACCOUNT_BINDING,
];

const ROLES: &[&str] = &["Role", "ClusterRole"];
const BINDINGS: &[&str] = &["RoleBinding", "ClusterRoleBinding"];
const ROLE_RULES: Path = object(&["rules"]);

const fn reported(
    id: &'static str,
    title: &'static str,
    rationale: &'static str,
    references: &'static [Reference],
    severity: Severity,
    checks: &'static [Check],
) -> Rule {
    Rule {
        id,
        title,
        rationale,
        references,
        safety: Safety::Report,
        severity,
        level: Level::Configured,
        needs: &[],
        checks,
    }
}

const READS: Condition = Condition::Any(&[
    Condition::Has(item(&["verbs"]), "get"),
    Condition::Has(item(&["verbs"]), "list"),
    Condition::Has(item(&["verbs"]), "watch"),
    Condition::Has(item(&["verbs"]), "*"),
]);

static NO_WILDCARD: Rule = reported(
    "rbac-no-wildcard",
    "roles name what they allow",
    "A wildcard allows what nobody thought of, and what later versions add.",
    &[
        at(Source::Cis, "5.1.3"),
        at(Source::Kubescape, "C-0187"),
        at(Source::Checkov, "CKV_K8S_49"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::High,
    &[Check {
        scope: Scope::Object,
        kinds: ROLES,
        applies: Condition::Always,
        broken: Condition::AnyItem(
            ROLE_RULES,
            &Condition::Any(&[
                Condition::Has(item(&["verbs"]), "*"),
                Condition::Has(item(&["resources"]), "*"),
                Condition::Has(item(&["apiGroups"]), "*"),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the role has a wildcard; name the verbs and resources it is for",
        )],
    }],
);

static NO_CLUSTER_ADMIN: Rule = reported(
    "rbac-no-cluster-admin",
    "nothing is bound to cluster-admin",
    "cluster-admin may do everything, everywhere.",
    &[at(Source::Cis, "5.1.1"), at(Source::Kubescape, "C-0185")],
    Severity::Critical,
    &[Check {
        scope: Scope::Object,
        kinds: BINDINGS,
        applies: Condition::Always,
        broken: Condition::Is(object(&["roleRef", "name"]), Literal::Text("cluster-admin")),
        fixes: &[],
        unfixed: &[always(
            "the chart binds cluster-admin; write a role with what is needed",
        )],
    }],
);

static NO_SECRET_READ: Rule = reported(
    "rbac-no-secret-read",
    "roles do not read secrets",
    "Who reads the secrets of a namespace has every account in it.",
    &[
        at(Source::Cis, "5.1.2"),
        at(Source::Kubescape, "C-0186"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::High,
    &[Check {
        scope: Scope::Object,
        kinds: ROLES,
        applies: Condition::Always,
        broken: Condition::AnyItem(
            ROLE_RULES,
            &Condition::All(&[
                Condition::Has(item(&["resources"]), "secrets"),
                Condition::Not(&Condition::Present(item(&["resourceNames"]))),
                READS,
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the role reads all secrets; name those it is for in resourceNames",
        )],
    }],
);

static NO_EXEC: Rule = reported(
    "rbac-no-exec",
    "roles do not run commands in pods",
    "Who may exec into a pod has all that pod has.",
    &[
        at(Source::Kubescape, "C-0002"),
        at(Source::Checkov, "CKV_K8S_156"),
    ],
    Severity::High,
    &[Check {
        scope: Scope::Object,
        kinds: ROLES,
        applies: Condition::Always,
        broken: Condition::AnyItem(
            ROLE_RULES,
            &Condition::Any(&[
                Condition::Has(item(&["resources"]), "pods/exec"),
                Condition::Has(item(&["resources"]), "pods/attach"),
            ]),
        ),
        fixes: &[],
        unfixed: &[always("the role runs commands in pods")],
    }],
);

static NO_ESCALATION: Rule = reported(
    "rbac-no-escalation",
    "roles do not give out permissions",
    "With escalate, bind or impersonate an account gives itself whatever it lacks.",
    &[at(Source::Cis, "5.1.8"), at(Source::Checkov, "CKV_K8S_158")],
    Severity::High,
    &[Check {
        scope: Scope::Object,
        kinds: ROLES,
        applies: Condition::Always,
        broken: Condition::AnyItem(
            ROLE_RULES,
            &Condition::Any(&[
                Condition::Has(item(&["verbs"]), "escalate"),
                Condition::Has(item(&["verbs"]), "bind"),
                Condition::Has(item(&["verbs"]), "impersonate"),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the role has one of the verbs escalate, bind, impersonate",
        )],
    }],
);

static NO_DEFAULT_ACCOUNT_BINDING: Rule = reported(
    "no-default-account-binding",
    "nothing is bound to the default account",
    "Every pod of the namespace that names no account runs under it.",
    &[
        at(Source::Cis, "5.1.5"),
        at(Source::Kubescape, "C-0189"),
        at(Source::Checkov, "CKV_K8S_42"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::High,
    &[Check {
        scope: Scope::Object,
        kinds: BINDINGS,
        applies: Condition::Always,
        broken: Condition::AnyItem(
            object(&["subjects"]),
            &Condition::All(&[
                Condition::Is(item(&["kind"]), Literal::Text("ServiceAccount")),
                Condition::Is(item(&["name"]), Literal::Text("default")),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the chart gives permissions to the default account; have it create one of its own",
        )],
    }],
);
