//! What a container may do to the kernel.

use quench_model::{Level, Severity};

use super::{
    FALSE, IMAGE_UNKNOWN_REASON, LINUX, OTHER_PROGRAM_REASON, PRIVILEGED, PROGRAM_UNPRIVILEGED,
    TRUE, USER, always, at, because,
};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, image, item, pod, template,
};

pub(super) const RULES: &[&Rule] = &[
    &NO_PRIVILEGED,
    &NO_PRIVILEGE_ESCALATION,
    &DROP_CAPABILITIES,
    &NO_ADDED_CAPABILITIES,
    &SECCOMP_RUNTIME_DEFAULT,
    &APPARMOR,
    &SELINUX,
    &PROC_MOUNT,
    &SYSCTLS,
];

const ESCALATION: Path = container(&["securityContext", "allowPrivilegeEscalation"]);
const ADDED: Path = container(&["securityContext", "capabilities", "add"]);
const DROPPED: Path = container(&["securityContext", "capabilities", "drop"]);

static NO_PRIVILEGED: Rule = Rule {
    id: "no-privileged",
    title: "containers are not privileged",
    rationale: "A privileged container has every capability and every device of the node: it is the node. What needs it \
                does so for a purpose, so it is reported.",
    references: &[
        at(Source::Nsa, "privileged"),
        at(Source::PodSecurityBaseline, "privileged"),
        at(Source::Cis, "5.2.2"),
        at(Source::Kubescape, "C-0057"),
        at(Source::Checkov, "CKV_K8S_16"),
        at(Source::KubeLinter, "privileged-container"),
    ],
    safety: Safety::Report,
    severity: Severity::Critical,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: PRIVILEGED,
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Set(
                container(&["securityContext", "privileged"]),
                Expression::Literal(FALSE),
            )],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart makes it privileged; find the capabilities it needs and add those alone",
        )],
    }],
};

/// The API server refuses the combination.
const MUST_ESCALATE: Condition = Condition::Any(&[
    PRIVILEGED,
    Condition::Has(ADDED, "SYS_ADMIN"),
    Condition::Has(ADDED, "CAP_SYS_ADMIN"),
]);

static NO_PRIVILEGE_ESCALATION: Rule = Rule {
    id: "no-privilege-escalation",
    title: "processes cannot gain privileges",
    rationale: "With no_new_privs, setuid files and file capabilities give nothing, so a flaw in a program does not become \
                root. It is set unless what the image starts is such a file itself, or the chart allows it in so many words.",
    references: &[
        at(Source::PodSecurityRestricted, "allowPrivilegeEscalation"),
        at(Source::Cis, "5.2.6"),
        at(Source::Nsa, "allowPrivilegeEscalation"),
        at(Source::Kubescape, "C-0016"),
        at(Source::Checkov, "CKV_K8S_20"),
        at(Source::KubeLinter, "privilege-escalation-container"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[Need::ImageEntrypoint],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::Not(&Condition::Is(ESCALATION, FALSE)),
        fixes: &[Fix {
            when: Condition::All(&[
                PROGRAM_UNPRIVILEGED,
                Condition::Not(&MUST_ESCALATE),
                Condition::Any(&[
                    Condition::Not(&Condition::Is(ESCALATION, TRUE)),
                    Condition::Decided,
                ]),
            ]),
            steps: &[Step::Set(ESCALATION, Expression::Literal(FALSE))],
            evidence: &[image(&["entrypoint"]), image(&["entrypointPrivileged"])],
        }],
        unfixed: &[
            because(
                MUST_ESCALATE,
                "Kubernetes refuses it for privileged containers and those that add SYS_ADMIN",
            ),
            because(
                Condition::Is(ESCALATION, TRUE),
                "the chart allows it in so many words; set it to false in the values if nothing needs it",
            ),
            IMAGE_UNKNOWN_REASON,
            OTHER_PROGRAM_REASON,
            because(
                Condition::Is(image(&["entrypointPrivileged"]), TRUE),
                "what the image starts is setuid or carries file capabilities, and would lose them",
            ),
            always("what the image starts could not be found in it"),
        ],
    }],
};

