//! Value sets: every part of a chart that names an image is reached, and what cannot be reached is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use quench_chart::Chart;
use quench_chart::render::{Helm, RenderError, Rendered, Request};
use quench_chart::rewrite::{driver, rewrite};
use quench_chart::value_space::{
    Exploration, Limits, SetKind, ValueSet, ValueSpace, Visit, explore,
};
use quench_chart::workload;

use crate::programs::{block_on, chart, helms};

/// Images by the first set that shows them.
#[derive(Default)]
struct Images {
    found: BTreeMap<String, String>,
    /// Fewest changes of a set that shows it.
    fewest: BTreeMap<String, usize>,
    planned: usize,
    done: usize,
}

impl Visit for Images {
    fn planned(&mut self, more: usize) {
        self.planned += more;
    }

    fn rendered(&mut self, set: &ValueSet, text: &str) -> bool {
        let mut better = false;
        for image in images(text) {
            let fewest = self.fewest.entry(image.clone()).or_insert(usize::MAX);
            if set.changes.len() < *fewest {
                *fewest = set.changes.len();
                self.found.insert(image, set.to_string());
                better = true;
            }
        }
        better
    }

    fn done(&mut self) {
        self.done += 1;
    }
}

fn images(text: &str) -> BTreeSet<String> {
    Rendered::parse(text.to_owned(), "x")
        .unwrap()
        .objects()
        .flat_map(workload::images)
        .map(|image| image.image)
        .collect()
}

fn explored(
    helm: &Helm,
    chart: &Chart,
    values: &[&str],
    limits: Limits,
) -> Result<(Images, Exploration), RenderError> {
    let request = Request {
        values: values.iter().map(|text| (*text).to_owned()).collect(),
        ..Request::default()
    };
    let space = ValueSpace::of(chart, &request.values, limits).unwrap();
    let mut seen = Images::default();
    let exploration = block_on(explore(helm, chart, &request, &space, &mut seen))?;
    Ok((seen, exploration))
}

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: '{image}'}}]}}\n---\n"
    )
}

fn found(images: &Images) -> BTreeMap<&str, &str> {
    images
        .found
        .iter()
        .map(|(image, set)| (image.as_str(), set.as_str()))
        .collect()
}

#[test]
fn every_gate_is_opened_and_nested_ones_together() {
    let helper = "{{- define \"mode\" -}}{{- if .Values.cluster.enabled -}}many{{- else -}}one{{- end -}}{{- end -}}\n\
                  {{- define \"on\" -}}{{- if and .Values.late.enabled (not .Values.never) }}true{{- end -}}{{- end -}}\n\
                  {{- define \"image\" -}}{{ .root.repository }}:{{ .root.tag }}{{- end -}}";
    let templates = [
        pod("always", "always:1"),
        format!(
            "{{{{ if .Values.a.enabled }}}}{}{{{{ end }}}}",
            pod("a", "a:1")
        ),
        format!(
            "{{{{ with .Values.a }}}}{{{{ if and .enabled .b.enabled }}}}{}{{{{ end }}}}{{{{ end }}}}",
            pod("b", "b:1")
        ),
        format!(
            "{{{{ if eq .Values.kind \"big\" }}}}{}{{{{ end }}}}",
            pod("big", "big:1")
        ),
        format!(
            "{{{{ if eq (include \"mode\" .) \"many\" }}}}{}{{{{ end }}}}",
            pod("many", "many:1")
        ),
        format!(
            "{{{{ if include \"on\" . }}}}{}{{{{ end }}}}",
            pod("late", "late:1")
        ),
        format!(
            "{{{{ if .Values.unset.enabled }}}}{}{{{{ end }}}}",
            pod("unset", "unset:1")
        ),
        format!(
            "{{{{ if not .Values.shipped }}}}{}{{{{ end }}}}",
            pod("own", "own:1")
        ),
        format!(
            "{{{{ $x := .Values.deep }}}}{{{{ range $name, $part := $x.parts }}}}{{{{ if $part.enabled }}}}{}{{{{ end }}}}{{{{ end }}}}",
            pod(
                "{{ $name }}",
                "{{ include \"image\" (dict \"root\" $part.image) }}"
            )
        ),
        pod(
            "choice",
            "{{ ternary \"yes:1\" \"no:1\" .Values.choice.enabled }}",
        ),
    ];
    let text = templates.join("---\n");
    let values = "a: {enabled: false, b: {enabled: false}}\nkind: small\ncluster: {enabled: false}\nlate: {enabled: false}\n\
                  never: true\nunset: {}\nshipped: true\ndeep: {parts: {p: {enabled: false, image: {repository: p, tag: 2}}}}\n\
                  choice: {enabled: false}\n";
    let chart = chart(&[
        ("templates/all.yaml", text.as_str()),
        ("templates/_helpers.tpl", helper),
        ("values.yaml", values),
    ]);
    for (name, helm) in helms() {
        let (images, exploration) = explored(&helm, &chart, &[], Limits::default()).unwrap();
        let shown = found(&images);
        assert_eq!(
            shown,
            BTreeMap::from([
                ("a:1", "a.enabled=true"),
                ("always:1", "the given values"),
                ("b:1", "a.b.enabled=true,a.enabled=true"),
                ("big:1", "kind=big"),
                ("late:1", "late.enabled=true,never=false"),
                ("many:1", "cluster.enabled=true"),
                ("no:1", "the given values"),
                ("own:1", "shipped=false"),
                ("p:2", "deep.parts.p.enabled=true"),
                ("unset:1", "unset.enabled=true"),
                ("yes:1", "choice.enabled=true"),
            ]),
            "{name}"
        );
        assert_eq!(exploration.failures().count(), 0);
        assert_eq!(exploration.left_out, 0);
        assert_eq!(images.planned, images.done);
        let again = explored(&helm, &chart, &[], Limits::default()).unwrap().1;
        assert_eq!(again, exploration, "the order is always the same");
    }
}

