//! Kubernetes quantities, as far as rules compare them.

use serde_json::Value;

/// Thousandths of what a quantity says; none for what is none, or is written in a way that templates do not read.
pub(super) fn thousandths(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => format!("{:.3}", number.as_f64()?),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let is_number = value.is_number();
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at_checked(at)?,
        None => (text.as_str(), ""),
    };
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (number, None),
    };
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let most = if is_number { 30 } else { 12 };
    if !digits(whole, most) || part.is_some_and(|part| !digits(part, 3)) {
        return None;
    }
    let factor: i128 = match unit {
        "" => 1_000,
        "m" if part.is_none() => 1,
        "k" => 1_000 * 1_000,
        "M" => 1_000 * 1_000_i128.pow(2),
        "G" => 1_000 * 1_000_i128.pow(3),
        "T" => 1_000 * 1_000_i128.pow(4),
        "Ki" => 1_000 * 1_024,
        "Mi" => 1_000 * 1_024_i128.pow(2),
        "Gi" => 1_000 * 1_024_i128.pow(3),
        "Ti" => 1_000 * 1_024_i128.pow(4),
        _ => return None,
    };
    let part: i128 = format!("{:0<3}", part.unwrap_or_default()).parse().ok()?;
    Some(whole.parse::<i128>().ok()? * factor + part * factor / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_or_refused() {
        let read = |value| thousandths(&value);
        assert_eq!(read(json!("500m")), Some(500));
        assert_eq!(read(json!("1.5")), Some(1_500));
        assert_eq!(read(json!(2)), Some(2_000));
        assert_eq!(read(json!(0.25)), Some(250));
        assert_eq!(read(json!("1Gi")), Some((1_i128 << 30) * 1_000));
        assert!(read(json!("1G")) < read(json!("1Gi")));
        assert_eq!(read(json!("0.5Mi")), Some((1_i128 << 19) * 1_000));
        for odd in [
            json!("1.5m"),
            json!("1e3"),
            json!("-1"),
            json!("1 Gi"),
            json!(""),
            json!("Gi"),
            json!("1."),
            json!(null),
            json!("1Ei"),
            json!(-2),
        ] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
    }
}
