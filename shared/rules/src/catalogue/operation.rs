//! What running a workload takes. Most of these come in at level 4.

use quench_model::{Level, Severity};

use super::{LINUX, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, item, object, settings, template,
};

pub(super) const RULES: &[&Rule] = &[
    &REMOVED_API,
    &PROBE_HOST,
    &DUPLICATE_ENV,
    &SSH_SUDO,
    // Limits come first: a limit that is there is what a container asks for.
    &MEMORY_LIMIT,
    &CPU_LIMIT,
    &REQUESTS,
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
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[
                Step::Remove(container(&["livenessProbe", "httpGet", "host"])),
                Step::Remove(container(&["livenessProbe", "tcpSocket", "host"])),
                Step::Remove(container(&["readinessProbe", "httpGet", "host"])),
                Step::Remove(container(&["readinessProbe", "tcpSocket", "host"])),
                Step::Remove(container(&["startupProbe", "httpGet", "host"])),
                Step::Remove(container(&["startupProbe", "tcpSocket", "host"])),
                Step::Remove(container(&["lifecycle", "postStart", "httpGet", "host"])),
                Step::Remove(container(&["lifecycle", "preStop", "httpGet", "host"])),
            ],
            evidence: &[],
        }],
        unfixed: &[always(
            "a probe or hook names a host; leave it out, so that the pod itself is asked",
        )],
    }],
};

const CPU_REQUEST: Path = container(&["resources", "requests", "cpu"]);
const MEMORY_REQUEST: Path = container(&["resources", "requests", "memory"]);
const CPU_LIMIT_PATH: Path = container(&["resources", "limits", "cpu"]);
const MEMORY_LIMIT_PATH: Path = container(&["resources", "limits", "memory"]);
const TARGET_CPU_REQUEST: Path = settings(&["resources", "requests", "cpu"]);
const TARGET_MEMORY_REQUEST: Path = settings(&["resources", "requests", "memory"]);
const TARGET_CPU_LIMIT: Path = settings(&["resources", "limits", "cpu"]);
const TARGET_MEMORY_LIMIT: Path = settings(&["resources", "limits", "memory"]);

static MEMORY_LIMIT: Rule = Rule {
    id: "memory-limit",
    title: "containers have a limit of memory",
    rationale: "Without one a leak takes the node's memory and other pods with it. How much a container needs cannot be seen from \
                outside, and one that goes over its limit is killed: so it gets the limit of the target, or of \
                global.hardening.resources, together with the target's request. A container that asks for memory of its \
                own keeps that, and gets the limit where it is known to be enough for what it asks for.",
    references: &[
        at(Source::Nsa, "resource policies"),
        at(Source::Kubescape, "C-0271"),
        at(Source::Checkov, "CKV_K8S_13"),
        at(Source::KubeLinter, "unset-memory-requirements"),
        at(Source::KubeScore, "container-resources"),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Present(MEMORY_LIMIT_PATH)),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Present(TARGET_MEMORY_LIMIT),
                Condition::Any(&[
                    Condition::Not(&Condition::Present(MEMORY_REQUEST)),
                    Condition::AtMost(MEMORY_REQUEST, TARGET_MEMORY_LIMIT),
                ]),
            ]),
            steps: &[
                Step::Set(MEMORY_LIMIT_PATH, Expression::Of(TARGET_MEMORY_LIMIT)),
                Step::SetMissing(MEMORY_REQUEST, Expression::Of(TARGET_MEMORY_REQUEST)),
            ],
            evidence: &[TARGET_MEMORY_LIMIT],
        }],
        unfixed: &[
            because(
                Condition::Not(&Condition::Present(TARGET_MEMORY_LIMIT)),
                "how much it needs is not known; set a limit in the values, or give resources in the target",
            ),
            always("it asks for more memory than the target's limit; set a limit in the values"),
        ],
    }],
};

static CPU_LIMIT: Rule = Rule {
    id: "cpu-limit",
    title: "containers have the target's limit of CPU",
    rationale: "A limit keeps one container from slowing down its neighbours, and slows itself down whenever it could have used what \
                nobody else wants. Requests share CPU fairly without one. So it is a decision: containers get one \
                where the target, or global.hardening.resources, gives it.",
    references: &[
        at(Source::Nsa, "resource policies"),
        at(Source::Kubescape, "C-0270"),
        at(Source::Checkov, "CKV_K8S_11"),
        at(Source::KubeLinter, "unset-cpu-requirements"),
        at(Source::KubeScore, "container-resources"),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Present(TARGET_CPU_LIMIT),
        broken: Condition::Not(&Condition::Present(CPU_LIMIT_PATH)),
        fixes: &[Fix {
            when: Condition::Any(&[
                Condition::Not(&Condition::Present(CPU_REQUEST)),
                Condition::AtMost(CPU_REQUEST, TARGET_CPU_LIMIT),
            ]),
            steps: &[
                Step::Set(CPU_LIMIT_PATH, Expression::Of(TARGET_CPU_LIMIT)),
                Step::SetMissing(CPU_REQUEST, Expression::Of(TARGET_CPU_REQUEST)),
            ],
            evidence: &[TARGET_CPU_LIMIT],
        }],
        unfixed: &[always(
            "it asks for more CPU than the target's limit; set a limit in the values",
        )],
    }],
};

