//! Sealed secrets: an envelope of two keys, bound to the place where it belongs.
//!
//! ```text
//! 1 | nonce 12 | data key sealed by the master key 32 + 16 | nonce 12 | secret sealed by the data key n + 16
//! ```
//! Both seals carry the workspace and the connection as associated data, so that an envelope that is copied to
//! another row does not open. The data key is random per envelope: a new master key re-seals 32 bytes each.

use base64::Engine as _;
use flow::WorkspaceId;
use flow::chance::Rng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::{Error, Result, directory};

pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const VERSION: u8 = 1;
pub(crate) const KEY_FILE: &str = "key";

/// What the data keys are sealed with. Whoever has it and the database can read every credential.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

impl MasterKey {
    /// A key from elsewhere: a secret manager, a test.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key in the data directory's file `key`, made there (readable by its owner only) if there is none.
    pub fn load_or_create(directory: &Path, rng: &mut dyn Rng) -> Result<Self> {
        directory::make(directory)?;
        let path = directory.join(KEY_FILE);
        if !path.exists() {
            // Another key than the one that this data was sealed with would only hide that it is missing.
            if directory.join(crate::database::FILE).exists() {
                return Err(Error::Key(format!(
                    "{} is missing. A backup leaves it out: copy it there from where you keep it (mode 0600). Without \
                     it the stored credentials cannot be opened",
                    path.display()
                )));
            }
            let mut bytes = [0; KEY_BYTES];
            rng.fill(&mut bytes);
            create(directory, &path, &bytes)?;
        }
        read(&path).map(Self)
    }

    fn cipher(key: &[u8]) -> Result<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, key)
            .map(LessSafeKey::new)
            .map_err(|_| Error::Key(format!("a key has {KEY_BYTES} bytes")))
    }

    /// What the links by which people decide are signed with.
    pub(crate) fn links(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.links_bytes())
    }

    /// The bytes of that key.
    pub(crate) fn links_bytes(&self) -> [u8; KEY_BYTES] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), b"tributary approval links");
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Tells whether data was sealed with this key, without telling anything about the key.
    pub(crate) fn fingerprint(&self) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), b"tributary master key");
        base64::engine::general_purpose::STANDARD.encode(tag)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.fill(0);
    }
}

/// The key in a file.
pub(crate) fn read(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .map_err(|error| Error::Key(format!("{}: {error}", path.display())))?;
    <[u8; KEY_BYTES]>::try_from(bytes)
        .map_err(|_| Error::Key(format!("{} does not hold {KEY_BYTES} bytes", path.display())))
}

/// Writes a key whole or not at all, and never over another one.
pub(crate) fn create(directory: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = directory.join(format!("{KEY_FILE}.{}", std::process::id()));
    let mut file = directory::private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(&draft)
        .map_err(Error::io(&draft))?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(Error::io(&draft))?;
    match fs::hard_link(&draft, path) {
        Ok(()) => {}
        // Somebody else made one at the same moment: theirs it is.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io(path)(error)),
    }
    fs::remove_file(&draft).map_err(Error::io(&draft))?;
    directory::sync(directory)
}

/// The fingerprint that a database notes; that of `key` in a new one.
pub(crate) fn noted(connection: &Connection, key: &MasterKey) -> Result<String> {
    let noted: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = 'master_key'", (), |row| row.get(0))
        .optional()?;
    if let Some(noted) = noted {
        return Ok(noted);
    }
    let fingerprint = key.fingerprint();
    connection.execute("INSERT INTO meta (name, value) VALUES ('master_key', ?1)", [&fingerprint])?;
    Ok(fingerprint)
}

/// Credentials by name. Never printed; wiped when dropped, as far as that can be had.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    pub fn new(credentials: BTreeMap<String, String>) -> Self {
        Self(credentials)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        if let Some(old) = self.0.insert(name.into(), value.into()) {
            wipe(old);
        }
    }

    pub fn remove(&mut self, name: &str) {
        if let Some(old) = self.0.remove(name) {
            wipe(old);
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "***"))).finish()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.0).into_values() {
            wipe(value);
        }
    }
}

