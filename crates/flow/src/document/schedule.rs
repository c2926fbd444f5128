//! Reads `schedule`: the events that start a flow, and the clock that does.

use super::parse::{At, Reader};
use crate::event::Read;
use crate::nearest::nearest;
use crate::schedule::{Cron, SHORTEST, Schedule};
use crate::{EventFilter, duration};

/// What `schedule` says.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Any one of them starts the flow.
    pub events: Vec<EventFilter>,
    pub clock: Option<Schedule>,
    pub read: Read,
}

const CLOCKS: &[&str] = &["cron", "every", "after"];

impl<'a> Reader<'a> {
    /// `schedule`.
    pub fn schedule(&mut self, root: &At<'a>) -> Starts {
        let Some(at) = root.get("schedule") else { return Starts::default() };
        self.only(&at, "`schedule`", &["on", "cron", "every", "after", "read"], &[]);
        let clocks: Vec<(&str, At<'a>)> =
            CLOCKS.iter().filter_map(|word| at.get(word).map(|field| (*word, field))).collect();
        if let [(first, _), (other, field), ..] = &clocks[..] {
            let message = format!("`schedule` starts by one clock: it has both `{first}` and `{other}`");
            self.problem(field, "ambiguous_task", message);
        }
        if clocks.is_empty() && at.get("on").is_none() && !at.node.fields().is_empty() {
            let message = "`schedule` needs one of `on`, `cron`, `every`, `after`".to_owned();
            self.problem(&at, "missing_field", message);
        }
        let clock = clocks.first().and_then(|(word, field)| self.clock(word, field));
        let events = at.get("on").map(|on| self.triggers(&on)).unwrap_or_default();
        Starts { events, clock, read: self.read(&at) }
    }

    fn clock(&mut self, word: &str, at: &At<'a>) -> Option<Schedule> {
        if word == "cron" {
            let text = self.literal(at, "`cron`")?;
            return match Cron::parse(text) {
                Ok(cron) => Some(Schedule::Cron(Box::new(cron))),
                Err((message, suggestion)) => {
                    self.report(at.node.place, &at.path, "wrong_cron", message, suggestion);
                    None
                }
            };
        }
        let time = match duration::from_value(&at.node.to_value()) {
            Ok(time) => time,
            Err(why) => {
                self.problem(at, "wrong_duration", format!("`schedule.{word}`: {why}"));
                return None;
            }
        };
        if time < SHORTEST {
            let message = format!("`schedule.{word}` is at least a second");
            self.problem(at, "wrong_duration", message);
            return None;
        }
        Some(if word == "every" { Schedule::Every(time) } else { Schedule::After(time) })
    }

    fn read(&mut self, at: &At<'a>) -> Read {
        let Some(field) = at.get("read") else { return Read::default() };
        let Some(text) = self.literal(&field, "`schedule.read`") else { return Read::default() };
        if let Some(read) = Read::of(text) {
            return read;
        }
        let names = Read::ALL.iter().map(|(name, _)| *name);
        let suggestion = nearest(text, names).map(str::to_owned);
        let message = format!("`read: {text}`: it is `data`, `envelope` or `raw`");
        self.report(field.node.place, &field.path, "wrong_type", message, suggestion);
        Read::default()
    }
}
