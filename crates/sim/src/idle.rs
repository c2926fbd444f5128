//! One thread on which everything happens, and that tells when nothing can happen any more without time going by.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use tokio::runtime::{Builder, Runtime};

/// Resolves when every other task of the thread waits for something.
#[derive(Clone, Debug, Default)]
pub struct Idle(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waker: Option<Waker>,
    reached: bool,
}

impl Idle {
    /// A thread's executor: first come, first served, and no other thread.
    pub fn runtime() -> std::io::Result<(Runtime, Idle)> {
        let idle = Idle::default();
        let parked = idle.clone();
        // Its time driver is there since axum's body limits ask for one; nothing ever waits for it.
        let runtime =
            Builder::new_current_thread().enable_time().on_thread_park(move || parked.reach()).build()?;
        Ok((runtime, idle))
    }

    fn reach(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = state.waker.take() {
            state.reached = true;
            drop(state);
            waker.wake();
        }
    }

    /// Waits until nothing else can go on.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut state.reached) {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
