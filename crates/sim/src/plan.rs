//! Which faults a seed injects: always crashes, and a mix of the other kinds.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use store::Cut;

use crate::chance::{Chance, Stream};
use crate::fault::{Fault, Kind, Nth, Trouble};

/// Crashes of a life, at least; a few more are planned, should the last of them find no commit any more.
pub const CRASHES_MIN: u64 = 5;
/// A life's events, commits and requests, roughly: faults are spread over so many.
const EVENTS: u64 = 230;
const COMMITS: u64 = 700;
const READS: u64 = 1_800;
const WRITES: u64 = 220;
const DISK_WRITES: u64 = 9_000;
const DISK_SYNCS: u64 = 700;
/// Each kind but crashes is part of so many lives, in percent.
const SHARE: u64 = 60;
/// So many lives have two nodes, in percent.
const TWO_NODES: u64 = 33;
const DAY_S: u64 = 86_400;
/// Receivers of webhooks tolerate signatures that are this old, and a little is needed for the way.
const TOLERATED_S: i64 = 240;

/// The faults of a seed, and how many nodes it has.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: usize,
    pub faults: Vec<Fault>,
}

/// Draws the faults of a life that lasts from `start` for `days`, of these kinds only.
pub fn plan(seed: u64, kinds: &BTreeSet<Kind>, start: Timestamp, days: u64) -> Plan {
    let chance = Chance::new(seed, Stream::Faults);
    let mut plan = Planner { chance, kinds, start, days, faults: Vec::new() };
    // What is drawn does not depend on which kinds are wanted, so that a kind strikes at the same places alone.
    let two = plan.chance.hit(TWO_NODES) && kinds.contains(&Kind::Node);
    plan.crashes();
    plan.node_deaths(two);
    plan.disk();
    plan.post();
    plan.storms();
    plan.requests();
    plan.clock();
    let faults = plan.faults.into_iter().filter(|fault| kinds.contains(&fault.kind())).collect();
    Plan { nodes: if two { 2 } else { 1 }, faults }
}

struct Planner<'a> {
    chance: Chance,
    kinds: &'a BTreeSet<Kind>,
    start: Timestamp,
    days: u64,
    faults: Vec<Fault>,
}

