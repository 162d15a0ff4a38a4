//! How workloads are reached.

use quench_model::{Level, Severity};

use super::{FALSE, TRUE, always, at, because};
use crate::rule::{
    Check, Condition, Direction, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source,
    Step, item, object, pod, settings,
};

pub(super) const RULES: &[&Rule] = &[
    &SERVICE_TYPE,
    &INGRESS_TLS,
    &INGRESS_SNIPPETS,
    &NO_DEFAULT_NAMESPACE,
    &NO_SYSTEM_NAMESPACE,
    &NETWORK_POLICY_INGRESS,
    &NETWORK_POLICY_EGRESS,
    &POD_SECURITY_NAMESPACE,
];

const OPEN: Condition = Condition::Any(&[
    Condition::Is(SERVICE_TYPE_PATH, Literal::Text("NodePort")),
    Condition::Is(SERVICE_TYPE_PATH, Literal::Text("LoadBalancer")),
]);
const SERVICE_TYPE_PATH: Path = object(&["spec", "type"]);

static SERVICE_TYPE: Rule = Rule {
    id: "service-type",
    title: "Services are reached from within the cluster alone",
    rationale: "A NodePort or LoadBalancer opens the workload to whoever reaches the nodes or the balancer, past the ingress. \
                Whether that is how it is meant to be reached only those who run it know: with serviceType \
                ClusterIP in the target, or in global.hardening, such Services become ClusterIP, and the fields that \
                only the other types may have go.",
    references: &[
        at(Source::Kubescape, "C-0256"),
        at(Source::KubeLinter, "exposed-services"),
        at(Source::BsiApp44, "A18"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Service"],
        applies: Condition::Always,
        broken: OPEN,
        fixes: &[Fix {
            when: Condition::Is(settings(&["serviceType"]), Literal::Text("ClusterIP")),
            steps: &[
                Step::Set(
                    SERVICE_TYPE_PATH,
                    Expression::Literal(Literal::Text("ClusterIP")),
                ),
                // The API server refuses them on other types.
                Step::Remove(object(&["spec", "allocateLoadBalancerNodePorts"])),
                Step::Remove(object(&["spec", "externalTrafficPolicy"])),
                Step::Remove(object(&["spec", "healthCheckNodePort"])),
                Step::Remove(object(&["spec", "loadBalancerClass"])),
                Step::Remove(object(&["spec", "loadBalancerIP"])),
                Step::Remove(object(&["spec", "loadBalancerSourceRanges"])),
                Step::Each(
                    object(&["spec", "ports"]),
                    Condition::Present(item(&["nodePort"])),
                    &[Step::Remove(item(&["nodePort"]))],
                ),
            ],
            evidence: &[settings(&["serviceType"])],
        }],
        unfixed: &[always(
            "the chart opens it to the outside; set the type to ClusterIP in its values and use an ingress, or give serviceType in the target",
        )],
    }],
};

const HOSTS: Path = object(&["spec", "rules"]);

static INGRESS_TLS: Rule = Rule {
    id: "ingress-tls",
    title: "ingresses speak TLS",
    rationale: "Without it everyone on the way reads and changes what passes. An ingress without it gets the secret that tlsSecret names \
                in the target, or in global.hardening, for all hosts of its rules: a wildcard certificate, say. Where none is \
                given, or no rule names a host, it is reported.",
    references: &[at(Source::Kubescape, "C-0263"), at(Source::BsiApp44, "A18")],
    safety: Safety::NeedsTarget,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Ingress"],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Present(object(&["spec", "tls"]))),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Present(settings(&["tlsSecret"])),
                Condition::AnyItem(HOSTS, &Condition::Contains(item(&["host"]), ".")),
            ]),
            steps: &[Step::Set(
                object(&["spec", "tls"]),
                Expression::One(&Expression::Map(&[
                    ("hosts", Expression::Each(HOSTS, "host")),
                    ("secretName", Expression::Of(settings(&["tlsSecret"]))),
                ])),
            )],
            evidence: &[settings(&["tlsSecret"])],
        }],
        unfixed: &[always(
            "the ingress has no tls; name hosts and a secret in the values, or give tlsSecret in the target",
        )],
    }],
};

static NO_DEFAULT_NAMESPACE: Rule = Rule {
    id: "no-default-namespace",
    title: "objects are not put into the namespace default",
    rationale: "Whatever nobody thought about lies in it, so nothing can be said about who may do what there. A chart that \
                writes this namespace into an object takes the decision where to install from the user. Objects without a \
                namespace go where the release goes. Charts are looked at in a release to another namespace.",
    references: &[
        at(Source::Cis, "5.7.4"),
        at(Source::Nsa, "namespaces"),
        at(Source::Kubescape, "C-0212"),
        at(Source::Checkov, "CKV_K8S_21"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Is(object(&["metadata", "namespace"]), Literal::Text("default")),
        fixes: &[],
        unfixed: &[always(
            "the chart puts it into the namespace default; take the namespace out of its values",
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
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[
                Step::Remove(object(&[
                    "metadata",
                    "annotations",
                    "nginx.ingress.kubernetes.io/configuration-snippet",
                ])),
                Step::Remove(object(&[
                    "metadata",
                    "annotations",
                    "nginx.ingress.kubernetes.io/server-snippet",
                ])),
                Step::Remove(object(&[
                    "metadata",
                    "annotations",
                    "nginx.ingress.kubernetes.io/auth-snippet",
                ])),
                Step::Remove(object(&[
                    "metadata",
                    "annotations",
                    "nginx.ingress.kubernetes.io/modsecurity-snippet",
                ])),
            ],
            evidence: &[],
        }],
        unfixed: &[always(
            "the ingress has a snippet; use annotations made for the purpose",
        )],
    }],
};

