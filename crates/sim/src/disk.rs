//! Files in memory that know what was synced: so that a power cut drops or tears what was not, a sync can fail, and
//! the disk can be full.
//!
//! SQLite reaches them through a VFS that [`mount`] makes the default of this process: a process that simulates has
//! no other databases. What stands in the data directory itself is only the names of the files, and the lock.
//!
//! | event | what the files hold afterwards |
//! |---|---|
//! | the process dies | what was written: the operating system still has it |
//! | the power fails | what was synced, and of the rest whatever chance keeps: all, nothing, some writes, some torn |
//! | a sync fails | what was written, until the power fails: it is never made durable any more |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use sqlite_vfs::wip::{WalIndex, WalIndexLock};
use sqlite_vfs::{DatabaseHandle, LockKind, OpenOptions, Vfs};

use crate::Broken;
use crate::chance::{Chance, Stream};
use crate::fault::{Fault, Faults};
use crate::time::Time;
use crate::trace::Trace;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;
/// What is not to outlive its connection is neither counted nor kept.
const TEMPORARY_PREFIX: &str = "temporary-";
/// A region of a log's shared index, in bytes, as SQLite has it.
const REGION: usize = 32_768;

/// The disks of this process, by directory. Whoever uses one keeps it; here it is only found.
static DISKS: Mutex<BTreeMap<String, Weak<Shared>>> = Mutex::new(BTreeMap::new());
static MOUNTED: OnceLock<Result<(), String>> = OnceLock::new();

thread_local! {
    /// The directory of the life on this thread, and how many temporary files it had: they are asked for without a
    /// name.
    static TEMPORARY: RefCell<(String, u64)> = const { RefCell::new((String::new(), 0)) };
}

/// A disk under one data directory.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    directory: String,
    time: Arc<Time>,
    faults: Arc<Mutex<Faults>>,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    files: BTreeMap<String, Content>,
    indexes: BTreeMap<String, Index>,
    handles: u64,
    /// Faults strike, and writes and syncs are counted.
    armed: bool,
    writes: u64,
    syncs: u64,
    full_until: Option<Timestamp>,
    /// The power is gone: nothing works any more.
    off: bool,
}

/// A file.
#[derive(Default)]
struct Content {
    /// As it is read.
    current: Vec<u8>,
    /// As a power cut leaves it at worst.
    durable: Vec<u8>,
    /// What lies between the two, in order.
    pending: Vec<Change>,
    locks: BTreeMap<u64, LockKind>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A log's index in shared memory.
#[derive(Default)]
struct Index {
    /// Each with its version, so that a connection that has it already need not copy it.
    regions: BTreeMap<u32, (u64, Box<[u8]>)>,
    /// By lock, then by holder.
    locks: BTreeMap<u8, BTreeMap<u64, WalIndexLock>>,
}

/// Makes disks in memory the files of every database that this process opens from now on.
fn mount() -> Result<(), Broken> {
    let mounted = MOUNTED.get_or_init(|| {
        sqlite_vfs::register("tributary-sim", Disks, true).map_err(|error| error.to_string())
    });
    mounted.clone().map_err(|error| Broken(format!("disks in memory: {error}")))
}

impl Disk {
    /// A new disk under `directory`.
    pub fn new(
        directory: &Path,
        seed: u64,
        time: Arc<Time>,
        faults: Arc<Mutex<Faults>>,
        trace: Trace,
    ) -> Result<Disk, Broken> {
        mount()?;
        let directory = directory.display().to_string();
        let state = State {
            chance: Chance::new(seed, Stream::Disk),
            files: BTreeMap::new(),
            indexes: BTreeMap::new(),
            handles: 0,
            armed: false,
            writes: 0,
            syncs: 0,
            full_until: None,
            off: false,
        };
        TEMPORARY.replace((directory.clone(), 0));
        let shared = Shared { directory: directory.clone(), time, faults, trace, state: Mutex::new(state) };
        let disk = Disk(Arc::new(shared));
        lock(&DISKS).insert(directory, Arc::downgrade(&disk.0));
        Ok(disk)
    }

    /// From now on faults strike, or none does.
    pub fn arm(&self, armed: bool) {
        self.state().armed = armed;
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Nothing works any more, as for a process that was killed: it cannot tidy up.
    pub fn cut(&self) {
        self.state().off = true;
    }

    /// The machine is there again. `power`: it had no power, so that only what was synced is sure to be there.
    pub fn restore(&self, power: bool) {
        let state = &mut *self.state();
        state.off = false;
        state.indexes.clear();
        state.files.retain(|name, _| !name.contains(TEMPORARY_PREFIX));
        for content in state.files.values_mut() {
            content.locks.clear();
            if power {
                content.lose(&mut state.chance);
            }
        }
    }

    /// Bytes of the largest log.
    pub fn log_bytes(&self) -> usize {
        let state = self.state();
        let logs = state.files.iter().filter(|(name, _)| name.ends_with("-wal"));
        logs.map(|(_, content)| content.current.len()).max().unwrap_or_default()
    }

    /// Writes and syncs since faults strike.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn find(path: &str) -> io::Result<Disk> {
        let disks = lock(&DISKS);
        let found = disks.iter().find(|(directory, _)| path.starts_with(directory.as_str()));
        found
            .and_then(|(_, disk)| disk.upgrade())
            .map(Disk)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no disk holds {path}")))
    }

