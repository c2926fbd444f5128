//! Slack's Web API as far as flows need it: messages, channels, users, files; and what people do with messages.
//!
//! A method is called under `/api/<method>` or `/<method>`, by GET or POST, with JSON or a form; errors are
//! `{ok: false, error}` with status 200, and only too many requests are a 429.
//!
//! People press buttons ([`Slack::press`]), and [`Post`] tells the app that gave an address ([`Slack::listen`]).
//!
//! Start at [`Slack`]; `methods` knows the methods, `params` reads what they were given.

mod blocks;
mod chat;
mod conversations;
mod files;
mod interaction;
mod methods;
mod params;
mod post;
mod sandbox;
mod scopes;
mod state;
#[cfg(test)]
mod tests;
mod users;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Twin;
use crate::wire::{Request, Response};
pub use files::File;
pub use interaction::Outgoing;
use params::Params;
pub use post::{Post, deliver};
use state::State;

/// A person of the workspace.
#[derive(Clone, Debug)]
pub struct User {
    /// The handle, `dana`.
    pub name: String,
    pub real_name: String,
    pub email: String,
    /// Whose they are, if not of this workspace: channels can be shared with others.
    pub team: Option<String>,
    pub deleted: bool,
}

/// How a twin is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bot token, `xoxb-…`.
    pub token: String,
    pub team: String,
    /// Names of the public channels, without `#`.
    pub channels: Vec<String>,
    /// Names of private channels that the app is in.
    pub private: Vec<String>,
    pub users: Vec<User>,
    /// What the token may do.
    pub scopes: Vec<String>,
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
            team: None,
            deleted: false,
        };
        Config {
            token: token.to_owned(),
            team: "Tributary Sandbox".to_owned(),
            channels: ["general", "billing", "revenue", "sales"].map(str::to_owned).to_vec(),
            private: Vec::new(),
            users: vec![user("dana", "Dana Finch"), user("ravi", "Ravi Osei")],
            scopes: scopes::all(),
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
    /// An answer that shows in the channel too.
    pub broadcast: bool,
    /// Ids of the files that it shares.
    pub files: Vec<String>,
    /// `{event_type, event_payload}`.
    pub metadata: Option<Value>,
    pub edited: bool,
    /// Names, each with the ids of those who reacted so.
    pub reactions: Vec<(String, Vec<String>)>,
}

impl Message {
    /// Whether it answers another one, and so stands in that one's thread.
    pub fn is_reply(&self) -> bool {
        self.thread_ts.as_ref().is_some_and(|thread| *thread != self.ts)
    }

    fn is_reply_to(&self, channel: &str, ts: &str) -> bool {
        self.is_reply() && self.channel == channel && self.thread_ts.as_deref() == Some(ts)
    }
}

/// A message that only one person sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Ephemeral {
    pub channel: String,
    /// The person's id.
    pub user: String,
    pub text: String,
    pub blocks: Option<Value>,
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

    /// Messages that one person each sees, in the order of posting.
    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        self.state().ephemerals.clone()
    }

    /// Files, those that are not uploaded yet too.
    pub fn files(&self) -> Vec<File> {
        self.state().files.clone()
    }

    /// Views that were opened, in that order.
    pub fn views(&self) -> Vec<Value> {
        self.state().views.clone()
    }

    /// The id of a person by their handle.
    pub fn user_id(&self, name: &str) -> Option<String> {
        self.state().users.iter().find(|(_, user)| user.name == name).map(|(id, _)| id.clone())
    }

    /// Somebody joins, perhaps from another team whose channel is shared.
    pub fn join(&self, name: &str, email: &str, team: Option<&str>) {
        let mut state = self.state();
        let id = format!("U0SANDBOX{:02}", state.users.len());
        let user = User {
            name: name.to_owned(),
            real_name: name.to_owned(),
            email: email.to_owned(),
            team: team.map(str::to_owned),
            deleted: false,
        };
        state.users.push((id, user));
    }

    /// Has a message show other blocks, as it does on a screen that was not refreshed.
    pub fn put_back(&self, ts: &str, blocks: Value) {
        let mut state = self.state();
        state.messages.iter_mut().filter(|message| message.ts == ts).for_each(|message| {
            message.blocks = Some(blocks.clone());
        });
    }

    /// Where the twin is reached: addresses that it gives out begin so.
    pub fn reached_at(&self, url: &str) {
        url.trim_end_matches('/').clone_into(&mut self.state().base_url);
    }

    /// The app gives an address at which it wants to be told of what people do.
    pub fn listen(&self, url: &str, signing_secret: &str) {
        let (url, signing_secret) = (url.to_owned(), signing_secret.to_owned());
        self.state().app = Some(interaction::App { url, signing_secret });
    }

    /// Asks the app's address whether it is there; the text that it has to answer.
    ///
    /// # Errors
    /// In words, when the app has given none.
    pub fn verify(&self) -> Result<String, &'static str> {
        interaction::verify(&mut self.state())
    }

    /// Something happens that the Events API tells of: `{"type": "app_mention", …}`.
    ///
    /// # Errors
    /// In words, when the app has given no address.
    pub fn tell(&self, event: &Value) -> Result<(), &'static str> {
        interaction::tell(&mut self.state(), event)
    }

    /// Somebody, by handle or id, presses a button, by its text or `action_id`, of the message of this ts. The app is
    /// told by [`Post::turn`].
    ///
    /// # Errors
    /// In words, when there is no such thing.
    pub fn press(&self, user: &str, ts: &str, button: &str) -> Result<(), &'static str> {
        interaction::press(&mut self.state(), user, ts, button)
    }

    /// What the app is still to be told, taken away.
    pub fn outgoing(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.state().outgoing)
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
        if let Some(id) = path.strip_prefix(files::UPLOAD) {
            return files::take(&mut state, id, request);
        }
        if let Some(response) = sandbox::handle(&mut state, request, path) {
            return response;
        }
        let method = path.strip_prefix("api/").unwrap_or(path);
        let params = Params::of(request);
        let admitted = params.and_then(|params| authorized(&state, request, &params).map(|()| params));
        match admitted {
            Err(error) => Response::json(200, &json!({"ok": false, "error": error})),
            Ok(params) => {
                let refused = scopes::refusal(&state.scopes, method);
                let body = refused.unwrap_or_else(|| methods::call(&mut state, method, &params));
                Response::json(200, &body).with_header(scopes::HEADER, &state.scopes.join(","))
            }
        }
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
