//! What a pod shares with its node.

use quench_model::{Level, Severity};

use super::{FALSE, LINUX, PRIVILEGED, TRUE, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, item, pod, settings,
};

pub(super) const RULES: &[&Rule] = &[
    &NO_HOST_NETWORK,
    &NO_HOST_NAMESPACES,
    &NO_HOST_PATH,
    &NO_RUNTIME_SOCKET,
    &NO_HOST_PORT,
    &VOLUME_TYPES,
    &NO_HOST_PROCESS,
    &WINDOWS_PODS_NAMED,
    &NO_SERVICE_LINKS,
    &USER_NAMESPACES,
    &RUNTIME_CLASS,
];

static NO_HOST_NETWORK: Rule = Rule {
    id: "no-host-network",
    title: "pods do not use the node's network",
    rationale: "In the node's network a pod can listen on any address of the node, see its traffic, and no network policy \
                holds for it.",
    references: &[
        at(Source::PodSecurityBaseline, "hostNamespaces"),
        at(Source::Cis, "5.2.5"),
        at(Source::Kubescape, "C-0041"),
        at(Source::Checkov, "CKV_K8S_19"),
        at(Source::KubeLinter, "host-network"),
        at(Source::Nsa, "hostNetwork"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Is(pod(&["hostNetwork"]), TRUE),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Set(pod(&["hostNetwork"]), Expression::Literal(FALSE))],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart uses the node's network; change it in the values where it offers that",
        )],
    }],
};

static NO_HOST_NAMESPACES: Rule = Rule {
    id: "no-host-namespaces",
    title: "pods do not see the node's processes",
    rationale: "With the node's processes in sight a container can read their environment and signal them.",
    references: &[
        at(Source::PodSecurityBaseline, "hostNamespaces"),
        at(Source::Cis, "5.2.3"),
        at(Source::Cis, "5.2.4"),
        at(Source::Kubescape, "C-0038"),
        at(Source::Checkov, "CKV_K8S_17"),
        at(Source::Checkov, "CKV_K8S_18"),
        at(Source::KubeLinter, "host-pid"),
        at(Source::KubeLinter, "host-ipc"),
        at(Source::Nsa, "hostPID and hostIPC"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::Is(pod(&["hostPID"]), TRUE),
            Condition::Is(pod(&["hostIPC"]), TRUE),
        ]),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[
                Step::Set(pod(&["hostPID"]), Expression::Literal(FALSE)),
                Step::Set(pod(&["hostIPC"]), Expression::Literal(FALSE)),
            ],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart uses the node's process or IPC namespace; change it in the values where it offers that",
        )],
    }],
};

const HOST_PATH: Path = item(&["hostPath", "path"]);

static NO_HOST_PATH: Rule = Rule {
    id: "no-host-path",
    title: "pods mount no folders of the node",
    rationale: "A folder of the node leads to other pods' data, credentials and often to the node itself.",
    references: &[
        at(Source::PodSecurityBaseline, "hostPathVolumes"),
        at(Source::Cis, "5.2.12"),
        at(Source::Nsa, "allowedHostPaths"),
        at(Source::Kubescape, "C-0045"),
        at(Source::Kubescape, "C-0048"),
        at(Source::KubeLinter, "sensitive-host-mounts"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(pod(&["volumes"]), &Condition::Present(item(&["hostPath"]))),
        fixes: &[],
        unfixed: &[always(
            "the chart mounts folders of the node; leave them out, or mount them read-only",
        )],
    }],
};

static NO_RUNTIME_SOCKET: Rule = Rule {
    id: "no-runtime-socket",
    title: "pods do not mount the container runtime's socket",
    rationale: "Who can talk to the runtime can start a privileged container.",
    references: &[
        at(Source::Kubescape, "C-0074"),
        at(Source::Checkov, "CKV_K8S_27"),
        at(Source::KubeLinter, "docker-sock"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::Critical,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(
            pod(&["volumes"]),
            &Condition::Any(&[
                Condition::Contains(HOST_PATH, "docker.sock"),
                Condition::Contains(HOST_PATH, "containerd.sock"),
                Condition::Contains(HOST_PATH, "crio.sock"),
            ]),
        ),
        fixes: &[],
        unfixed: &[always("the chart mounts the runtime's socket")],
    }],
};

