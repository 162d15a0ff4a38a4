//! Rules that wait for a fact of the target, or for a decision.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use quench_model::{
    ContainerResources, Egress, Policy, PullPolicy, RuleSetting, ServiceType, Target,
};
use serde_json::{Value, json};

use crate::programs::{Case, chart, helms, object, render};

/// One workload for each pod of a list, and objects as they are.
const PODS: &str = r#"
{{- range $index, $pod := .Values.pods }}
---
apiVersion: apps/v1
kind: {{ $.Values.kind | default "Deployment" }}
metadata: {name: web-{{ $index }}}
spec:
  {{- with $.Values.claims }}
  volumeClaimTemplates: {{- toYaml . | nindent 4 }}
  {{- end }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {{- toYaml $pod | nindent 6 }}
{{- end }}
{{- range $object := .Values.objects }}
---
{{ toYaml $object }}
{{- end }}
"#;

/// What rules that wait for something look at, each in some ways right, wrong and absurd.
pub const CURIOUS: [&str; 30] = [
    "{containers: [{name: a, image: app, env: [{name: A, value: '1'}, {name: B, value: x}, {name: A, value: '2'}]}]}",
    "{containers: [{name: a, image: app, env: [{name: A, value: '1'}, {name: B, value: $(A)}, {name: A, value: '2'}]}]}",
    "{containers: [{name: a, image: app, env: [{name: 1}, {name: 1}, text, null, {value: x}]}]}",
    "{containers: [{name: a, image: app, ports: [{containerPort: 80, hostPort: 80, hostIP: 1.2.3.4}, {containerPort: 22}, {hostPort: 0}, text]}]}",
    "{containers: [{name: a, image: app}], volumes: [{name: e, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}, {name: l, emptyDir: {sizeLimit: 1Mi}}, {name: n, emptyDir: null}, {name: s, emptyDir: x}]}",
    "{containers: [{name: a, image: app}], securityContext: {fsGroup: 7}, volumes: [{name: c, persistentVolumeClaim: {claimName: c}}]}",
    "{containers: [{name: a, image: app, securityContext: {runAsUser: 0}}], securityContext: {fsGroup: 7, fsGroupChangePolicy: Always}, volumes: [{name: c, persistentVolumeClaim: {claimName: c}}]}",
    "{containers: [{name: a, image: app}], volumes: [{name: c, persistentVolumeClaim: {claimName: c}}]}",
    "{initContainers: [{name: s, image: app, securityContext: {privileged: true, runAsUser: 0}, command: [/bin/sh, -c, 'sysctl -n vm.max_map_count; sysctl -w vm.max_map_count=1']}], containers: [{name: a, image: app}]}",
    "{initContainers: [{name: s, image: app, securityContext: {privileged: true}, args: ['sysctl -w vm.max_map_count=1']}], containers: [{name: a, image: app}]}",
    "{initContainers: [{name: s, image: app, securityContext: {privileged: true}, args: ['sysctl -n a; sysctl -w a=1; chown a b']}], containers: [{name: a, image: app}]}",
    "{containers: [{name: a, image: app}], hostUsers: true, runtimeClassName: kata}",
    "{containers: [{name: a, image: app}], hostNetwork: true, hostPID: true, hostIPC: true}",
    "{containers: [{name: a, image: app}], volumes: [{name: h, hostPath: {path: /etc}}]}",
    "{containers: [{name: a, image: app, volumeDevices: [{name: x, devicePath: /dev/x}]}]}",
    "{containers: [{name: a, image: app, imagePullPolicy: Always}, {name: b, image: app, imagePullPolicy: IfNotPresent}, {name: c}]}",
    "{containers: [{name: a, image: app, securityContext: {appArmorProfile: {type: Unconfined}}}], securityContext: {appArmorProfile: {type: Unconfined}}}",
    "{containers: [{name: a, image: app, securityContext: {runAsUser: 0, appArmorProfile: {type: Unconfined}}}]}",
    "{containers: [{name: a, image: app}, {name: b, image: app}], securityContext: {appArmorProfile: {type: Unconfined}, seccompProfile: {type: Unconfined}}}",
    "{containers: [{name: a, image: app, securityContext: {seLinuxOptions: {type: spc_t}, procMount: Unmasked, capabilities: {add: [SYS_ADMIN, NET_BIND_SERVICE]}}}], securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}, {name: net.ipv4.tcp_fin_timeout, value: '1'}]}}",
    "{containers: [{name: a, image: app, livenessProbe: {httpGet: {host: x, port: 1}}, lifecycle: {preStop: {httpGet: {host: y, port: 2}}}}]}",
    "{containers: [{name: a, image: app, resources: {requests: {cpu: 100m, memory: 64Mi}}}, {name: b, image: app, resources: {requests: {cpu: 9, memory: 2Gi}}}]}",
    "{containers: [{name: a, image: app, resources: {limits: {cpu: 1, memory: 64Mi}}}, {name: b, image: app, resources: {limits: {cpu: 0.5}}}]}",
    "{containers: [{name: a, image: app, resources: {requests: {memory: 268435456}, limits: {memory: null}}}, {name: b, image: app, resources: {requests: {memory: 1Ei, cpu: []}}}]}",
    "{containers: [{name: a, image: app, resources: text}, {name: b, image: app, resources: {requests: x, limits: [1]}}]}",
    "{containers: [{name: a, image: app, securityContext: {allowPrivilegeEscalation: true, readOnlyRootFilesystem: false}}], automountServiceAccountToken: true}",
    "{containers: [{name: a, image: app, securityContext: {privileged: true}}], enableServiceLinks: true}",
    "{containers: [{name: a, image: app, resources: {requests: {memory: 1.5Gi, cpu: 0.1}}}], volumes: text, hostUsers: 3}",
    "{containers: [{name: a, image: app, resources: {requests: {memory: 512M, cpu: 2000m}}}], volumes: [{name: x, ephemeral: {}}], securityContext: {fsGroup: 0}}",
    "{containers: [{name: a, image: app, env: null, ports: null, command: sudo x, args: [sudo x]}]}",
];

fn everything() -> Target {
    let quantities = |cpu: &str, memory: &str| {
        [("cpu", cpu), ("memory", memory)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    };
    Target {
        runtime_class: Some("gvisor".to_owned()),
        user_namespaces: Some(true),
        pull_policy: Some(PullPolicy::Always),
        service_type: Some(ServiceType::ClusterIp),
        tls_secret: Some("wildcard".to_owned()),
        pod_security: Some(quench_model::PodSecurityLevel::Restricted),
        empty_dir_size: Some("1Gi".to_owned()),
        node_sysctls: Some(true),
        resources: Some(ContainerResources {
            requests: quantities("100m", "256Mi"),
            limits: quantities("2", "1Gi"),
        }),
        egress: Some(Egress::default()),
        ..Target::default()
    }
}

fn decided() -> Policy {
    Policy {
        rules: quench_rules::rules()
            .map(|rule| {
                (
                    rule.id.to_owned(),
                    RuleSetting {
                        enabled: true,
                        fix: true,
                    },
                )
            })
            .collect(),
        ..Policy::default()
    }
}

#[test]
fn both_backends_agree_whatever_is_given_and_decided() {
    let sample = chart("pods: []\n", &[("p.yaml", PODS)]);
    let objects = [
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, loadBalancerIP: 1.2.3.4, externalTrafficPolicy: Local, ports: [{port: 1, nodePort: 30000}, x]}}",
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, annotations: {nginx.ingress.kubernetes.io/server-snippet: x, other: y}}, spec: {rules: [{host: a.b}, {host: a.b}, {host: c.d}, {}, 1]}}",
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: j}, spec: {rules: [{http: {}}]}}",
        "{apiVersion: v1, kind: Namespace, metadata: {name: n}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: p}, data: {admin-password: YWRtaW4=}}",
    ];
    let values = format!(
        "pods:\n- {}\nobjects:\n- {}\n",
        CURIOUS.join("\n- "),
        objects.join("\n- ")
    );
    for helm in helms() {
        for target in [Target::default(), everything()] {
            for policy in [Policy::default(), decided()] {
                let case = Case {
                    target: target.clone(),
                    policy,
                    ..Case::default()
                };
                let hardened = case.harden(&helm, &sample, "").unwrap().chart;
                case.assert_equal(&helm, &hardened, &values);
                let set =
                    format!("{values}kind: StatefulSet\nclaims: [{{metadata: {{name: d}}}}]\n");
                case.assert_equal(&helm, &hardened, &set);
            }
        }
        // The same facts and decisions, given when the chart renders.
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let facts = serde_json::to_value(everything()).unwrap();
        let mut hardening = facts.as_object().unwrap().clone();
        hardening.insert(
            "rules".to_owned(),
            json!({"no-privileged": {"fix": true}, "no-host-port": {"fix": "true"}, "sysctls": {"fix": false}}),
        );
        let given = json!({"global": {"hardening": hardening}});
        case.assert_equal(&helm, &hardened, &format!("{values}{}\n", yaml(&given)));
    }
}

