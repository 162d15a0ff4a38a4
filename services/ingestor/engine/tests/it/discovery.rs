//! The suite of reference shapes: every image a chart may use is found, with why; nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, Survey, pack};
use quench_model::{FindingKind, ImageSelection};
use quench_package::{FoundBy, ImageClass};
use time::macros::date;

use crate::made::{context, copy, have, layout, store};
use crate::server::Registry;

const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What is expected of one image: class, way, and a part of the evidence.
type Expected = (&'static str, ImageClass, FoundBy, &'static str);

/// A chart of these files, surveyed without asking any registry.
async fn survey(files: &[(&str, &str)]) -> Survey {
    survey_at(files, &[]).await.unwrap()
}

fn written(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
    let chart = folder.join("chart");
    let metadata = (
        "Chart.yaml",
        "apiVersion: v2\nname: demo\nversion: 1.0.0\nappVersion: '9.9'\n",
    );
    for (path, text) in [metadata].iter().chain(files) {
        let path = chart.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("HEX", HEX)).unwrap();
    }
    chart
}

async fn survey_at(files: &[(&str, &str)], values: &[&str]) -> Result<Survey, String> {
    let folder = tempfile::tempdir().unwrap();
    let chart = written(folder.path(), files);
    let mut options = PackOptions::new(ChartSource::Folder(chart));
    for (index, text) in values.iter().enumerate() {
        let path = folder.path().join(format!("values-{index}.yaml"));
        std::fs::write(&path, text).unwrap();
        options.values.push(path);
    }
    let here = context(&store(&folder));
    let submission = pack(&options, date!(2026 - 01 - 01), &here)
        .await
        .map_err(|error| error.to_string())?;
    Engine::new(EngineOptions::default())
        .survey(&submission, false, &here)
        .await
        .map_err(|error| error.to_string())
}

/// Exactly these images are found, each in its way.
fn assert_found(shape: &str, survey: &Survey, expected: &[Expected]) {
    let found: BTreeMap<String, ImageClass> = survey
        .images
        .iter()
        .map(|image| (image.reference.to_string(), image.class))
        .collect();
    let wanted: BTreeMap<String, ImageClass> = expected
        .iter()
        .map(|(reference, class, ..)| (reference.replace("HEX", HEX), *class))
        .collect();
    assert_eq!(found, wanted, "{shape}");
    for (reference, _, way, place) in expected {
        let reference = reference.replace("HEX", HEX);
        let image = survey
            .images
            .iter()
            .find(|image| image.reference.to_string() == reference)
            .unwrap();
        assert!(
            image
                .evidence
                .iter()
                .any(|evidence| evidence.found_by == *way && evidence.to_string().contains(place)),
            "{shape}: {reference}: {way:?} {place:?}: {:#?}",
            image.evidence
        );
    }
    let possible = survey
        .images
        .iter()
        .filter(|image| image.class == ImageClass::Possible)
        .count();
    let findings = survey
        .findings
        .iter()
        .filter(|finding| finding.canonical_id == "image-not-confirmed")
        .count();
    assert_eq!(
        findings, possible,
        "{shape}: what is possible is a finding each"
    );
}

fn pod(name: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{container}]}}\n"
    )
}

use FoundBy::{Annotation, CustomResource, LockFile, PodSpec, Text, Values};
use ImageClass::{Optional, Possible, Required};

