//! The one place where this room waits for time to pass.

use std::time::Duration;

use futures_util::future::BoxFuture;

/// Waits. The clock handed in says what time it is; a timer makes time pass. A simulation hands in one that moves
/// its clock instead of waiting.
pub trait Timer: Send + Sync {
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Waits on the runtime's own time driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimeTimer;

impl Timer for RuntimeTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
