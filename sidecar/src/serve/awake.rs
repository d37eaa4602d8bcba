//! What a worker does when it finds that it stood still: no client is answered before it is known that nobody has taken this
//! process's place.

use std::time::Duration;

use super::worker::Serving;
use crate::clock::Now;
use crate::life::messages::Event;

impl Serving {
    /// The instant now. Whatever serves a client asks here first, so the first thing that happens after a standstill is that
    /// clients are closed.
    pub fn now(&self) -> Now {
        let now = self.clock.now();
        let mut standstill = self.standstill.get();
        let stood = standstill.look(now, || self.clock.asleep_us());
        self.standstill.set(standstill);
        if let Some(stood) = stood {
            self.stood_still(stood, now);
        }
        now
    }

    #[cold]
    fn stood_still(&self, stood: Duration, now: Now) {
        self.unsure_us.set(Some(now.mono_us));
        self.close_all();
        self.tell(Event::StoodStill { noticed_us: now.mono_us, stood });
    }

    /// No client is taken: a standstill was noticed after it was last known who this process is.
    pub fn is_unsure(&self) -> bool {
        self.unsure_us.get().is_some()
    }

    /// At this instant of the monotonic clock, nobody had taken this process's place; whether clients may be taken.
    pub fn is_sure_since(&self, known_us: u64) -> bool {
        let sure = self.unsure_us.get().is_none_or(|noticed_us| known_us >= noticed_us);
        if sure {
            self.unsure_us.set(None);
        }
        sure
    }
}
