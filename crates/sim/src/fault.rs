//! What can go wrong, as a list that a seed makes, a person reads and shrinking shortens.
//!
//! A fault is tied to a number (the 17th commit, the 5th write to a vendor) or to a time of the life, so that it means
//! the same when others are taken out of the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use store::Cut;

/// The kinds of faults, by the names that the command line and the report have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Crash,
    Node,
    Power,
    Fsync,
    FullDisk,
    Duplicate,
    Reorder,
    Late,
    Lost,
    RateLimit,
    ServerError,
    Timeout,
    Slow,
    Clock,
}

impl Kind {
    pub const ALL: [Kind; 14] = [
        Kind::Crash,
        Kind::Node,
        Kind::Power,
        Kind::Fsync,
        Kind::FullDisk,
        Kind::Duplicate,
        Kind::Reorder,
        Kind::Late,
        Kind::Lost,
        Kind::RateLimit,
        Kind::ServerError,
        Kind::Timeout,
        Kind::Slow,
        Kind::Clock,
    ];

    /// Its name in `--faults`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Crash => "crash",
            Kind::Node => "node",
            Kind::Power => "power",
            Kind::Fsync => "fsync",
            Kind::FullDisk => "full-disk",
            Kind::Duplicate => "duplicate",
            Kind::Reorder => "reorder",
            Kind::Late => "late",
            Kind::Lost => "lost",
            Kind::RateLimit => "rate-limit",
            Kind::ServerError => "server-error",
            Kind::Timeout => "timeout",
            Kind::Slow => "slow",
            Kind::Clock => "clock",
        }
    }

    /// Its name in the report's `injected`.
    pub fn counted(self) -> &'static str {
        match self {
            Kind::Crash => "crashes",
            Kind::Node => "node_deaths",
            Kind::Power => "power_losses",
            Kind::Fsync => "fsync_errors",
            Kind::FullDisk => "full_disk",
            Kind::Duplicate => "duplicated",
            Kind::Reorder => "reordered",
            Kind::Late => "late",
            Kind::Lost => "lost_and_back_filled",
            Kind::RateLimit => "rate_limited",
            Kind::ServerError => "server_errors",
            Kind::Timeout => "timeouts",
            Kind::Slow => "slow_answers",
            Kind::Clock => "clock_jumps",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The `n`th request that reads, or that writes, counted from 1 over all vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nth {
    pub writes: bool,
    pub n: u64,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This 5xx status; with or without effect.
    Status { status: u16, effect: bool },
    /// No answer: the connection closes at once, or nothing comes until the caller gives up.
    NoAnswer { effect: bool, closed: bool },
    /// The effect at once, the answer late.
    Slow { by: SignedDuration },
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies at a commit and starts again after a while.
    Crash { commit: u64, cut: Cut, down: SignedDuration },
    /// One of two nodes dies after a commit; the other one goes on.
    Node { commit: u64, node: usize, down: SignedDuration },
    /// The power fails at a write to the disk: what was not synced is dropped or torn.
    Power { write: u64, down: SignedDuration },
    /// A sync of a file fails, and what it should have made durable never is.
    Fsync { sync: u64, down: SignedDuration },
    /// From a write on, there is no room on the disk for a while.
    FullDisk { write: u64, lasts: SignedDuration },
    /// The event is sent a second time.
    Duplicate { event: u64, after: SignedDuration },
    /// A delivery is taken, but the answer never arrives: it is sent again.
    Unheard { delivery: u64 },
    /// The event is held back a little, so that later ones overtake it.
    Reorder { event: u64, by: SignedDuration },
    /// The event comes hours or days late.
    Late { event: u64, by: SignedDuration },
    /// The event is not sent until somebody has it sent again after the life.
    Lost { event: u64 },
    /// The vendor answers 429 to everybody for a while.
    Storm { vendor: &'static str, from: Timestamp, lasts: SignedDuration, retry_after_s: Option<u32> },
    /// The vendor answers 5xx to everybody for a while.
    Outage { vendor: &'static str, from: Timestamp, lasts: SignedDuration, status: u16 },
    /// One request goes wrong.
    Request { nth: Nth, trouble: Trouble },
    /// The machine's clock jumps: from now on it is wrong by `offset`.
    Clock { at: Timestamp, offset: SignedDuration },
}

impl Fault {
    /// What it counts as.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Crash { .. } => Kind::Crash,
            Fault::Node { .. } => Kind::Node,
            Fault::Power { .. } => Kind::Power,
            Fault::Fsync { .. } => Kind::Fsync,
            Fault::FullDisk { .. } => Kind::FullDisk,
            Fault::Duplicate { .. } | Fault::Unheard { .. } => Kind::Duplicate,
            Fault::Reorder { .. } => Kind::Reorder,
            Fault::Late { .. } => Kind::Late,
            Fault::Lost { .. } => Kind::Lost,
            Fault::Storm { .. } => Kind::RateLimit,
            Fault::Outage { .. } => Kind::ServerError,
            Fault::Request { trouble: Trouble::Status { .. }, .. } => Kind::ServerError,
            Fault::Request { trouble: Trouble::NoAnswer { .. }, .. } => Kind::Timeout,
            Fault::Request { trouble: Trouble::Slow { .. }, .. } => Kind::Slow,
            Fault::Clock { .. } => Kind::Clock,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash { commit, cut: Cut::Before, down } => {
                write!(f, "crash before commit {commit} is durable, down {down:#}")
            }
            Fault::Crash { commit, cut: Cut::After, down } => {
                write!(f, "crash after commit {commit}, before anybody is told, down {down:#}")
            }
            Fault::Node { commit, node, down } => {
                write!(f, "node-{} dies after commit {commit}, down {down:#}", node + 1)
            }
            Fault::Power { write, down } => {
                write!(
                    f,
                    "power fails at disk write {write}, unsynced writes are dropped or torn, down {down:#}"
                )
            }
            Fault::Fsync { sync, down } => write!(f, "fsync {sync} fails, down {down:#}"),
            Fault::FullDisk { write, lasts } => write!(f, "disk full from write {write} on, for {lasts:#}"),
            Fault::Duplicate { event, after } => write!(f, "event {event} sent again after {after:#}"),
            Fault::Unheard { delivery } => write!(f, "the answer to delivery {delivery} is lost"),
            Fault::Reorder { event, by } => write!(f, "event {event} overtaken, {by:#} late"),
            Fault::Late { event, by } => write!(f, "event {event} late by {by:#}"),
            Fault::Lost { event } => write!(f, "event {event} lost until back-filled"),
            Fault::Storm { vendor, from, lasts, retry_after_s } => {
                write!(f, "{vendor} answers 429 from {from} for {lasts:#}")?;
                retry_after_s.map_or(Ok(()), |seconds| write!(f, ", Retry-After: {seconds}"))
            }
            Fault::Outage { vendor, from, lasts, status } => {
                write!(f, "{vendor} answers {status} from {from} for {lasts:#}")
            }
            Fault::Request { nth, trouble } => {
                let what = if nth.writes { "write" } else { "read" };
                write!(f, "{what} {} to a vendor: {trouble}", nth.n)
            }
            Fault::Clock { at, offset } => write!(f, "clock off by {:+} s from {at}", offset.as_secs()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = |effect: &bool| if *effect { "after the effect" } else { "without effect" };
        match self {
            Trouble::Status { status, effect } => write!(f, "{status} {}", took(effect)),
            Trouble::NoAnswer { effect, closed: true } => write!(f, "connection closed {}", took(effect)),
            Trouble::NoAnswer { effect, closed: false } => write!(f, "time-out {}", took(effect)),
            Trouble::Slow { by } => write!(f, "answer {by:#} late"),
        }
    }
}

/// The faults of a life, looked up where they strike, and which of them did.
#[derive(Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    requests: BTreeMap<Nth, usize>,
    struck: BTreeSet<usize>,
    counts: BTreeMap<Kind, u64>,
    /// How long the last fault that ended the process keeps it down.
    down: Option<SignedDuration>,
}

impl Faults {
    pub fn new(list: Vec<Fault>) -> Faults {
        let requests = list.iter().enumerate().filter_map(|(index, fault)| match fault {
            Fault::Request { nth, .. } => Some((*nth, index)),
            _ => None,
        });
        Faults { requests: requests.collect(), list, ..Faults::default() }
    }

    /// All of them.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// Those that struck, in the order of the list.
    pub fn struck(&self) -> Vec<Fault> {
        self.struck.iter().map(|index| self.list[*index].clone()).collect()
    }

    /// How often each kind struck.
    pub fn counts(&self) -> &BTreeMap<Kind, u64> {
        &self.counts
    }

    /// Notes that a fault struck.
    pub fn strike(&mut self, index: usize) -> Fault {
        let fault = self.list[index].clone();
        self.struck.insert(index);
        if let Fault::Crash { down, .. } | Fault::Power { down, .. } | Fault::Fsync { down, .. } = &fault {
            self.down = Some(*down);
        }
        *self.counts.entry(fault.kind()).or_default() += 1;
        fault
    }

    /// How long the process stays down that just died.
    pub fn take_down(&mut self) -> Option<SignedDuration> {
        self.down.take()
    }

    /// The first fault for which `fits` holds strikes.
    pub fn find(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let index = self.list.iter().position(fits)?;
        Some(self.strike(index))
    }

    /// Every fault for which `fits` holds strikes.
    pub fn all(&mut self, fits: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let found: Vec<usize> =
            self.list.iter().enumerate().filter(|(_, fault)| fits(fault)).map(|(index, _)| index).collect();
        found.into_iter().map(|index| self.strike(index)).collect()
    }

    /// What happens to a request, and whether it is the first that this fault strikes: a storm of its vendor goes
    /// before what was meant for it alone.
    pub fn of_request(&mut self, vendor: &str, now: Timestamp, nth: Nth) -> Option<(Fault, bool)> {
        let rages = |from: &Timestamp, lasts: &SignedDuration| {
            let since = now.duration_since(*from);
            !since.is_negative() && since < *lasts
        };
        let storm = self.list.iter().position(|fault| match fault {
            Fault::Storm { vendor: whose, from, lasts, .. }
            | Fault::Outage { vendor: whose, from, lasts, .. } => *whose == vendor && rages(from, lasts),
            _ => false,
        });
        let index = storm.or_else(|| self.requests.get(&nth).copied())?;
        let first = !self.struck.contains(&index);
        Some((self.strike(index), first))
    }

    /// When the machine's clock jumps next.
    pub fn next_jump(&self) -> Option<Timestamp> {
        let jumps = self.list.iter().enumerate().filter(|(index, _)| !self.struck.contains(index));
        let times = jumps.filter_map(|(_, fault)| match fault {
            Fault::Clock { at, .. } => Some(*at),
            _ => None,
        });
        times.min()
    }

    /// The jumps that are due.
    pub fn jumps(&mut self, now: Timestamp) -> Vec<Fault> {
        let due: Vec<usize> = (0..self.list.len())
            .filter(|index| !self.struck.contains(index))
            .filter(|index| matches!(&self.list[*index], Fault::Clock { at, .. } if *at <= now))
            .collect();
        due.into_iter().map(|index| self.strike(index)).collect()
    }
}
