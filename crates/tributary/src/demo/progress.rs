//! What a watcher sees: one line that moves, on stderr.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line every few days elsewhere, nothing more with `--json`.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    quiet: bool,
    days: u32,
}

/// Without a terminal, how many lines the month is told in.
const LINES: u32 = 6;

impl Progress {
    /// A month of `days` begins.
    pub fn new(days: u32, quiet: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(u64::from(days)) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} day {pos}/{len} [{bar:24}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Progress { bar, terminal, quiet, days }
    }

    /// Something that has no day.
    pub fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        if !self.terminal && !self.quiet {
            eprintln!("{text}");
        }
    }

    /// The state at the end of `day`, which is counted from 0.
    pub fn day(&self, day: u32, text: String) {
        let done = day + 1;
        let step = self.days.div_ceil(LINES).max(1);
        if !self.terminal && !self.quiet && (done.is_multiple_of(step) || done == self.days) {
            eprintln!("day {done}/{}  {text}", self.days);
        }
        self.bar.set_position(u64::from(done));
        self.bar.set_message(text);
    }

    /// The bar gives its line back.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
