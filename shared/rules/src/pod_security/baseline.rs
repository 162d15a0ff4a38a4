//! Controls of the standard "baseline".

use serde_json::Value;

use super::{Control, Pod, Standard, Violation, at, boolean, called, items, text};

/// Capabilities a container may add: those that container runtimes give by default.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Sysctls that are namespaced and harm nobody else, with the minor version that allowed each.
const SYSCTLS: [(u32, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_notsent_lowat"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
];

const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn check(pod: &Pod<'_>, standard: Standard, found: &mut Vec<Violation>) {
    let restricted = standard == Standard::Restricted;
    windows_host_process(pod, Control::new("windowsHostProcess", found));
    host_namespaces(pod, Control::new("hostNamespaces", found));
    privileged(pod, Control::new("privileged", found));
    // "Restricted" has a stricter control in the place of each of these from the version given on.
    if !(restricted && pod.since(22)) {
        capabilities(pod, Control::new("capabilities_baseline", found));
    }
    if !restricted {
        host_path_volumes(pod, Control::new("hostPathVolumes", found));
    }
    if !(restricted && pod.since(19)) {
        seccomp(pod, Control::new("seccompProfile_baseline", found));
    }
    if !(restricted && pod.since(35)) {
        proc_mount_unless_user_namespace(pod, Control::new("procMount", found));
    }
    host_ports(pod, Control::new("hostPorts", found));
    apparmor(pod, Control::new("appArmorProfile", found));
    selinux(pod, Control::new("seLinuxOptions", found));
    sysctls(pod, Control::new("sysctls", found));
    if pod.since(34) {
        probe_hosts(pod, Control::new("hostProbesAndHostLifecycle", found));
    }
}

fn windows_host_process(pod: &Pod<'_>, mut control: Control<'_>) {
    for (place, context) in pod.security_contexts() {
        if boolean(context, &["windowsOptions", "hostProcess"]) == Some(true) {
            control.broken(place, "sets windowsOptions.hostProcess");
        }
    }
}

fn host_namespaces(pod: &Pod<'_>, mut control: Control<'_>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if boolean(pod.spec, &[field]) == Some(true) {
            control.broken("pod", format!("sets {field}"));
        }
    }
}

fn privileged(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        if boolean(container, &["securityContext", "privileged"]) == Some(true) {
            control.broken(called(container), "is privileged");
        }
    }
}

fn capabilities(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        for added in added_capabilities(container) {
            if !CAPABILITIES.contains(&added) {
                control.broken(called(container), format!("adds the capability {added}"));
            }
        }
    }
}

pub(super) fn added_capabilities(container: &Value) -> impl Iterator<Item = &str> {
    at(container, &["securityContext", "capabilities"])
        .map_or(&[][..], |capabilities| items(capabilities, "add"))
        .iter()
        .filter_map(Value::as_str)
}

fn host_path_volumes(pod: &Pod<'_>, mut control: Control<'_>) {
    for volume in items(pod.spec, "volumes") {
        if at(volume, &["hostPath"]).is_some() {
            let name = text(volume, &["name"]).unwrap_or("");
            control.broken(format!("volume {name:?}"), "mounts a path of the host");
        }
    }
}

fn host_ports(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        for port in items(container, "ports") {
            if let Some(number) = at(port, &["hostPort"]).filter(|port| port.as_f64() != Some(0.0))
            {
                control.broken(called(container), format!("takes the host's port {number}"));
            }
        }
    }
}

fn apparmor(pod: &Pod<'_>, mut control: Control<'_>) {
    for (place, context) in pod.security_contexts() {
        if at(context, &["appArmorProfile"]).is_none() {
            continue;
        }
        match text(context, &["appArmorProfile", "type"]) {
            Some("RuntimeDefault" | "Localhost") => {}
            other => control.broken(
                place,
                format!("sets the AppArmor profile {}", other.unwrap_or("\"\"")),
            ),
        }
    }
    for (key, value) in pod.annotations.into_iter().flatten() {
        let profile = value.as_str().unwrap_or_default();
        if key.starts_with(APPARMOR_ANNOTATION)
            && !(profile.is_empty()
                || profile == "runtime/default"
                || profile.starts_with("localhost/"))
        {
            control.broken(
                format!("annotation {key:?}"),
                format!("sets the AppArmor profile {profile}"),
            );
        }
    }
}

