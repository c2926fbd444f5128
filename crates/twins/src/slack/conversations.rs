//! Channels, direct messages, and what stands in them.

use serde_json::{Value, json};

use super::Message;
use super::chat::shown;
use super::methods::{Answer, page};
use super::params::Params;
use super::state::{BOT_USER, Channel, State};

fn named<'a>(state: &'a State, params: &Params) -> Result<&'a Channel, &'static str> {
    let named = params.text("channel").ok_or("channel_not_found")?;
    state.channel(&named).ok_or("channel_not_found")
}

/// A conversation by its id alone, as most methods take it.
fn identified(state: &State, params: &Params) -> Result<String, &'static str> {
    let id = params.text("channel").ok_or("channel_not_found")?;
    if state.is_conversation(&id) { Ok(id) } else { Err("channel_not_found") }
}

pub fn info(state: &State, params: &Params) -> Answer {
    named(state, params).map(|one| json!({"ok": true, "channel": channel(state, one)}))
}

/// `conversations.join`: the app is everywhere already, which is a warning.
pub fn join(state: &State, params: &Params) -> Answer {
    let id = identified(state, params)?;
    let one = state.channel(&id).ok_or("method_not_supported_for_channel_type")?;
    Ok(json!({"ok": true, "channel": channel(state, one), "warning": "already_in_channel",
        "response_metadata": {"warnings": ["already_in_channel"]}}))
}

/// `conversations.open`: a direct message with one person.
pub fn open(state: &mut State, params: &Params) -> Answer {
    let users = params.text("users").ok_or("users_list_not_supplied")?;
    let ids: Vec<&str> = users.split(',').map(str::trim).collect();
    let [user] = ids.as_slice() else { return Err("not_enough_users") };
    let known = state.ims.iter().any(|(_, other)| other == user);
    let (id, _) = state.addressed(user).map_err(|_| "user_not_found")?;
    let mut answer = json!({"ok": true, "channel": {"id": id}});
    if known {
        answer["no_op"] = json!(true);
        answer["already_open"] = json!(true);
    }
    Ok(answer)
}

pub fn members(state: &State, params: &Params) -> Answer {
    identified(state, params)?;
    let everybody = [BOT_USER.to_owned()].into_iter().chain(state.users.iter().map(|(id, _)| id.clone()));
    let (rows, cursor) = page(everybody.collect(), params);
    Ok(json!({"ok": true, "members": rows, "response_metadata": {"next_cursor": cursor}}))
}

/// `conversations.replies`: a message, and of its thread what is between `oldest` and `latest`, oldest first.
pub fn replies(state: &State, params: &Params) -> Answer {
    let id = identified(state, params)?;
    let ts = params.text("ts").ok_or("thread_not_found")?;
    let first = state.messages.iter().find(|message| message.channel == id && message.ts == ts);
    let first = first.ok_or("thread_not_found")?;
    let bounds = Bounds::of(params);
    let answers = |message: &&Message| message.is_reply_to(&id, &ts) && bounds.hold(&message.ts);
    let thread: Vec<&Message> = [first].into_iter().chain(state.messages.iter().filter(answers)).collect();
    let with_metadata = params.flag("include_all_metadata");
    let (rows, cursor) = page(thread, params);
    let rows: Vec<Value> = rows.into_iter().map(|message| shown(state, message, with_metadata)).collect();
    Ok(json!({"ok": true, "messages": rows, "has_more": !cursor.is_empty(),
        "response_metadata": {"next_cursor": cursor}}))
}

fn channel(state: &State, channel: &Channel) -> Value {
    let text = json!({"value": "", "creator": "", "last_set": 0});
    json!({
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": true,
        "is_group": false,
        "is_im": false,
        "is_mpim": false,
        "is_private": channel.private,
        "is_archived": false,
        "is_general": channel.name == "general",
        "is_shared": false,
        "is_ext_shared": false,
        "is_org_shared": false,
        "is_member": true,
        "created": state.created,
        "creator": BOT_USER,
        "unlinked": 0,
        "topic": text,
        "purpose": text,
        "previous_names": [],
        "num_members": state.users.len() + 1,
    })
}

/// `conversations.list`: public channels, where nothing else is asked for.
pub fn list(state: &State, params: &Params) -> Value {
    let types = params.text("types").unwrap_or_else(|| "public_channel".to_owned());
    let wanted = |kind: &str| types.split(',').any(|wanted| wanted.trim() == kind);
    let kind = |one: &Channel| if one.private { "private_channel" } else { "public_channel" };
    let all: Vec<&Channel> = state.channels.iter().filter(|one| wanted(kind(one))).collect();
    let (rows, cursor) = page(all, params);
    let rows: Vec<Value> = rows.into_iter().map(|one| channel(state, one)).collect();
    json!({"ok": true, "channels": rows, "response_metadata": {"next_cursor": cursor}})
}

/// `conversations.history`: newest first, between `oldest` and `latest`; takes a channel id only. What answers a message is
/// not among them, unless it was broadcast.
pub fn history(state: &State, params: &Params) -> Answer {
    let id = identified(state, params)?;
    let bounds = Bounds::of(params);
    let stands = |message: &&Message| {
        message.channel == id && bounds.hold(&message.ts) && (message.broadcast || !message.is_reply())
    };
    let all: Vec<&Message> = state.messages.iter().rev().filter(stands).collect();
    let with_metadata = params.flag("include_all_metadata");
    let (rows, cursor) = page(all, params);
    let rows: Vec<Value> = rows.into_iter().map(|message| shown(state, message, with_metadata)).collect();
    let mut answer = json!({
        "ok": true,
        "messages": rows,
        "has_more": !cursor.is_empty(),
        "pin_count": 0,
        "channel_actions_ts": null,
        "channel_actions_count": 0,
    });
    if !cursor.is_empty() {
        answer["response_metadata"] = json!({"next_cursor": cursor});
    }
    Ok(answer)
}

/// The times between which messages are asked for.
struct Bounds {
    oldest: Option<String>,
    latest: Option<String>,
    inclusive: bool,
}

impl Bounds {
    fn of(params: &Params) -> Bounds {
        let (oldest, latest) = (params.text("oldest"), params.text("latest"));
        Bounds { oldest, latest, inclusive: params.flag("inclusive") }
    }

    fn hold(&self, ts: &str) -> bool {
        let after = self.oldest.as_deref().is_none_or(|bound| later(ts, bound, self.inclusive));
        let before = self.latest.as_deref().is_none_or(|bound| later(bound, ts, self.inclusive));
        after && before
    }
}

/// Whether one ts is later than a bound (or is it, where the bound is included). A bound may be whole seconds.
fn later(ts: &str, bound: &str, inclusive: bool) -> bool {
    let parts = |text: &str| -> (i64, i64) {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fraction = format!("{fraction:0<6}");
        (seconds.parse().unwrap_or(0), fraction[..6].parse().unwrap_or(0))
    };
    let (ts, bound) = (parts(ts), parts(bound));
    ts > bound || (inclusive && ts == bound)
}
