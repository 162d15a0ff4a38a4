//! The search through a chart's own parameters, and defaults that users can overrule.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quench_chart::Chart;
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Request};
use quench_chart::rewrite::restore;
use quench_model::{FindingState, Level, ParameterPolicy, Waiver};
use quench_rules::hardening::Parameters;
use serde_json::json;

use crate::programs::{Case, block_on, helms, render};

const VALUES: &str = "\
# Who may connect
networkPolicy:
  # -- Whether there is a policy
  enabled: false # off by default
  allowExternal: true

serviceAccount:
  create: false
  automountServiceAccountToken: true

# Shows internals
debug: true
auth:
  enabled: false
tls:
  enabled: false
hostNetwork: true
adminPassword: admin
tests:
  enabled: true
first:
  diagnosticMode:
    enabled: true
";

const POLICY: &str = "\
{{- if .Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: {{ .Release.Name }}-{{ .Chart.Name }}}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - ports: [{port: 80}]
    {{- if not .Values.networkPolicy.allowExternal }}
    from: [{podSelector: {}}]
    {{- end }}
{{- end }}
";

const WORKLOAD: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata:
      labels: {app: a}
      annotations:
        checksum/policy: {{ include (print $.Template.BasePath \"/policy.yaml\") . | sha256sum }}
    spec:
      serviceAccountName: {{ ternary .Release.Name \"default\" .Values.serviceAccount.create }}
      automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
      hostNetwork: {{ .Values.hostNetwork }}
      containers:
      - name: app
        image: example.org/app:1
        env:
        - {name: DEBUG, value: {{ .Values.debug | quote }}}
        - {name: ADMIN, value: {{ .Values.adminPassword | quote }}}
        {{- if .Values.auth.enabled }}
        - {name: KEY, value: {{ randAlphaNum 20 | quote }}}
        {{- end }}
        {{- if .Values.tls.enabled }}
        - {name: TLS, value: {{ required \"tls.secret is needed\" .Values.tls.secret }}}
        {{- end }}
";

const ACCOUNT: &str = "\
{{- if .Values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
{{- end }}
";

const TEST: &str = "\
{{- if .Values.tests.enabled }}
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec:
  automountServiceAccountToken: false
  containers: [{name: test, image: example.org/app:1}]
{{- end }}
";

const NOTES: &str = "Policy: {{ eq .Values.networkPolicy.enabled true }}\n";

const SUBCHART: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Chart.Name }}}
data:
  mode: {{ if .Values.diagnosticMode.enabled }}sleep{{ else }}run{{ end }}
  debug: {{ .Values.image.debug | quote }}
";

/// A chart with everything, whose subchart goes by two names.
fn sample() -> Chart {
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: sample\nversion: 1.0.0\ndependencies:\n- {name: part, version: 1.0.0, alias: first}\n\
             - {name: part, version: 1.0.0, alias: second, condition: second.enabled}\n",
        ),
        ("values.yaml", VALUES),
        ("templates/policy.yaml", POLICY),
        ("templates/deployment.yaml", WORKLOAD),
        ("templates/account.yaml", ACCOUNT),
        ("templates/tests/test.yaml", TEST),
        ("templates/NOTES.txt", NOTES),
        (
            "charts/part/Chart.yaml",
            "apiVersion: v2\nname: part\nversion: 1.0.0\n",
        ),
        (
            "charts/part/values.yaml",
            "enabled: true\ndiagnosticMode:\n  enabled: false\nimage: {debug: true}\n",
        ),
        ("charts/part/templates/config.yaml", SUBCHART),
    ];
    made(&files)
}

fn made(files: &[(&str, &str)]) -> Chart {
    let files: BTreeMap<String, Bytes> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Bytes::from(text.as_bytes().to_vec())))
        .collect();
    Chart::from_files(files).unwrap()
}

fn kept(parameters: &Parameters) -> Vec<&str> {
    parameters
        .kept
        .iter()
        .map(|kept| kept.path.as_str())
        .collect()
}

fn reason<'p>(parameters: &'p Parameters, path: &str) -> &'p str {
    &parameters
        .recommended
        .iter()
        .find(|recommended| recommended.path == path)
        .unwrap_or_else(|| panic!("{path} is not recommended: {parameters:?}"))
        .reason
}

