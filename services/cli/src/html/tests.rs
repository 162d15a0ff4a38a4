use quench_model::{Evidence, FindingKind, Severity, Subject as FindingSubject};
use quench_rules::hardening::report::{Change, Numbers, PodVerdict, Remaining, Waived};
use serde_json::json;

use super::*;

const HOSTILE: &str = "\"><script>alert('x')</script><img src=//evil.example/x onerror=y>\u{202e}";

/// A report in which every foreign text is hostile.
fn hostile() -> Report {
    let overview = serde_json::from_value(json!({
        "objects": [HOSTILE],
        "containers": [{
            "object": HOSTILE, "container": HOSTILE, "image": HOSTILE, "seccomp": HOSTILE, "added": [HOSTILE],
            "ports": [{"name": HOSTILE, "number": HOSTILE, "protocol": HOSTILE, "host": HOSTILE, "probes": [HOSTILE]}],
            "mounts": [{"path": HOSTILE, "volume": HOSTILE}],
        }],
        "volumes": [{"object": HOSTILE, "volume": HOSTILE, "kind": HOSTILE, "holds": HOSTILE}],
        "accounts": [{"name": HOSTILE, "created": true, "workloads": [HOSTILE], "withToken": [HOSTILE], "bound": true}],
        "permissions": [{
            "account": HOSTILE, "role": HOSTILE, "binding": HOSTILE, "clusterWide": true, "resources": [HOSTILE],
            "names": [HOSTILE], "verbs": [HOSTILE], "known": true, "concern": HOSTILE,
        }],
        "network": {
            "nodes": [{"name": HOSTILE, "kind": "service"}, {"name": "Deployment/web", "kind": "workload", "ingress": "open", "egress": "open"}],
            "edges": [{"from": HOSTILE, "to": "Deployment/web", "ports": [HOSTILE], "shownBy": HOSTILE}],
            "policies": [{"name": HOSTILE, "workloads": [HOSTILE], "ingress": [HOSTILE], "egress": []}],
        },
    }))
    .unwrap();
    Report {
        chart: HOSTILE.to_owned(),
        version: HOSTILE.to_owned(),
        level: Level::Configured,
        before: Numbers {
            findings: 3,
            by_severity: [(Severity::High, 3)].into(),
            ..Numbers::default()
        },
        after: Numbers {
            findings: 1,
            by_severity: [(Severity::High, 1)].into(),
            ..Numbers::default()
        },
        changes: vec![Change {
            rule: HOSTILE.to_owned(),
            object: HOSTILE.to_owned(),
            container: Some(HOSTILE.to_owned()),
            field: HOSTILE.to_owned(),
            path: HOSTILE.to_owned(),
            before: Some(json!({ HOSTILE: HOSTILE })),
            after: Some(HOSTILE.into()),
            evidence: vec![Evidence::new(HOSTILE, HOSTILE)],
        }],
        remaining: vec![Remaining {
            rule: HOSTILE.to_owned(),
            severity: Severity::High,
            object: HOSTILE.to_owned(),
            container: None,
            reason: HOSTILE.to_owned(),
        }],
        waived: vec![Waived {
            rule: HOSTILE.to_owned(),
            object: HOSTILE.to_owned(),
            container: None,
            reason: HOSTILE.to_owned(),
            expires: Some(HOSTILE.to_owned()),
        }],
        pods: vec![PodVerdict {
            object: HOSTILE.to_owned(),
            before: HOSTILE.to_owned(),
            after: HOSTILE.to_owned(),
            violations: vec![HOSTILE.to_owned()],
        }],
        notes: vec![HOSTILE.to_owned()],
        rules: Vec::new(),
        controls: Vec::new(),
        overview,
        parameters: None,
        values: None,
    }
}

