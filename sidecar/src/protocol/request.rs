//! What a client asked, borrowed from its input buffer.

use std::fmt;

use super::meta::MetaRequest;
use super::reply;

/// One command of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked.
    pub command: Command<'a>,
    /// The client wants no answer: neither the result nor an error.
    pub noreply: bool,
}

/// The commands, whatever protocol they came in.
///
/// Keys are 1 to 250 bytes and hold no blank and no line feed; they may hold any other byte,
/// control bytes included (NUL only with [`Dialect::Modern`](super::Dialect::Modern)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `get`, `gets`.
    Get {
        /// The answer carries CAS tokens (`gets`).
        cas: bool,
        /// At least one key.
        keys: Keys<'a>,
    },
    /// `gat`, `gats`.
    GetAndTouch {
        /// The answer carries CAS tokens (`gats`).
        cas: bool,
        /// Seconds as memcached reads them, see [`Command::Store`].
        exptime: i32,
        /// At least one key.
        keys: Keys<'a>,
    },
    /// `get`, `gat` and the like with a key that is too long: nothing but an error is answered, yet memcached has read, or
    /// touched, the keys before that one.
    RefusedGet {
        /// As in [`Command::GetAndTouch`], if it is one.
        exptime: Option<i32>,
        /// The keys before, at least one.
        keys: Keys<'a>,
        /// The error.
        reply: &'static [u8],
    },
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`, with its value complete.
    Store {
        /// Which of them; `cas` is `Set` with `compare`.
        mode: StoreMode,
        /// The key.
        key: &'a [u8],
        /// Client flags, cut to 32 bits as memcached does.
        flags: u32,
        /// 0 for ever, up to 30 days relative, above absolute Unix time, negative already over.
        /// Cut to 32 bits as memcached does.
        exptime: i32,
        /// The value without its line end. It fits into an item.
        value: &'a [u8],
        /// The token of `cas`; 0 matches no item.
        compare: Option<u64>,
    },
    /// `set` whose announced value cannot be stored. memcached drops the old value as soon as it
    /// has read the line; the answer is [`reply::TOO_LARGE`]. The parser swallows the value in the
    /// steps that follow. (The other storage commands keep the old value: [`super::Step::Answer`].)
    TooLarge {
        /// The key.
        key: &'a [u8],
    },
    /// `incr`, `decr`.
    Arithmetic {
        /// Up or down.
        direction: Direction,
        /// The key.
        key: &'a [u8],
        /// By how much.
        delta: u64,
    },
    /// `delete`.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// `touch`.
    Touch {
        /// The key.
        key: &'a [u8],
        /// Seconds as memcached reads them, see [`Command::Store`].
        exptime: i32,
    },
    /// `flush_all [delay]`, where memcached allows it.
    FlushAll {
        /// 0 and below: now; up to 30 days relative, above absolute Unix time.
        delay: i32,
    },
    /// `mg`, `ms`, `md`, `ma`, `me`. (`mn` is answered by the parser.)
    Meta(MetaRequest<'a>),
    /// `stats replication`, which is the sidecar's own.
    ReplicationStats,
    /// `config get cluster`, which memcached does not know: the sidecar's own, where it knows where clients reach the pair.
    ClusterConfig,
    /// `version`.
    Version,
    /// `quit`: answer what came before, then close. The parser takes no more bytes.
    Quit,
    /// A command that touches no item: memcached itself answers it best, on a private connection.
    Forward {
        /// The line as the client sent it, without its line end, at most
        /// [`MAX_COMMAND_LINE`](super::limits::MAX_COMMAND_LINE) bytes.
        line: &'a [u8],
    },
    /// Like [`Command::Forward`], but when memcached accepts it the connection becomes a stream.
    Stream {
        /// The line as the client sent it, without its line end.
        line: &'a [u8],
        /// What kind of stream.
        kind: StreamKind,
    },
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreMode {
    /// Whatever was there before.
    Set,
    /// Only if nothing was there.
    Add,
    /// Only if something was there.
    Replace,
    /// Behind what is there; flags and exptime stay.
    Append,
    /// Before what is there; flags and exptime stay.
    Prepend,
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `incr`: wraps at 2^64.
    Increment,
    /// `decr`: stops at 0.
    Decrement,
}

/// Commands after which the connection streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// `watch`: for ever.
    Watch,
    /// `lru_crawler metadump`: up to `END`, or an error line.
    Metadump,
    /// `lru_crawler mgdump`: up to `EN`, or an error line.
    Mgdump,
}

impl StreamKind {
    /// The error when other commands of the same batch stand before it.
    #[must_use]
    pub fn pipelined_reply(self) -> &'static [u8] {
        match self {
            Self::Watch => reply::PIPELINED_WATCH,
            Self::Metadump => reply::PIPELINED_METADUMP,
            Self::Mgdump => reply::PIPELINED_MGDUMP,
        }
    }
}

/// The keys of a multi-get: an iterator over blank-separated words, each already validated.
#[derive(Clone, Copy, Default)]
pub struct Keys<'a> {
    rest: &'a [u8],
}

impl PartialEq for Keys<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for Keys<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.map(|key| key.escape_ascii().to_string())).finish()
    }
}

impl<'a> Keys<'a> {
    /// `words`: keys with any number of blanks around them.
    #[must_use]
    pub fn new(words: &'a [u8]) -> Self {
        Self { rest: words }
    }

    /// The only key, if there is exactly one.
    #[must_use]
    pub fn single(mut self) -> Option<&'a [u8]> {
        let first = self.next()?;
        self.next().is_none().then_some(first)
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (word, rest) = super::words::split_word(self.rest);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}
