//! Who a container runs as.

use quench_model::{Level, Severity};

use super::{
    DECLARED_USER, FALSE, IMAGE_UNKNOWN_REASON, LINUX, POD_USER, TRUE, USER, always, at, because,
};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, Path, Rule, Safety, Scope, Source, Step,
    container, image, pod, settings,
};

pub(super) const RULES: &[&Rule] = &[&RUN_AS_NON_ROOT, &HIGH_UID];

const NON_ROOT: Path = container(&["securityContext", "runAsNonRoot"]).or(&POD_NON_ROOT);
const POD_NON_ROOT: Path = pod(&["securityContext", "runAsNonRoot"]);
const ZERO: Literal = Literal::Number(0);
const DECLARED_ROOT: Condition = Condition::Is(DECLARED_USER, ZERO);
const IMAGE_IS_NON_ROOT: Condition = Condition::All(&[
    Condition::Not(&Condition::Present(DECLARED_USER)),
    Condition::Present(image(&["uid"])),
    Condition::Not(&Condition::Is(image(&["uid"]), ZERO)),
]);
const SET_NON_ROOT: Step = Step::Set(
    container(&["securityContext", "runAsNonRoot"]),
    Expression::Literal(TRUE),
);

static RUN_AS_NON_ROOT: Rule = Rule {
    id: "run-as-non-root",
    title: "containers do not run as root",
    rationale: "Root in a container is root for every file and kernel interface the container can reach, and one \
                kernel flaw away from the node. The user is taken from the chart, else from the image through its own \
                /etc/passwd, and pinned as a number: Kubernetes cannot check a name and refuses to start the container. \
                An image that runs as root, or whose user is not known, is reported: a guessed user would break it.",
    references: &[
        at(Source::PodSecurityRestricted, "runAsNonRoot"),
        at(Source::Cis, "5.2.7"),
        at(Source::Nsa, "non-root containers"),
        at(Source::Kubescape, "C-0013"),
        at(Source::Checkov, "CKV_K8S_23"),
        at(Source::KubeLinter, "run-as-non-root"),
        at(Source::BsiSys16, "A17"),
    ],
    safety: Safety::WithEvidence,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[Need::ImageUser],
    checks: &[
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Any(&[
                Condition::Not(&Condition::Is(NON_ROOT, TRUE)),
                DECLARED_ROOT,
            ]),
            fixes: &[
                Fix {
                    when: Condition::All(&[
                        Condition::Present(DECLARED_USER),
                        Condition::Not(&DECLARED_ROOT),
                    ]),
                    steps: &[SET_NON_ROOT],
                    evidence: &[container(&["securityContext", "runAsUser"]).or(&POD_USER)],
                },
                Fix {
                    when: Condition::All(&[
                        Condition::Decided,
                        DECLARED_ROOT,
                        Condition::Present(image(&["uid"])),
                        Condition::Not(&Condition::Is(image(&["uid"]), ZERO)),
                    ]),
                    steps: &[
                        SET_NON_ROOT,
                        Step::Set(
                            container(&["securityContext", "runAsUser"]),
                            Expression::Of(image(&["uid"])),
                        ),
                    ],
                    evidence: &[image(&["user"]), image(&["uid"])],
                },
                Fix {
                    // OpenShift gives each namespace user ids of its own and refuses others.
                    when: Condition::All(&[
                        IMAGE_IS_NON_ROOT,
                        Condition::Is(settings(&["platform"]), Literal::Text("openshift")),
                    ]),
                    steps: &[SET_NON_ROOT],
                    evidence: &[image(&["uid"]), settings(&["platform"])],
                },
                Fix {
                    when: IMAGE_IS_NON_ROOT,
                    steps: &[
                        SET_NON_ROOT,
                        Step::Set(
                            container(&["securityContext", "runAsUser"]),
                            Expression::Of(image(&["uid"])),
                        ),
                        // A pinned user makes the runtime forget the group the image names.
                        Step::When(
                            Condition::Not(&Condition::Present(
                                container(&["securityContext", "runAsGroup"]).or(&POD_GROUP),
                            )),
                            &[Step::Set(
                                container(&["securityContext", "runAsGroup"]),
                                Expression::Of(image(&["gid"])),
                            )],
                        ),
                    ],
                    evidence: &[image(&["user"]), image(&["uid"]), image(&["gid"])],
                },
            ],
            unfixed: &[
                because(
                    DECLARED_ROOT,
                    "the chart sets runAsUser to 0; set a user the image can run as, or waive the rule",
                ),
                IMAGE_UNKNOWN_REASON,
                because(
                    Condition::Is(image(&["uid"]), ZERO),
                    "the image runs as root; give it a user, or set runAsUser to one it can run as",
                ),
                always(
                    "the image names a user that its /etc/passwd does not have; set runAsUser to the number",
                ),
            ],
        },
        // Windows knows users by name; the one of an image is not looked at.
        Check {
            scope: Scope::Container,
            kinds: &[],
            applies: Condition::Not(&LINUX),
            broken: Condition::Not(&Condition::Is(NON_ROOT, TRUE)),
            fixes: &[],
            unfixed: &[always(
                "the pod is for Windows, where the image's user is not known; set runAsNonRoot if it is not ContainerAdministrator",
            )],
        },
        // What is left at the pod contradicts its containers, once all of them are fixed.
        Check {
            scope: Scope::Pod,
            kinds: &[],
            applies: LINUX,
            broken: Condition::Is(POD_NON_ROOT, FALSE),
            fixes: &[Fix {
                when: Condition::Not(&Condition::AnyContainer(&Condition::Not(&Condition::Is(
                    container(&["securityContext", "runAsNonRoot"]),
                    TRUE,
                )))),
                steps: &[Step::Set(POD_NON_ROOT, Expression::Literal(TRUE))],
                evidence: &[],
            }],
            unfixed: &[always(
                "the chart sets runAsNonRoot to false for the whole pod, and not every container is known to do without root",
            )],
        },
    ],
};

const POD_GROUP: Path = pod(&["securityContext", "runAsGroup"]);

static HIGH_UID: Rule = Rule {
    id: "high-uid",
    title: "containers run as a user of 10000 or above",
    rationale: "A low number may be a user of the node too. It is reported and never changed: files of the image belong \
                to the user it was built for.",
    references: &[
        at(Source::Checkov, "CKV_K8S_40"),
        at(
            Source::KubeScore,
            "container-security-context-user-group-id",
        ),
    ],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::ImageUser],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: LINUX,
        broken: Condition::All(&[
            Condition::Below(USER, 10_000),
            Condition::Not(&Condition::Is(USER, ZERO)),
        ]),
        fixes: &[],
        unfixed: &[always(
            "files of the image belong to the user it was built for; have the image built for a higher one",
        )],
    }],
};
