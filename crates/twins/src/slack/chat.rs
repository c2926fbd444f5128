//! Messages, and what people put to them.

use serde_json::{Value, json};

use super::methods::Answer;
use super::params::Params;
use super::state::{APP, BOT, BOT_USER, State, TEAM};
use super::{Ephemeral, Message, blocks, files};

/// Characters of a text at most; more is `msg_too_long`.
const TEXT_MAX: usize = 40_000;

/// What a message is made of, checked.
struct Content {
    text: Option<String>,
    blocks: Option<Value>,
    attachments: Option<Value>,
    metadata: Option<Value>,
}

impl Content {
    fn of(params: &Params) -> Result<Content, &'static str> {
        let blocks = params.structure("blocks").map_err(|()| "invalid_blocks_format")?;
        let attachments = params.structure("attachments").map_err(|()| "invalid_attachments_format")?;
        let metadata = params.structure("metadata").map_err(|()| "invalid_metadata_format")?;
        let whole =
            |metadata: &Value| metadata["event_type"].is_string() && metadata["event_payload"].is_object();
        if metadata.as_ref().is_some_and(|metadata| !whole(metadata)) {
            return Err("invalid_metadata_schema");
        }
        if let Some(blocks) = &blocks {
            blocks::check(blocks.as_array().ok_or("invalid_blocks_format")?)?;
        }
        let text = params.text("text");
        if text.as_ref().is_some_and(|text| text.chars().count() > TEXT_MAX) {
            return Err("msg_too_long");
        }
        let filled =
            |list: &Option<Value>| list.as_ref().and_then(Value::as_array).is_some_and(|l| !l.is_empty());
        if text.is_none() && !filled(&blocks) && !filled(&attachments) {
            return Err("no_text");
        }
        Ok(Content { text, blocks, attachments, metadata })
    }
}

/// A message as Slack shows it; metadata only where it is asked for.
pub fn shown(state: &State, message: &Message, with_metadata: bool) -> Value {
    let mut body = json!({
        "user": BOT_USER,
        "type": "message",
        "ts": message.ts,
        "bot_id": BOT,
        "app_id": APP,
        "text": message.text,
        "team": TEAM,
        "bot_profile": {
            "id": BOT,
            "app_id": APP,
            "user_id": BOT_USER,
            "name": "tributary",
            "icons": {
                "image_36": "https://a.slack-edge.com/80588/img/plugins/app/bot_36.png",
                "image_48": "https://a.slack-edge.com/80588/img/plugins/app/bot_48.png",
                "image_72": "https://a.slack-edge.com/80588/img/plugins/app/service_72.png",
            },
            "deleted": false,
            "updated": state.created,
            "team_id": TEAM,
        },
    });
    for (key, value) in [("blocks", &message.blocks), ("attachments", &message.attachments)] {
        if let Some(value) = value {
            body[key] = value.clone();
        }
    }
    if !message.files.is_empty() {
        let of = |file: &&super::File| message.files.contains(&file.id);
        body["files"] = state.files.iter().filter(of).map(|file| files::shown(file, state.created)).collect();
        body["upload"] = json!(false);
    }
    in_thread(state, message, &mut body);
    if !message.reactions.is_empty() {
        let one = |(name, users): &(String, Vec<String>)| json!({"name": name, "users": users, "count": users.len()});
        body["reactions"] = message.reactions.iter().map(one).collect();
    }
    if message.edited {
        body["edited"] = json!({"user": BOT_USER, "ts": format!("{}.000000", state.now.as_second())});
    }
    if let Some(metadata) = message.metadata.as_ref().filter(|_| with_metadata) {
        body["metadata"] = metadata.clone();
    }
    body
}

/// What a message says of its thread: that it answers another one, or how many answer it.
fn in_thread(state: &State, message: &Message, body: &mut Value) {
    if message.is_reply() {
        body["thread_ts"] = json!(message.thread_ts);
        body["parent_user_id"] = json!(BOT_USER);
        if message.broadcast {
            body["subtype"] = json!("thread_broadcast");
        }
        return;
    }
    let of = |other: &&Message| other.is_reply_to(&message.channel, &message.ts);
    let replies: Vec<&Message> = state.messages.iter().filter(of).collect();
    if let Some(latest) = replies.last() {
        body["thread_ts"] = json!(message.ts);
        body["reply_count"] = json!(replies.len());
        body["reply_users_count"] = json!(1);
        body["reply_users"] = json!([BOT_USER]);
        body["latest_reply"] = json!(latest.ts);
        body["is_locked"] = json!(false);
        body["subscribed"] = json!(true);
    }
}

