//! Documentation and schema of values, over the demo chart and real ones.

use std::path::Path;

use quench_chart::Chart;
use quench_chart::values_documentation::{
    MeaningSource, effective_values, generated_schema, values_documentation,
};
use serde_json::Value;

use crate::corpus::every_corpus_chart;

fn demo() -> Chart {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/chart");
    Chart::load(&folder).unwrap()
}

#[test]
fn the_demo_charts_values_are_all_told() {
    let documentation = values_documentation(&demo()).unwrap();
    let coverage = documentation.coverage();
    assert_eq!(coverage.values, documentation.values.len());
    assert!(coverage.values >= 25, "{coverage:?}");
    let value = |path: &str| {
        documentation
            .values
            .iter()
            .find(|value| value.path == path)
            .unwrap()
    };
    let account = value("serviceAccount.create");
    assert_eq!(
        account.meaning,
        "Create an account of its own for the web server"
    );
    assert_eq!(account.source, MeaningSource::Documented);
    assert!(
        account
            .read_by
            .contains(&"templates/serviceaccount.yaml".to_owned()),
        "{account:?}"
    );
    assert!(
        documentation
            .values
            .iter()
            .all(|value| !value.meaning.is_empty())
    );
}

#[test]
fn a_schema_is_made_where_there_is_none_and_refuses_other_shapes() {
    let mut chart = demo();
    let documentation = values_documentation(&chart).unwrap();
    let schema = generated_schema(&chart, &documentation).unwrap().unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut values = effective_values(&chart).unwrap();
    assert!(validator.is_valid(&values));
    values["unknown"] = 1.into();
    values["service"]["port"] = "80".into();
    values["resources"] = serde_json::json!({"limits": {"cpu": "1"}});
    assert!(validator.is_valid(&values));
    values["service"]["port"] = serde_json::json!({"http": 80});
    assert!(!validator.is_valid(&values));

    chart.insert("values.schema.json", "{}").unwrap();
    assert_eq!(generated_schema(&chart, &documentation).unwrap(), None);
}

/// Every chart: its values are told, and the schema made for it takes its defaults and the values its authors test with.
#[test]
fn corpus_values_are_told_and_fit_their_schema() {
    let mut total = quench_chart::values_documentation::Coverage::default();
    let (mut charts, mut checked) = (0, 0);
    for (name, folder, chart) in every_corpus_chart() {
        let documentation = values_documentation(&chart).unwrap_or_else(|e| panic!("{name}: {e}"));
        let coverage = documentation.coverage();
        charts += 1;
        total.values += coverage.values;
        total.documented += coverage.documented;
        total.inherited += coverage.inherited;
        total.inferred += coverage.inferred;
        total.unknown += coverage.unknown;
        let mut bare = chart.clone();
        bare.remove("values.schema.json").unwrap();
        let Some(schema) = generated_schema(&bare, &documentation).unwrap() else {
            println!("{name}: its schema would be too large");
            continue;
        };
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut sets = vec![("defaults".to_owned(), String::new())];
        for entry in std::fs::read_dir(folder.join("ci")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                sets.push((
                    path.display().to_string(),
                    std::fs::read_to_string(&path).unwrap(),
                ));
            }
        }
        for (set, text) in sets {
            let Ok(Value::Object(over)) = quench_chart::yaml::values(&text) else {
                continue;
            };
            let mut values = effective_values(&chart).unwrap();
            quench_chart::yaml::merge(values.as_object_mut().unwrap(), over);
            let errors: Vec<String> = validator
                .iter_errors(&values)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name} {set}: {errors:?}");
            checked += 1;
        }
    }
    println!("{charts} charts, {checked} value sets fit their schema: {total:?}");
}
