//! How workloads are reached.

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{Check, Condition, Literal, Path, Rule, Safety, Scope, Source, object};

pub(super) const RULES: &[&Rule] = &[
    &SERVICE_TYPE,
    &INGRESS_TLS,
    &INGRESS_SNIPPETS,
    &NO_SYSTEM_NAMESPACE,
];

static SERVICE_TYPE: Rule = Rule {
    id: "service-type",
    title: "Services are reached from within the cluster alone",
    rationale: "A NodePort or LoadBalancer opens the workload to whoever reaches the nodes or the balancer, past the ingress.",
    references: &[
        at(Source::Kubescape, "C-0256"),
        at(Source::KubeLinter, "exposed-services"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Service"],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Is(object(&["spec", "type"]), Literal::Text("NodePort")),
            Condition::Is(object(&["spec", "type"]), Literal::Text("LoadBalancer")),
        ]),
        fixes: &[],
        unfixed: &[always(
            "the chart opens it to the outside; set the type to ClusterIP in the values and use an ingress",
        )],
    }],
};

static INGRESS_TLS: Rule = Rule {
    id: "ingress-tls",
    title: "ingresses speak TLS",
    rationale: "Without it everyone on the way reads and changes what passes.",
    references: &[at(Source::Kubescape, "C-0263")],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Ingress"],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Present(object(&["spec", "tls"]))),
        fixes: &[],
        unfixed: &[always(
            "the ingress has no tls; name hosts and a secret in the values",
        )],
    }],
};

static NO_SYSTEM_NAMESPACE: Rule = Rule {
    id: "no-system-namespace",
    title: "objects are not put into kube-system",
    rationale: "What runs beside the control plane can often change it. Which namespace a release goes to is the user's \
                decision; a chart that writes this one takes it.",
    references: &[at(Source::Cis, "5.7.4"), at(Source::Kubescape, "C-0037")],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Is(
            object(&["metadata", "namespace"]),
            Literal::Text("kube-system"),
        ),
        fixes: &[],
        unfixed: &[always("the chart puts it into kube-system")],
    }],
};

static INGRESS_SNIPPETS: Rule = Rule {
    id: "ingress-snippets",
    title: "ingresses bring no configuration of the controller",
    rationale: "A snippet is run by the controller, which sees the traffic and the secrets of every namespace.",
    references: &[
        at(Source::Checkov, "CKV_K8S_152"),
        at(Source::Checkov, "CKV_K8S_153"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Ingress"],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::AnyKey(
                ANNOTATIONS,
                "nginx.ingress.kubernetes.io/configuration-snippet",
            ),
            Condition::AnyKey(ANNOTATIONS, "nginx.ingress.kubernetes.io/server-snippet"),
            Condition::AnyKey(ANNOTATIONS, "nginx.ingress.kubernetes.io/auth-snippet"),
            Condition::AnyKey(
                ANNOTATIONS,
                "nginx.ingress.kubernetes.io/modsecurity-snippet",
            ),
        ]),
        fixes: &[],
        unfixed: &[always(
            "the ingress has a snippet; use annotations made for the purpose",
        )],
    }],
};

const ANNOTATIONS: Path = object(&["metadata", "annotations"]);