#[tokio::test]
async fn references_in_pods_of_every_kind_are_found() {
    if !have(&["helm"]) {
        return;
    }
    let spec = "{containers: [{name: main, image: 'quay.io/a/IMAGE:1'}], initContainers: [{name: init, image: \
                'localhost:5000/IMAGE:7'}], ephemeralContainers: [{name: debug, image: 'IMAGE@sha256:HEX'}], volumes: \
                [{name: model, image: {reference: 'registry:5000/models/IMAGE:2024'}}]}";
    for (kind, head) in [
        ("v1/Pod", "spec: SPEC"),
        ("apps/v1/Deployment", "spec: {template: {spec: SPEC}}"),
        ("apps/v1/StatefulSet", "spec: {template: {spec: SPEC}}"),
        ("apps/v1/DaemonSet", "spec: {template: {spec: SPEC}}"),
        ("apps/v1/ReplicaSet", "spec: {template: {spec: SPEC}}"),
        ("v1/ReplicationController", "spec: {template: {spec: SPEC}}"),
        ("batch/v1/Job", "spec: {template: {spec: SPEC}}"),
        (
            "batch/v1/CronJob",
            "spec: {jobTemplate: {spec: {template: {spec: SPEC}}}}",
        ),
        ("v1/PodTemplate", "template: {spec: SPEC}"),
    ] {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        let text = format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, annotations: {{'helm.sh/hook': pre-install}}}}\n{}\n",
            head.replace("SPEC", spec).replace("IMAGE", "x")
        );
        let found = survey(&[("templates/x.yaml", &text)]).await;
        assert_found(
            kind,
            &found,
            &[
                ("quay.io/a/x:1", Required, PodSpec, "/x/main containers"),
                (
                    "localhost:5000/x:7",
                    Required,
                    PodSpec,
                    "/x/init initContainers",
                ),
                (
                    "docker.io/library/x@sha256:HEX",
                    Required,
                    PodSpec,
                    "/x/debug ephemeralContainers",
                ),
                (
                    "registry:5000/models/x:2024",
                    Required,
                    PodSpec,
                    "/x/model volumes",
                ),
            ],
        );
    }
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, \
                image: 'a:1'}]}}\n- apiVersion: v1\n  kind: List\n  items: [{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: \
                {containers: [{name: c, image: 'b:1'}]}}]\n";
    assert_found(
        "List",
        &survey(&[("templates/x.yaml", list)]).await,
        &[
            ("docker.io/library/a:1", Required, PodSpec, "Pod/a/c"),
            ("docker.io/library/b:1", Required, PodSpec, "Pod/b/c"),
        ],
    );
}

