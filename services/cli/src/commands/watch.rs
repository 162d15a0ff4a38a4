//! `quench watch`: finding events as they come.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::style;

/// Where events come from and which.
pub struct Source {
    pub nats: String,
    pub credentials: Option<PathBuf>,
    pub user: String,
    pub ca: Option<PathBuf>,
    pub subject: String,
}

/// Prints events until it is stopped.
pub async fn run(session: &Session, source: &Source) -> Result<Exit> {
    let mut events = subscribe(source).await?;
    if !session.json && !session.quiet {
        anstream::eprintln!("following {}; Ctrl-C ends", source.subject);
    }
    loop {
        tokio::select! {
            () = session.cancel.cancelled() => return Ok(Exit::Done),
            event = events.next() => match event {
                Some(event) => print(session, &event)?,
                None => return Err(Failure::missing(format!(
                    "nats at {} closed the connection", source.nats
                ))),
            },
        }
    }
}

async fn subscribe(source: &Source) -> Result<Subscriber> {
    // The fleet lets each user subscribe to its own inbox alone.
    let mut options = async_nats::ConnectOptions::new()
        .name("quench watch")
        .custom_inbox_prefix(format!("_INBOX_{}", source.user));
    if let Some(path) = &source.credentials {
        let seed = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read credentials {}", path.display()))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(path) = &source.ca {
        options = options.add_root_certificates(path.clone());
    }
    let client = options.connect(&source.nats).await.map_err(|e| {
        Failure::missing(format!(
            "cannot connect to nats at {}: {e}; give its address with --nats and an nkey seed with --credentials",
            source.nats
        ))
    })?;
    let events = client
        .subscribe(source.subject.clone())
        .await
        .map_err(|e| Failure::usage(format!("cannot subscribe to {}: {e}", source.subject)))?;
    // The subscription must be at the server before "following" is told.
    client
        .flush()
        .await
        .map_err(|e| Failure::missing(format!("nats at {}: {e}", source.nats)))?;
    Ok(events)
}

fn print(session: &Session, event: &Message) -> Result<()> {
    let body = body(event);
    if session.json {
        let line =
            json!({ "subject": event.subject.as_str(), "headers": headers(event), "data": body });
        return crate::session::write_stdout(format!("{line}\n").as_bytes());
    }
    let subject = event.subject.as_str();
    let tokens: Vec<&str> = subject.split('.').collect();
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match tokens.as_slice() {
        ["quench", "v1", "finding", _tenant, kind, state, severity] => {
            let style = severity.parse().map_or(style::DIM, style::severity);
            let package = body
                .pointer("/affected/0/package")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let place = [text("image"), text("purl"), text("location")];
            let place: Vec<_> = place
                .iter()
                .filter(|p| !p.is_empty())
                .map(String::as_str)
                .collect();
            anstream::println!(
                "{}  {state:<10} {kind:<14} {}  {package}  {}",
                style::paint(style, format!("{severity:<8}")),
                text("canonicalId"),
                place.join(" ")
            );
        }
        _ => anstream::println!("{subject}  {body}"),
    }
    Ok(())
}

/// The event's body as JSON, whatever form it came in; what cannot be read is told, not dropped.
fn body(event: &Message) -> Value {
    let header = |name: &str| {
        let headers = event.headers.as_ref()?;
        headers.get(name).map(|value| value.as_str().to_owned())
    };
    if header("content-type").is_some_and(|t| t.contains("json")) {
        return serde_json::from_slice(&event.payload)
            .unwrap_or_else(|e| json!({ "unreadable": e.to_string() }));
    }
    let schema = header("ce-dataschema").unwrap_or_default();
    let message = schema.strip_prefix("urn:quench:proto:").unwrap_or(&schema);
    quench_proto::json::from_encoded(message, &event.payload)
        .map_err(|e| e.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()))
        .unwrap_or_else(|e| json!({ "unreadable": e }))
}

fn headers(event: &Message) -> Value {
    let Some(headers) = &event.headers else {
        return json!({});
    };
    headers
        .iter()
        .map(|(name, values)| {
            let values: Vec<_> = values.iter().map(|v| v.as_str()).collect();
            (name.to_string(), Value::from(values.join(",")))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
