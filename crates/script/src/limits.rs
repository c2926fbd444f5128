//! Every bound of a script, by name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How long a script may take, from the start of its process to its answer.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// Scripts at work at once; others wait for their turn.
pub const WORKERS_MAX: usize = 4;
/// The heap of a script in JavaScript, in bytes.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;
/// The stack of a script in JavaScript, in bytes.
pub const STACK_BYTES_MAX: usize = 512 << 10;
/// The address space of a worker, in bytes: what bounds jq, and all that is beside a script's own heap.
pub const ADDRESS_SPACE_BYTES_MAX: u64 = 384 << 20;
/// How often QuickJS asks whether it may go on; it asks after some 10,000 calls and loops.
pub const STEPS_MAX: u64 = 20_000;
/// How many continuations of promises a script may run.
pub const JOBS_MAX: u64 = 1_000_000;
/// What a script may print and return, in bytes of JSON.
pub const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// The memory that what a script returns may take in the server, in bytes.
pub const VALUE_BYTES_MAX: usize = 32 << 20;
/// The deepest nesting of what a script returns.
pub const DEPTH_MAX: usize = 100;
/// What a worker reads: code, arguments and standard input, in bytes of JSON.
pub const REQUEST_BYTES_MAX: usize = 16 << 20;
/// What is read from a worker: output and what is printed, escaped.
pub const ANSWER_BYTES_MAX: usize = 3 * OUTPUT_BYTES_MAX;
/// The longest message of an error, in characters.
pub const MESSAGE_MAX: usize = 500;

/// How long a program may take. A flow's `timeout` ends it earlier.
pub const PROGRAM_TIME_MAX: Duration = Duration::from_secs(600);
/// What a program may print on each of its two channels, in bytes.
pub const PROGRAM_OUTPUT_BYTES_MAX: usize = 8 << 20;
/// What a program may be told: command, arguments, environment and standard input, in bytes.
pub const PROGRAM_INPUT_BYTES_MAX: usize = 16 << 20;

/// Which bound a script met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    Time,
    Memory,
    Steps,
    /// Calls within calls.
    Depth,
    Output,
    Input,
}

impl Limit {
    /// Its name in a fault's data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Steps => "steps",
            Self::Depth => "depth",
            Self::Output => "output",
            Self::Input => "input",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => write!(f, "the script was ended: it took too long"),
            Self::Memory => write!(f, "the script was ended: it needs more memory than scripts have"),
            Self::Steps => write!(f, "the script was ended: it takes more steps than scripts have"),
            Self::Depth => write!(f, "the script was ended: its calls are nested too deeply"),
            Self::Output => {
                write!(f, "the script prints or returns more than {} MiB", OUTPUT_BYTES_MAX >> 20)
            }
            Self::Input => {
                write!(
                    f,
                    "code, arguments and stdin of the script are more than {} MiB",
                    REQUEST_BYTES_MAX >> 20
                )
            }
        }
    }
}
