//! One client connection.

use super::answer::To;
use super::expect::Expected;
use super::login::Entry;
use super::stripes::Stripe;
use crate::guess::Guess;
use crate::protocol::binary::Tag;
use crate::protocol::{Parser, StreamKind};

/// Above this many unsent bytes of answers no more requests of that client are taken.
pub const OUTPUT_HIGH: usize = 256 << 10;
/// Above this many unanswered commands no more requests of that client are taken.
pub const MAX_IN_FLIGHT: u32 = 1024;
/// Up to this many keys of a multi-get go upstream at once; the rest follows when they are answered and sent.
pub const KEYS_AT_ONCE: usize = 256;
/// So many bytes of answers may be on their way for one client, as far as can be guessed: all clients of a worker share a
/// connection to memcached, and what one has asked for delays the others even when it is gone.
pub const AHEAD: usize = 2 << 20;

/// Of a value on its way from a client from so many bytes on, the rest is read to where its first bytes are.
const LONG: usize = 16 << 10;

/// What is taken for the size of an answer before there was one.
pub(super) const ANSWER: Guess = Guess::new(AHEAD / 16);

/// Why a session takes no more requests for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// The request at the front of its input waits for this stripe.
    Waiting(Stripe),
    /// The request at the front waits for `me` of its key.
    Inspecting,
    /// It waits until what it asked before is answered.
    Draining(Then),
    /// Its flush is under way.
    Flushing,
    /// The shell talks to memcached for it.
    Private,
    /// All is said; the shell sends the rest of the output and closes.
    Closing,
}

/// What follows when all is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// What is at the front of the input: the next keys of a multi-get, or a request.
    MoreKeys,
    /// A flush; its exptime.
    Flush {
        /// As the client gave it.
        exptime: i32,
        /// How it is answered.
        to: To,
    },
    /// A command on a private connection.
    Private(PrivateCommand),
}

/// A line that memcached answers on a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateCommand {
    /// Without line end.
    pub line: Vec<u8>,
    /// It becomes a stream.
    pub stream: Option<StreamKind>,
    /// How it is answered.
    pub to: PrivateAnswer,
}

/// How a client gets the lines that answer its private command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateAnswer {
    /// As they are.
    Lines,
    /// Each as a packet of the binary protocol.
    Packets(Tag),
    /// All as one packet.
    Packet(Tag),
}

/// The item that a request is about, before that is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inspected {
    /// Held alone.
    pub(super) stripe: Stripe,
    /// Of the item; `None` where there is none.
    pub(super) cas: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    pub(super) generation: u32,
    pub(super) parser: Parser,
    pub(super) entry: Entry,
    /// Received and not consumed.
    pub(super) input: Vec<u8>,
    /// Parsing is of no use before `input` has this many bytes.
    pub(super) need: usize,
    /// For the client; the shell takes it.
    pub(super) output: Vec<u8>,
    pub(super) in_flight: u32,
    /// Win tokens that are being given back: see [`Session::is_withheld`].
    pub(super) giving_back: u32,
    pub(super) state: State,
    /// Keys of the request at the front that are on their way or done.
    pub(super) keys_done: usize,
    /// What `me` found for the request at the front.
    pub(super) inspected: Option<Inspected>,
    /// How its flush is answered.
    pub(super) flush_to: To,
    pub(super) private: Option<PrivateCommand>,
    pub(super) touched: bool,
    /// The values of one answer, and those of the answer that is coming in.
    pub(super) values: Guess,
    pub(super) values_now: usize,
}

impl Session {
    pub(super) fn new(generation: u32) -> Self {
        Self {
            generation,
            parser: Parser::new(),
            entry: Entry::Open,
            input: Vec::new(),
            need: 0,
            output: Vec::new(),
            in_flight: 0,
            giving_back: 0,
            state: State::Open,
            keys_done: 0,
            inspected: None,
            flush_to: To::Text { noreply: false },
            private: None,
            touched: false,
            values: ANSWER,
            values_now: 0,
        }
    }

    /// Whether the shell should read from the client.
    pub fn wants_input(&self) -> bool {
        self.takes_requests() && (self.input.is_empty() || self.input.len() < self.need)
    }

    /// Whether the next request may be taken.
    pub(super) fn takes_requests(&self) -> bool {
        self.state == State::Open
            && self.in_flight < MAX_IN_FLIGHT
            && self.output.len() < OUTPUT_HIGH
            && (self.in_flight == 0 || (self.in_flight as usize + 1) * self.values.bytes() <= AHEAD)
    }

    /// Whether everything is said and the connection is to be closed when the output is sent.
    pub fn closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Whether nothing is under way: every complete request is answered, and the answers are taken.
    pub fn is_idle(&self) -> bool {
        self.state == State::Open && self.in_flight == 0 && self.output.is_empty()
    }

    /// Where more of a long value belongs, with room for some of it: the shell may read to there, and then gives no bytes
    /// to [`Worker::client_input`](super::worker::Worker::client_input). `None`: no long value is on its way.
    pub fn long_input(&mut self) -> Option<&mut Vec<u8>> {
        let missing = self.need.checked_sub(self.input.len()).filter(|missing| *missing >= LONG)?;
        // In proportion to what has come, so that announcing alone takes no memory.
        let room = missing.min(4 * self.input.len());
        if self.input.capacity() - self.input.len() < room.min(LONG) {
            self.input.reserve_exact(room);
        }
        (self.input.capacity() - self.input.len() >= LONG / 2).then_some(&mut self.input)
    }

    /// Frees memory that is kept for the next request.
    pub fn trim(&mut self) {
        self.input.shrink_to_fit();
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }

    /// Whether the output is not to be sent yet: a read of ours took a win token for one of its answers, and who is told
    /// that answer shall not find, by whatever connection, that the token is taken.
    pub fn is_withheld(&self) -> bool {
        self.giving_back > 0
    }

    /// Answers not yet taken.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes of memory that its buffers and its place in the queue of expected answers take.
    pub fn memory(&self) -> usize {
        self.input.capacity() + self.output.capacity() + self.in_flight as usize * size_of::<Expected>()
    }

    /// The command that the shell has to carry out, once.
    pub fn take_private(&mut self) -> Option<PrivateCommand> {
        self.private.take()
    }
}
