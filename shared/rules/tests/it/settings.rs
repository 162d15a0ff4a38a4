//! `global.hardening`, at render time.

use quench_model::{Policy, RuleSetting, Target, Waiver};
use serde_json::{Value, json};

use crate::programs::{Case, chart, helms, object, render};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web-1}
spec:
  containers:
  - {name: app, image: app}
  - {name: side, image: side}
"#;

fn read_only(pod: &Value) -> Vec<&Value> {
    pod["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["securityContext"]["readOnlyRootFilesystem"])
        .collect()
}

fn hardening(text: &str) -> String {
    format!("{{global: {{hardening: {text}}}}}")
}

#[test]
fn rules_and_waivers_are_obeyed() {
    let sample = chart("", &[("p.yaml", POD)]);
    let waiver = "rule: read-only-root, reason: it writes";
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let look = |settings: &str| {
            let values = hardening(settings);
            case.assert_equal(&helm, &hardened, &values);
            let rendered = render(&helm, &hardened, &values).unwrap();
            read_only(object(&rendered, "Pod"))
                .into_iter()
                .map(|value| value == &json!(true))
                .collect::<Vec<_>>()
        };
        assert_eq!(look("{}"), [true, true]);
        assert_eq!(look("null"), [true, true]);
        assert_eq!(look("text"), [true, true]);
        assert_eq!(look("{enabled: false}"), [false, false]);
        assert_eq!(
            look("{rules: {read-only-root: {enabled: false}}}"),
            [false, false]
        );
        assert_eq!(
            look("{rules: {read-only-root: {enabled: 'false'}}}"),
            [false, false]
        );
        assert_eq!(
            look("{rules: {read-only-root: null, other: 3}}"),
            [true, true]
        );
        for (scope, covered) in [
            ("", [false, false]),
            (", container: app", [false, true]),
            (", container: 's*'", [true, false]),
            (", kind: pod", [false, false]),
            (", kind: Deployment", [true, true]),
            (", name: 'web-*'", [false, false]),
            (", name: 'web.1'", [true, true]),
            (", name: web", [true, true]),
            (", expires: '2999-12-31'", [false, false]),
            (", expires: 2999-12-31", [false, false]),
        ] {
            let settings = format!("{{waivers: [{{{waiver}{scope}}}]}}");
            assert_eq!(look(&settings), covered, "{scope}");
        }
        // A waiver for a container says nothing about the pod around it.
        let values =
            hardening("{waivers: [{rule: seccomp-runtime-default, container: app, reason: x}]}");
        case.assert_equal(&helm, &hardened, &values);
    }
}

#[test]
fn waivers_without_reason_or_out_of_time_stop_the_render() {
    let sample = chart("", &[("p.yaml", POD)]);
    for helm in helms() {
        let hardened = Case::default().harden(&helm, &sample, "").unwrap().chart;
        for (waivers, message) in [
            ("[{rule: read-only-root}]", "gives no reason"),
            ("[{rule: read-only-root, reason: ' '}]", "gives no reason"),
            (
                "[{rule: read-only-root, reason: x, expires: '2020-01-31'}]",
                "expired on 2020-01-31",
            ),
            (
                "[{rule: read-only-root, reason: x, expires: soon}]",
                "is not a date",
            ),
            ("[text]", "must be a map"),
            ("{a: b}", "must be a list"),
        ] {
            let values = hardening(&format!("{{waivers: {waivers}}}"));
            let error = render(&helm, &hardened, &values).unwrap_err();
            assert!(error.contains(message), "{waivers}: {error}");
        }
    }
}