#[tokio::test]
async fn references_in_text_are_found_in_every_shape() {
    if !have(&["helm"]) {
        return;
    }
    let shapes: [(&str, &str, Vec<Expected>); 13] = [
        (
            "env",
            "{name: c, image: 'own:1', env: [{name: RELOADER_IMAGE, value: 'quay.io/x/reloader:v1'}, {name: TOOL_IMAGE, value: \
             busybox}, {name: IMAGE_TAG, value: v2}, {name: URL, value: 'https://quay.io/x/y:1'}, {name: REDIS, value: 'redis:6379'}]}",
            vec![
                (
                    "quay.io/x/reloader:v1",
                    Possible,
                    Text,
                    "containers.env.RELOADER_IMAGE",
                ),
                (
                    "docker.io/library/busybox:latest",
                    Possible,
                    Text,
                    "containers.env.TOOL_IMAGE",
                ),
            ],
        ),
        (
            "env in parts",
            "{name: c, image: 'own:1', env: [{name: SIDECAR_IMAGE_REPOSITORY, value: quay.io/x/side}, {name: SIDECAR_IMAGE_TAG, \
             value: v3}]}",
            vec![(
                "quay.io/x/side:v3",
                Possible,
                Text,
                "containers.env.sidecar_image*",
            )],
        ),
        (
            "args with flags",
            "{name: c, image: 'own:1', args: ['--config-reloader-image=quay.io/x/r:v0.9', '--listen=0.0.0.0:8080', --helper-image, \
             'team/helper:2', '--upstream=http://localhost:9090/']}",
            vec![
                ("quay.io/x/r:v0.9", Possible, Text, "containers.args"),
                ("docker.io/team/helper:2", Possible, Text, "containers.args"),
            ],
        ),
        (
            "command line",
            "{name: c, image: 'own:1', command: [sh, -c, 'crictl pull ghcr.io/x/pulled:1.2 && echo done > /tmp/x:y']}",
            vec![("ghcr.io/x/pulled:1.2", Possible, Text, "containers.command")],
        ),
        (
            "digest alone",
            "{name: c, image: 'own:1', env: [{name: X, value: 'quay.io/x/pinned@sha256:HEX'}]}",
            vec![(
                "quay.io/x/pinned@sha256:HEX",
                Possible,
                Text,
                "containers.env.X",
            )],
        ),
        (
            "tag and digest",
            "{name: c, image: 'own:1', env: [{name: X, value: 'quay.io/x/pinned:v1@sha256:HEX'}]}",
            vec![(
                "quay.io/x/pinned:v1@sha256:HEX",
                Possible,
                Text,
                "containers.env.X",
            )],
        ),
        (
            "numeric tag",
            "{name: c, image: 'own:1', env: [{name: X, value: 'quay.io/x/n:20240101'}]}",
            vec![("quay.io/x/n:20240101", Possible, Text, "containers.env.X")],
        ),
        (
            "port in host",
            "{name: c, image: 'own:1', env: [{name: X, value: 'registry.local:5000/x/p:7'}]}",
            vec![(
                "registry.local:5000/x/p:7",
                Possible,
                Text,
                "containers.env.X",
            )],
        ),
        (
            "several in one value",
            "{name: c, image: 'own:1', env: [{name: X, value: 'a=quay.io/x/a:1,b=quay.io/x/b:2;quay.io/x/c:3 quay.io/x/d:4'}]}",
            vec![
                ("quay.io/x/a:1", Possible, Text, "containers.env.X"),
                ("quay.io/x/b:2", Possible, Text, "containers.env.X"),
                ("quay.io/x/c:3", Possible, Text, "containers.env.X"),
                ("quay.io/x/d:4", Possible, Text, "containers.env.X"),
            ],
        ),
        (
            "json in an argument",
            r#"{name: c, image: 'own:1', args: ['--config={"image":"quay.io/x/j:1","pull":"Always"}']}"#,
            vec![("quay.io/x/j:1", Possible, Text, "containers.args")],
        ),
        (
            "the same image as a pod's",
            "{name: c, image: 'own:1', env: [{name: SELF_IMAGE, value: 'docker.io/library/own:1'}]}",
            vec![],
        ),
        (
            "a base image whose tag comes from elsewhere",
            "{name: c, image: 'own:1', args: ['--default-base-image=docker.io/library/own']}",
            vec![],
        ),
        (
            "nothing",
            "{name: c, image: 'own:1', args: ['--volume=/etc/x:/etc/y:ro', '--peer=node-0.svc.cluster.local:2380', \
             '--toleration=node-role.kubernetes.io/master:NoSchedule', '--label=app.kubernetes.io/name', '--time=12:30:00', '--x=a/b', \
             '--api=monitoring.coreos.com/v1']}",
            vec![],
        ),
    ];
    for (shape, container, mut expected) in shapes {
        let found = survey(&[("templates/x.yaml", &pod("x", container))]).await;
        expected.push((
            "docker.io/library/own:1",
            Required,
            PodSpec,
            "Pod/x/c containers",
        ));
        assert_found(shape, &found, &expected);
    }
}

