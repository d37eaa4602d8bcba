//! `--busy-poll`: after a request or an answer a worker goes on looking for the next one for a while before it sleeps. To be
//! woken takes longer than most answers, on a machine whose cores are idle above all.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::worker::Serving;

/// When there was something to do.
#[derive(Debug, Default)]
pub(super) struct Activity {
    last_us: Cell<u64>,
    /// Nobody keeps the thread awake.
    asleep: Cell<bool>,
    begun: Notify,
}

impl Activity {
    /// Bytes came at this instant of the monotonic clock.
    pub(super) fn noted(&self, now_us: u64) {
        self.last_us.set(now_us);
        if self.asleep.get() {
            self.begun.notify_one();
        }
    }
}

/// Keeps the worker's thread awake until nothing has come for `most`: a task that is always ready has the runtime ask the
/// system what else is, without waiting for it.
pub(super) async fn stay_awake(serving: Rc<Serving>, most: Duration) {
    let activity = &serving.activity;
    let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    loop {
        activity.asleep.set(true);
        activity.begun.notified().await;
        activity.asleep.set(false);
        while serving.clock.now().mono_us.saturating_sub(activity.last_us.get()) < most_us {
            tokio::task::yield_now().await;
        }
    }
}
