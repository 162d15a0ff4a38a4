//! The harness itself: servers come up on free ports, and what they stored survives being killed.

use anyhow::{Result, ensure};
use async_nats::jetstream;
use quench_it::nats::NatsServer;
use quench_it::need;
use quench_it::registry::Registry;
use quench_it::tools::run;

#[tokio::test]
async fn acknowledged_messages_survive_a_killed_nats_server() -> Result<()> {
    let mut server = NatsServer::start(&need!("nats-server"), "")?;
    let bus = jetstream::new(async_nats::connect(server.url()).await?);
    let stream = jetstream::stream::Config {
        name: "SURVIVES".to_owned(),
        subjects: vec!["survives.>".to_owned()],
        ..Default::default()
    };
    bus.create_stream(stream).await?;
    bus.publish("survives.one", "1".into()).await?.await?;

    server.kill()?;
    server.restart()?;

    let bus = jetstream::new(async_nats::connect(server.url()).await?);
    let mut stream = bus.get_stream("SURVIVES").await?;
    ensure!(
        stream.info().await?.state.messages == 1,
        "the acknowledged message is gone"
    );
    Ok(())
}

#[test]
fn two_servers_run_side_by_side() -> Result<()> {
    let binary = need!("nats-server");
    let (one, two) = (
        NatsServer::start(&binary, "")?,
        NatsServer::start(&binary, "")?,
    );
    ensure!(one.port() != two.port(), "both use port {}", one.port());
    Ok(())
}

#[test]
fn a_registry_takes_and_gives_an_image() -> Result<()> {
    let registry = Registry::start(&need!("docker-registry"))?;
    let skopeo = need!("skopeo");
    let layout = super::demo_image::build()?;
    let there = format!("docker://{}/demo/nginx:1.22", registry.host());
    let plain = [
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
    ];
    let here = format!("oci:{}", layout.display());
    run(std::process::Command::new(&skopeo)
        .args(plain)
        .args([&here, &there]))?;
    let digest = run(std::process::Command::new(&skopeo)
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(&there))?;
    let expected = quench_it::oci::Layout::new(layout).manifest_digest()?;
    let digest = String::from_utf8(digest)?;
    ensure!(digest.trim() == expected, "pushed {expected}, got {digest}");
    Ok(())
}
