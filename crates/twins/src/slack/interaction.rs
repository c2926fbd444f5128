//! What people do with messages: the app is told of it by a signed POST to the address that it gave.
//!
//! An interaction goes out as a form whose field `payload` is JSON, an event of the Events API as JSON. Slack signs both
//! alike, with the time of sending in a header of its own.

use bytes::Bytes;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

use super::chat::shown;
use super::methods::Answer;
use super::params::Params;
use super::state::{APP, BOT_USER, State, TEAM};

/// A trigger opens a view for so long.
const TRIGGER_LIFE_S: i64 = 3;
/// What signatures have taken the place of; Slack still sends it.
const VERIFICATION_TOKEN: &str = "not-to-be-relied-on";

/// Where an app is told of what people do.
#[derive(Clone, Debug)]
pub struct App {
    pub url: String,
    pub signing_secret: String,
}

/// What an app is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub url: String,
    signing_secret: String,
    content_type: &'static str,
    pub body: Bytes,
}

impl Outgoing {
    /// The headers of a request that is sent at a time by the wall clock: receivers refuse old ones.
    pub fn headers(&self, at: Timestamp) -> Vec<(String, String)> {
        let time = at.as_second().to_string();
        let signed = [b"v0:", time.as_bytes(), b":", &self.body].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.signing_secret.as_bytes()), &signed);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [
            ("content-type", self.content_type.to_owned()),
            ("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)".to_owned()),
            ("x-slack-request-timestamp", time),
            ("x-slack-signature", format!("v0={hex}")),
        ];
        headers.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}

/// Puts an interaction or an event into the post.
fn send(state: &mut State, payload: &Value, form: bool) -> Result<(), &'static str> {
    let app = state.app.as_ref().ok_or("the app has given no address")?;
    let (content_type, body) = match form {
        false => ("application/json", payload.to_string()),
        true => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("payload", &payload.to_string());
            ("application/x-www-form-urlencoded", form.finish())
        }
    };
    let (url, signing_secret) = (app.url.clone(), app.signing_secret.clone());
    state.outgoing.push(Outgoing { url, signing_secret, content_type, body: body.into() });
    Ok(())
}

/// Asks the app's address whether it is there, as Slack does when it is entered.
pub fn verify(state: &mut State) -> Result<String, &'static str> {
    let challenge = format!("{}challenge", state.next_id());
    let body = json!({"token": VERIFICATION_TOKEN, "challenge": challenge, "type": "url_verification"});
    send(state, &body, false)?;
    Ok(challenge)
}

/// An event of the Events API.
pub fn tell(state: &mut State, event: &Value) -> Result<(), &'static str> {
    let id = state.next_id();
    let body = json!({
        "token": VERIFICATION_TOKEN,
        "team_id": TEAM,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": format!("Ev{id}"),
        "event_time": state.now.as_second(),
        "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": BOT_USER, "is_bot": true,
            "is_enterprise_install": false}],
        "is_ext_shared_channel": false,
        "event_context": format!("4-{id}"),
    });
    send(state, &body, false)
}

/// Somebody presses a button of a message: `button` is its text or its `action_id`.
pub fn press(state: &mut State, user: &str, ts: &str, button: &str) -> Result<(), &'static str> {
    let by = |(id, one): &&(String, super::User)| id == user || one.name == user;
    let (user_id, user) = state.users.iter().find(by).cloned().ok_or("there is no such user")?;
    let place =
        state.messages.iter().position(|message| message.ts == ts).ok_or("there is no such message")?;
    let mut message = shown(state, &state.messages[place], false);
    let (channel, channel_name) = {
        let message = &state.messages[place];
        (message.channel.clone(), message.channel_name.clone())
    };
    let (block_id, element) = find(&mut message, button).ok_or("the message has no such button")?;
    let (trigger, micros) = (state.next_id(), state.now.as_microsecond());
    let action_ts = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let mut action = json!({"action_id": element["action_id"], "block_id": block_id, "text": element["text"],
        "type": "button", "action_ts": action_ts});
    for member in ["value", "style", "url"] {
        if !element[member].is_null() {
            action[member] = element[member].clone();
        }
    }
    let team = user.team.clone().unwrap_or_else(|| TEAM.to_owned());
    let trigger_id = format!("{trigger}.{}.{}", state.now.as_second(), "0123456789abcdef");
    let body = json!({
        "type": "block_actions",
        "user": {"id": user_id, "username": user.name, "name": user.name, "team_id": team},
        "api_app_id": APP,
        "token": VERIFICATION_TOKEN,
        "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false},
        "trigger_id": trigger_id,
        "team": {"id": TEAM, "domain": "tributary-sandbox"},
        "enterprise": null,
        "is_enterprise_install": false,
        "channel": {"id": channel, "name": channel_name},
        "message": message,
        "state": {"values": {}},
        "response_url": format!("https://hooks.slack.com/actions/{TEAM}/{trigger}/response"),
        "actions": [action],
    });
    state.triggers.push((trigger_id, state.now));
    send(state, &body, true)
}

/// The block's id and the button. Slack names what the app left without a name.
fn find(message: &mut Value, button: &str) -> Option<(String, Value)> {
    let blocks = message["blocks"].as_array_mut()?;
    for (n, block) in blocks.iter_mut().enumerate() {
        if block["block_id"].is_null() {
            block["block_id"] = json!(format!("b{n}"));
        }
        for (n, element) in block["elements"].as_array_mut().into_iter().flatten().enumerate() {
            if element["type"] == "button" && element["action_id"].is_null() {
                element["action_id"] = json!(format!("a{n}"));
            }
        }
    }
    let buttons = blocks.iter().flat_map(|block| {
        let elements = block["elements"].as_array().into_iter().flatten().chain([&block["accessory"]]);
        elements.map(|element| (block["block_id"].as_str().unwrap_or_default(), element))
    });
    let mut pressable = buttons.filter(|(_, element)| element["type"] == "button");
    let found = pressable.find(|(_, one)| one["action_id"] == button || one["text"]["text"] == button)?;
    Some((found.0.to_owned(), found.1.clone()))
}

/// `views.open`: only as long as its trigger lasts, and once.
pub fn open_view(state: &mut State, params: &Params) -> Answer {
    let trigger = params.text("trigger_id").ok_or("invalid_arguments")?;
    let view = params.structure("view").map_err(|()| "invalid_arguments")?.ok_or("invalid_arguments")?;
    let place = state.triggers.iter().position(|(id, _)| *id == trigger).ok_or("invalid_trigger_id")?;
    let (_, at) = state.triggers.remove(place);
    if state.now.as_second() - at.as_second() > TRIGGER_LIFE_S {
        return Err("expired_trigger_id");
    }
    if view["type"] != "modal" || !view["title"].is_object() || !view["blocks"].is_array() {
        return Err("invalid_arguments");
    }
    let mut view = view;
    view["id"] = json!(format!("V{}", state.next_id()));
    view["team_id"] = json!(TEAM);
    view["app_id"] = json!(APP);
    state.views.push(view.clone());
    Ok(json!({"ok": true, "view": view}))
}
