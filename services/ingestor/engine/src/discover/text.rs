//! Image references in text: environment, arguments, configuration files.
//!
//! Text is cut at whatever cannot stand in a reference, and each piece is judged by its shape and by the key or flag before it. The
//! grammar of references accepts most words, so shape alone shows little: `redis:6379` may be a service and its port. What is likely
//! an image is asked for at its registry, and is at least told; what is unlikely counts only where such an image is given.

use quench_model::ImageReference;

/// How sure it is that a text is an image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// Could be one; counts where an image of exactly this reference is given.
    Unlikely,
    /// Looks like one; its registry is asked.
    Likely,
    /// Stands where nothing but a reference can stand.
    Certain,
}

/// Longest reference: host and port, repository of 255, tag of 128, digest of 71 characters.
const MAX_LENGTH: usize = 600;

/// A reference in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// As written.
    pub(crate) text: String,
    pub(crate) reference: ImageReference,
    pub(crate) certainty: Certainty,
}

/// References in a text that stands under this key: an environment variable's name, a file's name, a flag, a field.
pub(crate) fn references(text: &str, key: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for line in text.lines() {
        in_line(line, key, text.trim() == line.trim(), &mut found);
    }
    found
}

/// Whether a character can stand in a reference.
fn belongs(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@')
}

fn in_line(line: &str, outer: &str, is_all: bool, found: &mut Vec<Found>) {
    let mut rest = line;
    let mut before = None;
    // The word before, and whether something between says that it is a key.
    let mut key: Option<&str> = None;
    while let Some(start) = rest.find(belongs) {
        let gap = rest.get(..start).unwrap_or_default();
        let from = rest.get(start..).unwrap_or_default();
        let end = from.find(|c| !belongs(c)).unwrap_or(from.len());
        let word = from.get(..end).unwrap_or_default();
        let after = from.get(end..).unwrap_or_default();
        before = gap
            .chars()
            .next_back()
            .or(before.filter(|_| gap.is_empty()));
        // A placeholder's rest is no reference: `${REGISTRY}/app:1.0`, `%s/app`, `{{ .x }}:1`.
        let is_cut = matches!(before, Some('$' | '}' | '%' | '*' | '~' | '+' | '?' | '&'))
            || after.starts_with(['$', '%', '*', '(', '+', '?'])
            || after.starts_with("{{");
        rest = after;
        if word == ":" || gap.contains(['\n']) {
            continue;
        }
        let trimmed = word.trim_end_matches(['.', ':', '/']);
        let is_key = word.ends_with(':')
            || after.starts_with('=')
            || after.trim_start_matches(['"', '\'', '\\']).starts_with(':')
            || (word.starts_with('-') && after.starts_with(' '));
        if is_key {
            key = Some(trimmed);
            continue;
        }
        let is_whole = is_all && line.trim().trim_matches(['"', '\'']) == word;
        let context = Context {
            says_image: key.is_some_and(is_image_key) || is_image_key(outer),
            is_value: key.is_some_and(is_image_key) || (is_whole && is_image_key(outer)),
        };
        if !is_cut && let Some(one) = judge(trimmed, &context) {
            found.push(one);
        }
        // `image: a, b` and `--images=a,b` speak of both.
        if !gap.contains(',') && !after.starts_with(',') {
            key = None;
        }
    }
}

/// What stands around a word.
struct Context {
    /// The key before it, or the one all of the text stands under, says image.
    says_image: bool,
    /// It is all that the key has for a value.
    is_value: bool,
}

/// Whether a key says that its value is an image: not one of pulls, and not one of a part of a reference.
pub(crate) fn is_image_key(key: &str) -> bool {
    let key: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    const OTHERS: [&str; 20] = [
        "pullpolicy",
        "pullsecret",
        "pullsecrets",
        "tag",
        "tags",
        "version",
        "registry",
        "repository",
        "digest",
        "sha",
        "size",
        "format",
        "type",
        "enabled",
        "host",
        "port",
        "path",
        "file",
        "count",
        "policy",
    ];
    key.contains("image")
        && !key.contains("imagepull")
        && !OTHERS.iter().any(|other| key.ends_with(other))
}

