//! Asks memcached every other second for its time, and sees whether it answers at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::messages::Event;
use crate::backend::connect::{ask, connect};
use crate::backend::facts::{self, Facts};
use crate::clock::Now;
use crate::config::Upstream;
use crate::net::stream::Stream;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::time::HostClock;

/// How often memcached is asked.
const EVERY: Duration = Duration::from_secs(2);
/// One that takes longer to answer is taken for hung.
const HUNG: Duration = Duration::from_secs(5);
/// Its clock may have been found to be so far from where it was expected before it counts as another one, in
/// milliseconds.
const STEP_MS: i64 = 1500;

/// memcached's clock: it tells whole seconds, rounded down, so the greatest of several looks is the best.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset(Option<i64>);

impl Offset {
    /// Its Unix milliseconds less our monotonic milliseconds, after it has told its time once more.
    pub(super) fn seen(&mut self, facts: &Facts, now: Now) -> i64 {
        let seen = facts.time.saturating_mul(1000).saturating_sub(i64::try_from(now.mono_ms()).unwrap_or(i64::MAX));
        let known = self.0.filter(|known| known.abs_diff(seen) <= STEP_MS.unsigned_abs());
        let offset = known.map_or(seen, |known| known.max(seen));
        self.0 = Some(offset);
        offset
    }
}

/// Watches for ever.
pub(super) async fn watch(
    at: Upstream,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    clock: HostClock,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut offset = Offset::default();
    let mut connection = None;
    let mut answers = true;
    loop {
        let look = timeout(HUNG, look(&at, connection.take())).await;
        let now = clock.now();
        match look {
            Ok(Some((stream, facts))) => {
                shared.set_memcached_clock(offset.seen(&facts, now), facts.time);
                stats.memcached.items.set(facts.items);
                stats.memcached.bytes.set(facts.bytes);
                connection = Some(stream);
                if !answers {
                    tracing::info!("memcached answers again");
                    let _ = events.send(Event::Answers(true));
                }
                answers = true;
            }
            // It is gone; others notice that, too.
            Ok(None) => {}
            Err(_) => {
                if answers {
                    tracing::warn!("memcached has not answered for {} s", HUNG.as_secs());
                    let _ = events.send(Event::Answers(false));
                }
                answers = false;
            }
        }
        sleep(EVERY).await;
    }
}

async fn look(at: &Upstream, connection: Option<Stream>) -> Option<(Stream, Facts)> {
    let stream = match connection {
        Some(stream) => stream,
        None => connect(at).await.ok()?,
    };
    let answer = ask(&stream, facts::QUESTIONS, facts::is_complete).await.ok()?;
    Some((stream, facts::of(&answer).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Dialect, Limits};

    #[test]
    fn the_best_look_at_the_clock_counts_until_it_is_another_clock() {
        let limits = Limits { item_size_max: 1, dialect: Dialect::Modern, flush_enabled: true };
        let facts = |time| Facts { version: String::new(), pid: 1, started: 1, time, items: 0, bytes: 0, limits };
        let at = |ms: u64| Now { mono_us: ms * 1000, wall_us: 0 };
        let mut offset = Offset::default();
        assert_eq!(offset.seen(&facts(1000), at(900)), 999_100);
        assert_eq!(offset.seen(&facts(1002), at(2100)), 999_900);
        assert_eq!(offset.seen(&facts(1004), at(4800)), 999_900);
        assert_eq!(offset.seen(&facts(900), at(6000)), 894_000);
    }
}
