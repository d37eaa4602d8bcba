//! Requests of the binary protocol to the commands for memcached.

use std::num::NonZeroU64;

use super::answer::To;
use super::expect::{SessionId, What};
use super::request::{private, then};
use super::session::{PrivateAnswer, Then};
use super::stripes::Mode;
use super::worker::{Done, Worker};
use crate::clock::Now;
use crate::protocol::binary::sasl::{self, Claim};
use crate::protocol::binary::stats::{self, Stats};
use crate::protocol::binary::{Command, Request, Status, Tag, answer};
use crate::protocol::encode::{self, Arithmetic, Store};
use crate::protocol::reply::Farewell;
use crate::protocol::{Direction, Keys, StoreMode};
use crate::replication::record::Record;
use crate::stats::ProtocolLabel;

/// Where a command is counted: its place in [`super::request::KINDS`].
fn kind(command: &Command<'_>) -> usize {
    match command {
        Command::Get { .. } => 0,
        Command::GetAndTouch { .. } => 2,
        Command::Store { compare: Some(_), mode: StoreMode::Set, .. } => 9,
        Command::Store { mode, .. } => 4 + *mode as usize,
        Command::TooLarge { .. } => 4,
        Command::Arithmetic { direction: Direction::Increment, .. } => 10,
        Command::Arithmetic { direction: Direction::Decrement, .. } => 11,
        Command::Delete { .. } => 12,
        Command::Touch { .. } => 13,
        Command::FlushAll { .. } => 14,
        Command::Version => 15,
        Command::Noop
        | Command::Quit
        | Command::Stats(_)
        | Command::SaslList
        | Command::Sasl(_)
        | Command::Refused(_) => 16,
    }
}

impl Worker {
    /// Starts a request.
    pub(super) fn execute_binary(&mut self, id: SessionId, request: &Request<'_>, now: Now) -> Done {
        let Request { tag, command, odd_key } = *request;
        let done = self.start_binary(id, tag, command, odd_key, now).unwrap_or_else(|stopped| stopped);
        if !matches!(done, Done::Again(_)) {
            self.count(ProtocolLabel::Binary, kind(&command));
        }
        done
    }

    fn start_binary(
        &mut self,
        id: SessionId,
        tag: Tag,
        command: Command<'_>,
        odd_key: bool,
        now: Now,
    ) -> Result<Done, Done> {
        let to = To::Binary(tag);
        match command {
            Command::Get { key } if odd_key => self.get_odd(id, tag, key),
            Command::GetAndTouch { key, exptime } if odd_key => self.touch_odd(id, tag, key, exptime, now)?,
            Command::Get { key } => {
                encode::get(&mut self.upstream, true, [key]);
                let wanted = tag.returns_key() && !tag.is_quiet();
                let (hide, key) = (self.hidden(), wanted.then(|| key.into()));
                self.expect(id, What::Value { tag, hide, hit: false, key });
            }
            Command::GetAndTouch { key, exptime } => {
                let hold = self.hold(id, key, Mode::Single, now)?;
                encode::get_and_touch(&mut self.upstream, exptime, Keys::new(key));
                let hold = self.record(hold, &Record::Delete { key, version: hold.version });
                let expiry = self.shared.expiry_of(i64::from(exptime), now);
                let (hide, strip_cas, last) = (self.hidden(), false, true);
                self.expect(id, What::Touched { hold, to, strip_cas, hide, last, expiry, hit: None });
            }
            Command::Touch { key, exptime } => return self.touch_item(id, key, exptime, to, now),
            Command::Store { mode, key, flags, exptime, value, compare } => {
                let compare = compare.map(NonZeroU64::get);
                let store = Store { mode, key, flags, exptime, version: 0, compare, binary: odd_key, value };
                return self.store(id, store, to, now);
            }
            Command::TooLarge { key } => return self.delete(id, key, None, true, to, now),
            Command::Delete { key, compare } => {
                return self.delete(id, key, compare.map(NonZeroU64::get), false, to, now);
            }
            Command::Arithmetic { direction, key, delta, compare, create } => {
                let compare = compare.map(NonZeroU64::get);
                let arithmetic = Arithmetic { direction, key, delta, version: 0, compare, create };
                return self.arithmetic(id, arithmetic, to, now);
            }
            Command::FlushAll { delay } => return Ok(then(Then::Flush { exptime: delay, to })),
            Command::Noop => self.say(id, What::Packet(tag, Status::Ok)),
            Command::Version => {
                self.upstream.extend_from_slice(encode::VERSION);
                self.expect(id, What::Line { to });
            }
            Command::Quit => {
                self.say(id, What::Packet(tag, Status::Ok));
                self.end(id, Farewell::Silent);
            }
            Command::Stats(Stats::Lines(line)) => return Ok(private(line, None, PrivateAnswer::Packets(tag))),
            Command::Stats(Stats::Detailed(line)) => return Ok(private(line, None, PrivateAnswer::Packet(tag))),
            Command::Stats(Stats::Replication) => {
                let text = self.replication_stats();
                self.say_packet(id, |out| stats::packets(out, tag, &text));
            }
            Command::SaslList => {
                if let Some(session) = self.session(id) {
                    let sasl = session.parser.sasl().listed();
                    session.parser.set_sasl(sasl);
                }
                self.say_packet(id, |out| answer::body(out, tag, 0, sasl::MECHANISMS));
            }
            Command::Sasl(claim) => self.claimed(id, tag, claim),
            Command::Refused(status) => self.say(id, What::Packet(tag, status)),
        }
        Ok(Done::Taken)
    }

    /// A client says who it is.
    #[cold]
    fn claimed(&mut self, id: SessionId, tag: Tag, claim: Claim<'_>) {
        let Some(before) = self.session(id).map(|session| session.parser.sasl()) else { return };
        let (sasl, status) = before.claimed(claim, |user, password| self.knows(user, password));
        if let Some(session) = self.session(id) {
            session.parser.set_sasl(sasl);
        }
        match status {
            Status::Ok => self.say_packet(id, |out| answer::body(out, tag, 0, sasl::WELCOME)),
            status => self.say(id, What::Packet(tag, status)),
        }
    }

    /// Whether this is a user with its password. Nobody is one where there are no users.
    fn knows(&mut self, user: &[u8], password: &[u8]) -> bool {
        let known = self.gate.as_ref().is_some_and(|gate| gate.check(user, password));
        self.logins.count(known);
        known
    }

    fn say_packet(&mut self, id: SessionId, write: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new();
        write(&mut packet);
        self.say(id, What::LocalText(packet.into()));
    }
}
