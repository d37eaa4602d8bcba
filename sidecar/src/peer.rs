//! I/O: the link thread drives the pure replicator.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`driver`] | the loop: all inputs that are ready, then one write for each connection |
//! | `backend` | its connections to memcached: commands, and dumps |
//! | `link` | the connection to the peer in use, and which of two is used |
//! | [`choose`] | PURE: whether a connection is taken |
//! | [`identity`] | PURE: whether another process has taken this one's place |
//! | [`dial`] | dials the peer while there is no link |
//! | [`accept`] | takes connections, and reads the greeting of who made them |
//! | [`transport`] | plain TCP or mutual TLS |
//! | `publish` | numbers for metrics and `stats replication`, and lines on the progress of a resync |

pub mod accept;
pub mod choose;
pub mod dial;
pub mod driver;
pub mod identity;
pub mod transport;

mod alarm;
mod backend;
mod link;
mod publish;

/// Buffers of the link, in bytes, beside frames of the greatest size.
pub(crate) const LINK_BUFFERS: usize = link::READ + link::OUTPUT_KEEP;
/// Buffers of the replicator's connections to memcached, in bytes, beside items of the greatest size.
pub(crate) const UPSTREAM_BUFFERS: usize = 2 * backend::READ + backend::OUTPUT_KEEP;
