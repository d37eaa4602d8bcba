//! Wakes one task of another thread, or of the same one.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::dataplane::stripes::Party;
use crate::shared::Wake;

/// A flag that one task waits for. Raising it again before it is seen costs one atomic exchange and no system call.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    /// Raises the flag and wakes who waits for it.
    pub fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Ready, and lowered, when the flag is up.
    pub fn poll_raised(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.raised.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // It may have been raised before there was a waker.
        if self.raised.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the flag is up, and lowers it.
    pub async fn raised(&self) {
        poll_fn(|cx| self.poll_raised(cx)).await;
    }
}

/// One [`Signal`] for each party.
#[derive(Debug)]
pub struct Signals(Box<[Signal]>);

impl Signals {
    /// For the parties 0 to `parties` without the last.
    #[must_use]
    pub fn new(parties: usize) -> Self {
        Self(std::iter::repeat_with(Signal::default).take(parties).collect())
    }

    /// The signal of a party.
    #[must_use]
    pub fn of(&self, party: usize) -> Option<&Signal> {
        self.0.get(party)
    }
}

/// What the pure code is given to wake parties with.
#[derive(Debug)]
pub struct Waking(pub std::sync::Arc<Signals>);

impl Wake for Waking {
    fn wake(&self, party: Party) {
        if let Some(signal) = self.0.of(party.index()) {
            signal.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_signal_is_seen_once_whether_raised_before_or_after() {
        let signal = Arc::new(Signal::default());
        signal.raise();
        signal.raise();
        signal.raised().await;
        let other = Arc::clone(&signal);
        let waiting = tokio::spawn(async move { other.raised().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        signal.raise();
        waiting.await.unwrap();
    }
}