static NO_HOST_PORT: Rule = Rule {
    id: "no-host-port",
    title: "containers take no port of the node",
    rationale: "A port of the node is open to everyone who reaches the node, and keeps a second pod off it. A Service does \
                the same under control. Who reaches the workload by the node's address cannot be seen from a chart, even where a \
                Service leads to the same port, so ports of the node are taken away by decision alone.",
    references: &[
        at(Source::PodSecurityBaseline, "hostPorts"),
        at(Source::Cis, "5.2.13"),
        at(Source::Kubescape, "C-0044"),
        at(Source::Checkov, "CKV_K8S_26"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(
            container(&["ports"]),
            &Condition::All(&[
                Condition::Present(item(&["hostPort"])),
                Condition::Not(&Condition::Is(item(&["hostPort"]), Literal::Number(0))),
            ]),
        ),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Each(
                container(&["ports"]),
                Condition::Present(item(&["hostPort"])),
                &[
                    Step::Remove(item(&["hostPort"])),
                    Step::Remove(item(&["hostIP"])),
                ],
            )],
            evidence: &[container(&["ports"])],
        }],
        unfixed: &[always(
            "the chart takes a port of the node; use a Service, and decide for the fix if nobody uses the node's address",
        )],
    }],
};

const ODD_VOLUME: Condition = Condition::Any(&[
    Condition::Present(item(&["awsElasticBlockStore"])),
    Condition::Present(item(&["azureDisk"])),
    Condition::Present(item(&["azureFile"])),
    Condition::Present(item(&["cephfs"])),
    Condition::Present(item(&["cinder"])),
    Condition::Present(item(&["fc"])),
    Condition::Present(item(&["flexVolume"])),
    Condition::Present(item(&["flocker"])),
    Condition::Present(item(&["gcePersistentDisk"])),
    Condition::Present(item(&["gitRepo"])),
    Condition::Present(item(&["glusterfs"])),
    Condition::Present(item(&["iscsi"])),
    Condition::Present(item(&["nfs"])),
    Condition::Present(item(&["photonPersistentDisk"])),
    Condition::Present(item(&["portworxVolume"])),
    Condition::Present(item(&["quobyte"])),
    Condition::Present(item(&["rbd"])),
    Condition::Present(item(&["scaleIO"])),
    Condition::Present(item(&["storageos"])),
    Condition::Present(item(&["vsphereVolume"])),
]);

static VOLUME_TYPES: Rule = Rule {
    id: "volume-types",
    title: "volumes come from claims, not from drivers in the pod",
    rationale: "Network file systems named in the pod are mounted by the node with whatever rights that brings.",
    references: &[at(Source::PodSecurityRestricted, "restrictedVolumes")],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(pod(&["volumes"]), &ODD_VOLUME),
        fixes: &[],
        unfixed: &[always(
            "the chart mounts a volume of another type; use a claim",
        )],
    }],
};

static NO_HOST_PROCESS: Rule = Rule {
    id: "no-host-process",
    title: "Windows containers are no processes of the node",
    rationale: "A host process container is an administrator of the node.",
    references: &[at(Source::PodSecurityBaseline, "windowsHostProcess")],
    safety: Safety::Report,
    severity: Severity::Critical,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Is(
            container(&["securityContext", "windowsOptions", "hostProcess"]).or(&POD_HOST_PROCESS),
            TRUE,
        ),
        fixes: &[],
        unfixed: &[always("the chart runs it as a process of the node")],
    }],
};

const POD_HOST_PROCESS: Path = pod(&["securityContext", "windowsOptions", "hostProcess"]);

