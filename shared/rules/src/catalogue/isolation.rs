//! What a pod shares with its node.

use quench_model::{Level, Severity};

use super::{FALSE, TRUE, always, at};
use crate::rule::{
    Check, Condition, Literal, Path, Rule, Safety, Scope, Source, container, item, pod,
};

pub(super) const RULES: &[&Rule] = &[
    &NO_HOST_NETWORK,
    &NO_HOST_NAMESPACES,
    &NO_HOST_PATH,
    &NO_RUNTIME_SOCKET,
    &NO_HOST_PORT,
    &VOLUME_TYPES,
    &NO_HOST_PROCESS,
    &NO_SERVICE_LINKS,
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
        fixes: &[],
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
        fixes: &[],
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
                the same under control.",
    references: &[
        at(Source::PodSecurityBaseline, "hostPorts"),
        at(Source::Cis, "5.2.13"),
        at(Source::Kubescape, "C-0044"),
        at(Source::Checkov, "CKV_K8S_26"),
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
        fixes: &[],
        unfixed: &[always("the chart takes a port of the node; use a Service")],
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

static NO_SERVICE_LINKS: Rule = Rule {
    id: "no-service-links",
    title: "pods get no environment variables of all Services",
    rationale: "The variables tell every container which Services the namespace has, and break programs whose own \
                variables have such names. Whether a program reads one cannot be seen from outside, so it is reported.",
    references: &[at(Source::Kubernetes, "enableServiceLinks")],
    safety: Safety::Report,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Not(&Condition::Is(pod(&["enableServiceLinks"]), FALSE)),
        fixes: &[],
        unfixed: &[always(
            "whether a program reads those variables is not known; set enableServiceLinks to false if none does",
        )],
    }],
};
