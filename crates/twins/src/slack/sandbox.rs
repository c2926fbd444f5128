//! A page of the twin's own, for people who try things: the messages, with buttons that can be pressed as anybody.
//!
//! | | |
//! |---|---|
//! | `GET /` | the page |
//! | `POST /_sandbox/press` | a form with `user`, `ts`, `button` |
//! | `POST /_sandbox/app` | a form with `url`, `signing_secret`: where the app is told |

use serde_json::Value;

use super::interaction::{self, App};
use super::state::State;
use crate::wire::{Request, Response};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:46rem;margin:4vh auto;padding:0 1rem;color:#1d1c1d}\
article{border:1px solid #ddd;border-radius:8px;padding:.75rem 1rem;margin:.75rem 0;white-space:pre-wrap}\
small{color:#616061}form{display:inline-block;margin:.5rem .5rem 0 0}button{padding:.3rem .8rem}";

/// Answers what is no method of Slack's.
pub fn handle(state: &mut State, request: &Request, path: &str) -> Option<Response> {
    match (request.method.as_str(), path) {
        ("GET", "") => Some(page(state)),
        ("POST", "_sandbox/press") => {
            let [user, ts, button] = fields(request, ["user", "ts", "button"]);
            Some(done(interaction::press(state, &user, &ts, &button)))
        }
        ("POST", "_sandbox/app") => {
            let [url, signing_secret] = fields(request, ["url", "signing_secret"]);
            state.app = Some(App { url, signing_secret });
            Some(done(Ok(())))
        }
        _ => None,
    }
}

fn fields<const N: usize>(request: &Request, names: [&str; N]) -> [String; N] {
    names.map(|name| {
        let mut pairs = form_urlencoded::parse(&request.body);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    })
}

fn done(result: Result<(), &'static str>) -> Response {
    match result {
        Ok(()) => Response::text(303, "done\n").with_header("location", "/"),
        Err(why) => Response::text(422, &format!("{why}\n")),
    }
}

fn page(state: &State) -> Response {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style><h1>{0}</h1>\n",
        escaped(&state.team)
    );
    if state.app.is_none() {
        html += "<p><small>Buttons do nothing yet: the app has given no address (POST /_sandbox/app).</small></p>\n";
    }
    for message in state.messages.iter().rev() {
        let to = format!("#{} · {}", message.channel_name, message.ts);
        html += &format!("<article><small>{}</small>\n{}\n", escaped(&to), escaped(&message.text));
        for block in message.blocks.iter().filter_map(Value::as_array).flatten() {
            block_of(&mut html, state, &message.ts, block);
        }
        html += "</article>\n";
    }
    for ephemeral in &state.ephemerals {
        let to = format!("only {} sees this", ephemeral.user);
        html +=
            &format!("<article><small>{}</small>\n{}</article>\n", escaped(&to), escaped(&ephemeral.text));
    }
    Response {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())],
        body: html.into(),
    }
}

fn block_of(html: &mut String, state: &State, ts: &str, block: &Value) {
    if let Some(text) = block["text"]["text"].as_str() {
        *html += &format!("<div>{}</div>\n", escaped(text));
    }
    for element in block["elements"].as_array().into_iter().flatten() {
        let label = element["text"]["text"].as_str();
        match label.filter(|_| element["type"] == "button") {
            None => {
                let text = element["text"].as_str().or(label).unwrap_or_default();
                *html += &format!("<div><small>{}</small></div>\n", escaped(text));
            }
            Some(label) => {
                let action = element["action_id"].as_str().unwrap_or(label);
                *html += &format!(
                    "<form method=\"post\" action=\"/_sandbox/press\"><input type=\"hidden\" name=\"ts\" value=\"{}\">\
                     <input type=\"hidden\" name=\"button\" value=\"{}\"><button>{}</button> as <select name=\"user\">",
                    escaped(ts),
                    escaped(action),
                    escaped(label)
                );
                for (_, user) in &state.users {
                    *html += &format!("<option>{}</option>", escaped(&user.name));
                }
                *html += "</select></form>\n";
            }
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
