//! The commands that the sidecar sends to memcached: this is the complete list of their forms.
//!
//! Each function appends to a buffer that goes upstream as a whole. Keys are those of a client's
//! request, or have passed [`Limits::accepts_key`](super::Limits::accepts_key).

use super::base64::{self, MAX_BINARY_KEY};
use super::binary::Create;
use super::limits::{Dialect, MAX_UNFINISHED_LINE};
use super::request::{Direction, Keys, StoreMode};

/// A complete value on its way to memcached.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// How it is stored.
    pub mode: StoreMode,
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// As memcached reads it; see [`Command::Store`](super::Command::Store).
    pub exptime: i32,
    /// The CAS of the stored item: its version.
    pub version: u64,
    /// Store only over an item of this CAS.
    pub compare: Option<u64>,
    /// The key is given in base64, which memcached shows with it from then on. Other keys are given so only where they
    /// must be.
    pub binary: bool,
    /// The value without its line end.
    pub value: &'a [u8],
}

/// A counter on its way to memcached.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic<'a> {
    /// Up or down.
    pub direction: Direction,
    /// The key.
    pub key: &'a [u8],
    /// By how much.
    pub delta: u64,
    /// The CAS that the item gets: its version.
    pub version: u64,
    /// Change only an item of this CAS.
    pub compare: Option<u64>,
    /// What a missing counter begins with.
    pub create: Option<Create>,
}

/// Whether a key can only be named in base64: with a blank, a line feed, or a NUL, which ends a line for some releases.
#[must_use]
pub fn needs_base64(key: &[u8]) -> bool {
    memchr::memchr3(b' ', b'\n', 0, key).is_some() && key.len() <= MAX_BINARY_KEY
}

/// Writes a key so that memcached finds its item; returns what belongs behind it.
#[inline]
fn name(out: &mut Vec<u8>, key: &[u8]) -> &'static [u8] {
    if needs_base64(key) {
        base64::encode(out, key);
        return b" b";
    }
    out.extend_from_slice(key);
    b""
}