/// JSON with a top level that can stand under other YAML.
fn yaml(value: &Value) -> String {
    let (key, value) = value.as_object().unwrap().iter().next().unwrap();
    format!("{key}: {value}")
}

#[test]
fn both_backends_agree_on_pods_nobody_would_write() {
    let sample = chart("pods: []\n", &[("p.yaml", PODS)]);
    let mut runner = TestRunner::deterministic();
    let mut any = || {
        crate::equality::anything()
            .new_tree(&mut runner)
            .unwrap()
            .current()
    };
    let pods: Vec<Value> = (0..150)
        .map(|_| {
            let mut container = any();
            if let Some(map) = container.as_object_mut() {
                map.entry("image").or_insert_with(|| "app".into());
            }
            json!({
                "containers": [container, {"name": "b", "image": "app", "env": any(), "resources": any(), "ports": any()}],
                "initContainers": any(),
                "securityContext": any(),
                "volumes": any(),
            })
        })
        .collect();
    for helm in helms() {
        for (target, policy) in [
            (Target::default(), Policy::default()),
            (everything(), decided()),
        ] {
            let case = Case {
                target,
                policy,
                ..Case::default()
            };
            let hardened = case.harden(&helm, &sample, "").unwrap().chart;
            for chunk in pods.chunks(50) {
                case.assert_equal(&helm, &hardened, &json!({"pods": chunk}).to_string());
            }
        }
    }
}

