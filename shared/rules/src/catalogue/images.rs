//! Which image runs.

use quench_model::{Level, Severity};

use super::{always, at, because};
use crate::rule::{
    Check, Condition, Expression, Fix, Need, PIN, Path, Rule, Safety, Scope, Source, Step,
    container, settings,
};

pub(super) const RULES: &[&Rule] = &[
    &IMAGE_DIGEST,
    &IMAGE_REGISTRY,
    &IMAGE_REFERENCES,
    &IMAGE_TAG,
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