static REQUESTS: Rule = Rule {
    id: "requests",
    title: "containers ask for CPU and memory",
    rationale: "The scheduler places a pod by what it asks for; one that asks for nothing is the first to starve. Where a \
                container has a limit, Kubernetes takes that for what it asks for, and it is written down. Else it gets what \
                the target, or global.hardening.resources, gives.",
    references: &[
        at(Source::Nsa, "resource policies"),
        at(Source::Kubescape, "C-0268"),
        at(Source::Kubescape, "C-0269"),
        at(Source::Checkov, "CKV_K8S_10"),
        at(Source::Checkov, "CKV_K8S_12"),
        at(Source::KubeLinter, "unset-cpu-requirements"),
        at(Source::KubeScore, "container-resources"),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Not(&Condition::Present(CPU_REQUEST)),
            Condition::Not(&Condition::Present(MEMORY_REQUEST)),
        ]),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Present(container(&["resources", "requests", "cpu"]).or(&CPU_OTHERWISE)),
                Condition::Present(
                    container(&["resources", "requests", "memory"]).or(&MEMORY_OTHERWISE),
                ),
            ]),
            steps: &[
                Step::SetMissing(CPU_REQUEST, Expression::Of(CPU_OTHERWISE)),
                Step::SetMissing(MEMORY_REQUEST, Expression::Of(MEMORY_OTHERWISE)),
            ],
            evidence: &[CPU_OTHERWISE, MEMORY_OTHERWISE],
        }],
        unfixed: &[always(
            "how much it needs is not known; set requests in the values, or give resources in the target",
        )],
    }],
};

const CPU_OTHERWISE: Path = container(&["resources", "limits", "cpu"]).or(&TARGET_CPU_REQUEST);
const MEMORY_OTHERWISE: Path =
    container(&["resources", "limits", "memory"]).or(&TARGET_MEMORY_REQUEST);

static DUPLICATE_ENV: Rule = Rule {
    id: "duplicate-env",
    title: "environment variables are set once",
    rationale: "Of two variables of one name the last holds, whatever a reader of the first believes, and server-side apply \
                refuses them. The earlier ones are taken away, unless a value refers to another variable by $(NAME): what it sees \
                then depends on the order.",
    references: &[
        at(Source::KubeLinter, "duplicate-env-var"),
        at(Source::KubeScore, "environment-variable-key-duplication"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Repeats(ENV, "name"),
        fixes: &[Fix {
            when: Condition::Not(&Condition::AnyItem(
                ENV,
                &Condition::Contains(item(&["value"]), "$("),
            )),
            steps: &[Step::RemoveRepeated(ENV, "name")],
            evidence: &[],
        }],
        unfixed: &[always(
            "variables refer to others, and what they see depends on which come first; set each once in the values",
        )],
    }],
};

const ENV: Path = container(&["env"]);

static SSH_SUDO: Rule = Rule {
    id: "ssh-sudo",
    title: "containers are not logged in to",
    rationale: "A container that runs sshd is administered behind the cluster's back, past its authentication and its audit log; one \
                that calls sudo has a way back to root. kubectl exec does the same under control.",
    references: &[
        at(Source::Kubescape, "C-0042"),
        at(Source::KubeLinter, "ssh-port"),
        at(Source::BsiSys16, "A16"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: Condition::Always,
            broken: Condition::AnyItem(
                container(&["ports"]),
                &Condition::Is(item(&["containerPort"]), Literal::Number(22)),
            ),
            fixes: &[],
            unfixed: &[always(
                "it listens on the port of SSH; switch that off in the values",
            )],
        },
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: Condition::Always,
            broken: Condition::Any(&[
                Condition::AnyItem(container(&["command"]), &LOGS_IN),
                Condition::AnyItem(container(&["args"]), &LOGS_IN),
            ]),
            fixes: &[],
            unfixed: &[always(
                "it starts sshd or calls sudo; switch that off in the values",
            )],
        },
    ],
};

const LOGS_IN: Condition = Condition::Any(&[
    Condition::Is(item(&[]), Literal::Text("sudo")),
    Condition::Contains(item(&[]), "sudo "),
    Condition::Contains(item(&[]), "/sshd"),
]);

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
