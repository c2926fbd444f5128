//! The real transport, over loopback.

use std::time::Duration;

use bytes::Bytes;
use connect::{HttpTransport, Transport, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn request(port: u16, method: &str, body: &'static str) -> wire::Request {
    wire::Request {
        method: method.into(),
        url: format!("http://127.0.0.1:{port}/v1/things?a[0]=b").parse().expect("a URL"),
        headers: vec![("X-Key".into(), "k".into())],
        body: Bytes::from_static(body.as_bytes()),
        timeout: Duration::from_secs(5),
        body_bytes_max: 64,
    }
}

/// One request off a kept connection: its head and as much of the body as the head announces.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .and_then(|length| length.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A vendor that accepts one connection and gives these answers on it, then closes it. Returns what it read.
async fn vendor(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut seen = Vec::new();
        for answer in answers {
            let Some(request) = read_request(&mut stream).await else { break };
            seen.push(request);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
        seen
    });
    (port, task)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Answer: yes\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_go_out_as_they_are_and_connections_are_kept() {
    let (port, task) = vendor(vec![ok("{}"), ok("[1]")]).await;
    let transport = HttpTransport::new().expect("TLS");
    let first = transport.send(request(port, "POST", "x=1")).await.expect("an answer");
    assert_eq!((first.status, first.body.as_ref(), first.header("x-answer")), (200, &b"{}"[..], Some("yes")));
    let second = transport.send(request(port, "GET", "")).await.expect("an answer");
    assert_eq!(second.body.as_ref(), b"[1]");
    let seen = task.await.expect("the vendor");
    assert!(seen[0].starts_with("POST /v1/things?a[0]=b HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(
        seen[0].to_lowercase().contains("x-key: k\r\n") && seen[0].ends_with("\r\n\r\nx=1"),
        "{}",
        seen[0]
    );
    assert_eq!(seen.len(), 2, "both on one connection");
}

#[tokio::test]
async fn redirects_are_answers_like_any_other() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned();
    let (port, _task) = vendor(vec![redirect]).await;
    let answer = HttpTransport::new().expect("TLS").send(request(port, "GET", "")).await.expect("an answer");
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://127.0.0.1:1/")));
}

#[tokio::test]
async fn long_answers_are_cut_one_byte_past_the_limit() {
    for (length, read) in [(64, 64), (65, 65), (100_000, 65)] {
        let (port, _task) = vendor(vec![ok(&"x".repeat(length))]).await;
        let answer =
            HttpTransport::new().expect("TLS").send(request(port, "GET", "")).await.expect("an answer");
        assert_eq!(answer.body.len(), read, "{length}");
    }
    let chunks = "40\r\n".to_owned() + &"x".repeat(64) + "\r\n";
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks.repeat(50));
    let (port, _task) = vendor(vec![endless]).await;
    let answer = HttpTransport::new().expect("TLS").send(request(port, "GET", "")).await.expect("an answer");
    assert_eq!(answer.body.len(), 65);
}

#[tokio::test]
async fn an_error_says_whether_the_request_went_out() {
    let transport = HttpTransport::new().expect("TLS");
    // A port that was free a moment ago refuses the connection.
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let error = transport.send(request(port, "POST", "x")).await.expect_err("nobody there");
    assert!(!error.sent, "{error}");

    let (port, _task) = vendor(vec![String::new()]).await;
    let error = transport.send(request(port, "POST", "x")).await.expect_err("closed without an answer");
    assert!(error.sent, "{error}");

    let (port, _task) = vendor(vec!["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_owned()]).await;
    let error = transport.send(request(port, "POST", "x")).await.expect_err("half an answer");
    assert!(error.sent, "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut slow = request(listener.local_addr().expect("an address").port(), "POST", "x");
    slow.timeout = Duration::from_millis(20);
    let error = transport.send(slow).await.expect_err("no answer in time");
    assert!(error.sent && error.detail.contains("no whole answer"), "{error}");
}

#[tokio::test]
async fn addresses_that_may_not_be_called_are_not_called() {
    let transport = HttpTransport::new().expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://192.168.0.1/".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
    ] {
        let mut request = request(port, "GET", "");
        request.url = url.parse().expect("a URL");
        let error = transport.send(request).await.expect_err("refused");
        assert!(!error.sent, "{url}: {error}");
        assert!(
            error.detail.contains("may be called") || error.detail.contains("only http"),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
async fn a_header_that_is_not_valid_is_not_shown() {
    let mut request = request(1, "GET", "");
    request.headers.push(("Authorization".into(), "Bearer top-secret\r\nX: y".into()));
    let error = HttpTransport::new().expect("TLS").send(request).await.expect_err("refused");
    assert!(!error.sent && !error.detail.contains("top-secret"), "{error}");
}