#[test]
fn what_does_no_harm_is_kept_and_the_rest_is_told_with_its_reason() {
    for helm in helms() {
        let hardened = Case::default().harden(&helm, &sample(), "").unwrap();
        let parameters = hardened.report.parameters.clone().unwrap();
        assert_eq!(
            kept(&parameters),
            [
                "debug",
                "first.diagnosticMode.enabled",
                "networkPolicy.enabled",
                "serviceAccount.automountServiceAccountToken",
                "serviceAccount.create",
                "tests.enabled",
            ],
            "{parameters:?}"
        );
        for kept in &parameters.kept {
            let (before, after) = kept.findings.unwrap();
            assert!(after < before, "{kept:?}");
        }
        for (path, words) in [
            ("auth.enabled", "at each render"),
            ("tls.enabled", "tls.secret is needed"),
            ("hostNetwork", "looks at the node"),
            ("adminPassword", "only you can name the Secret"),
            ("first.image.debug", "one line"),
        ] {
            assert!(
                reason(&parameters, path).contains(words),
                "{path}: {}",
                reason(&parameters, path)
            );
        }
        let text = serde_json::to_string(&hardened.report).unwrap();
        assert!(!text.contains("\"admin\""), "the password is in the report");

        let values = hardened.chart.text("values.yaml").unwrap();
        assert!(values.contains("#~ enabled: false # off by default"));
        assert!(values.contains("# -- Whether there is a policy"));
        let chosen = hardened.chart.text("values-hardened.yaml").unwrap();
        let chosen = quench_chart::yaml::values(chosen).unwrap();
        assert_eq!(chosen["networkPolicy"], json!({"enabled": true}));
        assert_eq!(chosen["first"]["diagnosticMode"]["enabled"], false);

        let state = |location: &str| {
            let found = hardened
                .findings
                .iter()
                .find(|finding| finding.subject.location.as_deref() == Some(location));
            found.unwrap_or_else(|| panic!("{location}")).state
        };
        assert_eq!(
            state("Parameter/networkPolicy.enabled"),
            FindingState::Resolved
        );
        assert_eq!(state("Parameter/adminPassword"), FindingState::Opened);
        let own = hardened.findings.iter().find(|finding| {
            finding.canonical_id == "own-service-account" && finding.state == FindingState::Resolved
        });
        assert!(own.is_some(), "{:?}", hardened.findings);
    }
}

/// Value sets that users give, and switches of hardening with which they go.
const GIVEN: &[&str] = &[
    "",
    "networkPolicy: {enabled: false}",
    "networkPolicy: {enabled: true}",
    "networkPolicy: {enabled: null}",
    "networkPolicy: {allowExternal: false}",
    "debug: false",
    "debug: true\nserviceAccount: {create: true}",
    "serviceAccount: {automountServiceAccountToken: true}",
    "first: {diagnosticMode: {enabled: true}}",
    "second: {diagnosticMode: {enabled: true}}",
    "second: {enabled: false}",
    "tests: {enabled: true}\nfirst: {diagnosticMode: {enabled: null}}",
    "global: null",
];

fn off(helm: &Helm, chart: &Chart, values: &str) -> quench_chart::render::Rendered {
    let request = Request {
        values: vec![values.to_owned()],
        set: vec!["global.hardening.enabled=false".to_owned()],
        ..Request::default()
    };
    block_on(helm.render(chart, &request)).unwrap_or_else(|error| panic!("{values}: {error}"))
}

#[test]
fn what_users_give_wins_and_switched_off_it_is_what_it_was() {
    let case = Case::default();
    for helm in helms() {
        let chart = sample();
        let hardened = case.harden(&helm, &chart, "").unwrap().chart;
        for given in GIVEN {
            case.assert_equal(&helm, &hardened, given);
            // `--set` cannot go below a null.
            if given.contains("global") {
                continue;
            }
            let before = off(&helm, &chart, given);
            let comparison = compare(&before, &off(&helm, &hardened, given), Options::default());
            assert!(comparison.is_same(), "{given}: {comparison}");
            // The rule alone can be switched off too.
            let without = "global: {hardening: {rules: {parameters: {enabled: false}}}}\n";
            case.assert_equal(&helm, &hardened, &format!("{given}\n{without}"));
        }
        let policies = |values: &str| {
            let rendered = render(&helm, &hardened, values).unwrap();
            rendered
                .objects()
                .filter(|object| object["kind"] == "NetworkPolicy")
                .filter(|object| object["metadata"]["name"] == "release-name-sample")
                .count()
        };
        assert_eq!(policies(""), 1);
        assert_eq!(policies("networkPolicy: {enabled: false}"), 0);
        assert_eq!(policies("networkPolicy: {enabled: null}"), 0);
        let waived = "global: {hardening: {waivers: [{rule: parameters, name: networkPolicy.*, reason: not here}]}}";
        assert_eq!(policies(waived), 0);
        case.assert_equal(&helm, &hardened, waived);
        assert_eq!(
            policies("global: {hardening: {rules: {parameters: {enabled: false}}}}"),
            0
        );
    }
}