fn wipe(text: String) {
    let mut bytes = text.into_bytes();
    bytes.fill(0);
    std::hint::black_box(&bytes);
}

/// What an envelope holds: part of its place, so that one kind is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    Credentials,
    Grant,
}

/// Seals the secrets of a connection.
pub(crate) fn seal(
    key: &MasterKey,
    what: Sealed,
    workspace: &WorkspaceId,
    connection: &str,
    secrets: &Secrets,
    rng: &mut dyn Rng,
) -> Result<Vec<u8>> {
    let place = place(what, workspace, connection);
    let mut data_key = [0; KEY_BYTES];
    rng.fill(&mut data_key);
    let mut envelope = vec![VERSION];
    put(&mut envelope, &key.0, &place, data_key.to_vec(), rng)?;
    let plain = serde_json::to_vec(&secrets.0).map_err(|error| Error::corrupt("credentials", error))?;
    put(&mut envelope, &data_key, &place, plain, rng)?;
    data_key.fill(0);
    Ok(envelope)
}

/// Opens what [`seal`] made, if it is at its place and was made with this key.
pub(crate) fn open(
    key: &MasterKey,
    what: Sealed,
    workspace: &WorkspaceId,
    connection: &str,
    envelope: &[u8],
) -> Result<Secrets> {
    let unsealed = || Error::Unsealed(connection.to_owned());
    let place = place(what, workspace, connection);
    let (&version, rest) = envelope.split_first().ok_or_else(unsealed)?;
    if version != VERSION {
        return Err(unsealed());
    }
    let (head, body) = rest.split_at_checked(NONCE_BYTES + KEY_BYTES + TAG_BYTES).ok_or_else(unsealed)?;
    let mut data_key = take(&key.0, &place, head).ok_or_else(unsealed)?;
    let mut plain = take(&data_key, &place, body).ok_or_else(unsealed)?;
    data_key.fill(0);
    let secrets = serde_json::from_slice(&plain).map(Secrets).map_err(|_| unsealed());
    plain.fill(0);
    secrets
}

/// The same envelope with its data key sealed by another master key; none where the old one does not open it.
pub(crate) fn reseal(
    old: &MasterKey,
    new: &MasterKey,
    what: Sealed,
    workspace: &WorkspaceId,
    connection: &str,
    envelope: &[u8],
    rng: &mut dyn Rng,
) -> Result<Option<Vec<u8>>> {
    let place = place(what, workspace, connection);
    let Some((&version, rest)) = envelope.split_first().filter(|(version, _)| **version == VERSION) else {
        return Ok(None);
    };
    let Some((head, body)) = rest.split_at_checked(NONCE_BYTES + KEY_BYTES + TAG_BYTES) else {
        return Ok(None);
    };
    let Some(data_key) = take(&old.0, &place, head) else { return Ok(None) };
    let mut anew = vec![version];
    put(&mut anew, &new.0, &place, data_key, rng)?;
    anew.extend(body);
    Ok(Some(anew))
}

fn place(what: Sealed, workspace: &WorkspaceId, connection: &str) -> Vec<u8> {
    let what = match what {
        Sealed::Credentials => "credentials",
        Sealed::Grant => "grant",
    };
    // Lengths are part of it: (`a`, `bc`) is another place than (`ab`, `c`).
    format!("tributary {what}\0{}\0{workspace}\0{connection}", workspace.as_str().len()).into_bytes()
}

fn put(
    envelope: &mut Vec<u8>,
    key: &[u8],
    place: &[u8],
    mut plain: Vec<u8>,
    rng: &mut dyn Rng,
) -> Result<()> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill(&mut nonce);
    MasterKey::cipher(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut plain)
        .map_err(|_| Error::Key("sealing failed".into()))?;
    envelope.extend(nonce);
    envelope.extend(plain);
    Ok(())
}

fn take(key: &[u8], place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
    let mut bytes = sealed.to_vec();
    let length = MasterKey::cipher(key)
        .ok()?
        .open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::from(place), &mut bytes)
        .ok()?
        .len();
    bytes.truncate(length);
    Some(bytes)
}
