//! What the process may take at the worst: the sum of all bounds. Whoever sizes a container uses this number.

use crate::dataplane::stripes;
use crate::life::LINK_OUTPUT;
use crate::net::http;
use crate::peer;
use crate::replication::{inbox, message, resync};
use crate::serve::{self, budget};
use crate::state;
use crate::{protocol, replication};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A client connection that waits: its task, its session and its place in lists. Measured: 3 to 4 KiB.
const CONNECTION: usize = 6 * KIB;
/// What the table keeps of an entry beside the state file: its place in the index, in a list and among the free ones.
const ENTRY: usize = 72;
/// What TLS adds to a client connection: keys, a record that has come in part, one that waits to go
/// is counted among the buffers of clients.
const TLS_CONNECTION: usize = 28 * KIB;
/// A TLS handshake under way.
const HANDSHAKE: usize = 128 * KIB;
/// Code, stacks, thread-local arenas of the allocator, logs, metrics.
const PROGRAM: usize = 32 * MIB;
const THREAD: usize = 4 * MIB;

/// What the bounds depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `--threads`
    pub threads: usize,
    /// `--max-connections`
    pub max_connections: usize,
    /// `--backlog`, in bytes
    pub backlog: usize,
    /// `--state-entries`
    pub state_entries: u32,
    /// memcached's `-I`, in bytes
    pub item_size_max: usize,
    /// `--client-tls-dir` is given
    pub client_tls: bool,
}

/// The most that one part takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What it is.
    pub name: &'static str,
    /// In bytes.
    pub bytes: usize,
}

/// Every part with its bound. Up to one item of the greatest size comes on top of most buffers, since an item is never cut.
#[must_use]
pub fn bounds(sizes: Sizes) -> Vec<Bound> {
    let Sizes { threads, max_connections, backlog, state_entries, item_size_max, client_tls } = sizes;
    let (entries, item) = (state_entries as usize, item_size_max + message::ITEM_OVERHEAD);
    let frame = message::BATCH + item;
    let worker = serve::WORKER_BUFFERS + 3 * item;
    let private = 2 * (serve::PRIVATE_READ + serve::PRIVATE_PACKET) + item;
    let keys = resync::FETCHES * (protocol::limits::MAX_KEY + 2 * 64);
    let replicator = peer::UPSTREAM_BUFFERS + replication::UPSTREAM_OUTPUT + 2 * item + keys;
    let incoming = inbox::QUEUE_BYTES + frame + (inbox::QUEUE_RECORDS + message::BATCH / 8) * inbox::RECORD;
    let handshakes = serve::handshake::HANDSHAKES_MAX * HANDSHAKE;
    let list = [
        ("client buffers", budget::CLIENTS_MEMORY_MAX + threads * item),
        ("client connections", max_connections * CONNECTION),
        ("TLS with clients", usize::from(client_tls) * (max_connections * TLS_CONNECTION + handshakes + THREAD)),
        ("workers", threads * worker),
        ("private connections to memcached", budget::PRIVATE_MAX * private),
        ("backlog", backlog.max(replication::log::least(item_size_max)) + replication::log::SLACK + item),
        ("state file", state::size(state_entries)),
        ("state tables", entries * ENTRY),
        ("stripes", stripes::MEMORY),
        ("link to the peer", LINK_OUTPUT + peer::LINK_BUFFERS + 4 * frame),
        ("records of the peer", incoming),
        ("replicator", replicator),
        ("list of a resync", resync::listing::LIMIT),
        ("handshakes", peer::accept::HANDSHAKES_MAX * HANDSHAKE),
        ("metrics and probes", http::CONNECTIONS_MAX * 2 * http::BUFFER_MAX),
        ("program", PROGRAM + threads * THREAD),
    ];
    list.into_iter().map(|(name, bytes)| Bound { name, bytes }).collect()
}

/// The sum of all bounds in bytes, with an eighth on top for what the allocator cannot use.
#[must_use]
pub fn worst_case(sizes: Sizes) -> usize {
    let sum: usize = bounds(sizes).iter().map(|bound| bound.bytes).sum();
    sum + sum / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        threads: 2,
        max_connections: 16_384,
        backlog: 64 * MIB,
        state_entries: 262_144,
        item_size_max: MIB,
        client_tls: false,
    };

    #[test]
    fn every_size_counts() {
        let least = worst_case(SIZES);
        for more in [
            Sizes { threads: 3, ..SIZES },
            Sizes { max_connections: 20_000, ..SIZES },
            Sizes { backlog: 65 * MIB, ..SIZES },
            Sizes { state_entries: 300_000, ..SIZES },
            Sizes { item_size_max: 2 * MIB, ..SIZES },
            Sizes { client_tls: true, ..SIZES },
        ] {
            assert!(worst_case(more) > least, "{more:?}");
        }
    }

    #[test]
    fn the_defaults_stay_below_a_gibibyte() {
        let total = worst_case(SIZES);
        assert!((400 * MIB..1024 * MIB).contains(&total), "{} MiB: {:#?}", total / MIB, bounds(SIZES));
        let told = format!("{} MiB with the defaults and two threads", (total + MIB / 2) / MIB);
        assert!(include_str!("../../README.md").contains(&told), "the README does not say: {told}");
    }
}