const ANNOTATIONS: Path = object(&["metadata", "annotations"]);

const OF_NODE: Condition = Condition::Is(pod(&["hostNetwork"]), TRUE);

/// A hook runs beside the release, before or after what guards it is there.
const HOOK: Condition = Condition::AnyKey(ANNOTATIONS, "helm.sh/hook");

const GUARDED: Condition = Condition::All(&[Condition::Not(&OF_NODE), Condition::Not(&HOOK)]);

static NETWORK_POLICY_INGRESS: Rule = Rule {
    id: "network-policy-ingress",
    title: "pods are reached on the ports they serve alone",
    rationale: "Without a network policy every pod of the cluster reaches every port of every other. A policy is added for \
                each Deployment, StatefulSet, DaemonSet and ReplicaSet whose pods no policy of the chart selects. It \
                selects by the workload's own selector, leaves open to everyone the ports that the release shows (what containers \
                declare, where Services lead, what probes ask, prometheus.io/port), and every port to pods of the \
                same release, since members of a cluster often talk on ports that nobody declares. What is closed is \
                ports that nothing shows, to pods of other releases. Where nothing shows a port, or a Service leads to a \
                port by a name that no container declares, it is reported. Pods in the node's network are out of \
                its reach. It takes a network plugin that enforces policies.",
    references: &[
        at(Source::Cis, "5.3.2"),
        at(Source::Nsa, "network policies"),
        at(Source::Kubescape, "C-0260"),
        at(Source::Kubescape, "C-0030"),
        at(Source::Checkov, "CKV2_K8S_6"),
        at(Source::KubeLinter, "non-isolated-pod"),
        at(Source::KubeScore, "pod-networkpolicy"),
        at(Source::BsiApp44, "A7"),
        at(Source::BsiApp44, "A18"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::SameChart],
    checks: &[Check {
        scope: Scope::Release,
        kinds: &[],
        applies: GUARDED,
        broken: Condition::Not(&Condition::Isolated(Direction::Ingress)),
        fixes: &[Fix {
            when: Condition::PortsKnown,
            steps: &[Step::Isolate(Direction::Ingress)],
            evidence: &[],
        }],
        unfixed: &[always(
            "which ports its pods listen on cannot be seen from the chart; declare them, or write a network policy",
        )],
    }],
};

const API_REACHED: Condition = Condition::Any(&[
    Condition::Is(pod(&["automountServiceAccountToken"]), FALSE),
    Condition::AnyItem(settings(&["egress", "apiServers"]), &Condition::Always),
]);

static NETWORK_POLICY_EGRESS: Rule = Rule {
    id: "network-policy-egress",
    title: "pods connect to what they need alone",
    rationale: "Whoever gets into a pod downloads tools and sends data out. Where a workload connects to cannot be seen from a \
                chart, so nothing is closed until the target, or global.hardening.egress, lists it. Then each workload \
                may reach name servers (port 53), the pods of its release, the networks listed, and the API server if its \
                pods have a token. A pod with a token is left alone and reported where no address of the API server is given. \
                Pods that an operator makes are not of the release: list their network.",
    references: &[
        at(Source::Cis, "5.3.2"),
        at(Source::Nsa, "network policies"),
        at(Source::Kubescape, "C-0260"),
        at(Source::Kubescape, "C-0030"),
        at(Source::KubeScore, "pod-networkpolicy"),
        at(Source::BsiApp44, "A18"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::SameChart, Need::Target],
    checks: &[Check {
        scope: Scope::Release,
        kinds: &[],
        applies: Condition::All(&[GUARDED, Condition::Present(settings(&["egress"]))]),
        broken: Condition::Not(&Condition::Isolated(Direction::Egress)),
        fixes: &[Fix {
            when: API_REACHED,
            steps: &[Step::Isolate(Direction::Egress)],
            evidence: &[settings(&["egress"])],
        }],
        unfixed: &[because(
            Condition::Always,
            "its pods have a token for the API server, whose address is not known; give egress.apiServers in the target",
        )],
    }],
};

const ENFORCED: Path = object(&["metadata", "labels", "pod-security.kubernetes.io/enforce"]);

static POD_SECURITY_NAMESPACE: Rule = Rule {
    id: "pod-security-namespace",
    title: "namespaces enforce a Pod Security Standard",
    rationale: "The label makes the API server refuse pods that fall behind what was hardened, whoever makes them. Namespaces \
                that a chart makes get it with podSecurity in the target, or in global.hardening. The namespace a \
                release goes to is not the chart's: a file beside its templates has the labels that all of its pods meet.",
    references: &[
        at(Source::Cis, "5.2.1"),
        at(Source::Kubescape, "C-0192"),
        at(Source::Nsa, "admission control"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Namespace"],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Present(ENFORCED)),
        fixes: &[Fix {
            when: Condition::Present(settings(&["podSecurity"])),
            steps: &[Step::Set(
                ENFORCED,
                Expression::Of(settings(&["podSecurity"])),
            )],
            evidence: &[settings(&["podSecurity"])],
        }],
        unfixed: &[always(
            "which standard it may enforce is not known; give podSecurity in the target",
        )],
    }],
};
