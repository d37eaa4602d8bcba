//! A moment to wait for beside everything else.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Rings once when its time is over; not set, it never does.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set: bool,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), set: false }
    }

    /// It rings after this time, whatever it was set to.
    pub(super) fn set(&mut self, after: Duration) {
        self.sleep.as_mut().reset(Instant::now() + after);
        self.set = true;
    }

    /// Whether it has yet to ring.
    pub(super) fn is_set(&self) -> bool {
        self.set
    }

    /// Whether it rings now; else the task is woken when it does.
    pub(super) fn poll_ringing(&mut self, cx: &mut Context<'_>) -> bool {
        let rings = self.set && self.sleep.as_mut().poll(cx).is_ready();
        self.set &= !rings;
        rings
    }
}
