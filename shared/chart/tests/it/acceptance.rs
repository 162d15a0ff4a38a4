//! The two charts that stand for all: bitnami `nginx` and prometheus-community `prometheus-node-exporter`, at many values.

use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Request};
use quench_chart::rewrite::rewrite;
use quench_chart::{Chart, render};

use crate::corpus::corpus_chart;
use crate::programs::{OFF, block_on, helms, idle, marking};

const NGINX: &[&str] = &[
    "",
    "replicaCount: 3\nautoscaling: {enabled: true, minReplicas: 2}\npdb: {create: true, minAvailable: 1}\n",
    "ingress: {enabled: true, hostname: a.example.org, tls: true, selfSigned: true, extraHosts: [{name: b.example.org, path: /}]}\nhealthIngress: {enabled: true, hostname: h.example.org}\n",
    "metrics: {enabled: true, serviceMonitor: {enabled: true, namespace: m}, prometheusRule: {enabled: true, rules: [{alert: A, expr: up}]}}\n",
    "serverBlock: |-\n  server {\n    listen 0.0.0.0:8080;\n  }\nstreamServerBlock: |\n  server { listen 1234; }\ncontextIncludes: {http: \"x\\n\", main: \"y\"}\n",
    "cloneStaticSiteFromGit: {enabled: true, repository: 'https://example.org/x.git', branch: main}\n",
    "extraDeploy:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: '{{ .Release.Name }}-extra'}\n  data: {a: \"1\"}\n- |\n  apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n",
    "service: {type: LoadBalancer, annotations: {a/b: 'yes'}, extraPorts: [{name: x, port: 9, targetPort: 9}]}\nserviceAccount: {create: false, name: other}\nnetworkPolicy: {enabled: false}\n",
    "sidecars: [{name: s, image: 'x:1', command: [sh, -c, 'sleep 1']}]\ninitContainers: [{name: i, image: 'y:1'}]\nextraVolumes: [{name: v, emptyDir: {}}]\nextraVolumeMounts: [{name: v, mountPath: /v}]\nextraEnvVars: [{name: A, value: '{{ .Release.Name }}'}]\n",
    "daemonset: {enabled: true}\nhostNetwork: true\ncommonLabels: {team: a}\ncommonAnnotations: {note: 'on'}\ndiagnosticMode: {enabled: true}\n",
    "global: {security: {allowInsecureImages: true}, imageRegistry: registry.example.org, imagePullSecrets: [p], storageClass: s, compatibility: {openshift: {adaptSecurityContext: force}}}\n",
];

const NODE_EXPORTER: &[&str] = &[
    "",
    "kubeRBACProxy: {enabled: true}\nnetworkPolicy: {enabled: true}\n",
    "prometheus: {monitor: {enabled: true, relabelings: [{action: drop}]}, podMonitor: {enabled: true}}\nverticalPodAutoscaler: {enabled: true}\n",
    "hostNetwork: false\nhostPID: false\nhostRootFsMount: {enabled: false}\nservice: {type: NodePort, nodePort: 30000}\n",
    "extraManifests:\n- |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n---\n",
    "configmaps: [{name: c, mountPath: /c}]\nsecrets: [{name: s, mountPath: /s}]\nextraHostVolumeMounts: [{name: h, hostPath: /h, mountPath: /m, readOnly: true}]\nsidecars: [{name: s, image: i}]\n",
    "rbac: {create: false}\nserviceAccount: {create: false}\nendpoints: [10.0.0.1]\n",
    "terminationMessageParams: {enabled: true}\ntolerations: []\naffinity: null\npodAnnotations: {x: 'true', y: '1'}\n",
];

fn check(name: &str, helm: &Helm, chart: &Chart, values: &[&str]) {
    let rewritten = rewrite(chart, &idle()).unwrap();
    let marked = rewrite(chart, &marking()).unwrap();
    let mut rendered_any = 0;
    for values in values {
        let request = Request {
            values: vec![(*values).to_owned()],
            kube_version: Some("1.33.0".to_owned()),
            api_versions: vec!["monitoring.coreos.com/v1".to_owned()],
            ..Request::default()
        };
        let render = |chart: &Chart, request: &Request| block_on(helm.render(chart, request));
        let original = match render(chart, &request) {
            Ok(original) => original,
            // Values that this version of the chart refuses must stay refused.
            Err(error) => {
                let ours = render(&rewritten, &request).unwrap_err();
                assert!(
                    matches!(ours, render::RenderError::Helm { .. }),
                    "{name}: {error}: {ours}"
                );
                eprintln!("{name} {}: {error}", chart.name());
                continue;
            }
        };
        rendered_any += 1;
        let again = [render(chart, &request).unwrap()];
        let mut off = request.clone();
        off.set.push(OFF.to_owned());
        let exact = Options {
            again: &again,
            ..Options::default()
        };
        for (what, chart, request) in [
            ("off", &rewritten, &off),
            ("on", &rewritten, &request),
            ("marked, off", &marked, &off),
        ] {
            let result = render(chart, request)
                .unwrap_or_else(|error| panic!("{name} {values}: {what}: {error}"));
            let comparison = compare(&original, &result, exact);
            assert!(
                comparison.is_same(),
                "{name} {values}: {what}: {comparison}"
            );
        }
        let result = render(&marked, &request).unwrap();
        assert_eq!(
            result.objects().count(),
            original.objects().count(),
            "{name} {values}"
        );
        assert!(
            result.objects().all(|object| object.get("seen").is_some()),
            "{name} {values}"
        );
    }
    assert!(
        rendered_any * 4 >= values.len() * 3,
        "{name}: only {rendered_any} of {} values render",
        values.len()
    );
}

#[test]
fn nginx_stays_nginx() {
    let Some(chart) = corpus_chart("nginx") else {
        return;
    };
    for (name, helm) in helms() {
        check(name, &helm, &chart, NGINX);
    }
}

#[test]
fn node_exporter_stays_node_exporter() {
    let Some(chart) = corpus_chart("prometheus-node-exporter") else {
        return;
    };
    for (name, helm) in helms() {
        check(name, &helm, &chart, NODE_EXPORTER);
    }
}
