//! Accounts, users and permissions of nats-server, out of `deploy/nats/users.toml`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use nkeys::KeyPair;
use quench_worker::topology::{Topology, User};

use crate::secret_file;

/// Makes `NAME.seed` for each user and `accounts.conf`.
pub fn make(out: &Path, topology: &Topology) -> Result<()> {
    secret_file::folder(out)?;
    let mut users = Vec::new();
    for user in &topology.users {
        users.push((user, public_key(out, &user.name)?));
    }
    let system = public_key(out, "system")?;
    secret_file::write(
        &out.join("accounts.conf"),
        &accounts(&topology.account, &users, &system)?,
    )
}

/// The public key of the seed in `out`, which is made when it is missing.
fn public_key(out: &Path, name: &str) -> Result<String> {
    let file = out.join(format!("{name}.seed"));
    if file.exists() {
        let seed = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let key = KeyPair::from_seed(seed.trim())
            .with_context(|| format!("{} holds no seed of a key", file.display()))?;
        return Ok(key.public_key());
    }
    let key = KeyPair::new_user();
    secret_file::write(&file, &key.seed()?)?;
    Ok(key.public_key())
}

/// The `accounts` block of the server's configuration.
fn accounts(account: &str, users: &[(&User, String)], system: &str) -> Result<String> {
    let mut text = String::from(
        "# Written by `quench-admin configuration` from deploy/nats/users.toml; include it in nats-server's configuration.\n",
    );
    writeln!(text, "system_account: SYS")?;
    writeln!(text, "accounts {{")?;
    writeln!(text, "  SYS {{ users: [ {{ nkey: {system} }} ] }}")?;
    writeln!(text, "  {account} {{")?;
    writeln!(text, "    jetstream: enabled")?;
    writeln!(text, "    users: [")?;
    for (user, key) in users {
        writeln!(text, "      # {}: {}", user.name, user.description)?;
        writeln!(text, "      {{ nkey: {key}, permissions: {{")?;
        for (verb, subjects) in [
            ("publish", user.may_publish()),
            ("subscribe", user.may_subscribe()),
        ] {
            let list: Vec<_> = subjects.iter().map(|s| format!("{s:?}")).collect();
            writeln!(text, "        {verb}: {{ allow: [ {} ] }}", list.join(", "))?;
        }
        writeln!(text, "      }} }}")?;
    }
    writeln!(text, "    ]\n  }}\n}}")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_made_once() {
        let folder = std::env::temp_dir().join(format!("quench-accounts-{}", std::process::id()));
        let topology = Topology::embedded().unwrap();
        make(&folder, &topology).unwrap();
        let read = || std::fs::read_to_string(folder.join("accounts.conf")).unwrap();
        let first = read();
        make(&folder, &topology).unwrap();
        assert_eq!(first, read());
        for user in &topology.users {
            let seed = std::fs::read_to_string(folder.join(format!("{}.seed", user.name))).unwrap();
            assert!(!first.contains(&seed), "the server needs no secret");
            assert!(first.contains(&KeyPair::from_seed(&seed).unwrap().public_key()));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