/// A process that is not root has no capability to lose, but what its file gives it.
const RUNS_UNPRIVILEGED: Condition = Condition::All(&[
    Condition::Present(USER),
    Condition::Not(&Condition::Is(USER, Literal::Number(0))),
    PROGRAM_UNPRIVILEGED,
]);

static DROP_CAPABILITIES: Rule = Rule {
    id: "drop-capabilities",
    title: "containers drop all capabilities",
    rationale: "Runtimes give containers some fourteen capabilities that few programs use. A process that is not root has \
                them only through its file, so all are dropped when the user is known not to be root and what the image starts \
                carries none. Root that changes its user or the owner of files needs some: that is reported. Capabilities \
                the chart adds stay. Ports below 1024 stand open to users without capabilities in containerd 2 and \
                CRI-O; where they do not, a user that is not root could not take them before either.",
    references: &[
        at(Source::PodSecurityRestricted, "capabilities_restricted"),
        at(Source::Cis, "5.2.10"),
        at(Source::Kubescape, "C-0046"),
        at(Source::Checkov, "CKV_K8S_37"),
        at(Source::Checkov, "CKV_K8S_28"),
        at(Source::KubeLinter, "drop-net-raw-capability"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::ImageUser, Need::ImageEntrypoint],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::Not(&Condition::Has(DROPPED, "ALL")),
        fixes: &[Fix {
            when: Condition::All(&[RUNS_UNPRIVILEGED, Condition::Not(&PRIVILEGED)]),
            steps: &[Step::Append(DROPPED, "ALL")],
            evidence: &[USER, image(&["entrypointPrivileged"])],
        }],
        unfixed: &[
            because(
                PRIVILEGED,
                "a privileged container has all capabilities whatever it drops",
            ),
            IMAGE_UNKNOWN_REASON,
            because(
                Condition::Is(image(&["entrypointSwitchesUser"]), TRUE),
                "the image starts as root and changes its user itself, which needs SETUID, SETGID or CHOWN; drop the others by values",
            ),
            because(
                Condition::Is(image(&["entrypointPrivileged"]), TRUE),
                "what the image starts is setuid or carries file capabilities, and would lose them",
            ),
            because(
                Condition::Is(USER, Literal::Number(0)),
                "it runs as root, which may need any of them; run it as another user first",
            ),
            OTHER_PROGRAM_REASON,
            always("its user, or what the image starts, is not known"),
        ],
    }],
};

const ODD_CAPABILITY: Condition =
    Condition::Not(&Condition::Is(item(&[]), Literal::Text("NET_BIND_SERVICE")));

static NO_ADDED_CAPABILITIES: Rule = Rule {
    id: "no-added-capabilities",
    title: "containers add no capabilities but NET_BIND_SERVICE",
    rationale: "A capability that is added was asked for by someone; it is reported, so that someone can tell why.",
    references: &[
        at(Source::PodSecurityBaseline, "capabilities_baseline"),
        at(Source::PodSecurityRestricted, "capabilities_restricted"),
        at(Source::Cis, "5.2.9"),
        at(Source::Kubescape, "C-0200"),
        at(Source::Checkov, "CKV_K8S_25"),
        at(Source::Checkov, "CKV_K8S_39"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::AnyItem(ADDED, &ODD_CAPABILITY),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::RemoveItems(ADDED, ODD_CAPABILITY)],
            evidence: &[ADDED],
        }],
        unfixed: &[always(
            "the chart adds capabilities; remove those nothing needs",
        )],
    }],
};

const POD_SECCOMP: Path = pod(&["securityContext", "seccompProfile", "type"]);
const SECCOMP: Path = container(&["securityContext", "seccompProfile", "type"]);

const RUNTIME_DEFAULT: Expression = Expression::Literal(Literal::Text("RuntimeDefault"));

