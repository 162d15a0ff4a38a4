//! Files that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Makes a folder that only its owner may enter.
pub fn folder(path: &Path) -> Result<()> {
    let failed = || format!("cannot make the folder {}", path.display());
    std::fs::create_dir_all(path).with_context(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(failed)
}

/// Writes a file that only its owner may read, in place of what was there.
pub fn write(path: &Path, content: &str) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    // Never the other way round: a file that is made readable and closed later was readable meanwhile.
    let staged = path.with_extension("new");
    if staged.exists() {
        std::fs::remove_file(&staged).with_context(failed)?;
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)
        .with_context(failed)?;
    file.write_all(content.as_bytes()).with_context(failed)?;
    std::fs::rename(&staged, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let place = std::env::temp_dir().join(format!("quench-secret-{}", std::process::id()));
        folder(&place).unwrap();
        let file = place.join("a.seed");
        write(&file, "one").unwrap();
        write(&file, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&place), 0o700);
        std::fs::remove_dir_all(place).unwrap();
    }
}