#[tokio::test]
async fn config_maps_and_secrets_are_read() {
    if !have(&["helm"]) {
        return;
    }
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n  images: \"quay.io/x/a:1, quay.io/x/b@sha256:HEX \
               localhost:5000/c:2\"\n  config.yaml: |\n    sidecar:\n      image:\n        registry: quay.io\n        repository: x/split\n        \
               tag: v4\n    other:\n      repository: https://charts.example.org\n      version: '1'\n    # about quay.io/x/untagged\n  \
               config.json: '{\"runner\": {\"image\": \"ghcr.io/x/json:5\"}, \"endpoint\": \"https://ghcr.io/x/json:6\"}'\n  \
               prometheus.rules: 'rate(container_cpu{image!=\"\",name=~\"a/b:c\"}[5m])'\n  JOB_IMAGE_REPOSITORY: quay.io/x/job\n  \
               JOB_IMAGE_TAG: '6'\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {env: \
               'WORKER_IMAGE=quay.io/x/worker:7'}\ndata: {file: {{ \"proxy_image: quay.io/x/proxy:8\" | b64enc }}, key: AAECAw==}\n";
    assert_found(
        "ConfigMap and Secret",
        &survey(&[("templates/x.yaml", map)]).await,
        &[
            (
                "quay.io/x/a:1",
                Possible,
                Text,
                "ConfigMap/settings data.images",
            ),
            (
                "quay.io/x/b@sha256:HEX",
                Possible,
                Text,
                "ConfigMap/settings data.images",
            ),
            (
                "localhost:5000/c:2",
                Possible,
                Text,
                "ConfigMap/settings data.images",
            ),
            (
                "quay.io/x/split:v4",
                Possible,
                Text,
                "data.config.yaml.sidecar.image",
            ),
            ("ghcr.io/x/json:5", Possible, Text, "data.config.json"),
            ("quay.io/x/job:6", Possible, Text, "data.job_image*"),
            (
                "quay.io/x/worker:7",
                Possible,
                Text,
                "Secret/hidden stringData.env",
            ),
            (
                "quay.io/x/proxy:8",
                Possible,
                Text,
                "Secret/hidden data.file",
            ),
        ],
    );
}

#[tokio::test]
async fn custom_resources_are_searched_by_name_and_by_schema() {
    if !have(&["helm"]) {
        return;
    }
    let resource = "apiVersion: db.example.com/v1\nkind: Database\nmetadata: {name: main}\nspec:\n  image: quay.io/x/db:15\n  \
                    backup: {image: {registry: quay.io, repository: x/backup, tag: 3}}\n  exporter: {baseImage: \
                    'quay.io/x/exporter@sha256:HEX'}\n  pooler: {repository: quay.io/x/pooler, version: v9}\n  runtime: \
                    quay.io/x/runtime:2\n  template: {spec: {containers: [{name: side, image: 'quay.io/x/side:1'}]}}\n  replicas: 3\n  \
                    url: 'https://example.org/db:1'\n  storageClass: fast\n  logoImage: assets/logo.png\n  imagePullPolicy: Always\n";
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: databases.db.example.com}\n\
                      spec: {group: db.example.com, names: {kind: Database}, versions: [{name: v1, schema: {openAPIV3Schema: {properties: \
                      {spec: {properties: {runtime: {type: string, description: 'Container image of the runtime.'}, storageClass: {type: \
                      string, description: 'Class of the volumes.'}}}}}}}]}\n";
    let files = [
        ("crds/database.yaml", definition),
        ("templates/x.yaml", resource),
    ];
    assert_found(
        "custom resource",
        &survey(&files).await,
        &[
            (
                "quay.io/x/db:15",
                Required,
                CustomResource,
                "Database/main spec.image",
            ),
            (
                "quay.io/x/backup:3",
                Required,
                CustomResource,
                "spec.backup.image",
            ),
            (
                "quay.io/x/exporter@sha256:HEX",
                Required,
                CustomResource,
                "spec.exporter.baseImage",
            ),
            (
                "quay.io/x/runtime:2",
                Possible,
                CustomResource,
                "spec.runtime",
            ),
            (
                "quay.io/x/side:1",
                Required,
                CustomResource,
                "spec.template.spec.containers[0].image",
            ),
        ],
    );
}