/// Fields of a pod that the API server refuses beside `os.name: windows`; those of containers are [`LINUX_FIELDS_OF_CONTAINER`].
/// Source: Kubernetes, pkg/apis/core/validation, `validateWindows`.
const LINUX_FIELDS_OF_POD: Condition = Condition::Any(&[
    Condition::Is(pod(&["hostPID"]), TRUE),
    Condition::Is(pod(&["hostIPC"]), TRUE),
    Condition::Present(pod(&["hostUsers"])),
    Condition::Present(pod(&["shareProcessNamespace"])),
    Condition::Present(pod(&["securityContext", "appArmorProfile"])),
    Condition::Present(pod(&["securityContext", "seLinuxOptions"])),
    Condition::Present(pod(&["securityContext", "seccompProfile"])),
    Condition::Present(pod(&["securityContext", "fsGroup"])),
    Condition::Present(pod(&["securityContext", "fsGroupChangePolicy"])),
    Condition::Present(pod(&["securityContext", "sysctls"])),
    Condition::Present(pod(&["securityContext", "runAsUser"])),
    Condition::Present(pod(&["securityContext", "runAsGroup"])),
    Condition::Present(pod(&["securityContext", "supplementalGroups"])),
    Condition::Present(pod(&["securityContext", "supplementalGroupsPolicy"])),
]);

const LINUX_FIELDS_OF_CONTAINER: Condition = Condition::Any(&[
    Condition::Present(container(&["securityContext", "appArmorProfile"])),
    Condition::Present(container(&["securityContext", "seLinuxOptions"])),
    Condition::Present(container(&["securityContext", "seccompProfile"])),
    Condition::Present(container(&["securityContext", "capabilities"])),
    Condition::Present(container(&["securityContext", "readOnlyRootFilesystem"])),
    Condition::Present(container(&["securityContext", "privileged"])),
    Condition::Present(container(&["securityContext", "allowPrivilegeEscalation"])),
    Condition::Present(container(&["securityContext", "procMount"])),
    Condition::Present(container(&["securityContext", "runAsUser"])),
    Condition::Present(container(&["securityContext", "runAsGroup"])),
]);

static WINDOWS_PODS_NAMED: Rule = Rule {
    id: "windows-pods-named",
    title: "pods for Windows nodes say so in os.name",
    rationale: "Most of a security context is Linux's alone and may not be set for Windows. Pod Security asks for it all the \
                same unless the pod names its system; a node selector is not enough. The name also keeps the pod off nodes \
                of another system. It is set where the pod has no field that Kubernetes refuses beside it.",
    references: &[
        at(Source::PodSecurityRestricted, "allowPrivilegeEscalation"),
        at(Source::PodSecurityRestricted, "capabilities_restricted"),
        at(Source::PodSecurityRestricted, "seccompProfile_restricted"),
    ],
    safety: Safety::Always,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Not(&LINUX),
        broken: Condition::Not(&Condition::Present(pod(&["os", "name"]))),
        fixes: &[Fix {
            when: Condition::Not(&Condition::Any(&[
                LINUX_FIELDS_OF_POD,
                Condition::AnyContainer(&LINUX_FIELDS_OF_CONTAINER),
            ])),
            steps: &[Step::Set(
                pod(&["os", "name"]),
                Expression::Literal(Literal::Text("windows")),
            )],
            evidence: &[pod(&["nodeSelector", "kubernetes.io/os"])],
        }],
        unfixed: &[
            because(
                Condition::Any(&[
                    Condition::Is(pod(&["hostPID"]), TRUE),
                    Condition::Is(pod(&["hostIPC"]), TRUE),
                ]),
                "the pod asks for the node's processes or IPC, which Windows does not have and Kubernetes refuses beside os.name: windows; take hostPID and hostIPC out in the values",
            ),
            always(
                "the pod has fields of a security context that only Linux knows, and Kubernetes refuses them beside os.name: windows; take them out in the values",
            ),
        ],
    }],
};

