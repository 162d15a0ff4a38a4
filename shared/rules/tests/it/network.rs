//! Network policies that rules add to a release.

use quench_model::{Egress, Policy, RuleSetting, Target, Waiver};
use quench_rules::hardening::HardenedChart;
use serde_json::{Value, json};

use crate::programs::{Case, chart, helms, render};

/// Workloads, Services and policies, whatever the values say.
const OBJECTS: &str = r#"
{{- /* What it renders stands in the values; its text says so: kind: Service */ -}}
{{- range $name, $object := .Values.objects }}
---
{{- if $object.pod }}
apiVersion: {{ $object.version | default "apps/v1" }}
kind: {{ $object.kind | default "Deployment" }}
metadata:
  name: {{ $name }}
  {{- with $object.metadata }}{{ toYaml . | nindent 2 }}{{ end }}
spec:
  {{- with $object.selector }}
  selector: {{- toYaml . | nindent 4 }}
  {{- end }}
  template:
    metadata: {{- toYaml $object.template | nindent 6 }}
    spec: {{- toYaml $object.pod | nindent 6 }}
{{- else }}
{{ toYaml $object }}
{{- end }}
{{- end }}
"#;

const WEB: &str = "web: {selector: {matchLabels: {app: web}}, template: {labels: {app: web}}, pod: {containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http}, {containerPort: 53, protocol: UDP}]}]}}";

fn policies(helm: &quench_chart::render::Helm, chart: &HardenedChart, values: &str) -> Vec<Value> {
    let rendered = render(helm, &chart.chart, values).unwrap();
    let mut found: Vec<Value> = rendered
        .objects()
        .filter(|object| object["kind"] == "NetworkPolicy")
        .filter(|object| {
            let name = object["metadata"]["name"].as_str();
            name.is_some_and(|name| name.starts_with("quench-"))
        })
        .cloned()
        .collect();
    found.sort_by_key(|policy| policy["metadata"]["name"].to_string());
    found
}

fn objects(all: &[&str]) -> String {
    format!("objects:\n  {}\n", all.join("\n  "))
}

#[test]
fn what_a_release_shows_stays_open() {
    let sample = chart("objects: {}\n", &[("o.yaml", OBJECTS)]);
    let service = "s: {apiVersion: v1, kind: Service, metadata: {name: s, annotations: {prometheus.io/port: '9090'}}, spec: {selector: {app: web, statefulset.kubernetes.io/pod-name: web-0}, ports: [{port: 80, targetPort: http}, {port: 81}, {port: 82, targetPort: 5353, protocol: UDP}]}}";
    let probed = "db: {kind: StatefulSet, selector: {matchLabels: {app: db}}, template: {labels: {app: db, app.kubernetes.io/instance: r}, annotations: {prometheus.io/port: 9187}}, pod: {containers: [{name: c, image: i, livenessProbe: {tcpSocket: {port: 5432}}, readinessProbe: {grpc: {port: 7}}}]}}";
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap();
        let values = objects(&[WEB, service, probed]);
        case.assert_equal(&helm, &hardened.chart, &values);
        let found = policies(&helm, &hardened, &values);
        assert_eq!(found.len(), 2, "{found:?}");
        let (web, db) = (&found[0], &found[1]);
        assert_eq!(web["metadata"]["name"], "quench-ingress-deployment-web");
        assert_eq!(
            web["metadata"]["labels"]["app.kubernetes.io/name"],
            "sample"
        );
        assert_eq!(
            web["spec"]["podSelector"],
            json!({"matchLabels": {"app": "web"}})
        );
        assert_eq!(web["spec"]["policyTypes"], json!(["Ingress"]));
        assert_eq!(
            web["spec"]["ingress"][1]["ports"],
            json!([
                {"port": 5353, "protocol": "UDP"},
                {"port": 53, "protocol": "UDP"},
                {"port": 8080, "protocol": "TCP"},
                {"port": 81, "protocol": "TCP"},
                {"port": 9090, "protocol": "TCP"},
            ])
        );
        assert_eq!(
            web["spec"]["ingress"][0]["from"],
            json!([
                {"podSelector": {"matchLabels": {"app": "web"}}},
                {"podSelector": {"matchLabels": {"app": "db"}}},
            ]),
            "pods of the release reach every port"
        );
        assert_eq!(
            db["spec"]["ingress"],
            json!([
                {"from": [
                    {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "r"}}},
                    {"podSelector": {"matchLabels": {"app": "web"}}},
                ]},
                {"ports": [
                    {"port": 5432, "protocol": "TCP"},
                    {"port": 7, "protocol": "TCP"},
                    {"port": 9187, "protocol": "TCP"},
                ]},
            ])
        );
        let off = "global: {hardening: {rules: {network-policy-ingress: {enabled: false}}}}";
        for values in [
            format!("{values}{off}"),
            format!("{values}global: {{hardening: {{enabled: false}}}}"),
        ] {
            case.assert_equal(&helm, &hardened.chart, &values);
            assert_eq!(policies(&helm, &hardened, &values), Vec::<Value>::new());
        }
    }
}

