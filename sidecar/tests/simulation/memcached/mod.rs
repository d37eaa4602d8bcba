//! A byte-level model of one memcached, for the deterministic simulation.
//!
//! Pure: no I/O, no clock, no randomness. The caller connects, hands in client bytes in any split, lets connections execute
//! one command at a time with [`Memcached::step`], and takes what the client can read. `sidecar/tests/model_against_memcached.rs`
//! compares it byte for byte with the real thing.
//!
//! Behaviour that is easily forgotten, and modelled here on purpose:
//! - Answers leave memcached only when a connection has no further complete command, or after about twenty commands. Until
//!   then a hit of a read keeps a reference to its item, and an increment of a referenced item *replaces* it (no padding).
//! - An increment that replaces its item (longer value, or referenced) loses `E` and `T`: they are applied to the old item,
//!   while the new one carries memcached's own counter as CAS. The answer to `ma ... c` shows the CAS that was not stored.
//! - `flush_all` removes at once what was accessed in this second or the last one, but stops per size class at the first
//!   older item. An item behind it that was accessed since stays alive. Older items die lazily, and come back when a later
//!   `flush_all <delay>` moves the deadline into the future.
//! - A `get` with a key that is too long throws away all answers of the connection that have not been sent yet.
//! - A value that is announced but not complete holds back the answers of the commands before it.
//! - Bytes behind `lru_crawler metadump` in the same read are executed only when the next bytes arrive.

mod admin;
mod base64;
mod classic;
mod commands;
mod conn;
mod dump;
mod item;
mod meta;
mod meta_flags;
mod numbers;
mod slabs;
mod store;
#[cfg(test)]
mod tests;
mod upload;

use conn::Conn;
use dump::Crawler;
use store::Store;

/// Which memcached is modelled: parsers and some answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The oldest version that is tested.
    V1_6_38,
    /// The newest version that is tested.
    V1_6_45,
}

/// How a memcached is started.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The modelled version.
    pub(crate) version: Version,
    /// `-I`: the greatest total size of an item in bytes, header and key included.
    pub(crate) item_size_max: usize,
    /// `-o slab_chunk_max`: items above it are kept in several chunks, which only increments notice.
    pub(crate) slab_chunk_max: usize,
    /// The memory bound as a number of items; the least recently used one is evicted above it.
    pub(crate) max_items: usize,
    /// Unix time of the start in seconds.
    pub(crate) start: u64,
    /// `pid` in `stats`.
    pub(crate) pid: u32,
    /// The end of so many dumps overwrites what their client has not read, as in 1.6.38 after a second.
    pub(crate) overwrites: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: Version::V1_6_45,
            item_size_max: 1 << 20,
            slab_chunk_max: 1 << 19,
            max_items: usize::MAX,
            start: 1_700_000_000,
            pid: 1,
            overwrites: 0,
        }
    }
}

/// A client connection of one [`Memcached`]. Never used again after it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(usize);

/// What is stored under a key, as a reader would find it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemView<'a> {
    /// The key's bytes.
    pub(crate) key: &'a [u8],
    /// The value without its line end.
    pub(crate) value: &'a [u8],
    /// The client flags.
    pub(crate) flags: u32,
    /// The CAS, which is the version for items that were stored with `E`.
    pub(crate) cas: u64,
    /// Unix second at which it expires; none: never.
    pub(crate) expires: Option<u64>,
    /// Marked by `md I`.
    pub(crate) stale: bool,
    /// The right to refresh has been given to a reader.
    pub(crate) token_sent: bool,
}

/// Everything that connections share.
struct Server {
    config: Config,
    store: Store,
    crawler: Crawler,
    restarts: u64,
}

/// One memcached process with its connections.
pub(crate) struct Memcached {
    server: Server,
    conns: Vec<Option<Conn>>,
}

impl Memcached {
    /// A freshly started, empty memcached.
    pub(crate) fn new(config: Config) -> Self {
        let store = Store::new(&config);
        Self { server: Server { config, store, crawler: Crawler::new(), restarts: 0 }, conns: Vec::new() }
    }

    /// Opens a client connection.
    pub(crate) fn connect(&mut self) -> ConnId {
        self.conns.push(Some(Conn::new()));
        ConnId(self.conns.len() - 1)
    }

