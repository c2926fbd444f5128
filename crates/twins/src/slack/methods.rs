//! The methods, each from parameters to an answer.

use serde_json::{Value, json};

use super::params::Params;
use super::state::{BOT, BOT_USER, State, TEAM};
use super::{chat, conversations, files, interaction, users};

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 999;

/// An answer, or Slack's code of an error.
pub type Answer = Result<Value, &'static str>;

/// Calls a method by name.
pub fn call(state: &mut State, method: &str, params: &Params) -> Value {
    let answer = match method {
        "api.test" => Ok(json!({"ok": true})),
        "auth.test" => Ok(auth_test(state)),
        "chat.postMessage" => chat::post(state, params),
        "chat.postEphemeral" => chat::post_ephemeral(state, params),
        "chat.update" => chat::update(state, params),
        "chat.delete" => chat::delete(state, params),
        "chat.getPermalink" => chat::permalink(state, params),
        "reactions.add" => chat::react(state, params),
        "reactions.remove" => chat::unreact(state, params),
        "reactions.get" => chat::reactions(state, params),
        "conversations.list" => Ok(conversations::list(state, params)),
        "conversations.info" => conversations::info(state, params),
        "conversations.history" => conversations::history(state, params),
        "conversations.replies" => conversations::replies(state, params),
        "conversations.members" => conversations::members(state, params),
        "conversations.join" => conversations::join(state, params),
        "conversations.open" => conversations::open(state, params),
        "users.list" => Ok(users::list(state, params)),
        "users.info" => users::info(state, params),
        "users.lookupByEmail" => users::lookup_by_email(state, params),
        "files.getUploadURLExternal" => files::begin(state, params),
        "files.completeUploadExternal" => files::complete(state, params),
        "files.info" => files::info(state, params),
        "files.list" => Ok(files::list(state, params)),
        "views.open" => interaction::open_view(state, params),
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

/// Cuts a page: the rows, and the cursor of the next page (empty on the last).
pub fn page<T>(all: Vec<T>, params: &Params) -> (Vec<T>, String) {
    let start =
        params.text("cursor").and_then(|cursor| cursor.strip_prefix("next:")?.parse().ok()).unwrap_or(0);
    let limit = params.number("limit").unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let more = all.len() > start + limit;
    let rows = all.into_iter().skip(start).take(limit).collect();
    (rows, if more { format!("next:{}", start + limit) } else { String::new() })
}
