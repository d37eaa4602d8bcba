//! One client connection: what it has sent, what it may read, and what it is in the middle of.

use super::{
    ConnId, Server,
    commands::{self, Outcome},
    dump::Walk,
    store::{Reference, Slot, Store},
    upload::Upload,
};

/// memcached sends its answers after about this many commands even if more are waiting.
const COMMANDS_PER_TURN: i32 = 20;
/// A line without an end may grow to this size, except for multi-gets.
const MAX_OPEN_LINE: usize = 2048;
/// A dump rests while the client leaves this much unread.
const MAX_UNREAD_DUMP: usize = 128 << 10;

/// Answers on their way to the client.
pub(super) struct Outbox {
    /// What the client can read.
    pub(super) output: Vec<u8>,
    /// Answers that memcached has not sent yet.
    pub(super) pending: Vec<u8>,
    references: Vec<Reference>,
    /// Commands whose answers (even empty ones) have not been sent.
    unsent: usize,
}

impl Outbox {
    /// Answers with one line.
    pub(super) fn line(&mut self, text: impl AsRef<[u8]>) {
        self.pending.extend_from_slice(text.as_ref());
        self.pending.extend_from_slice(b"\r\n");
    }

    /// Answers with one line unless the command asked for silence.
    pub(super) fn line_unless(&mut self, noreply: bool, text: impl AsRef<[u8]>) {
        if !noreply {
            self.line(text);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.pending.extend_from_slice(digits.format(number).as_bytes());
    }

    /// Keeps an item referenced until its answer is sent.
    pub(super) fn hold(&mut self, store: &mut Store, slot: Slot) {
        self.references.push(store.reference(slot));
    }

    /// True when other commands of this connection wait for their answers to be sent.
    pub(super) fn is_pipelined(&self) -> bool {
        self.unsent > 1
    }

    /// Throws away the answers that have not been sent, and goes on with that of the running command.
    pub(super) fn start_over(&mut self, store: &mut Store) {
        self.discard(store);
        self.unsent = 1;
    }

    fn flush(&mut self, store: &mut Store) {
        if self.output.is_empty() {
            std::mem::swap(&mut self.output, &mut self.pending);
        } else {
            self.output.append(&mut self.pending);
        }
        self.discard(store);
    }

    /// Throws away all answers that have not been sent.
    pub(super) fn discard(&mut self, store: &mut Store) {
        self.pending.clear();
        self.references.drain(..).for_each(|reference| store.release(&reference));
        self.unsent = 0;
    }
}

enum State {
    Command,
    Value(Upload),
    /// So many bytes of a refused value are still to come.
    Swallow(usize),
    Dump(Walk),
}

enum Progress {
    Finished,
    /// More input is wanted; `hold`: earlier answers are not sent meanwhile.
    Wait {
        hold: bool,
    },
    Closed,
}

pub(super) struct Conn {
    input: Vec<u8>,
    /// How much of `input` is done with.
    taken: usize,
    pub(super) out: Outbox,
    state: State,
    /// The CAS that a failed `ms` leaves behind for the connection's next storage command; zero: none.
    pub(super) leftover_cas: u64,
    /// Commands left in this turn.
    budget: i32,
    /// Nothing is executed before more input arrives.
    paused: bool,
    pub(super) closed: bool,
}

impl Conn {
    pub(super) fn new() -> Self {
        Self {
            input: Vec::new(),
            taken: 0,
            out: Outbox { output: Vec::new(), pending: Vec::new(), references: Vec::new(), unsent: 0 },
            state: State::Command,
            leftover_cas: 0,
            budget: COMMANDS_PER_TURN,
            paused: false,
            closed: false,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if !self.closed && !bytes.is_empty() {
            self.input.extend_from_slice(bytes);
            self.paused = false;
        }
    }

    pub(super) fn step(&mut self, server: &mut Server, id: ConnId) -> bool {
        if let State::Dump(walk) = &mut self.state {
            if self.out.output.len() > MAX_UNREAD_DUMP {
                return false;
            }
            if walk.step(server, &mut self.out.output) {
                server.crawler.client_gone(id);
                self.state = State::Command;
                if !self.paused && self.taken == self.input.len() {
                    self.out.flush(&mut server.store);
                }
            }
            return true;
        }
        if self.closed || self.paused {
            return false;
        }
        let input = std::mem::take(&mut self.input);
        let progress = self.advance(server, id, &input);
        self.input = input;
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        match progress {
            Progress::Finished => {
                self.budget -= 1;
                if self.budget < 0 {
                    self.out.flush(&mut server.store);
                    self.budget = COMMANDS_PER_TURN - 1;
                }
                true
            }
            Progress::Wait { hold } => {
                if !hold {
                    self.out.flush(&mut server.store);
                }
                self.budget = COMMANDS_PER_TURN;
                self.input.drain(..self.taken);
                self.taken = 0;
                false
            }
            Progress::Closed => {
                self.out.discard(&mut server.store);
                self.closed = true;
                false
            }
        }
    }

    fn advance(&mut self, server: &mut Server, id: ConnId, input: &[u8]) -> Progress {
        loop {
            let rest = input.get(self.taken..).unwrap_or_default();
            match std::mem::replace(&mut self.state, State::Command) {
                State::Command => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        return open_line(rest);
                    };
                    self.taken += end + 1;
                    self.out.unsent += 1;
                    match commands::execute(server, self, id, &rest[..=end]) {
                        Outcome::Done => return Progress::Finished,
                        Outcome::Upload(upload) => self.state = State::Value(upload),
                        Outcome::Swallow(len) => self.state = State::Swallow(len),
                        Outcome::Send => {
                            self.out.flush(&mut server.store);
                            return Progress::Finished;
                        }
                        Outcome::Dump(walk) => {
                            self.state = State::Dump(walk);
                            // what was read together with this command waits for the next read
                            self.paused = self.taken < input.len();
                            return Progress::Finished;
                        }
                        Outcome::SendAndClose => {
                            self.out.flush(&mut server.store);
                            return Progress::Closed;
                        }
                        Outcome::Close => return Progress::Closed,
                    }
                }
                State::Value(upload) => {
                    let Some(data) = rest.get(..upload.len()) else {
                        self.state = State::Value(upload);
                        return Progress::Wait { hold: true };
                    };
                    self.taken += data.len();
                    upload.complete(server, self, data);
                    return Progress::Finished;
                }
                State::Swallow(len) => {
                    let swallowed = len.min(rest.len());
                    self.taken += swallowed;
                    if swallowed < len {
                        self.state = State::Swallow(len - swallowed);
                        return Progress::Wait { hold: true };
                    }
                    return Progress::Finished;
                }
                State::Dump(_) => return Progress::Finished,
            }
        }
    }
}

/// A line whose end has not arrived.
fn open_line(rest: &[u8]) -> Progress {
    let spaces = rest.iter().take_while(|&&b| b == b' ').count();
    let is_get = |line: &[u8]| line.starts_with(b"get ") || line.starts_with(b"gets ");
    if rest.len() > MAX_OPEN_LINE && (spaces > 100 || !rest.get(spaces..).is_some_and(is_get)) {
        return Progress::Closed;
    }
    Progress::Wait { hold: false }
}