pub fn post(state: &mut State, params: &Params) -> Answer {
    let (id, name) = state.addressed(&params.text("channel").ok_or("channel_not_found")?)?;
    let content = Content::of(params)?;
    let message = Message {
        channel: id,
        channel_name: name,
        ts: state.next_ts(),
        text: content.text.unwrap_or_default(),
        blocks: content.blocks,
        attachments: content.attachments,
        thread_ts: params.text("thread_ts"),
        broadcast: params.flag("reply_broadcast"),
        files: Vec::new(),
        metadata: content.metadata,
        edited: false,
        reactions: Vec::new(),
    };
    let body = shown(state, &message, true);
    let answer = json!({"ok": true, "channel": message.channel, "ts": message.ts, "message": body});
    state.messages.push(message);
    Ok(answer)
}

/// The place of a message. `chat.update` and `chat.delete` take channel ids only.
fn located(state: &State, params: &Params, of: &str) -> Result<usize, &'static str> {
    let id = params.text("channel").ok_or("channel_not_found")?;
    if !state.is_conversation(&id) {
        return Err("channel_not_found");
    }
    let ts = params.text(of).ok_or("message_not_found")?;
    let found = state.messages.iter().position(|message| message.channel == id && message.ts == ts);
    found.ok_or("message_not_found")
}

pub fn update(state: &mut State, params: &Params) -> Answer {
    let index = located(state, params, "ts")?;
    let content = Content::of(params)?;
    let message = &mut state.messages[index];
    message.text = content.text.unwrap_or_default();
    message.blocks = content.blocks;
    message.attachments = content.attachments;
    if content.metadata.is_some() {
        message.metadata = content.metadata;
    }
    message.edited = true;
    let message = &state.messages[index];
    let body = shown(state, message, true);
    Ok(
        json!({"ok": true, "channel": message.channel, "ts": message.ts, "text": message.text, "message": body}),
    )
}

pub fn delete(state: &mut State, params: &Params) -> Answer {
    let index = located(state, params, "ts")?;
    let gone = state.messages.remove(index);
    Ok(json!({"ok": true, "channel": gone.channel, "ts": gone.ts}))
}

/// `chat.postEphemeral`: seen by one person, and by no method.
pub fn post_ephemeral(state: &mut State, params: &Params) -> Answer {
    let (channel, _) = state.addressed(&params.text("channel").ok_or("channel_not_found")?)?;
    let user = params.text("user").ok_or("user_not_in_channel")?;
    if !state.users.iter().any(|(id, _)| *id == user) {
        return Err("user_not_in_channel");
    }
    let content = Content::of(params)?;
    let message_ts = state.next_ts();
    let text = content.text.unwrap_or_default();
    state.ephemerals.push(Ephemeral { channel, user, text, blocks: content.blocks });
    Ok(json!({"ok": true, "message_ts": message_ts}))
}

pub fn permalink(state: &State, params: &Params) -> Answer {
    let message = &state.messages[located(state, params, "message_ts")?];
    let (channel, digits) = (&message.channel, message.ts.replace('.', ""));
    let link = format!("https://tributary-sandbox.slack.com/archives/{channel}/p{digits}");
    Ok(json!({"ok": true, "channel": channel, "permalink": link}))
}

/// The message and the name of the reaction.
fn reaction(state: &State, params: &Params) -> Result<(usize, String), &'static str> {
    let name = params.text("name").ok_or("invalid_name")?;
    Ok((located(state, params, "timestamp")?, name))
}

pub fn react(state: &mut State, params: &Params) -> Answer {
    let (index, name) = reaction(state, params)?;
    let reactions = &mut state.messages[index].reactions;
    match reactions.iter_mut().find(|(known, _)| *known == name) {
        Some((_, users)) if users.iter().any(|user| user == BOT_USER) => return Err("already_reacted"),
        Some((_, users)) => users.push(BOT_USER.to_owned()),
        None => reactions.push((name, vec![BOT_USER.to_owned()])),
    }
    Ok(json!({"ok": true}))
}

pub fn unreact(state: &mut State, params: &Params) -> Answer {
    let (index, name) = reaction(state, params)?;
    let reactions = &mut state.messages[index].reactions;
    let users = reactions.iter_mut().find(|(known, _)| *known == name).map(|(_, users)| users);
    let users = users.filter(|users| users.iter().any(|user| user == BOT_USER)).ok_or("no_reaction")?;
    users.retain(|user| user != BOT_USER);
    reactions.retain(|(_, users)| !users.is_empty());
    Ok(json!({"ok": true}))
}

pub fn reactions(state: &State, params: &Params) -> Answer {
    let message = &state.messages[located(state, params, "timestamp")?];
    Ok(
        json!({"ok": true, "type": "message", "channel": message.channel, "message": shown(state, message, false)}),
    )
}