fn judge(word: &str, context: &Context) -> Option<Found> {
    if word.len() > MAX_LENGTH || word.starts_with(['-', '.', '/', '@', ':', '_']) {
        return None;
    }
    let word = match word.split_once("://") {
        // As skopeo and containers/image write them.
        Some(("docker", reference)) => reference,
        Some(_) => return None,
        None => word,
    };
    let reference: ImageReference = word.parse().ok()?;
    let certainty = certainty(word, &reference, context)?;
    Some(Found {
        text: word.to_owned(),
        reference,
        certainty,
    })
}

fn certainty(word: &str, reference: &ImageReference, context: &Context) -> Option<Certainty> {
    use Certainty::{Likely, Unlikely};
    if reference.digest().is_some() {
        return Some(Likely);
    }
    if names_a_file(word) {
        return None;
    }
    let last = word.rsplit('/').next().unwrap_or(word);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let first = word.split('/').next().unwrap_or_default();
    let has_path = word.contains('/');
    let has_host = has_path && (first.contains('.') || first.contains(':') || first == "localhost");
    let by_context = |otherwise| {
        if context.says_image {
            Likely
        } else {
            otherwise
        }
    };
    match (has_host, has_path, tag) {
        (true, ..) if !is_host(first) => None,
        (true, _, Some(tag)) => (!is_taint(first, tag)).then_some(Likely),
        (true, _, None) => Some(by_context(Unlikely)),
        (false, true, Some(tag)) => Some(match is_version(tag) {
            true => Likely,
            false => by_context(Unlikely),
        }),
        (false, false, Some(tag)) if first.len() > 1 => {
            Some(match is_version(tag) || tag == "latest" {
                true => by_context(Unlikely),
                // A name and a number are a service and its port as often.
                false if context.is_value => Likely,
                false => Unlikely,
            })
        }
        (false, true, None) => Some(if context.is_value {
            Likely
        } else {
            return None;
        }),
        (false, false, None) => (context.is_value && is_name(word)).then_some(Likely),
        _ => None,
    }
}

/// Whether the host of a reference is one: a port, `localhost`, or a name whose last label is of letters.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let top = name.rsplit('.').next().unwrap_or_default();
    let is_address = name.split('.').all(|part| part.parse::<u8>().is_ok());
    name == "localhost"
        || is_address && name.split('.').count() == 4
        || name.contains('.') && top.len() > 1 && top.chars().all(|c| c.is_ascii_alphabetic())
        || port.is_some() && name.chars().any(|c| c.is_ascii_alphabetic())
}

/// `node-role.kubernetes.io/master:NoSchedule` and keys of labels.
fn is_taint(host: &str, tag: &str) -> bool {
    let is_registry = host.starts_with("registry.") || host.ends_with("gcr.io");
    matches!(tag, "NoSchedule" | "NoExecute" | "PreferNoSchedule")
        || (host.ends_with("kubernetes.io") || host.ends_with("k8s.io")) && !is_registry
}

/// `1.2`, `v3`, `2.1.0-debian-12-r5`, `latest`: not a port, not a mode.
fn is_version(tag: &str) -> bool {
    let number = tag.strip_prefix('v').unwrap_or(tag);
    let is_numbered = number.starts_with(|c: char| c.is_ascii_digit());
    tag == "latest" || is_numbered && (number != tag || number.contains(['.', '-']))
}

