//! Labels for the namespace a chart goes to. They are not the chart's to set: Helm does not make that namespace, or another
//! release lives there, too.

use super::report::Report;

/// Name of the file in a hardened chart with labels for its namespace.
pub const NAMESPACE_LABELS: &str = "namespace-labels.yaml";

/// Standards from what forbids nothing to the strictest.
const STANDARDS: [&str; 3] = ["privileged", "baseline", "restricted"];

/// A patch for a namespace: it enforces the strictest Pod Security Standard that every pod of the chart meets, and
/// warns of and audits what is short of "restricted".
pub(super) fn labels(report: &Report) -> String {
    let strictness = |name: &str| STANDARDS.iter().position(|standard| *standard == name);
    let enforced = report
        .pods
        .iter()
        .filter_map(|pod| strictness(&pod.after))
        .min()
        .and_then(|least| STANDARDS.get(least))
        .unwrap_or(&"restricted");
    let short: Vec<&str> = report
        .pods
        .iter()
        .filter(|pod| pod.after == *enforced && pod.after != "restricted")
        .map(|pod| pod.object.as_str())
        .collect();
    let mut text = format!(
        "# Pod Security labels for the namespace that chart {} goes to: the strictest standard that every pod it renders\n\
         # at the values it was hardened with meets. Pods of other releases there must meet it, too.\n\
         #   kubectl patch namespace NAME --patch-file {NAMESPACE_LABELS}\n",
        report.chart
    );
    for pod in short {
        text.push_str(&format!("# {pod} meets no stricter one.\n"));
    }
    text.push_str("metadata:\n  labels:\n");
    for (mode, standard) in [
        ("enforce", *enforced),
        ("audit", "restricted"),
        ("warn", "restricted"),
    ] {
        text.push_str(&format!(
            "    pod-security.kubernetes.io/{mode}: {standard}\n"
        ));
    }
    text
}
