//! The store's errors as problems: who asks is told what to do, who runs the server is told what happened.

use crate::problem::{Code, Problem};

/// Trying again sooner than this only adds to the load.
const RETRY_AFTER_S: u32 = 5;

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        use store::Error as E;
        match error {
            E::NotFound { what, name } => Problem::new(unknown(what), format!("there is no {what} `{name}`")),
            E::State { name, state, detail } => {
                Problem::new(Code::WrongState, format!("{name} is {state}: {detail}"))
            }
            E::Refused(detail) => Problem::new(Code::InvalidInput, detail),
            E::Conflict { .. } | E::Fenced { .. } => Problem::new(
                Code::WrongState,
                format!("{error}; look again and repeat what still makes sense"),
            ),
            // The engine tells of it once; a line for each delivery would only help to fill the disk.
            E::Full(_) | E::Unavailable(_) => {
                tracing::debug!(%error, "nothing was stored");
                Problem::new(Code::StoreUnavailable, "nothing was stored; try again later")
                    .retry_after(RETRY_AFTER_S)
            }
            E::Closed | E::Database(_) | E::Io { .. } | E::Locked { .. } => {
                tracing::error!(%error, "the store does not do its work");
                Problem::new(Code::StoreUnavailable, "nothing was stored; try again later")
                    .retry_after(RETRY_AFTER_S)
            }
            E::Unsettled => {
                tracing::error!(%error, "a commit is in doubt");
                Problem::new(Code::StoreUnavailable, "whether it is stored is not known; send it again later")
                    .retry_after(RETRY_AFTER_S)
            }
            _ => {
                tracing::error!(%error, "what is stored cannot be used");
                Problem::new(Code::Internal, error.to_string())
            }
        }
    }
}

fn unknown(what: &str) -> Code {
    match what {
        "connection" => Code::ConnectionUnknown,
        "approval" => Code::ApprovalUnknown,
        "event" => Code::EventUnknown,
        "flow" => Code::FlowUnknown,
        "run" => Code::RunUnknown,
        "hook" => Code::HookUnknown,
        _ => Code::RouteUnknown,
    }
}
