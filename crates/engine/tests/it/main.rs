//! The engine with a real store and a made-up vendor, on one thread, in time that the tests move.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod batch;
mod begin;
#[cfg(test)]
mod concurrent;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod lifecycle;
mod listen;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod subflow;
#[cfg(test)]
mod time;
#[cfg(test)]
mod vendor;
mod versions;
#[cfg(test)]
mod work;
#[cfg(test)]
mod world;
