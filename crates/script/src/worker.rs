//! The process that a script runs in: one request on standard input, one answer on standard output, and it ends.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use crate::confine::confine;
use crate::limits::{Limit, REQUEST_BYTES_MAX};
use crate::{Answer, Language, Request, javascript, jq};

/// Runs the one script that this process is for.
pub fn run() -> ExitCode {
    if let Err(error) = confine() {
        return tell(&Answer::Refused(format!("the worker could not be confined: {error}")));
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(REQUEST_BYTES_MAX as u64 + 1).read_to_end(&mut text);
    if let Err(error) = read {
        return tell(&Answer::Refused(format!("the worker was not told its script: {error}")));
    }
    if text.len() > REQUEST_BYTES_MAX {
        return tell(&Answer::Limited(Limit::Input));
    }
    let request: Request = match serde_json::from_slice(&text) {
        Ok(request) => request,
        Err(error) => return tell(&Answer::Refused(format!("the script can't be read: {error}"))),
    };
    drop(text);
    match request.language {
        // Taking the heap down would only cost time.
        Language::JavaScript => {
            javascript::answered(&request, |answer| {
                tell(&answer);
                std::process::exit(0);
            });
            ExitCode::SUCCESS
        }
        Language::Jq => tell(&jq::run(&request)),
    }
}

fn tell(answer: &Answer) -> ExitCode {
    let told = serde_json::to_vec(answer)
        .map_err(std::io::Error::from)
        .and_then(|bytes| std::io::stdout().write_all(&bytes));
    // Whoever asked finds no answer, and says so.
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
