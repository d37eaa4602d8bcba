//! One command line: the table of verbs, and what each of them takes.
//!
//! A line is either understood here, answered here, or on the short list of verbs that memcached
//! may be given as they are. There is no "anything else goes through": what changes items and is
//! not understood would bypass replication.

use super::limits::{Dialect, Limits, MAX_ANNOUNCED_VALUE, MAX_KEY};
use super::meta::{self, MetaRequest, MetaVerb};
use super::number::{c_i32, c_u32, c_u64, plain_i32, plain_u64};
use super::reply;
use super::request::{Command, Direction, Keys, Request, StoreMode, StreamKind};
use super::words::{Words, split_word};

/// What a line turned out to be.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// Complete as it stands. This many bytes behind the line are to be thrown away.
    Request(Request<'a>, u64),
    /// A value follows.
    Store(StoreLine<'a>),
    /// A value of so many bytes follows, without its line end.
    MetaStore(MetaRequest<'a>, u32),
    /// Answered. This many bytes behind the line are to be thrown away.
    Reply(&'static [u8], u64),
    /// memcached closes the connection without a word.
    Close,
}

/// A storage command whose value fits and follows.
#[derive(Debug)]
pub(super) struct StoreLine<'a> {
    pub(super) mode: StoreMode,
    pub(super) key: &'a [u8],
    pub(super) flags: u32,
    pub(super) exptime: i32,
    /// Bytes of value, without its line end.
    pub(super) len: u32,
    pub(super) compare: Option<u64>,
    pub(super) noreply: bool,
}

/// First words, as far as they differ in what follows them.
#[derive(Clone, Copy)]
enum Verb {
    Get {
        cas: bool,
    },
    GetAndTouch {
        cas: bool,
    },
    Store(StoreMode),
    Cas,
    Arithmetic(Direction),
    Delete,
    Touch,
    FlushAll,
    Stats,
    Version,
    Quit,
    Watch,
    LruCrawler,
    /// Touches no item.
    Admin,
    /// `mg` and the like.
    Meta(MetaVerb),
    /// `mn`.
    NoOp,
}

/// The table of verbs: exact case.
#[inline]
fn verb(word: &[u8]) -> Option<Verb> {
    Some(match word {
        b"get" => Verb::Get { cas: false },
        b"gets" => Verb::Get { cas: true },
        b"gat" => Verb::GetAndTouch { cas: false },
        b"gats" => Verb::GetAndTouch { cas: true },
        b"set" => Verb::Store(StoreMode::Set),
        b"add" => Verb::Store(StoreMode::Add),
        b"replace" => Verb::Store(StoreMode::Replace),
        b"append" => Verb::Store(StoreMode::Append),
        b"prepend" => Verb::Store(StoreMode::Prepend),
        b"cas" => Verb::Cas,
        b"incr" => Verb::Arithmetic(Direction::Increment),
        b"decr" => Verb::Arithmetic(Direction::Decrement),
        b"delete" => Verb::Delete,
        b"touch" => Verb::Touch,
        b"flush_all" => Verb::FlushAll,
        b"stats" => Verb::Stats,
        b"version" => Verb::Version,
        b"quit" => Verb::Quit,
        b"watch" => Verb::Watch,
        b"lru_crawler" => Verb::LruCrawler,
        b"slabs" | b"lru" | b"verbosity" | b"cache_memlimit" | b"shutdown" | b"extstore" | b"refresh_certs"
        | b"misbehave" | b"debugtime" | b"debugitem" => Verb::Admin,
        b"mg" => Verb::Meta(MetaVerb::Get),
        b"ms" => Verb::Meta(MetaVerb::Set),
        b"md" => Verb::Meta(MetaVerb::Delete),
        b"ma" => Verb::Meta(MetaVerb::Arithmetic),
        b"me" => Verb::Meta(MetaVerb::Debug),
        b"mn" => Verb::NoOp,
        _ => return None,
    })
}

/// How many words a verb takes with itself: fewest and most (legacy), fewest (modern, which
/// ignores what is too many).
fn word_count(verb: Verb) -> (usize, usize, usize) {
    const ANY: usize = usize::MAX;
    match verb {
        Verb::Get { .. } => (2, ANY, 2),
        Verb::GetAndTouch { .. } => (2, ANY, 3),
        Verb::Store(_) => (5, 6, 5),
        Verb::Cas => (6, 7, 5),
        Verb::Arithmetic(_) | Verb::Touch => (3, 4, 3),
        Verb::Delete => (2, 4, 2),
        Verb::FlushAll => (1, 3, 1),
        // memcached itself counts the words of what it is given as it is.
        Verb::Stats | Verb::Watch | Verb::LruCrawler | Verb::Admin => (1, ANY, 1),
        Verb::Version | Verb::Quit | Verb::Meta(_) | Verb::NoOp => (1, ANY, 1),
    }
}

/// Reads one line. `line` has no line end; `line_end` is the length of what it had.
pub(super) fn parse<'a>(line: &'a [u8], line_end: usize, limits: &Limits) -> Parsed<'a> {
    match limits.dialect {
        Dialect::Legacy => parse_legacy(line, limits),
        Dialect::Modern if line.len() + line_end < 4 => refuse(reply::BAD_FORMAT, false),
        Dialect::Modern => parse_modern(line, limits),
    }
}

