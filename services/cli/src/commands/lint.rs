//! `quench lint`: what rules a chart or manifests break.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_chart::render::{Helm, Rendered};
use quench_model::{Finding, FindingState, Level, PackageName, Policy};
use quench_package::{EngineError, SarifSubject, sarif_of};
use quench_rules::hardening::lint::{
    FIELD, Lint, TEMPLATE, lint_chart, lint_manifests, read_manifests,
};
use quench_rules::hardening::{Demands, recover};
use quench_rules::{Evidence, parameters};

use crate::args::{FindingsFormat, LintArgs};
use crate::exit::{Exit, Failure};
use crate::inputs;
use crate::nearest::did_you_mean;
use crate::session::{Session, write_stdout};
use crate::style;

/// Most bytes of manifests that are read.
const MANIFEST_LIMIT: u64 = 64 << 20;
/// Deepest folder of manifests that is looked into.
const MAX_DEPTH: usize = 32;

/// What is looked at.
enum Subject {
    Chart(Box<Chart>),
    Manifests(PackageName, Rendered),
}

/// Evaluates a chart or manifests and tells what is wrong with them.
pub async fn run(session: &Session, args: &LintArgs) -> Result<Exit> {
    known(args.rules.iter().chain(&args.exclude))?;
    if !matches!(args.level, Level::Configured | Level::Operable) {
        return Err(Failure::usage(format!(
            "no rules come in at level {}; give configured or operable",
            args.level
        )));
    }
    let subject = subject(args)?;
    let mut policy = inputs::policy_file(args.policy.as_deref())?;
    let target = inputs::target(args.target.as_deref())?;
    let values = inputs::values(&args.values)?;
    let mut evidence = inputs::facts(args.image_facts.as_deref())?
        .map(|facts| Evidence::from_facts_file(&facts))
        .unwrap_or_default();
    if let Subject::Chart(chart) = &subject
        && let Some(recovered) = recover(chart)
    {
        // A chart that hardens itself knows its images and its waivers.
        if args.image_facts.is_none() {
            evidence = recovered.evidence;
        }
        if args.policy.is_none() {
            policy = recovered.policy;
        }
    }
    let (name, version) = match &subject {
        Subject::Chart(chart) => {
            let name = chart.name().parse();
            let name: PackageName = name.map_err(|e| Failure::usage(format!("{e}")))?;
            (name, chart.version().to_owned())
        }
        Subject::Manifests(name, _) => (name.clone(), String::new()),
    };
    let demands = Demands {
        package: &name,
        values: &values,
        policy: &policy,
        target: &target,
        evidence: &evidence,
    };
    let lint = match &subject {
        Subject::Chart(chart) => lint_chart(&Helm::find()?, chart, args.level, demands).await,
        Subject::Manifests(name, manifests) => lint_manifests(name, manifests, args.level, demands),
    };
    let mut lint = lint.map_err(EngineError::from)?;
    choose(&mut lint.findings, args, &policy);
    let subject = SarifSubject {
        name: &name,
        version: &version,
        level: args.level,
        revision: None,
    };
    print(session, args, subject, &lint)?;
    let fails = |finding: &&Finding| finding.state.is_open() && finding.severity >= args.fail_on;
    match lint.findings.iter().find(fails) {
        Some(_) => Ok(Exit::Refused),
        None => Ok(Exit::Done),
    }
}

/// Refuses names that no rule has: a slip would look like a chart without findings.
fn known<'a>(names: impl Iterator<Item = &'a String>) -> Result<()> {
    let own = [
        parameters::RULE,
        parameters::NO_DEFAULT_PASSWORD,
        parameters::OPTIONAL_PARTS_OFF,
        parameters::VALUES_DOCUMENTED,
    ];
    let all: Vec<&str> = quench_rules::rules()
        .map(|rule| rule.id)
        .chain(own)
        .collect();
    for name in names {
        if !all.contains(&name.as_str()) {
            return Err(Failure::usage(format!(
                "no rule {name:?}{}; `quench rules` lists them",
                did_you_mean(name, all.iter().copied())
            )));
        }
    }
    Ok(())
}

