//! Capabilities and system calls of a container, by its security context.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::pod::{list, string};

/// Capabilities that runtimes give where nothing is said.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities of a container, by its security context.
pub(crate) fn capabilities(context: &Value) -> Vec<String> {
    let of = |key: &str| {
        list(context.get("capabilities").unwrap_or(&Value::Null), key)
            .iter()
            .filter_map(Value::as_str)
            .map(|name| name.trim_start_matches("CAP_").to_owned())
            .collect::<Vec<_>>()
    };
    let (dropped, added) = (of("drop"), of("add"));
    let all = dropped.iter().any(|name| name == "ALL");
    DEFAULT_CAPABILITIES
        .iter()
        .map(|name| (*name).to_owned())
        .filter(|name| !all && !dropped.contains(name))
        .chain(added)
        .map(|name| format!("CAP_{name}"))
        .collect()
}

/// Calls that the default profiles of runtimes are known to deny to containers without capabilities. A profile proper
/// belongs to the node, not to us.
const DENIED: &[&str] = &[
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "vhangup",
];

/// A seccomp filter for a profile of a security context; none where nothing or `Unconfined` is said.
pub(crate) fn seccomp(profile: Option<&Value>) -> Result<Value> {
    match profile
        .and_then(|profile| string(profile, "/type"))
        .as_deref()
    {
        None | Some("Unconfined") => Ok(Value::Null),
        Some("RuntimeDefault") => Ok(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": DENIED, "action": "SCMP_ACT_ERRNO" }],
        })),
        Some(other) => bail!("the seccomp profile {other} is not known here"),
    }
}
