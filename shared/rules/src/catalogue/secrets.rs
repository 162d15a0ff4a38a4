//! Where credentials stand.

use quench_model::{Level, Severity};

use super::{always, at};
use crate::rule::{Check, Condition, Path, Rule, Safety, Scope, Source, container, item, object};

pub(super) const RULES: &[&Rule] = &[
    &SECRETS_AS_FILES,
    &NO_LITERAL_CREDENTIALS,
    &NO_DEFAULT_PASSWORD,
];

static SECRETS_AS_FILES: Rule = Rule {
    id: "secrets-as-files",
    title: "secrets reach containers as files",
    rationale: "The environment of a process is inherited, logged and shown by debuggers; a file is not.",
    references: &[
        at(Source::Nsa, "secrets"),
        at(Source::Cis, "5.4.1"),
        at(Source::Kubescape, "C-0207"),
        at(Source::Checkov, "CKV_K8S_35"),
        at(Source::KubeLinter, "env-var-secret"),
        at(Source::BsiSys16, "A8"),
    ],
    safety: Safety::Report,
    severity: Severity::Low,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::AnyItem(
                container(&["env"]),
                &Condition::Present(item(&["valueFrom", "secretKeyRef"])),
            ),
            Condition::AnyItem(
                container(&["envFrom"]),
                &Condition::Present(item(&["secretRef"])),
            ),
        ]),
        fixes: &[],
        unfixed: &[always(
            "the program reads secrets from its environment; mount them where it can read files",
        )],
    }],
};

const NAME: Path = item(&["name"]);

static NO_LITERAL_CREDENTIALS: Rule = Rule {
    id: "no-literal-credentials",
    title: "no passwords stand in manifests",
    rationale: "Who reads the manifest, its history or the release's Secret reads the password.",
    references: &[at(Source::Kubescape, "C-0012"), at(Source::BsiSys16, "A8")],
    safety: Safety::Report,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Container,
        kinds: &[],
        applies: Condition::Always,
        broken: Condition::AnyItem(
            container(&["env"]),
            &Condition::All(&[
                // An empty text is a password that is not set.
                Condition::StartsWith(item(&["value"]), ""),
                Condition::Not(&Condition::Is(
                    item(&["value"]),
                    crate::rule::Literal::Text(""),
                )),
                // `…_FILE` names where it lies.
                Condition::Not(&Condition::Contains(NAME, "_FILE")),
                Condition::Not(&Condition::Contains(NAME, "ALLOW_EMPTY")),
                Condition::Not(&Condition::StartsWith(item(&["value"]), "/")),
                Condition::Not(&Condition::StartsWith(item(&["value"]), "$(")),
                Condition::Any(&[
                    Condition::Contains(NAME, "PASSWORD"),
                    Condition::Contains(NAME, "SECRET_KEY"),
                    Condition::Contains(NAME, "API_KEY"),
                    Condition::Contains(NAME, "ACCESS_TOKEN"),
                ]),
            ]),
        ),
        fixes: &[],
        unfixed: &[always(
            "the chart writes a credential into the environment; take it from a Secret",
        )],
    }],
};

/// Passwords that charts and programs are known to come with.
const WELL_KNOWN: &[&str] = &[
    "admin",
    "administrator",
    "password",
    "passwd",
    "pass",
    "changeme",
    "change-me",
    "changeit",
    "secret",
    "default",
    "root",
    "toor",
    "test",
    "test123",
    "123456",
    "12345678",
    "123456789",
    "qwerty",
    "postgres",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "redis",
    "rabbitmq",
    "grafana",
    "prom-operator",
    "minio",
    "minioadmin",
    "minio123",
    "elastic",
    "kibana",
    "guest",
    "bitnami",
    "user",
    "username",
    "demo",
    "example",
    "sample",
    "p@ssw0rd",
    "passw0rd",
    "letmein",
    "welcome",
    "kafka",
    "cassandra",
    "neo4j",
    "keycloak",
    "harbor12345",
    "Harbor12345",
    "superset",
    "airflow",
    "jenkins",
    "nexus",
    "admin123",
    "password1",
    "password123",
    "changethis",
];

