//! The part of a template library that every library needs.
//!
//! [`library`] puts it together with definitions of the caller, which say what is to be done to one object. In those,
//! the token [`TOKEN`] stands for the library's prefix (`quench.v1.<hash>`), and one definition must be there:
//!
//! ```text
//! {{- define "@quench@.object" -}}
//! {{- /* . is a map:
//!       object    the object, as fromYaml reads it; changed in place with set and unset
//!       root      the context of the chart the template belongs to: .Values, .Release, .Chart, …;
//!                 use it through index and kindIs only, since a template may be included with any context
//!       settings  what .Values.global.hardening holds; an empty map where it holds nothing
//!       template  path of the template, for messages
//!    What it prints is dropped. */ -}}
//! {{- end -}}
//! ```
//!
//! A second definition, `parameters`, may be there. It is included before a template's body, with a map of `values` (the chart's
//! own, to be changed in place), `base` and `static` (the chart's folder of templates, as it is called in this release and when no chart
//! goes by an alias) and `settings`; what it prints is dropped too.
//!
//! Numbers in `object` are `float64`: compare them through `int`. Values are whatever a chart renders: look at
//! each with `kindIs` before going into it, since templates fail on the first wrong type.
//!
//! # What the driver does
//! With `global.hardening.enabled` set to false (or `"false"`), and where another template includes this one (for a
//! checksum, say), it prints what the body printed, byte for byte. Else it splits that into documents where Helm does, reads each, calls `object` for it (for the members of a `List`, one
//! by one), and prints it with `toYaml`. It fails, naming the template, on text that is not YAML, and on integers beyond 2⁵³, which
//! templates cannot hold.

use quench_model::Digest;

use super::Library;

/// Stands for the library's prefix in definitions.
pub const TOKEN: &str = "@quench@";

/// What every prefix begins with.
pub const NAMESPACE: &str = "quench.v";

/// Version of the agreement between shims, driver and definitions.
const VERSION: u32 = 2;

/// How the definition begins that sets defaults.
const PARAMETERS: &str = "define \"@quench@.parameters\"";

/// The driver's definitions.
const DRIVER: &str = include_str!("driver.tpl");

/// A library that does to each object what the definitions say.
///
/// The prefix is made from the text, so that libraries of different text can stand in one release: a hardened chart can be
/// a subchart of another.
pub fn library(definitions: &str) -> Library {
    // Driver and definitions call each other by name, so each name must be there.
    let none = match definitions.contains(PARAMETERS) {
        true => "",
        false => "{{- define \"@quench@.parameters\" -}}{{- end -}}\n",
    };
    let template = format!("{}\n{none}{}\n", compact(DRIVER), definitions.trim());
    let digest = Digest::of(template.as_bytes());
    let prefix = format!(
        "{NAMESPACE}{VERSION}.{}",
        digest.hex().get(..12).unwrap_or_default()
    );
    Library {
        text: template.replace(TOKEN, &prefix),
        prefix,
    }
}

/// The driver without indentation and comments: it becomes part of each release's Secret, which may have 1 MiB in all.
fn compact(text: &str) -> String {
    let comment = |line: &&str| line.starts_with("{{- /*") && line.ends_with("*/ -}}");
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !comment(line))
        .collect::<Vec<_>>()
        .join("\n")
}
