//! Running helm: what comes out, what is refused, what is bounded.

use std::time::Duration;

use quench_chart::render::{Limits, RenderError, Request};

use crate::programs::{block_on, chart, helms, render, with};

#[test]
fn values_sets_versions_and_hooks_reach_the_chart() {
    let demo = chart(&[
        ("values.yaml", "a: 1\nb: 1\nc: 1\n"),
        (
            "templates/x.yaml",
            "a: {{ .Values.a }}\nb: {{ .Values.b }}\nc: {{ .Values.c }}\nrelease: {{ .Release.Name }}/{{ .Release.Namespace }}\n\
             kube: {{ .Capabilities.KubeVersion.Version }}\napi: {{ .Capabilities.APIVersions.Has \"foo/v1\" }}\nupgrade: {{ .Release.IsUpgrade }}\n",
        ),
        (
            "templates/hook.yaml",
            "kind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: test}}\n",
        ),
        ("crds/c.yaml", "kind: CustomResourceDefinition\n"),
    ]);
    let request = Request {
        release: "r".to_owned(),
        namespace: "n".to_owned(),
        values: vec!["b: 2\nc: 2\n".to_owned(), "c: 3\n".to_owned()],
        set: vec!["a=-9".to_owned()],
        kube_version: Some("1.31.0".to_owned()),
        api_versions: vec!["foo/v1".to_owned()],
        include_crds: true,
        is_upgrade: true,
    };
    for (name, helm) in helms() {
        let version = block_on(helm.version()).unwrap();
        assert!(version.starts_with('v'), "{name}: {version}");
        let rendered = render(&helm, &demo, &request);
        let sources: Vec<_> = rendered
            .documents
            .iter()
            .map(|document| document.source.as_str())
            .collect();
        assert_eq!(
            sources,
            [
                "demo/crds/c.yaml",
                "demo/templates/x.yaml",
                "demo/templates/hook.yaml"
            ],
            "{name}"
        );
        let object = rendered.documents[1].object.as_ref().unwrap();
        assert_eq!(
            *object,
            serde_json::json!({
                "a": -9, "b": 2, "c": 3, "release": "r/n", "kube": "v1.31.0", "api": true, "upgrade": true
            }),
            "{name}"
        );
    }
}

#[test]
fn the_chart_sees_nothing_of_the_host() {
    // `env` does not exist in Helm; the rest shows what a template could find out.
    let demo = chart(&[(
        "templates/x.yaml",
        "dns: {{ getHostByName \"localhost\" | quote }}\nlookup: {{ lookup \"v1\" \"Secret\" \"a\" \"b\" | toJson }}\n",
    )]);
    for (name, helm) in helms() {
        let rendered = render(&helm, &demo, &Request::default());
        assert_eq!(
            rendered.documents[0].object,
            Some(serde_json::json!({"dns": "", "lookup": {}})),
            "{name}"
        );
    }
}

#[test]
fn errors_carry_the_message_of_the_chart() {
    let demo = chart(&[(
        "templates/x.yaml",
        "{{ fail \"set auth.password, since nothing else will do\" }}",
    )]);
    for (name, helm) in helms() {
        let error = block_on(helm.render(&demo, &Request::default())).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("helm could not render chart demo: ")
                && message.contains("set auth.password, since nothing else will do")
                && message.contains("demo/templates/x.yaml")
                && !message.contains("quench-helm-"),
            "{name}: {message}"
        );
        let error = block_on(helm.render(&demo, &with(&["a=b=c,d"]))).unwrap_err();
        assert!(matches!(error, RenderError::Helm { .. }), "{name}: {error}");
    }
}

#[test]
fn charts_that_never_end_are_ended() {
    let endless = chart(&[(
        "templates/x.yaml",
        "{{- range until 100000 }}{{- range until 100000 }}{{- end }}{{- end }}",
    )]);
    for (name, helm) in helms() {
        let limits = Limits {
            time: Duration::from_millis(1500),
            ..Limits::default()
        };
        let helm = helm.with_limits(limits);
        let start = std::time::Instant::now();
        let error = block_on(helm.render(&endless, &Request::default())).unwrap_err();
        assert!(
            matches!(error, RenderError::Limit { .. }),
            "{name}: {error}"
        );
        assert!(start.elapsed() < Duration::from_secs(30), "{name}");
        let limits = Limits {
            cpu_seconds: 1,
            ..Limits::default()
        };
        let helm = helm.with_limits(limits);
        let error = block_on(helm.render(&endless, &Request::default())).unwrap_err();
        assert!(error.to_string().contains("CPU"), "{name}: {error}");
    }
}

#[test]
fn charts_that_eat_memory_are_stopped() {
    // Doubles a text thirty times: a terabyte, were it let.
    let hungry = chart(&[(
        "templates/x.yaml",
        "{{- $text := repeat 1024 \"x\" }}{{- range until 30 }}{{- $text = print $text $text }}{{- end }}{{ $text | sha256sum }}",
    )]);
    for (name, helm) in helms() {
        let helm = helm.with_limits(Limits {
            address_space: 2 << 30,
            ..Limits::default()
        });
        let error = block_on(helm.render(&hungry, &Request::default())).unwrap_err();
        assert!(
            error.to_string().contains("address space"),
            "{name}: {error}"
        );
    }
}

#[test]
fn output_is_bounded() {
    let wordy = chart(&[("templates/x.yaml", "text: {{ repeat 3000000 \"x\" }}\n")]);
    for (name, helm) in helms() {
        let limits = Limits {
            output: 1 << 20,
            ..Limits::default()
        };
        let error =
            block_on(helm.with_limits(limits).render(&wordy, &Request::default())).unwrap_err();
        assert!(
            error.to_string().contains("bytes of output"),
            "{name}: {error}"
        );
    }
}
