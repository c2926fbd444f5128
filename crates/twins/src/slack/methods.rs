//! The methods, each from parameters to an answer.

use serde_json::{Value, json};

use super::params::Params;
use super::state::{APP, BOT, BOT_USER, Channel, State, TEAM};
use super::{Message, User};

/// Characters of a text at most; more is `msg_too_long`.
const TEXT_MAX: usize = 40_000;
/// Blocks of a message at most.
const BLOCKS_MAX: usize = 50;
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 999;

type Answer = Result<Value, &'static str>;

/// Calls a method by name.
pub fn call(state: &mut State, method: &str, params: &Params) -> Value {
    let answer = match method {
        "api.test" => Ok(json!({"ok": true})),
        "auth.test" => Ok(auth_test(state)),
        "chat.postMessage" => post_message(state, params),
        "chat.update" => update(state, params),
        "chat.delete" => delete(state, params),
        "conversations.list" => Ok(conversations(state, params)),
        "conversations.info" => {
            named_channel(state, params).map(|c| json!({"ok": true, "channel": channel(state, c)}))
        }
        "conversations.history" => history(state, params),
        "users.list" => Ok(users(state, params)),
        "users.lookupByEmail" => lookup_by_email(state, params),
        _ => return json!({"ok": false, "error": "unknown_method", "req_method": method}),
    };
    answer.unwrap_or_else(|error| json!({"ok": false, "error": error}))
}

fn auth_test(state: &State) -> Value {
    json!({
        "ok": true,
        "url": "https://tributary-sandbox.slack.com/",
        "team": state.team,
        "user": "tributary",
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": false,
    })
}

fn named_channel<'a>(state: &'a State, params: &Params) -> Result<&'a Channel, &'static str> {
    let named = params.text("channel").ok_or("channel_not_found")?;
    state.channel(&named).ok_or("channel_not_found")
}

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
            let blocks = blocks.as_array().ok_or("invalid_blocks_format")?;
            if blocks.len() > BLOCKS_MAX || blocks.iter().any(|block| !block["type"].is_string()) {
                return Err("invalid_blocks");
            }
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
fn shown(state: &State, message: &Message, with_metadata: bool) -> Value {
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
    if let Some(thread) = &message.thread_ts {
        body["thread_ts"] = json!(thread);
    }
    if message.edited {
        body["edited"] = json!({"user": BOT_USER, "ts": format!("{}.000000", state.now.as_second())});
    }
    if let Some(metadata) = message.metadata.as_ref().filter(|_| with_metadata) {
        body["metadata"] = metadata.clone();
    }
    body
}

fn post_message(state: &mut State, params: &Params) -> Answer {
    let channel = named_channel(state, params)?;
    let (id, name) = (channel.id.clone(), channel.name.clone());
    let content = Content::of(params)?;
    let message = Message {
        channel: id,
        channel_name: name,
        ts: state.next_ts(),
        text: content.text.unwrap_or_default(),
        blocks: content.blocks,
        attachments: content.attachments,
        thread_ts: params.text("thread_ts"),
        metadata: content.metadata,
        edited: false,
    };
    let body = shown(state, &message, true);
    let answer = json!({"ok": true, "channel": message.channel, "ts": message.ts, "message": body});
    state.messages.push(message);
    Ok(answer)
}

/// The place of a message. `chat.update` and `chat.delete` take channel ids only.
fn located(state: &State, params: &Params) -> Result<usize, &'static str> {
    let id = params.text("channel").ok_or("channel_not_found")?;
    if !state.channels.iter().any(|channel| channel.id == id) {
        return Err("channel_not_found");
    }
    let ts = params.text("ts").ok_or("message_not_found")?;
    let found = state.messages.iter().position(|message| message.channel == id && message.ts == ts);
    found.ok_or("message_not_found")
}

fn update(state: &mut State, params: &Params) -> Answer {
    let index = located(state, params)?;
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

fn delete(state: &mut State, params: &Params) -> Answer {
    let index = located(state, params)?;
    let gone = state.messages.remove(index);
    Ok(json!({"ok": true, "channel": gone.channel, "ts": gone.ts}))
}

/// Cuts a page: the rows, and the cursor of the next page (empty on the last).
fn page<T>(all: Vec<T>, params: &Params) -> (Vec<T>, String) {
    let start =
        params.text("cursor").and_then(|cursor| cursor.strip_prefix("next:")?.parse().ok()).unwrap_or(0);
    let limit = params.number("limit").unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let more = all.len() > start + limit;
    let rows = all.into_iter().skip(start).take(limit).collect();
    (rows, if more { format!("next:{}", start + limit) } else { String::new() })
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
        "is_private": false,
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

/// `conversations.list`: there are public channels only.
fn conversations(state: &State, params: &Params) -> Value {
    let types = params.text("types").unwrap_or_else(|| "public_channel".to_owned());
    let wanted = types.split(',').any(|kind| kind.trim() == "public_channel");
    let all: Vec<&Channel> = state.channels.iter().filter(|_| wanted).collect();
    let (rows, cursor) = page(all, params);
    let rows: Vec<Value> = rows.into_iter().map(|one| channel(state, one)).collect();
    json!({"ok": true, "channels": rows, "response_metadata": {"next_cursor": cursor}})
}

/// `conversations.history`: newest first, between `oldest` and `latest`; takes a channel id only.
fn history(state: &State, params: &Params) -> Answer {
    let id = params.text("channel").ok_or("channel_not_found")?;
    if !state.channels.iter().any(|channel| channel.id == id) {
        return Err("channel_not_found");
    }
    let inclusive = params.flag("inclusive");
    let (oldest, latest) = (params.text("oldest"), params.text("latest"));
    let within = |ts: &str| {
        let after = oldest.as_deref().is_none_or(|bound| later(ts, bound, inclusive));
        let before = latest.as_deref().is_none_or(|bound| later(bound, ts, inclusive));
        after && before
    };
    let messages = state.messages.iter().rev();
    let all: Vec<&Message> =
        messages.filter(|message| message.channel == id && within(&message.ts)).collect();
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

fn user(state: &State, id: &str, user: &User) -> Value {
    json!({
        "id": id,
        "team_id": TEAM,
        "name": user.name,
        "deleted": false,
        "real_name": user.real_name,
        "tz": "Etc/UTC",
        "profile": {
            "real_name": user.real_name,
            "display_name": user.name,
            "email": user.email,
            "team": TEAM,
        },
        "is_admin": false,
        "is_owner": false,
        "is_bot": false,
        "is_app_user": false,
        "updated": state.created,
    })
}

fn users(state: &State, params: &Params) -> Value {
    let all: Vec<&(String, User)> = state.users.iter().collect();
    let (rows, cursor) = page(all, params);
    let rows: Vec<Value> = rows.into_iter().map(|(id, one)| user(state, id, one)).collect();
    let cache_ts = state.now.as_second();
    json!({"ok": true, "members": rows, "cache_ts": cache_ts, "response_metadata": {"next_cursor": cursor}})
}

fn lookup_by_email(state: &State, params: &Params) -> Answer {
    let email = params.text("email").ok_or("users_not_found")?;
    let found = state.users.iter().find(|(_, user)| user.email.eq_ignore_ascii_case(&email));
    let (id, one) = found.ok_or("users_not_found")?;
    Ok(json!({"ok": true, "user": user(state, id, one)}))
}