/// `ms <key> <len> F<flags> T<exp> E<version> [M<mode>] [C<cas>]` and the value.
/// Answers `HD`, `NS`, `EX`, `NF`, or an error line.
#[inline]
pub fn store(out: &mut Vec<u8>, store: &Store<'_>) {
    out.reserve(store.key.len() + store.value.len() + 96);
    out.extend_from_slice(b"ms ");
    if store.binary {
        base64::encode(out, store.key);
        out.push(b' ');
        number(out, store.value.len() as u64);
        out.extend_from_slice(b" b");
    } else {
        out.extend_from_slice(store.key);
        out.push(b' ');
        number(out, store.value.len() as u64);
    }
    out.extend_from_slice(b" F");
    number(out, u64::from(store.flags));
    out.extend_from_slice(b" T");
    signed(out, store.exptime);
    out.extend_from_slice(b" E");
    number(out, store.version);
    out.extend_from_slice(match store.mode {
        StoreMode::Set => b"",
        StoreMode::Add => b" ME",
        StoreMode::Replace => b" MR",
        StoreMode::Append => b" MA",
        StoreMode::Prepend => b" MP",
    });
    if let Some(compare) = store.compare {
        out.extend_from_slice(b" C");
        number(out, compare);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(store.value);
    out.extend_from_slice(b"\r\n");
}

/// `ma <key> D<delta> M{I|D} E<version> [C<cas>] [N<exp> J<number>] v`. Answers `VA` with the number, `NF`, `EX`, or an error line.
/// Right behind it belongs a [`read_back`].
///
/// **The version is lost when memcached does not change the number in place**: when it needs more
/// digits than before (9 to 10), or when another answer that is not sent yet still holds the item
/// (a read-back of the same batch is enough). The stored item then has a small CAS of memcached's
/// own counter, although `c` of this command itself would say `version` (measured on 1.6.38 and
/// 1.6.45). So the CAS of the read-back has to be looked at, and if it is not `version` the item
/// has to be stored once more with [`Store::compare`].
#[inline]
pub fn arithmetic(out: &mut Vec<u8>, arithmetic: &Arithmetic<'_>) {
    out.extend_from_slice(b"ma ");
    let behind = name(out, arithmetic.key);
    out.extend_from_slice(behind);
    out.extend_from_slice(b" D");
    number(out, arithmetic.delta);
    out.extend_from_slice(match arithmetic.direction {
        Direction::Increment => b" MI E",
        Direction::Decrement => b" MD E",
    });
    number(out, arithmetic.version);
    if let Some(compare) = arithmetic.compare {
        out.extend_from_slice(b" C");
        number(out, compare);
    }
    if let Some(Create { initial, exptime }) = arithmetic.create {
        out.extend_from_slice(b" N");
        signed(out, exptime);
        out.extend_from_slice(b" J");
        number(out, initial);
    }
    out.extend_from_slice(b" v\r\n");
}

/// `ma <key> D0 E<version> [C<cas>]`, right behind an [`arithmetic`]: where memcached replaced the item instead of changing it in
/// place (a longer number, or an item that an unsent answer refers to), it lost the version. Answers `HD`, `NF`, or an
/// error line.
#[inline]
pub fn set_version(out: &mut Vec<u8>, key: &[u8], version: u64, compare: Option<u64>) {
    out.extend_from_slice(b"ma ");
    let behind = name(out, key);
    out.extend_from_slice(behind);
    out.extend_from_slice(b" D0 E");
    number(out, version);
    if let Some(compare) = compare {
        out.extend_from_slice(b" C");
        number(out, compare);
    }
    out.extend_from_slice(b"\r\n");
}

/// `mg <key> v f t c k u`: the item as it is, without counting as a use. Answers `VA` with `f`, `t`, `c`, `k`, and the
/// marks of the item, or `EN`. **Takes the win token of a stale item** (`W`): see [`mark_stale`].
#[inline]
pub fn read_back(out: &mut Vec<u8>, key: &[u8]) {
    // Of a key that only base64 can name the bytes must never be in an answer.
    let rest: &[u8] = if needs_base64(key) { b" v f t c u\r\n" } else { b" v f t c k u\r\n" };
    line(out, b"mg ", key, rest);
}

/// `mg <key> v f c [T<exp>]`: the item, for a client that uses it, where its key is one that `get` cannot name. Answers `VA`
/// with `f` and `c`, or `EN`. **Takes the win token of a stale item** (`W`): see [`mark_stale`].
pub fn read_value(out: &mut Vec<u8>, key: &[u8], exptime: Option<i32>) {
    line(out, b"mg ", key, b" v f c");
    if let Some(exptime) = exptime {
        out.extend_from_slice(b" T");
        signed(out, exptime);
    }
    out.extend_from_slice(b"\r\n");
}

/// `md <key> I C<version> E<version>`: the item of this version is stale, and its win token is free. Answers `HD`, `EX`
/// or `NF`.
pub fn mark_stale(out: &mut Vec<u8>, key: &[u8], version: u64) {
    become_stale(out, key, version, version);
}

/// `md <key> I C<from> E<to>`: the same, and the item has another version then.
pub fn become_stale(out: &mut Vec<u8>, key: &[u8], from: u64, to: u64) {
    line(out, b"md ", key, b" I C");
    number(out, from);
    out.extend_from_slice(b" E");
    number(out, to);
    out.extend_from_slice(b"\r\n");
}

/// `mg <key> R<latest> [T<exptime>] u`: takes the win token of an item that is stale or ends some day. Answers `HD` or
/// `EN`.
pub fn take_token(out: &mut Vec<u8>, key: &[u8], exptime: Option<i32>) {
    line(out, b"mg ", key, b" R2147483647");
    if let Some(exptime) = exptime {
        out.extend_from_slice(b" T");
        signed(out, exptime);
    }
    out.extend_from_slice(b" u\r\n");
}

/// `mg <key> T<exp> c [f]`: a touch. Answers `HD` with `c` (and the item's flags), or `EN`. **Takes the win token of a
/// stale item** (`W`), which a touch does not: see [`mark_stale`].
#[inline]
pub fn touch(out: &mut Vec<u8>, key: &[u8], exptime: i32, flags: bool) {
    line(out, b"mg ", key, b" T");
    signed(out, exptime);
    out.extend_from_slice(if flags { b" c f\r\n" } else { b" c\r\n" });
}

/// `me <key>`: version and expiry without any side effect. Answers `ME`, or `EN`. Of a key that only base64 can name the
/// bytes must never be in an answer: it is `mg <key> b c t u`, which answers `HD` with `c` and `t`, and may take a win
/// token (`W`).
#[inline]
pub fn inspect(out: &mut Vec<u8>, key: &[u8]) {
    match needs_base64(key) {
        true => line(out, b"mg ", key, b" c t u\r\n"),
        false => line(out, b"me ", key, b"\r\n"),
    }
}

/// `md <key> [C<version>]`. Answers `HD`, `NF` or `EX`.
#[inline]
pub fn delete(out: &mut Vec<u8>, key: &[u8], compare: Option<u64>) {
    line(out, b"md ", key, b"");
    if let Some(compare) = compare {
        out.extend_from_slice(b" C");
        number(out, compare);
    }
    out.extend_from_slice(b"\r\n");
}

/// `get k...` or `gets k...`. Answers the hits in order, then `END`.
#[inline]
pub fn get<'a>(out: &mut Vec<u8>, cas: bool, keys: impl IntoIterator<Item = &'a [u8]>) {
    out.extend_from_slice(if cas { b"gets" } else { b"get" });
    for key in keys {
        out.push(b' ');
        out.extend_from_slice(key);
    }
    out.extend_from_slice(b"\r\n");
}

