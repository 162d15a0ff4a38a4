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
    &NO_POD_CREATION,
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
        at(Source::KubeLinter, "wildcard-in-rules"),
        at(Source::Nsa, "RBAC"),
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
    &[
        at(Source::Cis, "5.1.1"),
        at(Source::Cis, "5.1.7"),
        at(Source::Kubescape, "C-0185"),
        at(Source::KubeLinter, "cluster-admin-role-binding"),
        at(Source::Nsa, "RBAC"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::Critical,
    &[
        Check {
            scope: Scope::Object,
            kinds: BINDINGS,
            applies: Condition::Always,
            broken: Condition::Is(object(&["roleRef", "name"]), Literal::Text("cluster-admin")),
            fixes: &[],
            unfixed: &[always(
                "the chart binds cluster-admin; write a role with what is needed",
            )],
        },
        Check {
            scope: Scope::Object,
            kinds: BINDINGS,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                object(&["subjects"]),
                &Condition::Is(item(&["name"]), Literal::Text("system:masters")),
            ),
            fixes: &[],
            unfixed: &[always(
                "the chart gives permissions to system:masters, a group that no role can take anything from",
            )],
        },
    ],
);

static NO_SECRET_READ: Rule = reported(
    "rbac-no-secret-read",
    "roles do not read secrets",
    "Who reads the secrets of a namespace has every account in it.",
    &[
        at(Source::Cis, "5.1.2"),
        at(Source::Kubescape, "C-0186"),
        at(Source::Checkov, "CKV2_K8S_5"),
        at(Source::KubeLinter, "access-to-secrets"),
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
    "Who may exec into a pod, or reach the node's kubelet through its proxy, has all that the pod, or every pod of the node, has.",
    &[
        at(Source::Cis, "5.1.10"),
        at(Source::Kubescape, "C-0002"),
        at(Source::Checkov, "CKV2_K8S_2"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::High,
    &[
        Check {
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
            unfixed: &[always(
                "the role runs commands in pods; take it away where nothing needs it",
            )],
        },
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::Has(item(&["resources"]), "nodes/proxy"),
            ),
            fixes: &[],
            unfixed: &[always(
                "the role reaches kubelets through their proxy; read metrics from nodes/metrics and nodes/stats instead",
            )],
        },
    ],
);

static NO_POD_CREATION: Rule = reported(
    "rbac-no-pod-creation",
    "roles do not make pods or volumes of nodes",
    "Who makes pods makes them run under any account of the namespace and mount any secret of it; who makes persistent volumes \
     mounts any folder of a node.",
    &[
        at(Source::Cis, "5.1.4"),
        at(Source::Cis, "5.1.9"),
        at(Source::Kubescape, "C-0188"),
        at(Source::KubeLinter, "access-to-create-pods"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::Medium,
    &[
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::All(&[
                    Condition::Any(&[
                        Condition::Has(item(&["resources"]), "pods"),
                        Condition::Has(item(&["resources"]), "deployments"),
                        Condition::Has(item(&["resources"]), "statefulsets"),
                        Condition::Has(item(&["resources"]), "daemonsets"),
                        Condition::Has(item(&["resources"]), "replicasets"),
                        Condition::Has(item(&["resources"]), "jobs"),
                        Condition::Has(item(&["resources"]), "cronjobs"),
                    ]),
                    Condition::Any(&[
                        Condition::Has(item(&["verbs"]), "create"),
                        Condition::Has(item(&["verbs"]), "*"),
                    ]),
                ]),
            ),
            fixes: &[],
            unfixed: &[always(
                "the role makes pods, or workloads that do; take it away where nothing needs it",
            )],
        },
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::All(&[
                    Condition::Any(&[Condition::Has(item(&["resources"]), "persistentvolumes")]),
                    Condition::Any(&[
                        Condition::Has(item(&["verbs"]), "create"),
                        Condition::Has(item(&["verbs"]), "*"),
                    ]),
                ]),
            ),
            fixes: &[],
            unfixed: &[always(
                "the role makes persistent volumes, and so mounts folders of nodes",
            )],
        },
    ],
);

