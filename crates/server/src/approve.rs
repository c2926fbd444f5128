//! `/approve/{link}`: where a person decides, led there by a chat or a mail.
//!
//! The link is the right to decide, so it is treated as a secret: no page that it opens is kept by anybody, tells its
//! address onwards, runs a script, or can be put into another page. Looking changes nothing, as chats and mail
//! scanners look; only sending the form does, and that once for each person.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use flow::approval::{COMMENT_MAX, Decision, NAME_MAX};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ring::digest;
use store::approvals::{Approval, ApprovalLink, ApprovalStatus};

use crate::App;
use crate::input::read_body;
use crate::listen::Peer;
use crate::problem::{Code, Problem};
use crate::v1::approvals;

/// A form of ours is far smaller.
const FORM_BYTES_MAX: usize = 32 * 1024;

const STYLE: &str = "\
:root{color-scheme:light dark}\
*{box-sizing:border-box}\
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1c2430}\
main{max-width:38rem;margin:6vh auto;padding:2rem;background:#fff;border-radius:12px;box-shadow:0 1px 4px #0002}\
h1{font-size:1.4rem;line-height:1.3;margin:0 0 .25rem;overflow-wrap:anywhere}\
.from{color:#5d6878;margin:0 0 1.25rem;font-size:.9rem}\
pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f5f7;padding:1rem;border-radius:8px}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input,textarea{font:inherit;width:100%;padding:.6rem;border:1px solid #b8c0cc;border-radius:8px;background:inherit;color:inherit}\
.choices{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}\
button{font:inherit;font-weight:600;padding:.7rem 1.4rem;border-radius:8px;border:1px solid #24508f;background:#fff;color:#24508f;cursor:pointer}\
button:first-child{background:#24508f;color:#fff}\
button:focus-visible,input:focus-visible,textarea:focus-visible{outline:3px solid #7fb0ff;outline-offset:2px}\
ul{padding-left:1.2rem}\
.state{font-weight:600}\
@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6eaf0}main{background:#1d232d}pre{background:#14181f}\
.from{color:#9aa6b6}button{background:#1d232d;color:#9cc2ff;border-color:#9cc2ff}button:first-child{background:#9cc2ff;color:#14181f}}";

/// `GET /approve/{link}`: shows the question.
pub async fn show(State(app): State<App>, Path(link): Path<String>) -> Response {
    match opened(&app, &link).await {
        Ok((link, approval)) => {
            page(StatusCode::OK, &approval.asked.title, &question(&app, &link, &approval))
        }
        Err(refused) => refusal(&refused),
    }
}

/// `POST /approve/{link}`, a form with `choice`, `comment`, and `name` where the link is nobody's: decides.
pub async fn decide(
    State(app): State<App>,
    Path(text): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&app, &text, peer, &headers, body).await {
        // Looking again is safe, sending again is not what a reload does. Relative: the public address may have a path.
        Ok(()) => match HeaderValue::from_str(&text) {
            Ok(location) => {
                let mut response = page(StatusCode::SEE_OTHER, "Decided", "");
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            Err(_) => page(StatusCode::OK, "Decided", "<p class=\"state\">Your decision was taken.</p>"),
        },
        Err(refused) => refusal(&refused),
    }
}

