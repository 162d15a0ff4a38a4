//! What running a workload takes. Most of these come in at level 4.

use quench_model::{Level, Severity};

use super::{LINUX, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, object, template,
};

pub(super) const RULES: &[&Rule] = &[
    &REMOVED_API,
    &PROBE_HOST,
    &REQUESTS,
    &MEMORY_LIMIT,
    &RECOMMENDED_LABELS,
    &READINESS,
];

const API: Path = object(&["apiVersion"]);

static REMOVED_API: Rule = Rule {
    id: "removed-api",
    title: "objects are of API versions that Kubernetes still serves",
    rationale: "An object of a version that was removed cannot be installed. Versions removed by Kubernetes 1.32 are told of \
                (Kubernetes, deprecated API migration guide).",
    references: &[
        at(Source::Kubernetes, "deprecated API migration guide"),
        at(Source::KubeLinter, "no-extensions-v1beta"),
        at(Source::KubeScore, "stable-version"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Is(API, Literal::Text("extensions/v1beta1")),
            Condition::Is(API, Literal::Text("apps/v1beta1")),
            Condition::Is(API, Literal::Text("apps/v1beta2")),
            Condition::Is(API, Literal::Text("policy/v1beta1")),
            Condition::Is(API, Literal::Text("batch/v1beta1")),
            Condition::Is(API, Literal::Text("batch/v2alpha1")),
            Condition::Is(API, Literal::Text("networking.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("rbac.authorization.k8s.io/v1alpha1")),
            Condition::Is(API, Literal::Text("rbac.authorization.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("admissionregistration.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("apiextensions.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("apiregistration.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("autoscaling/v2beta1")),
            Condition::Is(API, Literal::Text("autoscaling/v2beta2")),
            Condition::Is(API, Literal::Text("certificates.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("coordination.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("discovery.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("scheduling.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("node.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("flowcontrol.apiserver.k8s.io/v1beta1")),
            Condition::Is(API, Literal::Text("flowcontrol.apiserver.k8s.io/v1beta2")),
            Condition::Is(API, Literal::Text("flowcontrol.apiserver.k8s.io/v1beta3")),
        ]),
        fixes: &[],
        unfixed: &[always(
            "Kubernetes serves this version no more; use a newer chart, or set kubeVersion in the target",
        )],
    }],
};

const NAMES_A_HOST: Condition = Condition::Any(&[
    Condition::Present(container(&["livenessProbe", "httpGet", "host"])),
    Condition::Present(container(&["livenessProbe", "tcpSocket", "host"])),
    Condition::Present(container(&["readinessProbe", "httpGet", "host"])),
    Condition::Present(container(&["readinessProbe", "tcpSocket", "host"])),
    Condition::Present(container(&["startupProbe", "httpGet", "host"])),
    Condition::Present(container(&["startupProbe", "tcpSocket", "host"])),
    Condition::Present(container(&["lifecycle", "postStart", "httpGet", "host"])),
    Condition::Present(container(&["lifecycle", "preStop", "httpGet", "host"])),
]);

static PROBE_HOST: Rule = Rule {
    id: "probe-host",
    title: "probes and hooks ask the pod, not another host",
    rationale: "The node asks, so a host in a probe lets a chart send requests from the node's network. Some programs listen on \
                one address alone, so it is reported and not taken away.",
    references: &[at(
        Source::PodSecurityBaseline,
        "hostProbesAndHostLifecycle",
    )],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: NAMES_A_HOST,
        fixes: &[],
        unfixed: &[always(
            "a probe or hook names a host; leave it out, so that the pod itself is asked",
        )],
    }],
};

static REQUESTS: Rule = Rule {
    id: "requests",
    title: "containers ask for CPU and memory",
    rationale: "The scheduler places a pod by what it asks for; one that asks for nothing is the first to starve.",
    references: &[
        at(Source::Kubescape, "C-0268"),
        at(Source::Checkov, "CKV_K8S_10"),
        at(Source::Checkov, "CKV_K8S_12"),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Operable,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Not(&Condition::Present(container(&[
                "resources",
                "requests",
                "cpu",
            ]))),
            Condition::Not(&Condition::Present(container(&[
                "resources",
                "requests",
                "memory",
            ]))),
        ]),
        fixes: &[],
        unfixed: &[always(
            "how much it needs is not known; set requests in the values",
        )],
    }],
};

static MEMORY_LIMIT: Rule = Rule {
    id: "memory-limit",
    title: "containers have a limit of memory",
    rationale: "Without one a leak takes the node's memory and other pods with it.",
    references: &[
        at(Source::Kubescape, "C-0271"),
        at(Source::Checkov, "CKV_K8S_13"),
        at(Source::KubeLinter, "unset-memory-requirements"),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Operable,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Present(container(&[
            "resources",
            "limits",
            "memory",
        ]))),
        fixes: &[],
        unfixed: &[always(
            "how much it needs is not known; set a limit in the values",
        )],
    }],
};

