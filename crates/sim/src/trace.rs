//! What happened, line by line, in simulated time: kept only where somebody wants to read it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::time::Time;

/// The course of a life.
#[derive(Clone)]
pub struct Trace {
    time: Arc<Time>,
    lines: Option<Arc<Mutex<Vec<String>>>>,
}

impl Trace {
    /// A trace that keeps its lines only if they are wanted.
    pub fn new(time: Arc<Time>, wanted: bool) -> Trace {
        Trace { time, lines: wanted.then(Arc::default) }
    }

    /// Adds a line.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let mut line = self.time.truth().strftime("%m-%d %H:%M:%S%.3f  ").to_string();
            // Writing to a String cannot fail.
            write!(line, "{}", text()).unwrap_or_default();
            lock(lines).push(line);
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lock(lines).clone()).unwrap_or_default()
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
