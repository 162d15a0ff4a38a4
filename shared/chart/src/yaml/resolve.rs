//! What a scalar means: the table of go-yaml v2 (`resolve.go`), then its conversion to JSON.

use base64::Engine as _;
use serde_json::{Number, Value};

/// A scalar's tag, as far as it changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarTag {
    None,
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    Merge,
    /// A tag go-yaml does not know: the scalar is text.
    Other,
}

/// Resolves a scalar. `plain` is false for quoted and block scalars.
pub(super) fn scalar(text: &str, plain: bool, tag: ScalarTag) -> Result<Value, String> {
    match tag {
        ScalarTag::None if !plain => return Ok(Value::String(text.to_owned())),
        ScalarTag::Str | ScalarTag::Other | ScalarTag::Merge => {
            return Ok(Value::String(text.to_owned()));
        }
        ScalarTag::Binary => return binary(text),
        _ => {}
    }
    let value = implicit(text);
    let shown = || text.chars().take(60).collect::<String>();
    match (tag, value) {
        (ScalarTag::Bool, value @ Implicit::Bool(_))
        | (ScalarTag::Null, value @ Implicit::Null)
        | (ScalarTag::Int, value @ Implicit::Int(_))
        | (ScalarTag::Float, value @ (Implicit::Int(_) | Implicit::Float(_)))
        | (ScalarTag::None, value) => json(value, text),
        // A timestamp is read and then handed on as the text it was.
        (ScalarTag::Timestamp, Implicit::Text) => Ok(Value::String(text.to_owned())),
        (tag, _) => Err(format!("cannot read {:?} as {tag:?}", shown())),
    }
}

/// Whether go-yaml would read this plain scalar as anything but text.
pub(super) fn is_special(text: &str) -> bool {
    text == "<<" || !matches!(implicit(text), Implicit::Text)
}

enum Implicit {
    Text,
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
}

fn json(value: Implicit, text: &str) -> Result<Value, String> {
    Ok(match value {
        Implicit::Text => Value::String(text.to_owned()),
        Implicit::Null => Value::Null,
        Implicit::Bool(value) => Value::Bool(value),
        Implicit::Int(number) => Value::Number(number),
        Implicit::Float(value) => {
            Value::Number(float(value).ok_or_else(|| {
                format!("{text:?} is not a finite number, which JSON does not have")
            })?)
        }
    })
}

/// A float as it comes back from Go's JSON: without a fraction it is written as an integer.
fn float(value: f64) -> Option<Number> {
    // Beyond these an i64 cannot hold it; Go switches to exponents at 1e21, so such values stay floats.
    const EXACT: f64 = 9_223_372_036_854_775_807.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value has no fraction and is within the bounds"
        )]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

fn implicit(text: &str) -> Implicit {
    let Some(first) = text.bytes().next() else {
        return Implicit::Null;
    };
    match text {
        "~" | "null" | "Null" | "NULL" => return Implicit::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Implicit::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Implicit::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Implicit::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Implicit::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Implicit::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match first {
        b'.' if is_decimal(text) => decimal(text),
        b'0'..=b'9' | b'+' | b'-' => number(text),
        _ => Implicit::Text,
    }
}

fn number(text: &str) -> Implicit {
    // Text that Go reads as a timestamp stays text, and none of it is a number, so there is nothing to do for it.
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Implicit::Int(number);
    }
    if is_decimal(&plain) {
        return decimal(&plain);
    }
    Implicit::Text
}

fn decimal(text: &str) -> Implicit {
    match text.parse::<f64>() {
        // Go reports a number out of range as an error, which leaves the text.
        Ok(value) if value.is_finite() => Implicit::Float(value),
        _ => Implicit::Text,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits
        && exponent
            .is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// Go's `ParseInt` and `ParseUint` with base 0: `0x`, `0o`, `0b` and a leading `0` choose the base.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (Some('-'), text.get(1..)?),
        Some(b'+') => (Some('+'), text.get(1..)?),
        _ => (None, text),
    };
    let bytes = digits.as_bytes();
    let (base, digits) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    // Rust would take a second sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    if sign == Some('-') {
        let value = i64::from_str_radix(&format!("-{digits}"), base).ok()?;
        return Some(Number::from(value));
    }
    let value = u64::from_str_radix(digits, base).ok()?;
    // ParseUint takes no sign, so that a signed number ends with i64.
    if sign == Some('+') && i64::try_from(value).is_err() {
        return None;
    }
    Some(Number::from(value))
}

fn binary(text: &str) -> Result<Value, String> {
    let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(compact)
        .map_err(|_| "!!binary value is not base64".to_owned())?;
    Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A scalar used as a key: JSON knows only text, so numbers and booleans are written out.
pub(super) fn key(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if number.as_i64().is_none() && number.is_u64() => {
            Err(format!("the key {number} is too large"))
        }
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err("a key is null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("a key is a map or a list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Value {
        scalar(text, true, ScalarTag::None).unwrap()
    }

    #[test]
    fn scalars_resolve_as_in_go_yaml_2() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!(true)),
            ("yEs", json!("yEs")),
            ("", json!(null)),
            ("~", json!(null)),
            ("nUll", json!("nUll")),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("1.0", json!(1)),
            ("1.50", json!(1.5)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("1e999", json!("1e999")),
            ("12e03", json!(12000)),
            ("1:20", json!("1:20")),
            ("2024-01-01", json!("2024-01-01")),
            (
                "18446744073709551615",
                json!(18_446_744_073_709_551_615_u64),
            ),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("--1", json!("--1")),
            ("0x", json!("0x")),
            ("1__0", json!(10)),
            ("_1", json!("_1")),
            ("500m", json!("500m")),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        assert!(scalar(".inf", true, ScalarTag::None).is_err());
        assert_eq!(scalar("yes", false, ScalarTag::None), Ok(json!("yes")));
        assert_eq!(scalar("12", true, ScalarTag::Str), Ok(json!("12")));
        assert_eq!(scalar("12", false, ScalarTag::Int), Ok(json!(12)));
        assert!(scalar("x", true, ScalarTag::Int).is_err());
        assert_eq!(scalar("aGk=", true, ScalarTag::Binary), Ok(json!("hi")));
    }
}
