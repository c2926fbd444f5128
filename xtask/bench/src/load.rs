//! The load generator: requests made ahead, kept connections, one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::{JoinSet, LocalSet};

use crate::wire::Connection;

const THREAD: &str = "generator";

/// What a load came to.
pub struct Sent {
    /// Requests answered 200.
    pub answered: u64,
    pub took: Duration,
    /// When each request was sent, in the order of the requests.
    pub at: Vec<Instant>,
}

/// Sends requests as fast as they are answered on so many connections, until the time is up.
pub fn closed(address: &str, requests: Vec<Vec<u8>>, connections: usize, time: Duration) -> Result<Sent> {
    on_thread(async || {
        let next = Rc::new(Cell::new(0));
        let at = Rc::new(RefCell::new(Vec::with_capacity(requests.len())));
        let requests = Rc::new(requests);
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in open {
            let (next, at, requests) = (next.clone(), at.clone(), requests.clone());
            tasks.spawn_local(async move {
                while began.elapsed() < time {
                    let index = next.get();
                    let Some(request) = requests.get(index) else { break };
                    next.set(index + 1);
                    at.borrow_mut().push(Instant::now());
                    send(&mut connection, request).await?;
                }
                anyhow::Ok(())
            });
        }
        finish(tasks).await?;
        let (took, at) = (began.elapsed(), at.take());
        Ok(Sent { answered: at.len() as u64, took, at })
    })
}

/// Sends requests at a steady rate, whether or not earlier ones are answered.
pub fn open(address: &str, requests: Vec<Vec<u8>>, connections: usize, rate: u64) -> Result<Sent> {
    on_thread(async || {
        let idle = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..connections {
            let connection = Connection::open(address).await?;
            idle.borrow_mut().push(connection);
        }
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let mut at = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            let due = began + Duration::from_secs(1) * u32::try_from(index)? / u32::try_from(rate)?;
            tokio::time::sleep_until(due.into()).await;
            let connection = idle.borrow_mut().pop();
            let mut connection = connection.context("the server leaves too many requests unanswered")?;
            let idle = idle.clone();
            // The time of an event runs from when it is written.
            at.push(Instant::now());
            tasks.spawn_local(async move {
                send(&mut connection, &request).await?;
                idle.borrow_mut().push(connection);
                anyhow::Ok(())
            });
        }
        finish(tasks).await?;
        Ok(Sent { answered: at.len() as u64, took: began.elapsed(), at })
    })
}

async fn send(connection: &mut Connection, request: &[u8]) -> Result<()> {
    match connection.exchange(request).await? {
        (200, _) => Ok(()),
        (status, body) => bail!("a delivery was answered {status}: {}", String::from_utf8_lossy(body)),
    }
}

async fn finish(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Runs the work on a thread of its own, known by its name.
fn on_thread<T: Send>(work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, work())
        })?;
        thread.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
    })
}
