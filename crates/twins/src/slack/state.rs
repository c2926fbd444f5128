//! What the workspace holds.

use jiff::Timestamp;

use super::{Config, Message, User};

pub const TEAM: &str = "T0TRIBUTARY";
pub const BOT: &str = "B0TRIBUTARY";
pub const BOT_USER: &str = "U0TRIBUTARY";
pub const APP: &str = "A0TRIBUTARY";

/// A public channel.
#[derive(Debug)]
pub struct Channel {
    pub id: String,
    pub name: String,
}

#[derive(Debug)]
pub struct State {
    pub token: String,
    pub team: String,
    pub channels: Vec<Channel>,
    pub users: Vec<(String, User)>,
    /// In the order of posting.
    pub messages: Vec<Message>,
    pub now: Timestamp,
    pub created: i64,
    /// How many calls are still to be refused, and the seconds they are told to wait.
    pub limited: (u32, u32),
    posted: u32,
}

impl State {
    pub fn new(config: Config) -> State {
        let channels = config.channels.into_iter().enumerate();
        let channels = channels.map(|(index, name)| Channel { id: format!("C0SANDBOX{index:02}"), name });
        let users = config.users.into_iter().enumerate();
        State {
            token: config.token,
            team: config.team,
            channels: channels.collect(),
            users: users.map(|(index, user)| (format!("U0SANDBOX{index:02}"), user)).collect(),
            messages: Vec::new(),
            now: config.now,
            created: config.now.as_second(),
            limited: (0, 0),
            posted: 0,
        }
    }

    /// By id, by name or by `#name`.
    pub fn channel(&self, named: &str) -> Option<&Channel> {
        let name = named.strip_prefix('#').unwrap_or(named);
        self.channels.iter().find(|channel| channel.id == named || channel.name == name)
    }

    /// The next message's ts. The fraction counts messages, so that no two are alike and later ones are greater.
    pub fn next_ts(&mut self) -> String {
        self.posted += 1;
        format!("{}.{:06}", self.now.as_second(), self.posted % 1_000_000)
    }
}