/// Names of files, of which some have a colon and a line after them.
fn names_a_file(word: &str) -> bool {
    const ENDINGS: [&str; 28] = [
        "png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "iso", "img", "qcow2", "raw", "vmdk",
        "yaml", "yml", "json", "toml", "conf", "txt", "log", "sh", "py", "js", "css", "html",
        "xml", "so", "pem", "crt",
    ];
    let last = word.rsplit('/').next().unwrap_or(word);
    let name = last.split(':').next().unwrap_or(last);
    name.rsplit_once('.')
        .is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

/// A name by itself: not a number or version, and not a word of configuration.
fn is_name(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "true", "false", "none", "null", "auto", "default", "always", "never", "latest", "enabled",
        "disabled", "yes",
    ];
    word.len() > 2
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && !WORDS.contains(&word.to_ascii_lowercase().as_str())
        && !is_version(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likely(text: &str, key: &str) -> Vec<String> {
        references(text, key)
            .into_iter()
            .filter(|found| found.certainty == Certainty::Likely)
            .map(|found| found.text)
            .collect()
    }

    #[test]
    fn references_of_every_shape_are_seen() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("quay.io/a/b:v1", vec!["quay.io/a/b:v1"]),
            ("localhost:5000/app:7", vec!["localhost:5000/app:7"]),
            ("registry:5000/team/app:7", vec!["registry:5000/team/app:7"]),
            ("10.0.0.1:5000/app:2024", vec!["10.0.0.1:5000/app:2024"]),
            (
                "--config-reloader-image=quay.io/x/y:1",
                vec!["quay.io/x/y:1"],
            ),
            ("--image nginx:7", vec!["nginx:7"]),
            (
                "a=quay.io/a/b:1,b=ghcr.io/c/d:2;e",
                vec!["quay.io/a/b:1", "ghcr.io/c/d:2"],
            ),
            (
                r#"{"image":"nginx","sidecarImage": "a/b:3"}"#,
                vec!["nginx", "a/b:3"],
            ),
            ("image: busybox", vec!["busybox"]),
            ("images: a/b:1.0, c/d:2.0", vec!["a/b:1.0", "c/d:2.0"]),
            (
                "use grafana/grafana:10.2.0.",
                vec!["grafana/grafana:10.2.0"],
            ),
            ("docker://quay.io/a/b:1", vec!["quay.io/a/b:1"]),
        ] {
            assert_eq!(likely(text, ""), expected, "{text}");
        }
        let text = format!("x quay.io/a/b@{digest} y");
        assert_eq!(likely(&text, ""), [format!("quay.io/a/b@{digest}")]);
        assert_eq!(likely("busybox", "INIT_IMAGE"), ["busybox"]);
        assert_eq!(likely("team/tool", "RELATED_IMAGE_TOOL"), ["team/tool"]);
    }

    #[test]
    fn nothing_is_made_up() {
        for text in [
            "https://quay.io/a/b:v1",
            "http://prometheus.monitoring.svc:9090/api/v1",
            "/etc/config/app.yaml:ro",
            "redis:6379",
            "redis-master.default.svc.cluster.local:6379",
            "node-role.kubernetes.io/master:NoSchedule",
            "app.kubernetes.io/name: demo",
            "v1.2.3",
            "1.27",
            "a/b",
            "src/main.go:12",
            "${REGISTRY}/app:1.0",
            "{{ .Values.registry }}/app:1.0",
            "%s/app:1.0",
            "user@example.org",
            "image: https://example.org/logo.png",
            "logo-image: assets/logo.png",
            "imagePullPolicy: IfNotPresent",
            "imageTag: v1.2.3",
            "image: true",
            "container!=\"\",image!=\"\"",
            "rate(http_requests_total[5m])",
            "12:30:00",
            "2024-01-01T00:00:00Z",
            "::1",
            "default/service:8080",
            "monitoring.coreos.com/v1",
            "system:serviceaccount:a:b",
            "--web.listen-address=0.0.0.0:9090",
            "--upstream=http://127.0.0.1:9090/",
        ] {
            assert_eq!(likely(text, ""), Vec::<String>::new(), "{text}");
        }
        assert_eq!(likely("v1.2.3", "IMAGE_TAG"), Vec::<String>::new());
        assert_eq!(
            likely("IfNotPresent", "IMAGE_PULL_POLICY"),
            Vec::<String>::new()
        );
    }
}