const NAME: Path = object(&["metadata", "labels", "app.kubernetes.io/name"]);
const INSTANCE: Path = object(&["metadata", "labels", "app.kubernetes.io/instance"]);
const VERSION: Path = object(&["metadata", "labels", "app.kubernetes.io/version"]);
const MANAGED_BY: Path = object(&["metadata", "labels", "app.kubernetes.io/managed-by"]);
const POD_MANAGED_BY: Path = template(&["metadata", "labels", "app.kubernetes.io/managed-by"]);

static RECOMMENDED_LABELS: Rule = Rule {
    id: "recommended-labels",
    title: "objects say what they belong to",
    rationale: "Tools find, group and bill by the labels app.kubernetes.io/name, instance, version and managed-by. They are \
                added to an object's own labels where it has none of that name. Pods get managed-by alone: name and \
                instance are what selectors of Services and policies go by, and a pod that had neither would suddenly \
                be selected; version would restart pods for nothing. Selectors and claim templates are never touched.",
    references: &[at(Source::Kubernetes, "recommended labels")],
    safety: Safety::Always,
    severity: Severity::Info,
    level: Level::Operable,
    needs: &[],
    checks: &[
        Check {
            scope: Scope::Pod,
            kinds: &["Deployment", "StatefulSet", "DaemonSet"],
            applies: Condition::Always,
            broken: Condition::Not(&Condition::Present(POD_MANAGED_BY)),
            fixes: &[Fix {
                when: Condition::Always,
                steps: &[Step::SetMissing(POD_MANAGED_BY, Expression::ReleaseService)],
                evidence: &[],
            }],
            unfixed: &[],
        },
        Check {
            scope: Scope::Object,
            kinds: &[],
            applies: Condition::Any(&[
                Condition::Present(object(&["metadata", "name"])),
                Condition::Present(object(&["metadata", "generateName"])),
            ]),
            broken: Condition::Any(&[
                Condition::Not(&Condition::Present(NAME)),
                Condition::Not(&Condition::Present(INSTANCE)),
                Condition::Not(&Condition::Present(MANAGED_BY)),
            ]),
            fixes: &[Fix {
                when: Condition::Always,
                steps: &[
                    Step::SetMissing(NAME, Expression::ChartName),
                    Step::SetMissing(INSTANCE, Expression::ReleaseName),
                    Step::SetMissing(VERSION, Expression::AppVersion),
                    Step::SetMissing(MANAGED_BY, Expression::ReleaseService),
                ],
                evidence: &[],
            }],
            unfixed: &[],
        },
    ],
};

const READINESS_PROBE: Path = container(&["readinessProbe"]);
const PARALLEL: Condition = Condition::Any(&[
    Condition::Not(&Condition::Is(
        object(&["kind"]),
        Literal::Text("StatefulSet"),
    )),
    Condition::Is(
        object(&["spec", "podManagementPolicy"]),
        Literal::Text("Parallel"),
    ),
]);

static READINESS: Rule = Rule {
    id: "readiness",
    title: "containers behind a Service say when they are ready",
    rationale: "Without a readiness probe a Service sends requests to a container that has only just been started. Where a \
                Service of the chart leads to a TCP port the container declares, a probe that connects to that port is \
                added: a port that is not open serves nobody either. A port alone, without a Service, is no evidence: \
                declared ports are often not open, and the pod would never become ready. Nor is it added to a \
                StatefulSet that starts its pods one after the other: members of a cluster often open their \
                port only when others are there, and would wait for each other. Since values decide which Services \
                there are, the chart looks at its own at each render.",
    references: &[
        at(Source::Kubescape, "C-0018"),
        at(Source::Checkov, "CKV_K8S_9"),
        at(Source::KubeLinter, "no-readiness-probe"),
        at(Source::KubeScore, "pod-probes"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Low,
    level: Level::Operable,
    needs: &[Need::SameChart],
    checks: &[Check {
        scope: Scope::RegularContainer,
        kinds: &["Deployment", "StatefulSet", "DaemonSet"],
        applies: Condition::All(&[LINUX, Condition::Served]),
        broken: Condition::Not(&Condition::Present(READINESS_PROBE)),
        fixes: &[Fix {
            when: PARALLEL,
            steps: &[Step::Set(
                READINESS_PROBE,
                Expression::Map(&[(
                    "tcpSocket",
                    Expression::Map(&[("port", Expression::ServedPort)]),
                )]),
            )],
            evidence: &[container(&["ports"])],
        }],
        unfixed: &[because(
            Condition::Always,
            "pods of this StatefulSet start one after the other, and may wait for each other before they open the port",
        )],
    }],
};
