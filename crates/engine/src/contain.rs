//! Panics that end one run or one event, and not the process.
//!
//! A panic hook runs before anything is caught, so whoever ends the process at a panic has to be told that this one is
//! contained: [`is_contained`].

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// What a panic carried.
type Panicked = Box<dyn Any + Send>;

/// Whether a panic on this thread would be caught now, and shown as a failed run.
pub fn is_contained() -> bool {
    DEPTH.get() > 0
}

/// Runs something whose panic ends only that.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    DEPTH.set(DEPTH.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    done
}

/// A future whose panic ends only that.
pub struct Contained<F>(pub Pin<Box<F>>);

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match contained(|| self.0.as_mut().poll(cx)) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_caught_counts_as_contained() {
        assert!(!is_contained());
        assert!(contained(is_contained).unwrap());
        let panicked: Result<(), _> = contained(|| panic!("contained"));
        assert!(panicked.is_err());
        assert!(!is_contained(), "also after a panic");
        let outer = contained(|| {
            let panicked: Result<(), _> = contained(|| panic!("inner"));
            panicked.is_err() && is_contained()
        });
        assert!(outer.unwrap(), "the outer one still holds");
    }
}
