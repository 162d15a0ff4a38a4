//! The evaluator and the template library do the same, at every set of values.

use proptest::prelude::*;
use quench_model::Level;
use quench_model::{Digest, FactsFile, FactsSource, ImageFacts, Target, WritablePath};
use quench_rules::Evidence;
use quench_rules::evaluate::{Outcome, Surroundings, harden};
use quench_rules::{Release, Settings, Siblings};
use serde_json::{Map, Value, json};

use crate::programs::{Case, chart, friendly, helms, object, render};

/// Whatever can stand in a pod, chosen by values.
const WORKLOAD: &str = r#"
apiVersion: {{ .Values.version | default "apps/v1" }}
kind: {{ .Values.kind | default "Deployment" }}
metadata:
  name: {{ .Release.Name }}-web
  {{- with .Values.labels }}
  labels: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .Values.management }}
  podManagementPolicy: {{ . }}
  {{- end }}
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      {{- with .Values.annotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec: {{- toYaml .Values.pod | nindent 6 }}
"#;

const SERVICE: &str = r#"
{{- if .Values.service }}
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {{- toYaml .Values.service | nindent 2 }}
{{- end }}
"#;

const ACCESS: &str = r#"
{{- if .Values.account }}
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Values.account }}}
{{- if hasKey .Values "token" }}
automountServiceAccountToken: {{ .Values.token }}
{{- end }}
---
{{- end }}
{{- if .Values.bound }}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}
subjects:
- {kind: {{ .Values.subject | default "ServiceAccount" }}, name: {{ .Values.bound | quote }}}
{{- end }}
{{- range .Values.roles }}
---
apiVersion: rbac.authorization.k8s.io/v1
{{ toYaml . }}
{{- end }}
"#;

/// Pods that real charts have, and some that none should.
const PODS: [&str; 26] = [
    "{containers: [{name: web, image: app}]}",
    "{containers: [{name: web, image: app, securityContext: null}], securityContext: null}",
    "{containers: [{name: web, image: app, securityContext: {}}], securityContext: {}}",
    "{containers: [{name: web, image: app, securityContext: {runAsUser: 0}}]}",
    "{containers: [{name: web, image: app, securityContext: {runAsUser: 5}}], securityContext: {runAsUser: 0}}",
    "{containers: [{name: web, image: app}, {name: b, image: other}], securityContext: {runAsUser: 7, runAsGroup: 8, fsGroup: 9}}",
    "{containers: [{name: web, image: app}], securityContext: {runAsNonRoot: false}}",
    "{containers: [{name: web, image: app, securityContext: {runAsUser: 0}}], securityContext: {runAsNonRoot: false}}",
    "{containers: [{name: web, image: app, securityContext: {privileged: true}}]}",
    "{containers: [{name: web, image: app, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}",
    "{containers: [{name: web, image: app, securityContext: {capabilities: {drop: [NET_RAW], add: null}}}]}",
    "{containers: [{name: web, image: app, securityContext: {capabilities: {drop: ALL}}}]}",
    "{containers: [{name: web, image: app, securityContext: {allowPrivilegeEscalation: true, readOnlyRootFilesystem: false}}]}",
    "{containers: [{name: web, image: app, volumeMounts: [{name: a, mountPath: /tmp/}, {name: b, mountPath: /var}]}], volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}]}",
    "{containers: [{name: web, image: app, volumeMounts: [{name: a, mountPath: /tmp/below}]}], volumes: [{name: a, emptyDir: {}}]}",
    "{containers: [{name: web, image: app, volumeMounts: null}], volumes: null}",
    "{initContainers: [{name: first, image: app}], containers: [{name: web, image: app}]}",
    "{containers: [{name: web, image: app}], securityContext: {seccompProfile: {type: Unconfined}}}",
    "{containers: [{name: web, image: app, securityContext: {seccompProfile: {type: Localhost, localhostProfile: x}}}]}",
    "{containers: [{name: web, image: app}], automountServiceAccountToken: true}",
    "{containers: [{name: web, image: app}], os: {name: windows}}",
    "{containers: [{name: web, image: app}], nodeSelector: {kubernetes.io/os: windows}, hostNetwork: true}",
    "{containers: [{name: web, image: app, ports: [{containerPort: 8080, name: http}, {containerPort: 53, protocol: UDP}]}]}",
    "{containers: [{name: web, image: 7, securityContext: [1], ports: {a: b}}, text, null], volumes: [3], securityContext: text}",
    "{containers: [{image: app, env: [{name: A_PASSWORD, value: x}], resources: {limits: {memory: 1Gi}}}], serviceAccountName: mine}",
    "{containers: {not: a list}, initContainers: null, serviceAccountName: ''}",
];

