//! What goes wrong when templates harden what templates print. Splitting, parsing and printing are tested beside the
//! driver in quench-chart; here is what happens to objects that rules change.

use serde_json::{Value, json};

use crate::programs::{Case, chart, helms, object, render};

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: web
  annotations: {helm.sh/hook: pre-install, helm.sh/hook-weight: "-5"}
spec:
  replicas: 3
  serviceName: web
  selector: {matchLabels: {app: web}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce]}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 30
      nodeSelector: null
      containers:
      - name: app
        image: app
        args: {{ .Values.missing }}
        env:
        - name: SCRIPT
          value: |
            one
            two

        - {name: RATIO, value: "1.50"}
        livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 10}
"#;

#[test]
fn fields_that_must_not_change_do_not() {
    let sample = chart("", &[("d.yaml", DEPLOYMENT)]);
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        case.assert_equal(&helm, &hardened, "");
        let before = render(&helm, &sample, "").unwrap();
        let after = render(&helm, &hardened, "").unwrap();
        let (before, after) = (
            object(&before, "StatefulSet"),
            object(&after, "StatefulSet"),
        );
        for pointer in [
            "/spec/selector",
            "/spec/volumeClaimTemplates",
            "/spec/serviceName",
            "/spec/replicas",
            "/metadata/annotations",
            "/spec/template/metadata/labels/app",
            "/spec/template/spec/terminationGracePeriodSeconds",
            "/spec/template/spec/containers/0/env",
            "/spec/template/spec/containers/0/livenessProbe",
        ] {
            assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
        }
        let pod = after["spec"]["template"]["spec"].as_object().unwrap();
        assert_eq!(pod.get("nodeSelector"), Some(&Value::Null), "null is kept");
        assert_eq!(
            after["metadata"]["labels"]["app.kubernetes.io/version"],
            json!("2.1_b")
        );
        assert_eq!(
            pod["containers"][0]["securityContext"]["runAsUser"],
            json!(1001)
        );
    }
}

#[test]
fn members_of_lists_are_hardened() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: c, image: i}]}\n\
                - {apiVersion: v1, kind: PodList, items: [{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, image: i}]}}]}\n- null\n- 5\n";
    let sample = chart("", &[("l.yaml", list)]);
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap();
        case.assert_equal(&helm, &hardened.chart, "");
        assert_eq!(hardened.report.after.restricted, 2, "{:?}", hardened.report);
    }
}

#[test]
fn the_context_of_templates_is_not_seen_to_change() {
    // What the library keeps must not show where a chart prints its values or passes its context on.
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: values}
data:
  values: {{ toYaml .Values | quote }}
  release: {{ toYaml .Release | quote }}
  chart: {{ .Chart.Name }}
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: c, image: i}]}
"#;
    let sample = chart(
        "a: 1\nglobal: {b: 2}\n",
        &[("a.yaml", text), ("b.yaml", text)],
    );
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let data = |chart| {
            let rendered = render(&helm, chart, "").unwrap();
            object(&rendered, "ConfigMap")["data"].clone()
        };
        assert_eq!(data(&sample), data(&hardened));
    }
}

#[test]
fn templates_that_hash_others_do_not_run_in_circles() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    checksum/pod: {{ include (print $.Template.BasePath \"/w.yaml\") . | sha256sum }}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let pod = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    metadata:\n      labels: {app: web}\n      annotations:\n        checksum/config: {{ include (print $.Template.BasePath \"/c.yaml\") . | sha256sum }}\n    spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}\n";
    let sample = chart(
        "",
        &[
            ("s.yaml", service),
            ("w.yaml", pod),
            (
                "c.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
            ),
        ],
    );
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let rendered = render(&helm, &hardened, "").unwrap();
        let pod = &object(&rendered, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], json!(false));
        assert_eq!(
            pod["containers"][0]["readinessProbe"]["tcpSocket"]["port"],
            json!(80)
        );
    }
}

#[test]
fn a_hardened_chart_can_be_a_subchart_of_another_and_go_by_an_alias() {
    let pod = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Chart.Name }}}\nspec:\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      serviceAccountName: {{ .Values.account }}\n      containers: [{name: c, image: i, ports: [{containerPort: 80}]}]\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Chart.Name }}}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Values.account }}}\n";
    for helm in helms() {
        let case = Case::default();
        let sub = chart("account: mine\n", &[("w.yaml", pod), ("s.yaml", service)]);
        let sub = case.harden(&helm, &sub, "").unwrap().chart;
        let mut files: std::collections::BTreeMap<String, bytes::Bytes> = sub
            .files()
            .iter()
            .map(|(path, content)| (format!("charts/sample/{path}"), content.clone()))
            .collect();
        files.insert(
            "Chart.yaml".to_owned(),
            "apiVersion: v2\nname: top\nversion: 1.0.0\nappVersion: '9'\ndependencies:\n- {name: sample, version: 1.0.0, alias: front}\n- {name: sample, version: 1.0.0}\n".into(),
        );
        files.insert("templates/w.yaml".to_owned(), pod.into());
        let top = quench_chart::Chart::from_files(files).unwrap();
        let hardened = case.harden(&helm, &top, "account: default").unwrap().chart;
        case.assert_equal(&helm, &hardened, "{account: default, front: {account: x}}");
        let rendered = render(&helm, &hardened, "account: default").unwrap();
        let labels: std::collections::BTreeMap<_, _> = rendered
            .objects()
            .filter(|object| object["kind"] == "Deployment")
            .map(|object| {
                let labels = &object["metadata"]["labels"];
                (
                    labels["app.kubernetes.io/name"].to_string(),
                    labels["app.kubernetes.io/version"].to_string(),
                )
            })
            .collect();
        assert_eq!(
            labels,
            [("front", "2.1_b"), ("sample", "2.1_b"), ("top", "9")]
                .map(|(name, version)| (format!("{name:?}"), format!("{version:?}")))
                .into()
        );
        let again = case
            .harden(&helm, &hardened, "account: default")
            .unwrap()
            .chart;
        assert_eq!(again, hardened, "hardening twice is hardening once");
    }
}

#[test]
fn a_chart_that_cannot_be_shown_to_be_right_is_refused_by_object_and_field() {
    // Templates that count how often they are rendered: looking at the Service for its port renders it twice.
    let service = "{{- $_ := set .Values \"n\" (add1 (.Values.n | default 0)) }}\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations: {count: \"{{ .Values.n }}\"}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let pod = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}\n";
    // Helm renders templates of deeper folders first.
    let sample = chart("", &[("s.yaml", service), ("templates/first/w.yaml", pod)]);
    for helm in helms() {
        let error = Case::default()
            .harden(&helm, &sample, "")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("Service/web /metadata/annotations/count"),
            "{error}"
        );
    }
}
