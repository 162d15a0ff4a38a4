//! Network, containers, volumes, accounts and permissions.

use maud::{Markup, html};
use quench_rules::hardening::overview::{ContainerEntry, Exposure, NodeKind, Overview, PortEntry};
use quench_rules::hardening::report::Report;

use super::{Section, code, diagram, filterable, list, place, plain, text};

pub(super) fn network(report: &Report) -> Option<Section> {
    let network = &report.overview.network;
    if network.edges.is_empty() && network.policies.is_empty() {
        return None;
    }
    let flows = html! {
        table {
            thead { tr { th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "Ports" } th scope="col" { "Shown by" } } }
            tbody {
                @for edge in &network.edges {
                    tr { td { (code(&edge.from)) } td { (code(&edge.to)) } td { (text(&edge.ports.join(", "))) } td.wide { (text(&edge.shown_by)) } }
                }
            }
        }
    };
    let body = html! {
        p {
            "Read from Services, ingresses and routes, tokens, webhooks, and from Services that stand as hosts in the environment, arguments and ConfigMaps of workloads. "
            "What programs call of their own accord is not seen."
        }
        @if let Some(drawing) = diagram::drawing(network) {
            div.diagram tabindex="0" role="region" aria-label="drawing of the network flows" { (drawing) }
            div.legend { span { "thick border: a network policy of the chart limits who may connect" } span { "dashed: back to one further left" } }
        }
        (filterable("flows", &[], &flows))
        h3 { "Network policies" }
        (policies(&report.overview))
    };
    Some(Section::new(
        "network",
        "Network",
        network.edges.len(),
        body,
    ))
}

fn policies(overview: &Overview) -> Markup {
    let network = &overview.network;
    let rules = |rules: &Option<Vec<String>>| match rules {
        None => html! { span.soft { "not limited" } },
        Some(rules) if rules.is_empty() => html! { span class="chip good" { "nothing" } },
        Some(rules) => html! { ul { @for rule in rules { li { (text(rule)) } } } },
    };
    let open: Vec<String> = network
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Workload && node.ingress == Some(Exposure::Open))
        .map(|node| node.name.clone())
        .collect();
    html! {
        @if network.policies.is_empty() {
            p { "The chart renders none at these values: whoever is in the cluster may connect, unless policies of the cluster forbid it." }
        } @else {
            (plain("network policies", &html! {
                table {
                    thead { tr { th scope="col" { "Policy" } th scope="col" { "For" } th scope="col" { "Lets in" } th scope="col" { "Lets out" } } }
                    tbody {
                        @for policy in &network.policies {
                            tr { th scope="row" { (code(&policy.name)) } td { (list(&policy.workloads, 4)) } td.wide { (rules(&policy.ingress)) } td.wide { (rules(&policy.egress)) } }
                        }
                    }
                }
            }))
            @if !open.is_empty() { p { "No policy limits who may connect to:" } (list(&open, 6)) }
        }
    }
}

pub(super) fn containers(report: &Report) -> Vec<Section> {
    let overview = &report.overview;
    let mut sections = Vec::new();
    if !overview.containers.is_empty() {
        let table = html! {
            table {
                thead { tr {
                    th scope="col" { "Container" } th scope="col" { "Image" } th scope="col" { "Runs as" } th scope="col" { "May" }
                    th scope="col" { "Ports" } th scope="col" { "Mounts" }
                } }
                tbody { @for container in &overview.containers { (container_row(container)) } }
            }
        };
        sections.push(Section::new(
            "containers",
            "Containers and ports",
            overview.containers.len(),
            filterable("containers", &[], &table),
        ));
    }
    if !overview.volumes.is_empty() {
        let table = html! {
            table {
                thead { tr { th scope="col" { "Object" } th scope="col" { "Volume" } th scope="col" { "What it is" } th scope="col" { "Holds" } th scope="col" { "Mounted at" } } }
                tbody {
                    @for volume in &overview.volumes {
                        @let mounts: Vec<String> = overview.containers.iter().filter(|c| c.object == volume.object).flat_map(|c| c.mounts.iter().filter(|m| m.volume == volume.volume).map(|m| format!("{}: {}{}", c.container, m.path, if m.read_only { " (read-only)" } else { "" }))).collect();
                        tr {
                            td { (code(&volume.object)) } td { (code(&volume.volume)) }
                            td { @if volume.kind == "hostPath" { span class="chip bad" { (volume.kind) } } @else { (text(&volume.kind)) } }
                            td { (text(&volume.holds)) }
                            td.wide { (list(&mounts, 3)) }
                        }
                    }
                }
            }
        };
        sections.push(Section::new(
            "volumes",
            "Volumes",
            overview.volumes.len(),
            filterable("volumes", &[], &table),
        ));
    }
    sections
}