async fn take(
    app: &App,
    text: &str,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Problem> {
    let (link, approval) = opened(app, text).await?;
    let body = read_body(body, FORM_BYTES_MAX).await?;
    let (mut choice, mut comment, mut name) = (String::new(), String::new(), String::new());
    for (field, value) in form_urlencoded::parse(&body) {
        match &*field {
            "choice" => choice = value.into_owned(),
            "comment" => comment = value.into_owned(),
            "name" => name = value.into_owned(),
            _ => {}
        }
    }
    let comment = comment.trim().replace("\r\n", "\n");
    let decision = Decision {
        by: link.who.unwrap_or(name),
        choice,
        comment: (!comment.is_empty()).then_some(comment),
        at: app.now(),
        via: "link".to_owned(),
        origin: Some(origin(peer, headers)),
    };
    approvals::decided(app, &approval.id, decision).await.map(drop)
}

/// Where the sender is: who connected and, behind a proxy, whom that says it is for; anybody can claim the latter.
fn origin(peer: Option<Extension<Peer>>, headers: &HeaderMap) -> String {
    let peer = peer.map_or_else(|| "here".to_owned(), |Extension(Peer(peer))| peer);
    let claimed = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    match claimed {
        Some(claimed) => format!("{peer}, for {}", claimed.chars().take(NAME_MAX).collect::<String>()),
        None => peer,
    }
}

/// The link and its question, if it was made here, for this workspace, and its time is not over.
async fn opened(app: &App, text: &str) -> Result<(ApprovalLink, Approval), Problem> {
    let unknown = || {
        Problem::new(
            Code::LinkInvalid,
            "The link is not whole, or not one of ours. Open it from the message again.",
        )
    };
    let link = app.store().read_link(text).filter(|link| link.workspace == *app.workspace());
    let link = link.ok_or_else(unknown)?;
    let approval = app.store().approval(app.workspace(), &link.approval).await?.ok_or_else(unknown)?;
    if approval.status == ApprovalStatus::Open && link.until <= app.now() {
        return Err(Problem::new(Code::LinkExpired, "The time to decide is over."));
    }
    Ok((link, approval))
}

/// The question as a page's content: with its form if this link may still decide.
fn question(app: &App, link: &ApprovalLink, approval: &Approval) -> String {
    let asked = &approval.asked;
    let mut html = format!("<h1>{}</h1>\n", escaped(&asked.title));
    let until =
        approval.deadline.map(|deadline| format!(" · until {}", deadline.strftime("%Y-%m-%d %H:%M UTC")));
    html += &format!(
        "<p class=\"from\">{} asks{}{}</p>\n",
        escaped(&approval.flow),
        asked.requester.as_ref().map(|who| format!(" for {}", escaped(who))).unwrap_or_default(),
        until.unwrap_or_default()
    );
    if let Some(body) = &asked.body {
        html += &format!("<pre>{}</pre>\n", escaped(body));
    }
    if !approval.decisions.is_empty() {
        html += "<ul>\n";
        for decision in &approval.decisions {
            let comment = decision.comment.as_ref().map(|text| format!(": {}", escaped(text)));
            html += &format!(
                "<li>{} chose {}{}</li>\n",
                escaped(&decision.by),
                escaped(&decision.choice),
                comment.unwrap_or_default()
            );
        }
        html += "</ul>\n";
    }
    let decided = link
        .who
        .as_ref()
        .is_some_and(|who| approval.decisions.iter().any(|decision| flow::approval::same(&decision.by, who)));
    let late = approval.deadline.is_some_and(|deadline| deadline <= app.now());
    match approval.status {
        ApprovalStatus::Open if decided => {
            html += "<p class=\"state\">Your decision was taken. Others still have to decide.</p>\n";
        }
        ApprovalStatus::Open if !late => html += &form(link, approval),
        ApprovalStatus::Decided => {
            let choice = approval.choice.as_deref().unwrap_or_default();
            html += &format!("<p class=\"state\">Decided: {}</p>\n", escaped(choice));
        }
        ApprovalStatus::Open | ApprovalStatus::Expired => {
            html += "<p class=\"state\">The time to decide is over.</p>\n";
        }
        ApprovalStatus::Dropped => {
            html += "<p class=\"state\">This is not asked any more.</p>\n";
        }
    }
    html
}

fn form(link: &ApprovalLink, approval: &Approval) -> String {
    // Without an action, a form goes to the page's own address.
    // The first button is what the enter key presses, and that must not decide.
    let mut html = "<form method=\"post\">\n<button disabled hidden></button>\n".to_owned();
    match &link.who {
        Some(who) => html += &format!("<p>You decide as <strong>{}</strong>.</p>\n", escaped(who)),
        None => {
            html += &format!(
                "<label for=\"name\">Your name</label>\n<input id=\"name\" name=\"name\" required \
                 maxlength=\"{NAME_MAX}\" autocomplete=\"name\">\n"
            );
        }
    }
    html += &format!(
        "<label for=\"comment\">Comment (optional)</label>\n<textarea id=\"comment\" name=\"comment\" rows=\"3\" \
         maxlength=\"{COMMENT_MAX}\"></textarea>\n<div class=\"choices\">\n"
    );
    for choice in &approval.asked.choices {
        let choice = escaped(choice);
        html += &format!("<button name=\"choice\" value=\"{choice}\">{choice}</button>\n");
    }
    html + "</div>\n</form>\n"
}

fn refusal(problem: &Problem) -> Response {
    let content =
        format!("<h1>{}</h1>\n<p>{}</p>\n", escaped(problem.code.title()), escaped(&problem.detail));
    page(problem.code.status(), problem.code.title(), &content)
}

/// A whole page with the headers that keep its address to itself.
fn page(status: StatusCode, title: &str, content: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{content}</main>\n</body>\n</html>\n",
        escaped(title)
    );
    let style =
        base64::engine::general_purpose::STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Text as it stands in a page, also inside quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_text() {
        assert_eq!(escaped("<b title='x'>&\"</b>"), "&lt;b title=&#39;x&#39;&gt;&amp;&quot;&lt;/b&gt;");
        let response = page(StatusCode::OK, "</title><script>", "");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}