fn finding() -> Finding {
    let subject = FindingSubject {
        package: "demo".parse().unwrap(),
        image: Some(HOSTILE.to_owned()),
        purl: Some(HOSTILE.to_owned()),
        location: Some(HOSTILE.to_owned()),
    };
    let mut finding = Finding::opened(
        FindingKind::Vulnerability,
        HOSTILE,
        subject,
        Severity::Critical,
        Level::Secured,
        HOSTILE,
    );
    finding.message = HOSTILE.to_owned();
    finding.references = vec![HOSTILE.to_owned()];
    finding
}

fn pages() -> [String; 2] {
    let (report, findings) = (hostile(), [finding()]);
    let summary = Summary {
        images: Vec::new(),
        configuration: crate::summary::Change::default(),
        checked: false,
        unchecked: vec![HOSTILE.to_owned()],
        not_looked_for: vec![HOSTILE.to_owned()],
        open: std::collections::BTreeMap::new(),
        suppressed: 0,
    };
    let image = ImageDetail {
        reference: HOSTILE.to_owned(),
        digest: HOSTILE.to_owned(),
        original: "x".to_owned(),
        origin: HOSTILE.to_owned(),
        platforms: vec![HOSTILE.to_owned()],
        user: HOSTILE.to_owned(),
        ports: vec![HOSTILE.to_owned()],
        tier: HOSTILE.to_owned(),
        tier_notes: vec![HOSTILE.to_owned()],
        why: vec![HOSTILE.to_owned()],
    };
    [
        None,
        Some(PackagePart {
            revisions: &[],
            summary: &summary,
            images: &[image],
        }),
    ]
    .map(|package| {
        page(&Subject {
            name: HOSTILE,
            version: HOSTILE,
            level: Level::Configured,
            report: Some(&report),
            values: None,
            findings: &findings,
            package,
        })
    })
}

/// Names of all tags, each opened one closed again: attributes must be quoted, text must hold no bare `<`.
fn tags(page: &str) -> Vec<String> {
    const VOID: [&str; 4] = ["meta", "br", "input", "!DOCTYPE"];
    let mut rest = page;
    let (mut seen, mut open) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        // A quote in an attribute may hold anything but itself.
        let mut quoted = false;
        let end = rest
            .find(|c| {
                quoted ^= c == '"';
                c == '>' && !quoted
            })
            .unwrap();
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|c| !c.is_whitespace())
            .collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "{tag}");
        } else if !VOID.contains(&name.as_str()) {
            open.push(name.clone());
            if name == "script" || name == "style" {
                rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
            }
        }
        seen.push(name);
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

#[test]
fn what_charts_and_images_say_cannot_become_markup() {
    for page in pages() {
        let tags = tags(&page);
        assert_eq!(
            tags.iter().filter(|tag| *tag == "script").count(),
            2,
            "one opened, one closed"
        );
        assert!(!tags.iter().any(|tag| tag == "img"));
        assert!(!page.contains('\u{202e}'));
        let text = "&quot;&gt;&lt;script&gt;";
        assert!(page.matches(text).count() > 30, "foreign text is missing");
    }
}

#[test]
fn the_page_loads_nothing_and_runs_only_its_own_script() {
    for page in pages() {
        let policy = policy();
        assert!(page.contains(&policy), "{policy}");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        for reference in [
            "href=\"http",
            "src=\"",
            "url(",
            "@import",
            " style=\"",
            " onclick",
        ] {
            assert!(!page.contains(reference), "{reference}");
        }
    }
    // Style and script stand in the page as they are hashed.
    assert!(!STYLE.contains('<') && !SCRIPT.contains("</"));
}

#[test]
fn every_link_within_the_page_leads_somewhere() {
    let report = hostile();
    let page = page(&Subject {
        name: "demo",
        version: "1",
        level: Level::Configured,
        report: Some(&report),
        values: None,
        findings: &[],
        package: None,
    });
    for link in page.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        if !target.starts_with("rule-") {
            assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
        }
    }
}
