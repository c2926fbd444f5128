//! What a process or a thread of ours has taken, as Linux counts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux counts processor time for programs in hundredths of a second, on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// Processor time of a whole process, in user mode and in the kernel.
pub fn cpu(pid: u32) -> Result<Duration> {
    stat(Path::new(&format!("/proc/{pid}/stat")))
}

/// Processor time of this process's threads of one name.
pub fn thread_cpu(name: &str) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            sum += stat(&task.join("stat"))?;
        }
    }
    Ok(sum)
}

/// Processor time of a process and of its children, living and dead.
pub fn family_cpu(parent: u32) -> Result<Duration> {
    let mut sum = numbers(Path::new(&format!("/proc/{parent}/stat")))?.with_dead_children();
    for process in fs::read_dir("/proc")? {
        // A process may end between being listed and being read.
        let Ok(found) = numbers(&process?.path().join("stat")) else { continue };
        if found.parent == u64::from(parent) {
            sum += found.own();
        }
    }
    Ok(sum)
}

fn stat(path: &Path) -> Result<Duration> {
    Ok(numbers(path)?.own())
}

/// Of `/proc/…/stat`, times in ticks.
struct Numbers {
    parent: u64,
    own: u64,
    dead_children: u64,
}

impl Numbers {
    fn own(&self) -> Duration {
        Duration::from_secs_f64(self.own as f64 / TICKS_PER_S)
    }

    fn with_dead_children(&self) -> Duration {
        self.own() + Duration::from_secs_f64(self.dead_children as f64 / TICKS_PER_S)
    }
}

fn numbers(path: &Path) -> Result<Numbers> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    // The name before the last parenthesis may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |index: usize| {
        let found = fields.get(index).and_then(|field| field.parse::<u64>().ok());
        found.context("/proc has another format")
    };
    Ok(Numbers {
        parent: number(1)?,
        own: number(11)? + number(12)?,
        dead_children: number(13)? + number(14)?,
    })
}

/// Resident memory in MB: now (`VmRSS`) or at most (`VmHWM`).
pub fn memory_mb(pid: u32, field: &str) -> Result<f64> {
    Ok(number(&format!("/proc/{pid}/status"), field)? as f64 * 1024.0 / 1e6)
}

/// Bytes that a process caused to be written to disks.
pub fn written(pid: u32) -> Result<u64> {
    number(&format!("/proc/{pid}/io"), "write_bytes")
}

fn number(path: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == field)
        .and_then(|(_, value)| value.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("{path} has no {field}"))
}
