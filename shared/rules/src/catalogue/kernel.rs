//! What containers set in the kernel of their node. Comes before all else: what needs no privileges any more is then
//! hardened like any other container.

use quench_model::{Level, Severity};

use super::{FALSE, LINUX, PRIVILEGED, TRUE, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, item, settings,
};

pub(super) const RULES: &[&Rule] = &[&NODE_SYSCTLS];

const COMMAND: Path = container(&["command"]);
const ARGS: Path = container(&["args"]);
const RUN_AS: Path = container(&["securityContext", "runAsUser"]);

const SETS_SYSCTLS: Condition = Condition::Any(&[
    Condition::AnyItem(COMMAND, &Condition::Contains(item(&[]), "sysctl -w")),
    Condition::AnyItem(ARGS, &Condition::Contains(item(&[]), "sysctl -w")),
]);

/// The script compares before it sets, and so sets nothing where the node has what it wants.
const LOOKS_FIRST: Condition = Condition::Any(&[
    Condition::AnyItem(COMMAND, &Condition::Contains(item(&[]), "sysctl -n")),
    Condition::AnyItem(ARGS, &Condition::Contains(item(&[]), "sysctl -n")),
]);

const DOES_MORE: Condition = Condition::Any(&[
    Condition::AnyItem(COMMAND, &MORE),
    Condition::AnyItem(ARGS, &MORE),
]);

const MORE: Condition = Condition::Any(&[
    Condition::Contains(item(&[]), "chown"),
    Condition::Contains(item(&[]), "chmod"),
    Condition::Contains(item(&[]), "mount"),
    Condition::Contains(item(&[]), "modprobe"),
]);

static NODE_SYSCTLS: Rule = Rule {
    id: "node-sysctls",
    title: "kernel settings of nodes are made by those who run them",
    rationale: "A privileged container that raises vm.max_map_count and the like is root on the node for one number, which \
                holds for everything on the node. With nodeSysctls in the target, or in global.hardening, nodes \
                are said to have what charts want. A script that looks at the value before it sets it has nothing to \
                set then: its privileges and its root user are taken away. Should a node lack the value after all, the \
                container fails and says so. A script that sets without looking, or does more, is reported.",
    references: &[
        at(Source::PodSecurityBaseline, "privileged"),
        at(Source::Cis, "5.2.2"),
        at(Source::Kubescape, "C-0057"),
        at(Source::Checkov, "CKV_K8S_16"),
        at(Source::KubeLinter, "unsafe-sysctls"),
        at(Source::BsiApp44, "A4"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::All(&[PRIVILEGED, SETS_SYSCTLS]),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Is(settings(&["nodeSysctls"]), TRUE),
                LOOKS_FIRST,
                Condition::Not(&DOES_MORE),
            ]),
            steps: &[
                Step::Set(
                    container(&["securityContext", "privileged"]),
                    Expression::Literal(FALSE),
                ),
                Step::When(
                    Condition::Is(RUN_AS, Literal::Number(0)),
                    &[Step::Remove(RUN_AS)],
                ),
            ],
            evidence: &[settings(&["nodeSysctls"])],
        }],
        unfixed: &[
            because(
                Condition::Any(&[Condition::Not(&LOOKS_FIRST), DOES_MORE]),
                "it sets kernel parameters without looking, or does more as root; make the settings on the nodes and switch it off in the values",
            ),
            always(
                "it makes settings of the node; make them on the nodes and give nodeSysctls in the target, or switch it off in the values",
            ),
        ],
    }],
};
