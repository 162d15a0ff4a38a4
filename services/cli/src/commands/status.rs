//! `quench status`: how far packages are.

use anyhow::Result;
use quench_proto::v1::status_service_client::StatusServiceClient;
use quench_proto::v1::{
    GetPackageRequest, LevelState, ListPackagesRequest, PackageStatus, WatchPackageRequest,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::args::FleetArgs;
use crate::exit::{Exit, Failure};
use crate::session::{Session, write_stdout};
use crate::{fleet, style};

/// Prints the state of one package or all.
pub async fn run(
    session: &Session,
    package: Option<&str>,
    watch: bool,
    fleet: &FleetArgs,
) -> Result<Exit> {
    let channel = fleet::connect(fleet).await?;
    if watch {
        return follow(session, channel, package.unwrap_or_default(), None).await;
    }
    let mut client = StatusServiceClient::new(channel);
    let packages = match package {
        Some(package) => {
            let request = GetPackageRequest {
                package: package.to_owned(),
            };
            let answer = client
                .get_package(request)
                .await
                .map_err(|status| fleet::refused(&status))?;
            answer.into_inner().package.into_iter().collect()
        }
        None => all(&mut client).await?,
    };
    if session.json {
        session.print_json(&packages.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut table = style::table(&["package", "version", "state", "level", "revision", "reason"]);
    for package in &packages {
        table.add_row([
            package.package.clone(),
            package.version.clone(),
            state(package),
            level(package),
            short(&package.revision_digest),
            package.reason.clone(),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(packages
        .iter()
        .map(exit_of)
        .find(|exit| *exit != Exit::Done)
        .unwrap_or(Exit::Done))
}

async fn all(client: &mut StatusServiceClient<Channel>) -> Result<Vec<PackageStatus>> {
    let mut packages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPackagesRequest {
            page_size: 500,
            page_token,
        };
        let page = client
            .list_packages(request)
            .await
            .map_err(|status| fleet::refused(&status))?
            .into_inner();
        packages.extend(page.packages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(packages);
        }
    }
}

/// Prints each change until the package has reached its end; without a package, until stopped. With a tracking
/// id, changes of other runs do not count.
pub async fn follow(
    session: &Session,
    channel: Channel,
    package: &str,
    tracking_id: Option<&str>,
) -> Result<Exit> {
    let mut client = StatusServiceClient::new(channel);
    let request = WatchPackageRequest {
        package: package.to_owned(),
    };
    let mut changes = client
        .watch_package(request)
        .await
        .map_err(|status| fleet::refused(&status))?
        .into_inner();
    let mut last = String::new();
    loop {
        let change = tokio::select! {
            () = session.cancel.cancelled() => return Ok(Exit::Interrupted),
            change = changes.message() => change.map_err(|status| fleet::refused(&status))?,
        };
        let Some(change) = change else {
            return Err(Failure::missing(
                "the fleet ended the watch; start it again",
            ));
        };
        let Some(now) = change.package else {
            continue;
        };
        if tracking_id.is_some_and(|id| id != now.tracking_id) {
            continue;
        }
        let line = if session.json {
            as_json(&now).to_string()
        } else {
            format!(
                "{} {}  {}  {}  {}  {}",
                now.package,
                now.version,
                level(&now),
                state(&now),
                short(&now.revision_digest),
                now.reason
            )
        };
        if line != last {
            if session.json {
                write_stdout(format!("{line}\n").as_bytes())?;
            } else {
                anstream::println!("{}", line.trim_end());
            }
            last = line;
        }
        if !package.is_empty() && ended(&now) {
            return Ok(exit_of(&now));
        }
    }
}

fn ended(package: &PackageStatus) -> bool {
    matches!(
        package.state(),
        LevelState::Done | LevelState::Rejected | LevelState::Dead
    )
}

fn exit_of(package: &PackageStatus) -> Exit {
    match package.state() {
        LevelState::Rejected => Exit::Refused,
        LevelState::Dead => Exit::Missing,
        _ => Exit::Done,
    }
}

fn name(text: &str, prefix: &str) -> String {
    text.trim_start_matches(prefix).to_ascii_lowercase()
}

fn state(package: &PackageStatus) -> String {
    let text = name(package.state().as_str_name(), "LEVEL_STATE_");
    let colour = match package.state() {
        LevelState::Done => style::GOOD,
        LevelState::Rejected | LevelState::Dead => style::BAD,
        LevelState::Retrying => style::UNSURE,
        _ => style::DIM,
    };
    style::paint(colour, text)
}

fn level(package: &PackageStatus) -> String {
    match package.level().model() {
        Some(level) => level.to_string(),
        None => "submitted".to_owned(),
    }
}

fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn as_json(package: &PackageStatus) -> Value {
    use prost::Message as _;
    quench_proto::json::from_encoded("quench.v1.PackageStatus", &package.encode_to_vec())
        .map_err(|e| e.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()))
        .unwrap_or_else(|e| json!({ "package": package.package, "unreadable": e }))
}
