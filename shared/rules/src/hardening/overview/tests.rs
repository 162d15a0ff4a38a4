use quench_chart::render::{Document, Rendered};

use super::*;

fn overview(text: &str) -> Overview {
    let documents = quench_chart::yaml::documents(text)
        .into_iter()
        .map(|text| Document {
            source: "x/templates/x.yaml".to_owned(),
            text: text.to_owned(),
            object: Some(quench_chart::yaml::parse(text).unwrap()),
        })
        .collect();
    Overview::of(&Rendered {
        text: text.to_owned(),
        documents,
    })
}

const WEB: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules: [{host: web.example.org, http: {paths: [{path: /, backend: {service: {name: web, port: {name: http}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      securityContext: {runAsUser: 33.0, runAsNonRoot: true}
      volumes: [{name: tmp, emptyDir: {}}, {name: key, secret: {secretName: tls}}]
      containers:
      - name: app
        image: web:1
        securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        env: [{name: DATABASE, value: 'postgres://user@db:5432/app'}, {name: NOTE, value: a db is needed}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {port: http}}
        volumeMounts: [{name: tmp, mountPath: /tmp}, {name: key, mountPath: /key, readOnly: true}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  volumeClaimTemplates: [{metadata: {name: data}, spec: {resources: {requests: {storage: 8Gi}}}}]
  template:
    metadata: {labels: {app: db}}
    spec: {automountServiceAccountToken: false, containers: [{name: db, image: db:1}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web}
rules: [{apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [tls]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {kind: Role, name: web}
subjects: [{kind: ServiceAccount, name: web}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: view}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: Group, name: everybody}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 5432}], from: [{podSelector: {matchLabels: {app: web}}}]}]}
";

#[test]
fn flows_are_read_from_selectors_backends_and_settings() {
    let network = overview(WEB).network;
    let edges: Vec<String> = network
        .edges
        .iter()
        .map(|e| format!("{} > {} {}", e.from, e.to, e.ports.join(",")))
        .collect();
    for edge in [
        "clients outside the cluster > Ingress/web HTTP",
        "Ingress/web > Service/web http",
        "Service/web > Deployment/web http",
        "Deployment/web > Service/db 5432",
        "Service/db > StatefulSet/db 5432",
        "Deployment/web > Kubernetes API 443",
    ] {
        assert!(
            edges.iter().any(|found| found == edge),
            "{edge}: {edges:#?}"
        );
    }
    assert_eq!(edges.len(), 6, "{edges:#?}");
    let db = network
        .nodes
        .iter()
        .find(|n| n.name == "StatefulSet/db")
        .unwrap();
    assert_eq!(db.ingress, Some(Exposure::Limited));
    assert_eq!(db.egress, Some(Exposure::Closed));
    let web = network
        .nodes
        .iter()
        .find(|n| n.name == "Deployment/web")
        .unwrap();
    assert_eq!(web.ingress, Some(Exposure::Open));
    assert_eq!(
        network.policies[0].ingress.as_deref(),
        Some(&["port 5432 from pods app=web of the namespace".to_owned()][..])
    );
}

#[test]
fn a_word_is_not_taken_for_a_host() {
    let calls = |value: &str| {
        let text = WEB.replace("postgres://user@db:5432/app", value);
        overview(&text)
            .network
            .edges
            .iter()
            .any(|edge| edge.from == "Deployment/web" && edge.to == "Service/db")
    };
    for host in [
        "db",
        "http://db",
        "db:5432",
        "--host=db",
        "db.prod.svc.cluster.local",
        "a,db",
    ] {
        assert!(calls(host), "{host}");
    }
    for other in ["mydb", "db-2", "db.example.org", "dbs", "a.db", "x_db"] {
        assert!(!calls(other), "{other}");
    }
}

#[test]
fn containers_volumes_accounts_and_permissions_are_listed() {
    let overview = overview(WEB);
    let app = &overview.containers[0];
    assert_eq!(
        (app.user, app.non_root, app.read_only_root, app.can_escalate),
        (Some(33), true, true, false)
    );
    assert_eq!(app.ports[0].probes, ["readiness"]);
    assert!(app.mounts[1].read_only);
    let volumes: Vec<String> = overview
        .volumes
        .iter()
        .map(|v| format!("{} {} {}", v.volume, v.kind, v.holds))
        .collect();
    assert_eq!(
        volumes,
        [
            "tmp emptyDir ",
            "key secret tls",
            "data persistentVolumeClaim one of 8Gi a pod"
        ]
    );
    let web = overview
        .accounts
        .iter()
        .find(|a| a.name == "ServiceAccount web")
        .unwrap();
    assert!(web.created && web.bound && web.with_token == ["Deployment/web"]);
    let default = overview
        .accounts
        .iter()
        .find(|a| a.name == "ServiceAccount default")
        .unwrap();
    assert!(default.with_token.is_empty() && !default.bound);
    let reads = overview
        .permissions
        .iter()
        .find(|p| p.role == "Role/web")
        .unwrap();
    assert_eq!(
        (reads.concern.as_str(), reads.names.as_slice()),
        ("reads Secrets", &["tls".to_owned()][..])
    );
    // A role the chart does not bring is not one that allows nothing.
    let view = overview
        .permissions
        .iter()
        .find(|p| p.role == "ClusterRole/view")
        .unwrap();
    assert!(!view.known && view.cluster_wide && !view.concern.is_empty());
}