#[test]
fn values_of_the_user_are_never_chosen_over() {
    let Some(helm) = helms().into_iter().next() else {
        return;
    };
    let given = "debug: true\nnetworkPolicy: {enabled: true}\n";
    let hardened = Case::default().harden(&helm, &sample(), given).unwrap();
    let parameters = hardened.report.parameters.unwrap();
    assert!(reason(&parameters, "debug").contains("your values"));
    assert!(!kept(&parameters).contains(&"networkPolicy.enabled"));
}

#[test]
fn later_levels_keep_what_was_chosen_and_hardening_twice_is_hardening_once() {
    let Some(helm) = helms().into_iter().next() else {
        return;
    };
    let chart = sample();
    let configured = Case {
        level: Level::Configured,
        ..Case::default()
    };
    let once = configured.harden(&helm, &chart, "").unwrap();
    let twice = configured.harden(&helm, &once.chart, "").unwrap();
    assert_eq!(once.chart.files(), twice.chart.files());
    let operable = Case::default().harden(&helm, &once.chart, "").unwrap();
    assert_eq!(
        kept(operable.report.parameters.as_ref().unwrap()),
        kept(once.report.parameters.as_ref().unwrap())
    );
    assert_eq!(
        operable.chart.file("values.yaml"),
        once.chart.file("values.yaml")
    );
    Case::default().assert_equal(&helm, &operable.chart, "debug: true");
    let restored = restore(&operable.chart).unwrap();
    for (path, content) in chart.files() {
        assert_eq!(restored.file(path), Some(content), "{path}");
    }
}

#[test]
fn defaults_hold_in_a_subchart_of_another_chart() {
    for helm in helms() {
        let hardened = Case::default().harden(&helm, &sample(), "").unwrap().chart;
        let mut files: BTreeMap<String, Bytes> = BTreeMap::from([
            (
                "Chart.yaml".to_owned(),
                Bytes::from_static(
                    b"apiVersion: v2\nname: over\nversion: 1.0.0\ndependencies:\n- {name: sample, version: 1.0.0, alias: under}\n",
                ),
            ),
            (
                "values.yaml".to_owned(),
                Bytes::from_static(b"under: {debug: true}\n"),
            ),
        ]);
        for (path, content) in hardened.files() {
            files.insert(format!("charts/sample/{path}"), content.clone());
        }
        let over = Chart::from_files(files).unwrap();
        let rendered = render(&helm, &over, "").unwrap();
        let kinds: Vec<&str> = rendered
            .objects()
            .filter_map(|object| object["kind"].as_str())
            .collect();
        assert!(kinds.contains(&"NetworkPolicy"), "{kinds:?}");
        let deployment = rendered
            .objects()
            .find(|object| object["kind"] == "Deployment")
            .unwrap();
        let debug = &deployment["spec"]["template"]["spec"]["containers"][0]["env"][0];
        assert_eq!(debug["value"], "true");
        let part = rendered
            .objects()
            .find(|object| object["metadata"]["name"] == "first")
            .unwrap();
        assert_eq!(part["data"]["mode"], "run");
    }
}

#[test]
fn the_policy_decides_whether_parameters_are_looked_at() {
    let Some(helm) = helms().into_iter().next() else {
        return;
    };
    let mut case = Case::default();
    case.policy.parameters = ParameterPolicy::Recommend;
    let hardened = case.harden(&helm, &sample(), "").unwrap();
    let parameters = hardened.report.parameters.unwrap();
    assert!(parameters.kept.is_empty());
    assert!(reason(&parameters, "networkPolicy.enabled").contains("policy"));
    assert_eq!(
        hardened.chart.text("values.yaml"),
        Some(VALUES),
        "nothing was chosen, so nothing changes"
    );
    case.policy.parameters = ParameterPolicy::Off;
    let hardened = case.harden(&helm, &sample(), "").unwrap();
    assert_eq!(hardened.report.parameters.unwrap(), Parameters::default());

    case.policy.parameters = ParameterPolicy::Apply;
    case.policy.waivers = vec![Waiver {
        rule: "parameters".to_owned(),
        kind: None,
        name: Some("networkPolicy.enabled".to_owned()),
        container: None,
        reason: "the mesh does it".to_owned(),
        expires: None,
    }];
    let hardened = case.harden(&helm, &sample(), "").unwrap();
    let parameters = hardened.report.parameters.unwrap();
    assert!(!kept(&parameters).contains(&"networkPolicy.enabled"));
    assert!(kept(&parameters).contains(&"debug"));
}