static NO_ESCALATION: Rule = reported(
    "rbac-no-escalation",
    "roles do not give out permissions",
    "With escalate, bind or impersonate an account gives itself whatever it lacks; so it does by making tokens of other accounts, \
     by signing certificates, and by webhooks that change what others send to the API server.",
    &[
        at(Source::Cis, "5.1.8"),
        at(Source::Cis, "5.1.11"),
        at(Source::Cis, "5.1.12"),
        at(Source::Cis, "5.1.13"),
        at(Source::Kubescape, "C-0065"),
        at(Source::Checkov, "CKV_K8S_155"),
        at(Source::Checkov, "CKV_K8S_156"),
        at(Source::Checkov, "CKV_K8S_157"),
        at(Source::Checkov, "CKV_K8S_158"),
        at(Source::Checkov, "CKV2_K8S_1"),
        at(Source::Checkov, "CKV2_K8S_3"),
        at(Source::BsiApp44, "A9"),
    ],
    Severity::High,
    &[
        Check {
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
        },
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::All(&[
                    Condition::Any(&[Condition::Has(
                        item(&["resources"]),
                        "serviceaccounts/token",
                    )]),
                    Condition::Any(&[
                        Condition::Has(item(&["verbs"]), "create"),
                        Condition::Has(item(&["verbs"]), "*"),
                    ]),
                ]),
            ),
            fixes: &[],
            unfixed: &[always("the role makes tokens of service accounts")],
        },
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::All(&[
                    Condition::Any(&[
                        Condition::Has(item(&["resources"]), "certificatesigningrequests/approval"),
                        Condition::Has(item(&["resources"]), "certificatesigningrequests/status"),
                        Condition::Has(item(&["resources"]), "signers"),
                    ]),
                    Condition::Any(&[
                        Condition::Has(item(&["verbs"]), "approve"),
                        Condition::Has(item(&["verbs"]), "sign"),
                        Condition::Has(item(&["verbs"]), "update"),
                        Condition::Has(item(&["verbs"]), "patch"),
                        Condition::Has(item(&["verbs"]), "*"),
                    ]),
                ]),
            ),
            fixes: &[],
            unfixed: &[always("the role approves or signs certificates")],
        },
        Check {
            scope: Scope::Object,
            kinds: ROLES,
            applies: Condition::Always,
            broken: Condition::AnyItem(
                ROLE_RULES,
                &Condition::All(&[
                    Condition::Any(&[
                        Condition::Has(item(&["resources"]), "mutatingwebhookconfigurations"),
                        Condition::Has(item(&["resources"]), "validatingwebhookconfigurations"),
                    ]),
                    Condition::Any(&[
                        Condition::Has(item(&["verbs"]), "create"),
                        Condition::Has(item(&["verbs"]), "update"),
                        Condition::Has(item(&["verbs"]), "patch"),
                        Condition::Has(item(&["verbs"]), "*"),
                    ]),
                ]),
            ),
            fixes: &[],
            unfixed: &[always(
                "the role changes admission webhooks, which see and change what others send to the API server",
            )],
        },
    ],
);

static NO_DEFAULT_ACCOUNT_BINDING: Rule = reported(
    "no-default-account-binding",
    "nothing is bound to the default account or to everybody",
    "Every pod of the namespace that names no account runs under the default one, and so has what it is given; a group of \
     all accounts, or of callers who did not log in, is everybody's.",
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
            &Condition::Any(&[
                Condition::All(&[
                    Condition::Is(item(&["kind"]), Literal::Text("ServiceAccount")),
                    Condition::Is(item(&["name"]), Literal::Text("default")),
                ]),
                Condition::Is(item(&["name"]), Literal::Text("system:anonymous")),
                Condition::Is(item(&["name"]), Literal::Text("system:unauthenticated")),
                Condition::Is(item(&["name"]), Literal::Text("system:authenticated")),
                Condition::Is(item(&["name"]), Literal::Text("system:serviceaccounts")),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the chart gives permissions to the default account, or to everybody; have it make an account of its own",
        )],
    }],
);