#[tokio::test]
async fn annotations_locks_and_values_that_nothing_renders_are_read() {
    if !have(&["helm"]) {
        return;
    }
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: demo\nversion: 1.0.0\nappVersion: '9.9'\nannotations:\n  artifacthub.io/images: |\n    - name: a\n      \
             image: quay.io/x/hub:1\n      platforms: [linux/amd64]\n  helm.sh/images: |\n    - quay.io/x/helm:2\n  images: |\n    - \
             {name: b, image: 'docker.io/x/bitnami:3'}\n  artifacthub.io/links: |\n    - url: https://quay.io/x/link:1\n",
        ),
        (
            "Images.lock",
            "apiVersion: v0\nkind: ImagesLock\nimages:\n- name: c\n  image: quay.io/x/locked:4\n  chart: demo\n  digests: [{digest: \
             'sha256:HEX', arch: linux/amd64}]\n",
        ),
        (
            "values.yaml",
            "image: {repository: x/own, tag: ''}\nunused: {registry: quay.io, repository: x/unused, tag: 5}\nversioned: {image: \
             {repository: quay.io/x/versioned, tag: ''}}\nwhole: {image: 'quay.io/x/whole:6'}\nchart: {repository: \
             'https://charts.example.org', version: '1'}\n",
        ),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\nappVersion: '7.7'\nannotations: {images: '[{image: \"quay.io/x/sub:8\"}]'}\n",
        ),
        (
            "charts/sub/values.yaml",
            "tool: {image: {repository: quay.io/x/tool, tag: ''}}\n",
        ),
        (
            "templates/x.yaml",
            &pod(
                "x",
                "{name: c, image: '{{ .Values.image.repository }}:v{{ .Chart.AppVersion }}'}",
            ),
        ),
    ];
    assert_found(
        "declared",
        &survey(&files).await,
        &[
            ("docker.io/x/own:v9.9", Required, PodSpec, "Pod/x/c"),
            (
                "quay.io/x/hub:1",
                Possible,
                Annotation,
                "Chart.yaml annotations.artifacthub.io/images",
            ),
            (
                "quay.io/x/helm:2",
                Possible,
                Annotation,
                "annotations.helm.sh/images",
            ),
            (
                "docker.io/x/bitnami:3",
                Possible,
                Annotation,
                "annotations.images",
            ),
            (
                "quay.io/x/locked:4",
                Possible,
                LockFile,
                "Images.lock images",
            ),
            ("quay.io/x/unused:5", Possible, Values, "values.yaml unused"),
            (
                "quay.io/x/versioned:9.9",
                Possible,
                Values,
                "values.yaml versioned.image",
            ),
            (
                "quay.io/x/whole:6",
                Possible,
                Values,
                "values.yaml whole.image",
            ),
            (
                "quay.io/x/sub:8",
                Possible,
                Annotation,
                "charts/sub/Chart.yaml",
            ),
            (
                "quay.io/x/tool:7.7",
                Possible,
                Values,
                "values.yaml sub.tool.image",
            ),
        ],
    );
}

