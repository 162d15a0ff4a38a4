//! Images without a chart: a package always has one, so a small one is made for them.
//!
//! An image says how it is started and nothing of what it is for, so the chart runs each as a Deployment of one replica
//! with the image's own entrypoint. That is enough for every level after this one to work, and the values are where a
//! user says more.

use bytes::Bytes;
use quench_chart::Chart;
use quench_model::ImageReference;
use quench_package::EngineError;
use serde_json::json;

/// Version of a chart made here, where none is given.
pub(crate) const VERSION: &str = "0.1.0";

const TEMPLATE: &str = r#"{{- range .Values.workloads }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ printf "%s-%s" $.Release.Name .name | trunc 63 | trimSuffix "-" }}
  labels:
    app.kubernetes.io/name: {{ .name }}
    app.kubernetes.io/instance: {{ $.Release.Name }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ .name }}
      app.kubernetes.io/instance: {{ $.Release.Name }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ .name }}
        app.kubernetes.io/instance: {{ $.Release.Name }}
    spec:
      containers:
        - name: {{ .name }}
          image: {{ .image | quote }}
          {{- with .command }}
          command: {{ toJson . }}
          {{- end }}
          {{- with .args }}
          args: {{ toJson . }}
          {{- end }}
          {{- with .env }}
          env: {{ toJson . }}
          {{- end }}
          {{- with .ports }}
          ports: {{ toJson . }}
          {{- end }}
          {{- with .resources }}
          resources: {{ toJson . }}
          {{- end }}
{{- end }}
"#;

/// A chart that runs these images.
///
/// # Errors
/// There are none, or the name is no chart's name.
pub(crate) fn chart(
    images: &[ImageReference],
    name: &str,
    version: &str,
) -> Result<Chart, EngineError> {
    let mut taken: Vec<String> = Vec::new();
    let workloads: Vec<serde_json::Value> = images
        .iter()
        .map(|image| {
            let wanted = of_image(image).replace(['.', '_'], "-");
            let mut own = wanted.clone();
            let mut count = 1;
            while taken.contains(&own) {
                count += 1;
                own = format!("{wanted}-{count}");
            }
            taken.push(own.clone());
            json!({
                "name": own,
                "image": image.to_string(),
                "replicas": 1,
                "command": [],
                "args": [],
                "env": [],
                "ports": [],
                "resources": {},
            })
        })
        .collect();
    let values = quench_chart::yaml::to_string(&json!({ "workloads": workloads }));
    let files = [
        ("Chart.yaml", metadata(name, version, "container images")),
        ("values.yaml", Bytes::from(values)),
        (
            "templates/workloads.yaml",
            Bytes::from_static(TEMPLATE.as_bytes()),
        ),
    ];
    let files = files.map(|(path, content)| (path.to_owned(), content));
    Chart::from_files(files.into()).map_err(|e| EngineError::Input(e.to_string()))
}

/// The last part of an image's repository.
pub(crate) fn of_image(image: &ImageReference) -> String {
    name_of(image.repository().rsplit('/').next().unwrap_or_default())
}

/// A chart's name out of any text; what cannot be made one is refused where it is used.
pub(crate) fn name_of(text: &str) -> String {
    let clean: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .take(53)
        .collect();
    clean.trim_matches('-').to_owned()
}

/// `Chart.yaml` of a chart that is made here.
pub(super) fn metadata(name: &str, version: &str, of: &str) -> Bytes {
    let metadata = json!({
        "apiVersion": "v2",
        "name": name,
        "version": version,
        "type": "application",
        "description": format!("Made by Quench of {of}"),
    });
    quench_chart::yaml::to_string(&metadata).into()
}
