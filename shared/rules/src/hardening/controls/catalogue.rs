//! The controls, one row each.

use crate::rule::Source;

use super::{Control, Framework};

const fn control(id: &'static str, title: &'static str, beyond: &'static str) -> Control {
    Control {
        id,
        title,
        beyond,
        rules: &[],
    }
}

impl Control {
    /// The same, judged by these rules too, which name another source for what it asks for.
    const fn by(self, rules: &'static [&'static str]) -> Self {
        Self { rules, ..self }
    }
}

const RBAC: &[&str] = &[
    "rbac-no-wildcard",
    "rbac-no-cluster-admin",
    "rbac-no-secret-read",
    "rbac-no-exec",
    "rbac-no-escalation",
];

const CLUSTER: &str = "a matter of the cluster, not of a chart";
const ORGANISATION: &str = "a matter of the organisation, not of a chart";
const CHART_ONLY: &str = "judged for what the chart brings; the cluster's own roles are not seen";
const NOT_ASKED: &str = "no rule asks for it";
const PROGRAM: &str = "decided by the program and its environment, which a chart does not show";

/// Every benchmark and standard that is judged.
pub const FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "Pod Security Standard: baseline",
        source: Source::PodSecurityBaseline,
        controls: &[
            control("hostNamespaces", "pods share no namespace of the host", ""),
            control("privileged", "no container is privileged", ""),
            control(
                "capabilities_baseline",
                "no capability is added but the runtime's usual ones",
                "",
            ),
            control("hostPathVolumes", "no volume is a path of the host", ""),
            control("hostPorts", "no port of the host is taken", ""),
            control(
                "hostProbesAndHostLifecycle",
                "probes and hooks name no host",
                "",
            ),
            control("appArmorProfile", "AppArmor is not switched off", ""),
            control(
                "seLinuxOptions",
                "SELinux types are those of containers",
                "",
            ),
            control("procMount", "/proc is masked", ""),
            control("seccompProfile_baseline", "seccomp is not switched off", ""),
            control("sysctls", "only safe sysctls are set", ""),
            control(
                "windowsHostProcess",
                "no Windows process runs on the host",
                "",
            ),
        ],
    },
    Framework {
        name: "Pod Security Standard: restricted",
        source: Source::PodSecurityRestricted,
        controls: &[
            control("restrictedVolumes", "volumes are of harmless types", ""),
            control(
                "allowPrivilegeEscalation",
                "processes cannot gain privileges",
                "",
            ),
            control("runAsNonRoot", "containers must not run as root", ""),
            control("runAsUser", "no user 0 is asked for", ""),
            control("seccompProfile_restricted", "a seccomp profile is set", ""),
            control(
                "capabilities_restricted",
                "all capabilities are dropped, none but NET_BIND_SERVICE added",
                "",
            ),
            control(
                "procMount_restricted",
                "/proc is masked, user namespaces or not",
                "",
            ),
        ],
    },
    Framework {
        name: "CIS Kubernetes Benchmark",
        source: Source::Cis,
        controls: &[
            control("1", "control plane components", CLUSTER),
            control("2", "etcd", CLUSTER),
            control(
                "3",
                "control plane configuration: authentication, logging",
                CLUSTER,
            ),
            control("4", "worker nodes", CLUSTER),
            control(
                "5.1.1",
                "cluster-admin is given only where it is needed",
                CHART_ONLY,
            ),
            control("5.1.2", "few may read Secrets", CHART_ONLY),
            control(
                "5.1.3",
                "roles name resources and verbs, without wildcards",
                CHART_ONLY,
            ),
            control("5.1.4", "few may create pods", CHART_ONLY),
            control("5.1.5", "default service accounts are not used", CHART_ONLY),
            control(
                "5.1.6",
                "tokens are mounted only where they are needed",
                CHART_ONLY,
            ),
            control("5.1.7", "nobody is in the group system:masters", CHART_ONLY),
            control("5.1.8", "few may bind, impersonate or escalate", CHART_ONLY),
            control("5.1.9", "few may create persistent volumes", CHART_ONLY),
            control("5.1.10", "few may use the proxy of nodes", CHART_ONLY),
            control("5.1.11", "few may approve certificate requests", CHART_ONLY),
            control(
                "5.1.12",
                "few may change webhook configurations",
                CHART_ONLY,
            ),
            control(
                "5.1.13",
                "few may create tokens of service accounts",
                CHART_ONLY,
            ),
            control(
                "5.2.1",
                "a policy control, such as Pod Security admission, is active",
                "set by labels of the namespace, which belongs to the cluster",
            ),
            control("5.2.2", "no privileged containers", ""),
            control("5.2.3", "no sharing of the host's process ids", ""),
            control("5.2.4", "no sharing of the host's IPC", ""),
            control("5.2.5", "no sharing of the host's network", ""),
            control("5.2.6", "no privilege escalation", ""),
            control("5.2.7", "no root containers", ""),
            control("5.2.8", "no NET_RAW capability", "").by(&["drop-capabilities"]),
            control("5.2.9", "no added capabilities", ""),
            control("5.2.10", "no assigned capabilities", ""),
            control("5.2.11", "no Windows host processes", "").by(&["no-host-process"]),
            control("5.2.12", "no hostPath volumes", ""),
            control("5.2.13", "no ports of the host", ""),
            control(
                "5.3.1",
                "the network plugin enforces network policies",
                CLUSTER,
            ),
            control(
                "5.3.2",
                "network policies are in force in every namespace",
                "judged for the chart's own pods",
            ),
            control("5.4.1", "secrets are files, not environment variables", ""),
            control("5.4.2", "secrets may be kept outside the cluster", CLUSTER),
            control(
                "5.5.1",
                "images are verified on admission",
                "a matter of the cluster; the package is signed for it",
            ),
            control(
                "5.7.1",
                "namespaces part what belongs to different teams",
                CLUSTER,
            ),
            control("5.7.2", "the seccomp profile is the runtime's default", ""),
            control("5.7.3", "pods and containers have a security context", "").by(&[
                "run-as-non-root",
                "no-privilege-escalation",
                "drop-capabilities",
                "read-only-root",
                "seccomp-runtime-default",
            ]),
            control(
                "5.7.4",
                "the default namespace is not used",
                "the namespace of a release is the user's decision; objects that name one are judged",
            ),
        ],
    },
    Framework {
        name: "NSA/CISA Kubernetes Hardening Guide",
        source: Source::Nsa,
        controls: &[
            control(
                "non-root containers",
                "applications run as a user other than root",
                "",
            ),
            control(
                "immutable container file systems",
                "containers cannot write to their root",
                "",
            ),
            control("privileged", "no privileged containers", ""),
            control(
                "hostPID and hostIPC",
                "no sharing of processes and IPC with the host",
                "",
            ),
            control("hostNetwork", "no sharing of the host's network", ""),
            control(
                "allowedHostPaths",
                "host paths are limited and read-only",
                "",
            ),
            control("runAsUser", "users and groups are not root", "").by(&["run-as-non-root"]),
            control("allowPrivilegeEscalation", "no gaining of privileges", ""),
            control("seLinux", "SELinux confines containers", ""),
            control("AppArmor", "AppArmor confines containers", ""),
            control("seccomp", "system calls are filtered", ""),
            control(
                "hardened container engines",
                "sandboxed runtimes where isolation must be stronger",
                "the runtime is the cluster's",
            ),
            control(
                "automountServiceAccountToken",
                "tokens are not mounted where nobody uses them",
                "",
            ),
            control(
                "image scanning",
                "images are scanned for vulnerabilities and misconfiguration",
                "looked at on level 3, see the findings of the package",
            ),
            control(
                "admission control",
                "only trusted images are admitted",
                CLUSTER,
            ),
            control("namespaces", "workloads are parted by namespaces", CLUSTER),
            control(
                "network policies",
                "traffic between pods is denied by default",
                "enforced by the cluster's network plugin",
            ),
            control("resource policies", "requests and limits are set", ""),
            control(
                "encryption",
                "traffic is encrypted",
                "between pods a matter of the cluster and its programs",
            )
            .by(&["ingress-tls"]),
            control(
                "secrets",
                "credentials lie in Secrets, encrypted at rest",
                "encryption at rest is the cluster's",
            ),
            control(
                "RBAC",
                "accounts have the least rights they need",
                CHART_ONLY,
            ),
            control(
                "audit logging",
                "logs are kept, also of the applications",
                CLUSTER,
            ),
            control(
                "upgrading",
                "patches are applied, what is not used is removed",
                "done by new revisions of the package",
            ),
        ],
    },
    Framework {
        name: "BSI APP.4.4 Kubernetes",
        source: Source::BsiApp44,
        controls: &[
            control(
                "A1",
                "planning how applications are kept apart",
                ORGANISATION,
            ),
            control("A2", "planning automation with CI/CD", ORGANISATION),
            control(
                "A3",
                "identities and permissions",
                "judged for what the chart brings; who may reach the cluster is not seen",
            )
            .by(RBAC),
            control(
                "A4",
                "pods are kept apart from each other and the node",
                "the kernel and the runtime are the node's",
            ),
            control("A5", "data of the cluster is backed up", ORGANISATION),
            control("A6", "pods are initialised in init containers", NOT_ASKED),
            control(
                "A7",
                "networks are kept apart",
                "judged for the chart's own pods; the networks of nodes and administration are the cluster's",
            ),
            control(
                "A8",
                "configuration files are protected and versioned",
                "judged for the chart; where it is kept is the organisation's",
            ),
            control("A9", "service accounts are used with care", CHART_ONLY),
            control("A10", "processes of automation are protected", ORGANISATION),
            control(
                "A11",
                "containers are watched: health and metrics",
                "what watches them is the cluster's",
            )
            .by(&["readiness"]),
            control(
                "A12",
                "infrastructure applications are protected",
                "judged for the chart",
            )
            .by(&["ingress-snippets", "no-system-namespace"]),
            control(
                "A13",
                "the configuration is audited automatically",
                "done for the chart by this report; not for the cluster",
            ),
            control("A14", "dedicated nodes", CLUSTER),
            control(
                "A15",
                "applications are parted by node and cluster",
                CLUSTER,
            ),
            control(
                "A16",
                "operators are used for critical applications",
                NOT_ASKED,
            ),
            control("A17", "nodes are attested", CLUSTER),
            control(
                "A18",
                "pods may talk only to whom they must",
                "enforced by the cluster's network plugin",
            ),
            control("A19", "high availability of the cluster", CLUSTER),
            control(
                "A20",
                "data of pods is encrypted",
                "a matter of the storage class",
            ),
            control("A21", "pods are restarted regularly", NOT_ASKED),
        ],
    },
    Framework {
        name: "BSI SYS.1.6 Containerisation",
        source: Source::BsiSys16,
        controls: &[
            control("A1", "planning the use of containers", ORGANISATION),
            control(
                "A2",
                "planning the administration of containers",
                ORGANISATION,
            ),
            control("A3", "secure use of systems with containers", ORGANISATION),
            control("A4", "planning how images are provided", ORGANISATION),
            control("A5", "administration networks are kept apart", CLUSTER),
            control(
                "A6",
                "images come from trusted sources and are unchanged",
                "whether a source is trusted is the organisation's decision",
            ),
            control("A7", "logs outlive containers", CLUSTER),
            control(
                "A8",
                "credentials are stored safely",
                "encryption at rest is the cluster's",
            ),
            control("A9", "applications are fit for containers", PROGRAM),
            control("A10", "a policy for images and containers", ORGANISATION),
            control("A11", "one service a container", NOT_ASKED),
            control(
                "A12",
                "images are distributed unambiguously and verifiably",
                "",
            ),
            control("A13", "images are released after tests", ORGANISATION),
            control(
                "A14",
                "images are updated by replacing them",
                "done by new revisions of the package",
            ),
            control("A15", "resources of containers are limited", ""),
            control("A16", "no remote administration within containers", ""),
            control("A17", "containers run without privileges", "").by(&[
                "no-privileged",
                "no-privilege-escalation",
                "drop-capabilities",
                "no-added-capabilities",
            ]),
            control(
                "A18",
                "accounts of services are used nowhere else",
                "which users the node has is not seen",
            )
            .by(&["high-uid"]),
            control("A19", "only storage that is needed is mounted", "")
                .by(&["no-host-path", "volume-types"]),
            control(
                "A20",
                "configuration data is versioned and protected",
                ORGANISATION,
            ),
            control(
                "A21",
                "extended security policies limit system calls and files",
                "",
            )
            .by(&["apparmor", "selinux"]),
            control("A22", "provision for investigations", ORGANISATION),
            control("A23", "containers cannot be changed at run time", ""),
            control("A24", "intrusion detection on hosts", CLUSTER),
            control(
                "A25",
                "high availability of containers",
                "what runs where is decided by the cluster",
            ),
            control(
                "A26",
                "stronger isolation and encapsulation",
                "the runtime is the cluster's",
            ),
        ],
    },
];