#[test]
fn subcharts_behind_conditions_tags_and_aliases_are_reached() {
    let sub = format!(
        "{}{{{{ if .Values.metrics.enabled }}}}{}{{{{ end }}}}{{{{ if .Values.global.shared }}}}{}{{{{ end }}}}",
        pod("{{ .Chart.Name }}-main", "{{ .Values.image }}"),
        pod("{{ .Chart.Name }}-metrics", "{{ .Values.image }}-metrics:1"),
        pod("{{ .Chart.Name }}-shared", "{{ .Values.image }}-shared:1"),
    );
    let chart = chart(&[
        (
            "Chart.yaml",
            "apiVersion: v2\nname: demo\nversion: 0.1.0\ndependencies:\n\
             - {name: sub, version: 1.0.0, condition: 'first.enabled', alias: first}\n\
             - {name: sub, version: 1.0.0, tags: [extra], alias: second}\n",
        ),
        (
            "values.yaml",
            "first: {enabled: false, image: one}\nsecond: {image: two}\ntags: {extra: false}\n",
        ),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        (
            "charts/sub/values.yaml",
            "image: x\nmetrics: {enabled: false}\nglobal: {shared: false}\n",
        ),
        ("charts/sub/templates/all.yaml", sub.as_str()),
    ]);
    for (name, helm) in helms() {
        let (images, exploration) = explored(&helm, &chart, &[], Limits::default()).unwrap();
        let shown: BTreeSet<&str> = found(&images).into_keys().collect();
        for image in [
            "one",
            "one-metrics:1",
            "one-shared:1",
            "two",
            "two-metrics:1",
            "two-shared:1",
        ] {
            assert!(shown.contains(image), "{name}: {image} of {shown:?}");
        }
        assert_eq!(exploration.failures().count(), 0, "{exploration:?}");
    }
}

#[test]
fn parts_for_what_only_some_clusters_have_are_reached() {
    let helper = "{{- define \"monitored\" -}}{{- if .Capabilities.APIVersions.Has .Values.monitors }}true{{- end -}}{{- end -}}";
    let templates = [
        pod("always", "always:1"),
        format!(
            "{{{{ if .Capabilities.APIVersions.Has \"a.example/v1\" }}}}{}{{{{ end }}}}",
            pod("a", "a:1")
        ),
        format!(
            "{{{{ if and .Values.extra (include \"monitored\" .) }}}}{}{{{{ end }}}}",
            pod("b", "b:1")
        ),
        format!(
            "{{{{ if $.Capabilities.APIVersions.Has \"apps/v1\" }}}}{}{{{{ end }}}}",
            pod("c", "c:1")
        ),
        // Not about an image by itself, but asked for all the same: with everything on it is there.
        "{{ if .Capabilities.APIVersions.Has \"d.example/v1/Thing\" }}{{ range .Values.free }}{{ . | toYaml }}{{ end }}{{ end }}"
            .to_owned(),
    ];
    let mut files = vec![(
        "values.yaml",
        "extra: false\nmonitors: b.example/v1\nfree: [{kind: Pod, apiVersion: v1, metadata: {name: d}, spec: {containers: [{name: d, image: d:1}]}}]\n",
    )];
    files.push(("templates/_h.tpl", helper));
    let names = [1, 2, 3, 4, 5].map(|number| format!("templates/{number}.yaml"));
    for (name, template) in names.iter().zip(&templates) {
        files.push((name, template));
    }
    let chart = chart(&files);
    for (_, helm) in helms() {
        let (images, exploration) = explored(&helm, &chart, &[], Limits::default()).unwrap();
        let found = found(&images);
        assert_eq!(found.get("always:1"), Some(&"the given values"));
        assert_eq!(found.get("c:1"), Some(&"the given values"));
        assert_eq!(
            found.get("a:1"),
            Some(&"the given values in a cluster with a.example/v1")
        );
        assert_eq!(
            found.get("b:1"),
            Some(&"extra=true in a cluster with b.example/v1")
        );
        assert!(found.contains_key("d:1"), "{found:?}");
        assert_eq!(exploration.failures().count(), 0);
    }
}