static SECCOMP_RUNTIME_DEFAULT: Rule = Rule {
    id: "seccomp-runtime-default",
    title: "system calls are filtered by the runtime's profile",
    rationale: "The runtime's default profile blocks system calls that ordinary programs never make and that most kernel \
                exploits need. It follows the capabilities a container adds, and runtimes leave privileged containers out. \
                It is set for the pod, so that sidecars and debug containers that come in later have it too; a profile \
                the chart names stays.",
    references: &[
        at(Source::Nsa, "seccomp"),
        at(Source::PodSecurityRestricted, "seccompProfile_restricted"),
        at(Source::Cis, "5.7.2"),
        at(Source::Kubescape, "C-0210"),
        at(Source::Checkov, "CKV_K8S_31"),
        at(Source::BsiSys16, "A21"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Not(&Condition::Present(POD_SECCOMP)),
            fixes: &[Fix {
                when: Condition::Always,
                steps: &[Step::Set(POD_SECCOMP, RUNTIME_DEFAULT)],
                evidence: &[],
            }],
            unfixed: &[],
        },
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Is(POD_SECCOMP, Literal::Text("Unconfined")),
            fixes: &[Fix {
                when: Condition::Decided,
                steps: &[Step::Set(POD_SECCOMP, RUNTIME_DEFAULT)],
                evidence: &[],
            }],
            unfixed: &[always(
                "the chart sets the profile Unconfined; change it in the values",
            )],
        },
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Is(SECCOMP, Literal::Text("Unconfined")),
            fixes: &[Fix {
                when: Condition::Decided,
                steps: &[Step::Set(SECCOMP, RUNTIME_DEFAULT)],
                evidence: &[],
            }],
            unfixed: &[always(
                "the chart sets the profile Unconfined; change it in the values",
            )],
        },
    ],
};

const POD_APPARMOR: Path = pod(&["securityContext", "appArmorProfile", "type"]);
const OWN_APPARMOR: Path = container(&["securityContext", "appArmorProfile", "type"]);
const UNCONFINED: Literal = Literal::Text("Unconfined");

/// What the profile forbids takes root or a capability, of which a container like this one has neither.
const NOTHING_TO_LOSE: Condition = Condition::All(&[
    Condition::Is(ESCALATION, FALSE),
    Condition::Has(DROPPED, "ALL"),
    Condition::Not(&Condition::AnyItem(ADDED, &Condition::Always)),
    Condition::Is(container(&["securityContext", "runAsNonRoot"]), TRUE),
    Condition::Not(&PRIVILEGED),
]);

static APPARMOR: Rule = Rule {
    id: "apparmor",
    title: "AppArmor is not switched off",
    rationale: "Where the node has AppArmor, the runtime's profile keeps containers from mounting and from files of the kernel, and \
                containers that name no profile have it. One that is switched off is switched on again when the container is \
                known to be without root, without capabilities and without a way to get any: what the profile \
                forbids it could not do before either. Others are reported. Annotations of Kubernetes before 1.30 are \
                reported alone.",
    references: &[
        at(Source::Nsa, "AppArmor"),
        at(Source::PodSecurityBaseline, "appArmorProfile"),
        at(Source::Kubescape, "C-0055"),
        at(Source::BsiSys16, "A21"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::ImageUser, Need::ImageEntrypoint],
    checks: &[
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Is(OWN_APPARMOR.or(&POD_APPARMOR), UNCONFINED),
            fixes: &[Fix {
                when: Condition::Any(&[NOTHING_TO_LOSE, Condition::Decided]),
                steps: &[Step::Set(OWN_APPARMOR, RUNTIME_DEFAULT)],
                evidence: &[ESCALATION, DROPPED],
            }],
            unfixed: &[always(
                "the chart sets the profile Unconfined, and it may do what the profile forbids; change it in the values",
            )],
        },
        // What is left at the pod, once every container has a profile of its own.
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Is(POD_APPARMOR, UNCONFINED),
            fixes: &[Fix {
                when: Condition::Not(&Condition::AnyContainer(&Condition::Not(
                    &Condition::Present(OWN_APPARMOR),
                ))),
                steps: &[Step::Set(POD_APPARMOR, RUNTIME_DEFAULT)],
                evidence: &[],
            }],
            unfixed: &[always(
                "the chart sets the profile Unconfined for the whole pod; change it in the values",
            )],
        },
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: LINUX,
            broken: Condition::AnyPair(
                template(&["metadata", "annotations"]),
                "container.apparmor.security.beta.kubernetes.io/",
                "unconfined",
            ),
            fixes: &[],
            unfixed: &[always(
                "an annotation switches AppArmor off; take it out of the values",
            )],
        },
    ],
};

