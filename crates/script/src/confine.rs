//! What the kernel takes from a worker before it reads the first byte: files, processes, and most of its memory.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::limits::{ADDRESS_SPACE_BYTES_MAX, TIME_MAX};

/// Gives up, for good, what a script's process never needs. The lists are short on purpose: what is open stays open,
/// and nothing else can be opened, written or started.
pub fn confine() -> std::io::Result<()> {
    let limits = [
        (Resource::Nofile, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
        // A worker whose server was killed ends by itself.
        (Resource::Cpu, TIME_MAX.as_secs() + 2),
        (Resource::As, ADDRESS_SPACE_BYTES_MAX),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