fn parse_legacy<'a>(line: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let line = memchr::memchr(0, line).and_then(|nul| line.get(..nul)).unwrap_or(line);
    let (word, rest) = split_word(line);
    if word.len() < 2 {
        return refuse(reply::ERROR, false);
    }
    match verb(word) {
        Some(verb) => run(verb, line, rest, limits),
        None if asks_for_cluster(line) => complete(Command::ClusterConfig, false),
        None if word == b"bget" => run(Verb::Get { cas: false }, line, rest, limits),
        None => {
            // A browser is shown the door, but only where the search for a verb comes that far.
            let searched =
                !matches!(word, [b'g' | b's' | b'a' | b'c' | b'i' | b'd' | b't', ..]) && !matches!(word, [b'm', _]);
            if searched && Words::new(line).last().starts_with(b"HTTP/") {
                Parsed::Close
            } else {
                refuse(reply::ERROR, false)
            }
        }
    }
}

fn parse_modern<'a>(line: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let (word, rest) = split_word(line);
    // Verbs that are looked up late may stand behind blanks, the others may not.
    let found = match verb(word) {
        Some(verb @ (Verb::Admin | Verb::FlushAll | Verb::LruCrawler)) => Some(verb),
        Some(verb) if !line.starts_with(b" ") => Some(verb),
        _ => None,
    };
    match found {
        Some(verb) => run(verb, line, rest, limits),
        None if asks_for_cluster(line) => complete(Command::ClusterConfig, false),
        None => {
            let words = Words::new(line);
            if words.count() > 1 && words.last().starts_with(b"HTTP/") {
                Parsed::Close
            } else {
                refuse(reply::ERROR, words.noreply())
            }
        }
    }
}

/// Reads what follows a verb. `rest` is the line behind it.
fn run<'a>(verb: Verb, line: &'a [u8], rest: &'a [u8], limits: &Limits) -> Parsed<'a> {
    // The keys of a get are not counted in words: there may be a million.
    if let Verb::Get { cas } = verb {
        return get(cas, line, rest, limits);
    }
    if let Verb::Meta(verb) = verb {
        return meta::parse(verb, rest, limits);
    }
    let words = Words::new(line);
    let (fewest, most, fewest_modern) = word_count(verb);
    match limits.dialect {
        Dialect::Legacy if words.count() < fewest || words.count() > most => {
            return refuse(reply::ERROR, false);
        }
        Dialect::Modern if words.count() < fewest_modern => {
            return refuse(reply::BAD_FORMAT, false);
        }
        _ => {}
    }
    match verb {
        Verb::Get { cas } => get(cas, line, rest, limits),
        Verb::GetAndTouch { cas } => get_and_touch(cas, rest, limits),
        Verb::Store(mode) => store(mode, false, &words, limits),
        Verb::Cas => store(StoreMode::Set, true, &words, limits),
        Verb::Arithmetic(direction) => arithmetic(direction, &words, limits),
        Verb::Delete => delete(&words, limits),
        Verb::Touch => touch(&words, limits),
        Verb::FlushAll => flush_all(&words, limits),
        Verb::Stats if words.get(1) == b"replication" => complete(Command::ReplicationStats, false),
        Verb::Stats | Verb::Admin => complete(Command::Forward { line }, false),
        Verb::Version => complete(Command::Version, false),
        Verb::Quit => complete(Command::Quit, false),
        Verb::Watch => stream(StreamKind::Watch, line),
        Verb::LruCrawler => lru_crawler(line, &words, limits),
        Verb::Meta(verb) => meta::parse(verb, rest, limits),
        Verb::NoOp => refuse(reply::NO_OP, false),
    }
}

