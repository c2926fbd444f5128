//! The people of the workspace.

use serde_json::{Value, json};

use super::User;
use super::methods::{Answer, page};
use super::params::Params;
use super::state::{State, TEAM};

fn user(state: &State, id: &str, one: &User) -> Value {
    json!({
        "id": id,
        "team_id": one.team.as_deref().unwrap_or(TEAM),
        "name": one.name,
        "deleted": one.deleted,
        "real_name": one.real_name,
        "tz": "Etc/UTC",
        "profile": {
            "real_name": one.real_name,
            "display_name": one.name,
            "email": one.email,
            "team": one.team.as_deref().unwrap_or(TEAM),
        },
        "is_admin": false,
        "is_owner": false,
        "is_bot": false,
        "is_app_user": false,
        "updated": state.created,
    })
}

pub fn list(state: &State, params: &Params) -> Value {
    let all: Vec<&(String, User)> = state.users.iter().collect();
    let (rows, cursor) = page(all, params);
    let rows: Vec<Value> = rows.into_iter().map(|(id, one)| user(state, id, one)).collect();
    let cache_ts = state.now.as_second();
    json!({"ok": true, "members": rows, "cache_ts": cache_ts, "response_metadata": {"next_cursor": cursor}})
}

pub fn lookup_by_email(state: &State, params: &Params) -> Answer {
    let email = params.text("email").ok_or("users_not_found")?;
    let found = state.users.iter().find(|(_, user)| user.email.eq_ignore_ascii_case(&email));
    let (id, one) = found.ok_or("users_not_found")?;
    Ok(json!({"ok": true, "user": user(state, id, one)}))
}

pub fn info(state: &State, params: &Params) -> Answer {
    let id = params.text("user").ok_or("user_not_found")?;
    let (id, one) = state.users.iter().find(|(known, _)| *known == id).ok_or("user_not_found")?;
    Ok(json!({"ok": true, "user": user(state, id, one)}))
}
