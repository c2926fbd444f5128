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

fn stat(path: &Path) -> Result<Duration> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    // The name before the last parenthesis may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let (user, kernel) = ticks(11).zip(ticks(12)).context("/proc has another format")?;
    Ok(Duration::from_secs_f64((user + kernel) as f64 / TICKS_PER_S))
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
