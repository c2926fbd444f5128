//! What the workspace holds.

use jiff::Timestamp;

use super::files::File;
use super::interaction::{App, Outgoing};
use super::{Config, Ephemeral, Message, User};

pub const TEAM: &str = "T0TRIBUTARY";
pub const BOT: &str = "B0TRIBUTARY";
pub const BOT_USER: &str = "U0TRIBUTARY";
pub const APP: &str = "A0TRIBUTARY";

/// A channel that the app is in.
#[derive(Debug)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub private: bool,
}

#[derive(Debug)]
pub struct State {
    pub token: String,
    pub scopes: Vec<String>,
    pub team: String,
    /// Where the twin is reached, for addresses that it gives out.
    pub base_url: String,
    pub channels: Vec<Channel>,
    /// Direct messages: the conversation's id and the person's.
    pub ims: Vec<(String, String)>,
    pub users: Vec<(String, User)>,
    /// In the order of posting.
    pub messages: Vec<Message>,
    pub ephemerals: Vec<Ephemeral>,
    pub files: Vec<File>,
    pub app: Option<App>,
    /// What the app is still to be told.
    pub outgoing: Vec<Outgoing>,
    /// Triggers that a view can be opened by, and when they were given.
    pub triggers: Vec<(String, Timestamp)>,
    pub views: Vec<serde_json::Value>,
    pub now: Timestamp,
    pub created: i64,
    /// How many calls are still to be refused, and the seconds they are told to wait.
    pub limited: (u32, u32),
    posted: u32,
    named: u32,
}

impl State {
    pub fn new(config: Config) -> State {
        let public = config.channels.into_iter().map(|name| (name, false));
        let all = public.chain(config.private.into_iter().map(|name| (name, true))).enumerate();
        let channels =
            all.map(|(index, (name, private))| Channel { id: format!("C0SANDBOX{index:02}"), name, private });
        let users = config.users.into_iter().enumerate();
        State {
            token: config.token,
            scopes: config.scopes,
            team: config.team,
            base_url: "https://files.slack.com".to_owned(),
            channels: channels.collect(),
            ims: Vec::new(),
            users: users.map(|(index, user)| (format!("U0SANDBOX{index:02}"), user)).collect(),
            messages: Vec::new(),
            ephemerals: Vec::new(),
            files: Vec::new(),
            app: None,
            outgoing: Vec::new(),
            triggers: Vec::new(),
            views: Vec::new(),
            now: config.now,
            created: config.now.as_second(),
            limited: (0, 0),
            posted: 0,
            named: 0,
        }
    }

    /// By id, by name or by `#name`.
    pub fn channel(&self, named: &str) -> Option<&Channel> {
        let name = named.strip_prefix('#').unwrap_or(named);
        self.channels.iter().find(|channel| channel.id == named || channel.name == name)
    }

    /// Id and name of the conversation that a message goes to: a channel by id or name, a person by id.
    ///
    /// # Errors
    /// `channel_not_found`
    pub fn addressed(&mut self, named: &str) -> Result<(String, String), &'static str> {
        if let Some(channel) = self.channel(named) {
            return Ok((channel.id.clone(), channel.name.clone()));
        }
        if let Some((id, _)) = self.ims.iter().find(|(id, user)| id == named || user == named) {
            return Ok((id.clone(), "directmessage".to_owned()));
        }
        let user = self.users.iter().find(|(id, _)| id == named).ok_or("channel_not_found")?;
        let id = format!("D0SANDBOX{:02}", self.ims.len());
        self.ims.push((id.clone(), user.0.clone()));
        Ok((id, "directmessage".to_owned()))
    }

    /// Whether this is the id of a channel or a direct message.
    pub fn is_conversation(&self, id: &str) -> bool {
        self.channels.iter().any(|channel| channel.id == id) || self.ims.iter().any(|(im, _)| im == id)
    }

    /// The next message's ts. The fraction counts messages, so that no two are alike and later ones are greater.
    pub fn next_ts(&mut self) -> String {
        self.posted += 1;
        format!("{}.{:06}", self.now.as_second(), self.posted % 1_000_000)
    }

    /// A name for something that has none of its own.
    pub fn next_id(&mut self) -> String {
        self.named += 1;
        format!("{:010}", self.named)
    }
}