const ODD_SELINUX: Condition = Condition::Any(&[
    Condition::Present(container(&["securityContext", "seLinuxOptions", "user"])),
    Condition::Present(container(&["securityContext", "seLinuxOptions", "role"])),
    Condition::All(&[
        Condition::Present(container(&["securityContext", "seLinuxOptions", "type"])),
        Condition::Not(&Condition::StartsWith(
            container(&["securityContext", "seLinuxOptions", "type"]),
            "container_",
        )),
    ]),
]);

static SELINUX: Rule = Rule {
    id: "selinux",
    title: "SELinux types are those of containers",
    rationale: "Another type, user or role takes the container out of the node's confinement.",
    references: &[
        at(Source::Nsa, "seLinux"),
        at(Source::PodSecurityBaseline, "seLinuxOptions"),
        at(Source::Kubescape, "C-0055"),
        at(Source::BsiSys16, "A21"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: ODD_SELINUX,
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Remove(container(&[
                "securityContext",
                "seLinuxOptions",
            ]))],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart sets SELinux options; change them in the values",
        )],
    }],
};

const PROC: Path = container(&["securityContext", "procMount"]);

static PROC_MOUNT: Rule = Rule {
    id: "proc-mount",
    title: "/proc is masked",
    rationale: "Runtimes hide parts of /proc that tell about the node or change it. A chart that unmasks it runs containers \
                within containers, which break without it; so it is masked by decision alone.",
    references: &[
        at(Source::PodSecurityBaseline, "procMount"),
        at(Source::KubeLinter, "unsafe-proc-mount"),
        at(Source::BsiSys16, "A21"),
    ],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::All(&[
            Condition::Present(PROC),
            Condition::Not(&Condition::Is(PROC, Literal::Text("Default"))),
        ]),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::Remove(PROC)],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart unmasks /proc, as builders of images need it; change it in the values",
        )],
    }],
};

const HARMLESS_SYSCTL: Condition = Condition::Any(&[
    Condition::OneOf(
        item(&["name"]),
        &[
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.ip_local_reserved_ports",
            "net.ipv4.ip_unprivileged_port_start",
            "net.ipv4.ping_group_range",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_rmem",
            "net.ipv4.tcp_syncookies",
            "net.ipv4.tcp_wmem",
        ],
    ),
    Condition::StartsWith(item(&["name"]), "net.ipv4.tcp_keepalive_"),
]);

static SYSCTLS: Rule = Rule {
    id: "sysctls",
    title: "only harmless sysctls are set",
    rationale: "Other sysctls reach beyond the pod, or switch off what protects it.",
    references: &[
        at(Source::PodSecurityBaseline, "sysctls"),
        at(Source::KubeLinter, "unsafe-sysctls"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: LINUX,
        broken: Condition::AnyItem(
            pod(&["securityContext", "sysctls"]),
            &Condition::Not(&HARMLESS_SYSCTL),
        ),
        fixes: &[Fix {
            when: Condition::Decided,
            steps: &[Step::RemoveItems(
                pod(&["securityContext", "sysctls"]),
                Condition::Not(&HARMLESS_SYSCTL),
            )],
            evidence: &[],
        }],
        unfixed: &[always(
            "the chart sets a sysctl that is not on the list of harmless ones",
        )],
    }],
};
