//! `--busy-poll`: a worker that has asked memcached something looks for the answer for a while before it sleeps. To be woken
//! takes longer than most answers, on a machine whose cores are idle above all.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::worker::Serving;

thread_local! {
    /// The worker of this thread. The runtime calls [`before_sleep`] without arguments.
    static WORKER: RefCell<Weak<Serving>> = const { RefCell::new(Weak::new()) };
}

/// From now on `serving` is asked before this thread sleeps.
pub(super) fn begin(serving: &Rc<Serving>) {
    WORKER.with(|worker| worker.replace(Rc::downgrade(serving)));
}

/// Called by the runtime when nothing is left to do: returns when there is an answer of memcached, or after `most`. What
/// else happens meanwhile waits, for as long as an answer takes at the most.
pub(crate) fn before_sleep(most: Duration) {
    let Some(serving) = WORKER.with(|worker| worker.borrow().upgrade()) else { return };
    let Some(connection) = serving.awaited() else { return };
    let begun = Instant::now();
    while !connection.has_answer() && begun.elapsed() < most {
        std::hint::spin_loop();
    }
}