fn complete(command: Command<'_>, noreply: bool) -> Parsed<'_> {
    Parsed::Request(Request { command, noreply }, 0)
}

fn stream(kind: StreamKind, line: &[u8]) -> Parsed<'_> {
    complete(Command::Stream { line, kind }, false)
}

fn refuse(reply: &'static [u8], noreply: bool) -> Parsed<'static> {
    Parsed::Reply(if noreply { b"" } else { reply }, 0)
}

/// Exactly that: anything else that begins so is unknown, as to memcached.
fn asks_for_cluster(line: &[u8]) -> bool {
    line == b"config get cluster"
}

/// Whether there are keys, and none is too long.
enum KeyCheck<'a> {
    None,
    Good,
    /// With the keys before the one that is.
    TooLong(Keys<'a>),
}

fn check_keys(words: &[u8]) -> KeyCheck<'_> {
    let mut rest = words;
    loop {
        let before = words.len() - rest.len();
        let (key, behind) = split_word(rest);
        if key.len() > MAX_KEY {
            return KeyCheck::TooLong(Keys::new(words.get(..before).unwrap_or_default()));
        }
        if key.is_empty() {
            return if before == 0 { KeyCheck::None } else { KeyCheck::Good };
        }
        rest = behind;
    }
}

/// `before`: the keys before the one that is too long.
fn key_too_long<'a>(before: Keys<'a>, exptime: Option<i32>, limits: &Limits) -> Parsed<'a> {
    let reply = match limits.dialect {
        Dialect::Legacy => reply::BAD_FORMAT,
        Dialect::Modern => reply::BAD_FORMAT_BLANK_LINE,
    };
    match { before }.next() {
        Some(_) => complete(Command::RefusedGet { exptime, keys: before, reply }, false),
        None => refuse(reply, false),
    }
}

/// Whether only the blank line behind the error is left of it: `noreply`, which is a key here,
/// still silences the answer to the first key.
fn first_key_silenced(mut keys: Keys<'_>, line: &[u8]) -> bool {
    let first_too_long = keys.next().is_some_and(|key| key.len() > MAX_KEY);
    first_too_long && Words::new(line).noreply()
}

fn get<'a>(cas: bool, line: &'a [u8], rest: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let keys = Keys::new(rest);
    match (check_keys(rest), limits.dialect) {
        (KeyCheck::Good, _) => complete(Command::Get { cas, keys }, false),
        (KeyCheck::TooLong(_), Dialect::Modern) if first_key_silenced(keys, line) => refuse(reply::BLANK_LINE, false),
        (KeyCheck::TooLong(before), _) => key_too_long(before, None, limits),
        (KeyCheck::None, Dialect::Legacy) => refuse(reply::ERROR, false),
        (KeyCheck::None, Dialect::Modern) => refuse(reply::BAD_FORMAT, false),
    }
}

fn get_and_touch<'a>(cas: bool, rest: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let (exptime, rest) = split_word(rest);
    let Some(exptime) = plain_exptime(exptime, limits) else {
        return refuse(reply::INVALID_EXPTIME, false);
    };
    match check_keys(rest) {
        KeyCheck::Good => complete(Command::GetAndTouch { cas, exptime, keys: Keys::new(rest) }, false),
        KeyCheck::TooLong(before) => key_too_long(before, Some(exptime), limits),
        KeyCheck::None => refuse(reply::END, false),
    }
}

/// An exptime of all commands but the storage ones.
fn plain_exptime(word: &[u8], limits: &Limits) -> Option<i32> {
    match limits.dialect {
        Dialect::Legacy => c_i32(word),
        Dialect::Modern => plain_i32(word),
    }
}

