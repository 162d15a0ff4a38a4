//! What a container may write to.

use quench_model::{Level, Severity};

use super::{FALSE, IMAGE_UNKNOWN_REASON, LINUX, STATED, TRUE, USER, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, image, item, object, pod, settings,
};

pub(super) const RULES: &[&Rule] = &[&READ_ONLY_ROOT, &EMPTY_DIR_LIMIT, &FS_GROUP];

const READ_ONLY: Path = container(&["securityContext", "readOnlyRootFilesystem"]);
const WRITABLE: Path = image(&["writable"]);

/// The image has files in a folder it writes to, and no volume of the chart lies there. An empty volume would
/// hide the files; copying them first would need a program to copy with, run by a container the chart does not have.
const WOULD_HIDE_FILES: Condition = Condition::AnyItem(
    WRITABLE,
    &Condition::All(&[
        Condition::Is(item(&["copyUp"]), TRUE),
        Condition::Not(&Condition::Mounted(item(&["path"]))),
    ]),
);

/// Permissions tell where a user may write. They tell nothing of root, which may write everywhere.
const PATHS_ARE_ALL: Condition = Condition::Any(&[
    STATED,
    Condition::All(&[
        Condition::Present(USER),
        Condition::Not(&Condition::Is(USER, Literal::Number(0))),
    ]),
]);

static READ_ONLY_ROOT: Rule = Rule {
    id: "read-only-root",
    title: "the root file system is read-only",
    rationale: "Whoever gets into a container cannot leave anything behind or change the program. An empty volume is \
                mounted at each folder its user may write to and the chart mounts nothing at. Root may write anywhere, so it is \
                reported. Where the image has files \
                in such a folder, an empty volume would hide them: then nothing is changed and it is reported. So is a \
                chart that sets it to false in so many words.",
    references: &[
        at(Source::Nsa, "immutable container file systems"),
        at(Source::Kubescape, "C-0017"),
        at(Source::Checkov, "CKV_K8S_22"),
        at(Source::KubeLinter, "no-read-only-root-fs"),
        at(Source::BsiSys16, "A23"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::WritablePaths],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::Not(&Condition::Is(READ_ONLY, TRUE)),
        fixes: &[Fix {
            when: Condition::All(&[
                Condition::Present(WRITABLE),
                PATHS_ARE_ALL,
                Condition::Not(&WOULD_HIDE_FILES),
                Condition::Any(&[
                    Condition::Not(&Condition::Is(READ_ONLY, FALSE)),
                    Condition::Decided,
                ]),
            ]),
            steps: &[
                Step::Set(READ_ONLY, Expression::Literal(TRUE)),
                Step::MountWritable(WRITABLE),
            ],
            evidence: &[WRITABLE],
        }],
        unfixed: &[
            because(
                Condition::Is(READ_ONLY, FALSE),
                "the chart sets it to false in so many words; set it to true in the values if nothing writes there",
            ),
            IMAGE_UNKNOWN_REASON,
            because(
                Condition::Not(&Condition::Present(WRITABLE)),
                "it is not known where the image writes to",
            ),
            because(
                Condition::Not(&PATHS_ARE_ALL),
                "it runs as root, or as a user that is not known, and may write anywhere; run it as another user first",
            ),
            always(
                "the image has files of its own in a folder it writes to, which an empty volume would hide; mount a volume that holds them",
            ),
        ],
    }],
};

const ON_DISK_WITHOUT_LIMIT: Condition = Condition::All(&[
    Condition::Present(item(&["emptyDir"])),
    Condition::Not(&Condition::Present(item(&["emptyDir", "sizeLimit"]))),
    Condition::Not(&Condition::Is(
        item(&["emptyDir", "medium"]),
        Literal::Text("Memory"),
    )),
]);