#[test]
fn what_is_not_known_or_guarded_already_is_left_alone() {
    let sample = chart("objects: {}\n", &[("o.yaml", OBJECTS)]);
    let own = |spec: &str| {
        format!(
            "p: {{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {spec}}}"
        )
    };
    let foreign = "p: {apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {selector: x}}";
    let open = "s: {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: nowhere}]}}";
    let portless = "web: {selector: {matchLabels: {app: web}}, template: {labels: {app: web}}, pod: {containers: [{name: c, image: i}]}}";
    let elsewhere = "s: {apiVersion: v1, kind: Service, metadata: {name: s, namespace: other}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: nowhere}]}}";
    // A Service selects the pod of a test, too, which does not declare the port it leads to by name.
    let named = "s: {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}}";
    let test = "t: {kind: Job, version: batch/v1, template: {labels: {app: web}}, pod: {containers: [{name: c, image: i}]}}";
    // Its selector has the pods of a Job, too.
    let job = "j: {kind: Job, version: batch/v1, template: {labels: {app: web, job: j}}, pod: {containers: [{name: c, image: i, ports: [{containerPort: 1234}]}]}}";
    let count = |found: &[Value]| found.len();
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap();
        for (all, expected) in [
            (vec![WEB.to_owned()], 1),
            (vec![WEB.to_owned(), own("{podSelector: {}}")], 0),
            (
                vec![
                    WEB.to_owned(),
                    own("{podSelector: {matchLabels: {app: web}}}"),
                ],
                0,
            ),
            (
                vec![
                    WEB.to_owned(),
                    own("{podSelector: {matchLabels: {app: x}}}"),
                ],
                1,
            ),
            (
                vec![
                    WEB.to_owned(),
                    own("{podSelector: {}, policyTypes: [Egress]}"),
                ],
                1,
            ),
            (
                vec![
                    WEB.to_owned(),
                    own("{podSelector: {matchExpressions: [{key: x, operator: Exists}]}}"),
                ],
                0,
            ),
            (vec![WEB.to_owned(), foreign.to_owned()], 0),
            (vec![WEB.to_owned(), open.to_owned()], 0),
            (vec![WEB.to_owned(), elsewhere.to_owned()], 1),
            (vec![portless.to_owned()], 0),
            (vec![WEB.replace("pod: {", "pod: {hostNetwork: true, ")], 0),
            (
                vec![WEB.replace(
                    "web: {",
                    "web: {metadata: {annotations: {helm.sh/hook: test}}, ",
                )],
                0,
            ),
            (
                vec![WEB.replace("web: {", "web: {kind: Job, version: batch/v1, ")],
                0,
            ),
            (
                vec![WEB.replace("selector: {matchLabels: {app: web}}, ", "")],
                0,
            ),
            (vec![WEB.replace("labels: {app: web}", "labels: null")], 0),
            (vec![WEB.to_owned(), job.to_owned()], 1),
            (vec![WEB.to_owned(), named.to_owned(), test.to_owned()], 1),
        ] {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let values = objects(&all);
            case.assert_equal(&helm, &hardened.chart, &values);
            let found = policies(&helm, &hardened, &values);
            assert_eq!(count(&found), expected, "{values}: {found:?}");
            if values.contains("1234") {
                assert_eq!(found[0]["spec"]["ingress"][1]["ports"][0]["port"], 1234);
            }
        }
        // What is left alone is told of, with the reason.
        let told = case.harden(&helm, &sample, &objects(&[portless])).unwrap();
        let remaining = told.report.remaining.iter();
        let reasons: Vec<&str> = remaining
            .filter(|remaining| remaining.rule == "network-policy-ingress")
            .map(|remaining| remaining.reason.as_str())
            .collect();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains("cannot be seen"), "{reasons:?}");
    }
}

