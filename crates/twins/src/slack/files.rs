//! Files, uploaded in three steps: an address is asked for, the bytes go there, and the upload is completed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Message;
use super::methods::Answer;
use super::params::Params;
use super::state::{BOT_USER, State};
use crate::wire::{Request, Response};

/// Where the bytes go, and what the id of an upload follows.
pub const UPLOAD: &str = "upload/v1/";

/// A file, from the moment at which its address was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub id: String,
    pub name: String,
    pub title: String,
    /// What was announced.
    pub length: usize,
    /// What came.
    pub bytes: Option<Bytes>,
    pub complete: bool,
    /// Where it is shared.
    pub channels: Vec<String>,
    /// The messages that share it.
    pub shares: Vec<String>,
}

/// `files.getUploadURLExternal`
pub fn begin(state: &mut State, params: &Params) -> Answer {
    let name = params.text("filename").ok_or("invalid_arguments")?;
    let length = params.number("length").filter(|length| *length > 0).ok_or("invalid_arguments")?;
    let id = format!("F0SANDBOX{:02}", state.files.len());
    let upload_url = format!("{}/{UPLOAD}{id}", state.base_url);
    let title = name.clone();
    state.files.push(File {
        id: id.clone(),
        name,
        title,
        length,
        bytes: None,
        complete: false,
        channels: vec![],
        shares: vec![],
    });
    Ok(json!({"ok": true, "upload_url": upload_url, "file_id": id}))
}

/// `POST <upload_url>`: the bytes as they are, or as the only part of a form.
pub fn take(state: &mut State, id: &str, request: &Request) -> Response {
    let Some(file) = state.files.iter_mut().find(|file| file.id == id && !file.complete) else {
        return Response::text(404, "not found");
    };
    let kind = request.header("content-type").unwrap_or_default();
    let bytes = match kind.split_once("boundary=") {
        Some((_, boundary)) => part(&request.body, boundary.trim_matches('"')),
        None => Some(request.body.clone()),
    };
    match bytes.filter(|bytes| bytes.len() == file.length) {
        None => Response::text(400, "the length is not what was announced"),
        Some(bytes) => {
            let length = bytes.len();
            file.bytes = Some(bytes);
            Response::text(200, &format!("OK - {length}"))
        }
    }
}

/// The content of a form's only part.
fn part(body: &Bytes, boundary: &str) -> Option<Bytes> {
    let find = |from: usize, what: &[u8]| {
        body.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let begin = find(0, b"\r\n\r\n")? + 4;
    let end = find(begin, format!("\r\n--{boundary}").as_bytes())?;
    Some(body.slice(begin..end))
}

/// `files.completeUploadExternal`: the files are there, and in each channel a message that shows them. A direct message is
/// named by its person in `channels`.
pub fn complete(state: &mut State, params: &Params) -> Answer {
    let wanted = params.structure("files").map_err(|()| "invalid_arguments")?.ok_or("invalid_arguments")?;
    let wanted = wanted.as_array().ok_or("invalid_arguments")?;
    let channels = params.text("channel_id").or_else(|| params.text("channels")).unwrap_or_default();
    let named: Vec<&str> = channels.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    let mut channels = Vec::new();
    for id in named {
        let known = state.is_conversation(id) || state.users.iter().any(|(user, _)| user == id);
        channels.push(if known { state.addressed(id)? } else { return Err("channel_not_found") });
    }
    let thread_ts = params.text("thread_ts");
    if thread_ts.is_some() && channels.len() > 1 {
        return Err("invalid_arguments");
    }
    let uploaded = |id: &Value| {
        let of = |file: &super::File| Some(file.id.as_str()) == id.as_str() && file.bytes.is_some();
        state.files.iter().position(of).ok_or("file_not_found")
    };
    let places = wanted.iter().map(|file| uploaded(&file["id"])).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<String> = places.iter().map(|place| state.files[*place].id.clone()).collect();
    let text = params.text("initial_comment").unwrap_or_default();
    let blocks = params.structure("blocks").map_err(|()| "invalid_blocks")?.filter(|_| text.is_empty());
    let mut shares = Vec::new();
    for (channel, channel_name) in &channels {
        let message = Message {
            channel: channel.clone(),
            channel_name: channel_name.clone(),
            ts: state.next_ts(),
            text: text.clone(),
            blocks: blocks.clone(),
            attachments: None,
            thread_ts: thread_ts.clone(),
            broadcast: false,
            files: ids.clone(),
            metadata: None,
            edited: false,
            reactions: Vec::new(),
        };
        shares.push(message.ts.clone());
        state.messages.push(message);
    }
    let mut answered = Vec::new();
    for (place, wanted) in places.into_iter().zip(wanted) {
        let file = &mut state.files[place];
        file.complete = true;
        file.channels = channels.iter().map(|(id, _)| id.clone()).collect();
        file.shares.clone_from(&shares);
        if let Some(title) = wanted["title"].as_str() {
            title.clone_into(&mut file.title);
        }
        answered.push(shown(file, state.created));
    }
    Ok(json!({"ok": true, "files": answered}))
}

/// A file as Slack shows it.
pub fn shown(file: &File, created: i64) -> Value {
    json!({"id": file.id, "created": created, "timestamp": created, "name": file.name, "title": file.title,
        "mimetype": "", "filetype": "", "pretty_type": "", "user": BOT_USER, "editable": false,
        "size": file.length, "mode": "hosted", "is_external": false, "is_public": true,
        "channels": file.channels, "groups": [], "ims": [],
        "permalink": format!("https://tributary-sandbox.slack.com/files/{BOT_USER}/{}/{}", file.id, file.name)})
}

pub fn info(state: &State, params: &Params) -> Answer {
    let id = params.text("file").ok_or("file_not_found")?;
    let file = state.files.iter().find(|file| file.id == id && file.complete).ok_or("file_not_found")?;
    Ok(json!({"ok": true, "file": shown(file, state.created)}))
}

/// `files.list`: those of a channel, or all; by page, not by cursor.
pub fn list(state: &State, params: &Params) -> Value {
    let of = params.text("channel");
    let within = |file: &&File| {
        file.complete && of.as_ref().is_none_or(|id| file.channels.iter().any(|channel| channel == id))
    };
    let all: Vec<Value> =
        state.files.iter().rev().filter(within).map(|file| shown(file, state.created)).collect();
    let total = all.len();
    let (count, page) = (params.number("count").unwrap_or(100).max(1), params.number("page").unwrap_or(1));
    let files: Vec<Value> = all.into_iter().skip((page.max(1) - 1) * count).take(count).collect();
    let pages = total.div_ceil(count);
    json!({"ok": true, "files": files,
        "paging": {"count": count, "total": total, "page": page, "pages": pages}})
}
