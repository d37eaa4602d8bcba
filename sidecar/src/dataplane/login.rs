//! Clients that have not said yet who they are.

use super::expect::{SessionId, What};
use super::worker::Worker;
use crate::protocol::binary::{MAGIC, Sasl};
use crate::protocol::login::{self, Login};
use crate::protocol::reply::{self, Farewell};
use crate::protocol::{Limits, Parser};

/// Whether a client may use the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// It may, or its parser decides: no names are asked for, it has said one, or it speaks the binary protocol.
    #[default]
    Open,
    /// It has said nothing yet; its first byte tells the protocol.
    Unknown,
    /// It speaks the text protocol, and has to begin with the `set` that carries its name.
    Text,
}

/// How it goes on with a client that may not use the cache yet.
pub(super) enum Progress {
    /// So many bytes are done with.
    Consumed(usize),
    /// More is needed, or the connection ends.
    Stopped,
    /// The parser has the next bytes.
    Parser,
}

impl Worker {
    /// Looks at what a client says before it may use the cache.
    #[cold]
    pub(super) fn login(&mut self, id: SessionId, input: &[u8], limits: &Limits) -> Progress {
        let gate = self.gate.clone();
        let Some(session) = self.session(id) else { return Progress::Stopped };
        match (session.entry, input.first()) {
            (Entry::Open, _) => return Progress::Parser,
            // The binary protocol has commands of its own to say who one is, and lets nobody else in.
            (Entry::Unknown, Some(&MAGIC)) => {
                session.entry = Entry::Open;
                session.parser.set_sasl(Sasl::Locked);
                return Progress::Parser;
            }
            (Entry::Unknown | Entry::Text, _) => session.entry = Entry::Text,
        }
        match login::step(input, limits.dialect) {
            Login::Incomplete { need } => {
                session.need = need;
                Progress::Stopped
            }
            Login::Credentials { user, password, consumed } => {
                let known = gate.is_some_and(|gate| gate.check(user, password));
                if known {
                    session.entry = Entry::Open;
                    session.parser = Parser::text();
                }
                self.logins.count(known);
                let answer = if known { reply::STORED } else { reply::AUTHENTICATION_FAILURE };
                self.say(id, What::Local(answer));
                Progress::Consumed(consumed)
            }
            Login::Refused { reply, consumed } => {
                self.say(id, What::Local(reply));
                Progress::Consumed(consumed)
            }
            Login::Close => {
                self.end(id, Farewell::Silent);
                Progress::Consumed(input.len())
            }
        }
    }
}

/// How often clients have said who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// And were let in.
    pub accepted: u64,
    /// And were not.
    pub refused: u64,
}

impl Logins {
    pub(super) fn count(&mut self, accepted: bool) {
        let counter = if accepted { &mut self.accepted } else { &mut self.refused };
        *counter = counter.wrapping_add(1);
    }
}
