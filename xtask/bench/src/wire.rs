//! As much HTTP/1.1 as generator and sink need: messages with a content length, on kept connections.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for one read.
const READ_BYTES: usize = 16 << 10;

/// One message as it lies in a buffer.
pub struct Message {
    /// Where the body begins.
    pub body: usize,
    pub end: usize,
}

/// The first whole message of a buffer, if there is one.
pub fn message(buffer: &[u8]) -> Result<Option<Message>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let length = std::str::from_utf8(&buffer[..head])?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
    let end = head + 4 + length;
    Ok((buffer.len() >= end).then_some(Message { body: head + 4, end }))
}

/// A kept connection of a client.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Connection> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a whole request; the status of the answer, whose body is left in the buffer until the next one.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(message) = message(&self.buffer)? {
                let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
                return Ok((status, &self.buffer[message.body..message.end]));
            }
        }
    }
}

/// One REST call, whose answer must be a success.
pub async fn call(address: &str, token: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::open(address).await?;
    let (status, answer) = connection.exchange(request.as_bytes()).await?;
    if !(200..300).contains(&status) {
        bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(answer));
    }
    if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(answer)?) }
}
