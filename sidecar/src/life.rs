//! I/O: the life of the program: `Starting -> Syncing -> Ready -> Draining`.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`access`] | who may use the cache |
//! | [`start`] | from the configuration to running threads |
//! | `state` | opens the state file, and decides what the content of memcached is worth |
//! | `threads` | the threads of workers and link |
//! | [`supervisor`] | what happens when memcached goes and comes, when clients are let in, how the program ends |
//! | `watch` | asks memcached for its clock, and sees whether it answers |
//! | [`messages`] | what the threads tell each other |
//! | `text` | the answer to `stats replication` |

pub mod access;
pub mod messages;
pub mod start;
pub mod supervisor;

mod state;
mod text;
mod threads;
mod watch;

pub(crate) use threads::LINK_OUTPUT;
