//! The parameters, by what they are about.
//!
//! Names are those that charts use alike; a chart that calls something else by one of them renders nothing different, or
//! something that the search refuses. To add a parameter, add it to the family it belongs to.

use quench_model::Severity;

use super::{
    Choice, NO_DEFAULT_PASSWORD, OPTIONAL_PARTS_OFF, Parameter, RULE, Removes, Safe, Unsafe,
};
use crate::rule::{Reference, Source};

pub(super) static FAMILIES: &[&[Parameter]] =
    &[ACCESS, NETWORK, ACCOUNTS, ISOLATION, DIAGNOSTICS, PARTS];

const fn at(source: Source, id: &'static str) -> Reference {
    Reference { source, id }
}

/// What most parameters have in common.
const BASE: Parameter = Parameter {
    id: "",
    paths: &[],
    unless: &[],
    unsafe_when: Unsafe::Never,
    safe: Safe::Bool(true),
    meaning: "",
    why: "",
    choice: Choice::Search,
    removes: Removes::Nothing,
    severity: Severity::Medium,
    rule: RULE,
    references: &[],
};

const ACCESS: &[Parameter] = &[
    Parameter {
        id: "anonymous-access",
        paths: &[
            "auth.anonymous.enabled",
            "auth*anonymous.enabled",
            "anonymousAuth.enabled",
            "allowAnonymousLogin",
            "allowAnonymous",
            "anonymousAccess",
            "anonymousAccessEnabled",
            "ALLOW_ANONYMOUS_LOGIN",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether people get in without saying who they are",
        why: "whoever reaches the port can use the software",
        severity: Severity::High,
        references: &[at(Source::Cis, "5.1"), at(Source::BsiApp44, "A3")],
        ..BASE
    },
    Parameter {
        id: "empty-password",
        paths: &[
            "allowEmptyPassword",
            "ALLOW_EMPTY_PASSWORD",
            "auth.allowEmptyPassword",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether an account may have no password",
        why: "whoever reaches the port can use the software",
        severity: Severity::High,
        references: &[at(Source::BsiSys16, "A8")],
        ..BASE
    },
    Parameter {
        id: "default-password",
        paths: &[
            "adminPassword",
            "rootPassword",
            "*Password",
            "password",
            "auth.*Password",
            "secretKey",
            "rootToken",
            "*Token",
            "jwtSecret",
        ],
        unless: &[
            "existing",
            "keyname",
            "secretname",
            "path",
            "passwordkey",
            "automount",
        ],
        unsafe_when: Unsafe::AnyText,
        safe: Safe::Given(
            "name a Secret of yours, where the chart takes one, or give a value of your own",
        ),
        meaning: "a password or key that the chart brings along",
        why: "everybody who has the chart knows it",
        choice: Choice::People("only you can name the Secret that holds a password of your own"),
        severity: Severity::High,
        rule: NO_DEFAULT_PASSWORD,
        references: &[at(Source::Kubescape, "C-0012"), at(Source::BsiSys16, "A8")],
        ..BASE
    },
    Parameter {
        id: "authentication",
        paths: &[
            "auth.enabled",
            "authentication.enabled",
            "rbac.auth.enabled",
            "auth.client.enabled",
            "auth.rbac.enabled",
            "security.enabled",
            "basicAuth.enabled",
            "usePassword",
            "metrics.auth.enabled",
        ],
        unless: &["oauth", "ldap"],
        unsafe_when: Unsafe::Bool(false),
        safe: Safe::Bool(true),
        meaning: "whether the software asks who is there",
        why: "without it whoever reaches the port can use the software",
        severity: Severity::High,
        references: &[
            at(Source::Nsa, "authentication"),
            at(Source::BsiApp44, "A3"),
        ],
        ..BASE
    },
    Parameter {
        id: "transport-encryption",
        paths: &[
            "tls.enabled",
            "tls.*.enabled",
            "ssl.enabled",
            "tlsEnabled",
            "enableTLS",
            "enableHttps",
            "https.enabled",
            "encryption.enabled",
        ],
        unless: &["ingress", "route"],
        unsafe_when: Unsafe::Bool(false),
        safe: Safe::Bool(true),
        meaning: "whether connections are encrypted",
        why: "without it everyone on the way reads and changes what passes",
        severity: Severity::Medium,
        references: &[
            at(Source::Nsa, "encryption in transit"),
            at(Source::BsiApp44, "A18"),
        ],
        ..BASE
    },
    Parameter {
        id: "certificate-check",
        paths: &[
            "insecureSkipVerify",
            "insecure_skip_verify",
            "tls.insecure",
            "skipTLSVerify",
            "tlsSkipVerify",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether certificates are taken unseen",
        why: "whoever is on the way can pass for the other side",
        choice: Choice::People(
            "whether the other side has a certificate that can be checked is not known",
        ),
        references: &[at(Source::Nsa, "encryption in transit")],
        ..BASE
    },
];

const NETWORK: &[Parameter] = &[
    Parameter {
        id: "network-policy",
        paths: &[
            "networkPolicy.enabled",
            "networkPolicies.enabled",
            "networkPolicy.create",
            "networkpolicy.enabled",
            "createNetworkPolicy",
        ],
        unsafe_when: Unsafe::Bool(false),
        safe: Safe::Bool(true),
        meaning: "whether the chart brings a network policy for its pods",
        why: "without one every pod of the cluster reaches every port",
        references: &[
            at(Source::Cis, "5.3.2"),
            at(Source::Nsa, "network policies"),
            at(Source::Kubescape, "C-0260"),
            at(Source::BsiApp44, "A7"),
        ],
        ..BASE
    },
    Parameter {
        id: "service-type",
        paths: &[
            "service.type",
            "service.*.type",
            "*Service.type",
            "serviceType",
        ],
        unsafe_when: Unsafe::Text(&["NodePort", "LoadBalancer"]),
        safe: Safe::Text("ClusterIP"),
        meaning: "from where the Service is reached",
        why: "a NodePort or LoadBalancer opens the workload to whoever reaches the nodes or the balancer",
        choice: Choice::People("who reaches it from outside today would no longer; use an ingress"),
        references: &[
            at(Source::Kubescape, "C-0256"),
            at(Source::KubeLinter, "exposed-services"),
        ],
        ..BASE
    },
    Parameter {
        id: "host-port",
        paths: &["hostPort", "hostPort.enabled", "useHostPort", "hostPorts.*"],
        unsafe_when: Unsafe::AnyNumber,
        safe: Safe::Given("leave it empty and use a Service"),
        meaning: "port of the node the container takes",
        why: "it opens the container past Services and policies, and binds it to a node",
        choice: Choice::People("who reaches it at the node today would no longer; use a Service"),
        references: &[
            at(Source::PodSecurityBaseline, ""),
            at(Source::Kubescape, "C-0044"),
        ],
        ..BASE
    },
];

const ACCOUNTS: &[Parameter] = &[
    Parameter {
        id: "own-account",
        paths: &["serviceAccount.create", "serviceAccounts.*.create"],
        unsafe_when: Unsafe::Bool(false),
        safe: Safe::Bool(true),
        meaning: "whether the workload has an account of its own",
        why: "whatever the namespace's default account may do, every pod that names none may too",
        severity: Severity::Low,
        references: &[
            at(Source::Cis, "5.1.5"),
            at(Source::Kubescape, "C-0189"),
            at(Source::BsiApp44, "A9"),
        ],
        ..BASE
    },
    Parameter {
        id: "account-token",
        paths: &[
            "automountServiceAccountToken",
            "serviceAccount.automount",
            "serviceAccount.automountToken",
            "serviceAccount.autoMount",
            "autoMountServiceAccountToken",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether pods get a token for the API server",
        why: "whoever gets into the container can talk to the API server",
        references: &[
            at(Source::Cis, "5.1.6"),
            at(Source::Kubescape, "C-0034"),
            at(Source::Checkov, "CKV_K8S_38"),
            at(Source::BsiApp44, "A9"),
        ],
        ..BASE
    },
    Parameter {
        id: "cluster-wide-permissions",
        paths: &[
            "rbac.clusterWide",
            "rbac.clusterWideAccess",
            "clusterWide",
            "rbac.clusterRole",
            "rbac.useClusterRole",
            "clusterRole.create",
            "rbac.clusterScoped",
            "rbac.clusterAdmin",
            "rbac.clusterAdminRole",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether permissions hold in every namespace",
        why: "whoever gets the account's token gets them all over the cluster",
        choice: Choice::People("which namespaces the software must see is not known"),
        references: &[at(Source::Cis, "5.1.1"), at(Source::BsiApp44, "A9")],
        ..BASE
    },
];

const ISOLATION: &[Parameter] = &[
    Parameter {
        id: "security-context",
        paths: &["*SecurityContext.enabled", "securityContext.enabled"],
        unsafe_when: Unsafe::Bool(false),
        safe: Safe::Bool(true),
        meaning: "whether the security settings the chart's author chose are used",
        why: "without them the container runs with what the runtime gives it",
        references: &[
            at(Source::PodSecurityRestricted, ""),
            at(Source::Cis, "5.7.3"),
            at(Source::BsiSys16, "A17"),
        ],
        ..BASE
    },
    Parameter {
        id: "host-namespace",
        paths: &[
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "useHostNetwork",
            "hostNetwork.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether pods see the node's network or processes",
        why: "what gets into the container is on the node",
        choice: Choice::People(
            "software that looks at the node needs it, and what it would no longer see is not known",
        ),
        severity: Severity::High,
        references: &[
            at(Source::PodSecurityBaseline, ""),
            at(Source::Cis, "5.2.3"),
            at(Source::Kubescape, "C-0041"),
        ],
        ..BASE
    },
    Parameter {
        id: "privileged",
        paths: &[
            "privileged",
            "securityContext.privileged",
            "*SecurityContext.privileged",
            "privileged.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether the container has the host's privileges",
        why: "what gets into the container is on the node",
        choice: Choice::People("what the software does with the privileges is not known"),
        severity: Severity::High,
        references: &[
            at(Source::PodSecurityBaseline, ""),
            at(Source::Cis, "5.2.1"),
            at(Source::Kubescape, "C-0057"),
        ],
        ..BASE
    },
    Parameter {
        id: "root-helper",
        paths: &[
            "volumePermissions.enabled",
            "sysctlImage.enabled",
            "sysctlInitContainer.enabled",
            "sysctlInit.enabled",
            "initChownData.enabled",
            "sysctl.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether a container that runs as root prepares volumes or the node",
        why: "it runs as root, often with privileges, before each start",
        choice: Choice::People(
            "volumes or nodes it prepares must then be prepared otherwise (fsGroup, node settings)",
        ),
        references: &[
            at(Source::PodSecurityRestricted, ""),
            at(Source::BsiSys16, "A17"),
        ],
        ..BASE
    },
    Parameter {
        id: "service-links",
        paths: &["enableServiceLinks"],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether the environment lists every Service of the namespace",
        why: "it tells whoever gets in what else there is, and can clash with the software's own variables",
        // As the rule `no-service-links` has it: nobody can see from outside who reads them.
        choice: Choice::People("whether the software reads the variables is not known"),
        severity: Severity::Low,
        references: &[at(Source::Kubernetes, "enableServiceLinks")],
        ..BASE
    },
    Parameter {
        id: "decided-by-rules",
        paths: &[
            "*SecurityContext.runAsNonRoot",
            "*SecurityContext.runAsUser",
            "*SecurityContext.readOnlyRootFilesystem",
            "*SecurityContext.allowPrivilegeEscalation",
            "*SecurityContext.fsGroup",
            "*SecurityContext.capabilities.drop",
            "*SecurityContext.seccompProfile.type",
            "podSecurityContext",
            "containerSecurityContext",
            "securityContext",
        ],
        meaning: "security settings of pods or containers",
        why: "it decides what the process may do on the node",
        choice: Choice::Rules,
        references: &[at(Source::PodSecurityRestricted, "")],
        ..BASE
    },
];

const DIAGNOSTICS: &[Parameter] = &[
    Parameter {
        id: "diagnostic-mode",
        paths: &["diagnosticMode.enabled"],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether containers sleep instead of running the software",
        why: "it is for debugging, and switches probes off",
        references: &[at(Source::BsiSys16, "A5")],
        ..BASE
    },
    Parameter {
        id: "debug",
        paths: &[
            "image.debug",
            "debug",
            "debug.enabled",
            "debugMode",
            "enableDebug",
            "pprof.enabled",
            "enablePprof",
            "profiling.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether the software tells more than users should know",
        why: "debug output and endpoints show internals, often credentials",
        severity: Severity::Low,
        references: &[at(Source::BsiSys16, "A5")],
        ..BASE
    },
    Parameter {
        id: "removed-pod-security-policy",
        paths: &[
            "podSecurityPolicy.enabled",
            "podSecurityPolicy.create",
            "pspEnabled",
            "rbac.pspEnabled",
            "psp.create",
            "psp.enabled",
            "rbac.psp.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether the chart brings a PodSecurityPolicy",
        why: "Kubernetes has none since 1.25, and the permissions that come with it are of no use",
        removes: Removes::Kinds(&["PodSecurityPolicy"]),
        severity: Severity::Low,
        references: &[at(Source::Kubernetes, "PodSecurityPolicy removal")],
        ..BASE
    },
];

const PARTS: &[Parameter] = &[
    Parameter {
        id: "tests",
        paths: &[
            "testFramework.enabled",
            "tests.enabled",
            "test.enabled",
            "helmTest.enabled",
            "helmTests.enabled",
        ],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether the chart brings pods for `helm test`",
        why: "their images must be kept patched, and their pods hardened, for something that runs once if ever",
        removes: Removes::Tests,
        severity: Severity::Low,
        rule: OPTIONAL_PARTS_OFF,
        references: &[at(Source::BsiSys16, "A11")],
        ..BASE
    },
    Parameter {
        id: "admin-interface",
        paths: &[
            "dashboard.enabled",
            "adminUI.enabled",
            "adminer.enabled",
            "phpmyadmin.enabled",
            "pgadmin.enabled",
            "webUI.enabled",
            "console.enabled",
            "kibana.enabled",
            "server.ingressRoute.dashboard.enabled",
        ],
        unless: &["grafana", "sidecar", "metrics"],
        unsafe_when: Unsafe::Bool(true),
        safe: Safe::Bool(false),
        meaning: "whether an interface for administrators runs",
        why: "it is one more way in, with the rights of administrators",
        choice: Choice::People("whether anybody uses it is not known"),
        severity: Severity::Low,
        rule: OPTIONAL_PARTS_OFF,
        references: &[at(Source::BsiSys16, "A11")],
        ..BASE
    },
];
