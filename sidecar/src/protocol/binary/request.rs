//! A client's bytes to one request, in the order in which memcached looks at them (`try_read_command_binary`,
//! `dispatch_bin_command`): what it waits for, what it swallows and what ends the connection.

use std::num::NonZeroU64;

use super::answer::Status;
use super::opcode::{Tag, Verb};
use super::sasl::{self, Claim, Sasl};
use super::stats::Stats;
use super::{HEADER, MAGIC};
use crate::protocol::encode::needs_base64;
use crate::protocol::limits::{Dialect, Limits, MAX_COMMAND_LINE, MAX_KEY};
use crate::protocol::reply::Farewell;
use crate::protocol::request::{Direction, StoreMode};

/// Largest body in bytes, by 1.6.45; a greater one ends the connection.
const MAX_BODY: u32 = 1024 * 1024 * 1024;
/// In the place of an exptime: a missing counter is not created.
const NO_CREATE: u32 = u32::MAX;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What the answer carries.
    pub tag: Tag,
    /// What is asked.
    pub command: Command<'a>,
    /// Its key can only be named in base64: see [`needs_base64`].
    pub odd_key: bool,
}

/// What is asked, borrowed from the input. Keys are 1 to 250 bytes; an exptime is that of
/// [`Command::Store`](crate::protocol::Command::Store), but never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The item; the tag says whether its key comes with it.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// The item, and a new end for it.
    GetAndTouch {
        /// The key.
        key: &'a [u8],
        /// Its new end.
        exptime: i32,
    },
    /// A new end; answered with the item's flags.
    Touch {
        /// The key.
        key: &'a [u8],
        /// Its new end.
        exptime: i32,
    },
    /// A value that fits into an item.
    Store {
        /// With a CAS, set, add and replace are all [`StoreMode::Set`].
        mode: StoreMode,
        /// The key.
        key: &'a [u8],
        /// Client flags; 0 for append and prepend.
        flags: u32,
        /// 0 for append and prepend.
        exptime: i32,
        /// The value.
        value: &'a [u8],
        /// The CAS that the item must have.
        compare: Option<NonZeroU64>,
    },
    /// A set whose value does not fit: memcached drops the old one. The value is swallowed in the next steps.
    TooLarge {
        /// The key.
        key: &'a [u8],
    },
    /// Delete.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The CAS that the item must have.
        compare: Option<NonZeroU64>,
    },
    /// Increment or decrement.
    Arithmetic {
        /// Up or down.
        direction: Direction,
        /// The key.
        key: &'a [u8],
        /// By how much.
        delta: u64,
        /// The CAS that the item must have, if there is one.
        compare: Option<NonZeroU64>,
        /// What is stored if there is none.
        create: Option<Create>,
    },
    /// Flush.
    FlushAll {
        /// 0: now; up to 30 days relative, above absolute Unix time.
        delay: i32,
    },
    /// Answered when everything before is.
    Noop,
    /// memcached's version.
    Version,
    /// Answered, then the connection is closed. No more bytes are taken.
    Quit,
    /// Statistics.
    Stats(Stats),
    /// Which mechanisms there are to say who one is.
    SaslList,
    /// Who the client is.
    Sasl(Claim<'a>),
    /// memcached's answer is known without asking.
    Refused(Status),
}

/// The counter that an increment or decrement creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its number; the delta is not added to it.
    pub initial: u64,
    /// Its end.
    pub exptime: i32,
}

/// What the bytes at the start of the input are.
#[derive(Debug)]
pub(in crate::protocol) enum Parsed<'a> {
    /// So many bytes are needed to go on, counted from the start.
    Incomplete(usize),
    /// A request, its bytes, and how many of those behind it are to be thrown away.
    Request(Request<'a>, usize, u64),
    /// The end of the connection.
    Close(Farewell),
}

/// The lengths that a header announces.
#[derive(Clone, Copy)]
struct Lengths {
    key: usize,
    extras: usize,
    body: u32,
}

/// A header without its magic.
struct Header {
    tag: Tag,
    lengths: Lengths,
    cas: u64,
}

