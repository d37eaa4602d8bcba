//! The way of a client's request to memcached and back, without I/O.
//!
//! ```text
//! client bytes --Worker::client_input--> session, parser --> stripe, version --> upstream bytes, FIFO of what is expected
//! upstream bytes --Worker::upstream_input--> journal, stripe released --> client bytes
//! ```

pub mod answer;
mod changes;
pub mod discovery;
pub mod expect;
pub(crate) mod item;
pub mod login;
mod meta;
mod odd_keys;
mod peek;
pub mod queue;
mod reconnect;
pub mod session;
pub mod stripes;
pub mod values;
pub mod worker;

mod binary;
pub(crate) mod reply;
pub(crate) mod request;