/// Parts of a chart that some parameter takes away, or spoils.
const PARTS: &[(&str, &str)] = &[
    // Takes a Service away.
    (
        "debug",
        "{{- if .Values.debug }}\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}]}\n{{- end }}\n",
    ),
    // Takes a workload away.
    (
        "diagnosticMode.enabled",
        "{{- if .Values.diagnosticMode.enabled }}\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}\n{{- end }}\n",
    ),
    // Brings an image along.
    (
        "auth.enabled",
        "{{- if not .Values.auth.enabled }}\n{{- else }}\napiVersion: v1\nkind: Pod\nmetadata: {name: q}\nspec: {containers: [{name: c, image: other}]}\n{{- end }}\n",
    ),
    // Breaks a rule.
    (
        "tls.enabled",
        "apiVersion: v1\nkind: Service\nmetadata: {name: t}\nspec: {type: {{ ternary \"NodePort\" \"ClusterIP\" .Values.tls.enabled }}, ports: [{port: 1}]}\n",
    ),
    // Cuts everybody off.
    (
        "networkPolicy.enabled",
        "{{- if .Values.networkPolicy.enabled }}\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n{{- end }}\n",
    ),
    // Changes what an operator makes of it.
    (
        "automountServiceAccountToken",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\nspec: {token: {{ .Values.automountServiceAccountToken }}}\n",
    ),
    // Takes the token of an account that a binding gives permissions.
    (
        "serviceAccount.automount",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nautomountServiceAccountToken: {{ .Values.serviceAccount.automount }}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b}\nroleRef: {kind: Role, name: r}\nsubjects: [{kind: ServiceAccount, name: a}]\n",
    ),
    // Does no harm.
    (
        "profiling.enabled",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {profiling: {{ .Values.profiling.enabled | quote }}}\n",
    ),
];

#[test]
fn a_token_is_given_up_where_nothing_of_the_whole_tree_binds_its_account() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  automountServiceAccountToken: {{{{ .Values.automountServiceAccountToken }}}}\n  containers: [{{name: a, image: app}}]\n"
        )
    };
    let binding = |account: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: b}}\nroleRef: {{kind: Role, name: r}}\nsubjects: [{{kind: ServiceAccount, name: {account}}}]\n"
        )
    };
    for helm in helms() {
        for (account, is_kept) in [("its-own", true), ("default", false)] {
            let chart = made(&[
                ("Chart.yaml", "apiVersion: v2\nname: made\nversion: 1.0.0\n"),
                ("values.yaml", "automountServiceAccountToken: true\n"),
                ("templates/pod.yaml", &pod("web")),
                (
                    "charts/sub/Chart.yaml",
                    "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
                ),
                ("charts/sub/templates/binding.yaml", &binding(account)),
            ]);
            let hardened = Case::default().harden(&helm, &chart, "").unwrap();
            let parameters = hardened.report.parameters.unwrap();
            let expected: &[&str] = if is_kept {
                &["automountServiceAccountToken"]
            } else {
                &[]
            };
            assert_eq!(kept(&parameters), expected, "{account}");
        }
    }
}

#[test]
fn the_account_that_every_namespace_has_is_not_made() {
    let account = "{{ if .Values.serviceAccount.create }}\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Values.serviceAccount.name | default .Values.fallback }}}\n{{ end }}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  {{ if .Values.serviceAccount.create }}serviceAccountName: {{ .Values.fallback }}{{ end }}\n  containers: [{name: a, image: app}]\n";
    for helm in helms() {
        for (fallback, expected) in [("own", &["serviceAccount.create"][..]), ("default", &[])] {
            let values = format!("serviceAccount:\n  create: false\nfallback: {fallback}\n");
            let chart = made(&[
                ("Chart.yaml", "apiVersion: v2\nname: made\nversion: 1.0.0\n"),
                ("values.yaml", &values),
                ("templates/account.yaml", account),
                ("templates/pod.yaml", pod),
            ]);
            let hardened = Case::default().harden(&helm, &chart, "").unwrap();
            let parameters = hardened.report.parameters.unwrap();
            assert_eq!(kept(&parameters), expected, "{fallback}: {parameters:?}");
        }
    }
}