#[test]
fn workloads_of_subcharts_are_guarded_once_and_peers_of_the_rest() {
    let sub = chart("objects: {}\n", &[("o.yaml", OBJECTS)]);
    let mut files: std::collections::BTreeMap<String, bytes::Bytes> = sub
        .files()
        .iter()
        .map(|(path, content)| (format!("charts/sample/{path}"), content.clone()))
        .collect();
    files.insert(
        "Chart.yaml".to_owned(),
        "apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: sample, version: 1.0.0, alias: front}\n- {name: sample, version: 1.0.0}\n".into(),
    );
    files.insert("templates/o.yaml".to_owned(), OBJECTS.into());
    files.insert("values.yaml".to_owned(), "objects: {}\n".into());
    let top = quench_chart::Chart::from_files(files).unwrap();
    let values = format!(
        "objects: {{}}\nfront:\n  objects:\n    {WEB}\nsample:\n  objects:\n    {}\n",
        WEB.replace("web", "back")
    );
    for helm in helms() {
        let case = Case::default();
        let once = case.harden(&helm, &top, "").unwrap();
        // A chart that was hardened before is hardened anew.
        let hardened = case.harden(&helm, &once.chart, "").unwrap();
        assert_eq!(once.chart.files(), hardened.chart.files());
        case.assert_equal(&helm, &hardened.chart, &values);
        let found = policies(&helm, &hardened, &values);
        let names: Vec<_> = found
            .iter()
            .map(|p| p["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "quench-ingress-deployment-back",
                "quench-ingress-deployment-web"
            ]
        );
        assert_eq!(
            found[0]["spec"]["ingress"][0]["from"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}

#[test]
fn egress_is_closed_where_the_target_lists_it() {
    let sample = chart("objects: {}\n", &[("o.yaml", OBJECTS)]);
    // An account from elsewhere: its pods keep their token.
    let with_token = WEB.replace("pod: {", "pod: {serviceAccountName: other, ");
    for helm in helms() {
        let egress = |api_servers: &[&str]| Case {
            target: Target {
                egress: Some(Egress {
                    networks: vec!["10.1.0.0/16".to_owned()],
                    api_servers: api_servers.iter().map(|s| (*s).to_owned()).collect(),
                }),
                ..Target::default()
            },
            ..Case::default()
        };
        let case = egress(&[]);
        let hardened = case.harden(&helm, &sample, "").unwrap();
        for (values, expected) in [(objects(&[WEB]), 2), (objects(&[&with_token]), 1)] {
            case.assert_equal(&helm, &hardened.chart, &values);
            let found = policies(&helm, &hardened, &values);
            assert_eq!(found.len(), expected, "{found:?}");
        }
        let found = policies(&helm, &hardened, &objects(&[WEB]));
        assert_eq!(
            found[0]["spec"]["egress"],
            json!([
                {"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
                {"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
                {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
            ])
        );
        let case = egress(&["10.0.0.1/32"]);
        let hardened = case.harden(&helm, &sample, "").unwrap();
        let values = objects(&[&with_token]);
        case.assert_equal(&helm, &hardened.chart, &values);
        let found = policies(&helm, &hardened, &values);
        assert_eq!(
            found[0]["spec"]["egress"][2]["to"],
            json!([{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "10.0.0.1/32"}}])
        );
        // The same given, and taken away, at render time.
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap();
        for (egress, expected) in [("{networks: [10.1.0.0/16]}", 2), ("text", 1), ("null", 1)] {
            let values = format!(
                "{}global: {{hardening: {{egress: {egress}}}}}\n",
                objects(&[WEB])
            );
            case.assert_equal(&helm, &hardened.chart, &values);
            assert_eq!(
                policies(&helm, &hardened, &values).len(),
                expected,
                "{egress}"
            );
        }
    }
}

#[test]
fn a_waiver_or_the_policy_keeps_a_workload_open() {
    let sample = chart(&objects(&[WEB]), &[("o.yaml", OBJECTS)]);
    let back = WEB.replace("web", "back");
    for helm in helms() {
        let case = Case {
            policy: Policy {
                waivers: vec![Waiver {
                    rule: "network-policy-ingress".to_owned(),
                    kind: Some("Deployment".to_owned()),
                    name: Some("we*".to_owned()),
                    container: None,
                    reason: "a mesh does it".to_owned(),
                    expires: None,
                }],
                ..Policy::default()
            },
            ..Case::default()
        };
        let hardened = case.harden(&helm, &sample, "").unwrap();
        let waived: Vec<_> = hardened
            .report
            .waived
            .iter()
            .map(|w| (w.rule.as_str(), w.reason.as_str()))
            .collect();
        assert_eq!(waived, [("network-policy-ingress", "a mesh does it")]);
        let values = objects(&[&back]);
        case.assert_equal(&helm, &hardened.chart, &values);
        let found = policies(&helm, &hardened, &values);
        assert_eq!(found.len(), 1, "{found:?}");
        let case = Case {
            policy: Policy {
                rules: [(
                    "network-policy-ingress".to_owned(),
                    RuleSetting {
                        enabled: false,
                        fix: false,
                    },
                )]
                .into(),
                ..Policy::default()
            },
            ..Case::default()
        };
        let hardened = case.harden(&helm, &sample, "").unwrap();
        case.assert_equal(&helm, &hardened.chart, "");
        assert_eq!(policies(&helm, &hardened, ""), Vec::<Value>::new());
        // Waivers given at render time go through the same gate.
        let hardened = Case::default().harden(&helm, &sample, "").unwrap();
        for (waiver, message) in [
            ("{rule: network-policy-ingress}", "gives no reason"),
            (
                "{rule: network-policy-ingress, reason: x, expires: '2020-01-31'}",
                "expired on 2020-01-31",
            ),
        ] {
            let values = format!("global: {{hardening: {{waivers: [{waiver}]}}}}");
            let error = render(&helm, &hardened.chart, &values).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
