//! A person lets a connection in: in the browser, which comes back to a loopback address, or to one that is pasted here.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::segment;
use crate::client::Client;

/// The path that the browser comes back to.
const PATH: &str = "/callback";
/// How long a person may take; the server forgets the question after that.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// What a browser may send before it is cut off.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Whoever asks beside the browser, at once: browsers open a second line in advance.
const ASKING_MAX: usize = 16;
/// Where nobody listens and no port was given; vendors refuse port 0.
const PORT: u16 = 8765;

#[derive(Debug, Args)]
pub struct Way {
    /// Open no browser: print the address, and ask for the one that it comes back to
    #[arg(long)]
    no_browser: bool,
    /// The loopback port that the browser comes back to, if the vendor wants to know it beforehand [default: any]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    redirect_port: u16,
    /// Come back to this address, which is registered at the vendor; it is pasted here then
    #[arg(long, value_name = "URL", conflicts_with = "redirect_port")]
    redirect_url: Option<url::Url>,
    /// Only store the credentials; `connection authorize` asks for the agreement later
    #[arg(long)]
    pub later: bool,
}

/// Asks for the agreement and hands the answer to the server: `{ok, detail, …}`.
pub async fn walk(client: &Client, name: &str, way: &Way) -> anyhow::Result<Value> {
    let path = |end: &str| format!("/v1/connections/{}/{end}", segment(name));
    let listener = match (&way.redirect_url, way.no_browser) {
        (None, false) => {
            let address = SocketAddr::from(([127, 0, 0, 1], way.redirect_port));
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("cannot listen on {address} for the browser"))?)
        }
        _ => None,
    };
    let redirect = match (&way.redirect_url, &listener) {
        (Some(url), _) => url.to_string(),
        (None, Some(listener)) => format!("http://{}{PATH}", listener.local_addr()?),
        (None, None) => {
            let port = if way.redirect_port == 0 { PORT } else { way.redirect_port };
            format!("http://127.0.0.1:{port}{PATH}")
        }
    };
    let asked = client.post(&path("authorize"), json!({"redirect_uri": redirect})).await?;
    let url = asked["url"].as_str().context("the server names no address")?;
    eprintln!("Open this address, and let the connection in:\n\n  {url}\n");
    let answer = match listener {
        Some(listener) => {
            open(url);
            let state = asked["state"].as_str().unwrap_or_default();
            let answer = tokio::time::timeout(TIME_MAX, comes_back(&listener, state)).await;
            answer.map_err(|_| anyhow!("nobody answered within 15 minutes"))??
        }
        None => pasted()?,
    };
    client.post(&path("authorized"), json!({"url": answer})).await
}

/// Opens a browser, where there is one. If not, the address is on the screen.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if !std::io::stderr().is_terminal() {
        return;
    }
    let opened = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, program, "no browser was opened");
    }
}

fn pasted() -> anyhow::Result<String> {
    eprint!("Then paste the address that the browser comes back to (it need not load):\n> ");
    std::io::stderr().flush().context("cannot write to the terminal")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read from the terminal")?;
    if line.trim().is_empty() {
        bail!("no address was given");
    }
    Ok(line.trim().to_owned())
}

/// The address that the browser comes back with, in answer to this question. Whatever else asks here is sent away, and keeps
/// nobody waiting.
async fn comes_back(listener: &TcpListener, state: &str) -> anyhow::Result<String> {
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(answered) = asking.join_next() => {
                if let Ok(Some(target)) = answered {
                    return Ok(format!("http://127.0.0.1{target}"));
                }
            }
            accepted = listener.accept(), if asking.len() < ASKING_MAX => {
                let (stream, _) = accepted.context("the loopback listener broke")?;
                asking.spawn(hear(stream, state.to_owned()));
            }
        }
    }
}

/// What one line asks for, if that is our answer.
async fn hear(mut stream: TcpStream, state: String) -> Option<String> {
    let target = tokio::time::timeout(HEAD_TIME_MAX, target(&mut stream)).await.ok().flatten();
    let back = target.filter(|target| answers(target, &state));
    let (status, words) = match &back {
        Some(_) => (
            "200 OK",
            "The answer is on its way; the command says what came of it. You can close this window.",
        ),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{words}",
        words.len()
    );
    // The browser may be gone: the answer counts all the same.
    if let Err(error) = stream.write_all(page.as_bytes()).await {
        tracing::debug!(%error, "the browser did not wait");
    }
    back
}

/// Whether it is where the browser was to come back to, with the state of this question.
fn answers(target: &str, state: &str) -> bool {
    let url = url::Url::parse(&format!("http://127.0.0.1{target}"));
    url.is_ok_and(|url| {
        url.path() == PATH && url.query_pairs().any(|(name, value)| name == "state" && value == state)
    })
}

/// What a GET asks for.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await.ok()?;
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return None;
        }
        head.extend_from_slice(&part[..read]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    (words.next()? == "GET").then(|| words.next().map(str::to_owned)).flatten()
}