/// The same in the encoding of a Secret's `data`.
const WELL_KNOWN_ENCODED: &[&str] = &[
    "YWRtaW4=",
    "YWRtaW5pc3RyYXRvcg==",
    "cGFzc3dvcmQ=",
    "cGFzc3dk",
    "cGFzcw==",
    "Y2hhbmdlbWU=",
    "Y2hhbmdlLW1l",
    "Y2hhbmdlaXQ=",
    "c2VjcmV0",
    "ZGVmYXVsdA==",
    "cm9vdA==",
    "dG9vcg==",
    "dGVzdA==",
    "dGVzdDEyMw==",
    "MTIzNDU2",
    "MTIzNDU2Nzg=",
    "MTIzNDU2Nzg5",
    "cXdlcnR5",
    "cG9zdGdyZXM=",
    "bXlzcWw=",
    "bWFyaWFkYg==",
    "bW9uZ28=",
    "bW9uZ29kYg==",
    "cmVkaXM=",
    "cmFiYml0bXE=",
    "Z3JhZmFuYQ==",
    "cHJvbS1vcGVyYXRvcg==",
    "bWluaW8=",
    "bWluaW9hZG1pbg==",
    "bWluaW8xMjM=",
    "ZWxhc3RpYw==",
    "a2liYW5h",
    "Z3Vlc3Q=",
    "Yml0bmFtaQ==",
    "dXNlcg==",
    "dXNlcm5hbWU=",
    "ZGVtbw==",
    "ZXhhbXBsZQ==",
    "c2FtcGxl",
    "cEBzc3cwcmQ=",
    "cGFzc3cwcmQ=",
    "bGV0bWVpbg==",
    "d2VsY29tZQ==",
    "a2Fma2E=",
    "Y2Fzc2FuZHJh",
    "bmVvNGo=",
    "a2V5Y2xvYWs=",
    "aGFyYm9yMTIzNDU=",
    "SGFyYm9yMTIzNDU=",
    "c3VwZXJzZXQ=",
    "YWlyZmxvdw==",
    "amVua2lucw==",
    "bmV4dXM=",
    "YWRtaW4xMjM=",
    "cGFzc3dvcmQx",
    "cGFzc3dvcmQxMjM=",
    "Y2hhbmdldGhpcw==",
];

static NO_DEFAULT_PASSWORD: Rule = Rule {
    id: "no-default-password",
    title: "no password is one that everybody knows",
    rationale: "A password that stands in a chart's values is the same wherever nobody changed it, and the first that is tried. \
                Secrets are looked at for passwords that programs and charts are known to come with. Which secret holds the \
                right one only the user knows: most charts take its name in a value such as existingSecret.",
    references: &[at(Source::Kubescape, "C-0012"), at(Source::BsiSys16, "A8")],
    safety: Safety::NeedsTarget,
    severity: Severity::High,
    level: Level::Configured,
    needs: &[],
    checks: &[Check {
        scope: Scope::Object,
        kinds: &["Secret"],
        applies: Condition::Always,
        broken: Condition::Any(&[
            Condition::AnyValue(object(&["stringData"]), "pass", WELL_KNOWN),
            Condition::AnyValue(object(&["data"]), "pass", WELL_KNOWN_ENCODED),
        ]),
        fixes: &[],
        unfixed: &[always(
            "it holds a password that everybody knows; name a secret of your own in the values, as existingSecret in most charts",
        )],
    }],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Base64 (RFC 4648), as the API server reads `data`.
    fn encoded(text: &str) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in text.as_bytes().chunks(3) {
            let bits = chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| {
                bits | u32::from(*byte) << (16 - 8 * at)
            });
            for at in 0..4 {
                if at <= chunk.len() {
                    let digit = bits >> (18 - 6 * at) & 63;
                    out.push(char::from(DIGITS[usize::try_from(digit).unwrap()]));
                } else {
                    out.push('=');
                }
            }
        }
        out
    }

    #[test]
    fn both_lists_name_the_same_passwords() {
        assert_eq!(encoded("admin"), "YWRtaW4=");
        let all: Vec<String> = WELL_KNOWN.iter().map(|text| encoded(text)).collect();
        assert_eq!(all, WELL_KNOWN_ENCODED);
    }
}