impl Planner<'_> {
    /// Mostly short; now and then long enough for the vendor to come back hours later.
    fn down(&mut self) -> SignedDuration {
        let seconds = match self.chance.pick(0, 9) {
            0 => self.chance.pick(600, 3 * 3_600),
            1..=4 => self.chance.pick(31, 300),
            _ => self.chance.pick(0, 20),
        };
        SignedDuration::from_secs(seconds.cast_signed())
    }

    fn seconds(&mut self, from: u64, to: u64) -> SignedDuration {
        SignedDuration::from_secs(self.chance.pick(from, to).cast_signed())
    }

    fn moment(&mut self) -> Timestamp {
        let within = self.seconds(0, self.days * DAY_S);
        self.start.saturating_add(within).unwrap_or(self.start)
    }

    fn crashes(&mut self) {
        let wanted = CRASHES_MIN + 2 + self.chance.pick(0, 4);
        for number in 0..wanted {
            // Spread over the life's first two thirds, so that they happen; some soon after another one.
            let slice = COMMITS * 2 / 3 / wanted;
            let commit = 1 + number * slice + self.chance.pick(0, slice - 1);
            let cut = self.chance.choose(&[Cut::Before, Cut::After]);
            let down = self.down();
            self.faults.push(Fault::Crash { commit, cut, down });
            if self.chance.hit(20) {
                let (soon, down) = (self.chance.pick(1, 4), self.down());
                self.faults.push(Fault::Crash { commit: commit + soon, cut, down });
            }
        }
    }

    fn node_deaths(&mut self, two: bool) {
        for number in 0..self.chance.pick(2, 6) {
            let commit = self.chance.pick(1, COMMITS);
            let (node, down) = ((number % 2) as usize, self.down());
            if two {
                self.faults.push(Fault::Node { commit, node, down });
            }
        }
    }

    fn disk(&mut self) {
        let kinds = [self.chance.hit(SHARE), self.chance.hit(SHARE / 2), self.chance.hit(SHARE / 2)];
        for _ in 0..self.chance.pick(1, 4) {
            let (write, down) = (self.chance.pick(1, DISK_WRITES), self.down());
            if kinds[0] {
                self.faults.push(Fault::Power { write, down });
            }
        }
        for _ in 0..self.chance.pick(1, 2) {
            let (sync, down) = (self.chance.pick(1, DISK_SYNCS), self.down());
            if kinds[1] {
                // What the failed sync lost shows when the power fails next.
                self.faults.push(Fault::Fsync { sync, down });
                let soon = self.chance.pick(1, 200);
                self.faults.push(Fault::Power { write: sync * (DISK_WRITES / DISK_SYNCS) + soon, down });
            }
        }
        for _ in 0..self.chance.pick(1, 2) {
            let (write, lasts) = (self.chance.pick(1, DISK_WRITES), self.seconds(1, 1_800));
            if kinds[2] {
                self.faults.push(Fault::FullDisk { write, lasts });
            }
        }
    }

    /// About so many of a thousand events.
    fn some_events(&mut self, per_mille: u64) -> Vec<u64> {
        (1..=EVENTS).filter(|_| self.chance.pick(1, 1_000) <= per_mille).collect()
    }

    fn post(&mut self) {
        let kinds: Vec<bool> = (0..4).map(|_| self.chance.hit(SHARE)).collect();
        let mut taken = BTreeSet::new();
        for event in self.some_events(15) {
            if kinds[0] && taken.insert(event) {
                self.faults.push(Fault::Lost { event });
            }
        }
        for event in self.some_events(40) {
            let by = self.seconds(3_600, 4 * DAY_S);
            if kinds[1] && taken.insert(event) {
                self.faults.push(Fault::Late { event, by });
            }
        }
        for event in self.some_events(120) {
            let by = self.seconds(5, 900);
            if kinds[2] && taken.insert(event) {
                self.faults.push(Fault::Reorder { event, by });
            }
        }
        for event in self.some_events(60) {
            let after = self.seconds(0, 6 * 3_600);
            if kinds[3] {
                self.faults.push(Fault::Duplicate { event, after });
            }
        }
        for delivery in self.some_events(20) {
            if kinds[3] {
                self.faults.push(Fault::Unheard { delivery });
            }
        }
    }

    fn storms(&mut self) {
        let kinds = [self.chance.hit(SHARE), self.chance.hit(SHARE)];
        for _ in 0..self.chance.pick(2, 6) {
            let vendor = self.chance.choose(&["stripe", "chartmogul", "slack"]);
            let (from, lasts) = (self.moment(), self.seconds(60, 3 * 3_600));
            let retry_after_s = self.chance.choose(&[None, Some(1), Some(30), Some(600)]);
            if kinds[0] {
                self.faults.push(Fault::Storm { vendor, from, lasts, retry_after_s });
            }
        }
        for _ in 0..self.chance.pick(1, 3) {
            let vendor = self.chance.choose(&["stripe", "chartmogul", "slack"]);
            let (from, lasts) = (self.moment(), self.seconds(60, 3 * 3_600));
            let status = self.chance.choose(&[500, 502, 503]);
            if kinds[1] {
                self.faults.push(Fault::Outage { vendor, from, lasts, status });
            }
        }
    }

    fn requests(&mut self) {
        let kinds = [self.chance.hit(SHARE), self.chance.hit(SHARE), self.chance.hit(SHARE)];
        for (writes, upto, per_mille) in [(false, READS, 10), (true, WRITES, 120)] {
            for n in 1..=upto {
                if self.chance.pick(1, 1_000) > per_mille {
                    continue;
                }
                let trouble = self.trouble();
                let wanted = match trouble {
                    Trouble::Status { .. } => kinds[0],
                    Trouble::NoAnswer { .. } => kinds[1],
                    Trouble::Slow { .. } => kinds[2],
                };
                if wanted {
                    self.faults.push(Fault::Request { nth: Nth { writes, n }, trouble });
                }
            }
        }
    }

    fn trouble(&mut self) -> Trouble {
        let effect = self.chance.hit(50);
        match self.chance.pick(0, 3) {
            0 => Trouble::Status { status: self.chance.choose(&[500, 502, 503, 504]), effect },
            1 | 2 => Trouble::NoAnswer { effect, closed: self.chance.hit(60) },
            _ => Trouble::Slow { by: self.seconds(1, 50) },
        }
    }

    /// A few jumps, forward and back. What is off by more than signatures tolerate is put right within hours, as a
    /// time server does; in the end the clock is right.
    fn clock(&mut self) {
        let wanted = self.chance.hit(SHARE / 2) && self.kinds.contains(&Kind::Clock);
        let end = self.start + SignedDuration::from_secs((self.days * DAY_S).cast_signed());
        let mut jumps = vec![(end, 0)];
        for _ in 0..self.chance.pick(1, 5) {
            let at = self.moment();
            if self.chance.hit(25) {
                jumps.push((at, self.chance.signed(-1_200, 1_200)));
                let later = at + self.seconds(600, 6 * 3_600);
                jumps.push((later, self.chance.signed(-60, 60)));
            } else {
                jumps.push((at, self.chance.signed(-TOLERATED_S, TOLERATED_S)));
            }
        }
        if wanted {
            let offset = SignedDuration::from_secs;
            let faults = jumps.into_iter().filter(|(at, _)| *at <= end);
            self.faults.extend(faults.map(|(at, by)| Fault::Clock { at, offset: offset(by) }));
        }
    }
}
