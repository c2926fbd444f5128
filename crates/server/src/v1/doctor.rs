//! `GET /v1/doctor`: everything that keeps this server from doing its work, in plain words, each with what to do about it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use connect::wire;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::{ConnectionInfo, Health};

use super::connections::check::examine;
use crate::App;
use crate::problem::{Code, Problem};

/// A clock that is further off than this has signatures refused, theirs and ours.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);
/// For the public address, and for a vendor's time.
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Answers `{ok, findings: [{about, ok, detail, remedy?}]}`. It changes nothing, and asks each vendor once.
pub async fn show(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let mut findings = vec![database(&app)];
    findings.push(public(&app).await);
    let connections = app.store().connections(app.workspace()).await?;
    for info in &connections {
        findings.extend(connection(&app, info).await?);
    }
    findings.extend(flows(&app, &connections).await?);
    let ok = findings.iter().all(|finding| finding["ok"] == true);
    Ok(Json(json!({"ok": ok, "findings": findings})))
}

fn good(about: &str, detail: impl Into<String>) -> Value {
    json!({"about": about, "ok": true, "detail": detail.into()})
}

fn bad(about: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Value {
    json!({"about": about, "ok": false, "detail": detail.into(), "remedy": remedy.into()})
}

fn database(app: &App) -> Value {
    match app.store().health() {
        Health::Good => good("database", "it takes writes"),
        Health::Bad(why) => bad("database", why, "make room on the disk, or have the database answer again"),
        Health::Closed => {
            bad("database", "it takes no writes any more", "start the server again; its log says why")
        }
    }
}

/// Whether vendors get through to the address that they were given.
async fn public(app: &App) -> Value {
    const ABOUT: &str = "public address";
    let Some(url) = app.public_url("/healthz") else {
        return good(ABOUT, "no server is running: nothing comes in");
    };
    let base = url.trim_end_matches("/healthz").to_owned();
    let Ok(address) = url.parse::<url::Url>() else {
        return bad(ABOUT, format!("`{base}` is no address"), "give one to `serve --public-url`");
    };
    let local = address.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."));
    if local {
        return good(
            ABOUT,
            format!("{base} is reached from this machine only; vendors need `serve --public-url`"),
        );
    }
    if address.scheme() != "https" {
        let remedy = "put TLS in front (a reverse proxy), and give its address to `serve --public-url`";
        return bad(ABOUT, format!("{base} is not https: most vendors refuse it"), remedy);
    }
    match app.transport().send(get(address)).await {
        Ok(answer) if answer.status == 200 => good(ABOUT, format!("{base} leads here")),
        Ok(answer) => bad(
            ABOUT,
            format!("{base}/healthz answers {}", answer.status),
            "have the reverse proxy pass /hooks/ and /healthz on to this server",
        ),
        Err(error) => {
            let detail = format!("{base} is not reached from here: {}", error.detail);
            bad(ABOUT, detail, "look at its name, its certificate and the reverse proxy")
        }
    }
}

fn get(url: url::Url) -> wire::Request {
    wire::Request {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        body_bytes_max: ANSWER_BYTES_MAX,
    }
}

async fn connection(app: &App, info: &ConnectionInfo) -> Result<Vec<Value>, Problem> {
    let (name, about) = (&info.name, format!("connection {}", info.name));
    let mut found = Vec::new();
    let examined = match examine(app, name).await {
        Ok(document) => document,
        Err(problem) => {
            let remedy = match problem.code {
                Code::ConnectorUnknown => {
                    format!("`tributary connection remove {name}`, or bring its connector back")
                }
                _ => format!("see what it says, then `tributary connection check {name}`"),
            };
            return Ok(vec![bad(&about, problem.detail, remedy)]);
        }
    };
    let detail = examined["detail"].as_str().unwrap_or_default();
    found.push(match examined["ok"] == true {
        true => good(&about, detail),
        false => bad(&about, detail, format!("mend it, then `tributary connection check {name}`")),
    });
    if let Some(poll) = app.store().poll(app.workspace(), name).await?
        && let Some((problem, _)) = &poll.problem
    {
        let remedy = "the credentials must allow reading the vendor's events";
        found.push(bad(&about, format!("its events could not be asked for: {problem}"), remedy));
    }
    if let Some(skew) = skew(app, info).await.filter(|skew| skew.abs() > SKEW_MAX) {
        let detail = format!("this machine's clock is {skew:#} off the vendor's");
        found.push(bad("clock", detail, "have the clock set by NTP: signatures are refused otherwise"));
    }
    Ok(found)
}

/// How far our clock is ahead of a vendor's, where it tells the time.
async fn skew(app: &App, info: &ConnectionInfo) -> Option<SignedDuration> {
    // Sandbox twins have a time of their own.
    if info.base_url.is_some() {
        return None;
    }
    let url = app.catalog().get(&info.connector)?.base_url().clone();
    let answer = app.transport().send(get(url)).await.ok()?;
    let told = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(answer.header("date")?).ok()?;
    Some(app.now().duration_since(told))
}

/// Connections that flows call and that are not there.
async fn flows(app: &App, connections: &[ConnectionInfo]) -> Result<Vec<Value>, Problem> {
    let mut found = Vec::new();
    for flow in app.store().flows(app.workspace()).await? {
        let about = format!("flow {}", flow.name);
        let missing: Vec<&str> = flow
            .connections
            .values()
            .filter(|used| !connections.iter().any(|info| info.name == **used))
            .map(String::as_str)
            .collect();
        found.push(match (missing.is_empty(), flow.paused) {
            (false, _) => bad(
                &about,
                format!("it uses connections that are not there: {}", missing.join(", ")),
                "`tributary connection add …`, or deploy it with other ones",
            ),
            (true, true) => good(&about, "it is paused"),
            (true, false) => good(&about, "its connections are there"),
        });
    }
    Ok(found)
}