fn container_row(container: &ContainerEntry) -> Markup {
    let dropped_all = container.dropped.iter().any(|name| name == "ALL");
    html! {
        tr {
            td { (code(&place(&container.object, Some(&container.container)))) @if container.init { " " span.chip { "init" } } }
            td.wide { (code(&container.image)) }
            td {
                @match container.user { Some(0) => span class="chip bad" { "root" }, Some(user) => { "user " (user) }, None => span.soft { "the image's user" } }
                @if container.non_root { br; span class="chip good" { "not root" } }
            }
            td {
                @if container.privileged { span class="chip bad" { "privileged" } " " }
                @if container.can_escalate { span class="chip unsure" { "gain privileges" } " " }
                @if !container.read_only_root { span class="chip unsure" { "write to root" } " " }
                @if !container.added.is_empty() { span class="chip bad" { "+" (text(&container.added.join(", "))) } " " }
                @if dropped_all { span class="chip good" { "no capabilities" } } @else { span class="chip unsure" { "usual capabilities" } }
                " "
                @if container.seccomp.is_empty() { span class="chip unsure" { "no seccomp" } } @else { span class="chip good" { "seccomp " (text(&container.seccomp)) } }
            }
            td { @for port in &container.ports { (port_line(port)) } }
            td.wide { (list(&container.mounts.iter().map(|mount| mount.path.clone()).collect::<Vec<_>>(), 4)) }
        }
    }
}

fn port_line(port: &PortEntry) -> Markup {
    html! {
        div {
            code { (text(&port.number)) "/" (text(&port.protocol)) } " " (text(&port.name))
            @if !port.host.is_empty() { " " span class="chip bad" { "node port " (text(&port.host)) } }
            @if !port.probes.is_empty() { " " span.soft { "asked for " (text(&port.probes.join(", "))) } }
        }
    }
}

pub(super) fn permissions(report: &Report) -> Option<Section> {
    let overview = &report.overview;
    if overview.accounts.is_empty() {
        return None;
    }
    let accounts = html! {
        table {
            thead { tr { th scope="col" { "Account" } th scope="col" { "Made by the chart" } th scope="col" { "Bound to a role" } th scope="col" { "Workloads" } th scope="col" { "Get its token" } } }
            tbody {
                @for account in &overview.accounts {
                    tr {
                        th scope="row" { (text(&account.name)) }
                        td { @if account.created { "yes" } @else { "no" } }
                        td { @if account.bound { "yes" } @else { "no" } }
                        td { (list(&account.workloads, 4)) }
                        td { @if account.with_token.is_empty() { span class="chip good" { "nobody" } } @else { (list(&account.with_token, 4)) } }
                    }
                }
            }
        }
    };
    let table = html! {
        table {
            thead { tr { th scope="col" { "Account" } th scope="col" { "May" } th scope="col" { "On" } th scope="col" { "Where" } th scope="col" { "Role" } th scope="col" { "Mind" } } }
            tbody {
                @for permission in &overview.permissions {
                    tr data-tag=(if permission.concern.is_empty() { "plain" } else { "mind" }) {
                        td { (text(&permission.account)) }
                        td { @if permission.known { (text(&permission.verbs.join(", "))) } @else { span class="chip unsure" { "not known" } } }
                        td.wide {
                            (list(&permission.resources, 6))
                            @if !permission.names.is_empty() { div.soft { "named " (text(&permission.names.join(", "))) } }
                        }
                        td { @if permission.cluster_wide { "the whole cluster" } @else { "its namespace" } }
                        td { (code(&permission.role)) }
                        td { @if !permission.concern.is_empty() { span.unsure { (text(&permission.concern)) } } }
                    }
                }
            }
        }
    };
    let body = html! {
        (plain("accounts", &accounts))
        h3 { "What they may do" }
        @if overview.permissions.is_empty() {
            p { "The chart binds no account to a role. What the cluster itself allows these accounts is not seen." }
        } @else {
            (filterable("permissions", &[("mind", "far-reaching ones")], &table))
        }
    };
    Some(Section::new(
        "accounts",
        "Accounts and permissions",
        overview.permissions.len(),
        body,
    ))
}