static NO_SERVICE_LINKS: Rule = Rule {
    id: "no-service-links",
    title: "pods get no environment variables of all Services",
    rationale: "The variables tell every container which Services the namespace has, and break programs whose own \
                variables have such names. Whether a program reads one cannot be seen from outside, so they are switched off by decision alone.",
    references: &[
        at(Source::Kubernetes, "enableServiceLinks"),
        at(Source::Kubescape, "C-0295"),
    ],
    safety: Safety::Report,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Is(pod(&["enableServiceLinks"]), FALSE)),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Set(
                pod(&["enableServiceLinks"]),
                Expression::Literal(FALSE),
            )],
            evidence: &[],
        }],
        unfixed: &[always(
            "whether a program reads those variables is not known; set enableServiceLinks to false if none does",
        )],
    }],
};

/// What a pod of its own user ids, or in a sandbox, could not do.
const SHARES_NODE: Condition = Condition::Any(&[
    Condition::Is(pod(&["hostNetwork"]), TRUE),
    Condition::Is(pod(&["hostPID"]), TRUE),
    Condition::Is(pod(&["hostIPC"]), TRUE),
    Condition::AnyItem(pod(&["volumes"]), &Condition::Present(item(&["hostPath"]))),
    Condition::AnyContainer(&Condition::Any(&[
        PRIVILEGED,
        Condition::Present(container(&["volumeDevices"])),
    ])),
]);

const HOST_USERS: Path = pod(&["hostUsers"]);

static USER_NAMESPACES: Rule = Rule {
    id: "user-namespaces",
    title: "pods have user ids of their own",
    rationale: "In a user namespace root of the pod is nobody on the node, so whoever breaks out is nobody too. It takes \
                Kubernetes 1.33, a kernel and a runtime that have them, and file systems that map ids; so it is switched on where \
                the target, or global.hardening, says userNamespaces. Pods that share namespaces, folders or devices of the node, \
                or are privileged, cannot have one.",
    references: &[
        at(Source::Kubernetes, "user namespaces"),
        at(Source::BsiSys16, "A26"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::All(&[LINUX, Condition::Is(settings(&["userNamespaces"]), TRUE)]),
        broken: Condition::Not(&Condition::Is(HOST_USERS, FALSE)),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Not(&Condition::Present(HOST_USERS)),
                Condition::Not(&SHARES_NODE),
            ]),
            steps: &[Step::Set(HOST_USERS, Expression::Literal(FALSE))],
            evidence: &[settings(&["userNamespaces"])],
        }],
        unfixed: &[
            because(
                Condition::Is(HOST_USERS, TRUE),
                "the chart keeps the node's user ids in so many words; change hostUsers in the values",
            ),
            always("it shares namespaces, folders or devices of the node, or is privileged"),
        ],
    }],
};

const RUNTIME: Path = pod(&["runtimeClassName"]);

static RUNTIME_CLASS: Rule = Rule {
    id: "runtime-class",
    title: "pods run in the target's sandbox",
    rationale: "A runtime such as gVisor or Kata puts a kernel of its own between the container and the node. Which classes there are \
                is a matter of the target: pods get the class that runtimeClass names there, or in \
                global.hardening, unless the chart names another. Pods that share something of the node cannot run in a sandbox.",
    references: &[
        at(Source::Kubernetes, "runtime class"),
        at(Source::BsiSys16, "A26"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::All(&[LINUX, Condition::Present(settings(&["runtimeClass"]))]),
        broken: Condition::Not(&Condition::Present(RUNTIME)),
        fixes: &[Fix {
            when: Condition::Not(&SHARES_NODE),
            steps: &[Step::Set(
                RUNTIME,
                Expression::Of(settings(&["runtimeClass"])),
            )],
            evidence: &[settings(&["runtimeClass"])],
        }],
        unfixed: &[always(
            "it shares namespaces, folders or devices of the node, or is privileged",
        )],
    }],
};
