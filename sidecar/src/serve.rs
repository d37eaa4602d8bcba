//! I/O: a worker thread serves its clients.
//!
//! All of a thread happens in one runtime on one thread, so its tasks share [`worker::Serving`] without locks:
//!
//! | module | its task |
//! | --- | --- |
//! | [`worker`] | the thread, and what to do with each client after something happened |
//! | [`accept`] | takes connections from a listener |
//! | [`handshake`] | TLS with clients that connect, on a thread of its own |
//! | [`client`] | reads from one client, and waits until it can be written to |
//! | [`upstream`] | writes to memcached once per turn, and reads its answers |
//! | [`private`] | carries a command out on a connection of its own |
//! | [`budget`] | bounds of the memory of all clients |
//! | [`busy`] | looks for what comes next before the thread sleeps |
//! | [`awake`] | notices that the thread stood still |
//!
//! The way of a request: the client's task reads it into the thread's scratch buffer and gives it to the pure worker. The
//! task that writes upstream is woken behind all clients that are ready in this turn, so their requests leave in one
//! write. Answers are written to the clients directly from the task that reads them; a client's own task is woken only
//! when its socket is full.

pub mod accept;
pub mod awake;
pub mod budget;
mod busy;
pub mod client;
pub mod handshake;
pub mod private;
pub mod upstream;
pub mod worker;

/// Buffers of a worker thread, in bytes, beside items of the greatest size: what it reads from clients and memcached, what
/// waits for memcached, what they keep for the next turn.
pub(crate) const WORKER_BUFFERS: usize =
    worker::SCRATCH + worker::UPSTREAM_HIGH + worker::SCRATCH + upstream::READ + upstream::OUTPUT_KEEP;
/// A read buffer of a private connection, in bytes.
pub(crate) const PRIVATE_READ: usize = private::READ;
/// Bytes of an answer that become one packet, on one such connection.
pub(crate) const PRIVATE_PACKET: usize = private::PACKET_MAX;