#[test]
fn facts_do_what_they_are_for_and_nothing_happens_without() {
    let sample = chart("pods: []\n", &[("p.yaml", PODS)]);
    let pod = |index: usize| format!("pods: [{}]\n", CURIOUS[index]);
    for helm in helms() {
        let plain = Case::default();
        let given = Case {
            target: everything(),
            ..Case::default()
        };
        let before = plain.harden(&helm, &sample, "").unwrap().chart;
        let after = given.harden(&helm, &sample, "").unwrap().chart;
        let look = |chart, index: usize, pointer: &str| {
            let rendered = render(&helm, chart, &pod(index)).unwrap();
            let pod = &object(&rendered, "Deployment")["spec"]["template"]["spec"];
            pod.pointer(pointer).cloned().unwrap_or_default()
        };
        for (index, pointer, without, with) in [
            (
                4,
                "/volumes/0/emptyDir",
                json!({}),
                json!({"sizeLimit": "1Gi"}),
            ),
            (
                4,
                "/volumes/1/emptyDir",
                json!({"medium": "Memory"}),
                json!({"medium": "Memory"}),
            ),
            (0, "/hostUsers", json!(null), json!(false)),
            (0, "/runtimeClassName", json!(null), json!("gvisor")),
            (11, "/runtimeClassName", json!("kata"), json!("kata")),
            (11, "/hostUsers", json!(true), json!(true)),
            (13, "/hostUsers", json!(null), json!(null)),
            (
                0,
                "/containers/0/imagePullPolicy",
                json!(null),
                json!("Always"),
            ),
            (
                0,
                "/containers/0/env/1",
                json!({"name": "A", "value": "2"}),
                json!({"name": "A", "value": "2"}),
            ),
            (
                1,
                "/containers/0/env/2",
                json!({"name": "A", "value": "2"}),
                json!({"name": "A", "value": "2"}),
            ),
            (
                8,
                "/initContainers/0/securityContext/privileged",
                json!(true),
                json!(false),
            ),
            (
                8,
                "/initContainers/0/securityContext/runAsUser",
                json!(0),
                json!(1001),
            ),
            (
                9,
                "/initContainers/0/securityContext/privileged",
                json!(true),
                json!(true),
            ),
            (
                10,
                "/initContainers/0/securityContext/privileged",
                json!(true),
                json!(true),
            ),
            (
                5,
                "/securityContext/fsGroupChangePolicy",
                json!("OnRootMismatch"),
                json!("OnRootMismatch"),
            ),
            (
                6,
                "/securityContext/fsGroupChangePolicy",
                json!("Always"),
                json!("Always"),
            ),
            (7, "/securityContext/fsGroup", json!(null), json!(null)),
            (
                16,
                "/containers/0/securityContext/appArmorProfile/type",
                json!("RuntimeDefault"),
                json!("RuntimeDefault"),
            ),
            (
                17,
                "/containers/0/securityContext/appArmorProfile/type",
                json!("Unconfined"),
                json!("Unconfined"),
            ),
            // A request of its own stays, and the limit comes where it is enough.
            (
                21,
                "/containers/0/resources",
                json!({"requests": {"cpu": "100m", "memory": "64Mi"}}),
                json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}),
            ),
            (
                21,
                "/containers/1/resources/limits",
                json!(null),
                json!(null),
            ),
            // A limit of its own is what it asks for.
            (
                22,
                "/containers/0/resources/requests",
                json!({"cpu": 1, "memory": "64Mi"}),
                json!({"cpu": 1, "memory": "64Mi"}),
            ),
            (
                0,
                "/containers/0/resources",
                json!(null),
                json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}),
            ),
        ] {
            assert_eq!(
                look(&before, index, pointer),
                without,
                "{} {pointer}",
                CURIOUS[index]
            );
            assert_eq!(
                look(&after, index, pointer),
                with,
                "{} {pointer}",
                CURIOUS[index]
            );
        }
    }
}

