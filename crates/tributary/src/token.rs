//! The REST API's token: made at the first start, kept in the data directory, readable by its owner only.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flow::chance::Rng;

const FILE: &str = "token";
const PREFIX: &str = "tby_token_";
const RANDOM_BYTES: usize = 32;

/// Where the token of a data directory lies.
pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// The token's text; made if there is none. The data directory's lock is held by the caller.
pub fn load_or_create(data: &Path, rng: &mut dyn Rng) -> anyhow::Result<String> {
    let path = path(data);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() > PREFIX.len() => return Ok(text.trim().to_owned()),
        // Empty: the process ended between making and writing it.
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut bytes = [0; RANDOM_BYTES];
    rng.fill(&mut bytes);
    let text = bytes.iter().fold(PREFIX.to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).with_context(|| path.display().to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::SystemRng;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_made_once_and_is_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut rng = SystemRng::default();
        let first = load_or_create(directory.path(), &mut rng).expect("made");
        assert_eq!(first.len(), PREFIX.len() + 2 * RANDOM_BYTES);
        assert_eq!(load_or_create(directory.path(), &mut rng).expect("read"), first);
        let mode = std::fs::metadata(path(directory.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        std::fs::write(path(directory.path()), "").expect("emptied");
        assert_ne!(load_or_create(directory.path(), &mut rng).expect("made again"), first);
    }
}
