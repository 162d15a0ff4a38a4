//! The rules, one file per family.
//!
//! To add a rule, add a constant to the family it belongs to and list it in that family's `RULES`. Everything else follows
//! from the declaration. A check that only reports has no fixes, and costs the chart nothing.

mod accounts;
mod charts;
mod filesystem;
mod images;
mod isolation;
mod kernel;
mod networking;
mod operation;
mod privileges;
mod role_based_access;
mod secrets;
mod users;

use std::sync::LazyLock;

use quench_model::{Digest, Level};

use crate::rule::{
    Condition, Literal, Path, Reason, Reference, Rule, Source, container, image, item, pod,
};
use crate::template::definitions;
use crate::{Evidence, Settings};

const FAMILIES: [&[&Rule]; 12] = [
    kernel::RULES,
    users::RULES,
    privileges::RULES,
    filesystem::RULES,
    images::RULES,
    isolation::RULES,
    accounts::RULES,
    role_based_access::RULES,
    secrets::RULES,
    networking::RULES,
    operation::RULES,
    charts::RULES,
];

/// Every rule, in the order in which they are applied.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.into_iter().flatten().copied()
}

/// The rule of that id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}

/// Twelve hexadecimal digits that change whenever a rule, or the template code around rules, does. Part of every
/// idempotency key of an engine that applies rules: what another catalogue made is not taken for this one's work.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let declared: Vec<String> = rules().map(|rule| format!("{rule:?}")).collect();
        let compiled = definitions(Level::Minimized, &Evidence::default(), &Settings::default());
        let parameters: Vec<String> = crate::parameters::parameters()
            .map(|parameter| format!("{parameter:?}"))
            .collect();
        let digest = Digest::of(
            format!("{}{}{compiled}", declared.join("\n"), parameters.join("\n")).as_bytes(),
        );
        digest.short()
    });
    &VERSION
}

const fn at(source: Source, id: &'static str) -> Reference {
    Reference { source, id }
}

const fn because(when: Condition, text: &'static str) -> Reason {
    Reason { when, text }
}

const fn always(text: &'static str) -> Reason {
    because(Condition::Always, text)
}

const TRUE: Literal = Literal::Bool(true);
const FALSE: Literal = Literal::Bool(false);

const LINUX: Condition = Condition::Linux;

const PRIVILEGED: Condition = Condition::Is(container(&["securityContext", "privileged"]), TRUE);

/// User the chart asks for, at the container or at the pod.
const DECLARED_USER: Path = container(&["securityContext", "runAsUser"]).or(&POD_USER);
const POD_USER: Path = pod(&["securityContext", "runAsUser"]);

/// User the container runs as: what the chart asks for, else the image's.
const USER: Path = container(&["securityContext", "runAsUser"]).or(&POD_OR_IMAGE_USER);
const POD_OR_IMAGE_USER: Path = pod(&["securityContext", "runAsUser"]).or(&IMAGE_USER);
const IMAGE_USER: Path = image(&["uid"]);

/// Something is known about the image.
const IMAGE_KNOWN: Condition = Condition::Present(image(&["source"]));

/// Facts a user states stand for more than they say: nothing unusual.
const STATED: Condition = Condition::Is(image(&["source"]), Literal::Text("file"));

const COMMAND: Path = container(&["command"]);

/// What runs is what the image starts, or a shell: not another program of the image, about which nothing is known.
const RUNS_ENTRYPOINT: Condition = Condition::Any(&[
    STATED,
    Condition::AnyItem(
        COMMAND,
        &Condition::OneOf(
            item(&[]),
            &[
                "sh",
                "/bin/sh",
                "bash",
                "/bin/bash",
                "/usr/bin/bash",
                "ash",
                "/bin/ash",
            ],
        ),
    ),
    Condition::All(&[
        Condition::Not(&Condition::Present(COMMAND)),
        // Without an entrypoint, arguments name the program.
        Condition::Any(&[
            Condition::Not(&Condition::Present(container(&["args"]))),
            Condition::AnyItem(image(&["entrypoint"]), &Condition::Always),
        ]),
    ]),
]);

/// What runs needs no privileges of its file. An image that was looked at must say so; facts a user states say so
/// by not saying otherwise.
const PROGRAM_UNPRIVILEGED: Condition = Condition::Any(&[
    Condition::All(&[
        Condition::Is(image(&["entrypointPrivileged"]), FALSE),
        RUNS_ENTRYPOINT,
    ]),
    Condition::All(&[
        STATED,
        Condition::Not(&Condition::Present(image(&["entrypointPrivileged"]))),
    ]),
]);

const OTHER_PROGRAM_REASON: Reason = because(
    Condition::Not(&RUNS_ENTRYPOINT),
    "the chart starts another program than the image does, and whether that is setuid or carries file capabilities is not known",
);

const IMAGE_UNKNOWN_REASON: Reason = because(
    Condition::Not(&IMAGE_KNOWN),
    "nothing is known about the image; harden the chart together with its images, or state image facts for it",
);