fn selinux(pod: &Pod<'_>, mut control: Control<'_>) {
    for (place, context) in pod.security_contexts() {
        let Some(options) = at(context, &["seLinuxOptions"]) else {
            continue;
        };
        match text(options, &["type"]).unwrap_or_default() {
            "" | "container_t" | "container_init_t" | "container_kvm_t" => {}
            "container_engine_t" if pod.since(31) => {}
            other => control.broken(place.as_str(), format!("sets the SELinux type {other}")),
        }
        for field in ["user", "role"] {
            if text(options, &[field]).is_some_and(|value| !value.is_empty()) {
                control.broken(place.as_str(), format!("sets the SELinux {field}"));
            }
        }
    }
}

fn sysctls(pod: &Pod<'_>, mut control: Control<'_>) {
    let Some(context) = at(pod.spec, &["securityContext"]) else {
        return;
    };
    for sysctl in items(context, "sysctls") {
        let name = text(sysctl, &["name"]).unwrap_or_default();
        let allowed = SYSCTLS
            .iter()
            .any(|(since, allowed)| *allowed == name && pod.since(*since));
        if !allowed {
            control.broken("pod", format!("sets the sysctl {name}"));
        }
    }
}

/// Before 1.19 the profile was an annotation.
fn seccomp(pod: &Pod<'_>, mut control: Control<'_>) {
    if pod.since(19) {
        for (place, context) in pod.security_contexts() {
            if at(context, &["seccompProfile"]).is_some() && !has_seccomp_profile(context) {
                control.broken(place, "sets a seccomp profile that confines nothing");
            }
        }
        return;
    }
    let Some(annotations) = pod.annotations else {
        return;
    };
    let names = pod.containers.iter().map(|container| {
        format!(
            "{SECCOMP_ANNOTATION}{}",
            text(container, &["name"]).unwrap_or_default()
        )
    });
    for key in std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(names) {
        let Some(profile) = annotations.get(&key) else {
            continue;
        };
        let profile = profile.as_str().unwrap_or_default();
        if !(matches!(profile, "runtime/default" | "docker/default")
            || profile.starts_with("localhost/"))
        {
            control.broken(
                format!("annotation {key:?}"),
                format!("sets the seccomp profile {profile}"),
            );
        }
    }
}

pub(super) fn has_seccomp_profile(context: &Value) -> bool {
    matches!(
        text(context, &["seccompProfile", "type"]),
        Some("RuntimeDefault" | "Localhost")
    )
}

fn proc_mount_unless_user_namespace(pod: &Pod<'_>, control: Control<'_>) {
    if !(pod.since(35) && pod.has_user_namespace()) {
        proc_mount(pod, control);
    }
}

pub(super) fn proc_mount(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        if let Some(mount) = text(container, &["securityContext", "procMount"])
            && mount != "Default"
        {
            control.broken(called(container), format!("mounts /proc as {mount}"));
        }
    }
}

fn probe_hosts(pod: &Pod<'_>, mut control: Control<'_>) {
    for container in &pod.containers {
        for handler in [
            &["livenessProbe"][..],
            &["readinessProbe"],
            &["startupProbe"],
            &["lifecycle", "postStart"],
            &["lifecycle", "preStop"],
        ] {
            let Some(handler_value) = at(container, handler) else {
                continue;
            };
            for action in ["httpGet", "tcpSocket"] {
                if let Some(host) = text(handler_value, &[action, "host"])
                    && !host.is_empty()
                {
                    control.broken(
                        called(container),
                        format!("names the host {host} in {}", handler.join(".")),
                    );
                }
            }
        }
    }
}
