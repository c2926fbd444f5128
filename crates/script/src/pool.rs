//! Starts a process for each script, and ends it in time.
//!
//! | the worker | the script |
//! |---|---|
//! | answers in time | as it answers |
//! | takes too long | is killed: `time` |
//! | says too much | is killed: `output` |
//! | aborts, for want of memory | `memory` |
//! | runs off its stack | `depth` |
//! | is not there any more for another reason | failed |
//!
//! A process is never used twice: what a script may have broken in it, no other one meets.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use flow::Fault;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::javascript::weight;
use crate::limits::{ANSWER_BYTES_MAX, Limit, REQUEST_BYTES_MAX, TIME_MAX, WORKERS_MAX};
use crate::task::limited;
use crate::{Answer, Request, Task};

/// Signals by which a worker ends: no memory, no stack, no time of the processor's.
const ABORTED: i32 = 6;
const OFF_THE_STACK: [i32; 2] = [11, 7];
const NO_TIME: [i32; 2] = [24, 9];

/// Runs scripts, a few at a time.
#[derive(Clone, Debug)]
pub struct Pool {
    program: PathBuf,
    arguments: Vec<OsString>,
    time: Duration,
    places: Arc<Semaphore>,
}

impl Pool {
    /// Scripts are run by `program` with `arguments`, which must come to [`crate::worker::run`].
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Pool {
        Pool {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            time: TIME_MAX,
            places: Arc::new(Semaphore::new(WORKERS_MAX)),
        }
    }

    /// The same with another limit of time.
    #[must_use]
    pub fn within(self, time: Duration) -> Pool {
        Pool { time, ..self }
    }

    /// Runs `run: script`, as [`Task::read`] has it. Dropped, it ends the script.
    ///
    /// # Errors
    /// As the script failed, or was ended.
    pub async fn run(&self, with: &Value) -> Result<Value, Fault> {
        if weight(with) > REQUEST_BYTES_MAX {
            return Err(limited(Limit::Input));
        }
        let task = Task::read(with)?;
        let answer = self.answer(&task.request).await;
        task.finish(answer)
    }

    /// What became of a script.
    pub async fn answer(&self, request: &Request) -> Answer {
        let bytes = match serde_json::to_vec(request) {
            Ok(bytes) if bytes.len() <= REQUEST_BYTES_MAX => bytes,
            Ok(_) => return Answer::Limited(Limit::Input),
            Err(error) => return Answer::Refused(format!("the script can't be told to a worker: {error}")),
        };
        // It is never closed.
        let _place = self.places.acquire().await;
        match tokio::time::timeout(self.time, self.exchange(bytes)).await {
            Err(_) => Answer::Limited(Limit::Time),
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Refused(format!("the script's worker could not be used: {error}")),
        }
    }

    async fn exchange(&self, request: Vec<u8>) -> io::Result<Answer> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            // Times have no zone but this one, and no file says otherwise.
            .env("TZ", "UTC0")
            // The allocator's reserve would be the whole address space that a worker may have.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A signal that a terminal sends to the server is not for its scripts, which it still awaits.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let ask = async move {
            // A worker that does not read to the end has its reason, and tells it.
            input.write_all(&request).await.ok();
        };
        let listen = async {
            let mut text = Vec::new();
            output.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut text).await.map(|_| text)
        };
        let ((), text) = tokio::join!(ask, listen);
        let text = text?;
        if text.len() > ANSWER_BYTES_MAX {
            return Ok(Answer::Limited(Limit::Output));
        }
        match serde_json::from_slice(&text) {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(unanswered(child.wait().await?)),
        }
    }
}

/// What a worker that ended without an answer says by the way it ended.
fn unanswered(status: ExitStatus) -> Answer {
    match status.signal() {
        Some(ABORTED) => Answer::Limited(Limit::Memory),
        Some(signal) if OFF_THE_STACK.contains(&signal) => Answer::Limited(Limit::Depth),
        Some(signal) if NO_TIME.contains(&signal) => Answer::Limited(Limit::Time),
        _ => Answer::Refused(format!("the script's worker ended without an answer ({status})")),
    }
}
