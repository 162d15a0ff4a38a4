//! What an image's configuration and files say against it, as far as that is cheap to see.

use quench_image::ImageConfig;
use quench_inventory::{Evaluation, Inventory};
use quench_model::{Cause, Evidence, Finding, FindingKind, Severity, Subject};

/// Findings about the image itself.
pub(crate) fn findings(
    config: &ImageConfig,
    inventory: &Inventory,
    evaluation: &Evaluation<'_>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let open = |kind, id: &str, location: Option<String>, severity, title: String| {
        let subject = Subject {
            package: evaluation.package.clone(),
            image: Some(evaluation.image.to_owned()),
            purl: None,
            location,
        };
        let mut finding = Finding::opened(kind, id, subject, severity, evaluation.level, title);
        finding.cause = Some(Cause {
            kind: evaluation.cause,
            detail: String::new(),
            epoch: None,
        });
        finding
    };
    for name in secret_variables(&config.run.env) {
        let mut finding = open(
            FindingKind::Secret,
            "secret-in-environment",
            Some(format!("env/{name}")),
            Severity::High,
            format!("image {} carries a value for {name}", evaluation.image),
        );
        finding.message =
            "whoever can pull the image can read it; give it at run time from a Secret".to_owned();
        finding
            .evidence
            .push(Evidence::new("config.Env", format!("{name} has a value")));
        found.push(finding);
    }
    let user = config.run.user.split(':').next().unwrap_or_default();
    if matches!(user, "" | "0" | "root") {
        let mut finding = open(
            FindingKind::Configuration,
            "image-user-root",
            None,
            Severity::Low,
            format!(
                "image {} runs as root unless told otherwise",
                evaluation.image
            ),
        );
        finding.message = "name a user other than root in the image".to_owned();
        finding.evidence.push(Evidence::new(
            "config.User",
            format!("{:?}", config.run.user),
        ));
        found.push(finding);
    }
    if !inventory.privileged_files.is_empty() {
        let mut finding = open(
            FindingKind::Configuration,
            "image-privileged-files",
            None,
            Severity::Low,
            format!(
                "image {} holds {} files with setuid, setgid or capabilities",
                evaluation.image,
                inventory.privileged_files.len()
            ),
        );
        finding.message =
            "they give whoever runs them rights beyond their own; remove those not needed"
                .to_owned();
        finding.evidence = inventory
            .privileged_files
            .iter()
            .map(|file| Evidence::new(&file.path, &file.rights))
            .collect();
        found.push(finding);
    }
    found
}

/// Names of variables whose name says that their value is a secret, and whose value could be one.
fn secret_variables(env: &[String]) -> Vec<&str> {
    const ENDINGS: [&str; 9] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "SECRET_KEY",
        "TOKEN",
        "API_KEY",
        "PRIVATE_KEY",
        "ACCESS_KEY",
    ];
    let mut names: Vec<&str> = env
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(name, value)| {
            let name = name.to_ascii_uppercase();
            ENDINGS.iter().any(|ending| {
                name.strip_suffix(ending)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with(['_', '-', '.']))
            }) && could_be_secret(value)
        })
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Switches (`ALLOW_EMPTY_PASSWORD=no`), paths and references are no secrets.
fn could_be_secret(value: &str) -> bool {
    let switch = [
        "true", "false", "yes", "no", "on", "off", "0", "1", "none", "null",
    ]
    .iter()
    .any(|word| value.eq_ignore_ascii_case(word));
    !value.is_empty() && !switch && !value.starts_with(['/', '$'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_hold_secrets_are_told_from_those_that_speak_of_them() {
        let env = [
            "PATH=/bin",
            "POSTGRES_PASSWORD=hunter2",
            "POSTGRES_PASSWORD_FILE=/run/secrets/p",
            "ALLOW_EMPTY_PASSWORD=no",
            "ADMIN_PASSWORD=",
            "AWS_SECRET_ACCESS_KEY=abc",
            "GITHUB_TOKEN=$TOKEN",
            "token=x",
            "MONKEY=banana",
            "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568",
        ]
        .map(str::to_owned);
        assert_eq!(
            secret_variables(&env),
            ["AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "token"]
        );
    }
}
