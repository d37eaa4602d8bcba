//! Waiting with a deadline, telling what it waits for.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// Time between two lines that tell what it waits for.
const PROGRESS: Duration = Duration::from_secs(10);

/// Calls `look` until it succeeds; its last error, with `what`, once `deadline` has passed. It looks at least once.
pub async fn wait_until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let mut told = start;
    loop {
        let error = match look().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} in vain for: {what}; last seen: {error:#}");
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            eprintln!("  {} s: {what}: {error:#}", start.elapsed().as_secs());
        }
        sleep(INTERVAL).await;
    }
}
