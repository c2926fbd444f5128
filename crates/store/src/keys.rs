//! The master key in use, and how another one takes its place while everything goes on.
//!
//! | step | files | envelopes open with | noted in the database |
//! |---|---|---|---|
//! | before | `key` | the old | the old |
//! | the new key is written; other nodes are given it | `key`, `key.new` | the old | the old, the new as next |
//! | each envelope's data key is sealed anew | `key`, `key.new` | one of the two | the old, the new as next |
//! | all are | `key`, `key.new` | the new | the new |
//! | `key.new` takes the place of `key`, the old one stays beside it | `key`, `key.….old` | the new | the new |
//!
//! A process that dies in between starts with both keys, and the next rotation goes on with the same new one. One node
//! rotates at a time: the next key is noted only where there is no other next one. Whoever seals makes sure in the same unit
//! that its key is one of those noted: a node that has none of them is refused, and waits for its operator.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use flow::WorkspaceId;
use flow::chance::Rng;
use ring::hmac;

use crate::row::Row;
use crate::seal::{self, KEY_BYTES, KEY_FILE, MasterKey, Sealed};
use crate::stats::{NODE, counter};
use crate::unit::{By, values};
use crate::{Error, Result, Secrets, Store, Unit, UnitResult, directory};

/// The key that is to take the place of the other.
const NEXT_FILE: &str = "key.new";
/// What links are signed with, once it does not follow from the master key any more.
const LINKS_FILE: &str = "links";

/// The key that is in use, and the one that is taking its place.
const NOTED: &str = "SELECT value FROM meta WHERE name IN ('master_key', 'master_key_next') ORDER BY name";
/// Touches one row if the key is still the one that the rotation began with, or already the one that it goes over to.
const STILL: &str = "UPDATE meta SET value = value WHERE name = 'master_key' AND (value = ?1 OR value = ?2)";
/// Touches one row if no other key is about to take its place.
const NOTE_NEXT: &str = "INSERT INTO meta (name, value) VALUES ('master_key_next', ?1) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value = excluded.value";
const NOTE: &str = "UPDATE meta SET value = ?2 WHERE name = 'master_key' AND (value = ?1 OR value = ?2)";
const NO_NEXT: &str = "DELETE FROM meta WHERE name = 'master_key_next'";
/// Touches one row if the key is one of those noted.
const FENCE: &str = "UPDATE meta SET value = ?1 WHERE value = ?1 \
    AND name = (SELECT min(name) FROM meta WHERE name IN ('master_key', 'master_key_next') AND value = ?1)";
const CONNECTIONS: &str = "SELECT workspace, name, sealed FROM connections ORDER BY workspace, name";
const GRANTS: &str = "SELECT workspace, connection AS name, sealed FROM grants WHERE sealed IS NOT NULL \
    ORDER BY workspace, connection";
const LACKING: &str = "another one has taken the place of this node's: copy the file `key` (or `key.new`, while there is \
    one) here, from the data directory where it was rotated";
/// What was changed meanwhile was sealed anew by whoever did.
const RESEAL_CONNECTION: &str =
    "UPDATE connections SET sealed = ?4 WHERE workspace = ?1 AND name = ?2 AND sealed = ?3";
const RESEAL_GRANT: &str =
    "UPDATE grants SET sealed = ?4 WHERE workspace = ?1 AND connection = ?2 AND sealed = ?3";

/// The keys of a store.
pub(crate) struct Keys {
    directory: PathBuf,
    ring: RwLock<Ring>,
    /// Shared by those who seal, until what they sealed is stored; the rotation has it alone while it changes keys.
    sealing: tokio::sync::RwLock<()>,
}

#[derive(Clone)]
struct Ring {
    current: MasterKey,
    /// The one before or after it, while both are in use.
    other: Option<MasterKey>,
    links: hmac::Key,
}

impl Keys {
    /// The keys of a directory, of which the caller has the present one.
    pub fn load(directory: &Path, current: MasterKey) -> Result<Keys> {
        let other = read(&directory.join(NEXT_FILE))?.map(MasterKey::from_bytes);
        let links = match read(&directory.join(LINKS_FILE))? {
            Some(bytes) => hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            None => current.links(),
        };
        let ring = RwLock::new(Ring { current, other, links });
        Ok(Keys { directory: directory.to_owned(), ring, sealing: tokio::sync::RwLock::default() })
    }

