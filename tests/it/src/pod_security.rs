//! The Pod Security Standard "restricted", v1.36, as an oracle: written from the standard and held against the pods the
//! standard's own authors say must pass and fail, apart from the rules under test.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use serde_json::Value;

use crate::pod::list;

const VOLUMES: [&str; 9] = [
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
const SELINUX_TYPES: [&str; 5] = [
    "",
    "container_engine_t",
    "container_init_t",
    "container_kvm_t",
    "container_t",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
const HANDLERS: [&str; 5] = [
    "/livenessProbe",
    "/readinessProbe",
    "/startupProbe",
    "/lifecycle/postStart",
    "/lifecycle/preStop",
];
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Why a pod or pod template would be refused, in the words of the standard; empty when it passes.
pub fn restricted_violations(template: &Value) -> Vec<String> {
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let windows = spec.pointer("/os/name").and_then(Value::as_str) == Some("windows");
    let mut refusals = Vec::new();
    check_pod(template, spec, &mut refusals);
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(spec, key) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("?");
            let mut own = Vec::new();
            check_container(spec, container, windows, &mut own);
            refusals.extend(
                own.into_iter()
                    .map(|what| format!("container {name}: {what}")),
            );
        }
    }
    refusals
}

fn check_pod(template: &Value, spec: &Value, refusals: &mut Vec<String>) {
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if is(spec, name, true) {
            refusals.push(format!("{name} is true"));
        }
    }
    for volume in list(spec, "volumes") {
        for kind in volume
            .as_object()
            .into_iter()
            .flat_map(|volume| volume.keys())
        {
            if kind != "name" && !VOLUMES.contains(&kind.as_str()) {
                refusals.push(format!("volume type {kind}"));
            }
        }
    }
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    for sysctl in list(context, "sysctls") {
        let name = sysctl.get("name").and_then(Value::as_str).unwrap_or("?");
        if !SYSCTLS.contains(&name) {
            refusals.push(format!("sysctl {name}"));
        }
    }
    let annotations = template
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    for (name, value) in annotations.into_iter().flatten() {
        let profile = value.as_str().unwrap_or_default();
        if name.starts_with(APPARMOR_ANNOTATION)
            && !profile.is_empty()
            && profile != "runtime/default"
            && !profile.starts_with("localhost/")
        {
            refusals.push(format!("annotation {name} is {profile}"));
        }
    }
    check_context(context, "", refusals);
}

/// What neither a pod's nor a container's security context may say.
fn check_context(context: &Value, place: &str, refusals: &mut Vec<String>) {
    let text = |pointer: &str| context.pointer(pointer).and_then(Value::as_str);
    if context.pointer("/runAsUser").and_then(Value::as_i64) == Some(0) {
        refusals.push(format!("{place}runAsUser is 0"));
    }
    if context.pointer("/runAsNonRoot").and_then(Value::as_bool) == Some(false) {
        refusals.push(format!("{place}runAsNonRoot is false"));
    }
    if context
        .pointer("/windowsOptions/hostProcess")
        .and_then(Value::as_bool)
        == Some(true)
    {
        refusals.push(format!("{place}windowsOptions.hostProcess is true"));
    }
    for (pointer, allowed) in [
        ("/seccompProfile/type", ["RuntimeDefault", "Localhost"]),
        ("/appArmorProfile/type", ["RuntimeDefault", "Localhost"]),
    ] {
        if let Some(found) = text(pointer)
            && !allowed.contains(&found)
        {
            refusals.push(format!("{place}{pointer} is {found}"));
        }
    }
    if text("/seLinuxOptions/type").is_some_and(|found| !SELINUX_TYPES.contains(&found)) {
        refusals.push(format!("{place}seLinuxOptions.type"));
    }
    for field in ["user", "role"] {
        if text(&format!("/seLinuxOptions/{field}")).is_some_and(|found| !found.is_empty()) {
            refusals.push(format!("{place}seLinuxOptions.{field}"));
        }
    }
}

fn check_container(spec: &Value, container: &Value, windows: bool, refusals: &mut Vec<String>) {
    let context = container.get("securityContext").unwrap_or(&Value::Null);
    let pods = spec.get("securityContext").unwrap_or(&Value::Null);
    let own_or_pods = |key: &str| context.get(key).or_else(|| pods.get(key));
    check_context(context, "", refusals);
    if is(context, "privileged", true) {
        refusals.push("privileged".to_owned());
    }
    if own_or_pods("runAsNonRoot").and_then(Value::as_bool) != Some(true) {
        refusals.push("runAsNonRoot is not true".to_owned());
    }
    if context
        .get("procMount")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind != "Default")
    {
        refusals.push("procMount is not Default".to_owned());
    }
    if !windows {
        if !is(context, "allowPrivilegeEscalation", false) {
            refusals.push("allowPrivilegeEscalation is not false".to_owned());
        }
        if own_or_pods("seccompProfile")
            .and_then(|profile| profile.get("type"))
            .is_none()
        {
            refusals.push("no seccompProfile.type".to_owned());
        }
        if !capabilities(context, "drop").any(|name| name == "ALL") {
            refusals.push("capabilities.drop lacks ALL".to_owned());
        }
        if capabilities(context, "add").any(|name| name != "NET_BIND_SERVICE") {
            refusals.push("capabilities.add holds more than NET_BIND_SERVICE".to_owned());
        }
    }
    for port in list(container, "ports") {
        if port
            .get("hostPort")
            .and_then(Value::as_i64)
            .is_some_and(|port| port != 0)
        {
            refusals.push("hostPort".to_owned());
        }
    }
    for handler in HANDLERS {
        for action in ["httpGet", "tcpSocket"] {
            let host = container
                .pointer(&format!("{handler}/{action}/host"))
                .and_then(Value::as_str);
            if host.is_some_and(|host| !host.is_empty()) {
                refusals.push(format!("{handler}/{action} names a host"));
            }
        }
    }
}

fn capabilities<'a>(context: &'a Value, which: &str) -> impl Iterator<Item = &'a str> {
    let names = context
        .pointer(&format!("/capabilities/{which}"))
        .and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

fn is(value: &Value, key: &str, wanted: bool) -> bool {
    value.get(key).and_then(Value::as_bool) == Some(wanted)
}
