//! Client bytes to steps.

use super::binary::{self, Sasl, request::Parsed as Binary};
use super::command::{self, Parsed, StoreLine};
use super::fast;
use super::limits::{Limits, MAX_COMMAND_LINE, MAX_GET_LINE, MAX_UNFINISHED_LINE};
use super::meta::MetaRequest;
use super::reply::{self, Farewell};
use super::request::{Command, Request};

/// The parser of one client connection.
///
/// Give it the bytes that are not consumed yet, oldest first; what it returns borrows from them.
/// It keeps a few words of state and no bytes.
#[derive(Clone, Debug)]
pub struct Parser {
    state: State,
    sasl: Sasl,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No byte seen: the first one tells the protocol.
    Fresh,
    /// Text protocol, at the start of a line whose first `scanned` bytes hold no line feed.
    Line { scanned: usize },
    /// Text protocol, inside a value that is thrown away.
    Swallow { remaining: u64 },
    /// Binary protocol, behind so many bytes that are thrown away.
    Binary { swallow: u64 },
    /// Nothing is read any more.
    Closed,
}

/// What the bytes at the start of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing can be done before `input` holds at least `need` bytes, which is more than now and
    /// at most [`Limits::max_input`]. Calling earlier does no harm.
    Incomplete {
        /// Bytes, counted from the first one of this input.
        need: usize,
    },
    /// A request.
    Request {
        /// What is asked.
        request: Request<'a>,
        /// Bytes of input that are done with, above 0.
        consumed: usize,
    },
    /// A request of the binary protocol.
    Binary {
        /// What is asked.
        request: binary::Request<'a>,
        /// Bytes of input that are done with, above 0.
        consumed: usize,
    },
    /// memcached's answer is known without asking: errors, and values that are swallowed.
    Answer {
        /// To be sent in its turn; may be empty.
        reply: &'static [u8],
        /// Bytes of input that are done with, above 0.
        consumed: usize,
    },
    /// Everything before is answered, then `farewell`, then the connection is closed.
    Close {
        /// To be sent in its turn.
        farewell: Farewell,
        /// Bytes of input that are done with: all.
        consumed: usize,
    },
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Fresh, sasl: Sasl::Off }
    }

    /// How far the client has come in saying who it is, in the binary protocol.
    #[must_use]
    pub fn sasl(&self) -> Sasl {
        self.sasl
    }

    /// The same from now on.
    pub fn set_sasl(&mut self, sasl: Sasl) {
        self.sasl = sasl;
    }

    /// A parser for a connection that has shown itself to speak the text protocol.
    #[must_use]
    pub fn text() -> Self {
        Self { state: State::Line { scanned: 0 }, sasl: Sasl::Off }
    }

    /// Whether the next bytes belong to a value that is thrown away.
    #[must_use]
    pub fn is_swallowing(&self) -> bool {
        matches!(self.state, State::Swallow { .. } | State::Binary { swallow: 1.. })
    }

    /// Looks at `input`, which starts with the first byte that is not consumed yet.
    #[inline]
    pub fn step<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Step<'a> {
        match self.state {
            State::Line { scanned: 0 } => {}
            State::Line { scanned } => return self.line(input, scanned, limits),
            State::Fresh => match input.first() {
                None => return Step::Incomplete { need: 1 },
                Some(&binary::MAGIC) => return self.binary(input, limits),
                Some(_) => self.state = State::Line { scanned: 0 },
            },
            State::Swallow { remaining } => return self.swallow(input, remaining),
            State::Binary { swallow: 0 } => return self.binary(input, limits),
            State::Binary { swallow } => return self.swallow_binary(input, swallow),
            State::Closed => return self.close(input, Farewell::Silent),
        }
        match fast::parse(input, limits) {
            Some((parsed, line_len)) => self.act(parsed, input, line_len),
            None => self.line(input, 0, limits),
        }
    }

    /// Any line; its first `scanned` bytes hold no line feed.
    fn line<'a>(&mut self, input: &'a [u8], scanned: usize, limits: &Limits) -> Step<'a> {
        let unseen = input.get(scanned..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unseen).map(|at| scanned + at) else {
            return self.unfinished(input);
        };
        self.state = State::Line { scanned: 0 };
        let line = input.get(..end).unwrap_or_default();
        if line.len() >= MAX_COMMAND_LINE && (!is_get(line) || line.len() > MAX_GET_LINE) {
            return self.close(input, Farewell::Silent);
        }
        let (line, line_end) = match line {
            [line @ .., b'\r'] => (line, 2),
            line => (line, 1),
        };
        self.act(command::parse(line, line_end, limits), input, end + 1)
    }

    /// Goes on behind a line of `line_len` bytes.
    #[inline]
    fn act<'a>(&mut self, parsed: Parsed<'a>, input: &'a [u8], line_len: usize) -> Step<'a> {
        match parsed {
            Parsed::Request(request, swallow) => {
                match request.command {
                    Command::Quit => self.state = State::Closed,
                    _ => self.swallow_next(swallow),
                }
                Step::Request { request, consumed: line_len }
            }
            Parsed::Store(store) => {
                let behind = input.get(line_len..).unwrap_or_default();
                value(&store, behind, line_len)
            }
            Parsed::MetaStore(request, len) => {
                let behind = input.get(line_len..).unwrap_or_default();
                meta_value(request, len as usize, behind, line_len)
            }
            Parsed::Reply(reply, swallow) => {
                self.swallow_next(swallow);
                Step::Answer { reply, consumed: line_len }
            }
            Parsed::Close => self.close(input, Farewell::Silent),
        }
    }

    #[inline]
    fn swallow_next(&mut self, bytes: u64) {
        if bytes > 0 {
            self.state = State::Swallow { remaining: bytes };
        }
    }

    /// No line feed yet.
    #[cold]
    fn unfinished<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        self.state = State::Line { scanned: input.len() };
        let too_long = input.len() > MAX_GET_LINE || (input.len() > MAX_UNFINISHED_LINE && !is_get(input));
        if too_long {
            return self.close(input, Farewell::Silent);
        }
        Step::Incomplete { need: input.len() + 1 }
    }

    fn swallow<'a>(&mut self, input: &'a [u8], remaining: u64) -> Step<'a> {
        let (step, remaining) = throw_away(input, remaining);
        self.state = match remaining {
            0 => State::Line { scanned: 0 },
            remaining => State::Swallow { remaining },
        };
        step
    }

    fn swallow_binary<'a>(&mut self, input: &'a [u8], remaining: u64) -> Step<'a> {
        let (step, swallow) = throw_away(input, remaining);
        self.state = State::Binary { swallow };
        step
    }

    fn binary<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Step<'a> {
        match binary::request::parse(input, limits, self.sasl) {
            Binary::Incomplete(need) => Step::Incomplete { need },
            Binary::Request(request, consumed, swallow) => {
                self.state = match request.command {
                    binary::Command::Quit => State::Closed,
                    _ => State::Binary { swallow },
                };
                Step::Binary { request, consumed }
            }
            Binary::Close(farewell) => self.close(input, farewell),
        }
    }

    fn close<'a>(&mut self, input: &'a [u8], farewell: Farewell) -> Step<'a> {
        self.state = State::Closed;
        Step::Close { farewell, consumed: input.len() }
    }
}