/// `gats <exp> k...`, in as many lines as it takes, and the number of them: each one is answered
/// by its hits in order and its own `END`.
///
/// memcached waits for the end of a long line only if that is a `get` or `gets`; any other that is
/// cut by its read buffer closes the connection, which here is shared by all clients.
pub fn get_and_touch(out: &mut Vec<u8>, exptime: i32, keys: Keys<'_>) -> usize {
    let mut lines = 0;
    let mut start = 0;
    for key in keys {
        if lines == 0 || out.len() - start + key.len() + 3 > MAX_UNFINISHED_LINE {
            if lines > 0 {
                out.extend_from_slice(b"\r\n");
            }
            lines += 1;
            start = out.len();
            out.extend_from_slice(b"gats ");
            signed(out, exptime);
        }
        out.push(b' ');
        out.extend_from_slice(key);
    }
    if lines > 0 {
        out.extend_from_slice(b"\r\n");
    }
    lines
}

/// `flush_all`. Answers `OK`.
pub const FLUSH_ALL: &[u8] = b"flush_all\r\n";
/// Answers `STAT` lines and `END`.
pub const STATS: &[u8] = b"stats\r\n";
/// Answers `STAT` lines and `END`.
pub const STATS_SETTINGS: &[u8] = b"stats settings\r\n";
/// Answers `VERSION ...`.
pub const VERSION: &[u8] = b"version\r\n";
/// Answers `MN`: everything before is answered.
pub const NOOP: &[u8] = b"mn\r\n";
/// The answer to [`NOOP`].
pub const NOOP_ANSWER: &[u8] = b"MN\r\n";
/// See [`super::dump`].
pub const METADUMP: &[u8] = b"lru_crawler metadump hash\r\n";
/// Undoes a client's `lru_crawler disable`. Answers `OK`, or an error line if it runs already.
pub const CRAWLER_ENABLE: &[u8] = b"lru_crawler enable\r\n";
/// See [`Dialect::of_probe_reply`].
pub const DIALECT_PROBE: &[u8] = Dialect::PROBE;

/// A client's own line ([`Command::Forward`](super::Command::Forward)) on a private connection,
/// and behind it the command whose answer `MN` marks the end.
pub fn forward(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(NOOP);
}