const COMMANDS: [&str; 3] = [
    "{containers: [{name: web, image: app, command: [/bin/other]}]}",
    "{containers: [{name: web, image: app, command: [/bin/sh, -c, x]}]}",
    "{containers: [{name: web, image: app, args: [x]}, {name: b, image: app, args: x, command: /bin/sh}]}",
];

/// One workload for each pod of a list.
const WORKLOADS: &str = r#"
{{- range $index, $pod := .Values.pods }}
{{- range $kind, $version := $.Values.kinds }}
---
apiVersion: {{ $version }}
kind: {{ $kind }}
metadata: {name: web-{{ $index }}, labels: null}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {{- toYaml $pod | nindent 6 }}
{{- end }}
{{- end }}
"#;

const KINDS: &str = "kinds: {Deployment: apps/v1, Job: batch/v1, Rollout: argoproj.io/v1alpha1, Pod: v1, \"5\": v1, CronJob: batch/v1}";

#[test]
fn both_backends_agree_on_every_pod() {
    let sample = chart("pods: []\n", &[("w.yaml", WORKLOADS)]);
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let values = format!("{KINDS}\npods:\n- {}\n", PODS.join("\n- "));
        case.assert_equal(&helm, &hardened, &values);
        let rendered = render(&helm, &hardened, &values).unwrap();
        let changed = rendered
            .objects()
            .filter(|object| {
                object.pointer("/spec/template/spec/containers/0/securityContext/runAsUser")
                    == Some(&json!(1001))
            })
            .count();
        assert!(
            changed > 20,
            "only {changed} were hardened: {}",
            rendered.text
        );
    }
}

#[test]
fn pods_for_windows_say_so_where_nothing_of_linux_stands_in_them() {
    let sample = chart("pods: []\n", &[("w.yaml", WORKLOADS)]);
    let windows = "nodeSelector: {kubernetes.io/os: windows}";
    let pods = [
        (
            format!("{{{windows}, containers: [{{name: a, image: app}}]}}"),
            true,
        ),
        (
            format!(
                "{{{windows}, hostNetwork: true, securityContext: {{windowsOptions: {{runAsUserName: ContainerUser}}}}, containers: [{{name: a, image: app}}]}}"
            ),
            true,
        ),
        (
            format!(
                "{{{windows}, securityContext: {{fsGroup: 7}}, containers: [{{name: a, image: app}}]}}"
            ),
            false,
        ),
        (
            format!("{{{windows}, hostPID: true, containers: [{{name: a, image: app}}]}}"),
            false,
        ),
        (
            format!(
                "{{{windows}, containers: [{{name: a, image: app}}, {{name: b, image: app, securityContext: {{capabilities: {{drop: [ALL]}}}}}}]}}"
            ),
            false,
        ),
        (
            "{nodeSelector: {kubernetes.io/os: linux}, containers: [{name: a, image: app}]}"
                .to_owned(),
            false,
        ),
    ];
    let listed: Vec<&str> = pods.iter().map(|(pod, _)| pod.as_str()).collect();
    let values = format!(
        "kinds: {{Deployment: apps/v1}}\npods:\n- {}\n",
        listed.join("\n- ")
    );
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, &values).unwrap();
        case.assert_equal(&helm, &hardened.chart, &values);
        let rendered = render(&helm, &hardened.chart, &values).unwrap();
        let named: Vec<bool> = rendered
            .objects()
            .filter_map(|object| object.pointer("/spec/template/spec"))
            .map(|pod| pod.pointer("/os/name") == Some(&json!("windows")))
            .collect();
        let wanted: Vec<bool> = pods.iter().map(|(_, is_named)| *is_named).collect();
        assert_eq!(named, wanted);
    }
}