/// Bytes of a value that is thrown away, and how many of it are still to come.
fn throw_away(input: &[u8], remaining: u64) -> (Step<'_>, u64) {
    if input.is_empty() {
        return (Step::Incomplete { need: 1 }, remaining);
    }
    let consumed = usize::try_from(remaining).map_or(input.len(), |all| all.min(input.len()));
    (Step::Answer { reply: b"", consumed }, remaining - consumed as u64)
}

/// The value of a storage command: taken only when it is all there.
#[inline]
fn value<'a>(store: &StoreLine<'a>, behind: &'a [u8], line_len: usize) -> Step<'a> {
    let len = store.len as usize;
    let Some((value, [cr, lf, ..])) = behind.split_at_checked(len) else {
        return Step::Incomplete { need: line_len + len + 2 };
    };
    let consumed = line_len + len + 2;
    if [*cr, *lf] != *b"\r\n" {
        let reply = if store.noreply { b"" } else { reply::BAD_DATA_CHUNK };
        return Step::Answer { reply, consumed };
    }
    Step::Request {
        request: Request {
            command: Command::Store {
                mode: store.mode,
                key: store.key,
                flags: store.flags,
                exptime: store.exptime,
                value,
                compare: store.compare,
            },
            noreply: store.noreply,
        },
        consumed,
    }
}

/// The value of `ms`, which is never silent about a wrong one.
#[inline]
fn meta_value<'a>(request: MetaRequest<'a>, len: usize, behind: &'a [u8], line_len: usize) -> Step<'a> {
    let consumed = line_len + len + 2;
    match behind.split_at_checked(len) {
        Some((value, [b'\r', b'\n', ..])) => {
            let command = Command::Meta(request.with_value(value));
            Step::Request { request: Request { command, noreply: false }, consumed }
        }
        Some((_, [_, _, ..])) => Step::Answer { reply: reply::BAD_DATA_CHUNK, consumed },
        _ => Step::Incomplete { need: consumed },
    }
}

/// Whether memcached waits for the end of this line whatever its length.
fn is_get(line: &[u8]) -> bool {
    let blanks = line.iter().take_while(|byte| **byte == b' ').count();
    let line = line.get(blanks..).unwrap_or_default();
    blanks <= 100 && (line.starts_with(b"get ") || line.starts_with(b"gets "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_little() {
        assert!(size_of::<Parser>() <= 64);
        assert!(size_of::<Step<'_>>() <= 128);
    }
}