impl Header {
    #[inline]
    fn read(bytes: &[u8; HEADER]) -> Self {
        let [_, opcode, key_0, key_1, extras, _, _, _, body_0, body_1, body_2, body_3, a, b, c, d, cas @ ..] = *bytes;
        Self {
            tag: Tag { opcode, opaque: [a, b, c, d] },
            lengths: Lengths {
                key: usize::from(u16::from_be_bytes([key_0, key_1])),
                extras: usize::from(extras),
                body: u32::from_be_bytes([body_0, body_1, body_2, body_3]),
            },
            cas: u64::from_be_bytes(cas),
        }
    }
}

/// Whether the lengths belong to what is asked. (The body of a touch may be longer, that of a `stat` too: memcached reads
/// what is too much as the next request.)
fn belong(verb: Verb, lengths: Lengths) -> bool {
    let Lengths { key, extras, body } = lengths;
    let head = (key + extras) as u32;
    match verb {
        Verb::Version | Verb::Noop | Verb::Quit | Verb::SaslList => body == 0,
        Verb::Flush => key == 0 && body == head && matches!(extras, 0 | 4),
        Verb::Get | Verb::Delete => key > 0 && extras == 0 && body == head,
        Verb::GetAndTouch | Verb::Touch => key > 0 && extras == 4,
        Verb::Store(StoreMode::Set | StoreMode::Add | StoreMode::Replace) => key > 0 && extras == 8,
        Verb::Store(StoreMode::Append | StoreMode::Prepend) => key > 0 && extras == 0,
        Verb::Arithmetic(_) => key > 0 && extras == 20 && body == head,
        Verb::Stat => extras == 0,
        Verb::SaslAuth | Verb::SaslStep => key > 0 && extras == 0,
    }
}

