//! The line that stands where a template was.

use super::Library;
use super::names::Template;

const OPEN: &str = "{{- include \"";
const ARGUMENTS: &str = ".template\" (list . ";
const CLOSE: &str = ") -}}\n";

/// Text of a shim. It prints exactly what the library returns: both ends trim what is around them.
pub(super) fn text(library: &Library, template: &Template, body: &str) -> String {
    let below = |path: &str| quote(path.strip_prefix(&template.folder).unwrap_or(path));
    format!(
        "{OPEN}{}{ARGUMENTS}{} {} {}{CLOSE}",
        library.prefix,
        below(&template.path),
        below(body),
        quote(&template.static_base),
    )
}

/// A shim, taken apart.
pub(super) struct Shim {
    /// Prefix of the library.
    pub(super) prefix: String,
    /// Path of the body below the chart's `templates`, with a slash before it.
    pub(super) body: String,
}

/// Reads a shim; `None` for any other template.
pub(super) fn parse(text: &str) -> Option<Shim> {
    let (prefix, rest) = text.strip_prefix(OPEN)?.split_once(ARGUMENTS)?;
    let versioned = prefix.strip_prefix(super::driver::NAMESPACE)?;
    if !versioned
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'.')
    {
        return None;
    }
    let mut literals =
        serde_json::Deserializer::from_str(rest.strip_suffix(CLOSE)?).into_iter::<String>();
    literals.next()?.ok()?;
    let body = literals.next()?.ok()?;
    literals.next()?.ok()?;
    if literals.next().is_some() || !body.starts_with('/') || body.contains("/../") {
        return None;
    }
    Some(Shim {
        prefix: prefix.to_owned(),
        body,
    })
}

/// Text as a Go string literal. JSON's escapes are all Go's too.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