#[test]
fn both_backends_agree_whatever_is_known_of_an_image() {
    let sample = chart("pods: []\n", &[("w.yaml", WORKLOADS)]);
    let changes: [fn(&mut ImageFacts); 15] = [
        |_| {},
        |facts| *facts = ImageFacts::default(),
        |facts| facts.uid = Some(0),
        |facts| facts.uid = Some(u32::MAX),
        |facts| facts.uid = None,
        |facts| facts.gid = None,
        |facts| facts.entrypoint_privileged = Some(true),
        |facts| facts.entrypoint_privileged = Some(false),
        |facts| {
            facts.entrypoint_privileged = Some(false);
            facts.entrypoint = Some(Vec::new());
        },
        |facts| facts.entrypoint_switches_user = Some(true),
        |facts| facts.writable = None,
        |facts| facts.writable = Some(Vec::new()),
        |facts| {
            facts.writable = Some(vec![WritablePath::Filled {
                path: "/var/lib/app".to_owned(),
                copy_up: true,
            }]);
        },
        |facts| {
            // A folder in a writable folder, as images tell it: the inner one first.
            facts.writable = Some(
                ["/var/lib/app/data", "/var/lib/app"]
                    .map(|path| WritablePath::Plain(path.to_owned()))
                    .to_vec(),
            );
        },
        |facts| {
            facts.writable = Some(
                ["/{{ fail 1 }}", "/a b/C", "/ümlaut", "/@quench@.object"]
                    .map(|path| WritablePath::Plain(path.to_owned()))
                    .to_vec(),
            );
        },
    ];
    let digest = Digest::of(b"app");
    let mut evidence = Evidence::default();
    let mut stated = FactsFile::default();
    let mut pods = Vec::new();
    for (index, change) in changes.into_iter().enumerate() {
        let mut facts = friendly();
        change(&mut facts);
        let (read, told) = (format!("read:{index}"), format!("told:{index}"));
        stated.images.insert(told.clone(), facts.clone());
        facts.source = Some(FactsSource::Image);
        evidence.add_facts(&read.parse().unwrap(), &[], &digest, &facts);
        evidence.add_digest(&read.parse().unwrap(), &[], &digest);
        for image in [read, told] {
            for pod in [
                PODS[0],
                PODS[5],
                PODS[13],
                COMMANDS[0],
                COMMANDS[1],
                COMMANDS[2],
            ] {
                pods.push(pod.replace("image: app", &format!("image: {image}")));
            }
        }
    }
    evidence.state_facts(&stated);
    let values = format!(
        "kinds: {{Deployment: apps/v1}}\npods:\n- {}\n",
        pods.join("\n- ")
    );
    for helm in helms() {
        for registry in [None, Some("registry.internal/q/".to_owned())] {
            let case = Case {
                evidence: evidence.clone(),
                target: Target {
                    registry,
                    ..Target::default()
                },
                ..Case::default()
            };
            let hardened = case.harden(&helm, &sample, "").unwrap().chart;
            case.assert_equal(&helm, &hardened, &values);
        }
    }
}

