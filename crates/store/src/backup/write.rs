//! Writing a snapshot to its place.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ring::digest;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::{FORMAT, File, KEY, MANIFEST, Manifest, Order, Progress, Snapshot};
use crate::{Error, Result, directory};

/// Pages copied between two looks at the progress: 4 MiB.
const PAGES: i32 = 1024;
/// Read at once when files are summed.
const CHUNK: usize = 1 << 20;

impl Snapshot {
    /// Writes and verifies the backup. Blocks for as long as copying takes.
    pub fn write(self, order: &Order, progress: &Progress) -> Result<Manifest> {
        let out = &order.out;
        if out.exists() {
            return Err(Error::Refused(format!("{} is there already; choose another name", out.display())));
        }
        let (parent, draft) = beside(out)?;
        let made = self.draft(order, progress, &draft).and_then(|manifest| {
            if out.extension().is_some_and(|ending| ending == "tar") {
                let packed = draft.with_extension("tar");
                pack(&draft, &manifest, &packed)?;
                fs::rename(&packed, out).map_err(Error::io(out))?;
            } else {
                fs::rename(&draft, out).map_err(Error::io(out))?;
            }
            directory::sync(&parent)?;
            Ok(manifest)
        });
        for left in [draft.clone(), draft.with_extension("tar")] {
            let removed = if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %left.display(), "a part of a backup is left behind");
                }
                _ => {}
            }
        }
        made
    }

    /// Everything in a directory of its own.
    fn draft(self, order: &Order, progress: &Progress, draft: &Path) -> Result<Manifest> {
        directory::make(draft)?;
        let mut all = 0;
        for (_, connection) in &self.databases {
            let pages: i64 = connection.query_row("PRAGMA page_count", (), |row| row.get(0))?;
            let size: i64 = connection.query_row("PRAGMA page_size", (), |row| row.get(0))?;
            all += (pages * size).cast_unsigned();
        }
        progress.expect(all * 2);
        let mut files = Vec::new();
        for (name, source) in self.databases {
            let path = draft.join(&name);
            copy(&source, &path, progress)?;
            // The source's state is let go of as soon as it is copied.
            drop(source);
            files.push(summed(&path, name, progress)?);
        }
        if order.with_key {
            let path = draft.join(KEY);
            let source = self.directory.join(KEY);
            let key = fs::read(&source).map_err(Error::io(&source))?;
            private(&path, &key)?;
            files.push(summed(&path, KEY.to_owned(), progress)?);
        }
        let manifest = Manifest {
            format: FORMAT,
            version: order.version.clone(),
            schema: self.schema,
            taken_at: order.taken_at,
            with_key: order.with_key,
            files,
        };
        let text =
            serde_json::to_string_pretty(&manifest).map_err(|error| Error::corrupt("manifest", error))?;
        private(&draft.join(MANIFEST), format!("{text}\n").as_bytes())?;
        directory::sync(draft)?;
        Ok(manifest)
    }
}

/// The parent directory of `out`, and a name beside it that nobody takes for a backup.
pub(super) fn beside(out: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::Refused(format!("{} is no name for a file", out.display())))?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Error::Refused(format!("there is no directory {}", parent.display())));
    }
    let draft = parent.join(format!(".{}.{}.partial", name.replace('.', "-"), std::process::id()));
    Ok((parent.to_owned(), draft))
}

/// Copies a database page by page, from the state that `source` holds on to, and checks the copy.
fn copy(source: &Connection, path: &Path, progress: &Progress) -> Result<()> {
    private(path, &[])?;
    let mut target = Connection::open(path)?;
    {
        let backup = Backup::new(source, &mut target)?;
        let mut left = None;
        loop {
            let step = backup.step(PAGES)?;
            let now = backup.progress();
            let before = left.replace(now.remaining).unwrap_or(now.pagecount);
            progress.add(u64::from((before - now.remaining).unsigned_abs()) * 4096);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(Error::Refused("the database is locked by another program".into())),
            }
        }
    }
    // One plain file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", (), |_| Ok(()))?;
    let verdict: String = target.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Error::corrupt("database", verdict));
    }
    target.close().map_err(|(_, error)| Error::from(error))?;
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

/// Writes a file that only its owner can read, durably.
pub(super) fn private(path: &Path, bytes: &[u8]) -> Result<()> {
    directory::private(OpenOptions::new().write(true).create_new(true))
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(Error::io(path))
}

fn summed(path: &Path, name: String, progress: &Progress) -> Result<File> {
    let (bytes, sha256) = fs::File::open(path)
        .and_then(|file| sum(file, |bytes| progress.add(bytes)))
        .map_err(Error::io(path))?;
    Ok(File { name, bytes, sha256 })
}

/// Length and SHA-256 of what is read.
pub(super) fn sum(mut from: impl Read, mut read: impl FnMut(u64)) -> std::io::Result<(u64, String)> {
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut chunk, mut all) = (vec![0; CHUNK], 0);
    loop {
        let bytes = from.read(&mut chunk)?;
        if bytes == 0 {
            let hex = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((all, hex));
        }
        context.update(&chunk[..bytes]);
        all += bytes as u64;
        read(bytes as u64);
    }
}

/// The directory's files in one, the manifest first; read again to be sure.
fn pack(draft: &Path, manifest: &Manifest, packed: &Path) -> Result<()> {
    let failed = || Error::io(packed);
    let file = directory::private(OpenOptions::new().read(true).write(true).create_new(true))
        .open(packed)
        .map_err(failed())?;
    let mut archive = tar::Builder::new(file);
    let names = std::iter::once(MANIFEST).chain(manifest.files.iter().map(|file| file.name.as_str()));
    for name in names {
        archive.append_path_with_name(draft.join(name), name).map_err(failed())?;
    }
    archive.into_inner().and_then(|file| file.sync_all()).map_err(failed())?;
    let mut archive = tar::Archive::new(fs::File::open(packed).map_err(failed())?);
    let mut wanted = manifest.files.iter();
    for entry in archive.entries().map_err(failed())?.skip(1) {
        let (bytes, sha256) = entry.and_then(|entry| sum(entry, |_| {})).map_err(failed())?;
        if wanted.next().is_none_or(|file| (file.bytes, &file.sha256) != (bytes, &sha256)) {
            return Err(Error::corrupt("backup", format!("{} is not as it was written", packed.display())));
        }
    }
    if wanted.next().is_some() {
        return Err(Error::corrupt("backup", format!("{} is not whole", packed.display())));
    }
    Ok(())
}