#[inline]
fn store<'a>(mode: StoreMode, cas: bool, words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let noreply = words.noreply();
    let len = match limits.dialect {
        Dialect::Legacy => c_i32(words.get(4)),
        Dialect::Modern => plain_i32(words.get(4)),
    };
    let len = len.and_then(|len| u32::try_from(len).ok()).filter(|len| *len <= MAX_ANNOUNCED_VALUE);
    let Some(len) = len else {
        // The modern parser fails before it has seen noreply, and does not swallow what it cannot
        // count; the legacy one has seen it.
        return match limits.dialect {
            Dialect::Legacy => refuse(reply::BAD_FORMAT, noreply),
            Dialect::Modern => refuse(reply::BAD_FORMAT, false),
        };
    };
    let with_end = u64::from(len) + 2;
    let key = words.get(1);
    let (flags, exptime, compare) = match limits.dialect {
        Dialect::Legacy => (c_u32(words.get(2)), c_i32(words.get(3)), cas.then(|| c_u64(words.get(5)))),
        // Here memcached's numbers may reach over the end of their word, if that is white space.
        Dialect::Modern => (
            c_u32(words.from(2)),
            c_i32(words.from(3)),
            cas.then(|| {
                let token = words.get(5);
                if token.is_empty() { None } else { plain_u64(token) }
            }),
        ),
    };
    let (Some(flags), Some(exptime), None | Some(Some(_)), 1..=MAX_KEY) = (flags, exptime, compare, key.len()) else {
        let reply = if noreply { b"" } else { reply::BAD_FORMAT };
        return match limits.dialect {
            Dialect::Legacy => Parsed::Reply(reply, 0),
            Dialect::Modern => Parsed::Reply(reply, with_end),
        };
    };
    if limits.item_fits(key.len(), flags, u64::from(len)) {
        return Parsed::Store(StoreLine { mode, key, flags, exptime, len, compare: compare.flatten(), noreply });
    }
    if mode == StoreMode::Set && !cas {
        let command = Command::TooLarge { key };
        return Parsed::Request(Request { command, noreply }, with_end);
    }
    Parsed::Reply(if noreply { b"" } else { reply::TOO_LARGE }, with_end)
}

fn arithmetic<'a>(direction: Direction, words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let noreply = words.noreply();
    let key = words.get(1);
    if key.len() > MAX_KEY {
        return refuse(reply::BAD_FORMAT, noreply);
    }
    let delta = match limits.dialect {
        Dialect::Legacy => c_u64(words.get(2)),
        Dialect::Modern => plain_u64(words.get(2)),
    };
    let Some(delta) = delta else {
        return refuse(reply::INVALID_DELTA, noreply);
    };
    complete(Command::Arithmetic { direction, key, delta }, noreply)
}

fn delete<'a>(words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let key = words.get(1);
    let noreply = match limits.dialect {
        Dialect::Modern => words.noreply(),
        Dialect::Legacy if words.count() == 2 => false,
        Dialect::Legacy => {
            // Once there was a delay; only 0 is still taken.
            let zero = words.get(2) == b"0";
            let noreply = words.noreply();
            let valid = match words.count() {
                3 => zero || noreply,
                _ => zero && noreply,
            };
            if !valid {
                return refuse(reply::DELETE_USAGE, noreply);
            }
            noreply
        }
    };
    if key.len() > MAX_KEY {
        return refuse(reply::BAD_FORMAT, noreply);
    }
    complete(Command::Delete { key }, noreply)
}

fn touch<'a>(words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let noreply = words.noreply();
    let key = words.get(1);
    if key.len() > MAX_KEY {
        return refuse(reply::BAD_FORMAT, noreply);
    }
    let Some(exptime) = plain_exptime(words.get(2), limits) else {
        return refuse(reply::INVALID_EXPTIME, noreply);
    };
    complete(Command::Touch { key, exptime }, noreply)
}

fn flush_all<'a>(words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let noreply = words.noreply();
    if !limits.flush_enabled {
        return refuse(reply::FLUSH_NOT_ALLOWED, noreply);
    }
    let bare = if noreply { 2 } else { 1 };
    if words.count() == bare {
        return complete(Command::FlushAll { delay: 0 }, noreply);
    }
    match plain_exptime(words.get(1), limits) {
        Some(delay) => complete(Command::FlushAll { delay }, noreply),
        None => refuse(reply::INVALID_EXPTIME, noreply),
    }
}

fn lru_crawler<'a>(line: &'a [u8], words: &Words<'a>, limits: &Limits) -> Parsed<'a> {
    let names: [(&[u8], Option<StreamKind>); 3] =
        [(b"crawl", None), (b"metadump", Some(StreamKind::Metadump)), (b"mgdump", Some(StreamKind::Mgdump))];
    let word = words.get(1);
    let kind = names
        .into_iter()
        .filter(|_| words.count() == 3)
        .find(|(name, _)| match limits.dialect {
            Dialect::Legacy => word == *name,
            Dialect::Modern => abbreviates(word, name),
        })
        .and_then(|(_, kind)| kind);
    match kind {
        Some(kind) => stream(kind, line),
        None => complete(Command::Forward { line }, false),
    }
}

/// C's `strncmp` over the length of `word`: any prefix matches, and a NUL ends both.
fn abbreviates(word: &[u8], name: &[u8]) -> bool {
    match memchr::memchr(0, word) {
        Some(nul) => word.get(..nul) == Some(name),
        None => name.starts_with(word),
    }
}
