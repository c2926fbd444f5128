//! Requests and responses as twins see them: whole, in memory.

use std::time::Duration;

use bytes::Bytes;

/// One HTTP request. `path` is percent-encoded as received and has no query; `query` has no `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Request {
    /// A request from a target like `/v1/customers?limit=3`.
    pub fn new(method: &str, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Request::default()
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Request {
        self.body = body.into();
        self
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// One HTTP response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Response {
    /// A JSON response.
    pub fn json(status: u16, body: &serde_json::Value) -> Response {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Response { status, headers, body: Bytes::from(body.to_string()) }
    }

    /// A plain text response.
    pub fn text(status: u16, body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Response { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// What comes back over the network, and after how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub delay: Duration,
    /// `None`: the connection closes without an answer.
    pub response: Option<Response>,
}

impl Answer {
    /// An answer without delay.
    pub fn prompt(response: Response) -> Answer {
        Answer { delay: Duration::ZERO, response: Some(response) }
    }

    /// A connection that closes at once.
    pub fn dropped() -> Answer {
        Answer { delay: Duration::ZERO, response: None }
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
