//! The meta commands (protocol.txt, "Meta Commands"): one line to one validated request, and that to the line for
//! memcached.
//!
//! A line with an error is answered here, since memcached swallows the value behind some of them and not behind others.
//! A valid one goes on as the client wrote it, but for `E` (versions are ours), `q` (every command on a shared connection
//! needs an answer) and what means nothing to its verb.

use super::base64::{self, KeyBuffer};
use super::command::Parsed;
use super::encode::needs_base64;
use super::limits::{Dialect, Limits, MAX_ANNOUNCED_VALUE, MAX_KEY};
use super::number::{c_i32, c_u32, c_u64, plain_i32, plain_u64};
use super::reply;
use super::request::{Command, Keys, Request};
use super::words::{TOKENS, split_word};

/// The most words of a line but for its end, the verb included.
const MAX_WORDS: usize = 20;
/// The longest opaque token, with its `O`.
const MAX_OPAQUE: usize = 32;
/// Flags that are longer go upstream word by word, each as short as it can be: a line that is cut by memcached's read
/// buffer closes the connection.
const MAX_VERBATIM: usize = 512;

/// The verbs but for `mn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVerb {
    /// `mg`.
    Get,
    /// `ms` with its value.
    Set,
    /// `ms` whose value cannot be stored: memcached drops the old value, whatever the mode. The value is swallowed.
    TooLarge,
    /// `md`.
    Delete,
    /// `ma`.
    Arithmetic,
    /// `me`.
    Debug,
}

/// A meta command, borrowed from the client's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaRequest<'a> {
    /// What is done.
    pub verb: MetaVerb,
    /// The argument of `M`, 0 without one.
    pub mode: u8,
    dialect: Dialect,
    /// As the client wrote it.
    text: &'a [u8],
    /// The flags as the client wrote them, no two alike.
    words: &'a [u8],
    /// Which they are: bit 0 is `A`.
    seen: u64,
    /// The value of `ms` without its line end.
    pub value: &'a [u8],
}

const fn bit(flag: u8) -> u64 {
    1 << (flag - b'A')
}

const fn bits(flags: &[u8]) -> u64 {
    let (mut sum, mut index) = (0, 0);
    while index < flags.len() {
        sum |= bit(flags[index]);
        index += 1;
    }
    sum
}

impl MetaVerb {
    /// The flags that mean something to memcached. Of the others it only checks the arguments.
    const fn forwarded(self) -> u64 {
        match self {
            Self::Get => bits(b"bNTRlOkstcfvhuC"),
            Self::Set | Self::TooLarge => bits(b"bOkcsIFCMTN"),
            Self::Delete => bits(b"bOkCxFTI"),
            Self::Arithmetic => bits(b"bMDCNJvctTOk"),
            Self::Debug => 0,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Get => b"mg ",
            Self::Set | Self::TooLarge => b"ms ",
            Self::Delete => b"md ",
            Self::Arithmetic => b"ma ",
            Self::Debug => b"me ",
        }
    }
}

