//! A data directory from a backup: checked, then put in its place whole.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::write::{beside, private, sum};
use super::{FORMAT, KEY, MANIFEST, Manifest};
use crate::{Error, Result, database, directory, schema};

/// A manifest is a few lines.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Makes the data directory `data` from a backup. Refuses a directory in which there is something, files that are
/// not as the manifest says, and what a newer version wrote. Nothing is left behind where it fails.
pub fn restore(from: &Path, data: &Path) -> Result<Manifest> {
    vacant(data)?;
    let (parent, draft) = beside(data)?;
    let restored = unpack(from, &draft).and_then(|manifest| {
        // An empty directory may be there, as a mount point's child or from an installation.
        if data.exists() {
            fs::remove_dir(data).map_err(Error::io(data))?;
        }
        fs::rename(&draft, data).map_err(Error::io(data))?;
        directory::sync(&parent)?;
        Ok(manifest)
    });
    if restored.is_err() && draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::io(&draft))?;
    }
    restored
}

/// Refuses a directory that is in use or holds anything.
fn vacant(data: &Path) -> Result<()> {
    let entries = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(data)(error)),
    };
    if !entries {
        return Ok(());
    }
    // Says who has it, if somebody has.
    if data.join(directory::LOCK).exists() {
        directory::Lock::take(data)?;
    }
    Err(Error::Refused(format!(
        "{} is not empty, and nothing in it is overwritten; name a new directory, or move that one away",
        data.display()
    )))
}

fn unpack(from: &Path, draft: &Path) -> Result<Manifest> {
    directory::make(draft)?;
    let manifest = if from.is_dir() { from_directory(from, draft)? } else { from_tar(from, draft)? };
    let path = draft.join(database::FILE);
    let connection = rusqlite::Connection::open(&path)?;
    let found = schema::version(&connection)?;
    connection.close().map_err(|(_, error)| Error::from(error))?;
    if found != manifest.schema {
        let detail = format!("the database has schema {found}, its manifest says {}", manifest.schema);
        return Err(Error::corrupt("backup", detail));
    }
    directory::sync(draft)?;
    Ok(manifest)
}

fn from_directory(from: &Path, draft: &Path) -> Result<Manifest> {
    let path = from.join(MANIFEST);
    let manifest = read_manifest(fs::File::open(&path).map_err(Error::io(&path))?)?;
    for file in &manifest.files {
        let source = from.join(&file.name);
        let opened = fs::File::open(&source).map_err(Error::io(&source))?;
        take(opened, draft, file)?;
    }
    Ok(manifest)
}

fn from_tar(from: &Path, draft: &Path) -> Result<Manifest> {
    let failed = || Error::io(from);
    let mut archive = tar::Archive::new(fs::File::open(from).map_err(failed())?);
    let mut entries = archive.entries().map_err(failed())?;
    let not_one = || Error::Refused(format!("{} is not a backup of Tributary", from.display()));
    let first = entries.next().ok_or_else(not_one)?.map_err(|_| not_one())?;
    if first.path().map_err(|_| not_one())?.as_ref() != Path::new(MANIFEST) {
        return Err(not_one());
    }
    let manifest = read_manifest(first)?;
    for file in &manifest.files {
        let entry =
            entries.next().ok_or_else(|| Error::corrupt("backup", format!("{} is missing", file.name)))?;
        let entry = entry.map_err(failed())?;
        if entry.path().map_err(failed())?.as_ref() != Path::new(&file.name) {
            return Err(Error::corrupt("backup", format!("{} is not where it should be", file.name)));
        }
        take(entry, draft, file)?;
    }
    Ok(manifest)
}

fn read_manifest(from: impl Read) -> Result<Manifest> {
    let mut text = String::new();
    from.take(MANIFEST_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Error::corrupt("manifest", error))?;
    // The format first: all the rest may have another shape in a newer one.
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::corrupt("manifest", error))?;
    let format = value["format"].as_i64().unwrap_or_default();
    if format > FORMAT.into() {
        return Err(Error::Newer { found: format, known: FORMAT.into() });
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|error| Error::corrupt("manifest", error))?;
    let known = i64::try_from(schema::MAIN.len()).unwrap_or(i64::MAX);
    if manifest.schema > known {
        return Err(Error::Newer { found: manifest.schema, known });
    }
    let names = || manifest.files.iter().map(|file| file.name.as_str());
    if !names().all(is_ours) || !names().any(|name| name == database::FILE) {
        return Err(Error::corrupt("manifest", "it names other files than a backup has"));
    }
    Ok(manifest)
}

/// Only names that a data directory has: a manifest must not lead anywhere else.
fn is_ours(name: &str) -> bool {
    let month = name.strip_prefix("history-").and_then(|rest| rest.strip_suffix(".db"));
    let is_month =
        month.is_some_and(|month| month.len() == 7 && month.chars().all(|c| c.is_ascii_digit() || c == '-'));
    name == database::FILE || name == KEY || is_month
}

/// Copies one file and checks that it is the one that was backed up.
fn take(mut from: impl Read, draft: &Path, file: &super::File) -> Result<()> {
    let path: PathBuf = draft.join(&file.name);
    private(&path, &[])?;
    let failed = || Error::io(&path);
    let mut target = fs::OpenOptions::new().write(true).open(&path).map_err(failed())?;
    std::io::copy(&mut from, &mut target).and_then(|_| target.sync_all()).map_err(failed())?;
    let (bytes, sha256) = fs::File::open(&path).and_then(|copied| sum(copied, |_| {})).map_err(failed())?;
    if (bytes, &sha256) != (file.bytes, &file.sha256) {
        let detail = format!("{} has {bytes} bytes and another checksum than when it was made", file.name);
        return Err(Error::corrupt("backup", detail));
    }
    Ok(())
}