static EMPTY_DIR_LIMIT: Rule = Rule {
    id: "empty-dir-limit",
    title: "empty volumes have a limit",
    rationale: "An emptyDir without one fills the disk of its node, and the node evicts pods of others. How much a workload needs \
                cannot be seen from outside; a pod that goes over its limit is evicted. So a limit is set where the target, or \
                global.hardening, gives emptyDirSize. Volumes in memory count to the container's memory, and are left alone.",
    references: &[
        at(Source::Kubernetes, "emptyDir.sizeLimit"),
        at(
            Source::KubeScore,
            "container-ephemeral-storage-request-and-limit",
        ),
        at(Source::BsiSys16, "A15"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Info,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Pod,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(VOLUMES, &ON_DISK_WITHOUT_LIMIT),
        fixes: &[Fix {
            when: Condition::Present(settings(&["emptyDirSize"])),
            steps: &[Step::Each(
                VOLUMES,
                ON_DISK_WITHOUT_LIMIT,
                &[Step::Set(
                    item(&["emptyDir", "sizeLimit"]),
                    Expression::Of(settings(&["emptyDirSize"])),
                )],
            )],
            evidence: &[settings(&["emptyDirSize"])],
        }],
        unfixed: &[always(
            "how much it may hold is not known; give emptyDirSize in the target",
        )],
    }],
};

const VOLUMES: Path = pod(&["volumes"]);
const FS_GROUP_PATH: Path = pod(&["securityContext", "fsGroup"]);
const CHANGE_POLICY: Path = pod(&["securityContext", "fsGroupChangePolicy"]);

const HAS_CLAIM: Condition = Condition::Any(&[
    Condition::Present(object(&["spec", "volumeClaimTemplates"])),
    Condition::AnyItem(
        VOLUMES,
        &Condition::Any(&[
            Condition::Present(item(&["persistentVolumeClaim"])),
            Condition::Present(item(&["ephemeral"])),
        ]),
    ),
]);

const NON_ROOT: Path = container(&["securityContext", "runAsNonRoot"]).or(&POD_NON_ROOT);
const POD_NON_ROOT: Path = pod(&["securityContext", "runAsNonRoot"]);
const MAY_RUN_AS_ROOT: Condition =
    Condition::AnyContainer(&Condition::Not(&Condition::Is(NON_ROOT, TRUE)));

static FS_GROUP: Rule = Rule {
    id: "fs-group",
    title: "pods with claims share a group with their volumes",
    rationale: "A user that is not root can write to a fresh volume only through a group, fsGroup. With it the node changes \
                owner and mode of every file at each start, which takes minutes on large volumes; OnRootMismatch does \
                so only when the root of the volume does not fit. That is set when no container may run as root: one that \
                does could leave files behind that the group may not read. A group that is missing is reported and never \
                added: on a volume that holds data already it would open files to the group, at which PostgreSQL, for one, \
                refuses to start. OpenShift gives the group itself.",
    references: &[
        at(Source::Kubernetes, "fsGroupChangePolicy"),
        at(Source::BsiSys16, "A19"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::ImageUser],
    checks: &[
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: Condition::All(&[LINUX, Condition::Present(FS_GROUP_PATH), HAS_CLAIM]),
            broken: Condition::Not(&Condition::Is(
                CHANGE_POLICY,
                Literal::Text("OnRootMismatch"),
            )),
            fixes: &[Fix {
                when: Condition::Not(&MAY_RUN_AS_ROOT),
                steps: &[Step::Set(
                    CHANGE_POLICY,
                    Expression::Literal(Literal::Text("OnRootMismatch")),
                )],
                evidence: &[FS_GROUP_PATH],
            }],
            unfixed: &[always(
                "a container of the pod may run as root, and leave files behind that the group may not read",
            )],
        },
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: Condition::All(&[
                LINUX,
                HAS_CLAIM,
                Condition::Not(&Condition::Is(
                    settings(&["platform"]),
                    Literal::Text("openshift"),
                )),
            ]),
            broken: Condition::All(&[
                Condition::Not(&Condition::Present(FS_GROUP_PATH)),
                Condition::AnyContainer(&Condition::Is(NON_ROOT, TRUE)),
            ]),
            fixes: &[],
            unfixed: &[always(
                "its volumes may not be writable for its user; set fsGroup in the values, unless they hold data of another group already",
            )],
        },
    ],
};