#[test]
fn nothing_is_kept_that_harms() {
    let Some(helm) = helms().into_iter().next() else {
        return;
    };
    let case = Case {
        level: Level::Configured,
        ..Case::default()
    };
    let mut runner = TestRunner::new(Config {
        cases: 10,
        failure_persistence: None,
        ..Config::default()
    });
    let parts = proptest::sample::subsequence((0..PARTS.len()).collect::<Vec<_>>(), 1..=4);
    runner
        .run(&parts, |parts| {
            let mut files = vec![(
                "Chart.yaml".to_owned(),
                "apiVersion: v2\nname: made\nversion: 1.0.0\n".to_owned(),
            )];
            let mut values = String::new();
            for part in &parts {
                let (path, template) = PARTS[*part];
                let unsafe_value = !matches!(
                    path,
                    "auth.enabled" | "tls.enabled" | "networkPolicy.enabled"
                );
                match path.split_once('.') {
                    Some((map, key)) => {
                        values.push_str(&format!("{map}:\n  {key}: {unsafe_value}\n"))
                    }
                    None => values.push_str(&format!("{path}: {unsafe_value}\n")),
                }
                files.push((format!("templates/{part}.yaml"), template.to_owned()));
            }
            files.push((
                "templates/always.yaml".to_owned(),
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: always}\n".to_owned(),
            ));
            files.push(("values.yaml".to_owned(), values));
            let files: Vec<(&str, &str)> = files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            let chart = made(&files);
            let before = render(&helm, &chart, "").unwrap();
            let hardened = case.harden(&helm, &chart, "").unwrap();
            let parameters = hardened.report.parameters.unwrap();
            let expected: Vec<&str> = parts
                .iter()
                .map(|part| PARTS[*part].0)
                .filter(|path| *path == "profiling.enabled")
                .collect();
            prop_assert_eq!(kept(&parameters), expected);
            prop_assert_eq!(
                parameters.recommended.len() + parameters.kept.len(),
                parts.len()
            );
            let after = render(&helm, &hardened.chart, "").unwrap();
            for object in before.objects() {
                let there = after.objects().any(|other| {
                    other["kind"] == object["kind"]
                        && other["metadata"]["name"] == object["metadata"]["name"]
                });
                prop_assert!(there, "{} is gone", object["kind"]);
            }
            prop_assert!(hardened.report.after.findings <= hardened.report.before.findings);
            Ok(())
        })
        .unwrap();
}

/// Charts whose parameters are known well enough to say something about each.
const REAL: &[&str] = &[
    "redis",
    "postgresql",
    "nginx",
    "kube-prometheus-stack",
    "prometheus-node-exporter",
];

/// Real charts: the search ends, what users give wins, and switched off nothing is different.
#[test]
fn corpus_parameters_are_searched() {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return;
    };
    let case = Case {
        level: Level::Configured,
        ..Case::default()
    };
    let mut seen = 0;
    for name in REAL {
        let path = std::path::Path::new(&folder).join(name);
        if !path.is_dir() {
            eprintln!("SKIPPED: no {name} in the folder of charts");
            continue;
        }
        let chart = Chart::load(&path).unwrap();
        for helm in helms() {
            let start = std::time::Instant::now();
            let hardened = case.harden(&helm, &chart, "").unwrap();
            let took = start.elapsed();
            let parameters = hardened.report.parameters.clone().unwrap();
            println!(
                "{name}: {} renders, {took:?}, coverage {:?}",
                parameters.renders, hardened.report.values
            );
            for kept in &parameters.kept {
                println!("  kept {} {:?}", kept.path, kept.findings);
            }
            for other in &parameters.recommended {
                println!("  not  {}: {}", other.path, other.reason);
            }
            // Every value that was chosen, given back as it was.
            let mut given = serde_json::Map::new();
            for kept in &parameters.kept {
                let mut value = kept.before.clone();
                for key in kept.path.rsplit('.') {
                    value =
                        serde_json::Value::Object([(key.to_owned(), value)].into_iter().collect());
                }
                quench_chart::yaml::merge(&mut given, value.as_object().unwrap().clone());
            }
            let given = quench_chart::yaml::to_string(&given.into());
            case.assert_equal(&helm, &hardened.chart, &given);
            let (plain, again) = (
                render(&helm, &chart, &given).unwrap(),
                render(&helm, &chart, &given).unwrap(),
            );
            let options = Options {
                ignore_checksums: false,
                again: std::slice::from_ref(&again),
            };
            let comparison = compare(&plain, &off(&helm, &hardened.chart, &given), options);
            assert!(comparison.is_same(), "{name}: {comparison}");
            let comparison = compare(
                &render(&helm, &chart, "").unwrap(),
                &off(&helm, &hardened.chart, ""),
                options,
            );
            assert!(comparison.is_same(), "{name}: {comparison}");
            seen += 1;
        }
    }
    println!("{seen} searches");
}