    /// Drops a connection: commands that [`Self::step`] has not executed yet never happen, and a value that was only
    /// announced is not stored. (The real one still executes complete commands that it had read: step first for that.)
    pub(crate) fn disconnect(&mut self, id: ConnId) {
        if let Some(mut conn) = self.conns.get_mut(id.0).and_then(Option::take) {
            conn.out.discard(&mut self.server.store);
            self.server.crawler.client_gone(id);
        }
    }

    /// True when memcached has closed the connection (or it was disconnected). Output may still be readable.
    pub(crate) fn is_closed(&self, id: ConnId) -> bool {
        self.conns.get(id.0).and_then(Option::as_ref).is_none_or(|conn| conn.closed)
    }

    /// Bytes from the client, in any split. Nothing is executed before [`Self::step`].
    pub(crate) fn input(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(id.0).and_then(Option::as_mut) {
            conn.receive(bytes);
        }
    }

    /// What the client can read; the caller takes it out. Empty for a connection that is gone.
    pub(crate) fn output(&mut self, id: ConnId) -> Option<&mut Vec<u8>> {
        let conn = self.conns.get_mut(id.0)?.as_mut()?;
        Some(&mut conn.out.output)
    }

    /// Executes one command of the connection, or lets its running dump list one more bucket. False: there is nothing to do
    /// before more input arrives (or, in a dump, before output is taken); all answers are readable then, except those that
    /// wait for the rest of a value.
    pub(crate) fn step(&mut self, id: ConnId) -> bool {
        match self.conns.get_mut(id.0).and_then(Option::as_mut) {
            Some(conn) => conn.step(&mut self.server, id),
            None => false,
        }
    }

    /// Executes everything that the connection has received.
    pub(crate) fn run(&mut self, id: ConnId) {
        while self.step(id) {}
    }

    /// Sets the unix second that this memcached believes in (`stats` time). It never runs backwards.
    pub(crate) fn set_time(&mut self, unix: u64) {
        self.server.store.clock.set(unix);
    }

    /// The unix second that this memcached believes in.
    pub(crate) fn time(&self) -> u64 {
        self.server.store.clock.unix()
    }

    /// Evicts a key, as memory pressure could at any moment. False: it was not there.
    pub(crate) fn evict(&mut self, key: &[u8]) -> bool {
        self.server.store.evict(key)
    }

    /// While true no memory can be had: writes fail with their out-of-memory answers.
    pub(crate) fn set_out_of_memory(&mut self, out_of_memory: bool) {
        self.server.store.out_of_memory = out_of_memory;
    }

    /// While true increments find their items referenced, as by memcached's own LRU thread, and replace them.
    pub(crate) fn set_increments_replace(&mut self, replace: bool) {
        self.server.store.increments_replace = replace;
    }

    /// Lets memcached's own CAS counter go on from here.
    #[allow(dead_code, reason = "only the differential test of the model needs it")]
    pub(crate) fn set_last_cas(&mut self, cas: u64) {
        self.server.store.last_cas = cas;
    }

    /// The next `flush_all` finds this key's item locked by another thread, and skips it.
    #[allow(dead_code, reason = "only the differential test of the model needs it")]
    pub(crate) fn lock_for_flush(&mut self, key: &[u8]) {
        self.server.store.locked.push(key.into());
    }

    /// While true a crawl of memcached's own runs, and dumps are answered `BUSY`.
    pub(crate) fn set_crawler_busy(&mut self, busy: bool) {
        self.server.crawler.busy = busy;
    }

    /// While true the hash table grows, and `metadump hash` ends with `ERROR locked try again later`.
    pub(crate) fn set_hash_growing(&mut self, growing: bool) {
        self.server.crawler.hash_growing = growing;
    }

    /// The process ends and a new one starts at the given unix second: content and connections are gone.
    pub(crate) fn restart(&mut self, start: u64) {
        let mut config = self.server.config.clone();
        config.start = start;
        self.server =
            Server { store: Store::new(&config), config, crawler: Crawler::new(), restarts: self.server.restarts + 1 };
        self.conns.iter_mut().for_each(|conn| *conn = None);
    }

    /// How often the content was lost by [`Self::restart`]: what a sidecar sees as a new socket.
    pub(crate) fn restarts(&self) -> u64 {
        self.server.restarts
    }

    /// The item that a reader of the key would find, without any side effect.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<ItemView<'_>> {
        self.server.store.peek(key)
    }

    /// All items that readers would find, in the order of the hash table.
    pub(crate) fn items(&self) -> impl Iterator<Item = ItemView<'_>> {
        self.server.store.live_items()
    }
}
