//! What a container may write to.

use quench_model::{Level, Severity};

use super::{FALSE, IMAGE_UNKNOWN_REASON, LINUX, STATED, TRUE, USER, always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, image, item,
};

pub(super) const RULES: &[&Rule] = &[&READ_ONLY_ROOT];

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
                Condition::Not(&Condition::Is(READ_ONLY, FALSE)),
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