#[test]
fn what_other_objects_show_is_looked_up_at_each_render() {
    let sample = chart(
        "pod: {}\n",
        &[
            ("w.yaml", WORKLOAD),
            ("s.yaml", SERVICE),
            ("rbac/a.yaml", ACCESS),
        ],
    );
    let sample = {
        // A template in a folder of its own.
        let mut files = sample.files().clone();
        let access = files.remove("rbac/a.yaml").unwrap();
        files.insert("templates/rbac/a.yaml".to_owned(), access);
        quench_chart::Chart::from_files(files).unwrap()
    };
    let plain = "{containers: [{name: web, image: app, ports: [{containerPort: 8080, name: http}, {containerPort: 9}]}]}";
    let named = "{serviceAccountName: mine, containers: [{name: web, image: app, ports: [{containerPort: 8080}]}]}";
    let service = |target: &str| {
        format!("service: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: {target}}}]}}")
    };
    for helm in helms() {
        let case = Case::default();
        let hardened = case.harden(&helm, &sample, "").unwrap().chart;
        let look = |values: &str| {
            case.assert_equal(&helm, &hardened, values);
            let rendered = render(&helm, &hardened, values).unwrap();
            let pod = object(&rendered, "Deployment")["spec"]["template"]["spec"].clone();
            (
                pod["automountServiceAccountToken"].clone(),
                pod["containers"][0]["readinessProbe"]["tcpSocket"]["port"].clone(),
            )
        };
        let (no, nothing) = (json!(false), json!(null));
        assert_eq!(
            look(&format!("pod: {plain}")),
            (no.clone(), nothing.clone())
        );
        assert_eq!(
            look(&format!("{{pod: {named}}}")),
            (nothing.clone(), nothing.clone()),
            "an account from elsewhere"
        );
        assert_eq!(
            look(&format!("{{pod: {named}, account: mine}}")),
            (no.clone(), nothing.clone())
        );
        assert_eq!(
            look(&format!("{{pod: {named}, account: mine, bound: mine}}")),
            (nothing.clone(), nothing.clone()),
            "a bound account"
        );
        let bound = format!("pod: {named}, account: mine, bound: mine");
        assert_eq!(
            look(&format!("{{{bound}, token: false}}")).0,
            no,
            "a bound account that gives its pods no token anyway"
        );
        assert_eq!(look(&format!("{{{bound}, token: true}}")).0, nothing);
        for (roles, is_free) in [
            ("{kind: Role, metadata: {name: web}, rules: []}", true),
            ("{kind: Role, metadata: {name: web}}", true),
            (
                "{kind: Role, metadata: {name: web}, rules: [{apiGroups: [policy], resources: [podsecuritypolicies], verbs: [use]}]}",
                true,
            ),
            (
                "{kind: Role, metadata: {name: web}, rules: [{apiGroups: [policy], resources: [podsecuritypolicies], verbs: [use]}, {apiGroups: [''], resources: [pods], verbs: [get]}]}",
                false,
            ),
            (
                "{kind: Role, metadata: {name: web}, rules: [{verbs: [use, get]}]}",
                false,
            ),
            ("{kind: Role, metadata: {name: web}, rules: [text]}", false),
            ("{kind: Role, metadata: {name: web}, rules: {a: b}}", false),
            (
                "{kind: ClusterRole, metadata: {name: web}, rules: []}",
                false,
            ),
            ("{kind: Role, metadata: {name: other}, rules: []}", false),
            (
                "{kind: Role, metadata: {name: web}, rules: [], aggregationRule: {}}",
                false,
            ),
            (
                "{kind: Role, metadata: {name: web}, rules: []}, {kind: Role, metadata: {name: web}, rules: [{verbs: [get]}]}",
                false,
            ),
        ] {
            let seen = look(&format!("{{{bound}, roles: [{roles}]}}")).0;
            let wanted = if is_free { &no } else { &nothing };
            assert_eq!(&seen, wanted, "{roles}");
        }
        let mounted = named.replacen('{', "{automountServiceAccountToken: true, ", 1);
        assert_eq!(
            look(&format!(
                "{{pod: {mounted}, account: mine, bound: mine, token: false}}"
            ))
            .0,
            json!(true),
            "the pod wins over its account"
        );
        assert_eq!(
            look(&format!(
                "{{pod: {plain}, bound: 'system:authenticated', subject: Group}}"
            )),
            (nothing.clone(), nothing.clone()),
            "everyone is bound"
        );
        assert_eq!(
            look(&format!("{{pod: {plain}, {}}}", service("http"))),
            (no.clone(), json!("http"))
        );
        assert_eq!(
            look(&format!("{{pod: {named}, {}}}", service("8080"))),
            (nothing.clone(), json!(8080))
        );
        assert_eq!(
            look(&format!("{{pod: {plain}, {}}}", service("7"))),
            (no.clone(), nothing.clone()),
            "no such port"
        );
        let set = format!("kind: StatefulSet, pod: {plain}, {}", service("http"));
        case.assert_equal(&helm, &hardened, &format!("{{{set}}}"));
        case.assert_equal(
            &helm,
            &hardened,
            &format!("{{{set}, management: Parallel}}"),
        );
    }
}

/// Whatever JSON there is, with names of fields that rules look at.
pub fn anything() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "securityContext",
        "runAsUser",
        "runAsNonRoot",
        "capabilities",
        "drop",
        "add",
        "seccompProfile",
        "type",
        "volumeMounts",
        "mountPath",
        "name",
        "image",
        "ports",
        "env",
        "value",
        "containerPort",
        "hostPort",
        "emptyDir",
        "persistentVolumeClaim",
        "sizeLimit",
        "requests",
        "limits",
        "cpu",
        "memory",
        "privileged",
        "command",
        "fsGroup",
        "appArmorProfile",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_i64..70_000).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "ALL",
            "app",
            "RuntimeDefault",
            "/tmp",
            "Unconfined",
            "100m",
            "1Gi",
            "sysctl -n a; sysctl -w a=1",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|entries| {
                entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_hardened_stays_as_it_is(container in anything(), context in anything(), volumes in anything()) {
        let mut container = container;
        if let Some(map) = container.as_object_mut() {
            map.entry("image").or_insert_with(|| "app".into());
        }
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {
                "containers": [container], "securityContext": context, "volumes": volumes,
            }}},
        });
        let (evidence, settings) = (Case::default().evidence, Settings::default());
        let surroundings = Surroundings {
            evidence: &evidence,
            settings: &settings,
            siblings: &Siblings::default(),
            release: &Release { name: "r".into(), namespace: "n".into(), service: "Helm".into(), chart: "c".into(), app_version: "1".into() },
            level: Level::Operable,
        };
        let verdicts = harden(&mut object, surroundings);
        for verdict in &verdicts {
            if let Outcome::Unfixed { reason } = &verdict.outcome {
                prop_assert!(!reason.contains("defect"), "{verdict:?}");
            }
        }
        let once = object.clone();
        let again = harden(&mut object, surroundings);
        prop_assert!(!again.iter().any(|v| matches!(v.outcome, Outcome::Fixed { .. })), "{again:?}");
        prop_assert_eq!(once, object);
    }
}
