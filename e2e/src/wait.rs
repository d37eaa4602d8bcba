//! Waiting for a condition with a deadline: nothing here passes because some time went by.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks at the condition.
const INTERVAL: Duration = Duration::from_millis(5);

/// Calls `look` until it returns a value; an error, naming `what`, once `deadline` has passed. It looks at least once.
pub fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {deadline:?} in vain for: {what}");
        }
        thread::sleep(INTERVAL);
    }
}

/// Like [`wait_for`], for a condition that is true or tells what it still sees; the last sight goes into the error.
pub fn wait_until(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<(), String>) -> Result<()> {
    let mut last = String::new();
    wait_for(what, deadline, || match look() {
        Ok(()) => Some(()),
        Err(seen) => {
            last = seen;
            None
        }
    })
    .map_err(|error| anyhow::anyhow!("{error}; last seen: {last}"))
}
