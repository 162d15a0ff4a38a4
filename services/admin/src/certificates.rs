//! A certificate authority of the fleet's own, and a certificate for each of its members.

use std::path::Path;

use anyhow::{Context, Result};
use quench_worker::topology::Topology;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::secret_file;

/// Makes `ca.pem`, and `NAME.pem` with `NAME.key` for nats, every service and `client`.
pub fn make(out: &Path, hosts: &[String], days: u32, topology: &Topology) -> Result<()> {
    secret_file::folder(out)?;
    let authority = authority(out, days)?;
    let services = topology
        .users
        .iter()
        .map(|user| user.name.as_str())
        .filter(|name| !matches!(*name, "admin" | "subscriber"));
    for name in ["nats", "client"].into_iter().chain(services) {
        let key = KeyPair::generate()?;
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1", name]
            .map(str::to_owned)
            .into();
        names.extend(hosts.iter().cloned());
        names.sort();
        names.dedup();
        let mut parameters = CertificateParams::new(names)
            .with_context(|| format!("--host: no certificate can be made for {hosts:?}"))?;
        valid(&mut parameters, days);
        parameters
            .distinguished_name
            .push(DnType::CommonName, format!("quench {name}"));
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &authority)?;
        secret_file::write(&out.join(format!("{name}.pem")), &certificate.pem())?;
        secret_file::write(&out.join(format!("{name}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

/// The authority in `out`: the one that is there, or a new one.
fn authority(out: &Path, days: u32) -> Result<Issuer<'static, KeyPair>> {
    let (certificate_file, key_file) = (out.join("ca.pem"), out.join("ca.key"));
    let mut parameters = CertificateParams::default();
    valid(&mut parameters, days.saturating_mul(10));
    parameters
        .distinguished_name
        .push(DnType::CommonName, "quench fleet");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if certificate_file.exists() && key_file.exists() {
        let pem = std::fs::read_to_string(&key_file)
            .with_context(|| format!("cannot read {}", key_file.display()))?;
        let key = KeyPair::from_pem(&pem)
            .with_context(|| format!("{} is not a private key", key_file.display()))?;
        // What an issuer takes from these is the name and the key, and those are the same each time.
        return Ok(Issuer::new(parameters, key));
    }
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    secret_file::write(&key_file, &key.serialize_pem())?;
    secret_file::write(&certificate_file, &certificate.pem())?;
    Ok(Issuer::new(parameters, key))
}

fn valid(parameters: &mut CertificateParams, days: u32) {
    let now = OffsetDateTime::now_utc();
    // Clocks differ: a certificate made just now must hold on a machine that is a little behind.
    parameters.not_before = now - Duration::hours(1);
    parameters.not_after = now + Duration::days(i64::from(days));
}