    /// Chooses the key by the fingerprint that the database notes: a rotation may have died before its last step.
    pub fn settle(&self, noted: &str) -> Result<()> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if ring.current.fingerprint() == noted {
            return Ok(());
        }
        match ring.other.take() {
            // Not put in its place yet: what other nodes sealed meanwhile may want the old one.
            Some(next) if next.fingerprint() == noted => {
                keep_links(&self.directory, &ring.current)?;
                ring.other = Some(std::mem::replace(&mut ring.current, next));
                Ok(())
            }
            _ => Err(Error::Key(
                "this data was sealed with another key; every node needs the `key` file of the first one"
                    .into(),
            )),
        }
    }

    fn current(&self) -> MasterKey {
        self.ring().current
    }

    /// What links are signed with: the same before and after a rotation.
    pub fn links(&self) -> hmac::Key {
        self.ring().links
    }

    fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens an envelope with whichever key it is sealed by. Another node may have changed keys: then the one that its
    /// operator put here is taken up.
    pub fn open(&self, what: Sealed, ws: &WorkspaceId, connection: &str, sealed: &[u8]) -> Result<Secrets> {
        let ring = self.ring();
        let mut opened = seal::open(&ring.current, what, ws, connection, sealed);
        if let (Err(_), Some(other)) = (&opened, &ring.other) {
            opened = seal::open(other, what, ws, connection, sealed);
        }
        if opened.is_err() {
            for key in self.files()? {
                if let Ok(secrets) = seal::open(&key, what, ws, connection, sealed) {
                    // What this node seals with is decided where it seals.
                    self.ring.write().unwrap_or_else(PoisonError::into_inner).other = Some(key);
                    return Ok(secrets);
                }
            }
        }
        opened
    }

    /// The keys that lie in the directory now: its operator may have put another one there.
    fn files(&self) -> Result<Vec<MasterKey>> {
        let files = [KEY_FILE, NEXT_FILE].map(|file| read(&self.directory.join(file)));
        files
            .into_iter()
            .filter_map(|read| read.transpose())
            .map(|read| read.map(MasterKey::from_bytes))
            .collect()
    }

    /// Takes up the key that is noted, where the present one is not: the operator put it here.
    fn take_up(&self, noted: &[String]) -> Result<Option<MasterKey>> {
        let files = self.files()?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let is_noted = |key: &MasterKey| noted.contains(&key.fingerprint());
        // Somebody else took it up just now.
        if is_noted(&ring.current) {
            return Ok(Some(ring.current.clone()));
        }
        let Some(key) = ring.other.clone().into_iter().chain(files).find(is_noted) else { return Ok(None) };
        keep_links(&self.directory, &ring.current)?;
        ring.other = Some(std::mem::replace(&mut ring.current, key.clone()));
        Ok(Some(key))
    }

    /// The present key and the one that is to take its place, which lies beside it from now on. A change that was cut off
    /// is the same one again.
    fn change(&self, rng: &mut dyn Rng) -> Result<Change> {
        let path = self.directory.join(NEXT_FILE);
        let ring = self.ring();
        if let Some(bytes) = read(&path)? {
            let new = MasterKey::from_bytes(bytes);
            return match ring.other {
                // This process has gone over to it already.
                Some(old) if new.fingerprint() == ring.current.fingerprint() => Ok(Change { old, new }),
                _ => Change::of(ring.current, new),
            };
        }
        let mut bytes = [0; KEY_BYTES];
        rng.fill(&mut bytes);
        let change = Change::of(ring.current, MasterKey::from_bytes(bytes))?;
        seal::create(&self.directory, &path, &bytes)?;
        Ok(change)
    }

    fn finish(&self) -> Result<()> {
        finish(&self.directory)?;
        self.ring.write().unwrap_or_else(PoisonError::into_inner).other = None;
        Ok(())
    }

    /// Has everything sealed with the new key from now on. Both keys open.
    fn go_over(&self, change: &Change) -> Result<()> {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        keep_links(&self.directory, &change.old)?;
        ring.current = change.new.clone();
        ring.other = Some(change.old.clone());
        Ok(())
    }
}

struct Change {
    old: MasterKey,
    new: MasterKey,
}

impl Change {
    fn of(old: MasterKey, new: MasterKey) -> Result<Change> {
        if new.fingerprint() == old.fingerprint() {
            return Err(Error::Key("the new key is the present one: chance repeats itself".into()));
        }
        Ok(Change { old, new })
    }
}

