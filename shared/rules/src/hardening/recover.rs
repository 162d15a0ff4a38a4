//! What a hardened chart was hardened with, read back from the chart.

use std::collections::BTreeMap;

use quench_chart::chart::Chart;
use quench_chart::rewrite::driver;
use quench_model::{Level, Policy, RuleSetting, Target};
use serde_json::Value;

use crate::{Evidence, Settings, rules};

/// What decides in a hardened chart, beside the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// What was known about its images.
    pub evidence: Evidence,
    /// Rules that are switched off, and waivers.
    pub policy: Policy,
    /// Facts of the target that decide when the chart renders.
    pub target: Target,
    /// Level up to which rules are in it.
    pub level: Level,
}

/// Reads back what a chart was hardened with; nothing from a chart that does not harden itself, or whose library
/// another version of Quench wrote in another form.
pub fn recover(chart: &Chart) -> Option<Recovered> {
    let library = chart
        .files()
        .keys()
        .find(|path| {
            path.starts_with(&format!("templates/_{}", driver::NAMESPACE)) && path.ends_with(".tpl")
        })
        .and_then(|path| chart.text(path))?;
    let settings = Settings::from_json(&embedded(library, "defaults")?);
    // What compiling a rule leaves in the library.
    let has = |id: &str| library.contains(&format!("hasKey $off \"{id}\""));
    let level = rules()
        .filter(|rule| has(rule.id))
        .map(|rule| rule.level)
        .max()
        .unwrap_or(Level::Configured);
    Some(Recovered {
        evidence: Evidence::from_json(&embedded(library, "evidence")?)?,
        target: serde_json::from_value(settings.facts.clone()).ok()?,
        policy: policy(&settings),
        level,
    })
}

fn policy(settings: &Settings) -> Policy {
    let setting = |id: &String| RuleSetting {
        enabled: !settings.off.contains(id),
        fix: settings.decided.contains(id),
    };
    let rules: BTreeMap<String, RuleSetting> = settings
        .off
        .union(&settings.decided)
        .map(|id| (id.clone(), setting(id)))
        .collect();
    Policy {
        rules,
        waivers: settings.waivers.clone(),
        ..Policy::default()
    }
}

/// JSON that a definition of the library consists of. The text of values never has two braces in a row there.
fn embedded(library: &str, name: &str) -> Option<Value> {
    let head = format!(".{name}\"}}}}");
    let start = library.match_indices("{{define \"").find_map(|(at, _)| {
        let rest = library.get(at..)?;
        let end = rest.find("}}")? + 2;
        rest.get(..end)?.ends_with(&head).then_some(at + end)
    })?;
    let rest = library.get(start..)?;
    let end = rest.find("{{end}}")?;
    serde_json::from_str(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use quench_chart::rewrite::{driver, rewrite};
    use quench_model::{Digest, FactsFile, Waiver};

    use super::*;
    use crate::template::definitions;

    #[test]
    fn what_went_into_a_chart_comes_back() {
        let facts: FactsFile = serde_json::from_value(serde_json::json!({
            "*": {"uid": 10001, "writable": ["/tmp"]},
            "nginx:1": {"uid": 33, "user": "{{ www }}"},
        }))
        .unwrap();
        let mut evidence = Evidence::from_facts_file(&facts);
        evidence.add_digest(&"nginx:1".parse().unwrap(), &[], &Digest::of(b"x"));
        let settings = Settings {
            disabled: false,
            facts: serde_json::json!({
                "egress": {"networks": ["10.0.0.0/8"], "apiServers": []},
                "nodeSysctls": true,
                "platform": "openshift",
                "registry": "registry.internal/quench",
                "resources": {"limits": {"memory": "1Gi"}},
            }),
            off: ["probe-host".to_owned()].into(),
            decided: ["probe-host".to_owned(), "no-privileged".to_owned()].into(),
            waivers: vec![Waiver {
                rule: "read-only-root".to_owned(),
                kind: None,
                name: Some("web-*".to_owned()),
                container: None,
                reason: "}} {{ because".to_owned(),
                expires: Some("2027-01-31".to_owned()),
            }],
        };
        let files = [
            ("Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n"),
            ("templates/x.yaml", "kind: x\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into()));
        let chart = Chart::from_files(files.into()).unwrap();
        assert_eq!(recover(&chart), None);
        for level in [Level::Configured, Level::Operable] {
            let library = driver::library(&definitions(level, &evidence, &settings));
            let hardened = rewrite(&chart, &library).unwrap();
            let recovered = recover(&hardened).unwrap();
            assert_eq!(recovered.evidence, evidence);
            assert_eq!(recovered.level, level);
            assert_eq!(
                Settings::new(&recovered.policy, &recovered.target),
                settings
            );
        }
    }
}