impl<'a> MetaRequest<'a> {
    /// Whether a flag is given.
    #[must_use]
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.seen & bit(flag) != 0
    }

    /// The same with its value, which has come.
    pub(super) fn with_value(self, value: &'a [u8]) -> Self {
        Self { value, ..self }
    }

    /// The flags, each with its argument.
    fn flags(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        Keys::new(self.words).filter_map(|word| word.split_first().map(|(flag, rest)| (*flag, rest)))
    }

    fn argument(&self, flag: u8) -> Option<&'a [u8]> {
        self.has(flag).then(|| self.flags().find(|(found, _)| *found == flag)).flatten().map(|(_, argument)| argument)
    }

    /// The key as memcached stores it.
    #[must_use]
    #[inline]
    pub fn key<'b>(&self, buffer: &'b mut KeyBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        // Without a key in it the line was refused.
        if self.is_binary() { base64::decode(self.text, buffer).unwrap_or_default() } else { self.text }
    }

    /// Whether memcached must not be asked for the key: it would show the bytes themselves where an item has forgotten
    /// that they came in base64, and a line feed among them ends its answer.
    #[must_use]
    pub fn hides_key(&self) -> bool {
        self.is_binary() && needs_base64(self.key(&mut [0; MAX_KEY]))
    }

    /// Where the key belongs in the answer to this command, counted in words, if memcached was not asked for it. `hit`:
    /// the answer is about an item.
    #[must_use]
    pub fn place_of_key(&self, hit: bool) -> Option<usize> {
        let returned = match (self.verb, hit) {
            (MetaVerb::Get, true) => bits(b"stcflhO"),
            (MetaVerb::Set, _) => bits(b"cOs"),
            (MetaVerb::Arithmetic, true) => bits(b"ctO"),
            _ => bits(b"O"),
        };
        let before = self.flags().take_while(|(flag, _)| *flag != b'k');
        (self.has(b'k') && self.hides_key()).then(|| before.filter(|(flag, _)| returned & bit(*flag) != 0).count())
    }

    /// Whether the key came in base64, and a new item will remember that.
    #[must_use]
    #[inline]
    pub fn is_binary(&self) -> bool {
        self.has(b'b')
    }

    /// `T` or `N`: an exptime as in [`Command::Store`].
    #[must_use]
    pub fn exptime(&self, flag: u8) -> Option<i32> {
        exptime(self.argument(flag)?, self.dialect)
    }

    /// Of `T` and `N` the one that an item has which was not there: memcached takes them in their order.
    #[must_use]
    pub fn first_exptime(&self) -> i32 {
        let last = self.flags().filter(|(flag, _)| matches!(flag, b'T' | b'N')).last();
        last.and_then(|(_, argument)| exptime(argument, self.dialect)).unwrap_or(0)
    }

    /// `C`.
    #[must_use]
    pub fn compare(&self) -> Option<u64> {
        self.argument(b'C').and_then(|argument| unsigned(argument, self.dialect))
    }

    /// `F`.
    #[must_use]
    pub fn client_flags(&self) -> u32 {
        self.argument(b'F').and_then(|argument| client_flags(argument, self.dialect)).unwrap_or(0)
    }

    /// Whether the opaque token of an `ma` is longer than memcached echoes: the answer is an error, but it is executed.
    #[must_use]
    pub fn opaque_too_long(&self) -> bool {
        self.argument(b'O').is_some_and(|opaque| opaque.len() + 1 > MAX_OPAQUE)
    }

    /// Whether memcached answers the creation of a counter in spite of `q`.
    #[must_use]
    pub fn tells_creation(&self) -> bool {
        self.dialect == Dialect::Legacy && self.has(b'N')
    }

    /// Appends the line for memcached, which always answers it, with the value where there is one.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>, version: Option<u64>, ask_cas: bool) {
        out.reserve(self.text.len() + self.words.len() + self.value.len() + 64);
        out.extend_from_slice(self.verb.name());
        out.extend_from_slice(self.text);
        if self.verb == MetaVerb::Set {
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(self.value.len()).as_bytes());
        }
        let hides_key = self.is_binary() && self.hides_key();
        let verbatim = self.seen & !self.verb.forwarded() == 0 && self.words.len() <= MAX_VERBATIM;
        if verbatim && !hides_key && !self.opaque_too_long() {
            if !self.words.is_empty() {
                out.push(b' ');
                out.extend_from_slice(self.words);
            }
        } else {
            self.write_words(out, hides_key);
        }
        if let Some(version) = version {
            out.extend_from_slice(b" E");
            out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
        }
        if ask_cas && !self.has(b'c') {
            out.extend_from_slice(b" c");
        }
        out.extend_from_slice(b"\r\n");
        if self.verb == MetaVerb::Set {
            out.extend_from_slice(self.value);
            out.extend_from_slice(b"\r\n");
        }
    }

    #[cold]
    fn write_words(&self, out: &mut Vec<u8>, hides_key: bool) {
        if self.verb == MetaVerb::Debug {
            // Seen by the modern parser only when something follows it.
            out.extend_from_slice(if self.is_binary() { b" b b" } else { b"" });
            return;
        }
        for (flag, argument) in self.flags().filter(|(flag, _)| self.verb.forwarded() & bit(*flag) != 0) {
            if flag == b'O' && argument.len() + 1 > MAX_OPAQUE || flag == b'k' && hides_key {
                continue;
            }
            out.extend_from_slice(&[b' ', flag]);
            match flag {
                b'O' => out.extend_from_slice(argument),
                b'M' => out.extend_from_slice(argument.get(..1).unwrap_or_default()),
                b'N' | b'T' | b'R' => {
                    let number = exptime(argument, self.dialect).unwrap_or(0);
                    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
                b'C' | b'D' | b'J' | b'F' => {
                    let number = match flag {
                        b'F' => client_flags(argument, self.dialect).map(u64::from),
                        _ => unsigned(argument, self.dialect),
                    };
                    out.extend_from_slice(itoa::Buffer::new().format(number.unwrap_or(0)).as_bytes());
                }
                _ => {}
            }
        }
    }

    /// Appends what memcached answers with a code that is about no item: opaque and key, in the client's order.
    pub fn write_echo(&self, out: &mut Vec<u8>) {
        for (flag, argument) in self.flags() {
            match flag {
                b'O' => {
                    out.extend_from_slice(b" O");
                    out.extend_from_slice(argument);
                }
                b'k' => self.write_key(out),
                _ => {}
            }
        }
    }

    /// Appends the key as memcached echoes it, with a blank before.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b" k");
        if self.is_binary() {
            base64::encode(out, self.key(&mut [0; MAX_KEY]));
            out.extend_from_slice(b" b");
        } else {
            out.extend_from_slice(self.text);
        }
    }
}