/// Links that are under way stay good: their key stops following from the master key.
fn keep_links(directory: &Path, old: &MasterKey) -> Result<()> {
    let path = directory.join(LINKS_FILE);
    if path.exists() { Ok(()) } else { seal::create(directory, &path, &old.links_bytes()) }
}

/// The last step: the new key takes the place of the old one, which stays beside it: backups that were made before open
/// with no other.
fn finish(directory: &Path) -> Result<()> {
    let (from, to) = (directory.join(NEXT_FILE), directory.join(KEY_FILE));
    if let Some(old) = read(&to)?.filter(|old| read(&from).is_ok_and(|new| new.as_ref() != Some(old))) {
        let name: String = MasterKey::from_bytes(old)
            .fingerprint()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        seal::create(directory, &directory.join(format!("{KEY_FILE}.{name}.old")), &old)?;
    }
    fs::rename(&from, &to).map_err(Error::io(&to))?;
    directory::sync(directory)
}

/// A key file; none where there is none.
fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>> {
    if path.exists() { seal::read(path).map(Some) } else { Ok(None) }
}

impl Store {
    /// Puts a new master key in the place of the present one, while everything goes on; answers how many envelopes were
    /// sealed anew. A rotation that was cut off is gone on with.
    pub async fn rotate_key(&self, rng: &mut dyn Rng) -> Result<usize> {
        self.finish_rotation(rng).await?;
        self.go_over(rng).await
    }

    /// The same with the key that [`Store::prepare_key`] made, and with no other: the other nodes were given that one.
    /// Answers 0 where a rotation that was cut off is over by now.
    pub async fn rotate_prepared_key(&self, rng: &mut dyn Rng) -> Result<usize> {
        let finished = self.finish_rotation(rng).await?;
        let next = read(&self.inner.keys.directory.join(NEXT_FILE))?.map(MasterKey::from_bytes);
        let noted = self.noted_keys().await?;
        if next.is_some_and(|next| noted.contains(&next.fingerprint())) {
            return self.go_over(rng).await;
        }
        if finished {
            return Ok(0);
        }
        let detail = "no new key is prepared here: the last rotation is over, or none was begun. `tributary key rotate` \
            makes one, to be copied to the other servers before this";
        Err(Error::Key(detail.into()))
    }

    async fn go_over(&self, rng: &mut dyn Rng) -> Result<usize> {
        let keys = &self.inner.keys;
        let Change { old, new } = {
            // Whatever is sealed with the old key is stored by now, and found below.
            let _alone = keys.sealing.write().await;
            // Noted before anything is sealed with it: where this fails, everything goes on with the old one.
            let change = self.note_next(rng).await?;
            keys.go_over(&change)?;
            change
        };
        let mut sealed = self.reseal(&old, &new, rng).await?;
        let noted = values![old.fingerprint(), new.fingerprint()];
        let unit = Unit::new().one(NOTE, noted).then(NO_NEXT, values![]).tally(
            NODE,
            counter::GENERATION,
            By::Fixed(1),
        );
        self.commit(unit).await?;
        // Of nodes that sealed with the old key until they were refused just now.
        sealed += self.reseal(&old, &new, rng).await?;
        keys.finish()?;
        Ok(sealed)
    }

    /// Draws the new key and notes it, without sealing anything with it yet: it lies in the file `key.new`, for operators to
    /// give it to the other nodes. The rotation goes on with it.
    pub async fn prepare_key(&self, rng: &mut dyn Rng) -> Result<()> {
        self.finish_rotation(rng).await?;
        self.note_next(rng).await.map(drop)
    }

