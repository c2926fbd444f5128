//! The data directory: one process owns it, and nobody but its user can look inside.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Error, Result};

pub(crate) const LOCK: &str = "lock";

/// The directory's lock, released when dropped or when the process ends, however it ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory if it is missing and takes its lock, or tells who has it.
    pub fn take(directory: &Path) -> Result<Self> {
        make(directory)?;
        let path = directory.join(LOCK);
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if read.is_ok() && !holder.is_empty() { holder } else { "unknown" };
                return Err(Error::Locked { path: directory.into(), holder: holder.into() });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::io(&path))?;
        Ok(Self { _file: file })
    }
}

/// Makes the directory, readable by its owner only.
pub(crate) fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    permit(directory, 0o700)
}

/// The same options, for files that only their owner can read.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io(path))
}

#[cfg(not(unix))]
fn permit(_path: &Path, _mode: u32) -> Result<()> {
    Ok(())
}

/// Makes entries of the directory durable.
pub(crate) fn sync(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::io(directory))
}
