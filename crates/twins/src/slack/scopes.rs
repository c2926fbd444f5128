//! What a token may do: the scopes that each method needs, and the header by which every answer lists those that there are.
//! After the pages of the methods at docs.slack.dev, "Required scopes" of bot tokens.

use serde_json::{Value, json};

/// Lists the token's scopes.
pub const HEADER: &str = "x-oauth-scopes";

const READ: &[&str] = &["channels:read", "groups:read", "im:read", "mpim:read"];
const HISTORY: &[&str] = &["channels:history", "groups:history", "im:history", "mpim:history"];

/// A token that may do everything that is simulated.
pub fn all() -> Vec<String> {
    let own = [
        "channels:join",
        "chat:write",
        "files:read",
        "files:write",
        "im:write",
        "mpim:write",
        "reactions:read",
        "reactions:write",
        "users:read",
        "users:read.email",
    ];
    own.iter().chain(READ).chain(HISTORY).map(|scope| (*scope).to_owned()).collect()
}

/// Any one of these is enough; none: every token may.
fn needed(method: &str) -> &'static [&'static str] {
    match method {
        "chat.postMessage" | "chat.postEphemeral" | "chat.update" | "chat.delete" => &["chat:write"],
        "reactions.add" | "reactions.remove" => &["reactions:write"],
        "reactions.get" => &["reactions:read"],
        "conversations.list" | "conversations.info" | "conversations.members" => READ,
        "conversations.history" | "conversations.replies" => HISTORY,
        "conversations.join" => &["channels:join"],
        "conversations.open" => &["im:write", "mpim:write"],
        "users.list" | "users.info" => &["users:read"],
        "users.lookupByEmail" => &["users:read.email"],
        "files.getUploadURLExternal" | "files.completeUploadExternal" => &["files:write"],
        "files.info" | "files.list" => &["files:read"],
        _ => &[],
    }
}

/// The refusal of a method that the token may not call.
pub fn refusal(scopes: &[String], method: &str) -> Option<Value> {
    let needed = needed(method);
    let may = needed.is_empty() || needed.iter().any(|scope| scopes.iter().any(|given| given == scope));
    (!may).then(|| {
        json!({"ok": false, "error": "missing_scope", "needed": needed.join(","), "provided": scopes.join(",")})
    })
}