/// A client's own line ([`Command::Stream`](super::Command::Stream)) on a private connection.
/// Nothing may stand before or behind it there.
pub fn stream(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn line(out: &mut Vec<u8>, verb: &[u8], key: &[u8], rest: &[u8]) {
    out.reserve(verb.len() + key.len() + rest.len());
    out.extend_from_slice(verb);
    let behind = name(out, key);
    out.extend_from_slice(behind);
    out.extend_from_slice(rest);
}

#[inline]
fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
fn signed(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn stores() {
        let plain = Store {
            mode: StoreMode::Set,
            key: b"key",
            flags: 0,
            exptime: 0,
            version: u64::MAX,
            compare: None,
            binary: false,
            value: b"ab",
        };
        for (store_, text) in [
            (plain, "ms key 2 F0 T0 E18446744073709551615\r\nab\r\n"),
            (
                Store { compare: Some(7), exptime: -1, flags: u32::MAX, version: 1, ..plain },
                "ms key 2 F4294967295 T-1 E1 C7\r\nab\r\n",
            ),
            (Store { mode: StoreMode::Add, version: 1, value: b"", ..plain }, "ms key 0 F0 T0 E1 ME\r\n\r\n"),
            (Store { mode: StoreMode::Replace, version: 1, ..plain }, "ms key 2 F0 T0 E1 MR\r\nab\r\n"),
            (Store { mode: StoreMode::Append, version: 1, ..plain }, "ms key 2 F0 T0 E1 MA\r\nab\r\n"),
            (Store { mode: StoreMode::Prepend, version: 1, ..plain }, "ms key 2 F0 T0 E1 MP\r\nab\r\n"),
            (Store { binary: true, key: b"a b", version: 1, ..plain }, "ms YSBi 2 b F0 T0 E1\r\nab\r\n"),
        ] {
            assert_eq!(encoded(|out| store(out, &store_)), text);
        }
    }

    #[test]
    fn lines() {
        let keys: [&[u8]; 2] = [b"a", b"b"];
        let counter = Arithmetic {
            direction: Direction::Increment,
            key: b"k",
            delta: 5,
            version: 9,
            compare: None,
            create: None,
        };
        for (line, text) in [
            (encoded(|out| arithmetic(out, &counter)), "ma k D5 MI E9 v\r\n"),
            (
                encoded(|out| {
                    let create = Some(Create { initial: 7, exptime: 60 });
                    arithmetic(
                        out,
                        &Arithmetic { direction: Direction::Decrement, compare: Some(3), create, ..counter },
                    );
                }),
                "ma k D5 MD E9 C3 N60 J7 v\r\n",
            ),
            (encoded(|out| read_back(out, b"k")), "mg k v f t c k u\r\n"),
            (encoded(|out| touch(out, b"k", -1, false)), "mg k T-1 c\r\n"),
            (encoded(|out| touch(out, b"k", 1, true)), "mg k T1 c f\r\n"),
            (encoded(|out| inspect(out, b"k")), "me k\r\n"),
            (encoded(|out| inspect(out, b"a b")), "mg YSBi b c t u\r\n"),
            (encoded(|out| read_back(out, b"a\n")), "mg YQo= b v f t c u\r\n"),
            (encoded(|out| read_value(out, b"a b", None)), "mg YSBi b v f c\r\n"),
            (encoded(|out| read_value(out, b"a b", Some(9))), "mg YSBi b v f c T9\r\n"),
            (encoded(|out| mark_stale(out, b"k", 7)), "md k I C7 E7\r\n"),
            (encoded(|out| become_stale(out, b"k", 6, 7)), "md k I C6 E7\r\n"),
            (encoded(|out| take_token(out, b"k", None)), "mg k R2147483647 u\r\n"),
            (encoded(|out| take_token(out, b"k", Some(5))), "mg k R2147483647 T5 u\r\n"),
            (encoded(|out| delete(out, b"k", None)), "md k\r\n"),
            (encoded(|out| delete(out, b"k", Some(3))), "md k C3\r\n"),
            (encoded(|out| get(out, false, keys)), "get a b\r\n"),
            (encoded(|out| get(out, true, keys)), "gets a b\r\n"),
            (encoded(|out| forward(out, b"stats")), "stats\r\nmn\r\n"),
            (encoded(|out| stream(out, b"watch")), "watch\r\n"),
        ] {
            assert_eq!(line, text);
        }
    }

    #[test]
    fn a_touch_of_many_keys_is_cut_where_memcached_would_close() {
        let words = format!(" {}", "k".repeat(100)).repeat(100);
        let mut out = Vec::new();
        let lines = get_and_touch(&mut out, 60, Keys::new(words.as_bytes()));
        let text = String::from_utf8(out).expect("ASCII");
        assert_eq!(text.matches("\r\n").count(), lines);
        assert!(lines > 1 && lines < 10, "{lines}");
        for line in text.split_inclusive("\r\n") {
            assert!(line.len() <= MAX_UNFINISHED_LINE, "{}", line.len());
            assert!(line.starts_with("gats 60 k"));
        }
        assert_eq!(text.matches(" kk").count(), 100);
        let one = encoded(|out| assert_eq!(get_and_touch(out, 0, Keys::new(b"a  b")), 1));
        assert_eq!(one, "gats 0 a b\r\n");
        assert_eq!(encoded(|out| assert_eq!(get_and_touch(out, 0, Keys::new(b"")), 0)), "");
    }
}