    async fn note_next(&self, rng: &mut dyn Rng) -> Result<Change> {
        let keys = &self.inner.keys;
        let change = keys.change(rng)?;
        let (old, new) = (change.old.fingerprint(), change.new.fingerprint());
        let unit = Unit::new().one(STILL, values![old, &new]).one(NOTE_NEXT, values![&new]);
        match self.commit(unit).await {
            Ok(_) => Ok(change),
            Err(Error::Conflict { .. }) => {
                if !self.noted_keys().await?.contains(&new) {
                    let path = keys.directory.join(NEXT_FILE);
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                }
                let detail = "another server is putting a new one in place, or has: go on there, and copy its `key.new` (or \
                    `key`, if there is no other) here first";
                Err(Error::Key(detail.into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a rotation that has gone over to the new key and was cut off, here or on another node; whether there was one.
    pub async fn finish_rotation(&self, rng: &mut dyn Rng) -> Result<bool> {
        let keys = &self.inner.keys;
        let noted = self.noted_keys().await?;
        if !noted.contains(&keys.current().fingerprint()) {
            keys.take_up(&noted)?;
        }
        let Some(next) = read(&keys.directory.join(NEXT_FILE))?.map(MasterKey::from_bytes) else {
            return Ok(false);
        };
        if noted.first() != Some(&next.fingerprint()) {
            return Ok(false);
        }
        if keys.current().fingerprint() != next.fingerprint() {
            let _alone = keys.sealing.write().await;
            keys.take_up(&noted[..1])?;
        }
        if let Some(old) = keys.ring().other {
            self.reseal(&old, &next, rng).await?;
        }
        keys.finish()?;
        Ok(true)
    }

    /// Seals every data key anew that the old key opens, until a pass finds none.
    async fn reseal(&self, old: &MasterKey, new: &MasterKey, rng: &mut dyn Rng) -> Result<usize> {
        let mut count = 0;
        loop {
            let mut found = 0;
            for (what, all, change) in
                [(Sealed::Credentials, CONNECTIONS, RESEAL_CONNECTION), (Sealed::Grant, GRANTS, RESEAL_GRANT)]
            {
                for row in self.rows(all, Vec::new()).await? {
                    let Envelope { ws, name, sealed } = envelope(&row)?;
                    let Some(anew) = seal::reseal(old, new, what, &ws, &name, &sealed, rng)? else {
                        continue;
                    };
                    found += 1;
                    match self.commit(Unit::new().one(change, values![&ws, &name, sealed, anew])).await {
                        Ok(_) => count += 1,
                        // Somebody else just wrote it.
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if found == 0 {
                return Ok(count);
            }
        }
    }

    /// Commits what is sealed with one of the keys that the database notes. [`Error::Key`]: this node has none of them.
    pub(crate) async fn commit_sealed(
        &self,
        mut unit: impl FnMut(&MasterKey) -> Result<Unit>,
    ) -> Result<UnitResult> {
        let keys = &self.inner.keys;
        let _sealing = keys.sealing.read().await;
        let mut key = keys.current();
        loop {
            let fenced = unit(&key)?.one(FENCE, values![key.fingerprint()]);
            let conflict = match self.commit(fenced).await {
                Err(conflict @ Error::Conflict { .. }) => conflict,
                done => return done,
            };
            let noted = self.noted_keys().await?;
            if noted.contains(&key.fingerprint()) {
                return Err(conflict);
            }
            let Some(other) = keys.take_up(&noted)? else {
                return Err(Error::Key(LACKING.into()));
            };
            key = other;
        }
    }

    /// Opens an envelope. [`Error::Unavailable`]: another node seals with a key that was not given to this one yet; it will
    /// open once it was.
    pub(crate) async fn open_sealed(
        &self,
        what: Sealed,
        ws: &WorkspaceId,
        connection: &str,
        sealed: &[u8],
    ) -> Result<Secrets> {
        let keys = &self.inner.keys;
        let unsealed = match keys.open(what, ws, connection, sealed) {
            Err(unsealed @ Error::Unsealed(_)) => unsealed,
            opened => return opened,
        };
        let ring = keys.ring();
        let mine: Vec<String> = [ring.current]
            .into_iter()
            .chain(ring.other)
            .chain(keys.files()?)
            .map(|key| key.fingerprint())
            .collect();
        let lacking = self.noted_keys().await?.iter().any(|noted| !mine.contains(noted));
        Err(if lacking { Error::Unavailable(format!("master key: {LACKING}")) } else { unsealed })
    }

    /// The fingerprints of the keys that envelopes are sealed with, the one in use first.
    async fn noted_keys(&self) -> Result<Vec<String>> {
        self.rows(NOTED, Vec::new()).await?.iter().map(|row| row.get("value")).collect()
    }
}

struct Envelope {
    ws: WorkspaceId,
    name: String,
    sealed: Vec<u8>,
}

fn envelope(row: &Row) -> Result<Envelope> {
    Ok(Envelope { ws: row.get("workspace")?, name: row.get("name")?, sealed: row.bytes("sealed")?.to_vec() })
}