#[test]
fn sets_that_do_not_render_are_told_and_do_not_hide_the_others() {
    let text = format!(
        "{{{{ if .Values.bad.enabled }}}}{{{{ fail \"bad is bad\" }}}}{}{{{{ end }}}}\
         {{{{ if and .Values.a .Values.b }}}}{{{{ fail \"not both\" }}}}{{{{ end }}}}\
         {{{{ if .Values.a }}}}{}{{{{ end }}}}{{{{ if .Values.b }}}}{}{{{{ end }}}}",
        pod("bad", "bad:1"),
        pod("a", "a:1"),
        pod("b", "b:1")
    );
    let chart = chart(&[
        ("templates/all.yaml", text.as_str()),
        (
            "values.yaml",
            "bad: {enabled: false}\na: false\nb: false\nplain: {x: false, y: true, z: false}\n",
        ),
    ]);
    for (name, helm) in helms() {
        let (images, exploration) = explored(&helm, &chart, &[], Limits::default()).unwrap();
        assert_eq!(
            found(&images),
            BTreeMap::from([("a:1", "a=true"), ("b:1", "b=true")]),
            "{name}"
        );
        let failures: Vec<_> = exploration.failures().collect();
        let bad = failures
            .iter()
            .find(|(set, _)| set.to_string() == "bad.enabled=true")
            .unwrap();
        assert!(bad.1.contains("bad is bad"), "{}", bad.1);
        let all_on = exploration
            .outcomes
            .iter()
            .find(|outcome| outcome.set.kind == SetKind::AllOn)
            .unwrap();
        assert!(all_on.rendered.is_ok() && all_on.set.changes.len() >= 2);

        let error = explored(&helm, &chart, &["bad: {enabled: true}"], Limits::default())
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("bad is bad"), "{error}");
        let tight = Limits {
            renders: 2,
            ..Limits::default()
        };
        let (_, exploration) = explored(&helm, &chart, &[], tight).unwrap();
        assert!(exploration.left_out > 0);
        assert!(exploration.outcomes.len() <= 2);
    }
}

/// What is not understood by reading is found by turning switches in groups.
#[test]
fn switches_that_are_read_in_roundabout_ways_are_turned_too() {
    let text = format!(
        "{{{{- range $k, $v := .Values }}}}{{{{ if hasSuffix \"XYZ\" $k }}}}{{{{ range tuple \"deep\" }}}}\
         {{{{ if index (fromJson (toJson $v)) . \"on\" }}}}{}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}",
        pod("x", "hidden:1")
    );
    let mut values = String::from("fooXYZ: {deep: {\"on\": false}}\n");
    for number in 0..40 {
        values.push_str(&format!("plain{number}: false\n"));
    }
    let chart = chart(&[
        ("templates/all.yaml", text.as_str()),
        ("values.yaml", values.as_str()),
    ]);
    for (name, helm) in helms() {
        let (images, _) = explored(&helm, &chart, &[], Limits::default()).unwrap();
        assert_eq!(
            found(&images),
            BTreeMap::from([("hidden:1", "fooXYZ.deep.on=true")]),
            "{name}"
        );
    }
}

#[test]
fn turning_hardening_off_is_no_way_of_using_a_chart() {
    let template = format!(
        "{}{{{{- if .Values.side.enabled }}}}\n{}{{{{- end }}}}\n",
        pod("a", "one:1"),
        pod("b", "two:2")
    );
    let original = chart(&[
        ("values.yaml", "side: {enabled: false}\n"),
        ("templates/pods.yaml", &template),
    ]);
    // Reads the switch of hardening where a value space looks for switches.
    let library = driver::library(
        "{{- define \"@quench@.object\" -}}{{- if .root.Values.global.hardening.enabled -}}{{- end -}}{{- end -}}",
    );
    let hardened = rewrite(&original, &library).unwrap();
    let sets = |chart: &Chart| ValueSpace::of(chart, &[], Limits::default()).unwrap().sets;
    assert!(sets(&original).len() > 1);
    assert_eq!(sets(&hardened), sets(&original));
}

/// Prints what exploring costs for one chart: `QUENCH_CHARTS` names a folder that holds it.
#[test]
fn corpus_exploring_a_large_chart() {
    let Some(chart) = crate::corpus::corpus_chart("kube-prometheus-stack") else {
        return;
    };
    for (name, helm) in helms().into_iter().take(1) {
        let started = Instant::now();
        let space = ValueSpace::of(&chart, &[], Limits::default()).unwrap();
        let read = started.elapsed();
        let mut seen = Images::default();
        let request = Request::default();
        match block_on(explore(&helm, &chart, &request, &space, &mut seen)) {
            Ok(exploration) => println!(
                "{name}: templates read in {read:?}; {} sets, {} different, {} failed, {} images in {:?}",
                exploration.outcomes.len(),
                exploration.distinct(),
                exploration.failures().count(),
                seen.found.len(),
                started.elapsed(),
            ),
            Err(error) => println!("{name}: {error}"),
        }
        let mut kinds = BTreeMap::<SetKind, usize>::new();
        for set in &space.sets {
            *kinds.entry(set.kind).or_default() += 1;
        }
        println!("{kinds:?}");
    }
}