fn choose(findings: &mut Vec<Finding>, args: &LintArgs, policy: &Policy) {
    findings.retain(|finding| {
        let id = &finding.canonical_id;
        (args.rules.is_empty() || args.rules.contains(id))
            && !args.exclude.contains(id)
            && policy.rule_enabled(id)
    });
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| {
            (
                std::cmp::Reverse(finding.severity),
                finding.canonical_id.clone(),
                finding.subject.location.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    findings.dedup();
}

fn subject(args: &LintArgs) -> Result<Subject> {
    let source = &args.source;
    if source.starts_with("oci://") {
        return Err(Failure::usage(
            "lint takes what is on this machine; fetch the chart with `helm pull` first",
        ));
    }
    let path = Path::new(source);
    let archive = path.is_file() && path.extension().is_some_and(|extension| extension == "tgz");
    if archive || path.join("Chart.yaml").is_file() {
        let chart =
            Chart::load(path).map_err(|e| Failure::usage(format!("cannot load the chart: {e}")))?;
        return Ok(Subject::Chart(Box::new(chart)));
    }
    if !args.values.is_empty() {
        return Err(Failure::usage(format!(
            "{source} is no chart, so values mean nothing to it; leave -f out"
        )));
    }
    let texts = manifest_texts(source)?;
    let texts = texts
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let manifests = read_manifests(texts).map_err(EngineError::from)?;
    if manifests.documents.is_empty() {
        return Err(Failure::usage(format!(
            "{source} is no chart and holds no manifests; name a folder with Chart.yaml, a .tgz file, or YAML files"
        )));
    }
    let name = "manifests".parse();
    let name = name.map_err(|e| Failure::usage(format!("{e}")))?;
    Ok(Subject::Manifests(name, manifests))
}

/// Text of each file, by its path below the folder named.
fn manifest_texts(source: &str) -> Result<Vec<(String, String)>> {
    let mut left = MANIFEST_LIMIT;
    let mut read = |name: &str, file: &mut dyn std::io::Read| -> Result<String> {
        let mut text = String::new();
        let count = file
            .take(left + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read {name}"))?;
        left = left.checked_sub(count as u64).ok_or_else(|| {
            Failure::usage(format!(
                "{source}: more than {MANIFEST_LIMIT} bytes of manifests"
            ))
        })?;
        Ok(text)
    };
    if source == "-" {
        let text = read("standard input", &mut std::io::stdin().lock())?;
        return Ok(vec![("standard-input".to_owned(), text)]);
    }
    let root = Path::new(source);
    let mut files = Vec::new();
    collect(root, 0, &mut files)
        .with_context(|| format!("cannot read {source}"))
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let mut texts = Vec::new();
    for path in files {
        let mut file = std::fs::File::open(&path)
            .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
        let below = path
            .strip_prefix(root)
            .ok()
            .filter(|p| !p.as_os_str().is_empty());
        let name = below.unwrap_or(&path).display().to_string();
        texts.push((name.clone(), read(&name, &mut file)?));
    }
    Ok(texts)
}

/// Manifest files of a folder at any depth, sorted; links are not followed.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for entry in entries {
        let kind = std::fs::symlink_metadata(&entry)?;
        let manifest = entry
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&entry, depth + 1, files)?;
        } else if kind.is_file() && manifest {
            files.push(entry);
        }
    }
    Ok(())
}

fn print(session: &Session, args: &LintArgs, subject: SarifSubject<'_>, lint: &Lint) -> Result<()> {
    let format = match args.format {
        FindingsFormat::Table if session.json => FindingsFormat::Json,
        format => format,
    };
    match format {
        FindingsFormat::Json => session.print_json(&serde_json::json!({
            "name": subject.name,
            "level": subject.level,
            "findings": lint.findings,
            "pods": lint.pods,
        })),
        FindingsFormat::Sarif => {
            let mut text = serde_json::to_vec_pretty(&sarif_of(subject, &lint.findings))?;
            text.push(b'\n');
            write_stdout(&text)
        }
        FindingsFormat::Table => write_stdout(table(session, args, lint).as_bytes()),
    }
}

fn table(session: &Session, args: &LintArgs, lint: &Lint) -> String {
    let shown: Vec<&Finding> = lint
        .findings
        .iter()
        .filter(|finding| args.all || finding.state.is_open())
        .collect();
    let mut text = String::new();
    if !shown.is_empty() {
        let mut table = style::table(&["severity", "rule", "where", "field", "what"]);
        for finding in &shown {
            let fact = |source: &str| {
                let fact = finding.evidence.iter().find(|fact| fact.source == source);
                fact.map(|fact| fact.fact.clone()).unwrap_or_default()
            };
            let mut place = finding.subject.location.clone().unwrap_or_default();
            let template = fact(TEMPLATE);
            if !template.is_empty() {
                place = format!("{place} ({template})");
            }
            table.add_row([
                style::paint(style::severity(finding.severity), finding.severity),
                finding.canonical_id.clone(),
                place,
                fact(FIELD),
                match &finding.suppression {
                    Some(suppression) => format!("suppressed: {}", suppression.reason),
                    None => format!("{}: {}", finding.title, finding.message),
                },
            ]);
        }
        text.push_str(&style::lines(&table));
        text.push_str("\n\n");
    }
    if session.quiet {
        return text;
    }
    let count = |state: &dyn Fn(FindingState) -> bool| {
        lint.findings.iter().filter(|f| state(f.state)).count()
    };
    let met = |standard: &[&str]| {
        lint.pods
            .iter()
            .filter(|pod| standard.contains(&pod.after.as_str()))
            .count()
    };
    text.push_str(&format!(
        "{}, {} suppressed; of {}, {} pass Pod Security restricted and {} baseline\n",
        style::count(count(&FindingState::is_open), "finding", "findings"),
        count(&|state| state == FindingState::Suppressed),
        style::count(lint.pods.len(), "workload", "workloads"),
        met(&["restricted"]),
        met(&["restricted", "baseline"]),
    ));
    text
}