#[tokio::test]
async fn gates_are_opened_and_what_opens_them_is_told() {
    if !have(&["helm"]) {
        return;
    }
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies:\n- {name: worker, version: 1.0.0, alias: first, condition: \
             first.enabled}\n- {name: worker, version: 1.0.0, alias: second, condition: second.enabled}\n- {name: kit, version: 1.0.0}\n",
        ),
        (
            "values.yaml",
            "metrics: {enabled: false, sidecar: {enabled: false}}\nmode: single\nfirst: {enabled: true, image: 'w:1'}\nsecond: {enabled: \
             false, image: 'w:2'}\nrefuses: {enabled: false}\n",
        ),
        (
            "charts/worker/Chart.yaml",
            "apiVersion: v2\nname: worker\nversion: 1.0.0\n",
        ),
        (
            "charts/worker/values.yaml",
            "image: none\nextra: {enabled: false}\n",
        ),
        (
            "charts/worker/templates/x.yaml",
            &format!(
                "{}{{{{ if .Values.extra.enabled }}}}---\n{}{{{{ end }}}}",
                pod(
                    "{{ .Chart.Name }}",
                    "{name: c, image: '{{ .Values.image }}'}"
                ),
                pod(
                    "{{ .Chart.Name }}-extra",
                    "{name: c, image: '{{ .Values.image }}-extra'}"
                ),
            ),
        ),
        (
            "charts/kit/Chart.yaml",
            "apiVersion: v2\nname: kit\nversion: 1.0.0\ntype: library\n",
        ),
        (
            "charts/kit/templates/_pod.tpl",
            &format!(
                "{{{{ define \"kit.pod\" }}}}{}{{{{ end }}}}",
                pod("{{ .name }}", "{name: c, image: '{{ .image }}'}")
            ),
        ),
        (
            "templates/x.yaml",
            "{{ include \"kit.pod\" (dict \"name\" \"main\" \"image\" \"main:1\") }}\n{{ if .Values.metrics.enabled }}\n---\n{{ include \
             \"kit.pod\" (dict \"name\" \"metrics\" \"image\" \"metrics:1\") }}\n{{ if .Values.metrics.sidecar.enabled }}\n---\n{{ include \
             \"kit.pod\" (dict \"name\" \"side\" \"image\" \"side:1\") }}\n{{ end }}{{ end }}\n{{ if eq .Values.mode \"cluster\" }}\n---\n{{ \
             include \"kit.pod\" (dict \"name\" \"cluster\" \"image\" \"cluster:1\") }}\n{{ end }}\n{{ if .Values.refuses.enabled }}{{ fail \
             \"refuses needs a license\" }}\n---\n{{ include \"kit.pod\" (dict \"name\" \"never\" \"image\" \"never:1\") }}\n{{ end }}\n",
        ),
    ];
    let found = survey(&files).await;
    assert_found(
        "gates",
        &found,
        &[
            (
                "docker.io/library/main:1",
                Required,
                PodSpec,
                "Pod/main/c containers",
            ),
            ("docker.io/library/w:1", Required, PodSpec, "Pod/first/c"),
            (
                "docker.io/library/metrics:1",
                Optional,
                PodSpec,
                "with metrics.enabled=true",
            ),
            (
                "docker.io/library/side:1",
                Optional,
                PodSpec,
                "with metrics.enabled=true,metrics.sidecar.enabled=true",
            ),
            (
                "docker.io/library/cluster:1",
                Optional,
                PodSpec,
                "with mode=cluster",
            ),
            (
                "docker.io/library/w:2",
                Optional,
                PodSpec,
                "with second.enabled=true",
            ),
            (
                "docker.io/library/w:1-extra",
                Optional,
                PodSpec,
                "with first.extra.enabled=true",
            ),
            (
                "docker.io/library/w:2-extra",
                Optional,
                PodSpec,
                "with second.enabled=true,second.extra.enabled=true",
            ),
        ],
    );
    let failed = &found.values.failed["refuses.enabled=true"];
    assert!(failed.contains("refuses needs a license"), "{failed}");
    let finding = found
        .findings
        .iter()
        .find(|finding| finding.canonical_id == "values-not-rendered")
        .unwrap();
    assert_eq!(finding.kind, FindingKind::Completeness);
    assert_eq!(finding.evidence[0].source, "refuses.enabled=true");

    let on = survey_at(&files, &["metrics: {enabled: true}\n"])
        .await
        .unwrap();
    let class = |image: &str| {
        on.images
            .iter()
            .find(|i| i.reference.to_string().contains(image))
            .unwrap()
            .class
    };
    assert_eq!((class("metrics:1"), class("side:1")), (Required, Optional));
    let refused = survey_at(&files, &["refuses: {enabled: true}\n"])
        .await
        .unwrap_err();
    assert!(refused.contains("refuses needs a license"), "{refused}");
}