fn exptime(argument: &[u8], dialect: Dialect) -> Option<i32> {
    match dialect {
        _ if argument.is_empty() => None,
        Dialect::Legacy => c_i32(argument),
        Dialect::Modern => plain_i32(argument),
    }
}

fn unsigned(argument: &[u8], dialect: Dialect) -> Option<u64> {
    match dialect {
        _ if argument.is_empty() => None,
        Dialect::Legacy => c_u64(argument),
        Dialect::Modern => plain_u64(argument),
    }
}

fn client_flags(argument: &[u8], dialect: Dialect) -> Option<u32> {
    match dialect {
        _ if argument.is_empty() => None,
        Dialect::Legacy => c_u32(argument),
        Dialect::Modern if argument.len() > 11 => None,
        Dialect::Modern => plain_u64(argument).and_then(|flags| u32::try_from(flags).ok()),
    }
}

/// The flags of a line, checked.
struct Checked {
    seen: u64,
    mode: u8,
}

/// Reads the flags as memcached's `_meta_flag_preparse` does: errors that name a flag are kept until the end, and a later
/// one of another kind wins.
fn check(words: Keys<'_>, key: &[u8], dialect: Dialect) -> Result<Checked, &'static [u8]> {
    let mut checked = Checked { seen: 0, mode: 0 };
    let (mut text, mut failed) = (reply::BAD_FORMAT, false);
    for word in words {
        let Some((&flag, argument)) = word.split_first() else { continue };
        if flag >= 127 {
            return Err(reply::DUPLICATE_FLAG);
        }
        if !flag.is_ascii_alphabetic() {
            return Err(reply::INVALID_FLAG);
        }
        if checked.seen & bit(flag) != 0 {
            return Err(reply::DUPLICATE_FLAG);
        }
        checked.seen |= bit(flag);
        let mut require = |valid: bool, error: &'static [u8]| {
            if !valid {
                (text, failed) = (error, true);
            }
        };
        match flag {
            b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'v' | b'h' | b'l' | b'u' | b'q' | b'x' | b'I' => {}
            b'b' => require(base64::decode(key, &mut [0; MAX_KEY]).is_some(), reply::KEY_NOT_DECODED),
            b'N' | b'T' | b'R' => require(exptime(argument, dialect).is_some(), reply::BAD_TOKEN),
            b'C' | b'E' => require(unsigned(argument, dialect).is_some(), reply::BAD_TOKEN),
            // memcached sets no text of its own for it.
            b'F' => failed |= client_flags(argument, dialect).is_none(),
            b'J' => require(unsigned(argument, dialect).is_some(), reply::INVALID_INITIAL),
            b'D' => require(unsigned(argument, dialect).is_some(), reply::INVALID_META_DELTA),
            b'M' => {
                require(dialect == Dialect::Modern || argument.len() == 1, reply::MODE_LENGTH);
                // The modern parser takes the byte behind the letter, whatever that is.
                checked.mode = argument.first().copied().unwrap_or(b' ');
            }
            _ => return Err(reply::INVALID_FLAG),
        }
    }
    if failed { Err(text) } else { Ok(checked) }
}

/// The modern tokenizer gives up at words that start otherwise.
fn is_flag_like(word: &[u8]) -> bool {
    matches!(word.first(), Some(65..=122 | b'0'..=b'9'))
}