#[test]
fn what_is_only_reported_is_fixed_by_decision() {
    let sample = chart("pods: []\n", &[("p.yaml", PODS)]);
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let look = |rule: &str, index: usize, pointer: &str, fix: bool| {
            let values = format!(
                "pods: [{}]\nglobal: {{hardening: {{rules: {{{rule}: {{fix: {fix}}}}}}}}}\n",
                CURIOUS[index]
            );
            case.assert_equal(&helm, &hardened, &values);
            let rendered = render(&helm, &hardened, &values).unwrap();
            let pod = &object(&rendered, "Deployment")["spec"]["template"]["spec"];
            pod.pointer(pointer).cloned().unwrap_or_default()
        };
        for (rule, index, pointer, reported, fixed) in [
            (
                "no-host-port",
                3,
                "/containers/0/ports/0",
                json!({"containerPort": 80, "hostPort": 80, "hostIP": "1.2.3.4"}),
                json!({"containerPort": 80}),
            ),
            (
                "no-host-network",
                12,
                "/hostNetwork",
                json!(true),
                json!(false),
            ),
            (
                "no-host-namespaces",
                12,
                "/hostPID",
                json!(true),
                json!(false),
            ),
            (
                "no-added-capabilities",
                19,
                "/containers/0/securityContext/capabilities/add",
                json!(["SYS_ADMIN", "NET_BIND_SERVICE"]),
                json!(["NET_BIND_SERVICE"]),
            ),
            (
                "sysctls",
                19,
                "/securityContext/sysctls",
                json!([{"name": "kernel.msgmax", "value": "1"}, {"name": "net.ipv4.tcp_fin_timeout", "value": "1"}]),
                json!([{"name": "net.ipv4.tcp_fin_timeout", "value": "1"}]),
            ),
            (
                "selinux",
                19,
                "/containers/0/securityContext/seLinuxOptions",
                json!({"type": "spc_t"}),
                json!(null),
            ),
            (
                "proc-mount",
                19,
                "/containers/0/securityContext/procMount",
                json!("Unmasked"),
                json!(null),
            ),
            (
                "probe-host",
                20,
                "/containers/0/livenessProbe/httpGet",
                json!({"host": "x", "port": 1}),
                json!({"port": 1}),
            ),
            (
                "no-privileged",
                26,
                "/containers/0/securityContext/privileged",
                json!(true),
                json!(false),
            ),
            (
                "no-service-links",
                26,
                "/enableServiceLinks",
                json!(true),
                json!(false),
            ),
            (
                "no-automount-token",
                25,
                "/automountServiceAccountToken",
                json!(true),
                json!(false),
            ),
            (
                "read-only-root",
                25,
                "/containers/0/securityContext/readOnlyRootFilesystem",
                json!(false),
                json!(true),
            ),
            (
                "no-privilege-escalation",
                25,
                "/containers/0/securityContext/allowPrivilegeEscalation",
                json!(true),
                json!(false),
            ),
            (
                "run-as-non-root",
                17,
                "/containers/0/securityContext/runAsUser",
                json!(0),
                json!(1001),
            ),
            (
                "seccomp-runtime-default",
                18,
                "/securityContext/seccompProfile/type",
                json!("Unconfined"),
                json!("RuntimeDefault"),
            ),
        ] {
            assert_eq!(look(rule, index, pointer, false), reported, "{rule}");
            assert_eq!(look(rule, index, pointer, true), fixed, "{rule}");
        }
    }
}
