//! Why a call failed, said by what the caller should do about it.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the caller should do about a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Try again, not before `after` where the vendor said so.
    Retry { after: Option<SignedDuration> },
    /// The credentials are refused: nobody but the connection's owner can help.
    Auth,
    /// The request is refused for what it says.
    User,
    /// The thing exists already, or another request is changing it.
    Conflict,
    /// The thing named does not exist.
    NotFound,
    /// An answer that no rule understands, or a limit of ours: a person has to look.
    Fatal,
}

impl Class {
    /// The class's name as manifests write it.
    pub fn name(&self) -> &'static str {
        match self {
            Class::Retry { .. } => "retry",
            Class::Auth => "auth",
            Class::User => "user",
            Class::Conflict => "conflict",
            Class::NotFound => "not_found",
            Class::Fatal => "fatal",
        }
    }
}

/// A failed call. Holds no credential: what a vendor echoes is masked before it gets here.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}{code}: {detail}", .status.map(|s| format!("{s} ")).unwrap_or_default())]
pub struct Error {
    pub class: Class,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The vendor's code where it has one, else one of ours (`argument_missing`, `mapping_missing`, `timeout`…).
    pub code: String,
    pub detail: String,
    /// The vendor's answer, or for errors of ours the facts behind `detail`.
    pub body: Option<Value>,
    /// The effect may have happened although the call failed. Always false for reads.
    pub unknown: bool,
}

impl Error {
    /// An error that the arguments or the manifest caused, before anything was sent.
    pub(crate) fn user(code: &str, detail: impl Into<String>) -> Error {
        Error::of(Class::User, code, detail)
    }

    pub(crate) fn fatal(code: &str, detail: impl Into<String>) -> Error {
        Error::of(Class::Fatal, code, detail)
    }

    /// An error that nobody else tells of.
    pub fn of(class: Class, code: &str, detail: impl Into<String>) -> Error {
        Error { class, status: None, code: code.into(), detail: detail.into(), body: None, unknown: false }
    }

    pub(crate) fn with_body(mut self, body: Value) -> Error {
        self.body = Some(body);
        self
    }
}
