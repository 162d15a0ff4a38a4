//! What a person may have meant.

/// The name closest to what was written, if one is close enough to be a slip.
pub fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = written.to_lowercase();
    names
        .into_iter()
        .map(|name| {
            let other = name.to_lowercase();
            let likeness = strsim::jaro_winkler(&lower, &other);
            // `web` for `demo-web`: what people leave out is usually the release's name.
            let part = lower.len() >= 3 && other.contains(&lower);
            (if part { likeness.max(0.9) } else { likeness }, name)
        })
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// `; did you mean NAME?`, or nothing.
pub fn did_you_mean<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(written, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["run-as-non-root", "read-only-root", "no-privileged"];
        assert_eq!(nearest("run-as-nonroot", names), Some("run-as-non-root"));
        assert_eq!(nearest("readonly-root", names), Some("read-only-root"));
        assert_eq!(nearest("privileged", names), Some("no-privileged"));
        assert_eq!(nearest("zebra", names), None);
    }
}
