//! Flags of the meta commands.

use super::{
    Version, base64, classic,
    commands::{BAD_FORMAT, Tokens},
    item::Clock,
};

const MAX_OPAQUE: usize = 32;

/// The flags of one command, read; answers go through `words` again, in the client's order.
pub(super) struct MetaFlags<'a> {
    pub(super) words: &'a [&'a [u8]],
    pub(super) key: Key<'a>,
    /// The item is locked for the whole command, so that its state before the read can be shown.
    pub(super) locked: bool,
    pub(super) vivify: bool,
    pub(super) no_update: bool,
    pub(super) value: bool,
    pub(super) quiet: bool,
    pub(super) invalidate: bool,
    pub(super) remove_value: bool,
    pub(super) mode: Option<u8>,
    /// `T`, `N` and `R` as seconds; zero without a flag.
    pub(super) exptime: u32,
    pub(super) new_ttl: bool,
    pub(super) vivify_exptime: u32,
    pub(super) recache: u32,
    pub(super) client_flags: u32,
    /// `C`.
    pub(super) compare: Option<u64>,
    /// `E`.
    pub(super) new_cas: Option<u64>,
    pub(super) initial: u64,
    pub(super) delta: u64,
}

/// The key of a meta command.
pub(super) enum Key<'a> {
    Plain(&'a [u8]),
    /// Came in base64.
    Binary(Vec<u8>),
}

impl Key<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Key::Plain(key) => key,
            Key::Binary(key) => key,
        }
    }

    pub(super) fn is_binary(&self) -> bool {
        matches!(self, Key::Binary(_))
    }
}

/// Why a command was refused.
pub(super) enum FlagError {
    /// The line could not even be split: a value behind it is not skipped.
    Line(&'static str),
    Flags(&'static str),
}

impl<'a> MetaFlags<'a> {
    /// Reads the flags behind the first `skip` arguments.
    pub(super) fn parse(
        version: Version,
        clock: &Clock,
        tokens: &'a Tokens<'a>,
        skip: usize,
    ) -> Result<Self, FlagError> {
        let arguments = tokens.arguments();
        let key = arguments.first().copied().unwrap_or_default();
        let words = arguments.get(skip..).unwrap_or_default();
        // the command itself is a token, and the older version counts the end of the line too
        let too_many = match version {
            Version::V1_6_38 => arguments.len() + 2 > 20,
            Version::V1_6_45 => arguments.len() + 1 > 20,
        };
        match version {
            Version::V1_6_38 => {
                if key.len() > classic::MAX_KEY {
                    return Err(FlagError::Line(BAD_FORMAT));
                }
                if too_many {
                    return Err(FlagError::Line(if skip == 1 {
                        "CLIENT_ERROR options flags are too long"
                    } else {
                        "CLIENT_ERROR options flags too long"
                    }));
                }
            }
            Version::V1_6_45 => {
                if !are_flag_like(words) {
                    return Err(FlagError::Line(BAD_FORMAT));
                }
                if key.len() > classic::MAX_KEY {
                    return Err(FlagError::Flags(BAD_FORMAT));
                }
                if too_many {
                    return Err(FlagError::Flags("CLIENT_ERROR options flags are too long"));
                }
            }
        }
        let mut flags = Self::none(words, key);
        flags.read(version, clock).map_err(FlagError::Flags)?;
        Ok(flags)
    }

    fn none(words: &'a [&'a [u8]], key: &'a [u8]) -> Self {
        Self {
            words,
            key: Key::Plain(key),
            locked: false,
            vivify: false,
            no_update: false,
            value: false,
            quiet: false,
            invalidate: false,
            remove_value: false,
            mode: None,
            exptime: 0,
            new_ttl: false,
            vivify_exptime: 0,
            recache: 0,
            client_flags: 0,
            compare: None,
            new_cas: None,
            initial: 0,
            delta: 1,
        }
    }

    /// Errors that name a flag are kept until the end: a later one of another kind wins.
    fn read(&mut self, version: Version, clock: &Clock) -> Result<(), &'static str> {
        const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format";
        let mut seen = 0u128;
        let mut text = BAD_FORMAT;
        let mut failed = false;
        for word in self.words {
            let Some((&flag, argument)) = word.split_first() else {
                continue;
            };
            if flag >= 127 || seen & 1 << flag != 0 {
                return Err("CLIENT_ERROR duplicate flag");
            }
            seen |= 1 << flag;
            let number = || version.u64(argument).filter(|_| !argument.is_empty());
            let exptime = || {
                let exptime = version.i32(argument).filter(|_| !argument.is_empty())?;
                Some(clock.deadline(exptime))
            };
            let mut fail = |reason| {
                text = reason;
                failed = true;
            };
            match flag {
                b'b' => match base64::decode(self.key.bytes()) {
                    Some(key) => self.key = Key::Binary(key),
                    None => fail("CLIENT_ERROR error decoding key"),
                },
                b'N' => {
                    self.locked = true;
                    self.vivify = true;
                    match exptime() {
                        Some(exptime) => self.vivify_exptime = exptime,
                        None => fail(BAD_TOKEN),
                    }
                }
                b'T' => {
                    self.locked = true;
                    match exptime() {
                        Some(exptime) => (self.exptime, self.new_ttl) = (exptime, true),
                        None => fail(BAD_TOKEN),
                    }
                }
                b'R' => {
                    self.locked = true;
                    match exptime() {
                        Some(exptime) => self.recache = exptime,
                        None => fail(BAD_TOKEN),
                    }
                }
                b'l' | b'h' => self.locked = true,
                b'O' | b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' => {}
                b'v' => self.value = true,
                b'u' => self.no_update = true,
                b'q' => self.quiet = true,
                b'x' => self.remove_value = true,
                b'I' => self.invalidate = true,
                b'F' => match version.flag_u32(argument).filter(|_| !argument.is_empty()) {
                    Some(client_flags) => self.client_flags = client_flags,
                    None => failed = true,
                },
                b'C' => match number() {
                    Some(cas) => self.compare = Some(cas),
                    None => fail(BAD_TOKEN),
                },
                b'E' => match number() {
                    Some(cas) => self.new_cas = Some(cas),
                    None => fail(BAD_TOKEN),
                },
                b'M' => {
                    self.mode = Some(argument.first().copied().unwrap_or(b' '));
                    if version == Version::V1_6_38 && argument.len() != 1 {
                        fail("CLIENT_ERROR incorrect length for M token");
                    }
                }
                b'J' => match number() {
                    Some(initial) => self.initial = initial,
                    None => fail("CLIENT_ERROR invalid numeric initial value"),
                },
                b'D' => match number() {
                    Some(delta) => self.delta = delta,
                    None => fail("CLIENT_ERROR invalid numeric delta value"),
                },
                _ => return Err("CLIENT_ERROR invalid flag"),
            }
        }
        if failed { Err(text) } else { Ok(()) }
    }

    /// True when the opaque token is longer than memcached echoes.
    pub(super) fn opaque_too_long(&self) -> bool {
        self.words.iter().any(|word| word.first() == Some(&b'O') && word.len() > MAX_OPAQUE)
    }
}

/// The newer version cannot split a line with words that start otherwise.
pub(super) fn are_flag_like(words: &[&[u8]]) -> bool {
    let flag_like = |word: &&[u8]| matches!(word.first(), Some(65..=122 | b'0'..=b'9'));
    words.iter().all(flag_like)
}