/// Reads the request at the start of `input`.
#[inline]
pub(in crate::protocol) fn parse<'a>(input: &'a [u8], limits: &Limits, sasl: Sasl) -> Parsed<'a> {
    let Some((header, behind)) = input.split_first_chunk::<HEADER>() else { return Parsed::Incomplete(HEADER) };
    if header.first() != Some(&MAGIC) {
        return Parsed::Close(Farewell::Silent);
    }
    let Header { tag, lengths, cas } = Header::read(header);
    let head = HEADER + lengths.extras + lengths.key;
    if head > MAX_COMMAND_LINE {
        // It does not fit into memcached's read buffer: the connection ends when that is full and there is more.
        return match input.len() {
            ..=MAX_COMMAND_LINE => Parsed::Incomplete(MAX_COMMAND_LINE + 1),
            _ => Parsed::Close(Farewell::Silent),
        };
    }
    let Some((extras, behind)) = behind.split_at_checked(lengths.extras) else { return Parsed::Incomplete(head) };
    let Some((key, behind)) = behind.split_at_checked(lengths.key) else { return Parsed::Incomplete(head) };
    let Some(left) = lengths.body.checked_sub((lengths.extras + lengths.key) as u32) else {
        return Parsed::Close(Farewell::Binary { tag, status: Status::Unknown });
    };
    // It counts in signed numbers: what is more has no defined answer where it is the length of a value, and else none is
    // thrown away.
    let negative = limits.dialect == Dialect::Legacy && lengths.body > i32::MAX as u32 - 2;
    let too_long = match limits.dialect {
        Dialect::Modern => lengths.body > MAX_BODY,
        Dialect::Legacy => negative && (matches!(tag.verb(), Some(Verb::Store(_))) || sasl != Sasl::Off),
    };
    if too_long {
        return Parsed::Close(Farewell::Binary { tag, status: Status::Invalid });
    }
    let always = matches!(tag.verb(), Some(Verb::Version | Verb::SaslList | Verb::SaslAuth | Verb::SaslStep));
    if !always && !sasl.is_open() {
        return Parsed::Close(Farewell::Binary { tag, status: Status::AuthError });
    }
    if lengths.key > MAX_KEY {
        return Parsed::Close(Farewell::Binary { tag, status: Status::Invalid });
    }
    let odd_key = memchr::memchr3(b' ', b'\n', 0, key).is_some();
    let whole = |command, swallow| Parsed::Request(Request { tag, command, odd_key }, head, swallow);
    let refused = |status, swallow| whole(Command::Refused(status), swallow);
    let Some(verb) = tag.verb() else {
        // memcached throws away as many bytes as the body has, behind the key.
        return refused(Status::Unknown, if negative { 0 } else { u64::from(lengths.body) });
    };
    if !belong(verb, lengths) {
        return Parsed::Close(Farewell::Binary { tag, status: Status::Invalid });
    }
    let is_key = !matches!(verb, Verb::Stat | Verb::SaslAuth | Verb::SaslStep);
    if odd_key && is_key && !needs_base64(key) && !limits.accepts_key(key) {
        // Too long for base64: no command for memcached can name it.
        return Parsed::Close(Farewell::Binary { tag, status: Status::Invalid });
    }
    let compare = NonZeroU64::new(cas);
    let command = match verb {
        Verb::Get => Command::Get { key },
        Verb::GetAndTouch => Command::GetAndTouch { key, exptime: exptime(word(extras, 0)) },
        Verb::Touch => Command::Touch { key, exptime: exptime(word(extras, 0)) },
        Verb::Delete => Command::Delete { key, compare },
        Verb::Arithmetic(direction) => {
            let (delta, initial, end) = (long(extras, 0), long(extras, 8), word(extras, 16));
            let create = (end != NO_CREATE).then(|| Create { initial, exptime: exptime(end) });
            Command::Arithmetic { direction, key, delta, compare, create }
        }
        Verb::Flush if !limits.flush_enabled => Command::Refused(Status::AuthError),
        Verb::Flush => Command::FlushAll { delay: i32::try_from(word(extras, 0)).unwrap_or(i32::MAX) },
        Verb::Noop => Command::Noop,
        Verb::Version => Command::Version,
        Verb::Quit => Command::Quit,
        Verb::Stat => Stats::of(key).map_or(Command::Refused(Status::NotFound), Command::Stats),
        Verb::SaslList if sasl == Sasl::Off => Command::Refused(Status::Unknown),
        Verb::SaslList => Command::SaslList,
        Verb::SaslAuth | Verb::SaslStep => {
            let claim = |response| match verb {
                Verb::SaslAuth => Command::Sasl(Claim::Auth { mechanism: key, response }),
                _ => Command::Sasl(Claim::Step { response }),
            };
            let swallowed = match left {
                _ if negative => return refused(Status::Unknown, 0),
                _ if sasl == Sasl::Off => Command::Refused(Status::Unknown),
                _ if key.len() > sasl::MAX_MECHANISM => Command::Refused(Status::Invalid),
                ..=sasl::MAX_RESPONSE => {
                    let Some(response) = behind.get(..left as usize) else {
                        return Parsed::Incomplete(head + left as usize);
                    };
                    let request = Request { tag, command: claim(response), odd_key };
                    return Parsed::Request(request, head + response.len(), 0);
                }
                _ if left < sasl::HUGE_RESPONSE => claim(sasl::TOO_LONG),
                _ => Command::Refused(Status::OutOfMemory),
            };
            return whole(swallowed, u64::from(left));
        }
        Verb::Store(mode) => {
            let flags = word(extras, 0);
            if !limits.item_fits(key.len(), flags, u64::from(left)) {
                let command = match mode {
                    StoreMode::Set => Command::TooLarge { key },
                    _ => Command::Refused(Status::TooLarge),
                };
                return whole(command, u64::from(left));
            }
            let Some(value) = behind.get(..left as usize) else {
                return Parsed::Incomplete(head + left as usize);
            };
            let mode = match mode {
                StoreMode::Append | StoreMode::Prepend => mode,
                _ if compare.is_some() => StoreMode::Set,
                mode => mode,
            };
            let command = Command::Store { mode, key, flags, exptime: exptime(word(extras, 4)), value, compare };
            return Parsed::Request(Request { tag, command, odd_key }, head + value.len(), 0);
        }
    };
    whole(command, 0)
}

/// Four bytes of the extras, 0 where there are none.
fn word(extras: &[u8], at: usize) -> u32 {
    extras.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Eight bytes of the extras.
fn long(extras: &[u8], at: usize) -> u64 {
    extras.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// An exptime has no sign here, and one from 2038 on cannot be said to memcached otherwise: such an item lasts for ever.
fn exptime(word: u32) -> i32 {
    i32::try_from(word).unwrap_or(0)
}