    /// What happens at a write, which may make the file longer.
    fn before_write(&self, state: &mut State, grows: bool) -> io::Result<()> {
        state.check()?;
        if !state.armed {
            return Ok(());
        }
        state.writes += 1;
        let number = state.writes;
        let fault = lock(&self.0.faults).find(|fault| match fault {
            Fault::Power { write, .. } | Fault::FullDisk { write, .. } => *write == number,
            _ => false,
        });
        if let Some(fault) = fault {
            self.0.trace.say(|| format!("FAULT {fault}"));
            match fault {
                Fault::FullDisk { lasts, .. } => {
                    state.full_until = self.0.time.truth().saturating_add(lasts).ok();
                }
                _ => state.off = true,
            }
        }
        state.check()?;
        let full = state.full_until.is_some_and(|until| self.0.time.truth() < until);
        // This is how the VFS is told that there is no room.
        if full && grows { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    /// What happens at a sync.
    fn before_sync(&self, state: &mut State, name: &str) -> io::Result<()> {
        state.check()?;
        if !state.armed {
            return Ok(());
        }
        state.syncs += 1;
        let number = state.syncs;
        let fault =
            lock(&self.0.faults).find(|fault| matches!(fault, Fault::Fsync { sync, .. } if *sync == number));
        let Some(fault) = fault else { return Ok(()) };
        self.0.trace.say(|| format!("FAULT {fault}"));
        // The pages count as clean from now on, although they are nowhere but in memory.
        if let Some(content) = state.files.get_mut(name) {
            content.pending.clear();
        }
        Err(io::Error::other("the disk reports an error"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&DISKS).remove(&self.directory);
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }
}

impl Content {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        write_at(&mut self.current, at, bytes);
        self.pending.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The power failed: of what was not synced, chance keeps what it likes.
    fn lose(&mut self, chance: &mut Chance) {
        let fate = chance.pick(0, 3);
        for change in std::mem::take(&mut self.pending) {
            match fate {
                0 => {}
                1 => change.apply(&mut self.durable),
                _ => match change {
                    _ if chance.hit(40) => {}
                    Change::Write { at, mut bytes } if chance.hit(40) => {
                        let sectors = bytes.len() as u64 / SECTOR;
                        bytes.truncate((chance.pick(0, sectors) * SECTOR) as usize);
                        write_at(&mut self.durable, at, &bytes);
                    }
                    change => change.apply(&mut self.durable),
                },
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(self, to: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => write_at(to, at, &bytes),
            Change::Length(length) => to.resize(length, 0),
        }
    }
}

fn write_at(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

/// The VFS over all disks.
struct Disks;

impl Vfs for Disks {
    type Handle = File;

    fn open(&self, path: &str, _options: OpenOptions) -> io::Result<File> {
        let disk = Disk::find(path)?;
        let mut state = disk.state();
        state.check()?;
        state.files.entry(path.to_owned()).or_default();
        state.handles += 1;
        let id = state.handles;
        drop(state);
        Ok(File { disk, name: path.to_owned(), id, lock: LockKind::None })
    }

    fn delete(&self, path: &str) -> io::Result<()> {
        let disk = Disk::find(path)?;
        let mut state = disk.state();
        if path.contains(TEMPORARY_PREFIX) {
            // Whoever closes it would keep it in memory for ever if this failed.
            state.files.remove(path);
            return Ok(());
        }
        state.check()?;
        match state.files.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        Ok(Disk::find(path).is_ok_and(|disk| {
            disk.state().files.get(path).is_some_and(|content| !content.current.is_empty())
        }))
    }

    fn temporary_name(&self) -> String {
        TEMPORARY.with_borrow_mut(|(directory, count)| {
            *count += 1;
            format!("{directory}/{TEMPORARY_PREFIX}{count}")
        })
    }

    fn random(&self, buffer: &mut [i8]) {
        // It makes the logs' salts, which nothing depends on.
        buffer.fill(7);
    }

    fn sleep(&self, duration: Duration) -> Duration {
        duration
    }
}

/// An open file.
struct File {
    disk: Disk,
    name: String,
    id: u64,
    lock: LockKind,
}

impl File {
    fn is_temporary(&self) -> bool {
        self.name.contains(TEMPORARY_PREFIX)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.state();
        state.check()?;
        state.files.get_mut(&self.name).map(work).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(content) = self.disk.state().files.get_mut(&self.name) {
            content.locks.remove(&self.id);
        }
    }
}

impl DatabaseHandle for File {
    type WalIndex = Map;

    fn size(&self) -> io::Result<u64> {
        self.with(|content| content.current.len() as u64)
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = offset as usize;
        self.with(|content| {
            let there = content.current.get(at..).unwrap_or_default();
            let count = there.len().min(buffer.len());
            buffer[..count].copy_from_slice(&there[..count]);
            buffer[count..].fill(0);
            if count == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })?
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = offset as usize;
        let mut state = self.disk.state();
        let length = state.files.get(&self.name).map_or(0, |content| content.current.len());
        if !self.is_temporary() {
            self.disk.before_write(&mut state, at + bytes.len() > length)?;
        }
        if let Some(content) = state.files.get_mut(&self.name) {
            content.put(at, bytes);
        }
        Ok(())
    }

    fn sync(&mut self, _data_only: bool) -> io::Result<()> {
        let mut state = self.disk.state();
        self.disk.before_sync(&mut state, &self.name)?;
        if let Some(content) = state.files.get_mut(&self.name) {
            content.sync();
        }
        Ok(())
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.with(|content| {
            content.current.resize(size as usize, 0);
            content.pending.push(Change::Length(size as usize));
        })
    }

    fn lock(&mut self, lock: LockKind) -> io::Result<bool> {
        let id = self.id;
        let granted = self.with(|content| {
            let others = || content.locks.iter().filter(|(holder, _)| **holder != id).map(|(_, kind)| *kind);
            let free = match lock {
                LockKind::None => true,
                LockKind::Shared => {
                    others().all(|kind| kind != LockKind::Exclusive && kind != LockKind::Pending)
                }
                LockKind::Reserved | LockKind::Pending => {
                    others().all(|kind| kind == LockKind::Shared || kind == LockKind::None)
                }
                LockKind::Exclusive => others().all(|kind| kind == LockKind::None),
            };
            if free {
                content.locks.insert(id, lock);
            }
            free
        })?;
        if granted {
            self.lock = lock;
        }
        Ok(granted)
    }

    fn reserved(&mut self) -> io::Result<bool> {
        self.with(|content| {
            let strong = [LockKind::Reserved, LockKind::Pending, LockKind::Exclusive];
            content.locks.values().any(|kind| strong.contains(kind))
        })
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        Ok(self.lock)
    }

    fn wal_index(&self, _readonly: bool) -> io::Result<Map> {
        Ok(Map { disk: self.disk.clone(), name: self.name.clone(), id: self.id, seen: BTreeMap::new() })
    }
}

/// One connection's view of a log's index.
struct Map {
    disk: Disk,
    name: String,
    id: u64,
    /// The versions of the regions that the connection has.
    seen: BTreeMap<u32, u64>,
}

impl Map {
    fn with<T>(&self, work: impl FnOnce(&mut Index) -> T) -> io::Result<T> {
        let mut state = self.disk.state();
        state.check()?;
        Ok(work(state.indexes.entry(self.name.clone()).or_default()))
    }
}

impl Index {
    fn region(&mut self, number: u32) -> &mut (u64, Box<[u8]>) {
        self.regions.entry(number).or_insert_with(|| (1, vec![0; REGION].into_boxed_slice()))
    }
}

impl WalIndex for Map {
    fn map(&mut self, region: u32) -> io::Result<[u8; REGION]> {
        let mut copy = [0; REGION];
        let version = self.with(|index| {
            let (version, bytes) = index.region(region);
            copy.copy_from_slice(bytes);
            *version
        })?;
        self.seen.insert(region, version);
        Ok(copy)
    }

    fn lock(&mut self, locks: Range<u8>, lock: WalIndexLock) -> io::Result<bool> {
        let id = self.id;
        self.with(|index| {
            let free = locks.clone().all(|number| {
                let others =
                    index.locks.get(&number).into_iter().flatten().filter(|(holder, _)| **holder != id);
                let mut held = others.map(|(_, kind)| *kind);
                match lock {
                    WalIndexLock::None => true,
                    WalIndexLock::Shared => held.all(|kind| kind != WalIndexLock::Exclusive),
                    WalIndexLock::Exclusive => held.next().is_none(),
                }
            });
            if free {
                for number in locks {
                    let holders = index.locks.entry(number).or_default();
                    match lock {
                        WalIndexLock::None => holders.remove(&id),
                        lock => holders.insert(id, lock),
                    };
                }
            }
            free
        })
    }

    fn delete(self) -> io::Result<()> {
        self.disk.state().indexes.remove(&self.name);
        Ok(())
    }

    fn pull(&mut self, region: u32, data: &mut [u8; REGION]) -> io::Result<()> {
        let seen = self.seen.get(&region).copied();
        let version = self.with(|index| {
            let (version, bytes) = index.region(region);
            if seen != Some(*version) {
                data.copy_from_slice(bytes);
            }
            *version
        })?;
        self.seen.insert(region, version);
        Ok(())
    }

    fn push(&mut self, region: u32, data: &[u8; REGION]) -> io::Result<()> {
        let version = self.with(|index| {
            let (version, bytes) = index.region(region);
            if bytes[..] != data[..] {
                bytes.copy_from_slice(data);
                *version += 1;
            }
            *version
        })?;
        self.seen.insert(region, version);
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if let Some(index) = self.disk.state().indexes.get_mut(&self.name) {
            for holders in index.locks.values_mut() {
                holders.remove(&self.id);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