#[test]
fn policy_and_target_become_defaults_that_values_override() {
    let sample = chart("", &[("p.yaml", POD)]);
    let mut case = Case {
        policy: Policy {
            rules: [(
                "no-automount-token".to_owned(),
                RuleSetting {
                    enabled: false,
                    fix: false,
                },
            )]
            .into(),
            waivers: vec![Waiver {
                rule: "read-only-root".to_owned(),
                kind: Some("Pod".to_owned()),
                name: None,
                container: Some("app".to_owned()),
                reason: "it writes".to_owned(),
                expires: None,
            }],
            ..Policy::default()
        },
        target: Target {
            platform: Some("openshift".to_owned()),
            registry: Some("registry.internal/q".to_owned()),
            ..Target::default()
        },
        ..Case::default()
    };
    let digest = quench_model::Digest::of(b"x");
    case.evidence
        .add_digest(&"app".parse().unwrap(), &[], &digest);
    for helm in helms() {
        let hardened = case.harden(&helm, &sample, "").unwrap();
        let waived = &hardened.report.waived;
        assert_eq!(waived.len(), 1);
        assert_eq!(waived[0].reason, "it writes");
        let pod = |values: &str| {
            case.assert_equal(&helm, &hardened.chart, values);
            let rendered = render(&helm, &hardened.chart, values).unwrap();
            object(&rendered, "Pod")["spec"].clone()
        };
        let defaults = pod("");
        assert_eq!(defaults["automountServiceAccountToken"], Value::Null);
        assert_eq!(
            defaults["containers"][0]["securityContext"]["runAsNonRoot"],
            json!(true)
        );
        assert_eq!(
            defaults["containers"][0]["securityContext"]["runAsUser"],
            Value::Null
        );
        assert_eq!(
            defaults["containers"][0]["image"],
            json!(format!("registry.internal/q/library/app:latest@{digest}"))
        );
        let other = pod(&hardening(
            "{platform: kubernetes, registry: '', rules: {no-automount-token: {enabled: true}}}",
        ));
        assert_eq!(other["automountServiceAccountToken"], json!(false));
        assert_eq!(
            other["containers"][0]["securityContext"]["runAsUser"],
            json!(1001)
        );
        assert_eq!(
            other["containers"][0]["image"],
            json!(format!("docker.io/library/app:latest@{digest}"))
        );
    }
}

#[test]
fn a_waiver_that_ran_out_or_gives_no_reason_is_refused_when_hardening_too() {
    let sample = chart("", &[("p.yaml", POD)]);
    let waiver = |reason: &str, expires: Option<&str>| Waiver {
        rule: "read-only-root".to_owned(),
        kind: None,
        name: None,
        container: None,
        reason: reason.to_owned(),
        expires: expires.map(str::to_owned),
    };
    for helm in helms() {
        for (waiver, message) in [
            (waiver(" ", None), "gives no reason"),
            (waiver("x", Some("2020-01-31")), "expired on 2020-01-31"),
            (waiver("x", Some("soon")), "is not a date"),
        ] {
            let case = Case {
                policy: Policy {
                    waivers: vec![waiver],
                    ..Policy::default()
                },
                ..Case::default()
            };
            let error = case.harden(&helm, &sample, "").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let values =
            hardening("{waivers: [{rule: read-only-root, reason: x, expires: '2020-01-31'}]}");
        let error = Case::default().harden(&helm, &sample, &values).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }
}

#[test]
fn a_waived_place_is_told_of_as_suppressed_with_its_reason() {
    let sample = chart("", &[("p.yaml", POD)]);
    for helm in helms() {
        let values = hardening(
            "{waivers: [{rule: read-only-root, container: app, reason: it writes, expires: '2999-12-31'}]}",
        );
        let hardened = Case::default().harden(&helm, &sample, &values).unwrap();
        let found: Vec<_> = hardened
            .findings
            .iter()
            .filter(|finding| finding.canonical_id == "read-only-root")
            .map(|finding| (finding.state, finding.suppression.clone()))
            .collect();
        let suppressed: Vec<_> = found.iter().filter_map(|(_, s)| s.clone()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(suppressed.len(), 1, "{found:?}");
        assert_eq!(suppressed[0].reason, "it writes");
        assert_eq!(suppressed[0].expires.as_deref(), Some("2999-12-31"));
        let waived = &hardened.report.waived;
        assert_eq!(waived.len(), 1);
        assert_eq!(waived[0].container.as_deref(), Some("app"));
    }
}