fn refuse(reply: &'static [u8]) -> Parsed<'static> {
    Parsed::Reply(reply, 0)
}

/// Reads a line whose verb is `verb`; `rest` is what stands behind that.
pub(super) fn parse<'a>(verb: MetaVerb, rest: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let dialect = limits.dialect;
    let (text, rest) = split_word(rest);
    if text.is_empty() {
        return refuse(match (dialect, verb) {
            (Dialect::Modern, _) | (_, MetaVerb::Debug) => reply::BAD_FORMAT,
            (Dialect::Legacy, _) => reply::ERROR,
        });
    }
    let (len, words) = if verb == MetaVerb::Set { split_word(rest) } else { (b"".as_slice(), rest) };
    let words = words.get(words.iter().take_while(|byte| **byte == b' ').count()..).unwrap_or_default();
    let behind = Keys::new(words);
    // The verb, the key, and the length of `ms` are words too; the legacy parser counts the end of the line as one.
    let head = 2 + usize::from(!len.is_empty());
    let count = head + behind.take(MAX_WORDS + 1).count();
    if dialect == Dialect::Modern && !behind.take(TOKENS - head).all(is_flag_like) {
        return refuse(reply::BAD_FORMAT);
    }
    if verb == MetaVerb::Debug {
        return debug(text, words, count, dialect);
    }
    let too_many = match (dialect, verb) {
        (Dialect::Legacy, _) if text.len() > MAX_KEY => return refuse(reply::BAD_FORMAT),
        (Dialect::Legacy, MetaVerb::Set) if len.is_empty() => return refuse(reply::BAD_FORMAT),
        (Dialect::Legacy, MetaVerb::Get) => reply::FLAGS_ARE_TOO_LONG,
        (Dialect::Legacy, _) => reply::FLAGS_TOO_LONG,
        (Dialect::Modern, _) => reply::FLAGS_ARE_TOO_LONG,
    };
    let too_many = (count + usize::from(dialect == Dialect::Legacy) > MAX_WORDS).then_some(too_many);
    if let (Dialect::Legacy, Some(error)) = (dialect, too_many) {
        return refuse(error);
    }
    let mut swallow = 0;
    let mut value_len = 0;
    if verb == MetaVerb::Set {
        let number = if dialect == Dialect::Legacy { c_i32(len) } else { plain_i32(len).filter(|_| !len.is_empty()) };
        match number.and_then(|len| u32::try_from(len).ok()).filter(|len| *len <= MAX_ANNOUNCED_VALUE) {
            Some(len) => (value_len, swallow) = (len, u64::from(len) + 2),
            None => return refuse(reply::BAD_FORMAT),
        }
    }
    let checked = match too_many {
        _ if text.len() > MAX_KEY => Err(reply::BAD_FORMAT),
        Some(error) => Err(error),
        None => check(behind, text, dialect),
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let text = match (verb, dialect) {
                (MetaVerb::Arithmetic, _) | (MetaVerb::Delete, Dialect::Legacy) => reply::BAD_FLAG,
                _ => error,
            };
            return Parsed::Reply(text, swallow);
        }
    };
    let Checked { seen, mode } = checked;
    let request = MetaRequest { verb, mode, dialect, text, words, seen, value: b"" };
    match wrong(&request, value_len, limits) {
        Some(Wrong::Answer(text)) => Parsed::Reply(text, swallow),
        Some(Wrong::TooLarge) => complete(MetaRequest { verb: MetaVerb::TooLarge, ..request }, swallow),
        None if verb == MetaVerb::Set => Parsed::MetaStore(request, value_len),
        None => complete(request, 0),
    }
}

/// Why a line with good flags is not executed as it is.
enum Wrong {
    Answer(&'static [u8]),
    TooLarge,
}

fn wrong(request: &MetaRequest<'_>, value_len: u32, limits: &Limits) -> Option<Wrong> {
    let opaque = || request.opaque_too_long().then_some(Wrong::Answer(reply::OPAQUE_TOO_LONG));
    match request.verb {
        MetaVerb::Set if !matches!(request.mode, 0 | b'S' | b'E' | b'R' | b'A' | b'P') => {
            Some(Wrong::Answer(reply::INVALID_SET_MODE))
        }
        MetaVerb::Set => {
            let key_len = request.key(&mut [0; MAX_KEY]).len();
            let fits = limits.item_fits(key_len, request.client_flags(), u64::from(value_len));
            let too_large = (!fits).then_some(Wrong::TooLarge);
            match request.dialect {
                Dialect::Legacy => opaque().or(too_large),
                Dialect::Modern => too_large.or_else(opaque),
            }
        }
        MetaVerb::Arithmetic if !matches!(request.mode, 0 | b'I' | b'+' | b'D' | b'-') => {
            Some(Wrong::Answer(reply::INVALID_ARITHMETIC_MODE))
        }
        MetaVerb::Get | MetaVerb::Delete => opaque(),
        MetaVerb::Arithmetic | MetaVerb::TooLarge | MetaVerb::Debug => None,
    }
}

/// `me <key> [b]`: what else follows is ignored.
fn debug<'a>(text: &'a [u8], words: &'a [u8], count: usize, dialect: Dialect) -> Parsed<'a> {
    // The modern parser looks at it only when something follows it.
    let looked_at = dialect == Dialect::Legacy || count > 3;
    let binary = looked_at && split_word(words).0 == b"b";
    let valid = text.len() <= MAX_KEY && (!binary || base64::decode(text, &mut [0; MAX_KEY]).is_some());
    if !valid {
        return refuse(reply::BAD_FORMAT);
    }
    let seen = if binary { bit(b'b') } else { 0 };
    let verb = MetaVerb::Debug;
    complete(MetaRequest { verb, mode: 0, dialect, text, words: b"", seen, value: b"" }, 0)
}

fn complete(request: MetaRequest<'_>, swallow: u64) -> Parsed<'_> {
    Parsed::Request(Request { command: Command::Meta(request), noreply: false }, swallow)
}
