//! Slack's Web API as far as alerts and approvals need it: messages, channels, users.
//!
//! A method is called under `/api/<method>` or `/<method>`, by GET or POST, with JSON or a form; errors are
//! `{ok: false, error}` with status 200, and only too many requests are a 429.
//!
//! Start at [`Slack`]; `methods` has the methods, `params` reads what they were given.

mod methods;
mod params;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Twin;
use crate::wire::{Request, Response};
use params::Params;
use state::State;

/// A person of the workspace.
#[derive(Clone, Debug)]
pub struct User {
    /// The handle, `dana`.
    pub name: String,
    pub real_name: String,
    pub email: String,
}

/// How a twin is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bot token, `xoxb-…`.
    pub token: String,
    pub team: String,
    /// Names of the public channels, without `#`.
    pub channels: Vec<String>,
    pub users: Vec<User>,
    /// What the twin's clock shows first; it dates messages.
    pub now: Timestamp,
}

impl Config {
    /// A workspace with the channels `general`, `billing`, `revenue` and `sales` and two users.
    pub fn new(token: &str) -> Config {
        let user = |name: &str, real_name: &str| User {
            name: name.to_owned(),
            real_name: real_name.to_owned(),
            email: format!("{name}@example.com"),
        };
        Config {
            token: token.to_owned(),
            team: "Tributary Sandbox".to_owned(),
            channels: ["general", "billing", "revenue", "sales"].map(str::to_owned).to_vec(),
            users: vec![user("dana", "Dana Finch"), user("ravi", "Ravi Osei")],
            now: Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// A message in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The channel's id, `C…`.
    pub channel: String,
    /// Its name, without `#`.
    pub channel_name: String,
    /// The id of the message in its channel: seconds, a point, six digits.
    pub ts: String,
    pub text: String,
    pub blocks: Option<Value>,
    pub attachments: Option<Value>,
    pub thread_ts: Option<String>,
    /// `{event_type, event_payload}`.
    pub metadata: Option<Value>,
    pub edited: bool,
}

/// The simulated Slack. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Slack(Arc<Mutex<State>>);

impl Slack {
    /// A workspace without messages.
    pub fn new(config: Config) -> Slack {
        Slack(Arc::new(Mutex::new(State::new(config))))
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.state().now
    }

    /// Moves the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Every message that stands in a channel, in the order of posting.
    pub fn messages(&self) -> Vec<Message> {
        self.state().messages.clone()
    }

    /// The next `count` calls are answered 429, with `Retry-After: retry_after_s`.
    pub fn limit_next(&self, count: u32, retry_after_s: u32) {
        self.state().limited = (count, retry_after_s);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Twin for Slack {
    fn name(&self) -> &str {
        "slack"
    }

    fn handle(&self, request: &Request) -> Response {
        let mut state = self.state();
        let (left, retry_after_s) = state.limited;
        if left > 0 {
            state.limited.0 = left - 1;
            let body = json!({"ok": false, "error": "ratelimited"});
            return Response::json(429, &body).with_header("retry-after", &retry_after_s.to_string());
        }
        let path = request.path.trim_matches('/');
        let method = path.strip_prefix("api/").unwrap_or(path);
        let body = match Params::of(request) {
            Err(error) => json!({"ok": false, "error": error}),
            Ok(params) => match authorized(&state, request, &params) {
                Err(error) => json!({"ok": false, "error": error}),
                Ok(()) => methods::call(&mut state, method, &params),
            },
        };
        Response::json(200, &body)
    }
}

/// The token comes as a bearer or as the parameter `token`.
fn authorized(state: &State, request: &Request, params: &Params) -> Result<(), &'static str> {
    let bearer = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    match bearer.map(str::to_owned).or_else(|| params.text("token")) {
        None => Err("not_authed"),
        Some(token) if token == state.token => Ok(()),
        Some(_) => Err("invalid_auth"),
    }
}
