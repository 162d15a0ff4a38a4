//! How workloads are reached.

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{Check, Condition, Literal, Rule, Safety, Scope, Source, object};

pub(super) const RULES: &[&Rule] = &[&SERVICE_TYPE, &INGRESS_TLS, &NO_SYSTEM_NAMESPACE];

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
