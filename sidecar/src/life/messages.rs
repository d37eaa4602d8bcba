//! What the threads tell each other.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::protocol::Peer;
use crate::dataplane::worker::Content;
use crate::net::listen::Listener;
use crate::net::stream::Detached;
use crate::peer::identity::Identity;
use crate::protocol::Limits;

/// To a worker.
#[derive(Debug)]
pub enum ToWorker {
    /// Takes this connection to memcached into use.
    Connect {
        /// The connection.
        stream: Detached,
        /// What memcached is like.
        limits: Limits,
        /// What it holds.
        content: Content,
        /// Answered when it is in use, or why it cannot be.
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Gives its connection to memcached up.
    Disconnect {
        /// Answered when that is done.
        done: oneshot::Sender<()>,
    },
    /// Accepts clients, unless it has noticed a standstill since this was known.
    Listen {
        /// Where.
        listeners: Vec<Listener>,
        /// When it was last known that nobody has taken this process's place, in microseconds of the monotonic clock.
        known_us: u64,
    },
    /// Closes its listeners and all clients.
    Close {
        /// Answered when that is done.
        done: oneshot::Sender<()>,
    },
    /// The same, but requests in flight are answered before.
    Finish {
        /// Answered when that is done.
        done: oneshot::Sender<()>,
    },
}

/// To the link thread.
#[derive(Debug)]
pub enum ToLink {
    /// Takes this connection to memcached into use. All workers have given theirs up if the content is new.
    Connect {
        /// The connection.
        stream: Detached,
        /// What memcached holds.
        content: Content,
        /// The number of that content.
        incarnation: u64,
        /// Answered when it is in use, or why it cannot be.
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Gives its connection to memcached up.
    Disconnect {
        /// Answered when that is done.
        done: oneshot::Sender<()>,
    },
    /// No client is served any more: says when the peer has confirmed everything.
    Flush {
        /// Answered with the number of records that are not confirmed: 0, or the peer cannot be reached.
        done: oneshot::Sender<u64>,
    },
    /// The operator says who the peer is.
    Wire {
        /// Who.
        peer: Peer,
        /// Answered when it is known.
        done: oneshot::Sender<()>,
    },
    /// The peer gets everything once more.
    Resync {
        /// Answered with whether there is a link.
        done: oneshot::Sender<bool>,
    },
    /// This process stood still. The link is made anew, to learn whether another process has taken its place.
    Identify {
        /// Answered when that is known, or nobody says so.
        done: oneshot::Sender<Identity>,
    },
    /// Another process has this replica id: there is no link any more.
    Fence,
    /// How things are.
    Report {
        /// Answered at once.
        done: oneshot::Sender<LinkReport>,
    },
}

/// What only the link thread knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkReport {
    /// Number of memcached's content.
    pub incarnation: u64,
    /// The first sync of this content is complete.
    pub synced: bool,
    /// Clients are served without that.
    pub cold: bool,
    /// The peer's process, the number of its content, and whether it holds everything that is here.
    pub linked: Option<(u64, u64, bool)>,
}

/// How the link thread sees this replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Clients may be served.
    pub ready: bool,
    /// They would be served without a first sync.
    pub cold: bool,
    /// A newer process has this replica id.
    pub fenced: bool,
}

/// To the main thread.
#[derive(Debug)]
pub enum Event {
    /// A party has lost its connection to memcached and has given it up.
    Lost {
        /// Its number.
        party: usize,
    },
    /// Something of it has changed.
    Link(LinkState),
    /// The operator says that another process has this replica id.
    Fence,
    /// A worker stood still, and has closed its clients.
    StoodStill {
        /// When it noticed, in microseconds of the monotonic clock.
        noticed_us: u64,
        /// How long.
        stood: Duration,
    },
    /// Whether memcached answers in time has changed.
    Answers(bool),
    /// A thread has ended, which none does by itself.
    Ended {
        /// Its name.
        thread: String,
    },
}
