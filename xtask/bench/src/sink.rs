//! The far end: takes the POSTs of W1, notes when each event arrived first, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{event, wire};

/// The sink's thread, by which what it takes is found.
pub const THREAD: &str = "sink";
/// Events that one benchmark can have.
pub const EVENTS_MAX: usize = 2_000_000;
const ANSWER: &[u8] =
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"id\":\"mov_123\"}";

/// What arrived.
pub struct Sink {
    pub address: String,
    seen: Arc<Seen>,
}

struct Seen {
    began: Instant,
    /// Nanoseconds from `began` to the first arrival, by event; 0: not arrived.
    at: Vec<AtomicU64>,
    arrived: AtomicU64,
    /// Arrivals of what had arrived before.
    again: AtomicU32,
    /// Arrivals that say something wrong.
    wrong: AtomicU32,
}

impl Sink {
    pub fn start() -> Result<Sink> {
        let seen = Arc::new(Seen {
            began: Instant::now(),
            at: (0..EVENTS_MAX).map(|_| AtomicU64::new(0)).collect(),
            arrived: AtomicU64::new(0),
            again: AtomicU32::new(0),
            wrong: AtomicU32::new(0),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let known = seen.clone();
        std::thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || runtime.block_on(accept(listener, known)))
            .context("the sink's thread")?;
        Ok(Sink { address, seen })
    }

    /// Events that have arrived.
    pub fn arrived(&self) -> u64 {
        self.seen.arrived.load(Ordering::Relaxed)
    }

    pub fn again(&self) -> u32 {
        self.seen.again.load(Ordering::Relaxed)
    }

    pub fn wrong(&self) -> u32 {
        self.seen.wrong.load(Ordering::Relaxed)
    }

    /// When an event arrived first.
    pub fn at(&self, event: u64) -> Option<Instant> {
        let nanos = self.seen.at.get(usize::try_from(event).ok()?)?.load(Ordering::Relaxed);
        (nanos > 0).then(|| self.seen.began + Duration::from_nanos(nanos))
    }
}

async fn accept(listener: std::net::TcpListener, seen: Arc<Seen>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, seen.clone()));
    }
}

/// Until the other side closes the connection, however it does that.
async fn serve(mut stream: TcpStream, seen: Arc<Seen>) -> Result<()> {
    let mut buffer = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await? > 0 {
        let now = Instant::now();
        while let Some(message) = wire::message(&buffer)? {
            seen.note(&buffer[message.body..message.end], now);
            buffer.drain(..message.end);
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}

impl Seen {
    fn note(&self, body: &[u8], now: Instant) {
        let right = body.windows(event::MRR_CENTS.len()).any(|window| window == event::MRR_CENTS.as_bytes());
        let Some(slot) = event::number(body).and_then(|number| self.at.get(number)).filter(|_| right) else {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let nanos = u64::try_from(now.duration_since(self.began).as_nanos()).unwrap_or(u64::MAX).max(1);
        if slot.compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.arrived.fetch_add(1, Ordering::Relaxed);
        } else {
            self.again.fetch_add(1, Ordering::Relaxed);
        }
    }
}