/// Text is confirmed by a registry or by what is given; optional images are fetched, or left out and told.
#[tokio::test]
async fn what_is_confirmed_is_fetched_and_what_is_left_out_is_told() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["main", "text", "gated"] {
        let image = layout(folder.path(), name, "latest", name);
        copy(
            &format!("oci:{}:latest", image.display()),
            &format!("docker://{}/team/{name}:1", registry.host),
        );
    }
    let host = registry.host.as_str();
    let template = format!(
        "{}{{{{ if .Values.gate }}}}---\n{}{{{{ end }}}}",
        pod(
            "x",
            &format!(
                "{{name: c, image: '{host}/team/main:1', env: [{{name: A, value: 'see {host}/team/text:1'}}, {{name: B, value: \
                 '{host}/team/absent:1'}}]}}"
            )
        ),
        pod(
            "gated",
            &format!("{{name: c, image: '{host}/team/gated:1'}}")
        ),
    );
    let files = [
        ("templates/x.yaml", template.as_str()),
        ("values.yaml", "gate: false\n"),
    ];
    let chart = written(folder.path(), &files);
    let mut options = PackOptions::new(ChartSource::Folder(chart.clone()));
    let here = context(&store(&folder));
    let engine = Engine::new(EngineOptions::default());
    let submission = pack(&options, date!(2026 - 01 - 01), &here).await.unwrap();
    let outcome = engine.run(&submission, &here).await.unwrap();
    let lock = outcome.package.load_lock(&here.store).await.unwrap();
    let classes: BTreeMap<&str, ImageClass> = lock
        .images
        .iter()
        .map(|(reference, image)| (reference.strip_prefix(host).unwrap(), image.class))
        .collect();
    assert_eq!(
        classes,
        BTreeMap::from([
            ("/team/gated:1", Optional),
            ("/team/main:1", Required),
            ("/team/text:1", Required),
        ])
    );
    let absent = &lock.left_out[&format!("{host}/team/absent:1")];
    assert_eq!(absent.class, Possible);
    assert!(absent.reason.contains("has no 1"), "{}", absent.reason);
    let ids: BTreeSet<&str> = outcome
        .findings
        .iter()
        .map(|finding| finding.canonical_id.as_str())
        .collect();
    assert_eq!(ids, BTreeSet::from(["image-not-confirmed"]));

    options.policy.images = ImageSelection::Required;
    let submission = pack(&options, date!(2026 - 01 - 01), &here).await.unwrap();
    let outcome = engine.run(&submission, &here).await.unwrap();
    assert_eq!(outcome.package.images.len(), 2);
    let told = outcome
        .findings
        .iter()
        .find(|finding| finding.canonical_id == "optional-image-left-out")
        .unwrap();
    assert_eq!(
        told.subject.image.as_deref(),
        Some(format!("{host}/team/gated").as_str())
    );
    assert!(told.evidence[0].fact.contains("with gate=true"), "{told:?}");

    let survey = engine.survey(&submission, true, &here).await.unwrap();
    let gated = survey
        .images
        .iter()
        .find(|image| image.reference.repository() == "team/gated")
        .unwrap();
    let available = gated.available.as_ref().unwrap();
    assert_eq!(
        available.digest,
        lock.images[&format!("{host}/team/gated:1")].digest
    );
    assert_eq!(
        available.total_size,
        lock.images[&format!("{host}/team/gated:1")].total_size
    );

    // An optional image that cannot be had refuses the package, and says what to do.
    std::fs::write(
        chart.join("templates/x.yaml"),
        template.replace("team/gated:1", "team/gone:1"),
    )
    .unwrap();
    options.policy.images = ImageSelection::All;
    let submission = pack(&options, date!(2026 - 01 - 01), &here).await.unwrap();
    let error = engine
        .run(&submission, &here)
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "team/gone:1",
        "Pod/gated/c",
        "gate=true",
        "--images required",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
