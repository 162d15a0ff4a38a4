//! Controls that "restricted" adds to "baseline".

use serde_json::Value;

use super::baseline::{added_capabilities, has_seccomp_profile, proc_mount};
use super::{Control, Pod, Violation, at, boolean, called, items, text};

/// Sources a volume may have.
const VOLUME_SOURCES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn check(pod: &Pod<'_>, found: &mut Vec<Violation>) {
    let linux_only = !(pod.since(25) && pod.is_windows());
    volume_types(pod, Control::new("restrictedVolumes", found));
    if pod.since(8) && linux_only {
        privilege_escalation(pod, Control::new("allowPrivilegeEscalation", found));
    }
    if !(pod.since(35) && pod.has_user_namespace()) {
        run_as_non_root(pod, Control::new("runAsNonRoot", found));
        if pod.since(23) {
            run_as_user(pod, Control::new("runAsUser", found));
        }
    }
    if pod.since(19) && linux_only {
        seccomp(pod, Control::new("seccompProfile_restricted", found));
    }
    if pod.since(22) && linux_only {
        capabilities(pod, Control::new("capabilities_restricted", found));
    }
    if pod.since(35) {
        proc_mount(pod, Control::new("procMount_restricted", found));
    }
}

fn volume_types(pod: &Pod<'_>, mut control: Control<'_>) {
    for volume in items(pod.spec, "volumes") {
        let source = volume.as_object().and_then(|volume| {
            volume
                .iter()
                .find(|(key, value)| *key != "name" && !value.is_null())
        });
        // The API server makes a volume without a source an emptyDir.
        let Some((source, _)) = source else {
            continue;
        };
        let allowed = VOLUME_SOURCES
            .iter()
            .any(|source| at(volume, &[source]).is_some());
        if !allowed {
            let name = text(volume, &["name"]).unwrap_or("");
            control.broken(
                format!("volume {name:?}"),
                format!("is of the type {source}"),
            );
        }
    }
}

fn privilege_escalation(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        if boolean(container, &["securityContext", "allowPrivilegeEscalation"]) != Some(false) {
            control.broken(called(container), "may gain privileges");
        }
    }
}

/// A value at the pod stands for containers that have none of their own; a wrong value is wrong wherever it is.
fn run_as_non_root(pod: &Pod<'_>, mut control: Control<'_>) {
    let of_pod = boolean(pod.spec, &["securityContext", "runAsNonRoot"]);
    if of_pod == Some(false) {
        control.broken("pod", "sets runAsNonRoot to false");
    }
    for container in &pod.containers {
        match boolean(container, &["securityContext", "runAsNonRoot"]) {
            Some(true) => {}
            Some(false) => control.broken(called(container), "sets runAsNonRoot to false"),
            None if of_pod == Some(true) => {}
            None => control.broken(called(container), "may run as root"),
        }
    }
}

fn run_as_user(pod: &Pod<'_>, mut control: Control<'_>) {
    for (place, context) in pod.security_contexts() {
        if at(context, &["runAsUser"]).and_then(Value::as_f64) == Some(0.0) {
            control.broken(place, "runs as user 0");
        }
    }
}

fn seccomp(pod: &Pod<'_>, mut control: Control<'_>) {
    let mut of_pod = false;
    if let Some(context) = at(pod.spec, &["securityContext"])
        && at(context, &["seccompProfile"]).is_some()
    {
        of_pod = has_seccomp_profile(context);
        if !of_pod {
            control.broken("pod", "sets a seccomp profile that confines nothing");
        }
    }
    for container in &pod.containers {
        let context = at(container, &["securityContext"]);
        match context.filter(|context| at(context, &["seccompProfile"]).is_some()) {
            Some(context) if has_seccomp_profile(context) => {}
            Some(_) => control.broken(
                called(container),
                "sets a seccomp profile that confines nothing",
            ),
            None if of_pod => {}
            None => control.broken(called(container), "has no seccomp profile"),
        }
    }
}

fn capabilities(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        let drops_all = at(container, &["securityContext", "capabilities"])
            .is_some_and(|c| items(c, "drop").iter().any(|name| name == "ALL"));
        if !drops_all {
            control.broken(called(container), "does not drop all capabilities");
        }
        for added in added_capabilities(container) {
            if added != "NET_BIND_SERVICE" {
                control.broken(called(container), format!("adds the capability {added}"));
            }
        }
    }
}
