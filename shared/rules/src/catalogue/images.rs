//! Which image runs.

use quench_model::{Level, Severity};

use super::{always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Literal, Need, PIN, Path, Rule, Safety, Scope, Source, Step,
    container, settings,
};

pub(super) const RULES: &[&Rule] = &[
    &IMAGE_DIGEST,
    &IMAGE_REGISTRY,
    &IMAGE_REFERENCES,
    &IMAGE_TAG,
    &PULL_POLICY,
];

const IMAGE: Path = container(&["image"]);
const PINNED: Condition = Condition::Contains(IMAGE, "@sha256:");

static IMAGE_DIGEST: Rule = Rule {
    id: "image-digest",
    title: "images are named by digest",
    rationale: "A tag is whatever someone pushed last; a digest is the image that was checked. Images of the package \
                get theirs, and keep the tag for people. An image that a value changed to another is not in the package \
                and is reported.",
    references: &[
        at(Source::Checkov, "CKV_K8S_43"),
        at(Source::BsiSys16, "A6"),
        at(Source::BsiSys16, "A12"),
    ],
    safety: Safety::Always,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::ImageDigest],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Present(IMAGE),
        broken: Condition::Not(&PINNED),
        fixes: &[Fix {
            when: Condition::Present(PIN),
            steps: &[Step::Set(IMAGE, Expression::Pinned)],
            evidence: &[PIN],
        }],
        unfixed: &[always(
            "the image is not in the package; harden the chart together with its images",
        )],
    }],
};

static IMAGE_REGISTRY: Rule = Rule {
    id: "image-registry",
    title: "images come from the registry of the target",
    rationale: "With a registry in global.hardening.registry, every image of the package is pulled from there.",
    references: &[at(Source::Kubescape, "C-0078"), at(Source::BsiSys16, "A12")],
    safety: Safety::NeedsTarget,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::ImageDigest, Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::All(&[
            Condition::Present(IMAGE),
            Condition::Present(settings(&["registry"])),
        ]),
        broken: Condition::Not(&Condition::AtRegistry),
        fixes: &[Fix {
            when: Condition::Present(PIN),
            steps: &[Step::Set(IMAGE, Expression::Pinned)],
            evidence: &[settings(&["registry"])],
        }],
        unfixed: &[always(
            "the image is not in the package, so it cannot be said to be at the registry",
        )],
    }],
};

static IMAGE_REFERENCES: Rule = Rule {
    id: "image-references",
    title: "images named beside containers come from the registry of the target too",
    rationale: "Operators start images that stand in arguments, environment variables, custom resources and \
                configuration. With a registry in global.hardening.registry, each of these that is exactly a reference of \
                the package becomes the one at that registry, with its digest; a block of registry, repository and tag \
                gets the digest where it has a field for it.",
    references: &[at(Source::Kubescape, "C-0078"), at(Source::BsiSys16, "A12")],
    safety: Safety::NeedsTarget,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[Need::ImageDigest, Need::Target],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &[],
        applies: Condition::Present(settings(&["registry"])),
        broken: Condition::NamesImages,
        fixes: &[Fix {
            when: Condition::Always,
            steps: &[Step::Relocate],
            evidence: &[settings(&["registry"])],
        }],
        unfixed: &[],
    }],
};

static IMAGE_TAG: Rule = Rule {
    id: "image-tag",
    title: "images have a tag other than latest",
    rationale: "Nobody can say what runs under `latest`, and nobody can go back to it.",
    references: &[
        at(Source::Checkov, "CKV_K8S_14"),
        at(Source::KubeLinter, "latest-tag"),
        at(Source::KubeScore, "container-image-tag"),
    ],
    safety: Safety::Report,
    severity: Severity::Medium,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Present(IMAGE),
        broken: Condition::All(&[
            Condition::Not(&PINNED),
            Condition::Any(&[
                Condition::Contains(IMAGE, ":latest"),
                Condition::Not(&Condition::Contains(IMAGE, ":")),
            ]),
        ]),
        fixes: &[],
        unfixed: &[
            because(
                Condition::Contains(IMAGE, ":latest"),
                "the chart asks for the tag latest; name a version",
            ),
            always("the chart names no tag; name a version"),
        ],
    }],
};

const POLICY: Path = container(&["imagePullPolicy"]);
const WANTED: Path = settings(&["pullPolicy"]);
const ALWAYS: Literal = Literal::Text("Always");
const IF_NOT_PRESENT: Literal = Literal::Text("IfNotPresent");

static PULL_POLICY: Rule = Rule {
    id: "pull-policy",
    title: "images are pulled as the target wants it",
    rationale: "With Always the registry is asked at each start whether the pod may have the image, so that a node's \
                cache gives nothing to pods without the pull secret; it also must be reachable at each start. With IfNotPresent \
                the node's copy does, which is enough for images named by digest. Which of the two is right is a matter of the target: pullPolicy there, \
                or in global.hardening.",
    references: &[
        at(Source::Kubescape, "C-0075"),
        at(Source::Checkov, "CKV_K8S_15"),
        at(Source::KubeScore, "container-image-pull-policy"),
        at(Source::BsiSys16, "A6"),
    ],
    safety: Safety::NeedsTarget,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[Need::Target],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::All(&[
            Condition::Present(IMAGE),
            Condition::Any(&[
                Condition::Is(WANTED, ALWAYS),
                Condition::Is(WANTED, IF_NOT_PRESENT),
            ]),
        ]),
        broken: Condition::Not(&Condition::Any(&[
            Condition::All(&[Condition::Is(WANTED, ALWAYS), Condition::Is(POLICY, ALWAYS)]),
            Condition::All(&[
                Condition::Is(WANTED, IF_NOT_PRESENT),
                Condition::Is(POLICY, IF_NOT_PRESENT),
            ]),
        ])),
        fixes: &[Fix {
            when: Condition::Always,
            steps: &[Step::Set(POLICY, Expression::Of(WANTED))],
            evidence: &[WANTED],
        }],
        unfixed: &[],
    }],
};
